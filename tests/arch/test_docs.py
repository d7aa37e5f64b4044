"""The documentation says what there is: every knob, metric, command, file and dependency, and none that is
gone.
"""

import ast
import importlib
import importlib.util
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pages
import pytest
import typer.main
from repository import RECIPES, ROOT, SOURCE, definitions, dotted, modules, pyproject, tree
from typer.core import TyperGroup

from fairlead.cli.app import app
from fairlead.core import config_keys, errors
from fairlead.data.importer import FORMATS
from fairlead.data.records import CARRIED_COLUMNS, COLUMNS_BY_KIND
from fairlead.eval import admission_verdict
from fairlead.store.artifact import Manifest
from fairlead.store.project import ARTIFACT_KINDS

DOCS = ROOT / "docs"
# What is imported -> the package that has it, where they have different names.
NAMES = {"argon2": "argon2-cffi", "huggingface_hub": "huggingface-hub", "markdown_it": "markdown-it-py"}
# String keys in the recipes that are no metrics: names of optimisers and tensors in a checkpoint, columns of
# written rows.
NOT_METRICS = {
    "optimizer",
    "critic_optimizer",
    "rater_optimizer",
    "drafts",
    "prompt",
    "role",
    "content",
    "completions",
    "finished",
    "a",
    "b",
    "scores",
    "probe_scores",
    "verdicts",
    "outcome",
    "problem",
}


# Where the metrics that PPO and GRPO share are computed.
RL_METRICS = ("rollout/rl_metrics.py", "rollout/reward_mix.py", "losses/policy.py")


def page(name: str) -> str:
    return (DOCS / name).read_text(encoding="utf-8")


def algorithm(recipe: str) -> dict[str, str]:
    return pages.sections(page(f"algorithms/{recipe}.md"))


def keys(recipe: str) -> dict[str, str | None]:
    """Full key -> its default as Python writes it, None where it is required."""
    config_class = importlib.import_module(f"fairlead.recipes.{recipe}").Config
    return {key.full_name: key.default for key in config_keys.keys(config_class)}


def own_keys(recipe: str) -> dict[str, str | None]:
    """The keys that a recipe's page documents: its own, and those of shared tables with a default of the
    recipe's own.
    """
    config_class = importlib.import_module(f"fairlead.recipes.{recipe}").Config
    shared = {
        f"{table}.{key.name}": key.default
        for table, table_class in config_keys.tables(config_class).items()
        for key in config_keys.keys(table_class)
    }
    return {
        name: default
        for name, default in keys(recipe).items()
        if name not in shared or shared[name] != default
    }


# ---------------------------------------------------------------- algorithms


def test_every_recipe_has_its_page_and_its_line_in_the_index() -> None:
    written = {path.stem for path in (DOCS / "algorithms").glob("*.md")} - {"README"}
    indexed = re.findall(r"^\| \[(\w+)\]\(\1\.md\)", page("algorithms/README.md"), flags=re.MULTILINE)
    assert sorted(written) == sorted(indexed) == sorted(RECIPES)


def test_the_figures_of_the_readme_are_those_of_the_benchmarks() -> None:
    """Each fact links to a section of the benchmarks, and each of its numbers stands in that section."""
    text = (ROOT / "README.md").read_text(encoding="utf-8").partition("```")[0]
    facts = [fact for fact in re.split(r"^- ", text, flags=re.MULTILINE)[1:] if fact.strip()]
    assert len(facts) == 3
    sections = pages.sections(page("benchmarks.md"))
    for fact in facts:
        [anchor] = re.findall(r"\]\(docs/benchmarks\.md#([\w-]+)\)", fact)
        [section] = [body for title, body in sections.items() if title.lower().replace(" ", "-") == anchor]
        figures = re.findall(r"\d+(?:[.,]\d+)*", fact.partition("](")[0])
        assert figures and [figure for figure in figures if not has_figure(section, figure)] == []


