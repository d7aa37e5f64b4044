"""Pages for campaign leads: the list of campaigns, items and their imports, guidelines, and settings."""

from typing import Annotated

from fastapi import APIRouter, Form, Path, Query, Request, Response, UploadFile
from fastapi.responses import RedirectResponse

from fairlead.core.errors import FairleadError
from fairlead.labels import overlap_job, task_kinds
from fairlead.labels.errors import Invalid, Stale
from fairlead.studio import page_templates, phrases, safe_html
from fairlead.studio.access_control import Lead, Member, Watcher
from fairlead.studio.auth import Viewer
from fairlead.studio.errors import status_of
from fairlead.studio.pages import answerer_form
from fairlead.studio.pages.answerer_form import AnswererForm
from fairlead.studio.services import answerers, campaigns, imports, jobs
from fairlead.studio.services.imports import ImportIn, OriginIn, PreviewIn
from fairlead.studio.state import Configured, Database

router = APIRouter()

Id = Annotated[int, Path(ge=1, le=2**31 - 1)]
Text = Annotated[str, Form(max_length=200_000)]


@router.get("/campaigns")
def list_campaigns(request: Request, viewer: Watcher, database: Database, archived: bool = False) -> Response:
    return page_templates.page(
        request,
        "campaigns.html",
        viewer,
        campaigns=campaigns.list_campaigns(database, viewer, archived=archived),
        others=campaigns.count_campaigns(database, viewer, archived=not archived),
        archived=archived,
        kind_names=phrases.KIND_NAMES,
        phrases=phrases,
    )


# ---------------------------------------------------------------- imports


@router.get("/c/{slug}/jobs/{job_id}")
def job_part(request: Request, slug: str, job_id: Id, viewer: Lead, database: Database) -> Response:
    """The part of a page that shows a job.  The browser reloads it until the job is over."""
    job = jobs.view_job(database, viewer, job_id)
    # Parts of the page that show what the job has made listen to this event.
    headers = {"HX-Trigger": "job-over"} if job.record.is_over else None
    return page_templates.page(request, "_job.html", viewer, headers=headers, job=job)


@router.post("/c/{slug}/uploads")
def upload(
    request: Request,
    slug: str,
    viewer: Lead,
    database: Database,
    settings: Configured,
    file: UploadFile | None = None,
) -> Response:
    try:
        chosen = require_file(file)
        stored = imports.store_upload(
            database,
            settings,
            viewer,
            file=chosen.file,
            filename=chosen.filename or "",
            describe_later=True,
        )
    except FairleadError as error:
        return _choose_rows_page(request, viewer, settings, error=error)
    return RedirectResponse(f"/c/{slug}/{'add' if stored.format else 'columns'}?upload={stored.id}", 303)


@router.get("/c/{slug}/add")
def add_page(
    request: Request,
    slug: str,
    viewer: Lead,
    database: Database,
    settings: Configured,
    origin: Annotated[OriginIn, Query()],
) -> Response:
    """Add items to an existing campaign: choose rows, then preview them."""
    if origin.upload is None and not origin.rollouts:
        return _choose_rows_page(request, viewer, settings)
    return _preview_page(request, viewer, database, settings, origin)


@router.post("/c/{slug}/add")
def add_items(
    request: Request,
    slug: str,
    viewer: Lead,
    database: Database,
    settings: Configured,
    body: Annotated[ImportIn, Form()],
) -> Response:
    try:
        imports.start_import(database, settings, viewer, body)
    except FairleadError as error:
        return _preview_page(request, viewer, database, settings, body, error=error)
    return RedirectResponse(f"/c/{slug}/items", 303)


# ---------------------------------------------------------------- guidelines and settings


@router.get("/c/{slug}/guidelines")
def guidelines_page(
    request: Request,
    slug: str,
    viewer: Member,
    database: Database,
    version: Annotated[int | None, Query(ge=1, le=2**31 - 1)] = None,
) -> Response:
    """A version of the guidelines, by default the latest.  Leads can write the next version here."""
    guidelines = campaigns.list_guidelines(database, viewer)
    versions = guidelines.versions
    leads = viewer.may("lead", viewer.campaign.id)
    number = version or (versions[0].version if versions else 0)
    shown = next((candidate for candidate in versions if candidate.version == number), None)
    return page_templates.page(
        request,
        "guidelines.html",
        viewer,
        versions=versions,
        shown=shown,
        text=safe_html.render(shown.text) if shown else "",
        diff=campaigns.compare_guidelines(database, viewer.campaign, number) if number else None,
        leads=leads,
        names=campaigns.author_names(database, guidelines) if leads else {},
    )


