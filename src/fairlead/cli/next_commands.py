"""The commands that make sense after a command, for its `next` line: the first one, then alternatives.

Words in capitals stand for what only the user knows.  A remark follows "#", which a shell ignores.  JUDGE is
a reward model or rule that did not pay the model: the reward of its training is no evidence.
"""

from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from fairlead.cli.output import relative_path
from fairlead.data.file_source import SourceRow, read_file_rows
from fairlead.data.records import RecordKind
from fairlead.store.artifact import Artifact

REFUSED = "  # why it was refused, and what to do"
NUM_SAMPLE = 100  # rows in which a reference is looked for

# Kind of rows -> the training that reads them.
TRAINING: Mapping[RecordKind, str] = {
    "demonstration": "sft name=sft model=MODEL demonstrations",
    "comparison": "reward name=reward model=MODEL comparisons",
    "ranking": "reward name=reward model=MODEL rankings",
    "rating": "uft name=uft model=MODEL ratings",
    "binary": "kto name=kto model=MODEL binary",
    "stepwise": "process-reward name=verifier model=MODEL stepwise",
    "prompt": "ppo name=aligned model=MODEL reward=REWARD prompts",
}


def train_on(kind: RecordKind, file: Path) -> str:
    """The training that reads a file of rows of this kind."""
    training = TRAINING[kind]
    if kind == "prompt":
        training = training.replace("REWARD", reward_for(file))
    return f"fairlead train {training}={relative_path(file)}"


def reward_for(prompts: Path) -> str:
    """The rule that checks the answers, where the first prompts have references; else REWARD."""
    rows = [row.value for row in islice(read_file_rows(prompts), NUM_SAMPLE) if isinstance(row, SourceRow)]
    references = [row.get("reference") for row in rows]
    texts = [reference for reference in references if isinstance(reference, str)]
    if not texts or len(texts) < len(references):  # these rules need a reference in every row
        return "REWARD"
    num_with_digits = sum(any(char.isdecimal() for char in text) for text in texts)
    return "rule:maths" if 2 * num_with_digits >= len(texts) else "rule:exact"


def after_import(kind: RecordKind, out: Path) -> list[str]:
    return [f"fairlead data check {relative_path(out)}", train_on(kind, out)]


def after_check(kind: RecordKind, file: Path) -> list[str]:
    """Split, or train; a file that is one side of a split is not split again."""
    sides = ["train", *(["judge"] if kind == "comparison" else []), "held_out"]
    if file.name.partition(".")[0] in ("train", "judge", "held_out"):
        return [train_on(kind, file)]
    options = [
        f"--out-{side.replace('_', '-')} {relative_path(file.with_name(f'{side}.jsonl'))}" for side in sides
    ]
    split = f"fairlead data split {relative_path(file)} {' '.join(options)}"
    # Every recipe that reads demonstrations or thumbs keeps rows back itself.
    return (
        [split, train_on(kind, file)] if kind in ("comparison", "prompt") else [train_on(kind, file), split]
    )


def after_split(kind: RecordKind, train: Path) -> list[str]:
    if kind == "prompt":
        return [
            train_on(kind, train),
            f"fairlead sample MODEL --prompts {relative_path(train)} -n 2 --out answers.jsonl",
        ]
    if kind == "comparison":
        demonstrations = relative_path(train.with_name("demonstrations.jsonl"))
        return [
            train_on(kind, train),
            f"fairlead data import {relative_path(train)} --kind demonstration --out {demonstrations}",
        ]
    return [train_on(kind, train)]


def after_sample(model: str, prompts: str, out: Path) -> list[str]:
    return [
        f"fairlead compare {model} OTHER --prompts {prompts} --judge JUDGE",
        f"fairlead studio serve  # people label {relative_path(out)}",
    ]


def after_export(out: Path, *, is_reward_model: bool) -> list[str]:
    if is_reward_model:
        return [f"fairlead eval {relative_path(out)} --comparisons HELD_OUT"]
    return [f"fairlead chat {relative_path(out)}"]


def after_eval(model: str, verdict: str, page: Path) -> list[str]:
    read_page = f"open {relative_path(page)} in a browser"
    if verdict == "refuse":
        return [f"{read_page}{REFUSED}"]
    return [f"fairlead train ppo name=aligned model=MODEL reward={model} prompts=FILE", read_page]


def after_compare(evaluation: str, model: str, *, has_report: bool) -> list[str]:
    """The report of the model, which shows its comparisons, or else that of the comparison alone."""
    alone = f"fairlead report {evaluation}"
    return [f"fairlead report {model}", alone] if has_report else [alone]


def after_training(recipe: str, artifact: Artifact, config: Mapping[str, Any]) -> list[str]:
    """The commands keep the run's choice of `too_long`: without it, they would fail."""
    return [_with_too_long(command, config) for command in _after_training(recipe, artifact, config)]


def _with_too_long(command: str, config: Mapping[str, Any]) -> str:
    too_long = config.get("too_long", config.get("data", {}).get("too_long", "error"))
    if too_long not in ("drop", "truncate-prompt"):  # the choices that also fit prompts
        return command
    if command.startswith("fairlead train "):
        return f"{command} too_long={too_long}"
    if not command.startswith(("fairlead sample ", "fairlead compare ")):
        return command
    words, gap, remark = command.partition("  #")
    return f"{words} --too-long {too_long}{gap}{remark}"


def _after_training(recipe: str, artifact: Artifact, config: Mapping[str, Any]) -> list[str]:
    name = artifact.manifest.name
    if recipe == "best-of-n":
        return [f"fairlead train sft name=NAME model={config['model']} demonstrations=dataset/{name}"]
    if recipe == "rounds":
        newest = artifact.manifest.metrics["newest"]
        return [compare_with(newest, config["model"], paid_by=config["reward"])]
    if recipe == "pretrain":
        return [f"fairlead train sft name=sft model={name} demonstrations=FILE"]
    if recipe == "sft":
        return [
            f"fairlead sample {name} --prompts FILE -n 2 --out answers.jsonl",
            f"fairlead train reward name=reward model={name} comparisons=FILE",
        ]
    if recipe == "average":
        return [compare_with(name, config["b"])]
    if recipe in ("reward", "process-reward"):
        if artifact.manifest.metrics["verdict"] == "refuse":
            return [f"fairlead report reward-model/{name}{REFUSED}"]
        return [f"fairlead train ppo name=aligned model={config['model']} reward={name} prompts=FILE"]
    return [compare_with(name, config["model"], paid_by=config.get("reward", ""))]


def compare_with(model: str, start: str, *, paid_by: str = "") -> str:
    """`paid_by` is the reward of the training."""
    remark = f"  # a JUDGE other than {paid_by}, which paid {model}" if paid_by else ""
    return f"fairlead compare {model} {start} --prompts HELD_OUT --judge JUDGE{remark}"
