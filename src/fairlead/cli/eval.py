"""`fairlead eval`: examine a model, and say what was found."""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from fairlead.cli.lookup import ProjectDir, open_project
from fairlead.cli.metrics_text import format_estimate
from fairlead.cli.output import AsJson, print_note, print_result, relative_path
from fairlead.core import files
from fairlead.core.errors import GateRefused
from fairlead.store.artifact import Artifact
from fairlead.store.run import open_run
from fairlead.train.admission_gate import REPORT


def evaluate(
    model: Annotated[
        str,
        typer.Argument(metavar="MODEL", help="A reward model: an artifact, or any folder that holds one."),
    ],
    comparisons: Annotated[
        str,
        typer.Option(help="Native rows with prompt, chosen, rejected: a file, or a dataset of the project."),
    ],
    out: Annotated[
        Path | None, typer.Option(help="The .html file to write; otherwise report.html in the run's folder.")
    ] = None,
    gate: Annotated[bool, typer.Option("--gate", help="Exit with 3 where the verdict is: refuse.")] = False,
    drop: Annotated[
        bool, typer.Option("--drop", help="Leave out pairs that are too long for the model, and count them.")
    ] = False,
    max_tokens: Annotated[
        int, typer.Option(help="The longest conversation; 0 means the model's own context.")
    ] = 0,
    seed: Annotated[int, typer.Option(help="Of halves, baselines and resampling.")] = 0,
    project: ProjectDir = None,
    as_json: AsJson = False,
) -> None:
    """Examine a reward model on comparisons that it was not trained on: may it pay a policy?

    Example: fairlead eval reward --comparisons data/held_out.jsonl
    """
    home = open_project(project)

    from fairlead.cli.sampled_answers import unique_name
    from fairlead.core import config as configs
    from fairlead.eval import reward

    asked = {"model": model, "comparisons": comparisons, "drop": drop, "max_tokens": max_tokens, "seed": seed}
    config = configs.from_dict(reward.Config, {"name": "", **asked})
    config = dataclasses.replace(config, name=unique_name(home, config, model, "on", comparisons))
    with open_run(home, "eval", config, kind=reward.KIND) as run:
        if run.finished is not None:
            print_note(f"{run.id} had finished before; this is what it found.")
        evaluation = reward.main(config, run)
        report = read_report(evaluation)
        wrote = [evaluation.folder, write_page(evaluation, report, model, out or run.folder / "report.html")]
    if gate and report["verdict"] == "refuse":
        raise GateRefused(f"{model}: refused. {' '.join(report['reasons'])} See {relative_path(wrote[1])}.")
    print_result(
        {"artifact": evaluation.label, "model": model, **report},
        summary(model, report),
        as_json=as_json,
        read=[model, comparisons],
        wrote=wrote,
        next=f"open {relative_path(wrote[1])} in a browser",
    )


def read_report(made: Artifact) -> dict[str, Any]:
    report: dict[str, Any] = json.loads((made.folder / REPORT).read_text(encoding="utf-8"))
    return report


def write_page(made: Artifact, report: Mapping[str, Any], model: str, out: Path) -> Path:
    """The page of the admission report in an artifact: an evaluation, or a reward model with the report of its training."""
    from fairlead.report.admission_page import AdmissionInput, AdmissionPage, render_admission
    from fairlead.store.artifact import brief_digest

    manifest = made.manifest
    page = AdmissionPage(
        model=model,
        report=report,
        sources=[
            AdmissionInput(parent.role, parent.name, brief_digest(parent.digest))
            for parent in manifest.parents
        ],
        run_id=manifest.run or "",
        code=" ".join(word for word in manifest.code.values() if word),
    )
    files.write_text(out, render_admission(page))
    return out


def summary(model: str, report: Mapping[str, Any]) -> list[str]:
    shown = [f"{model}: {report['verdict']}."]
    shown += [f"  - refused: {reason}" for reason in report["reasons"]] + [
        f"  - warning: {warning}" for warning in report["warnings"]
    ]
    if report["not_finite"]:
        return shown
    shown.append(f"Accuracy {format_estimate(report['accuracy'])} pairs of {report['prompts']} prompts.")
    known = {name: one for name, one in report["baselines"].items() if one is not None}
    shown += [f"  {name.replace('_', ' ')} {format_estimate(one)}" for name, one in known.items()]
    if report["calibration"]["error"] is not None:
        fitted = report["calibration"]
        temperature = (
            "" if fitted["temperature"] is None else f" at a temperature of {fitted['temperature']:.3g}"
        )
        shown.append(
            f"Calibration error {fitted['error']:.3f}{temperature}, by chance up to {fitted['chance_error']:.3f}."
        )
    return shown + [f"Not measured: {what}." for what in report["not_measured"]]
