"""Runs, artifacts and lineage of the project beside which the studio runs; without one, there are none.

Of a file of the project no more is told than what its readers (`run_files`, `shelf`) make of it.
"""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query, Request
from pydantic import BaseModel, ConfigDict

from fairlead.labels import campaigns
from fairlead.labels.errors import NotFound
from fairlead.store.artifact import Artifact
from fairlead.store.project import Project
from fairlead.studio import artifact_views, run_files
from fairlead.studio.auth import Viewer
from fairlead.studio.permissions import Watcher
from fairlead.studio.state import Database

router = APIRouter(tags=["project"])

Name = Annotated[str, Path(max_length=250)]


class Read(BaseModel):
    model_config = ConfigDict(from_attributes=True)


class RunOut(Read):
    id: str
    recipe: str
    name: str
    state: Literal["running", "finished", "stopped", "waiting"]
    started_at: str | None
    changed_at: str
    step: int | None
    num_steps: int | None
    made: str | None  # "kind/name"
    num_warnings: int


class InputOut(BaseModel):
    role: str
    name: str
    digest: str


class RunEvent(BaseModel):
    at: str
    event: str
    details: str


class RunDetailOut(BaseModel):
    run: RunOut
    config: dict[str, Any]
    inputs: list[InputOut]
    code: str
    events: list[RunEvent]  # the latest first
    reports: list[str]
    remarks: list[str]  # what could not be read


class MetricsOut(BaseModel):
    rows: list[dict[str, float]]  # each with "step"
    last_step: float | None


class FigureOut(Read):
    name: str
    value: float
    low: float | None
    high: float | None
    n: int | None


class ArtifactLine(BaseModel):
    kind: str
    name: str
    digest: str
    created_at: str
    run: str | None
    figures: list[FigureOut]


class ArtifactsOut(BaseModel):
    artifacts: list[ArtifactLine]
    problems: list[str]  # folders that are none


class ParentOut(Read):
    name: str
    digest: str
    role: str


class ArtifactOut(BaseModel):
    artifact: ArtifactLine
    parents: list[ParentOut]
    made: list[str]  # what was made from it
    config: dict[str, Any]
    code: dict[str, str | None]
    seed: int
    facts: dict[str, str]  # of a model
    verdict: str | None
    reasons: list[str]
    files: dict[str, str]  # name -> digest


class NodeOut(Read):
    key: str
    label: str
    kind: str
    name: str
    digest: str
    status: Literal["present", "missing", "outside"]
    level: int


class EdgeOut(Read):
    parent: str
    child: str
    role: str


class GraphOut(Read):
    focus: str
    nodes: list[NodeOut]
    edges: list[EdgeOut]
    cut: bool


def project_of(request: Request) -> Project:
    """Raises NotFound where the studio stands alone."""
    root = request.app.state.settings.project
    if root is None:
        raise NotFound("this studio runs beside no project, so there are no runs and no models to show.")
    return Project(root)


def sees(viewer: Viewer, database: Database) -> artifact_views.Sees:
    """A snapshot is its campaign's.  Whose role is in no campaign sees all; others see those of the campaigns that they watch."""
    if viewer.role is not None:
        return artifact_views.everything
    with database.read() as connection:
        watched = campaigns.list_all(
            connection, ids=[id for id in viewer.memberships if viewer.may("viewer", id)]
        )
    slugs = [one.slug for one in watched]
    return lambda one: one.manifest.kind != "snapshot" or one.manifest.config.get("campaign") in slugs


@router.get("/runs")
def runs(request: Request, viewer: Watcher) -> list[RunOut]:
    """The latest changed first."""
    root = request.app.state.settings.project
    return (
        []
        if root is None
        else [RunOut.model_validate(line) for line in run_files.list_runs(Project(root))[0]]
    )


@router.get("/runs/{run}")
def run(run: Name, request: Request, viewer: Watcher) -> RunDetailOut:
    found = run_files.read_run(project_of(request), run)
    return RunDetailOut(
        run=RunOut.model_validate(found.line),
        config=found.config,
        inputs=[InputOut(role=role, name=name, digest=digest) for role, name, digest in found.inputs],
        code=found.code,
        events=[RunEvent(**event) for event in found.events],
        reports=list(found.reports),
        remarks=found.remarks,
    )


@router.get("/runs/{run}/metrics")
def metrics(
    run: Name, request: Request, viewer: Watcher, after: Annotated[float, Query(ge=-1, lt=1 << 53)] = -1
) -> MetricsOut:
    """Rows with a step above `after`."""
    rows = run_files.read_run(project_of(request), run).rows
    return MetricsOut(
        rows=[row for row in rows if row["step"] > after], last_step=rows[-1]["step"] if rows else None
    )


@router.get("/artifacts")
def artifacts(request: Request, viewer: Watcher, database: Database) -> ArtifactsOut:
    """The newest first; of snapshots, those of campaigns that you may watch."""
    root = request.app.state.settings.project
    found, problems = (
        ([], []) if root is None else artifact_views.all_artifacts(Project(root), sees(viewer, database))
    )
    return ArtifactsOut(artifacts=[_line(one) for one in found], problems=problems)


@router.get("/artifacts/{kind}/{name}")
def artifact(kind: Name, name: Name, request: Request, viewer: Watcher, database: Database) -> ArtifactOut:
    found = artifact_views.detail(project_of(request), kind, name, sees(viewer, database))
    manifest = found.artifact.manifest
    return ArtifactOut(
        artifact=_line(found.artifact),
        parents=[ParentOut.model_validate(parent) for parent in manifest.parents],
        made=[one.label for one in found.made],
        config=manifest.config,
        code=manifest.code,
        seed=manifest.seed,
        facts=dict(found.facts),
        verdict=found.verdict,
        reasons=found.reasons,
        files={file: digest for file, digest, _ in found.files},
    )


@router.get("/lineage/{kind}/{name}")
def lineage(kind: Name, name: Name, request: Request, viewer: Watcher, database: Database) -> GraphOut:
    """What an artifact was made from, back to labels and files, and what was made from it."""
    return GraphOut.model_validate(
        artifact_views.graph(project_of(request), kind, name, sees(viewer, database))
    )


def _line(one: Artifact) -> ArtifactLine:
    manifest = one.manifest
    return ArtifactLine(
        kind=manifest.kind,
        name=manifest.name,
        digest=manifest.digest,
        created_at=manifest.created_at,
        run=manifest.run,
        figures=[FigureOut.model_validate(figure) for figure in artifact_views.figures(manifest.metrics)],
    )
