"""`fairlead compare`: which of two models a judge prefers, on the same prompts."""

import dataclasses
from collections.abc import Mapping
from typing import Annotated, Any

import typer

from fairlead.cli.lookup import ProjectDir, open_project
from fairlead.cli.metrics_text import format_estimate
from fairlead.cli.output import AsJson, print_note, print_result
from fairlead.cli.sampling_options import MaxNewTokens, Prompts, Seed, Temperature, TopK, TopP
from fairlead.core.errors import ConfigError
from fairlead.store.run import open_run

JUDGES = (
    "Write reward:NAME for a reward model, or rule:FILE.py or rule:MODULE for a function score(prompt, answer, finished). "
    "The rule of the toy world is rule:fairlead.simulate.gold."
)


def compare(
    a: Annotated[
        str, typer.Argument(metavar="A", help="A model: an artifact, a folder, or OWNER/NAME on the Hub.")
    ],
    b: Annotated[str, typer.Argument(metavar="B", help="The model that it is compared with.")],
    prompts: Prompts,
    judge: Annotated[str, typer.Option(help="reward:NAME, rule:FILE.py or rule:MODULE.")],
    max_new_tokens: MaxNewTokens = 128,
    temperature: Temperature = 1.0,
    top_k: TopK = 0,
    top_p: TopP = 1.0,
    seed: Seed = 0,
    project: ProjectDir = None,
    as_json: AsJson = False,
) -> None:
    """Let two models answer the same prompts, and a judge prefer one of the answers.

    Example: fairlead compare aligned sft --prompts data/held_out.jsonl --judge reward:reward
    """
    reference = _judge(judge)
    home = open_project(project)

    from fairlead.cli.sampled_answers import sample_answers, unique_name
    from fairlead.recipes import compare as recipe

    settings = {
        "prompts": prompts,
        "max_new_tokens": max_new_tokens,
        "temperature": temperature,
        "top_k": top_k,
        "top_p": top_p,
        "seed": seed,
    }
    rollouts = []
    for model in (a, b):
        artifact, made_before = sample_answers(home, {"model": model, **settings})
        print_note(f"{model}: {artifact.label}{', made before' if made_before else ''}")
        rollouts.append(artifact)
    config = recipe.Config(name="", a=rollouts[0].label, b=rollouts[1].label, judge=reference, seed=seed)
    config = dataclasses.replace(config, name=unique_name(home, config, a, "vs", b))
    with open_run(home, "compare", config, kind=recipe.KIND) as run:
        evaluation = recipe.main(config, run)
    print_result(
        {"artifact": evaluation.label, "a": a, "b": b, "judge": judge, **evaluation.manifest.metrics},
        _verdict(a, b, judge, evaluation.manifest.metrics),
        as_json=as_json,
        read=[a, b, prompts, judge],
        wrote=[evaluation.folder, *(each.folder for each in rollouts)],
        next=f"fairlead lineage show {evaluation.label}",
    )


def _judge(judge: str) -> str:
    """What the recipe calls the judge."""
    if judge.startswith("rule:"):
        return judge
    if judge.startswith("reward:") and judge != "reward:":
        return judge.removeprefix("reward:")
    raise ConfigError(f"--judge {judge}: no such judge. {JUDGES}")


def _verdict(a: str, b: str, judge: str, metrics: Mapping[str, Any]) -> list[str]:
    rate = metrics["win_rate_a"]
    wins = f"{rate['wins']} won, {rate['ties']} tied, {rate['losses']} lost"
    shown = [
        f"{a} wins {rate['value']:.1%} [{rate['low']:.1%}, {rate['high']:.1%}] of {rate['n']} prompts against {b}: {wins}; ties count half."
    ]
    if rate["low"] <= 0.5 <= rate["high"]:
        shown.append(f"The 95 % interval holds 50 %, so {judge} shows no clear preference.")
    shown.append(
        f"Mean score of {a}: {format_estimate(metrics['score_a'])}; of {b}: {format_estimate(metrics['score_b'])}."
    )
    return shown
