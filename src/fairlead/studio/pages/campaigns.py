"""Pages of those who lead campaigns: the list, items with their imports, guidelines, settings."""

from typing import Annotated, Any

from fastapi import APIRouter, Form, Query, Request, Response, UploadFile
from fastapi.responses import RedirectResponse

from fairlead.core.errors import FairleadError
from fairlead.labels import campaigns, chats, imports, item_search, jobs, people, task_kinds
from fairlead.labels.errors import Invalid
from fairlead.studio import html, phrases, render
from fairlead.studio.api import campaigns as campaign_api
from fairlead.studio.api import chat as chat_api
from fairlead.studio.api import items as item_api
from fairlead.studio.api import jobs as job_api
from fairlead.studio.api.items import Id, ImportIn, OriginIn, PreviewIn
from fairlead.studio.auth import Viewer
from fairlead.studio.pages import answering
from fairlead.studio.pages.answering import Answering
from fairlead.studio.pages.label import KIND_NAMES
from fairlead.studio.permissions import Lead, Member, Watcher
from fairlead.studio.state import Configured, Database

router = APIRouter()

Text = Annotated[str, Form(max_length=200_000)]
CURRENCIES = ("EUR", "USD", "GBP", "CHF", "JPY", "INR", "KES", "PHP")
SHOWN_PROBLEMS = 20


@router.get("/campaigns")
def listed(request: Request, viewer: Watcher, database: Database) -> Response:
    found = campaign_api.listed(viewer, database)
    return html.page(
        request, "campaigns.html", viewer, campaigns=found, kind_names=KIND_NAMES, phrases=phrases
    )


# ---------------------------------------------------------------- items


@router.get("/c/{slug}/items")
def items(
    request: Request,
    slug: str,
    viewer: Lead,
    database: Database,
    q: Annotated[str, Query(max_length=500)] = "",
    state: item_search.ItemState = "any",
    after: Annotated[int, Query(ge=0, le=2**31 - 1)] = 0,
) -> Response:
    found = item_api.search(slug, viewer, database, q, state, after, limit=25)
    with database.read() as connection:
        recent = jobs.list_recent(connection, campaign_id=viewer.campaign.id, kind=imports.JOB_KIND, limit=5)
    one = campaign_api.one(slug, viewer, database)
    return html.page(
        request, "items.html", viewer, campaign=one, results=found, q=q, state=state, after=after, states=item_search.ITEM_STATES,
        jobs=[job_values(viewer, database, job) for job in recent], phrases=phrases,
    )  # fmt: skip


@router.get("/c/{slug}/items/{item_id}")
def item(request: Request, slug: str, item_id: Id, viewer: Lead, database: Database) -> Response:
    found = item_api.one_item(slug, item_id, viewer, database)
    raters = {one.rater for one in found.judgements} | {one.rater for one in found.flags}
    with database.read() as connection:
        names = people.names_of(connection, raters)
    return html.page(
        request,
        "item.html",
        viewer,
        item=found.item,
        judgements=found.judgements,
        flags=found.flags,
        names=names,
        verdict=said,
        phrases=phrases,
    )


@router.get("/c/{slug}/jobs/{job_id}")
def job(request: Request, slug: str, job_id: Id, viewer: Lead, database: Database) -> Response:
    """The part of a page that tells of a job, asked for again until it is over."""
    with database.read() as connection:
        found = job_api.mine(connection, viewer, job_id)
    return html.page(request, "_job.html", viewer, job=job_values(viewer, database, found))


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
        made = item_api.upload(item_api.sent(file), viewer, database, settings)
    except FairleadError as error:
        return _add_page(request, viewer, settings, error=error)
    return RedirectResponse(f"/c/{slug}/add?upload={made.id}", 303)


@router.get("/c/{slug}/add")
def add_page(
    request: Request,
    slug: str,
    viewer: Lead,
    database: Database,
    settings: Configured,
    asked: Annotated[OriginIn, Query()],
) -> Response:
    """More items for a campaign that there is: choose rows, or look at those that were chosen."""
    if asked.upload is None and not asked.rollouts:
        return _add_page(request, viewer, settings)
    return _looked(request, viewer, database, settings, asked)


@router.post("/c/{slug}/add")
def add(
    request: Request,
    slug: str,
    viewer: Lead,
    database: Database,
    settings: Configured,
    asked: Annotated[ImportIn, Form()],
) -> Response:
    try:
        item_api.start(slug, asked, viewer, database, settings)
    except FairleadError as error:
        return _looked(request, viewer, database, settings, asked, error=error)
    return RedirectResponse(f"/c/{slug}/items", 303)


# ---------------------------------------------------------------- guidelines and settings


