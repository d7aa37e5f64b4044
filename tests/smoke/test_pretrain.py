from pathlib import Path

import pytest

from fairlead.core import jsonl
from fairlead.model.policy import load_policy
from fairlead.recipes import pretrain
from fakes import TEXTS, check_finished, project_with_base, train, turns

SETTINGS = {
    "name": "young",
    "documents": "data/demonstrations.jsonl",
    "steps": 12,
    "vocab_size": 400,
    "hidden": 32,
    "layers": 2,
    "heads": 4,
    "intermediate": 64,
    "context": 64,
    "batch": 16,
    "lr": 1e-2,
    "warmup": 2,
    "checkpoints.every": 5,
}


@pytest.mark.parametrize(("stored_as", "optimizer"), [("float32", "muon"), ("float16", "adamw")])
def test_it_learns_from_nothing_and_leaves_a_model_that_speaks(
    tmp_path: Path, stored_as: str, optimizer: str
) -> None:
    project = project_with_base(tmp_path)
    settings = SETTINGS | {"stored_as": stored_as, "optimizer": optimizer}
    made = train(project, pretrain, **settings)
    losses = made.series("loss")
    assert len(losses) == 12
    assert 5 < losses[0] < 7  # ln 400 = 6: nothing is known at first
    assert losses[-1] < losses[0] - 1
    policy = load_policy(str(made.artifact.folder))
    assert len(policy.encode(turns("Say red.", "It is red."), num_context=0)) < 20
    assert made.artifact.manifest.metrics["parameters"] == policy.network.num_parameters()
    check_finished(project, pretrain, made, **settings)


def test_plain_text_is_cut_into_pieces_of_the_context(tmp_path: Path) -> None:
    project = project_with_base(tmp_path)
    jsonl.write(project.data / "texts.jsonl", [{"text": text * 5} for text in TEXTS])
    made = train(
        project,
        pretrain,
        **SETTINGS | {"documents": "data/texts.jsonl", "context": 16, "steps": 5, "precision": "bfloat16"},
    )
    losses = made.series("loss")
    assert losses[-1] < losses[0]
