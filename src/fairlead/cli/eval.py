"""`fairlead eval`: examine a reward model, and write the admission report."""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from fairlead.cli import next_commands
from fairlead.cli.leaks import ExcludeLeaks, leak_lines
from fairlead.cli.lookup import ProjectDir, open_project
from fairlead.cli.metrics_text import format_estimate, left_out_line
from fairlead.cli.output import AsJson, print_note, print_result, relative_path
from fairlead.cli.sampling_options import TemplateWords, read_template
from fairlead.core import files
from fairlead.core.errors import GateRefused
from fairlead.core.output_path import require_page_name
from fairlead.core.plural import agreeing, counted
from fairlead.core.spelling import OPTIONS
from fairlead.store.artifact import Artifact
from fairlead.store.run import open_run
from fairlead.train.admission_gate import REPORT


def evaluate(
    model: Annotated[
        str,
        typer.Argument(metavar="MODEL", help="A reward model: an artifact, or any folder with one."),
    ],
    comparisons: Annotated[
        str,
        typer.Option(help="Native rows with prompt, chosen, rejected: a file, or a dataset of the project."),
    ],
    out: Annotated[
        Path | None, typer.Option(help="The .html file to write; by default report.html in the run's folder.")
    ] = None,
    gate: Annotated[bool, typer.Option("--gate", help="Exit with code 3 if the verdict is refuse.")] = False,
    drop: Annotated[
        bool, typer.Option("--drop", help="Leave out pairs that are too long for the model, and count them.")
    ] = False,
    max_tokens: Annotated[
        int, typer.Option(help="Maximum length of a conversation; 0 uses the model's context.")
    ] = 0,
    exclude_leaks: ExcludeLeaks = False,
    template: TemplateWords = None,
    seed: Annotated[int, typer.Option(help="Seed for splits, baselines and bootstrap.")] = 0,
    project: ProjectDir = None,
    as_json: AsJson = False,
) -> None:
    """Examine a reward model on held-out comparisons, and decide whether it may be used as a reward.

    Example: fairlead eval reward --comparisons data/held_out.jsonl
    """
    if out is not None:
        require_page_name(out)
    opened_project = open_project(project)

    from fairlead.cli.sampled_answers import unique_name
    from fairlead.core import config as configs
    from fairlead.eval import reward
    from fairlead.model.check_inputs import checker

    settings = {
        "model": model,
        "comparisons": comparisons,
        "drop": drop,
        "max_tokens": max_tokens,
        "exclude_leaks": exclude_leaks,
        "template": read_template(template),
        "seed": seed,
    }
    config = configs.from_dict(reward.Config, {"name": "", **settings}, spelling=OPTIONS)
    config = dataclasses.replace(config, name=unique_name(opened_project, config, model, "on", comparisons))
    with open_run(
        opened_project, "eval", config, kind=reward.KIND, spelling=OPTIONS, check=checker(config)
    ) as run:
        if run.finished is not None:
            print_note(f"{run.id} has already finished; showing its result.")
        evaluation = reward.main(config, run)
        report = read_report(evaluation)
        page = write_page(evaluation, report, model, out or run.folder / "report.html")
    if gate and report["verdict"] == "refuse":
        raise GateRefused(f"{model}: refused. {' '.join(report['reasons'])} See {relative_path(page)}.")
    print_result(
        {"artifact": evaluation.label, "model": model, **report},
        [*summary_lines(model, report), *left_out_lines(evaluation)],
        as_json=as_json,
        read=[model, comparisons],
        wrote=[evaluation.folder, page],
        next=next_commands.after_eval(model, report["verdict"], page),
    )


def read_report(artifact: Artifact) -> dict[str, Any]:
    report: dict[str, Any] = json.loads((artifact.folder / REPORT).read_text(encoding="utf-8"))
    return report


def write_page(artifact: Artifact, report: Mapping[str, Any], model: str, out: Path) -> Path:
    """Write the page of an admission report, which belongs to an evaluation or to a trained reward model."""
    from fairlead.report.admission_page import AdmissionInput, AdmissionPage, render_admission
    from fairlead.store.artifact import brief_digest

    manifest = artifact.manifest
    page = AdmissionPage(
        model=model,
        report=report,
        sources=[
            AdmissionInput(parent.role, parent.name, brief_digest(parent.digest))
            for parent in manifest.parents
        ],
        run_id=manifest.run or "",
        code=" ".join(part for part in manifest.code.values() if part),
        findings=excluded_leaks(report),
        left_out=manifest.metrics.get("left_out", {}),
    )
    files.write_text(out, render_admission(page))
    return out


def excluded_leaks(report: Mapping[str, Any]) -> list[str]:
    """Who was trained on the prompts that were left out; reports of earlier versions do not say."""
    leaks = report.get("leaks")
    return leak_lines({**leaks, "not_checked": ()}) if leaks and leaks["excluded"] else []


def left_out_lines(artifact: Artifact) -> list[str]:
    left_out = artifact.manifest.metrics.get("left_out")
    return [left_out_line(left_out)] if left_out else []


def summary_lines(model: str, report: Mapping[str, Any]) -> list[str]:
    lines = [f"{model}: {report['verdict']}."]
    lines += [f"  - refused: {reason}" for reason in report["reasons"]]
    lines += [f"  - warning: {warning}" for warning in report["warnings"]]
    if report["not_finite"]:
        return lines
    lines.append(
        f"Accuracy {format_estimate(report['accuracy'])} "
        f"{agreeing(report['pairs'], 'pair')} of {counted(report['prompts'], 'prompt')}."
    )
    for name, baseline in report["baselines"].items():
        if baseline is not None:
            lines.append(f"  {name.replace('_', ' ')} {format_estimate(baseline)}")
    calibration = report["calibration"]
    if calibration["error"] is not None:
        temperature = ""
        if calibration["temperature"] is not None:
            temperature = f" at a temperature of {calibration['temperature']:.3g}"
        lines.append(
            f"Calibration error {calibration['error']:.3f}{temperature}; "
            f"up to {calibration['chance_error']:.3f} would be chance."
        )
    return lines + excluded_leaks(report) + [f"Not measured: {reason}." for reason in report["not_measured"]]
