import dataclasses
from typing import Literal

from fairlead.core.config_keys import Advanced, DatasetRef, Key, ModelRef, keys, tables


@dataclasses.dataclass(frozen=True, kw_only=True)
class Optim:
    """How the weights move."""

    lr: float  # peak learning rate
    bits: Advanced[Literal[8, 32]] = 32  # of the moments


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """beta: this line of prose is not the comment of a field."""

    name: str
    model: ModelRef
    replay: DatasetRef | None = None
    beta: float = 0.1  # strength of the pull to the reference
    # pairs per optimiser step,
    batch: int = 64  # whatever the micro-batch
    # not a comment of the next field

    loss: Literal["dpo", "ipo"] = "dpo"
    sizes: tuple[int, ...] = (1, 2)
    weights: dict[ModelRef, float] = dataclasses.field(default_factory=dict)  # how much of each
    optim: Optim = Optim(lr=5e-5)


def test_keys_have_type_default_and_the_comment_of_the_source() -> None:
    assert keys(Config) == [
        Key("", "name", "str", None, "", False),
        Key("", "model", "model", None, "", False),
        Key("", "replay", "dataset", "None", "", False),
        Key("", "beta", "float", "0.1", "strength of the pull to the reference", False),
        Key("", "batch", "int", "64", "pairs per optimiser step, whatever the micro-batch", False),
        Key("", "loss", "dpo | ipo", "'dpo'", "", False),
        Key("", "sizes", "tuple[int, ...]", "(1, 2)", "", False),
        Key("", "weights", "table of model = number", "{}", "how much of each", False),
        Key("optim", "lr", "float", "5e-05", "peak learning rate", False),
        Key("optim", "bits", "8 | 32", "32", "of the moments", True),
    ]


def test_a_full_name_has_its_table() -> None:
    names = [key.full_name for key in keys(Config)]
    assert names[0] == "name" and names[-1] == "optim.bits"


def test_a_table_without_a_default_of_the_recipe_has_its_own_defaults() -> None:
    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Bare:
        optim: Optim

    assert tables(Bare) == {"optim": Optim}
    assert [key.default for key in keys(Bare)] == [None, "32"]
