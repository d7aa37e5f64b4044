"""`fairlead report`: write the HTML report of a run."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from fairlead.cli.eval import read_report, write_page
from fairlead.cli.lookup import ProjectDir, open_project
from fairlead.cli.output import AsJson, print_result, relative_path
from fairlead.cli.report_findings import comparisons_of, refusals_of
from fairlead.core import files
from fairlead.core.errors import ProjectError
from fairlead.core.output_path import require_page_name
from fairlead.core.plural import counted
from fairlead.data.sampled_answers import SampledAnswers, read_sampled_answers
from fairlead.store import lineage
from fairlead.store.artifact import Artifact, brief_digest, load_artifacts
from fairlead.store.metrics import read_metrics
from fairlead.store.project import Project
from fairlead.store.run import find_run
from fairlead.train.admission_gate import REPORT

MAX_SAMPLES = 12
MAX_COMPARISONS = 4


def report(
    ref: Annotated[
        str, typer.Argument(metavar="RUN", help="A run's id or its beginning, or the name of its artifact.")
    ],
    out: Annotated[
        Path | None, typer.Option(help="The .html file to write; by default report.html in the run's folder.")
    ] = None,
    project: ProjectDir = None,
    as_json: AsJson = False,
) -> None:
    """Write the report of a run: curves, answers before and after, configuration, lineage, cost.

    Example: fairlead report aligned
    """
    from fairlead.report import run_page
    from fairlead.report.run_page import RunInput, RunPage, SamplePair

    if out is not None:
        require_page_name(out)
    opened_project = open_project(project)
    folder = find_run(opened_project, ref)
    if not (folder / "config.json").exists():
        raise ProjectError(
            f"{folder}: the run stopped before its first step, so there is nothing to report. "
            "Run its command again."
        )
    run_config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    events = _events(folder / "events.jsonl")
    artifacts = load_artifacts(opened_project)[0]
    artifact = next((artifact for artifact in artifacts if artifact.manifest.run == folder.name), None)
    comparisons = comparisons_of(opened_project, artifact)
    left_out = {} if artifact is None else artifact.manifest.metrics.get("left_out", {})
    if artifact is not None and artifact.label in {comparison.label for comparison in comparisons}:
        left_out = {}  # the comparison says it
    page = RunPage(
        title=f"{run_config['recipe']}: {run_config['config']['name']}",
        recipe=run_config["recipe"],
        run_id=folder.name,
        metrics=read_metrics(folder / "metrics.jsonl"),
        config=run_config["config"],
        inputs=[
            RunInput(role, parent["name"], brief_digest(parent["digest"]))
            for role, parent in run_config["inputs"].items()
        ],
        artifact=None if artifact is None else artifact.label,
        artifact_digest=None if artifact is None else brief_digest(artifact.manifest.digest),
        lineage_text=(
            "" if artifact is None else lineage.render_text(lineage.ancestors(opened_project, artifact))
        ),
        cost=_cost(events),
        events=events,
        samples=[SamplePair(*texts) for texts in _before_and_after(opened_project, artifact)],
        code=" ".join(part for part in (run_config["code"]["version"], run_config["code"]["commit"]) if part),
        refusals=refusals_of(artifact, events),
        comparisons=comparisons[:MAX_COMPARISONS],
        more_comparisons=len(comparisons[MAX_COMPARISONS:]),
        left_out=left_out,
    )
    out = out or folder / "report.html"
    files.write_text(out, run_page.render_run(page))
    wrote = [out]
    # The report of a process reward model has no pairs, and no page of its own.
    if artifact is not None and (artifact.folder / REPORT).is_file():
        admission = read_report(artifact)
        if "pairs" in admission:
            wrote.append(write_page(artifact, admission, artifact.manifest.name, folder / "admission.html"))
    print_result(
        {
            "run": page.run_id,
            "artifact": page.artifact,
            "report": str(out),
            "cost": dict(page.cost),
            "comparisons": [comparison._asdict() for comparison in comparisons],
        },
        [
            f"Report of {page.run_id}: metrics of {counted(len(page.metrics), 'step')}, "
            f"{counted(len(page.samples), 'answer')} before and after training.",
            *(f"{comparison.label}: {comparison.verdict}" for comparison in page.comparisons),
        ],
        as_json=as_json,
        read=[folder],
        wrote=wrote,
        next=f"open {relative_path(out)} in a browser",
    )


def _events(path: Path) -> list[dict[str, Any]]:
    """The complete lines; a running or killed process may have left an incomplete last line."""
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


def _before_and_after(project: Project, artifact: Artifact | None) -> list[tuple[str, str, str]]:
    """Prompt, answer of the starting model, answer of the trained model.

    The list is empty unless both models answered the same prompts with the same sampling settings.
    """
    if artifact is None or artifact.manifest.kind != "model":
        return []
    start = next((parent.digest for parent in artifact.manifest.parents if parent.role == "model"), None)
    for before in _rollouts_of(project, start):
        for after in _rollouts_of(project, artifact.manifest.digest):
            if _sampling_identity(before) == _sampling_identity(after):
                pairs = zip(_answers(before)[:MAX_SAMPLES], _answers(after), strict=False)
                return [(old.prompt[-1].content, old.texts[0], new.texts[0]) for old, new in pairs]
    return []


def _rollouts_of(project: Project, model_digest: str | None) -> list[Artifact]:
    return [
        artifact
        for artifact in load_artifacts(project)[0]
        if artifact.manifest.kind == "rollouts"
        and any(
            parent.role == "model" and parent.digest == model_digest for parent in artifact.manifest.parents
        )
    ]


def _sampling_identity(rollouts: Artifact) -> dict[str, Any]:
    """Digests of the prompts and the sampling settings; answers are comparable only if both agree."""
    settings = {
        key: value
        for key, value in rollouts.manifest.config.items()
        if key not in ("name", "model", "prompts")
    }
    prompts = [parent.digest for parent in rollouts.manifest.parents if parent.role == "prompts"]
    return settings | {"prompts": prompts}


def _answers(rollouts: Artifact) -> list[SampledAnswers]:
    return read_sampled_answers(rollouts.folder / next(iter(rollouts.manifest.files)))
