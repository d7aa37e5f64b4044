"""API routes of runs, artifacts and lineage of the project that the studio serves."""

from typing import Annotated

from fastapi import APIRouter, Path, Query

from fairlead.studio.access_control import Unblinded
from fairlead.studio.services import runs
from fairlead.studio.services.runs import (
    ArtifactOut,
    ArtifactsOut,
    GraphOut,
    MetricsOut,
    RunDetailOut,
    RunOut,
)
from fairlead.studio.state import Configured, Database

router = APIRouter(tags=["project"])

Name = Annotated[str, Path(max_length=250)]


@router.get("/runs", name="runs")
def list_runs(settings: Configured, viewer: Unblinded) -> list[RunOut]:
    """Every run, last changed first."""
    return runs.list_runs(settings)


@router.get("/runs/{run}", name="run")
def get_run(run: Name, settings: Configured, viewer: Unblinded) -> RunDetailOut:
    """A run with its configuration, inputs, events and reports."""
    return runs.get_run(settings, run)


@router.get("/runs/{run}/metrics", name="metrics")
def get_metrics(
    run: Name, settings: Configured, viewer: Unblinded, after: Annotated[float, Query(ge=-1, lt=1 << 53)] = -1
) -> MetricsOut:
    """Metrics of the steps above `after`."""
    return runs.get_metrics(settings, run, after=after)


@router.get("/artifacts", name="artifacts")
def list_artifacts(settings: Configured, viewer: Unblinded, database: Database) -> ArtifactsOut:
    """Every artifact, newest first.  Of snapshots, only those of campaigns that the viewer may watch."""
    return runs.list_artifacts(database, settings, viewer)


@router.get("/artifacts/{kind}/{name}", name="artifact")
def get_artifact(
    kind: Name, name: Name, settings: Configured, viewer: Unblinded, database: Database
) -> ArtifactOut:
    """An artifact with its parents, configuration and files."""
    return runs.get_artifact(database, settings, viewer, kind, name)


@router.get("/lineage/{kind}/{name}", name="lineage")
def get_lineage(
    kind: Name, name: Name, settings: Configured, viewer: Unblinded, database: Database
) -> GraphOut:
    """Everything that the artifact was made from, back to labels and files, and everything made from it."""
    return GraphOut.model_validate(runs.get_graph(database, settings, viewer, kind, name))