@router.post("/markdown")
async def markdown_part(request: Request, viewer: Lead, text: Text = "", guidelines: Text = "") -> Response:
    """The rendered preview of the text being written.  The field's name depends on the form."""
    html = await request.app.state.previews.render(request, viewer.person, text or guidelines)
    return page_templates.page(request, "_rendered.html", viewer, text=html)


@router.get("/c/{slug}/settings")
def settings_page(
    request: Request, slug: str, viewer: Lead, database: Database, settings: Configured
) -> Response:
    form = answerer_form.from_answerers(answerers.list_answerers(database, viewer.campaign))
    return _settings_page(request, viewer, database, settings, form)


@router.post("/c/{slug}/answerers")
def set_answerers(
    request: Request,
    slug: str,
    viewer: Lead,
    database: Database,
    settings: Configured,
    form: Annotated[AnswererForm, Form()],
) -> Response:
    try:
        answerers.set_answerers(
            database, settings, viewer, form.answerers(required=True), version=form.version or None
        )
    except FairleadError as error:
        if isinstance(error, Stale):
            form = form.model_copy(update=error.current)
        return _settings_page(request, viewer, database, settings, form, error=error)
    return RedirectResponse(f"/c/{slug}/settings?saved=true#who-answers", 303)


# ---------------------------------------------------------------- details


def require_file(file: UploadFile | None) -> UploadFile:
    if file is None or not file.filename:
        raise Invalid({"file": "is missing. Choose a file first"})
    return file


def _settings_page(
    request: Request,
    viewer: Viewer,
    database: Database,
    settings: Configured,
    form: AnswererForm,
    *,
    error: FairleadError | None = None,
) -> Response:
    recent = jobs.view_recent_jobs(database, viewer, kinds=(overlap_job.JOB_KIND,), limit=1)
    campaign = campaigns.get_campaign(database, viewer.campaign)
    problem = None if error is None else str(error)
    if isinstance(error, Invalid):
        problem = next(iter(error.problems.values()))
    return page_templates.page(
        request,
        "settings.html",
        viewer,
        status=status_of(error),
        campaign=campaign,
        kind_name=phrases.KIND_NAMES[campaign.kind],
        currencies=phrases.CURRENCIES,
        answering=answerer_form.template_values(settings, form) if campaign.kind == "chat" else None,
        problem=problem,
        jobs=[job for job in recent if not job.record.is_over or job.record.state == "failed"],
        saved="saved" in request.query_params,
        nobody=not any(form.who),
        asks=task_kinds.KINDS_WITH_OPTION,
        has_judgements=campaigns.has_judgements(database, viewer),
    )


def _choose_rows_page(
    request: Request, viewer: Viewer, settings: Configured, *, error: FairleadError | None = None
) -> Response:
    return page_templates.page(
        request,
        "add.html",
        viewer,
        status=status_of(error),
        rollouts=imports.list_rollouts(settings).rollouts,
        error=str(error) if error else None,
        max_mb=settings.upload_mb,
        has_project=settings.project is not None,
    )


def _preview_page(
    request: Request,
    viewer: Viewer,
    database: Database,
    settings: Configured,
    origin: OriginIn,
    *,
    error: FairleadError | None = None,
) -> Response:
    body = PreviewIn(kind=viewer.campaign.kind, **origin.model_dump(include=set(OriginIn.model_fields)))
    preview = None
    try:
        preview = imports.preview_rows(database, settings, viewer, body)
    except FairleadError as problem:
        error = error or problem
    return page_templates.page(
        request,
        "_rows.html" if request.headers.get("hx-request") else "add_rows.html",
        viewer,
        status=status_of(error),
        body=body,
        preview=preview,
        error=str(error) if error else None,
        query=imports.to_query(body),
        priority=getattr(origin, "priority", 0),
    )
