"""Runs, artifacts and lineage of the project.  HTML reports are somebody else's files: they are served locked up, and run nothing."""

from typing import Annotated, Any

from fastapi import APIRouter, Header, Path, Request, Response
from fastapi.responses import HTMLResponse

from fairlead.labels.errors import NotFound
from fairlead.report import metric_charts, templating
from fairlead.store.project import Project
from fairlead.studio import artifact_views, graphs, html, phrases, run_files
from fairlead.studio.api.runs import project_of, sees
from fairlead.studio.auth import Viewer
from fairlead.studio.permissions import Watcher
from fairlead.studio.state import Database

router = APIRouter()

Name = Annotated[str, Path(max_length=250)]
Mark = Annotated[str | None, Header(alias="if-none-match")]

# A sandbox without rights: no scripts, no forms, no origin of its own; styles are inside the file, and nothing is fetched.
LOCKED = {
    "Content-Security-Policy": (
        "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Content-Type": "text/html; charset=utf-8",
    "X-Content-Type-Options": "nosniff",
}
MOST_RUNS = 200  # that are listed


@router.get("/runs")
def runs(request: Request, viewer: Watcher, database: Database) -> Response:
    return html.page(request, "runs.html", viewer, **_list(request, viewer, database))


@router.get("/runs/now")
def runs_now(request: Request, viewer: Watcher, database: Database) -> Response:
    return html.page(request, "runs_now.html", viewer, **_list(request, viewer, database))


@router.get("/runs/report")
def round_report(request: Request, viewer: Watcher) -> Response:
    """The report of the whole project."""
    return _locked(artifact_views.read_round(project_of(request)))


@router.get("/runs/{run}")
def run(run: Name, request: Request, viewer: Watcher) -> Response:
    return html.page(request, "run.html", viewer, **_run(request, run))


@router.get("/runs/{run}/now")
def run_now(run: Name, request: Request, viewer: Watcher, known: Mark = None) -> Response:
    """Only what changes; 304 where nothing has."""
    mark = f'"{run_files.mark(project_of(request), run)}"'
    if known == mark:
        return Response(status_code=304, headers={"ETag": mark})
    return html.page(request, "run_now.html", viewer, headers={"ETag": mark}, **_run(request, run))


@router.get("/runs/{run}/{file}")
def run_report(run: Name, file: Name, request: Request, viewer: Watcher) -> Response:
    return _locked(run_files.read_report(project_of(request), run, file))


@router.get("/artifacts/{kind}/{name}")
def artifact(kind: Name, name: Name, request: Request, viewer: Watcher, database: Database) -> Response:
    found = artifact_views.detail(project_of(request), kind, name, sees(viewer, database))
    groups = templating.config_groups(found.artifact.manifest.config)
    return html.page(
        request,
        "artifact.html",
        viewer,
        details=found,
        manifest=found.artifact.manifest,
        groups=groups,
        phrases=phrases,
    )


@router.get("/artifacts/{kind}/{name}/{file:path}")
def artifact_report(
    kind: Name,
    name: Name,
    file: Annotated[str, Path(max_length=500)],
    request: Request,
    viewer: Watcher,
    database: Database,
) -> Response:
    return _locked(artifact_views.read_page(project_of(request), kind, name, file, sees(viewer, database)))


@router.get("/lineage/{kind}/{name}")
def lineage(kind: Name, name: Name, request: Request, viewer: Watcher, database: Database) -> Response:
    found = artifact_views.graph(project_of(request), kind, name, sees(viewer, database))
    by_key = {node.key: node for node in found.nodes}
    sources: dict[str, list[tuple[str, artifact_views.GraphNode]]] = {}
    for edge in found.edges:
        sources.setdefault(edge.child, []).append((edge.role, by_key[edge.parent]))
    return html.page(
        request, "lineage.html", viewer,
        graph=found, focus=by_key[found.focus], sources=sources, picture=graphs.lineage(found), href=graphs.href,
    )  # fmt: skip


def _list(request: Request, viewer: Viewer, database: Database) -> dict[str, Any]:
    root = request.app.state.settings.project
    if root is None:
        return {
            "project": None,
            "runs": [],
            "artifacts": [],
            "problems": [],
            "num_runs": 0,
            "has_round": False,
            "phrases": phrases,
        }
    home = Project(root)
    lines, num_runs = run_files.list_runs(home, MOST_RUNS)
    artifacts, problems = artifact_views.all_artifacts(home, sees(viewer, database))
    return {
        "project": root.resolve().name, "runs": lines, "num_runs": num_runs, "problems": problems, "phrases": phrases,
        "artifacts": artifacts, "has_round": artifact_views.has_round(home),
        "figures": artifact_views.figures,
    }  # fmt: skip


def _run(request: Request, run: str) -> dict[str, Any]:
    found = run_files.read_run(project_of(request), run)
    return {
        "details": found, "run": found.line, "curves": metric_charts.draw_metric_charts(found.rows), "groups": templating.config_groups(found.config), "phrases": phrases,
        "visible": phrases.visible,
    }  # fmt: skip


def _locked(content: bytes | None) -> Response:
    if content is None:
        raise NotFound("there is no such report.")
    return HTMLResponse(content, headers=LOCKED)
