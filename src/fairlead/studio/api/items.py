"""API routes of items: uploads, imports, adding by program, search, details and priority."""

from typing import Annotated

from fastapi import APIRouter, Path, Query, Request, UploadFile

from fairlead.labels.item_search import ItemOrder, ItemQuery, ItemState
from fairlead.studio.access_control import Adjudicator, Lead
from fairlead.studio.services import imports, items
from fairlead.studio.services.imports import (
    ColumnsOut,
    ImportIn,
    ImportPreviewOut,
    PreviewIn,
    RolloutsList,
    UploadOut,
)
from fairlead.studio.services.items import (
    AddedOut,
    ChangedOut,
    HandBackIn,
    ItemDetailsOut,
    ItemIds,
    ItemsIn,
    ItemsPage,
    PriorityIn,
    ReserveIn,
)
from fairlead.studio.services.jobs import JobOut
from fairlead.studio.state import Configured, Database

router = APIRouter(tags=["items"])

CAMPAIGN = "/campaigns/{slug}"
Id = Annotated[int, Path(ge=1, le=2**31 - 1)]


@router.post("/uploads", status_code=201)
def upload(
    file: UploadFile,
    viewer: Lead,
    database: Database,
    settings: Configured,
    describe_later: Annotated[
        bool, Query(description="Keep a file whose columns are not understood, to describe them with `map`.")
    ] = False,
) -> UploadOut:
    """Upload a file of rows, in any format that `fairlead data import` reads, also compressed."""
    name = file.filename or ""
    return imports.store_upload(
        database, settings, viewer, file=file.file, filename=name, describe_later=describe_later
    )


@router.get("/uploads/{upload_id}", name="one_upload")
def get_upload(upload_id: Id, viewer: Lead, database: Database) -> UploadOut:
    """An upload of the viewer.  Leads of the whole studio can read every upload."""
    return imports.get_upload(database, viewer, upload_id)


@router.get("/uploads/{upload_id}/columns", name="columns")
def describe_columns(upload_id: Id, viewer: Lead, database: Database, settings: Configured) -> ColumnsOut:
    """The columns of an upload, their first values, and a suggestion of what they hold."""
    return imports.describe_columns(database, settings, viewer, upload_id)


@router.get("/rollouts", name="rollouts")
def list_rollouts(viewer: Lead, settings: Configured) -> RolloutsList:
    """Model answers of the project, written by `fairlead sample`."""
    return imports.list_rollouts(settings)


@router.post("/imports/preview", name="preview")
def preview_rows(body: PreviewIn, viewer: Lead, database: Database, settings: Configured) -> ImportPreviewOut:
    """The items that the first rows would become, and the rows that cannot be used."""
    return imports.preview_rows(database, settings, viewer, body)


@router.post(CAMPAIGN + "/imports", status_code=202, name="start")
def start_import(slug: str, body: ImportIn, viewer: Lead, database: Database, settings: Configured) -> JobOut:
    """Queue an import, in any state of the campaign.

    Rows that are already items are counted and not added again.
    """
    return imports.start_import(database, settings, viewer, body)


@router.post(CAMPAIGN + "/items", status_code=201, name="add")
def add_items(slug: str, body: ItemsIn, viewer: Lead, database: Database) -> AddedOut:
    """Add up to 500 items."""
    return items.add_items(database, viewer, body)


@router.get(CAMPAIGN + "/items")
def search(
    slug: str,
    viewer: Lead,
    database: Database,
    q: Annotated[
        str, Query(max_length=500, description="Words to find in the prompt, the answers or the tags.")
    ] = "",
    state: ItemState = "any",
    rater: Annotated[
        str, Query(max_length=40, description="Items that this rater judged, skipped or has.")
    ] = "",
    order: ItemOrder = "oldest",
    after: Annotated[int, Query(ge=0, le=2**31 - 1, description="Only with the oldest first.")] = 0,
    page: Annotated[int, Query(ge=1, le=1_000_000)] = 1,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> ItemsPage:
    """Items that match.  Archived items are found with the state `archived` only."""
    query = ItemQuery(words=q, state=state, rater=rater, order=order)
    return items.search_items(
        database, viewer, query, after=after if order == "oldest" else 0, page=page, limit=limit
    )


@router.post(CAMPAIGN + "/items/archive", name="archive")
def archive_items(slug: str, body: ItemIds, request: Request, viewer: Lead, database: Database) -> ChangedOut:
    """Hide items from lists and snapshots, and hand them out to nobody.  Their judgements stay."""
    changed = items.archive_items(database, viewer, body, archived=True)
    request.app.state.dashboard.forget(viewer.campaign)
    return changed


@router.post(CAMPAIGN + "/items/restore", name="restore")
def restore_items(slug: str, body: ItemIds, request: Request, viewer: Lead, database: Database) -> ChangedOut:
    """Bring archived items back."""
    changed = items.archive_items(database, viewer, body, archived=False)
    request.app.state.dashboard.forget(viewer.campaign)
    return changed


@router.post(CAMPAIGN + "/items/delete", name="delete")
def delete_items(slug: str, body: ItemIds, request: Request, viewer: Lead, database: Database) -> ChangedOut:
    """Delete items that have been handed out to nobody.  409 if one of them has been."""
    changed = items.delete_items(database, viewer, body)
    request.app.state.dashboard.forget(viewer.campaign)
    return changed


@router.post(CAMPAIGN + "/reservations", name="reserve")
def reserve_items(slug: str, body: ReserveIn, viewer: Lead, database: Database) -> ChangedOut:
    """Keep an open judgement of items for a member, who gets them first.  A skip gives them to everybody."""
    return items.reserve_items(database, viewer, body)


@router.delete(CAMPAIGN + "/reservations/{rater}", name="release")
def release_items(
    slug: str, rater: Annotated[str, Path(max_length=40)], viewer: Lead, database: Database
) -> ChangedOut:
    """Give the judgements that are kept for a member to everybody."""
    return items.release_items(database, viewer, rater)


@router.get(CAMPAIGN + "/items/{item_id}", name="one_item")
def get_item(slug: str, item_id: Id, viewer: Adjudicator, database: Database) -> ItemDetailsOut:
    """An item with every flag and every judgement, including corrected and withdrawn judgements.

    Adjudicators are not told which model wrote an answer, and get the answers in a random order.
    """
    return items.get_item(database, viewer, item_id)


@router.patch(CAMPAIGN + "/items/{item_id}", status_code=204)
def set_priority(slug: str, item_id: Id, body: PriorityIn, viewer: Lead, database: Database) -> None:
    """Set the priority, 0 to 100.  Items with a higher priority are assigned first."""
    items.set_priority(database, viewer, item_id, body)


@router.post(CAMPAIGN + "/items/{item_id}/hand-back", status_code=204, name="hand_back")
def hand_back(
    slug: str, item_id: Id, body: HandBackIn, request: Request, viewer: Lead, database: Database
) -> None:
    """Undo a rater's skip, so that this rater can get the item again."""
    items.hand_back(database, viewer, item_id, body)
    request.app.state.dashboard.forget(viewer.campaign)


@router.post(CAMPAIGN + "/items/{item_id}/enough", status_code=204, name="enough")
def be_content(slug: str, item_id: Id, request: Request, viewer: Lead, database: Database) -> None:
    """Ask for no more judgements of the item than it has or somebody works on."""
    items.be_content(database, viewer, item_id)
    request.app.state.dashboard.forget(viewer.campaign)
