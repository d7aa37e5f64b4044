"""`fairlead train`: run one recipe with one configuration.

Help and validation read the recipe's `Config` without importing the recipe, because importing torch takes
seconds.
"""

import difflib
import importlib
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any

import typer
from rich.table import Table

from fairlead.cli import next_commands
from fairlead.cli.lookup import ProjectDir, open_project
from fairlead.cli.metrics_text import format_number, metric_lines
from fairlead.cli.other_commands import TrainGroup
from fairlead.cli.output import AsJson, print_note, print_result, print_text, relative_path
from fairlead.core import config as configs
from fairlead.core import config_keys
from fairlead.core.config_keys import Key
from fairlead.core.errors import ConfigError
from fairlead.core.partial_module import load_names
from fairlead.model.check_inputs import checker
from fairlead.store.artifact import Artifact
from fairlead.store.run import open_run
from fairlead.train import diagnostics
from fairlead.train.admission_gate import read_admission


@dataclass(frozen=True)
class Summary:
    """What `fairlead train --help` shows of a recipe."""

    text: str
    example: str  # arguments after `fairlead train NAME`


RECIPES = {
    "pretrain": Summary(
        "Pretraining: a small language model from random weights and text.",
        "name=base documents=data/documents.jsonl steps=2000",
    ),
    "sft": Summary(
        "Supervised fine-tuning: imitate demonstrations.",
        "name=sft model=base demonstrations=data/demonstrations.jsonl",
    ),
    "reward": Summary(
        "Reward model: learn from comparisons which response people prefer.",
        "name=reward model=sft comparisons=data/comparisons.jsonl",
    ),
    "process-reward": Summary(
        "Process reward model: learn which steps of a response are correct.",
        "name=verifier model=sft stepwise=data/steps.jsonl",
    ),
    "dpo": Summary(
        "DPO: learn from comparisons directly, without a reward model.",
        "name=dpo model=sft comparisons=data/comparisons.jsonl beta=0.2",
    ),
    "kto": Summary(
        "KTO: learn from responses with a thumb up or down.",
        "name=kto model=sft binary=data/binary.jsonl",
    ),
    "uft": Summary(
        "UFT: learn from demonstrations, comparisons, thumbs and scores in one stage.",
        "name=uft model=base demonstrations=data/demonstrations.jsonl comparisons=data/comparisons.jsonl",
    ),
    "alternate": Summary(
        "Alternating training: SFT steps and DPO steps in turn.",
        "name=both model=base demonstrations=data/demonstrations.jsonl comparisons=data/pairs.jsonl "
        "steps=400",
    ),
    "ppo": Summary(
        "PPO: sample responses to prompts and optimise their reward.",
        "name=aligned model=sft reward=reward prompts=data/prompts.jsonl steps=100",
    ),
    "grpo": Summary(
        "GRPO: sample several responses to each prompt and prefer the better ones; needs no critic.",
        "name=aligned model=sft reward=reward prompts=data/prompts.jsonl group=8 steps=100",
    ),
    "best-of-n": Summary(
        "Best of n: sample n responses to each prompt and keep the best, as data for SFT or DPO.",
        "name=best model=sft reward=reward prompts=data/prompts.jsonl n=16",
    ),
    "rounds": Summary(
        "Rounds: sample, compare, train with DPO or SFT, measure, and repeat with the new model.",
        "name=aligned model=sft reward=reward prompts=data/prompts.jsonl rounds=3",
    ),
    "average": Summary(
        "Average: interpolate the weights of two models of one shape.",
        "name=between a=sft b=aligned weight=0.5",
    ),
}

OPTIONS = ("--project", "--json", "--help", "--help-all")
OBVIOUS_TYPES = ("str", "int", "float", "bool")  # the default value shows them

app = typer.Typer(cls=TrainGroup, help=f"Train a model: {', '.join(RECIPES)}.", no_args_is_help=True)


def _help_callback(*, everything: bool) -> Callable[[typer.Context, bool], None]:
    def print_help(context: typer.Context, requested: bool) -> None:
        if requested:
            text = context.get_help()  # empty where typer has printed it with rich
            if text:
                print(text)
            _show_keys(str(context.info_name), everything=everything)
            raise typer.Exit

    return print_help


Words = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="CONFIG.toml|KEY=VALUE",
        help="A configuration file, and values that override it; --help lists the keys.",
    ),
]
Help = Annotated[
    bool,
    typer.Option(
        "--help",
        is_eager=True,
        callback=_help_callback(everything=False),
        help="Show this message and the most important keys.",
    ),
]
HelpAll = Annotated[
    bool,
    typer.Option(
        "--help-all",
        is_eager=True,
        callback=_help_callback(everything=True),
        help="Show this message and all keys.",
    ),
]


def _command(name: str) -> Callable[..., None]:
    def command(
        words: Words = None,
        project: ProjectDir = None,
        as_json: AsJson = False,
        help: Help = False,
        help_all: HelpAll = False,
    ) -> None:
        _train(name, words or [], project, as_json)

    return command


for _name, _summary in RECIPES.items():
    _help = f"{_summary.text}\n\nExample: fairlead train {_name} {_summary.example}"
    # a word such as --lr reaches `_train`, which says what to write instead
    app.command(_name, help=_help, context_settings={"ignore_unknown_options": True})(_command(_name))


