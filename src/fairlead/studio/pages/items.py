"""Pages of the items of a campaign: the list with filters, changes of several items, and one item."""

from typing import Annotated, Any, Literal
from urllib.parse import urlencode

from fastapi import APIRouter, Form, Path, Query, Request, Response
from fastapi.responses import RedirectResponse
from pydantic import BaseModel, Field

from fairlead.core.errors import FairleadError
from fairlead.core.plural import counted
from fairlead.labels import item_search
from fairlead.labels.errors import Invalid
from fairlead.labels.item_search import ItemOrder, ItemQuery, ItemState
from fairlead.studio import page_templates, phrases
from fairlead.studio.access_control import Adjudicator, Lead
from fairlead.studio.auth import Viewer
from fairlead.studio.errors import status_of
from fairlead.studio.services import campaigns, items, jobs, people
from fairlead.studio.services.items import ItemIds, ReserveIn
from fairlead.studio.state import Database

router = APIRouter()

Id = Annotated[int, Path(ge=1, le=2**31 - 1)]
ItemId = Annotated[int, Field(ge=1, le=2**31 - 1)]
ITEMS_PER_PAGE = 25
NUM_RECENT_JOBS = 5


Done = Literal["archive", "restore", "delete", "reserve"]
DONE: dict[Done, str] = {
    "archive": "archived",
    "restore": "restored",
    "delete": "deleted",
    "reserve": "kept for this person",
}


class Filters(BaseModel):
    """Which items are listed, and in which order."""

    q: Annotated[str, Field(max_length=500)] = ""
    state: ItemState = "any"
    rater: Annotated[str, Field(max_length=40)] = ""
    order: ItemOrder = "oldest"
    page: Annotated[int, Field(ge=1, le=1_000_000)] = 1

    def url(self, **changes: Any) -> str:
        """The list with these filters, on the first page unless a page is given."""
        values = self.model_dump(exclude_defaults=True, exclude={"page"}) | changes
        return "?" + urlencode(values)


class ItemsForm(Filters):
    """Checked items, and what to do with them."""

    action: Done
    items: Annotated[list[ItemId], Field(max_length=ITEMS_PER_PAGE)] = []
    shown: Annotated[list[ItemId], Field(max_length=ITEMS_PER_PAGE)] = []
    whole_page: bool = False
    person: Annotated[str, Field(max_length=40)] = ""


@router.get("/c/{slug}/items")
def items_page(
    request: Request,
    slug: str,
    viewer: Lead,
    database: Database,
    filters: Annotated[Filters, Query()],
    done: Done | None = None,
    num: Annotated[int, Query(ge=0, le=2**31 - 1)] = 0,
) -> Response:
    notice = f"{counted(num, 'item')} {DONE[done]}." if done else ""
    return _items_page(request, viewer, database, filters, notice=notice)


@router.post("/c/{slug}/items")
def change_items(
    request: Request, slug: str, viewer: Lead, database: Database, form: Annotated[ItemsForm, Form()]
) -> Response:
    filters = Filters(**form.model_dump(include=set(Filters.model_fields)))
    try:
        num = _change(viewer, database, form)
    except FairleadError as error:
        return _items_page(request, viewer, database, filters, error=error)
    request.app.state.dashboard.forget(viewer.campaign)
    return RedirectResponse(f"/c/{slug}/items{filters.url(page=form.page, done=form.action, num=num)}", 303)


@router.get("/c/{slug}/items/{item_id}")
def item_page(request: Request, slug: str, item_id: Id, viewer: Adjudicator, database: Database) -> Response:
    leads = viewer.may("lead", viewer.campaign.id)
    details = items.get_item(database, viewer, item_id)
    return page_templates.page(
        request,
        "item.html",
        viewer,
        item=details.item,
        judgements=details.judgements,
        skips=details.skips,
        flags=details.flags,
        names=items.rater_names(database, details) if leads else {viewer.rater: "You"},
        leads=leads,
        verdict=verdict_without_text,
        phrases=phrases,
    )


# ---------------------------------------------------------------- details


def verdict_without_text(value: dict[str, Any]) -> str:
    """The verdict in words.  The item page shows written texts separately."""
    return phrases.verdict(value | {"text": "a text"} if "text" in value else value)


def _change(viewer: Viewer, database: Database, form: ItemsForm) -> int:
    """Do what the form says, and return how many items it changed."""
    chosen = form.shown if form.whole_page else form.items
    if not chosen:
        raise Invalid({"items": "are not chosen. Tick the items first"})
    if form.action == "reserve":
        if not form.person:
            raise Invalid({"person": "is not chosen. Choose who gets these items"})
        reservation = ReserveIn(rater=form.person, items=chosen, count=len(chosen))
        return items.reserve_items(database, viewer, reservation).num_changed
    body = ItemIds(items=chosen)
    if form.action == "delete":
        return items.delete_items(database, viewer, body).num_changed
    archived = form.action == "archive"
    return items.archive_items(database, viewer, body, archived=archived).num_changed


def _items_page(
    request: Request,
    viewer: Viewer,
    database: Database,
    filters: Filters,
    *,
    notice: str = "",
    error: FairleadError | None = None,
) -> Response:
    recent = jobs.view_recent_jobs(database, viewer, kinds=jobs.ITEM_JOBS, limit=NUM_RECENT_JOBS)
    query = ItemQuery(filters.q, filters.state, filters.rater, filters.order)
    results = items.search_items(database, viewer, query, page=filters.page, limit=ITEMS_PER_PAGE)
    return page_templates.page(
        request,
        "items.html",
        viewer,
        status=status_of(error),
        campaign=campaigns.get_campaign(database, viewer.campaign),
        results=results,
        filters=filters,
        num_pages=max(1, -(-results.num_hits // ITEMS_PER_PAGE)),
        raters=items.list_raters(database, viewer),
        members=items.list_labellers(database, viewer),
        states=item_search.ITEM_STATES,
        orders=item_search.ITEM_ORDERS,
        jobs=recent,
        uninvited=not people.anybody_labels(database, viewer),
        phrases=phrases,
        notice=notice,
        error=str(error) if error else None,
    )