def has_figure(text: str, figure: str) -> bool:
    return re.search(rf"(?<![\d.,]){re.escape(figure)}(?![\d]|[.,]\d)", text) is not None


def test_a_figure_is_not_found_inside_another() -> None:
    assert has_figure("16.9 [15.6, 18.4]", "16.9")
    assert (
        not has_figure("116.9", "16.9")
        and not has_figure("16.95", "16.9")
        and not has_figure("10,200", "200")
    )


@pytest.mark.parametrize("recipe", RECIPES)
def test_every_key_is_documented_with_its_default(recipe: str) -> None:
    documented = {}
    section = algorithm(recipe).get("Configuration") or algorithm(recipe)["Knobs"]
    for name, default, meaning, when in pages.rows(section):
        assert meaning and when, name
        documented[name.strip("`")] = None if default == "required" else ast.literal_eval(default.strip("`"))
    actual = {
        name: None if default is None else ast.literal_eval(default)
        for name, default in own_keys(recipe).items()
    }
    assert documented == actual
    config_class = importlib.import_module(f"fairlead.recipes.{recipe}").Config
    assert {f"[{table}]" for table in config_keys.tables(config_class)} <= set(pages.spans(section))


@pytest.mark.parametrize("recipe", RECIPES)
def test_every_metric_is_documented(recipe: str) -> None:
    documented = {name for row in pages.rows(algorithm(recipe)["Metrics"]) for name in pages.names(row[0])}
    logged = metrics(SOURCE / "recipes" / f"{recipe}.py")
    if recipe in ("ppo", "grpo"):
        logged = logged.union(*(metrics(SOURCE / module) for module in RL_METRICS))
    if recipe == "compare":
        logged |= metrics(SOURCE / "eval" / "pairwise.py")  # of a judge that sees both answers
    if "training_loop" in (SOURCE / "recipes" / f"{recipe}.py").read_text(encoding="utf-8"):
        logged |= metrics(SOURCE / "train" / "loop.py")  # of each update
    assert documented == logged


def test_metrics_are_found_however_a_recipe_writes_them() -> None:
    source = """
sums = dict.fromkeys(("one", "two"), 0.0)
sums["three"] = 1
sums["four" if config.probe == "other" else "five"] += 1
run.log(step, six=1, **{"seven": 2})
sums.add(eight=loss)
"""
    names = {"one", "two", "three", "four", "five", "six", "seven", "eight"}
    assert set(_keys_in(ast.parse(source))) == names


@pytest.mark.parametrize("recipe", RECIPES)
def test_what_a_page_quotes_is_in_the_code(recipe: str) -> None:
    """The excerpt stands in the recipe, line for line; every function that the page names exists."""
    path = SOURCE / "recipes" / f"{recipe}.py"
    section = algorithm(recipe)["In the code"]
    lines = {line.strip() for line in path.read_text(encoding="utf-8").splitlines()}
    excerpts = pages.blocks(section, "python")
    assert len(excerpts) <= 1
    assert [line for excerpt in excerpts for line in excerpt.splitlines() if line.strip() not in lines] == []
    defined = set().union(*(definitions(module) for module in modules()))
    mentioned = {
        span.rpartition(".")[2]
        for span in pages.spans(section)
        if re.fullmatch(r"[A-Za-z_.]+", span) and span not in keys(recipe)
    }
    assert mentioned - defined == set()


def metrics(path: Path) -> set[str]:
    """The configuration class and constants are left out: their dictionaries are tables of validations."""
    module = tree(path)
    constants = (ast.Assign, ast.AnnAssign)
    body = [
        node
        for node in module.body
        if not isinstance(node, constants) and not (isinstance(node, ast.ClassDef) and node.name == "Config")
    ]
    return set(_keys_in(ast.Module(body, []))) - NOT_METRICS


