"""Packages import downwards only: the contracts in pyproject.toml hold and name every package."""

from repository import SOURCE, pyproject, python


def layers() -> list[str]:
    """Packages in the order of the contract, the highest first; packages of one layer share a string."""
    contract = pyproject()["tool"]["importlinter"]["contracts"][0]
    assert contract["type"] == "layers"
    return [str(layer) for layer in contract["layers"]]


def test_the_import_contracts_are_kept() -> None:
    program = "from importlinter.cli import lint_imports; exit(lint_imports(no_cache=True, no_logo=True))"
    ended = python(program)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    kept = len(pyproject()["tool"]["importlinter"]["contracts"])
    assert f"{kept} kept, 0 broken" in ended.stdout


def test_the_layers_name_every_package() -> None:
    placed = [name.strip() for layer in layers() for name in layer.split("|")]
    packages = {f"fairlead.{folder.name}" for folder in SOURCE.iterdir() if (folder / "__init__.py").exists()}
    assert sorted(placed) == sorted(packages)
