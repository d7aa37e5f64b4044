"""Data, statistics, labelling and reports work without torch: proved by taking torch away."""

import subprocess

import pytest
from repository import SOURCE, dotted, modules, python

HEAVY = ("torch", "transformers", "tokenizers", "safetensors", "peft", "datasets")
LIGHT = ("core", "stats", "data", "store", "simulate", "report", "labels", "studio")
NEEDS_AN_EXTRA = {
    "fairlead.data.hub_source",
    "fairlead.cli.preview",
    "fairlead.cli.sampled_answers",
}  # imported where it is needed, inside a function

ALEMBIC_S_OWN = "fairlead.labels.migrations.env"  # a script that Alembic runs


def import_without(absent: tuple[str, ...], wanted: list[str]) -> subprocess.CompletedProcess[str]:
    """A fresh Python in which the absent packages cannot be imported."""
    taken_away = f"import importlib, sys\nfor name in {absent!r}: sys.modules[name] = None\n"
    return python(taken_away + f"for name in {wanted!r}: importlib.import_module(name)")


@pytest.mark.parametrize("package", LIGHT)
def test_a_light_package_imports_without_torch(package: str) -> None:
    wanted = [
        dotted(path)
        for path in modules(SOURCE / package)
        if dotted(path) not in NEEDS_AN_EXTRA | {ALEMBIC_S_OWN}
    ]
    ended = import_without(HEAVY, wanted)
    assert ended.returncode == 0, ended.stderr


def test_the_command_line_loads_no_torch_until_a_command_needs_it() -> None:
    wanted = [dotted(path) for path in modules(SOURCE / "cli") if dotted(path) not in NEEDS_AN_EXTRA]
    ended = import_without(HEAVY, wanted)
    assert ended.returncode == 0, ended.stderr


def test_taking_torch_away_is_noticed() -> None:
    ended = import_without(HEAVY, ["fairlead.ops.masks"])
    assert ended.returncode == 1
    assert "torch" in ended.stderr
