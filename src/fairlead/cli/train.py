"""`fairlead train`: one recipe with one configuration.  What recipes do, and what their knobs mean, is read from `fairlead/recipes`."""

from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any

import typer
from rich.table import Table

from fairlead.cli.lookup import ProjectDir, open_project
from fairlead.cli.metrics_text import format_number, metric_lines
from fairlead.cli.output import AsJson, print_note, print_result, print_text, relative_path
from fairlead.core import config as configs
from fairlead.store.artifact import Artifact
from fairlead.store.run import open_run

app = typer.Typer(
    help="Train a model: pretrain, sft, reward, process-reward, dpo, kto, uft, alternate, ppo, grpo, best-of-n, rounds, average.",
    no_args_is_help=True,
)


def _help_with_knobs(context: typer.Context, asked: bool) -> None:
    if asked:
        text = context.get_help()  # printed by typer itself where it draws with rich
        if text:
            print(text)
        _show_knobs(str(context.info_name))
        raise typer.Exit


Words = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="CONFIG.toml|KEY=VALUE",
        help="A configuration, and values that go before it; the keys are listed by --help.",
    ),
]
Help = Annotated[
    bool,
    typer.Option(
        "--help",
        is_eager=True,
        callback=_help_with_knobs,
        help="Show this message and every key with its meaning.",
    ),
]


@app.command("pretrain")
def pretrain(
    words: Words = None, project: ProjectDir = None, as_json: AsJson = False, help: Help = False
) -> None:
    """Make a small language model from random weights and text.

    Example: fairlead train pretrain name=base documents=data/documents.jsonl steps=2000
    """
    _train("pretrain", words or [], project, as_json)


@app.command("sft")
def sft(words: Words = None, project: ProjectDir = None, as_json: AsJson = False, help: Help = False) -> None:
    """Supervised fine-tuning: imitate demonstrations.

    Example: fairlead train sft name=sft model=base demonstrations=data/demonstrations.jsonl
    """
    _train("sft", words or [], project, as_json)


@app.command("reward")
def reward(
    words: Words = None, project: ProjectDir = None, as_json: AsJson = False, help: Help = False
) -> None:
    """Reward model: learn from comparisons what people prefer.

    Example: fairlead train reward name=reward model=sft comparisons=data/comparisons.jsonl
    """
    _train("reward", words or [], project, as_json)


@app.command("process-reward")
def process_reward(
    words: Words = None, project: ProjectDir = None, as_json: AsJson = False, help: Help = False
) -> None:
    """Process reward model: learn which steps of an answer are right.

    Example: fairlead train process-reward name=verifier model=sft stepwise=data/steps.jsonl
    """
    _train("process-reward", words or [], project, as_json)


@app.command("dpo")
def dpo(words: Words = None, project: ProjectDir = None, as_json: AsJson = False, help: Help = False) -> None:
    """DPO: learn from comparisons directly, without a reward model.

    Example: fairlead train dpo name=dpo model=sft comparisons=data/comparisons.jsonl beta=0.2
    """
    _train("dpo", words or [], project, as_json)


@app.command("kto")
def kto(words: Words = None, project: ProjectDir = None, as_json: AsJson = False, help: Help = False) -> None:
    """KTO: learn from answers that were called good or bad, one by one.

    Example: fairlead train kto name=kto model=sft binary=data/binary.jsonl
    """
    _train("kto", words or [], project, as_json)


@app.command("uft")
def uft(words: Words = None, project: ProjectDir = None, as_json: AsJson = False, help: Help = False) -> None:
    """UFT: demonstrations, comparisons, thumbs and scores in one stage.

    Example: fairlead train uft name=uft model=base demonstrations=data/demonstrations.jsonl comparisons=data/comparisons.jsonl
    """
    _train("uft", words or [], project, as_json)


@app.command("alternate")
def alternate(
    words: Words = None, project: ProjectDir = None, as_json: AsJson = False, help: Help = False
) -> None:
    """Alternating: SFT steps and DPO steps in turn.

    Example: fairlead train alternate name=both model=base demonstrations=data/demonstrations.jsonl comparisons=data/pairs.jsonl steps=400
    """
    _train("alternate", words or [], project, as_json)


@app.command("ppo")
def ppo(words: Words = None, project: ProjectDir = None, as_json: AsJson = False, help: Help = False) -> None:
    """PPO: practise on prompts, scored by a reward model.

    Example: fairlead train ppo name=aligned model=sft reward=reward prompts=data/prompts.jsonl steps=100
    """
    _train("ppo", words or [], project, as_json)


@app.command("grpo")
def grpo(
    words: Words = None, project: ProjectDir = None, as_json: AsJson = False, help: Help = False
) -> None:
    """GRPO: practise on prompts, each answered several times; needs no critic.

    Example: fairlead train grpo name=aligned model=sft reward=reward prompts=data/prompts.jsonl group=8 steps=100
    """
    _train("grpo", words or [], project, as_json)


@app.command("best-of-n")
def best_of_n(
    words: Words = None, project: ProjectDir = None, as_json: AsJson = False, help: Help = False
) -> None:
    """Best of n: answer every prompt n times and keep the answer that a reward scores highest, for sft or dpo to learn from.

    Example: fairlead train best-of-n name=best model=sft reward=reward prompts=data/prompts.jsonl n=16
    """
    _train("best-of-n", words or [], project, as_json)


