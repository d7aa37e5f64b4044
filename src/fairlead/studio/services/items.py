"""Items of a campaign: add by API, search, show one with its judgements and flags, set the priority."""

from typing import Annotated, Any

from pydantic import BaseModel, Field

from fairlead.data.parsing import check_turns, read_messages
from fairlead.data.records import Messages
from fairlead.data.row_problem import BadRow, RowLocation
from fairlead.labels import (
    campaigns,
    item_archive,
    item_search,
    items,
    judgements,
    members,
    people,
    reservations,
    stranded,
)
from fairlead.labels.errors import Invalid, Stale
from fairlead.labels.flags import Flag
from fairlead.labels.item_search import HitCount, ItemQuery, ItemSummary
from fairlead.labels.items import CandidateAnswer, NewItem
from fairlead.labels.judgements import Judgement
from fairlead.labels.task_kinds import TaskKind
from fairlead.studio.auth import Viewer
from fairlead.studio.request_body import RequestBody
from fairlead.studio.services import blinding
from fairlead.studio.services.imports import AnswerOut, Reference, answer_out, carried_out
from fairlead.studio.services.rendering import PromptMessage, render_prompt
from fairlead.studio.state import Database


class MessageIn(RequestBody):
    role: Annotated[str, Field(max_length=20)]
    content: Annotated[str, Field(max_length=items.MAX_TEXT)]


class AnswerIn(RequestBody):
    messages: list[MessageIn] = Field(max_length=200)
    source: Reference | None = None


class ItemIn(RequestBody):
    prompt: list[MessageIn] = Field(max_length=500)
    answers: list[AnswerIn] = Field([], max_length=8)
    tags: list[Annotated[str, Field(max_length=100)]] = Field([], max_length=50)
    priority: int = 0
    selection_probability: float | None = None
    strategy: Annotated[str, Field(max_length=40)] = "all"
    external_id: Reference | None = Field(None, description="Your own id, repeated in exports as `id`.")
    metadata: dict[str, Any] | None = Field(
        None, description="Anything that exports should repeat. Labellers never see it."
    )
    reference: Annotated[str, Field(max_length=items.MAX_TEXT)] | None = Field(
        None, description="A correct answer, repeated in exports. Labellers never see it."
    )


class ItemsIn(RequestBody):
    items: list[ItemIn] = Field(min_length=1, max_length=500)


class AddedOut(BaseModel):
    num_added: int
    num_duplicates: int


class ItemOut(BaseModel):
    id: int
    prompt: list[PromptMessage]
    answers: list[AnswerOut]
    tags: list[str]
    priority: int
    selection_probability: float | None
    strategy: str
    source: str
    external_id: str | None = Field(description="The id of the row that the item was made of.")
    metadata: dict[str, Any] | None = Field(description="Columns of the row that travel to exports.")
    reference: str | None
    created_at: str
    archived_at: str | None
    reveals: str | None = Field(description="Where an answer seems to name the model that wrote it.")
    num_open: int
    num_held: int
    num_done: int
    num_flags: int


class ItemsPage(BaseModel):
    items: list[ItemOut]
    next: int | None = Field(
        description="Value of `after` for the next page of the oldest first; null on the last page."
    )
    num_hits: int = Field(description="Matching items, counted up to 10,000 where a filter is set.")
    more_hits: bool = Field(description="Whether more items match than were counted.")
    has_next: bool


class JudgementOut(BaseModel):
    id: int
    rater: str
    value: dict[str, Any] = Field(description="Refers to answers by their index in `answers`.")
    margin: int | None
    reasons: list[str]
    note: str
    shown_order: list[int]
    guidelines_version: int
    active_ms: int
    late: bool
    quick: bool = Field(description="Made faster than the answers can be read.")
    implausible: bool = Field(
        description="More active time was reported than the server's clock allows; `active_ms` was cut."
    )
    stands: bool = Field(description="Neither corrected nor withdrawn.")
    made_at: str


class ItemFlag(BaseModel):
    id: int
    rater: str
    reason: str
    note: str
    raised_at: str
    resolved: bool
    resolved_at: str | None
    resolved_by: str | None = Field(description="Pseudonym of who settled the flag.")


class ItemSkip(BaseModel):
    rater: str
    reason: str
    skipped_at: str


class ItemDetailsOut(BaseModel):
    item: ItemOut
    judgements: list[JudgementOut]
    flags: list[ItemFlag]
    skips: list[ItemSkip]


class HandBackIn(RequestBody):
    rater: Annotated[str, Field(max_length=40)]


class ItemIds(RequestBody):
    items: list[Annotated[int, Field(ge=1, le=2**31 - 1)]] = Field(
        min_length=1, max_length=item_archive.MAX_ITEMS
    )


