"""Say what the columns of an uploaded file hold: for a new campaign, and for items to add to a campaign."""

from typing import Annotated

from fastapi import APIRouter, Form, Query, Request, Response
from fastapi.responses import RedirectResponse
from pydantic import Field

from fairlead.core.errors import FairleadError
from fairlead.labels import row_to_items
from fairlead.studio import page_templates, phrases
from fairlead.studio.access_control import Lead
from fairlead.studio.auth import Viewer
from fairlead.studio.services import imports
from fairlead.studio.services.imports import ImportPreviewOut, OriginIn, PreviewIn, RolesIn
from fairlead.studio.settings import Settings
from fairlead.studio.state import Configured, Database

router = APIRouter()


class RolesForm(RolesIn):
    upload: Annotated[int, Field(ge=1, le=2**31 - 1)]


@router.get("/new/columns")
def new_columns_page(
    request: Request,
    viewer: Lead,
    database: Database,
    settings: Configured,
    origin: Annotated[OriginIn, Query()],
) -> Response:
    if origin.upload is None:
        return RedirectResponse("/new", 303)
    return _page(request, viewer, database, settings, origin)


@router.post("/new/columns")
def choose_new_columns(
    request: Request,
    viewer: Lead,
    database: Database,
    settings: Configured,
    form: Annotated[RolesForm, Form()],
) -> Response:
    return _chosen(request, viewer, database, settings, form, next_page="/new/kind")


@router.get("/c/{slug}/columns")
def columns_page(
    request: Request,
    slug: str,
    viewer: Lead,
    database: Database,
    settings: Configured,
    origin: Annotated[OriginIn, Query()],
) -> Response:
    if origin.upload is None:
        return RedirectResponse(f"/c/{slug}/add", 303)
    return _page(request, viewer, database, settings, origin)


@router.post("/c/{slug}/columns")
def choose_columns(
    request: Request,
    slug: str,
    viewer: Lead,
    database: Database,
    settings: Configured,
    form: Annotated[RolesForm, Form()],
) -> Response:
    return _chosen(request, viewer, database, settings, form, next_page=f"/c/{slug}/add")


# ---------------------------------------------------------------- details


def _chosen(
    request: Request,
    viewer: Viewer,
    database: Database,
    settings: Settings,
    form: RolesForm,
    *,
    next_page: str,
) -> Response:
    """Go on with the chosen roles if they make items.  For htmx, only the preview."""
    origin, preview = OriginIn.model_validate({"upload": form.upload}), None
    problem: FairleadError | None = None
    try:
        origin = imports.origin_of_roles(form.upload, form)
        preview = _preview(viewer, database, settings, origin)
    except FairleadError as error:
        problem = error
    if request.headers.get("hx-request"):
        message = str(problem) if problem else None
        return page_templates.page(request, "_rows.html", viewer, preview=preview, error=message)
    if problem is not None:
        return _page(request, viewer, database, settings, origin, error=problem)
    return RedirectResponse(f"{next_page}?{imports.to_query(origin)}", 303)


def _preview(viewer: Viewer, database: Database, settings: Settings, origin: OriginIn) -> ImportPreviewOut:
    _, row_kind = imports.describe_origin(database, settings, viewer, origin)
    kind = viewer.campaign.kind if viewer.route_campaign else row_to_items.task_kinds_of(row_kind)[0]
    return imports.preview_rows(database, settings, viewer, PreviewIn(kind=kind, **origin.model_dump()))


def _page(
    request: Request,
    viewer: Viewer,
    database: Database,
    settings: Settings,
    origin: OriginIn,
    *,
    error: FairleadError | None = None,
) -> Response:
    assert origin.upload is not None, "the routes send visitors without an upload elsewhere"
    described = imports.describe_columns(database, settings, viewer, origin.upload)
    columns = imports.with_roles(described, origin)
    preview = None
    try:
        roles = RolesIn(
            column=[column.name for column in columns],
            role=[column.role for column in columns],
            scale=origin.scale,
        )
        chosen = imports.origin_of_roles(origin.upload, roles)
        preview = _preview(viewer, database, settings, chosen)
    except FairleadError as problem:
        error = error or problem
    return page_templates.page(
        request,
        "columns.html",
        viewer,
        filename=described.filename,
        columns=columns,
        roles=phrases.COLUMN_ROLES,
        upload=origin.upload,
        scale=origin.scale,
        preview=preview,
        error=str(error) if error else None,
        action=f"/c/{viewer.campaign.slug}" if viewer.route_campaign else "/new",
    )
