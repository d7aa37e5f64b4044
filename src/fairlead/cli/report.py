"""`fairlead report`: the page of one run, written from what the run and the project hold."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from fairlead.cli.eval import read_report, write_page
from fairlead.cli.lookup import ProjectDir, open_project
from fairlead.cli.output import AsJson, print_result, relative_path
from fairlead.core import files
from fairlead.core.errors import ProjectError
from fairlead.data.sampled_answers import SampledAnswers, read_sampled_answers
from fairlead.store import lineage
from fairlead.store.artifact import Artifact, brief_digest, load_artifacts
from fairlead.store.metrics import read_metrics
from fairlead.store.project import Project
from fairlead.store.run import find_run
from fairlead.train.admission_gate import REPORT

MOST_SAMPLES = 12


def report(
    ref: Annotated[
        str, typer.Argument(metavar="RUN", help="A run's id or its beginning, or the name of what it made.")
    ],
    out: Annotated[
        Path | None, typer.Option(help="The .html file to write; otherwise report.html in the run's folder.")
    ] = None,
    project: ProjectDir = None,
    as_json: AsJson = False,
) -> None:
    """Write the page of a run: curves, answers before and after, configuration, lineage, cost.

    Example: fairlead report aligned
    """
    from fairlead.report import run_page
    from fairlead.report.run_page import RunInput, RunPage, SamplePair

    home = open_project(project)
    folder = find_run(home, ref)
    if not (folder / "config.json").exists():
        raise ProjectError(
            f"{folder}: was stopped before it began, so there is nothing to report. Run its command again."
        )
    asked = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    events = _events(folder / "events.jsonl")
    made = next((each for each in load_artifacts(home)[0] if each.manifest.run == folder.name), None)
    page = RunPage(
        title=f"{asked['recipe']}: {asked['config']['name']}",
        recipe=asked["recipe"],
        run_id=folder.name,
        metrics=read_metrics(folder / "metrics.jsonl"),
        config=asked["config"],
        inputs=[
            RunInput(role, one["name"], brief_digest(one["digest"])) for role, one in asked["inputs"].items()
        ],
        artifact=None if made is None else made.label,
        artifact_digest=None if made is None else brief_digest(made.manifest.digest),
        lineage_text="" if made is None else lineage.render_text(lineage.ancestors(home, made)),
        cost=_cost(events),
        events=events,
        samples=[SamplePair(*texts) for texts in _before_and_after(home, made)],
        code=" ".join(word for word in (asked["code"]["version"], asked["code"]["commit"]) if word),
    )
    out = out or folder / "report.html"
    files.write_text(out, run_page.render_run(page))
    wrote = [out]
    # A process reward model has a verdict, whose figures are those of its manifest, and no page of its own.
    if made is not None and (made.folder / REPORT).is_file() and "pairs" in read_report(made):
        wrote.append(write_page(made, read_report(made), made.manifest.name, folder / "admission.html"))
    print_result(
        {"run": page.run_id, "artifact": page.artifact, "report": str(out), "cost": dict(page.cost)},
        [
            f"The report of {page.run_id}: {len(page.metrics)} rows of metrics, {len(page.samples)} answers before and after."
        ],
        as_json=as_json,
        read=[folder],
        wrote=wrote,
        next=f"open {relative_path(out)} in a browser",
    )


def _events(path: Path) -> list[dict[str, Any]]:
    """The finished lines: a run that is still going, or was killed, may be in the middle of one."""
    lines = path.read_bytes().splitlines(keepends=True) if path.exists() else []
    return [json.loads(line) for line in lines if line.endswith(b"\n")]


def _cost(events: Sequence[dict[str, Any]]) -> dict[str, str]:
    from fairlead.report import formatting

    costs = [event for event in events if event["event"] == "cost"]
    if not costs:
        return {}
    return {
        "time": formatting.duration(sum(cost["seconds"] for cost in costs)),
        "tokens": f"{sum(cost['tokens'] for cost in costs):,}",
        "peak memory": f"{max(cost['peak_rss_mb'] for cost in costs):,.0f} MB",
    }


def _before_and_after(home: Project, made: Artifact | None) -> list[tuple[str, str, str]]:
    """Prompt, answer of the model that training began from, answer of the model that it made; none where not both were asked."""
    if made is None or made.manifest.kind != "model":
        return []
    model = next((parent.digest for parent in made.manifest.parents if parent.role == "model"), None)
    for before in _rollouts_of(home, model):
        for after in _rollouts_of(home, made.manifest.digest):
            if _asked(before) == _asked(after):
                pairs = zip(_answers(before)[:MOST_SAMPLES], _answers(after), strict=False)
                return [(one.prompt[-1].content, one.texts[0], two.texts[0]) for one, two in pairs]
    return []


def _rollouts_of(home: Project, model: str | None) -> list[Artifact]:
    found = [each for each in load_artifacts(home)[0] if each.manifest.kind == "rollouts"]
    return [
        each
        for each in found
        if any(parent.role == "model" and parent.digest == model for parent in each.manifest.parents)
    ]


def _asked(rollouts: Artifact) -> dict[str, Any]:
    """The prompts by digest, and the settings of sampling: answers under other settings would not be comparable."""
    settings = {
        key: value
        for key, value in rollouts.manifest.config.items()
        if key not in ("name", "model", "prompts")
    }
    return settings | {
        "prompts": [parent.digest for parent in rollouts.manifest.parents if parent.role == "prompts"]
    }


def _answers(rollouts: Artifact) -> list[SampledAnswers]:
    return read_sampled_answers(rollouts.folder / next(iter(rollouts.manifest.files)))