def _keys_in(module: ast.AST) -> Iterator[str]:
    """Every string that is a key: of a dict that is written out, of `dict.fromkeys`, of `d[key] = …`; and the
    keywords of `run.log` and `sums.add`.
    """
    for node in ast.walk(module):
        if isinstance(node, ast.Dict):
            yield from (text for key in node.keys for text in _texts(key))
        elif isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Store):
            yield from _texts(node.slice)
        elif isinstance(node, ast.Call) and ast.unparse(node.func) == "dict.fromkeys":
            yield from (text for item in getattr(node.args[0], "elts", ()) for text in _texts(item))
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in ("run.log", "sums.add"):
            yield from (word.arg for word in node.keywords if word.arg)


def _texts(node: ast.AST | None) -> Iterator[str]:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    elif isinstance(node, ast.IfExp):
        yield from _texts(node.body)
        yield from _texts(node.orelse)


def test_every_figure_and_threshold_of_the_admission_is_documented() -> None:
    figures, thresholds = pages.tables(algorithm("reward")["Admission"])
    reward_metrics = definitions(SOURCE / "eval" / "reward_metrics.py")
    baselines = {"length_only", "position_only", "bag_of_words"}
    assert {name for row in figures for name in pages.names(row[0])} == set(
        _keys_in(reward_metrics["manifest_metrics"])
    ) | baselines
    written = {name: value for name, value in vars(admission_verdict).items() if name.isupper()}
    assert {row[0].strip("`"): float(row[1].strip("`")) for row in thresholds} == written


def test_every_key_of_the_admission_report_is_documented() -> None:
    documented = [
        name
        for row in pages.rows(pages.sections(page("reference/file-formats.md"))["admission.json"])
        for name in pages.names(row[0])
    ]
    rooms = [("admission", "_report"), ("admission", "examine"), ("reward_metrics", "compute_reward_metrics")]
    keys = {
        key for room, name in rooms for key in _keys_in(definitions(SOURCE / "eval" / f"{room}.py")[name])
    }
    assert set(documented) == keys - {"gap", "n"} | {"length"}


