"""Campaigns: made, listed, changed, opened and closed; and their guidelines, of which every version stays."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query
from pydantic import BaseModel, Field
from sqlalchemy import Connection

from fairlead.labels import assignments, campaigns, chats, guideline_diff, item_search, items, members, people
from fairlead.labels.campaigns import Campaign, CampaignState, Guidelines
from fairlead.labels.errors import Conflict, NotFound
from fairlead.labels.task_kinds import TaskKind
from fairlead.studio import render
from fairlead.studio.api.chat import NOBODY
from fairlead.studio.auth import Viewer
from fairlead.studio.permissions import Lead, Member, Watcher
from fairlead.studio.state import Database

router = APIRouter(tags=["campaigns"])

HERE = "/campaigns/{slug}"
Name = Annotated[str, Field(max_length=1000)]
Word = Annotated[str, Field(max_length=200)]
Version = Annotated[int, Path(ge=1, le=2**31 - 1)]


class Progress(BaseModel):
    items: int
    wanted: int = Field(description="Judgements, over all items.")
    open: int
    held: int
    done: int


class CampaignOut(BaseModel):
    slug: str
    name: str
    kind: TaskKind
    state: CampaignState
    overlap: int = Field(description="Judgements wanted of each item.")
    audience: str
    pay_per_hour: float | None = Field(description="Of active time.")
    currency: str
    lease_s: int = Field(description="Seconds for which an item is held without a sign of life.")
    options: dict[str, Any] = Field(description="aspects, chips, points")
    created_at: str
    progress: Progress


class Campaigns(BaseModel):
    campaigns: list[CampaignOut]


class NewCampaign(BaseModel):
    name: Name
    kind: TaskKind
    overlap: int = 1
    audience: str = Field("", max_length=10_000)
    pay_per_hour: float | None = None
    currency: Word = "EUR"
    lease_s: int = 1800
    aspects: list[Word] = Field(
        [], max_length=50, description="For pairwise and aspects: what is judged one by one."
    )
    chips: list[Word] = Field([], max_length=50, description="Reasons that people choose from.")
    points: int = Field(7, description="Steps of a rating, 2 to 10.")
    guidelines: str = Field("", max_length=200_000, description="Markdown.")


class CampaignChange(BaseModel):
    """What is left out stays as it is; `pay_per_hour` 0 is nothing."""

    name: Name | None = None
    audience: str | None = Field(None, max_length=10_000)
    pay_per_hour: float | None = None
    currency: Word | None = None
    lease_s: int | None = None
    overlap: int | None = None
    aspects: list[Word] | None = Field(None, max_length=50)
    chips: list[Word] | None = Field(None, max_length=50)
    points: int | None = None


class StateChange(BaseModel):
    state: Literal["open", "paused", "closed"]


class GuidelinesOut(BaseModel):
    version: int
    text: str = Field(description="Markdown.")
    html: str
    written_by: str
    written_at: str


class Versions(BaseModel):
    versions: list[GuidelinesOut] = Field(description="The latest first.")


class NewGuidelines(BaseModel):
    text: str = Field(max_length=200_000)


class DiffLine(BaseModel):
    what: Literal["same", "added", "removed"]
    text: str


class Diff(BaseModel):
    before: int
    after: int
    lines: list[DiffLine]


class Markdown(BaseModel):
    text: str = Field(max_length=200_000)


class Rendered(BaseModel):
    html: str
    dir: Literal["ltr", "rtl"]


@router.get("/campaigns")
def every(viewer: Watcher, database: Database) -> Campaigns:
    """Those that you may watch, the newest first."""
    return Campaigns(campaigns=listed(viewer, database))


def listed(viewer: Viewer, database: Database) -> list[CampaignOut]:
    with database.read() as connection:
        ids = None if viewer.role is not None else list(viewer.memberships)
        found = [one for one in campaigns.list_all(connection, ids=ids) if viewer.may("viewer", one.id)]
        counts = items.slot_counts(connection, [one.id for one in found])
        totals = item_search.count_items(connection, [one.id for one in found])
    return [_campaign(one, counts[one.id], totals[one.id]) for one in found]


@router.post("/campaigns", status_code=201)
def create(body: NewCampaign, viewer: Lead, database: Database) -> CampaignOut:
    """A draft, whose lead you are."""
    with database.write() as connection:
        found = made(connection, body, viewer)
    return _campaign(found, {"open": 0, "held": 0, "done": 0}, 0)


def made(connection: Connection, body: NewCampaign, viewer: Viewer) -> Campaign:
    options = {"aspects": body.aspects, "chips": body.chips, "points": body.points}
    one = campaigns.create(connection, campaigns.CampaignSettings(name=body.name, kind=body.kind, options=options, overlap=body.overlap, audience=body.audience, pay_per_hour=body.pay_per_hour, currency=body.currency, lease_s=body.lease_s, guidelines=body.guidelines), by=viewer.rater)  # fmt: skip
    if not viewer.leads_all:
        members.join(connection, people.get_by_id(connection, viewer.person), one.id, "lead", by=viewer.rater)
    return one


@router.get(HERE)
def one(slug: str, viewer: Watcher, database: Database) -> CampaignOut:
    return _read(database, viewer.campaign)


@router.patch(HERE)
def change(slug: str, body: CampaignChange, viewer: Lead, database: Database) -> CampaignOut:
    """Kind and address stay. A lower overlap takes open judgements away; what is held or done stays."""
    given = body.model_dump(exclude_none=True)
    options: dict[str, Any] = {
        name: given.pop(name) for name in ("aspects", "chips", "points") if name in given
    }
    overlap = given.pop("overlap", None)
    if given.get("pay_per_hour") == 0:
        given["pay_per_hour"] = None
    with database.write() as connection:
        here = campaigns.get(connection, slug)
        if options:
            given["options"] = assignments.merge_options(connection, here, options)
        if given:
            here = campaigns.change(connection, here, by=viewer.rater, **given)
        if overlap is not None and overlap != here.overlap:
            items.set_overlap(connection, here, overlap, by=viewer.rater)
        here = campaigns.get_by_id(connection, here.id)
    return _read(database, here)


@router.post(HERE + "/state")
def set_state(slug: str, body: StateChange, viewer: Lead, database: Database) -> CampaignOut:
    """Open it to hand out work, pause it, close it; a closed one can be opened again. What people still send is kept in any state."""
    with database.write() as connection:
        here = to_state(connection, viewer.campaign, body.state, viewer)
    return _read(database, here)


def to_state(connection: Connection, here: Campaign, state: CampaignState, viewer: Viewer) -> Campaign:
    if state == "open" and here.kind == "chat" and not chats.list_answerers(connection, here.id):
        raise Conflict(NOBODY)
    return campaigns.set_state(connection, here, state, by=viewer.rater)


# ---------------------------------------------------------------- guidelines


@router.get(HERE + "/guidelines")
def versions(slug: str, viewer: Member, database: Database) -> Versions:
    with database.read() as connection:
        return Versions(
            versions=[
                _guidelines(found)
                for found in campaigns.list_guideline_versions(connection, viewer.campaign.id)
            ]
        )


@router.post(HERE + "/guidelines", status_code=201)
def write(slug: str, body: NewGuidelines, viewer: Lead, database: Database) -> GuidelinesOut:
    """A new version; the same text again makes none. Labellers are told that they changed."""
    with database.write() as connection:
        return _guidelines(
            campaigns.write_guidelines(connection, viewer.campaign, body.text, by=viewer.rater)
        )


@router.get(HERE + "/guidelines/{version}/diff")
def diff(
    slug: str,
    version: Version,
    viewer: Member,
    database: Database,
    against: Annotated[int | None, Query(ge=1, le=2**31 - 1)] = None,
) -> Diff:
    """What changed in a version, line by line, since the one before it or another."""
    return compare(database, viewer.campaign, version, against)


@router.post("/markdown")
def markdown(body: Markdown, viewer: Lead) -> Rendered:
    """How the studio shows a text."""
    return Rendered(html=render.render(body.text), dir=render.direction(body.text))


def compare(database: Database, here: Campaign, version: int, against: int | None = None) -> Diff:
    before = version - 1 if against is None else against
    with database.read() as connection:
        after_text = campaigns.get_guidelines(connection, here.id, version)
        before_text = campaigns.get_guidelines(connection, here.id, before) if before else None
    if after_text is None or (before and before_text is None):
        raise NotFound("there is no such version of the guidelines.")
    lines = guideline_diff.diff_lines(
        (before_text.text if before_text else "").splitlines(), after_text.text.splitlines()
    )
    return Diff(before=before, after=version, lines=[DiffLine(what=what, text=text) for what, text in lines])


def _read(database: Database, here: Campaign) -> CampaignOut:
    with database.read() as connection:
        return _campaign(
            here,
            items.slot_counts(connection, [here.id])[here.id],
            item_search.count_items(connection, [here.id])[here.id],
        )


def _campaign(one: Campaign, counts: dict[str, int], num_items: int) -> CampaignOut:
    progress = Progress(
        items=num_items,
        wanted=sum(counts.values()),
        open=counts["open"],
        held=counts["held"],
        done=counts["done"],
    )
    return CampaignOut(
        slug=one.slug, name=one.name, kind=one.kind, state=one.state, overlap=one.overlap, audience=one.audience,
        pay_per_hour=one.pay_per_hour, currency=one.currency, lease_s=one.lease_s, options=one.options, created_at=one.created_at,
        progress=progress,
    )  # fmt: skip


def _guidelines(found: Guidelines) -> GuidelinesOut:
    return GuidelinesOut(html=render.render(found.text), **vars(found))
