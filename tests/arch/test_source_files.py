"""Rules for every source file: its size, its name, and texts that no file may contain."""

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from repository import RECIPES, ROOT, SOURCE, definitions, modules, short, tree

MAX_LINES = 500
MAX_MAIN_LINES = 170
EMPTY_NAMES = {
    "utils",
    "util",
    "common",
    "helpers",
    "helper",
    "manager",
    "managers",
    "misc",
    "handler",
    "handlers",
}
MACHINE_PATH = re.compile(r"(?<![\w.\-/~])/(?:work|root|home|Users|tmp|mnt|scratch)/")
REGISTRY = re.compile(
    r"--(?:extra-)?index-url|pypi\.org/simple|files\.pythonhosted\.org"
    r"|download\.pytorch\.org|registry\.npmjs\.org"
)

FILES = [pytest.param(path, id=short(path)) for path in modules()]


def tracked() -> Iterator[tuple[str, str]]:
    """Name and text of every text file that belongs to the project: tracked, or new and not ignored."""
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout, so nothing says which files belong to the project")
    command = ["git", "-C", str(ROOT), "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    listed = subprocess.run(command, capture_output=True, text=True, check=True)
    for name in filter(None, listed.stdout.split("\0")):
        path = ROOT / name
        if path.is_file() and path != Path(__file__) and b"\0" not in (content := path.read_bytes()):
            yield name, content.decode("utf-8")


@pytest.mark.parametrize("path", FILES)
def test_no_file_is_too_long(path: Path) -> None:
    num_lines = path.read_bytes().count(b"\n")
    assert num_lines <= MAX_LINES


@pytest.mark.parametrize("path", FILES)
def test_every_module_has_a_docstring(path: Path) -> None:
    """Packages have empty `__init__.py` files; the top one has the version."""
    if path.name == "__init__.py" and path.parent != SOURCE:
        assert path.read_bytes() == b""
    else:
        assert ast.get_docstring(tree(path)), "no docstring at the top"


@pytest.mark.parametrize("path", FILES)
def test_no_module_has_an_empty_name(path: Path) -> None:
    assert not EMPTY_NAMES.intersection(part.removesuffix(".py") for part in path.relative_to(SOURCE).parts)


@pytest.mark.parametrize("path", FILES)
def test_no_file_has_a_to_do_note(path: Path) -> None:
    assert re.findall(r"\b(?:TODO|FIXME|XXX)\b.*", path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("path", FILES)
def test_broad_except_clauses_exist_at_three_boundaries(path: Path) -> None:
    """The command line, the job worker, which continues with the next job, and the rules of users."""
    caught = [
        node.lineno
        for node in ast.walk(tree(path))
        if isinstance(node, ast.ExceptHandler) and _catches_everything(node)
    ]
    assert not caught or short(path) in ("cli/app.py", "labels/job_worker.py", "rollout/rules.py")


def test_broad_except_clauses_are_recognised() -> None:
    broad = ("except:", "except Exception:", "except (OSError, BaseException) as error:")
    handlers = [
        ast.parse(f"try:\n    pass\n{line}\n    pass").body[0] for line in (*broad, "except OSError:")
    ]
    handlers += ast.parse("try:\n    pass\nexcept BaseException:\n    undo()\n    raise").body
    assert [_catches_everything(node.handlers[0]) for node in handlers if isinstance(node, ast.Try)] == [
        True,
        True,
        True,
        False,
        False,
    ]


@pytest.mark.parametrize("recipe", RECIPES)
def test_main_of_a_recipe_is_short(recipe: str) -> None:
    main = definitions(SOURCE / "recipes" / f"{recipe}.py")["main"]
    assert main.end_lineno is not None
    assert main.end_lineno - main.lineno + 1 <= MAX_MAIN_LINES


@pytest.mark.parametrize(
    "path", [pytest.param(p, id=short(p)) for package in ("ops", "losses") for p in modules(SOURCE / package)]
)
def test_arithmetic_has_no_state(path: Path) -> None:
    """Pure functions: no globals, and no class but named tuples and autograd functions."""
    for node in ast.walk(tree(path)):
        assert not isinstance(node, ast.Global | ast.Nonlocal)
        if isinstance(node, ast.ClassDef):
            assert [ast.unparse(base) for base in node.bases] in (["NamedTuple"], ["torch.autograd.Function"])


def test_no_file_contains_a_machine_path() -> None:
    assert MACHINE_PATH.search("see /home/ann/fairlead")
    assert [f"{name}: {match[0]}" for name, text in tracked() for match in MACHINE_PATH.finditer(text)] == []


def test_no_file_contains_a_registry_address() -> None:
    assert REGISTRY.search("pip install --index-url https://example.org")
    assert [f"{name}: {match[0]}" for name, text in tracked() for match in REGISTRY.finditer(text)] == []


def _catches_everything(handler: ast.ExceptHandler) -> bool:
    """A handler that ends by raising the same exception again does not count."""
    if isinstance(handler.body[-1], ast.Raise) and handler.body[-1].exc is None:
        return False
    kinds = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    return any(kind is None or ast.unparse(kind) in ("Exception", "BaseException") for kind in kinds)
