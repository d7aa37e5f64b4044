"""The commands of `fairlead`: where each one is, and what it does in one sentence.

Only the module of the command that runs is imported, so `fairlead --help` and every command start fast.
"""

from importlib import import_module
from typing import Any, NamedTuple

import typer


class CommandPlace(NamedTuple):
    """`member` of `fairlead.cli.<module>` is a function, or a `typer.Typer` with commands of its own."""

    module: str
    member: str
    summary: str  # the first paragraph of its `--help`


COMMANDS = {
    "quickstart": CommandPlace(
        "quickstart",
        "quickstart",
        "Align a small base model on the embedded toy world: a few minutes, no GPU, no download.",
    ),
    "init": CommandPlace("init", "init", "Create a project folder for data, models and runs."),
    "data": CommandPlace("data", "app", "Import, check and split data."),
    "train": CommandPlace(
        "train",
        "app",
        "Train a model: pretrain, sft, reward, process-reward, dpo, kto, uft, alternate, ppo, grpo, "
        "best-of-n, rounds, average.",
    ),
    "sample": CommandPlace(
        "sample", "sample", "Sample answers to prompts from a model: one row per prompt with its answers."
    ),
    "compare": CommandPlace(
        "compare",
        "compare",
        "Compare two models: both answer the same prompts, and a judge scores the answers.  "
        "A judge behind an endpoint (llm:FILE.toml) reads both answers, in both orders.",
    ),
    "eval": CommandPlace(
        "eval",
        "evaluate",
        "Examine a reward model on held-out comparisons, and decide whether it may be used as a reward.",
    ),
    "chat": CommandPlace(
        "chat", "chat", "Chat with a model.  /reset starts a new conversation; /quit or Ctrl-D exits."
    ),
    "answer": CommandPlace(
        "answer",
        "answer",
        "Answer conversations from standard input, one JSON object per line.  "
        "The studio's live chat uses this.",
    ),
    "report": CommandPlace(
        "report",
        "report",
        "Write the report of a run: curves, answers before and after, configuration, lineage, cost.",
    ),
    "lineage": CommandPlace("lineage", "app", "Show and verify what an artifact was made from."),
    "export": CommandPlace(
        "export",
        "export",
        "Copy a model or a reward model to a folder that transformers, vLLM and other tools load.",
    ),
    "studio": CommandPlace("studio_commands", "app", "Collect people's feedback in the browser."),
}


def load_command(name: str) -> Any:
    """Import a command, as an object of typer."""
    place = COMMANDS[name]
    member = getattr(import_module(f"fairlead.cli.{place.module}"), place.member)
    app = typer.Typer(add_completion=False)
    if isinstance(member, typer.Typer):
        app.add_typer(member, name=name)
        return typer.main.get_group(app).commands[name]
    app.command(name)(member)
    return typer.main.get_command(app)