class ReserveIn(RequestBody):
    rater: Annotated[str, Field(max_length=40)]
    items: list[Annotated[int, Field(ge=1, le=2**31 - 1)]] | None = Field(
        None, max_length=reservations.MAX_ITEMS, description="By default the next items."
    )
    count: int = Field(reservations.MAX_ITEMS, ge=1, le=reservations.MAX_ITEMS)


class ChangedOut(BaseModel):
    num_changed: int = Field(description="Items that changed; those that were so already do not count.")


class PriorityIn(RequestBody):
    priority: int
    was: int | None = Field(
        None, description="The priority as you saw it. If somebody else has changed it, the answer is 409."
    )


def add_items(database: Database, viewer: Viewer, body: ItemsIn) -> AddedOut:
    rows = [_new_item(item, number, viewer.campaign.kind) for number, item in enumerate(body.items, start=1)]
    with database.write() as connection:
        added = items.add(connection, viewer.campaign, rows, by=viewer.rater)
    return AddedOut(**vars(added))


def search_items(
    database: Database,
    viewer: Viewer,
    query: ItemQuery,
    *,
    after: int = 0,
    page: int = 1,
    limit: int,
) -> ItemsPage:
    """A page of hits, by its number or by the last id of the page before."""
    offset = 0 if after else (page - 1) * limit
    campaign_id = viewer.campaign.id
    with database.read() as connection:  # one more than the limit tells whether there is a next page
        matches = item_search.search(
            connection, campaign_id, query, after=after, offset=offset, limit=limit + 1
        )
        shows_all = page == 1 and not after and len(matches) <= limit
        if shows_all:  # counting would search all items again
            hits = HitCount(len(matches), is_more=False)
        else:
            hits = item_search.count_hits(connection, campaign_id, query)
    shown = matches[:limit]
    return ItemsPage(
        items=[_item_out(match) for match in shown],
        next=shown[-1].item.id if len(matches) > limit and query.order == "oldest" else None,
        num_hits=hits.num,
        more_hits=hits.is_more,
        has_next=len(matches) > limit,
    )


def archive_items(database: Database, viewer: Viewer, body: ItemIds, *, archived: bool) -> ChangedOut:
    with database.write() as connection:
        num = item_archive.set_archived(
            connection, viewer.campaign, body.items, archived=archived, by=viewer.rater
        )
    return ChangedOut(num_changed=num)


def delete_items(database: Database, viewer: Viewer, body: ItemIds) -> ChangedOut:
    with database.write() as connection:
        num = item_archive.delete_unseen(connection, viewer.campaign, body.items, by=viewer.rater)
    return ChangedOut(num_changed=num)


def reserve_items(database: Database, viewer: Viewer, body: ReserveIn) -> ChangedOut:
    with database.write() as connection:
        num = reservations.reserve(
            connection, viewer.campaign, body.rater, item_ids=body.items, count=body.count, by=viewer.rater
        )
    return ChangedOut(num_changed=num)


def release_items(database: Database, viewer: Viewer, rater: str) -> ChangedOut:
    with database.write() as connection:
        num = reservations.release(connection, viewer.campaign, rater, by=viewer.rater)
    return ChangedOut(num_changed=num)


def get_item(database: Database, viewer: Viewer, item_id: int) -> ItemDetailsOut:
    """Adjudicators get what `blinding.blind_item` leaves of the item."""
    with database.read() as connection:
        details = item_search.get_details(connection, viewer.campaign.id, item_id)
    if not viewer.may("unblinded", viewer.campaign.id):
        details = blinding.blind_item(viewer.campaign, details)
    current = [_judgement_out(judgement, stands=True) for judgement in details.standing]
    superseded = [_judgement_out(judgement, stands=False) for judgement in details.superseded]
    return ItemDetailsOut(
        item=_item_out(details.summary),
        judgements=current + superseded,
        flags=[_item_flag(flag) for flag in details.flags],
        skips=[ItemSkip(**vars(skip)) for skip in details.skips],
    )


def rater_names(database: Database, details: ItemDetailsOut) -> dict[str, str]:
    """Pseudonym -> name of everybody who judged, flagged or skipped the item."""
    raters = {judgement.rater for judgement in details.judgements}
    raters |= {flag.rater for flag in details.flags} | {skip.rater for skip in details.skips}
    raters |= {flag.resolved_by for flag in details.flags if flag.resolved_by}
    with database.read() as connection:
        return people.names_of(connection, raters)