@app.command("rounds")
def rounds(
    words: Words = None, project: ProjectDir = None, as_json: AsJson = False, help: Help = False
) -> None:
    """Rounds: sample, score or compare, learn by dpo or sft, measure, and again with the newer model.

    Example: fairlead train rounds name=aligned model=sft reward=reward prompts=data/prompts.jsonl rounds=3
    """
    _train("rounds", words or [], project, as_json)


@app.command("average")
def average(
    words: Words = None, project: ProjectDir = None, as_json: AsJson = False, help: Help = False
) -> None:
    """Average: a model between two others, such as one and what was trained from it.

    Example: fairlead train average name=between a=sft b=aligned weight=0.5
    """
    _train("average", words or [], project, as_json)


def _recipe(name: str) -> ModuleType:
    """Imported here and not above: the recipes load torch."""
    from fairlead.recipes import (
        alternate,
        average,
        best_of_n,
        dpo,
        grpo,
        kto,
        ppo,
        pretrain,
        process_reward,
        reward,
        rounds,
        sft,
        uft,
    )

    every = {"pretrain": pretrain, "sft": sft, "reward": reward, "ppo": ppo, "grpo": grpo}
    every |= {"process-reward": process_reward, "dpo": dpo, "kto": kto, "uft": uft, "alternate": alternate}
    return (every | {"best-of-n": best_of_n, "rounds": rounds, "average": average})[name]


def _train(name: str, words: list[str], folder: Path | None, as_json: bool) -> None:
    has_file = bool(words) and words[0].endswith(".toml") and "=" not in words[0]
    home = open_project(folder)
    recipe = _recipe(name)
    config = configs.load(
        recipe.Config, Path(words[0]) if has_file else None, words[1:] if has_file else words
    )
    with open_run(home, name.replace("-", "_"), config, kind=recipe.KIND) as run:
        made_before = run.finished is not None
        latest = run.latest_checkpoint()
        if made_before:
            print_note(f"{run.id} had finished before; this is what it made.")
        elif latest is not None:
            print_note(f"{run.id}: going on from step {latest[0]}.")
        else:
            print_note(f"{run.id}: begins.")
        artifact: Artifact = recipe.main(config, run)
    facts = {
        "run": run.id,
        "artifact": artifact.label,
        "digest": artifact.manifest.digest,
        "metrics": artifact.manifest.metrics,
        "folder": str(run.folder),
        "made_before": made_before,
        "resumed_from": latest[0] if latest and not made_before else None,
    }
    shown = [
        f"{artifact.label} by the run {run.id}{', finished before' if made_before else ''}.",
        *metric_lines(artifact.manifest.metrics),
    ]
    shown += _table(name, artifact.manifest.metrics)
    if (run.folder / "metrics.jsonl").exists():
        shown.append(
            f"Step by step in {relative_path(run.folder / 'metrics.jsonl')}; what happened when in events.jsonl beside it."
        )
    print_result(
        facts,
        shown,
        as_json=as_json,
        read=[f"{field}: {one.name}" for field, one in run.inputs.items()],
        wrote=[artifact.folder, run.folder],
        next=_next(name, artifact, run.config),
    )


def _table(recipe: str, metrics: Mapping[str, Any]) -> list[str]:
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


def _next(recipe: str, made: Artifact, config: Mapping[str, Any]) -> str:
    name = made.manifest.name
    if recipe == "best-of-n":
        return f"fairlead train sft name=NAME model={config['model']} demonstrations=dataset/{name}"
    if recipe == "rounds":
        newest = made.manifest.metrics["newest"]
        return f"fairlead compare {newest} {config['model']} --prompts FILE --judge {_judge(config['reward'] or 'NAME')}"
    if recipe == "pretrain":
        return f"fairlead train sft name=sft model={name} demonstrations=FILE"
    if recipe == "sft":
        return f"fairlead sample {name} --prompts FILE -n 2 --out answers.jsonl"
    if recipe == "average":
        return f"fairlead compare {name} {config['b']} --prompts FILE --judge reward:NAME"
    if recipe in ("reward", "process-reward"):
        if made.manifest.metrics["verdict"] == "refuse":
            return f"fairlead report reward-model/{name}"
        return f"fairlead train ppo name=aligned model={config['model']} reward={name} prompts=FILE"
    judge = _judge(config["reward"]) if recipe in ("ppo", "grpo") else "reward:NAME"
    return f"fairlead compare {name} {config['model']} --prompts FILE --judge {judge}"


def _judge(reward: str) -> str:
    return reward if reward.startswith("rule:") else f"reward:{reward}"


def _show_knobs(name: str) -> None:
    table = Table(
        "key",
        "default",
        "meaning",
        title="Keys of the configuration",
        title_justify="left",
        box=None,
        pad_edge=False,
    )
    table.columns[0].no_wrap = table.columns[1].no_wrap = True
    for knob in configs.knobs(_recipe(name).Config):
        default = "required" if knob.default is None else knob.default
        table.add_row(knob.name, default, f"{knob.help} ({knob.type})".replace("[", r"\[").strip())
    print_text(table)
