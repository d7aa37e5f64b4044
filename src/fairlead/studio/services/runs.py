"""Runs, artifacts and lineage of the project that the studio serves.

Files of the project are untrusted.  Only what `run_files` and `artifact_views` read from them is returned.
"""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from fairlead.labels import campaigns
from fairlead.store.artifact import Artifact
from fairlead.store.project import Project
from fairlead.studio import artifact_views, run_files
from fairlead.studio.artifact_views import ArtifactDetail, IsVisible
from fairlead.studio.auth import Viewer
from fairlead.studio.services.projects import project_to_show
from fairlead.studio.settings import Settings
from fairlead.studio.state import Database


class FromAttributes(BaseModel):
    model_config = ConfigDict(from_attributes=True)


class RunOut(FromAttributes):
    id: str
    recipe: str
    name: str
    state: Literal["running", "finished", "stopped", "waiting"]
    started_at: str | None
    changed_at: str
    step: int | None
    num_steps: int | None
    artifact: str | None = Field(serialization_alias="made")  # "kind/name"
    num_warnings: int


class InputOut(BaseModel):
    role: str
    name: str
    digest: str


class RunEventOut(BaseModel):
    at: str
    event: str
    details: str


class RunDetailOut(BaseModel):
    run: RunOut
    config: dict[str, Any]
    inputs: list[InputOut]
    code: str
    events: list[RunEventOut]  # newest first
    reports: list[str]
    remarks: list[str]  # what could not be read


class MetricsOut(BaseModel):
    rows: list[dict[str, float]]  # each row has "step"
    last_step: float | None


class FigureOut(FromAttributes):
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
    problems: list[str]  # folders that are not valid artifacts


class ParentOut(FromAttributes):
    name: str
    digest: str
    role: str


class ArtifactOut(BaseModel):
    artifact: ArtifactLine
    parents: list[ParentOut]
    children: list[str] = Field(serialization_alias="made")  # labels of artifacts made from this one
    config: dict[str, Any]
    code: dict[str, str | None]
    seed: int
    facts: dict[str, str]  # of a model: architecture, sizes, number format
    verdict: str | None
    reasons: list[str]
    files: dict[str, str]  # name -> digest


class NodeOut(FromAttributes):
    key: str
    label: str
    kind: str
    name: str
    digest: str
    status: Literal["present", "missing", "outside"]
    level: int


class EdgeOut(FromAttributes):
    parent: str
    child: str
    role: str


class GraphOut(FromAttributes):
    focus: str
    nodes: list[NodeOut]
    edges: list[EdgeOut]
    cut: bool


def visibility(database: Database, viewer: Viewer) -> IsVisible:
    """Which artifacts the viewer may see.

    Nobody sees snapshots of campaigns in which they judge without knowing the models.  Somebody with a role
    in the whole studio sees everything else; others see snapshots of campaigns that they may watch.
    """
    ids = [
        campaign_id
        for campaign_id in viewer.memberships
        if viewer.may("unblinded", campaign_id) != (viewer.role is not None)
    ]
    if viewer.role is not None and not ids:
        return artifact_views.everything
    with database.read() as connection:
        slugs = {campaign.slug for campaign in campaigns.list_all(connection, ids=ids)}
    listed_are_visible = viewer.role is None
    return lambda artifact: (
        artifact.manifest.kind != "snapshot"
        or (artifact.manifest.config.get("campaign") in slugs) == listed_are_visible
    )


def list_runs(settings: Settings) -> list[RunOut]:
    """Last changed first; empty without a project."""
    if settings.project is None:
        return []
    lines, _ = run_files.list_runs(Project(settings.project))
    return [RunOut.model_validate(line) for line in lines]


def get_run(settings: Settings, run_id: str) -> RunDetailOut:
    detail = run_files.read_run(project_to_show(settings), run_id)
    return RunDetailOut(
        run=RunOut.model_validate(detail.line),
        config=detail.config,
        inputs=[InputOut(role=role, name=name, digest=digest) for role, name, digest in detail.inputs],
        code=detail.code,
        events=[RunEventOut(**event) for event in detail.events],
        reports=list(detail.reports),
        remarks=detail.remarks,
    )


def get_metrics(settings: Settings, run_id: str, *, after: float) -> MetricsOut:
    rows = run_files.read_run(project_to_show(settings), run_id).rows
    return MetricsOut(
        rows=[row for row in rows if row["step"] > after], last_step=rows[-1]["step"] if rows else None
    )


def list_artifacts(database: Database, settings: Settings, viewer: Viewer) -> ArtifactsOut:
    """Newest first; empty without a project."""
    if settings.project is None:
        return ArtifactsOut(artifacts=[], problems=[])
    artifacts, problems = artifact_views.all_artifacts(
        Project(settings.project), visibility(database, viewer)
    )
    return ArtifactsOut(artifacts=[_artifact_line(artifact) for artifact in artifacts], problems=problems)


def get_detail(
    database: Database, settings: Settings, viewer: Viewer, kind: str, name: str
) -> ArtifactDetail:
    return artifact_views.detail(project_to_show(settings), kind, name, visibility(database, viewer))


def get_artifact(database: Database, settings: Settings, viewer: Viewer, kind: str, name: str) -> ArtifactOut:
    detail = get_detail(database, settings, viewer, kind, name)
    manifest = detail.artifact.manifest
    return ArtifactOut(
        artifact=_artifact_line(detail.artifact),
        parents=[ParentOut.model_validate(parent) for parent in manifest.parents],
        children=[child.label for child in detail.children],
        config=manifest.config,
        code=manifest.code,
        seed=manifest.seed,
        facts=dict(detail.facts),
        verdict=detail.verdict,
        reasons=detail.reasons,
        files={file: digest for file, digest, _ in detail.files},
    )


def get_graph(
    database: Database, settings: Settings, viewer: Viewer, kind: str, name: str
) -> artifact_views.Graph:
    return artifact_views.graph(project_to_show(settings), kind, name, visibility(database, viewer))


def read_artifact_page(
    database: Database, settings: Settings, viewer: Viewer, label: tuple[str, str], file: str
) -> bytes | None:
    """An HTML file of the artifact `(kind, name)`, unchanged.  The caller must serve it in a sandbox."""
    kind, name = label
    return artifact_views.read_page(project_to_show(settings), kind, name, file, visibility(database, viewer))


def _artifact_line(artifact: Artifact) -> ArtifactLine:
    manifest = artifact.manifest
    return ArtifactLine(
        kind=manifest.kind,
        name=manifest.name,
        digest=manifest.digest,
        created_at=manifest.created_at,
        run=manifest.run,
        figures=[FigureOut.model_validate(figure) for figure in artifact_views.figures(manifest.metrics)],
    )