def set_priority(database: Database, viewer: Viewer, item_id: int, body: PriorityIn) -> None:
    with database.write() as connection:
        campaigns.lock_settings(connection, viewer.campaign)  # leads who set a priority take turns
        now = items.get(connection, viewer.campaign.id, item_id).priority
        if body.was is not None and now not in (body.was, body.priority):
            raise Stale(
                f"Somebody else has just set the priority to {now}. Save again to change it.",
                current={"priority": now},
            )
        items.set_priority(connection, viewer.campaign, {item_id: body.priority}, by=viewer.rater)


def list_raters(database: Database, viewer: Viewer) -> dict[str, str]:
    """Pseudonym -> name, or the pseudonym, of everybody who labels in the campaign or has judged there."""
    with database.read() as connection:
        raters = set(judgements.list_raters(connection, viewer.campaign.id))
        raters |= {member.rater for member in members.list_of_campaign(connection, viewer.campaign.id)}
        names = people.names_of(connection, raters)
    named = {rater: names.get(rater, rater) for rater in raters}
    return dict(sorted(named.items(), key=lambda pair: pair[1].lower()))


def list_labellers(database: Database, viewer: Viewer) -> dict[str, str]:
    """Pseudonym -> name of the members for whom items can be kept."""
    with database.read() as connection:
        present = members.list_of_campaign(connection, viewer.campaign.id)
    return {member.rater: member.name for member in present if member.role != "viewer"}


def hand_back(database: Database, viewer: Viewer, item_id: int, body: HandBackIn) -> None:
    with database.write() as connection:
        stranded.hand_back(connection, viewer.campaign, item_id, body.rater, by=viewer.rater)


def be_content(database: Database, viewer: Viewer, item_id: int) -> None:
    with database.write() as connection:
        stranded.be_content(connection, viewer.campaign, item_id, by=viewer.rater)


def _new_item(item: ItemIn, number: int, kind: TaskKind) -> NewItem:
    answers = tuple(
        CandidateAnswer(_parse_messages(answer.messages, f"answers[{index}]", number), answer.source)
        for index, answer in enumerate(item.answers)
    )
    prompt = _parse_messages(item.prompt, "prompt", number)
    if kind not in ("conversation", "chat"):
        _require_user_turn(prompt, number)
    carried = {"id": item.external_id, "metadata": item.metadata}
    return NewItem(
        prompt=prompt,
        answers=answers,
        tags=tuple(item.tags),
        reference=item.reference,
        carried={name: value for name, value in carried.items() if value},
        priority=item.priority,
        selection_probability=item.selection_probability,
        strategy=item.strategy,
        source="api",
    )


def _parse_messages(messages: list[MessageIn], field: str, number: int) -> Messages:
    try:
        return read_messages(
            [message.model_dump() for message in messages], field, RowLocation("items", number)
        )
    except BadRow as error:
        raise _invalid_item(error, number) from error


def _require_user_turn(prompt: Messages, number: int) -> None:
    """A prompt that is to be answered starts and ends with the user."""
    try:
        check_turns(prompt, "prompt", RowLocation("items", number), first="user", last="user")
    except BadRow as error:
        raise _invalid_item(error, number) from error


def _invalid_item(error: BadRow, number: int) -> Invalid:
    return Invalid({error.problem.field: f"item {number}: {error.problem.why}"})


def _item_out(summary: ItemSummary) -> ItemOut:
    item = summary.item
    return ItemOut(
        id=item.id,
        prompt=render_prompt(item.prompt),
        answers=[answer_out(answer) for answer in item.answers],
        tags=list(item.tags),
        priority=item.priority,
        selection_probability=item.selection_probability,
        strategy=item.strategy,
        source=item.source,
        **carried_out(item),
        created_at=item.created_at,
        archived_at=item.archived_at,
        reveals=item.reveals,
        num_open=summary.num_open,
        num_held=summary.num_held,
        num_done=summary.num_done,
        num_flags=summary.num_flags,
    )


def _judgement_out(judgement: Judgement, *, stands: bool) -> JudgementOut:
    return JudgementOut(
        id=judgement.id,
        rater=judgement.rater,
        value=judgement.value,
        margin=judgement.margin,
        reasons=list(judgement.reasons),
        note=judgement.note,
        shown_order=list(judgement.order),
        guidelines_version=judgement.guidelines_version,
        active_ms=judgement.active_ms,
        late=judgement.late,
        quick=judgement.quick,
        implausible=judgement.implausible,
        stands=stands,
        made_at=judgement.made_at,
    )


def _item_flag(flag: Flag) -> ItemFlag:
    return ItemFlag(
        id=flag.id,
        rater=flag.rater,
        reason=flag.reason,
        note=flag.note,
        raised_at=flag.raised_at,
        resolved=flag.resolved_at is not None,
        resolved_at=flag.resolved_at,
        resolved_by=flag.resolved_by,
    )