def test_the_configuration_reference_is_current() -> None:
    spec = importlib.util.spec_from_file_location("make_configuration", DOCS / "make_configuration.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    current = page("reference/configuration.md") == module.render()
    assert current, "run: python docs/make_configuration.py"


# ---------------------------------------------------------------- commands


def commands() -> dict[str, Any]:
    """`data import` -> the command, for every command that does something."""

    def below(command: Any, words: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
        if not isinstance(command, TyperGroup):
            yield " ".join(words), command
            return
        for word in command.commands:
            yield from below(command.get_command(typer.Context(command), word), (*words, word))

    return dict(below(typer.main.get_command(app), ()))


def options(command: Any) -> dict[str, Any]:
    """Every spelling of every option -> the option."""
    return {
        spelling: param
        for param in command.params
        for spelling in param.opts
        if spelling.startswith("-") and spelling != "--help"
    }


def command_sections() -> dict[str, str]:
    """Heading of docs/reference/commands.md -> its text.  All methods of `train` share one section."""
    sections = pages.sections(page("reference/commands.md"))
    return {heading.strip("`").removeprefix("fairlead "): text for heading, text in sections.items()}


def test_every_command_is_documented() -> None:
    sections = command_sections()
    methods = [
        name.removeprefix("fairlead ")
        for row in pages.rows(sections["train"])
        for name in pages.names(row[0])
        if name.startswith("fairlead train ")
    ]
    assert sorted([*(name for name in sections if name != "train"), *methods]) == sorted(commands())


@pytest.mark.parametrize("name", sorted(commands()))
def test_every_option_is_documented_with_its_default(name: str) -> None:
    section = command_sections()["train" if name.startswith("train ") else name]
    documented = {
        spelling: row[1].strip("`")
        for row in pages.rows(section)
        for spelling in pages.names(row[0])
        if spelling.startswith("-")
    }
    actual = options(commands()[name])
    assert sorted(documented) == sorted(actual)
    for spelling, option in actual.items():
        if option.required:
            assert documented[spelling] == "required"
        elif option.is_flag:
            assert documented[spelling] == ""
        elif option.default is not None:
            assert documented[spelling] == str(option.default)


@pytest.mark.parametrize(
    "path", [pytest.param(p, id=p.relative_to(ROOT).as_posix()) for p in pages.documents()]
)
def test_every_command_line_in_a_document_would_be_understood(path: Path) -> None:
    """The command exists, its options exist, and so do the keys that `train` is given."""
    known = commands()
    for line in command_lines(path.read_text(encoding="utf-8")):
        words = line.split()[1:]
        name = next((" ".join(words[:n]) for n in (3, 2, 1) if " ".join(words[:n]) in known), None)
        if name is None:
            assert not words or words[0] in {"COMMAND", "--version"} or _is_a_group(line, known), line
            continue
        given = words[len(name.split()) :]
        assert {word.partition("=")[0] for word in given if re.match(r"--?[a-z]", word)} <= {
            *options(known[name]),
            "--help",
        }, line
        if name.startswith("train "):
            full = list(keys(name.removeprefix("train ").replace("-", "_")))
            leaves = [key.rpartition(".")[2] for key in full]
            known_keys = {*full, *(leaf for leaf in leaves if leaves.count(leaf) == 1)}
            used = {word.partition("=")[0] for word in given if re.match(r"[\w.]+=", word)}
            assert used <= known_keys, line


def command_lines(text: str) -> list[str]:
    """Every `fairlead …` in shell blocks, without comments, and in the running text."""
    shell = "\n".join(pages.blocks(text, "sh")).replace("\\\n", " ")
    lines = [part.partition(" #")[0].strip() for line in shell.splitlines() for part in line.split("&&")]
    return [line for line in [*lines, *pages.spans(text)] if re.match(r"fairlead( |$)", line)]


def _is_a_group(line: str, known: dict[str, Any]) -> bool:
    """`fairlead data` alone, `fairlead train RECIPE`, or several at once: `fairlead data import|check`."""
    words = line.split()[1:]
    rest = words[1:] or ["RECIPE"]
    inside = {name.partition(" ")[2] for name in known if name.startswith(f"{words[0]} ")}
    return bool(inside) and (rest[0].isupper() or set(rest[0].split("|")) <= inside)


# ---------------------------------------------------------------- the architecture

ARCHITECTURE = "how-it-works/architecture.md"
ARROW = re.compile(r"`([\w./-]+)` → `([\w./-]+)(?:: (\w+))?`(?: – the HTTP route `([^`]+)`)?")
MOST_FILES = {"a preference pair": 12, "a rollout": 12, "a judgement": 15}


def walks() -> dict[str, list[re.Match[str]]]:
    """Title of a walk -> its arrows."""
    sections = pages.sections(page(ARCHITECTURE))
    return {
        title.partition(": ")[2].partition(",")[0]: list(ARROW.finditer(" ".join(text.split())))
        for title, text in sections.items()
        if title.startswith("Walk ")
    }


ARROWS = [pytest.param(arrow, id=f"{arrow[1]}-{arrow[2]}") for arrows in walks().values() for arrow in arrows]


@pytest.mark.parametrize("arrow", ARROWS)
def test_every_arrow_is_an_import_or_a_request(arrow: re.Match[str]) -> None:
    user, used, name, route = arrow.groups()
    assert uses(SOURCE / user, SOURCE / used, name, route)


def test_an_arrow_that_is_not_in_the_code_is_noticed() -> None:
    recipe, losses = SOURCE / "recipes/dpo.py", SOURCE / "losses/preference.py"
    outbox, api = SOURCE / "studio/static/label/outbox.js", SOURCE / "studio/static/label/api.js"
    routes = SOURCE / "studio/api/labelling.py"
    assert uses(recipe, losses, "simpo") and not uses(losses, recipe, "main")
    assert not uses(recipe, losses, "accuracies") and not uses(recipe, SOURCE / "ops/kl.py", "k1")
    assert not uses(api, outbox, "Outbox")
    assert uses(api, routes, None, "/tasks/") and not uses(api, routes, None, "/no-such-route/")


def test_a_walk_is_connected_and_short() -> None:
    """Each arrow begins at a file of the walk, or at the next actor: the snapshot that reads judgements."""
    assert list(walks()) == list(MOST_FILES)
    for title, arrows in walks().items():
        seen = {arrows[0][1], "labels/snapshot.py"}
        for arrow in arrows:
            assert arrow[1] in seen, arrow[0]
            seen.add(arrow[2])
        files = {name for arrow in arrows for name in (arrow[1], arrow[2])}
        assert len(files) <= MOST_FILES[title], sorted(files)


def uses(user: Path, used: Path, name: str | None, route: str | None = None) -> bool:
    """Whether a file requests a route of the other file, or imports the other file and uses its names."""
    text = user.read_text(encoding="utf-8")
    if route is not None:
        return route in text and route in used.read_text(encoding="utf-8")
    if user.suffix == ".js":
        imported = re.search(rf'import \{{([^}}]*)\}} from "\./{re.escape(used.name)}"', text)
        return imported is not None and name in re.findall(r"\w+", imported[1])
    module = dotted(used)
    package, _, stem = module.rpartition(".")
    names = {
        alias.name
        for node in ast.walk(tree(user))
        if isinstance(node, ast.ImportFrom) and node.module == module
        for alias in node.names
    }
    has_module = any(
        isinstance(node, ast.ImportFrom)
        and node.module == package
        and stem in {alias.name for alias in node.names}
        for node in ast.walk(tree(user))
    )
    called = {
        node.attr
        for node in ast.walk(tree(user))
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) == stem
    }
    return name in definitions(used) and (name in names or (has_module and name in called))


def test_the_packages_are_listed_in_the_order_of_the_contract() -> None:
    layers = pyproject()["tool"]["importlinter"]["contracts"][0]["layers"]
    order = [frozenset(re.findall(r"fairlead\.(\w+)", layer)) for layer in reversed(layers)]
    table = pages.rows(pages.sections(page(ARCHITECTURE))["Packages"])
    assert [frozenset(pages.names(row[0])) for row in table] == order


@pytest.mark.parametrize(
    "path", [pytest.param(p, id=p.relative_to(ROOT).as_posix()) for p in pages.documents()]
)
def test_every_file_and_name_in_a_document_exists(path: Path) -> None:
    """`ops/kl.py: k1` is a file of the package or of the repository, and what it defines; a link leads to a
    file.
    """
    text = path.read_text(encoding="utf-8")
    for span in pages.spans(text):
        if match := re.fullmatch(r"([\w.-]+(?:/[\w.-]+)+\.(?:py|sh|toml))(?:: (\w+))?", span):
            place = next((root / match[1] for root in (SOURCE, ROOT) if (root / match[1]).is_file()), None)
            assert place is not None, span
            assert match[2] is None or match[2] in definitions(place), span
    targets = re.findall(r"\]\(([^)#\s]+)[^)]*\)", text)
    assert [
        target
        for target in targets
        if not re.match(r"https?:", target) and not (path.parent / target).exists()
    ] == []


# ---------------------------------------------------------------- dependencies


def declared() -> dict[str, set[str]]:
    """Heading in docs/dependencies.md -> the packages that pyproject.toml names there."""
    project = pyproject()["project"]
    groups = {"Runtime": project["dependencies"], "Build": pyproject()["build-system"]["requires"]}
    groups |= {f"Extra `{extra}`": wanted for extra, wanted in project["optional-dependencies"].items()}
    return {
        heading: {re.split(r"[^\w.-]", word)[0] for word in wanted} - {"fairlead"}
        for heading, wanted in groups.items()
    }


def test_every_dependency_has_its_line() -> None:
    documented = {}
    for heading, text in pages.sections(page("dependencies.md")).items():
        assert all(all(row) for row in pages.rows(text)), heading
        documented[heading] = {row[0].strip("`") for row in pages.rows(text)}
    assert documented == declared()


def test_every_package_that_is_imported_is_declared() -> None:
    imported = set()
    for path in modules():
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.Import):
                imported |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                imported.add(node.module.partition(".")[0])
    by_project = declared()
    only_for_tests = ("Build", "Extra `test`", "Extra `oracle`")
    allowed = {
        name for heading, names in by_project.items() if heading not in only_for_tests for name in names
    }
    comes_along = {"anyio", "markupsafe", "starlette"}  # parts of the interfaces of FastAPI and jinja2
    asked_for = {"psycopg", "python-multipart"}  # SQLAlchemy and FastAPI import them
    renamed = {NAMES.get(name, name) for name in imported}
    assert renamed - set(sys.stdlib_module_names) - {"fairlead"} - comes_along == allowed - asked_for


