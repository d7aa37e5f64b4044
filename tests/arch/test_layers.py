"""Packages import downwards only: the contracts in pyproject.toml, and that every package has its place in them."""

from repository import SOURCE, pyproject, python


def layers() -> list[str]:
    """The packages in the order of the contract, the highest first; those of one layer in one string."""
    contract = pyproject()["tool"]["importlinter"]["contracts"][0]
    assert contract["type"] == "layers"
    return [str(layer) for layer in contract["layers"]]


def test_the_import_contracts_are_kept() -> None:
    ended = python(
        "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(no_cache=True, no_logo=True))"
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    kept = len(pyproject()["tool"]["importlinter"]["contracts"])
    assert f"{kept} kept, 0 broken" in ended.stdout


def test_every_package_has_its_place_in_the_order() -> None:
    placed = [name.strip() for layer in layers() for name in layer.split("|")]
    packages = {f"fairlead.{folder.name}" for folder in SOURCE.iterdir() if (folder / "__init__.py").exists()}
    assert sorted(placed) == sorted(packages)
