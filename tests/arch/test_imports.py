"""Data, statistics, labelling and reports work without torch: they import where torch cannot be imported."""

import subprocess

import pytest
from repository import SOURCE, dotted, modules, python

HEAVY = ("torch", "transformers", "tokenizers", "safetensors", "peft", "datasets")
LIGHT = ("core", "stats", "data", "store", "simulate", "report", "labels", "studio")
# Modules that commands import only when they run.
NEEDS_AN_EXTRA = {"fairlead.data.hub_source", "fairlead.cli.preview", "fairlead.cli.sampled_answers"}

RUN_BY_ALEMBIC = "fairlead.labels.migrations.env"


def import_without(absent: tuple[str, ...], names: list[str]) -> subprocess.CompletedProcess[str]:
    """A fresh Python in which the absent packages cannot be imported."""
    hide = f"import importlib, sys\nfor name in {absent!r}: sys.modules[name] = None\n"
    return python(hide + f"for name in {names!r}: importlib.import_module(name)")


@pytest.mark.parametrize("package", LIGHT)
def test_a_light_package_imports_without_torch(package: str) -> None:
    names = [
        dotted(path)
        for path in modules(SOURCE / package)
        if dotted(path) not in NEEDS_AN_EXTRA | {RUN_BY_ALEMBIC}
    ]
    ended = import_without(HEAVY, names)
    assert ended.returncode == 0, ended.stderr


def test_the_command_line_loads_no_torch_until_a_command_needs_it() -> None:
    names = [dotted(path) for path in modules(SOURCE / "cli") if dotted(path) not in NEEDS_AN_EXTRA]
    ended = import_without(HEAVY, names)
    assert ended.returncode == 0, ended.stderr


def test_a_missing_torch_is_noticed() -> None:
    ended = import_without(HEAVY, ["fairlead.ops.masked_sums"])
    assert ended.returncode == 1
    assert "torch" in ended.stderr
