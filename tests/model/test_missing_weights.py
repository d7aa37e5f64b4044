"""A model without some of its weights, or of another class, is refused with what brings the weights back."""

import json
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from fairlead.core.errors import ModelError
from fairlead.model.check_inputs import check_policy
from fairlead.model.load import load_causal_lm
from fairlead.model.policy import load_policy
from fakes import save_model


@pytest.mark.parametrize(
    ("is_tied", "part", "remedy"),
    [
        (False, "", 'tie_word_embeddings: false.*set "tie_word_embeddings": true'),
        (True, "embed_tokens", "tie_word_embeddings: true, but the shared tensor is not in the files"),
        (True, "up_proj", "model.safetensors lacks 2 of .* that config.json describes.*Download or save"),
    ],
)
def test_missing_weights_come_with_a_remedy(tmp_path: Path, is_tied: bool, part: str, remedy: str) -> None:
    folder = save_model(tmp_path / "m")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"tie_word_embeddings": is_tied}))
    path = folder / "model.safetensors"
    kept = {name: weight for name, weight in load_file(path).items() if not part or part not in name}
    save_file(kept, path, metadata={"format": "pt"})
    with pytest.raises(ModelError, match=remedy):
        load_causal_lm(str(folder))


def test_a_classifier_is_no_policy(tmp_path: Path) -> None:
    # Tied embeddings: no weight of the language model is missing, so only the name of the class tells.
    folder = save_model(tmp_path / "m")
    config = json.loads((folder / "config.json").read_text())
    config["architectures"] = ["LlamaForSequenceClassification"]
    (folder / "config.json").write_text(json.dumps(config))
    message = (
        "is a classifier, such as a reward model .LlamaForSequenceClassification.*that it was trained from"
    )
    with pytest.raises(ModelError, match=message):
        load_policy(str(folder))
    with pytest.raises(ModelError, match=message):
        check_policy(str(folder))