# ---------------------------------------------------------------- files and decisions


def test_the_columns_of_native_rows_are_documented() -> None:
    sections = pages.sections(page("reference/file-formats.md"))
    table = pages.rows(sections["Native rows"])
    documented = {
        row[0]: {word for cell in row[1:] for word in pages.names(cell) if word not in ("good", "bad")}
        for row in table
    }
    assert documented == {kind: columns - CARRIED_COLUMNS for kind, columns in COLUMNS_BY_KIND.items()}
    of_every_kind = pages.rows(sections["Columns of every kind"])
    assert {name for row in of_every_kind for name in pages.names(row[0])} == CARRIED_COLUMNS


def test_formats_kinds_and_fields_are_documented() -> None:
    files = pages.sections(page("reference/file-formats.md"))
    formats = pages.tables(page("reference/import-formats.md"))[0]
    assert [name for row in formats for name in pages.names(row[0])] == list(FORMATS)
    folder = " ".join(files["A project folder"].split())
    kinds = re.search(r"Kinds of artifacts: (.*?)\. A name", folder)
    assert kinds is not None and pages.names(kinds[1]) == list(ARTIFACT_KINDS)
    fields = [name for row in pages.rows(files["manifest.json"]) for name in pages.names(row[0])]
    assert sorted(fields) == sorted(Manifest.__annotations__)


