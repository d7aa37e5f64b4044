"""The counts of `style.py` are zero, recipes are short, and each module has its test file."""

import ast
from pathlib import Path

import pytest
import style
from repository import RECIPES, ROOT, SOURCE, modules, short, tree

from fairlead.core import config_keys
from fairlead.recipes import ppo

PROSE = [
    ROOT / name for name in ("src", "docs", "examples", "configs", "README.md", "CHANGELOG.md", "AGENTS.md")
]
LINES = [*PROSE, ROOT / "tests", ROOT / "benchmarks"]
MOST_REPEATED_LINES = 99
LONG_ENOUGH_FOR_A_TEST = 50  # lines


def relative(lines: list[str]) -> list[str]:
    return [line.removeprefix(f"{ROOT}/") for line in lines]


def test_no_name_leaves_open_what_it_holds() -> None:
    paths = style.files([SOURCE], ".py", ".js")
    assert relative([line for path in paths for line in style.vague_names(path)]) == []


def test_no_line_is_too_long() -> None:
    paths = style.files(LINES, ".py", ".js", ".css", ".md")
    assert relative([line for path in paths for line in style.long_lines(path)]) == []


def test_no_sentence_is_too_long() -> None:
    paths = style.files(PROSE, ".py", ".js", ".md", ".html")
    assert relative([line for path in paths for line in style.long_sentences(path)]) == []


def test_no_function_takes_too_many_parameters() -> None:
    assert relative([line for path in modules() for line in style.long_signatures(path)]) == []


def test_recipes_share_functions_and_not_lines() -> None:
    repeated = style.repeated_lines([SOURCE / "recipes" / f"{recipe}.py" for recipe in RECIPES])
    assert len(repeated) <= MOST_REPEATED_LINES


def test_ppo_can_be_read_in_one_go() -> None:
    path = SOURCE / "recipes" / "ppo.py"
    own_keys = [key for key in config_keys.keys(ppo.Config) if not key.table]
    assert len(style.own_modules(path)) <= 20
    assert len(own_keys) <= 30


@pytest.mark.parametrize("path", [pytest.param(path, id=short(path)) for path in modules()])
def test_a_module_has_a_test_file_of_its_name(path: Path) -> None:
    """`labels/items.py` is tested by `tests/labels/test_items.py`; recipes by `tests/smoke`."""
    has_functions = any(isinstance(node, ast.FunctionDef) for node in ast.walk(tree(path)))
    is_short = path.read_bytes().count(b"\n") < LONG_ENOUGH_FOR_A_TEST
    if is_short or not has_functions or "migrations" in path.parts:
        return
    package = path.relative_to(SOURCE).parts[0]
    folder = "smoke" if package == "recipes" else package
    tests = {test.name for test in (ROOT / "tests" / folder).rglob("test_*.py")}
    assert f"test_{path.stem}.py" in tests


# ---------------------------------------------------------------- the counts themselves


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_vague_names_are_counted(tmp_path: Path) -> None:
    python = write(tmp_path, "a.py", 'one = 1  # one\ntext = "found"\nfor made in ():\n    pass\n')
    script = write(
        tmp_path, "a.js", "const said = 1; // one\nitems.map((one) => one.n);\nlet text = 'found';\n"
    )
    assert [line.rpartition(" ")[2] for line in style.vague_names(python)] == ["one", "made"]
    assert [line.rpartition(" ")[2] for line in style.vague_names(script)] == ["said", "one"]


def test_long_sentences_are_counted(tmp_path: Path) -> None:
    long, short_ = "word " * 36, "word " * 35
    assert len(style.long_sentences(write(tmp_path, "a.md", f"# T\n\n{long}.\n\n{short_}.\n"))) == 1
    assert len(style.long_sentences(write(tmp_path, "b.md", f"{short_}. {short_}.\n\n| a | {long} |\n"))) == 1
    assert len(style.long_sentences(write(tmp_path, "c.md", f"```\n{long}\n```\n"))) == 0
    assert len(style.long_sentences(write(tmp_path, "a.py", f'"""{long}."""\n# {long}\nf(f"{long}")\n'))) == 3
    assert (
        len(style.long_sentences(write(tmp_path, "a.html", f"<p>{long}</p>{{% if {long} %}}{{% endif %}}")))
        == 1
    )
    halves = "# " + "word " * 20 + "\n"
    assert len(style.long_sentences(write(tmp_path, "b.py", halves * 2))) == 1  # one comment over two lines


def test_long_lines_and_signatures_are_counted(tmp_path: Path) -> None:
    assert len(style.long_lines(write(tmp_path, "a.css", "a" * 110 + "\n" + "a" * 111 + "\n"))) == 1
    assert len(style.long_lines(write(tmp_path, "a.md", "| " + "a" * 111 + " |\n" + "a" * 111 + "\n"))) == 1
    many = ", ".join("abcdefghi")
    route = f"@router.get('/')\ndef g({many}): ...\n"
    source = f"def f({many}): ...\n{route}class C:\n    def h(self, {many[:-3]}): ...\n"
    assert [line.split()[1] for line in style.long_signatures(write(tmp_path, "a.py", source))] == ["f:"]


def test_repeated_lines_and_own_modules_are_counted(tmp_path: Path) -> None:
    line = "loss = preference.dpo(policy, reference)\n"
    paths = [write(tmp_path, f"{name}.py", line + "x = 1\n") for name in "abc"]
    assert style.repeated_lines(paths) == [line.strip()] * 3
    assert style.repeated_lines(paths[:2]) == []
    source = (
        "from fairlead.train import guard, optim\nfrom fairlead.core.errors import require\nimport torch\n"
    )
    assert style.own_modules(write(tmp_path, "d.py", source)) == {
        "fairlead.train.guard",
        "fairlead.train.optim",
        "fairlead.core.errors",
    }
