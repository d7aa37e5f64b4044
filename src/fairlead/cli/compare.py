"""`fairlead compare`: compare two models on the same prompts with a judge."""

import dataclasses
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import typer

from fairlead.cli import next_commands
from fairlead.cli.leaks import ExcludeLeaks, leak_lines
from fairlead.cli.lookup import ProjectDir, open_project
from fairlead.cli.metrics_text import format_estimate, left_out_line
from fairlead.cli.output import AsJson, print_note, print_result
from fairlead.cli.sampling_options import (
    MaxNewTokens,
    Prompts,
    Seed,
    Temperature,
    TemplateWords,
    TooLong,
    TopK,
    TopP,
    read_template,
)
from fairlead.core.errors import ConfigError
from fairlead.core.plural import counted
from fairlead.core.spelling import OPTIONS
from fairlead.store.artifact import find_artifact
from fairlead.store.project import Project
from fairlead.store.run import open_run

JUDGES = (
    "Use reward:NAME for a reward model, reward:OWNER/NAME for one on the Hub, or rule:FILE.py or "
    "rule:MODULE for a function score(prompt, answer, finished). Use llm:FILE.toml for a language model "
    "behind an endpoint. The rule of the toy world is rule:fairlead.simulate.gold."
)


def compare(
    a: Annotated[
        str, typer.Argument(metavar="A", help="First model: an artifact, a folder, or OWNER/NAME on the Hub.")
    ],
    b: Annotated[str, typer.Argument(metavar="B", help="Second model.")],
    prompts: Prompts,
    judge: Annotated[
        str, typer.Option(help="reward:NAME, rule:FILE.py, rule:MODULE, rule:maths or llm:FILE.toml.")
    ],
    max_new_tokens: MaxNewTokens = 128,
    temperature: Temperature = 1.0,
    top_k: TopK = 0,
    top_p: TopP = 1.0,
    seed: Seed = 0,
    too_long: TooLong = "error",
    template: TemplateWords = None,
    exclude_leaks: ExcludeLeaks = False,
    rule_timeout: Annotated[
        float, typer.Option(help="Seconds that one call of a rule may take; 0 sets no limit.")
    ] = 300.0,
    project: ProjectDir = None,
    as_json: AsJson = False,
) -> None:
    """Compare two models: both answer the same prompts, and a judge scores the answers.  A judge behind an
    endpoint (llm:FILE.toml) reads both answers, in both orders.

    Example: fairlead compare aligned sft --prompts data/held_out.jsonl --judge reward:judge
    """
    judge_reference = _judge_reference(judge)
    opened_project = open_project(project)

    from fairlead.cli.fresh_prompts import require_comparable
    from fairlead.cli.sampled_answers import sample_answers, unique_name
    from fairlead.recipes import compare as recipe
    from fairlead.train.settings import Scoring

    settings = {
        "prompts": prompts,
        "max_new_tokens": max_new_tokens,
        "temperature": temperature,
        "top_k": top_k,
        "top_p": top_p,
        "seed": seed,
        "too_long": too_long,
        "template": read_template(template),
    }
    unreadable: Literal["error", "drop"] = "drop" if too_long == "drop" else "error"
    scoring = Scoring(rule_timeout=rule_timeout, unreadable_prompts=unreadable)
    require_comparable(
        opened_project,
        {"A": a, "B": b},
        prompts=prompts,
        judge=judge_reference,
        scoring=scoring,
        exclude_leaks=exclude_leaks,
    )
    rollouts = []
    for model in (a, b):
        artifact, existed = sample_answers(opened_project, {"model": model, **settings})
        print_note(f"{model}: {artifact.label}{' (already exists)' if existed else ''}")
        rollouts.append(artifact)
    config = recipe.Config(
        name="",
        a=rollouts[0].label,
        b=rollouts[1].label,
        judge=judge_reference,
        exclude_leaks=exclude_leaks,
        seed=seed,
        scoring=scoring,
    )
    config = dataclasses.replace(config, name=unique_name(opened_project, config, a, "vs", b))
    with open_run(opened_project, "compare", config, kind=recipe.KIND, spelling=OPTIONS) as run:
        evaluation = recipe.main(config, run)
    metrics = evaluation.manifest.metrics
    print_result(
        {"artifact": evaluation.label, "a": a, "b": b, "judge": judge, **metrics},
        summary_lines(a, b, judge, metrics),
        as_json=as_json,
        read=[a, b, prompts, judge],
        wrote=[evaluation.folder, *(artifact.folder for artifact in rollouts)],
        next=next_commands.after_compare(evaluation.label, a, has_report=_has_report(opened_project, a)),
    )


