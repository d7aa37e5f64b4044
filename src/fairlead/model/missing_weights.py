"""Say which weights a model lacks, where they should be, and what brings them back.

Nothing here decides whether a model is refused: `load.from_pretrained` refuses weights that transformers
would initialise at random.  This module imports no torch.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fairlead.core.errors import ModelError
from fairlead.core.plural import counted
from fairlead.model.check_model import adapter_base, adapter_task, local_folder
from fairlead.model.weight_files import weight_files

NUM_SHOWN = 3  # names of weights in a message
CLASSIFIERS = ("ForSequenceClassification", "ForTokenClassification", "ForQuestionAnswering")


def missing_weights(
    reference: str,
    missing: Sequence[str],
    misshapen: Sequence[Any],
    num_weights: int,
    config: Mapping[str, Any],
) -> ModelError:
    """The refusal of a model with weights that would be random.

    `misshapen` has the name of a weight, its shape in the files and the shape that config.json describes.
    """
    parts, shapes = [], [item for item in misshapen if isinstance(item, tuple)]
    names = [*missing, *(str(item[0] if isinstance(item, tuple) else item) for item in misshapen)]
    if missing:
        share = f"{len(missing)} of {counted(num_weights, 'weight')}"
        parts.append(f"{_files(reference)} {share} that config.json describes")
    parts += [f"{item[0]} is {list(item[1])} there and {list(item[2])} by config.json" for item in shapes[:1]]
    evidence = f": {'; '.join(parts)}" if parts else ""
    return ModelError(
        f"{reference}: weights are missing or of the wrong shape ({', '.join(names[:NUM_SHOWN])}){evidence}. "
        "They would be random, so the model is refused. "
        f"{_tied_remedy(missing, config) or 'Download or save the model again, or correct its config.json.'}"
    )


def _files(reference: str) -> str:
    folder = local_folder(reference)
    if folder is None:
        return "the files of the Hub lack"
    paths = weight_files(folder)
    if len(paths) == 1:
        return f"{paths[0].name} lacks"
    return f"the {counted(len(paths), 'shard')} lack"


def _tied_remedy(missing: Sequence[str], config: Mapping[str, Any]) -> str | None:
    """The remedy where only the ends of the network are missing, which a tied model shares."""
    ends = ("lm_head.weight", "embed_out.weight", "output.weight", "embed_tokens.weight", "wte.weight")
    is_tied = bool(config.get("tie_word_embeddings"))
    if not missing or len(missing) > 1 + is_tied or not all(name.endswith(ends) for name in missing):
        return None
    if is_tied:
        return (
            "config.json says tie_word_embeddings: true, but the shared tensor is not in the files. "
            "Save the model again with save_pretrained, or download it again."
        )
    return (
        "config.json says tie_word_embeddings: false. If the original model uses one tensor for its "
        'embeddings and its head, set "tie_word_embeddings": true; else download the model again.'
    )


def check_is_language_model(architectures: Sequence[str], reference: str) -> None:
    """Raise ModelError for a classifier.

    Where the head is tied to the embeddings, no weight is missing, so nothing else refuses it.
    """
    name = architectures[0] if architectures else ""
    if name.endswith(CLASSIFIERS):
        raise ModelError(
            f"{reference}: is a classifier, such as a reward model ({name}), not a language model. "
            "Name it where a reward model is expected, as in reward=NAME. As a policy, name the "
            "language model that it was trained from."
        )


def check_is_language_adapter(folder: Path) -> None:
    """Raise ModelError for the adapter of a classifier."""
    if adapter_task(folder) == "SEQ_CLS":
        raise ModelError(
            f"{folder}: is the adapter of a reward model or another classifier (task_type SEQ_CLS), not of a "
            "language model. Name it where a reward model is expected, as in reward=NAME. As a policy, name "
            f"the language model that it was trained from, {adapter_base(folder)}."
        )