def recipe_module(name: str) -> str:
    """`best-of-n` -> `fairlead.recipes.best_of_n`"""
    return f"fairlead.recipes.{name.replace('-', '_')}"


def recipe_settings(name: str) -> ModuleType:
    """`Config` and `KIND` of a recipe, without torch."""
    return load_names(recipe_module(name), ("Config", "KIND"))


def _train(name: str, words: list[str], folder: Path | None, as_json: bool) -> None:
    words = joined_options(words)
    has_file = bool(words) and words[0].endswith(".toml") and "=" not in words[0]
    project = open_project(folder)
    settings = recipe_settings(name)
    config = configs.load(
        settings.Config, Path(words[0]) if has_file else None, words[1:] if has_file else words
    )
    with open_run(project, name.replace("-", "_"), config, kind=settings.KIND, check=checker(config)) as run:
        finished_before = run.finished is not None
        latest = run.latest_checkpoint()
        if finished_before:
            print_note(f"{run.id} finished before; this is its result.")
        elif latest is not None:
            print_note(f"{run.id}: resuming from step {latest[0]}.")
        else:
            print_note(f"{run.id}: starting.")
        artifact = run.finished
        if artifact is None:
            recipe = importlib.import_module(recipe_module(name))
            run.stop.raise_if_set("Stopped before the first step. Run the same command again to start.")
            artifact = recipe.main(configs.from_dict(recipe.Config, run.config), run)
    facts = {
        "run": run.id,
        "artifact": artifact.label,
        "digest": artifact.manifest.digest,
        "metrics": artifact.manifest.metrics,
        "folder": str(run.folder),
        "made_before": finished_before,
        "resumed_from": latest[0] if latest and not finished_before else None,
    }
    refusal = _refusal(artifact)
    facts |= {"refused": refusal} if refusal else {}
    lines = [
        f"{artifact.label} from run {run.id}{', finished before' if finished_before else ''}.",
        *metric_lines(artifact.manifest.metrics),
        *_rows_of_result(name, artifact.manifest.metrics),
        *(f"Refused: {reason}" for reason in refusal),
    ]
    if (run.folder / "metrics.jsonl").exists():
        lines.append(
            f"Metrics of every step: {relative_path(run.folder / 'metrics.jsonl')}. Events: "
            f"events.jsonl beside it."
        )
    print_result(
        facts,
        lines,
        as_json=as_json,
        read=[f"{role}: {source.name}" for role, source in run.inputs.items()],
        wrote=[artifact.folder, run.folder],
        next=next_commands.after_training(name, artifact, run.config),
        health=diagnostics.read_nothing_learned(run.folder),
    )


def _refusal(artifact: Artifact) -> list[str]:
    """Why a reward model was refused; each reason ends with what to do."""
    admission = read_admission(artifact.folder)
    if admission is None or admission.verdict != "refuse":
        return []
    return list(admission.reasons)


def _rows_of_result(recipe: str, metrics: Mapping[str, Any]) -> list[str]:
    """What has a row for each n, or for each round."""
    if recipe == "best-of-n":
        return [
            f"best of {n}: kl {format_number(row['kl'])}, {', '.join(metric_lines(row)[:-1])}"
            for n, row in metrics["by_n"].items()
        ]
    if recipe == "rounds":
        return [
            f"round {row['round']}, {row['model']}: {', '.join(metric_lines(row)[:-1])}"
            for row in metrics["rounds"]
        ]
    return []


def joined_options(words: Sequence[str]) -> list[str]:
    """`--lr 1e-5` as one word, `--lr=1e-5`: what other tools' users write is explained as a whole."""
    for word in words:
        name = word.partition("=")[0]
        if word.startswith("--") and (near := difflib.get_close_matches(name, OPTIONS, n=1, cutoff=0.75)):
            raise ConfigError(f"{name}: no such option. Did you mean {near[0]}?")
    joined: list[str] = []
    for word in words:
        before = joined[-1] if joined else ""
        is_value = before.startswith("--") and "=" not in before and "=" not in word and word[:2] != "--"
        if is_value and not word.endswith(".toml"):
            joined[-1] = f"{before}={word}"
        else:
            joined.append(word)
    return joined


def _show_keys(name: str, *, everything: bool) -> None:
    """The keys of a recipe, its own first and then table by table."""
    config_class = recipe_settings(name).Config
    keys = [key for key in config_keys.keys(config_class) if everything or not key.advanced]
    _show_table("Keys of the recipe", [key for key in keys if not key.table])
    for table, table_class in config_keys.tables(config_class).items():
        rows = [key for key in keys if key.table == table]
        if rows:
            summary = (inspect.getdoc(table_class) or "").partition("\n")[0]
            _show_table(f"[{table}]  {summary}", rows)
    print_text("\nA key of a table can be written with or without the table: optim.lr=1e-5 or lr=1e-5.")
    if not everything:
        print_text("Keys that are rarely changed are left out; --help-all lists them.")


def _show_table(title: str, keys: list[Key]) -> None:
    print_text(f"\n{title}")
    table = Table(box=None, pad_edge=False, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column()
    for key in keys:
        default = "required" if key.default is None else key.default
        kind = "" if key.type in OBVIOUS_TYPES else f" ({key.type})"
        table.add_row(f"  {key.name}", default, f"{key.help}{kind}".replace("[", r"\["))
    print_text(table)
