"""Every configuration file in the repository is valid for its method."""

import importlib
from pathlib import Path

import pytest

from fairlead.core import config

ROOT = Path(__file__).parents[2]
METHODS = (
    "sft",
    "reward",
    "process-reward",
    "dpo",
    "kto",
    "uft",
    "alternate",
    "ppo",
    "grpo",
    "best-of-n",
    "rounds",
)
SIZES = ("toy", "1b-lora", "8b-lora")
FILES = sorted([*ROOT.glob("configs/*/*.toml"), *ROOT.glob("examples/hh/*.toml")])


def recipe_of(path: Path) -> str:
    return "pretrain" if path.parent.name == "base_model" else path.stem.replace("-", "_")


def test_every_method_has_a_file_of_every_size() -> None:
    for size in SIZES:
        assert {path.stem for path in (ROOT / "configs" / size).glob("*.toml")} == set(METHODS)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_a_shipped_configuration_is_valid(path: Path) -> None:
    """The files of examples/hh leave the model to the command line."""
    config_class = importlib.import_module(f"fairlead.recipes.{recipe_of(path)}").Config
    overrides = ["model=base"] if path.parent.name == "hh" else []
    config.load(config_class, path, overrides)
