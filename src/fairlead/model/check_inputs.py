"""Check the models of a run before it starts: policies, reward models, critics and judges.

Like `check_model`, this reads names, sizes and headers of files only, and imports no torch.
"""

from collections.abc import Callable, Mapping
from typing import Any

from fairlead.core import config as configs
from fairlead.core.errors import ModelError
from fairlead.model.check_model import ADAPTER_CONFIG, check_model, local_folder
from fairlead.model.ensemble import member_folders
from fairlead.model.missing_weights import check_is_language_adapter, check_is_language_model
from fairlead.model.weight_files import read_header, read_json, weight_files
from fairlead.store.resolve_inputs import LLM, RULE, ResolvedInput

HEAD = "score"  # name of a reward model's head


def checker(config: Any) -> Callable[[Mapping[str, ResolvedInput]], None]:
    """A function that raises ModelError unless every model that the configuration names can be loaded."""

    def check(inputs: Mapping[str, ResolvedInput]) -> None:
        for role, (mark, _) in configs.refs(config).items():
            check_input(mark.kind, inputs[role])

    return check


def check_input(kind: str, source: ResolvedInput) -> None:
    """Raise ModelError unless a model can be loaded; rules, judges behind an endpoint and data pass."""
    if source.ref.startswith((RULE, LLM)):
        return
    if kind == "model":
        check_model(source.load_from)
        check_policy(source.load_from)
    elif kind == "reward-model":
        for member in member_folders(source.load_from):
            check_reward_model(member)


def check_policy(reference: str) -> None:
    """Raise ModelError for a local classifier where a language model is expected."""
    folder = local_folder(reference)
    if folder is None:
        return
    if (folder / ADAPTER_CONFIG).is_file():
        check_is_language_adapter(folder)
    elif (folder / "config.json").is_file():
        architectures = read_json(folder / "config.json").get("architectures")
        check_is_language_model(architectures if isinstance(architectures, list) else (), reference)


def check_reward_model(reference: str) -> None:
    """`check_model` for a reward model, which has a head.  An adapter's head is checked when it is loaded."""
    check_model(reference)
    folder = local_folder(reference)
    if folder is None or (folder / ADAPTER_CONFIG).is_file():
        return
    names = [name for path in weight_files(folder) for name in read_header(path)]
    if not any(name == f"{HEAD}.weight" or name.endswith(f".{HEAD}.weight") for name in names):
        raise ModelError(
            f"{reference}: is no reward model: its weights have no head {HEAD!r}. "
            f"Train a reward model on it with `fairlead train reward model={reference}`."
        )