def test_the_keys_of_the_summary_are_documented() -> None:
    function = definitions(SOURCE / "loop" / "quickstart.py")["quickstart"]
    [summary] = [
        node.value
        for node in ast.walk(function)
        if isinstance(node, ast.Assign)
        and isinstance(node.value, ast.Dict)
        and ast.unparse(node.targets[0]) == "summary"
    ]
    documented = [
        row[0].strip("`")
        for row in pages.rows(pages.sections(page("reference/file-formats.md"))["What the quickstart writes"])
    ]
    assert documented == [text for key in summary.keys for text in _texts(key)]


def test_every_error_and_its_exit_code_are_documented() -> None:
    documented = {
        name: int(row[0])
        for row in pages.rows(pages.sections(page("reference/file-formats.md"))["Exit codes"])
        for name in pages.names(row[2])
    }
    kinds = [
        kind
        for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, errors.FairleadError)
    ]
    raised = {kind.__name__: kind.exit_code for kind in kinds if kind is not errors.FairleadError}
    assert documented == raised


def test_decisions_are_numbered_indexed_and_of_one_page() -> None:
    written = sorted(path for path in (DOCS / "decisions").glob("*.md") if path.stem != "README")
    assert [path.name[:5] for path in written] == [f"{number:04d}-" for number in range(1, len(written) + 1)]
    assert re.findall(r"\]\((.*?)\)", page("decisions/README.md")) == [path.name for path in written]
    for path in written:
        text = path.read_text(encoding="utf-8")
        assert list(pages.sections(text)) == ["Problem", "Choice", "Cost"], path.name
        assert text.count("\n") <= 40, path.name