def _has_report(project: Project, model: str) -> bool:
    """Whether a run of the project made this model, so that its report can show the comparison."""
    artifact = find_artifact(project, model, "model")
    run = None if artifact is None else artifact.manifest.run
    return run is not None and (project.runs / run / "config.json").is_file()


def _judge_reference(judge: str) -> str:
    """The judge as the recipe's configuration names it."""
    if judge.startswith(("rule:", "llm:")):
        return judge
    if judge.startswith("reward:") and judge != "reward:":
        return judge.removeprefix("reward:")
    raise ConfigError(f"--judge {judge}: no such judge. {JUDGES}")


def summary_lines(a: str, b: str, judge: str, metrics: Mapping[str, Any]) -> list[str]:
    """The verdict, and what weakens it."""
    rate = metrics["win_rate_a"]
    paid = [{"a": a, "b": b}[role] for role in metrics.get("judge_paid", ())]
    partial = f"; {judge} is a reward that {' and '.join(paid)} was trained to raise" if paid else ""
    repeats = metrics.get("num_prompts", rate["n"]) < rate["n"]
    lines = [
        f"{a} wins {rate['value']:.1%} [{rate['low']:.1%}, {rate['high']:.1%}] "
        f"of {counted(rate['n'], 'row' if repeats else 'prompt')} against {b}: "
        f"{counted(rate['wins'], 'win')}, {counted(rate['ties'], 'tie')}, {counted(rate['losses'], 'loss')}; "
        f"ties count half{partial}."
    ]
    if repeats:
        lines.append(
            f"The rows hold {counted(metrics['num_prompts'], 'different prompt')}. "
            "Rows with the same prompt count as dependent, which widens the intervals."
        )
    if paid:
        lines.append(
            "This is no evidence of quality. Use a judge that was not trained against: another reward model, "
            "a rule, or people."
        )
    if refused := metrics.get("judge_refused"):
        reasons = " ".join(refused["reasons"]) or "No reason is given."
        lines.append(
            f"This is weak evidence: {refused['by']} refuses the judge {judge}, a reward model. {reasons}"
        )
    if metrics.get("left_out"):
        lines.append(left_out_line(metrics["left_out"]))
    if metrics.get("win_rate_range"):
        low, high = metrics["win_rate_range"]
        unreadable = counted(metrics["unreadable"], "pair")
        lines.append(
            f"Without a readable verdict: {unreadable}. {a} would win {low:.1%} if all of them were lost, "
            f"and {high:.1%} if all were won."
        )
    for who in metrics.get("judges", {}).values():
        lines.append(f"{judge} is {who['model']} at {who['url']}.")
    lines += _position_lines(judge, metrics.get("position_bias"))
    if rate["low"] <= 0.5 <= rate["high"]:
        lines.append(f"The 95 % interval contains 50 %, so {judge} shows no clear preference.")
    if "score_a" in metrics:
        scores = [f"{name} {format_estimate(metrics[key])}" for name, key in ((a, "score_a"), (b, "score_b"))]
        lines.append(f"Mean score: {'; '.join(scores)}.")
    return lines + (leak_lines(metrics["leaks"]) if "leaks" in metrics else [])


def _position_lines(judge: str, bias: Mapping[str, Any] | None) -> list[str]:
    """How often a judge of pairs contradicted itself when the answers changed places."""
    if bias is None:
        return []
    differing = bias["first"] + bias["second"] + bias["tie_in_one"]
    lines = [
        f"Position bias: {bias['value']:.1%} [{bias['low']:.1%}, {bias['high']:.1%}] of "
        f"{counted(bias['n'], 'pair')}. In {differing:,} the two orders disagree and count as a tie: "
        f"{bias['first']:,} for the first answer, {bias['second']:,} for the second, {bias['tie_in_one']:,} "
        "with a tie in one order."
    ]
    if bias["low"] > 0.5:
        lines.append(f"{judge} mostly goes by the position of an answer. Take another judge or rubric.")
    return lines
