"""Pages of runs, artifacts and lineage.

HTML reports are untrusted, so they are served in a sandbox without scripts.
"""

from typing import Annotated, Any

from fastapi import APIRouter, Header, Path, Request, Response
from fastapi.responses import HTMLResponse

from fairlead.labels.errors import NotFound
from fairlead.report import metric_charts, templating
from fairlead.store.project import Project
from fairlead.studio import artifact_views, graphs, page_templates, phrases, run_files
from fairlead.studio.access_control import Unblinded
from fairlead.studio.auth import Viewer
from fairlead.studio.services import runs
from fairlead.studio.services.projects import project_to_show
from fairlead.studio.settings import Settings
from fairlead.studio.state import Configured, Database

router = APIRouter()

Name = Annotated[str, Path(max_length=250)]
IfNoneMatch = Annotated[str | None, Header(alias="if-none-match")]

# No scripts, no forms, no origin.  Styles are inside the file, and nothing is fetched.
SANDBOX_HEADERS = {
    "Content-Security-Policy": (
        "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none';"
        " form-action 'none'; frame-ancestors 'none'"
    ),
    "Content-Type": "text/html; charset=utf-8",
    "X-Content-Type-Options": "nosniff",
}
MAX_RUNS = 200  # listed on the page


@router.get("/runs")
def runs_page(request: Request, viewer: Unblinded, database: Database, settings: Configured) -> Response:
    return page_templates.page(request, "runs.html", viewer, **_list_values(database, settings, viewer))


@router.get("/runs/now")
def runs_part(request: Request, viewer: Unblinded, database: Database, settings: Configured) -> Response:
    return page_templates.page(request, "runs_now.html", viewer, **_list_values(database, settings, viewer))


@router.get("/runs/report")
def round_report(settings: Configured, viewer: Unblinded) -> Response:
    """The report of the project's round."""
    return _sandboxed(artifact_views.read_round(project_to_show(settings)))


@router.get("/runs/{run}")
def run_page(run: Name, request: Request, viewer: Unblinded, settings: Configured) -> Response:
    return page_templates.page(request, "run.html", viewer, **_run_values(settings, run))


@router.get("/runs/{run}/now")
def run_part(
    run: Name, request: Request, viewer: Unblinded, settings: Configured, known: IfNoneMatch = None
) -> Response:
    """The part of the page that changes; 304 when nothing has changed."""
    etag = f'"{run_files.version_tag(project_to_show(settings), run)}"'
    if known == etag:
        return Response(status_code=304, headers={"ETag": etag})
    return page_templates.page(
        request, "run_now.html", viewer, headers={"ETag": etag}, **_run_values(settings, run)
    )


@router.get("/runs/{run}/{file}")
def run_report(run: Name, file: Name, viewer: Unblinded, settings: Configured) -> Response:
    return _sandboxed(run_files.read_report(project_to_show(settings), run, file))


@router.get("/artifacts/{kind}/{name}")
def artifact_page(
    kind: Name, name: Name, request: Request, viewer: Unblinded, database: Database, settings: Configured
) -> Response:
    details = runs.get_detail(database, settings, viewer, kind, name)
    manifest = details.artifact.manifest
    return page_templates.page(
        request,
        "artifact.html",
        viewer,
        details=details,
        manifest=manifest,
        groups=templating.config_groups(manifest.config),
        phrases=phrases,
    )


@router.get("/artifacts/{kind}/{name}/{file:path}")
def artifact_report(
    kind: Name,
    name: Name,
    file: Annotated[str, Path(max_length=500)],
    viewer: Unblinded,
    database: Database,
    settings: Configured,
) -> Response:
    return _sandboxed(runs.read_artifact_page(database, settings, viewer, (kind, name), file))


@router.get("/lineage/{kind}/{name}")
def lineage_page(
    kind: Name, name: Name, request: Request, viewer: Unblinded, database: Database, settings: Configured
) -> Response:
    graph = runs.get_graph(database, settings, viewer, kind, name)
    by_key = {node.key: node for node in graph.nodes}
    sources: dict[str, list[tuple[str, artifact_views.GraphNode]]] = {}
    for edge in graph.edges:
        sources.setdefault(edge.child, []).append((edge.role, by_key[edge.parent]))
    return page_templates.page(
        request,
        "lineage.html",
        viewer,
        graph=graph,
        focus=by_key[graph.focus],
        sources=sources,
        picture=graphs.lineage(graph),
        href=graphs.href,
    )


def _list_values(database: Database, settings: Settings, viewer: Viewer) -> dict[str, Any]:
    values: dict[str, Any] = {"figures": artifact_views.figures, "phrases": phrases}
    if settings.project is None:
        return values | {
            "project": None,
            "runs": [],
            "num_runs": 0,
            "artifacts": [],
            "problems": [],
            "has_round": False,
        }
    project = Project(settings.project)
    lines, num_runs = run_files.list_runs(project, MAX_RUNS)
    artifacts, problems = artifact_views.all_artifacts(project, runs.visibility(database, viewer))
    return values | {
        "project": settings.project.resolve().name,
        "runs": lines,
        "num_runs": num_runs,
        "artifacts": artifacts,
        "problems": problems,
        "has_round": artifact_views.has_round(project),
    }


def _run_values(settings: Settings, run_id: str) -> dict[str, Any]:
    details = run_files.read_run(project_to_show(settings), run_id)
    return {
        "details": details,
        "run": details.line,
        "curves": metric_charts.draw_metric_charts(details.rows),
        "groups": templating.config_groups(details.config),
        "phrases": phrases,
        "visible": phrases.visible,
    }


def _sandboxed(content: bytes | None) -> Response:
    if content is None:
        raise NotFound("there is no such report.")
    return HTMLResponse(content, headers=SANDBOX_HEADERS)