@router.get("/c/{slug}/guidelines")
def guidelines(
    request: Request,
    slug: str,
    viewer: Member,
    database: Database,
    version: Annotated[int | None, Query(ge=1, le=2**31 - 1)] = None,
) -> Response:
    """The latest version or another; for leads, the place to write the next."""
    with database.read() as connection:
        versions = campaigns.list_guideline_versions(connection, viewer.campaign.id)
        leads = viewer.may("lead", viewer.campaign.id)
        names = people.names_of(connection, {one.written_by for one in versions}) if leads else {}
    number = version or (versions[0].version if versions else 0)
    diff = campaign_api.compare(database, viewer.campaign, number) if number else None
    shown = next((one for one in versions if one.version == number), None)
    return html.page(
        request, "guidelines.html", viewer, versions=versions, shown=shown, text=render.render(shown.text) if shown else "", diff=diff,
        leads=leads, names=names,
    )  # fmt: skip


@router.post("/markdown")
def markdown(request: Request, viewer: Lead, text: Text = "", guidelines: Text = "") -> Response:
    """The part of a page that shows what is being written, whichever field it is."""
    return html.page(request, "_rendered.html", viewer, text=render.render(text or guidelines))


@router.get("/c/{slug}/settings")
def settings(
    request: Request, slug: str, viewer: Lead, database: Database, configured: Configured
) -> Response:
    with database.read() as connection:
        chosen = chats.list_answerers(connection, viewer.campaign.id)
    return _settings_page(request, viewer, database, configured, answering.of(chosen))


@router.post("/c/{slug}/answerers")
def set_answerers(
    request: Request,
    slug: str,
    viewer: Lead,
    database: Database,
    configured: Configured,
    asked: Annotated[Answering, Form()],
) -> Response:
    """Who answers in a live chat."""
    try:
        chosen = chat_api.checked(asked.chosen(needed=True), configured)
        with database.write() as connection:
            chats.set_answerers(connection, viewer.campaign, chosen, by=viewer.rater)
    except FairleadError as error:
        return _settings_page(request, viewer, database, configured, asked, error=error)
    return RedirectResponse(f"/c/{slug}/settings?saved=true#who-answers", 303)


# ---------------------------------------------------------------- details


def job_values(viewer: Viewer, database: Database, job: jobs.Job) -> dict[str, Any]:
    """What the part about a job shows: also the first rows that it set aside."""
    with database.read() as connection:
        num = imports.count_set_aside(connection, job.id) if job.kind == imports.JOB_KIND else 0
        problems = imports.list_set_aside(connection, job.id, limit=SHOWN_PROBLEMS) if num else []
    return {"record": job, "num_problems": num, "problems": problems}


def said(value: dict[str, Any]) -> str:
    """Texts are shown apart."""
    return phrases.verdict(value | {"text": "a text"} if "text" in value else value)


def _settings_page(
    request: Request,
    viewer: Viewer,
    database: Database,
    configured: Configured,
    asked: Answering,
    *,
    error: FairleadError | None = None,
) -> Response:
    one = campaign_api.one(viewer.campaign.slug, viewer, database)
    problem = (
        None
        if error is None
        else next(iter(error.problems.values()))
        if isinstance(error, Invalid)
        else str(error)
    )
    return html.page(
        request, "settings.html", viewer, status=422 if error else 200, campaign=one, kind_name=KIND_NAMES[one.kind], currencies=CURRENCIES,
        answering=answering.fields(configured, asked) if one.kind == "chat" else None, problem=problem,
        saved="saved" in request.query_params, nobody=not any(asked.who), asks=task_kinds.KINDS_WITH_OPTION,
    )  # fmt: skip


def _add_page(
    request: Request, viewer: Viewer, settings: Configured, *, error: FairleadError | None = None
) -> Response:
    found = item_api.rollouts(viewer, settings)
    return html.page(
        request, "add.html", viewer, status=422 if error else 200, rollouts=found.rollouts, error=str(error) if error else None,
        max_mb=settings.upload_mb, has_project=settings.project is not None,
    )  # fmt: skip


def _looked(
    request: Request,
    viewer: Viewer,
    database: Database,
    settings: Configured,
    asked: OriginIn,
    *,
    error: FairleadError | None = None,
) -> Response:
    body = PreviewIn(kind=viewer.campaign.kind, **asked.model_dump(include=set(OriginIn.model_fields)))
    preview = None
    try:
        preview = item_api.look_ahead(body, viewer, database, settings)
    except FairleadError as problem:
        error = error or problem
    template = "_rows.html" if request.headers.get("hx-request") else "add_rows.html"
    return html.page(
        request, template, viewer, status=422 if error else 200, body=body, preview=preview, error=str(error) if error else None,
        query=item_api.query(body), priority=getattr(asked, "priority", 0),
    )  # fmt: skip
