"""Item search for leads: by words and by state, and the details of a single item.

The search scans the stored JSON without an index, which is fast enough for a page of results.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, NamedTuple, get_args

from sqlalchemy import ColumnElement, Connection, Text, and_, cast, exists, false, func, or_, select

from fairlead.labels import flags, items, judgements, stranded
from fairlead.labels.assignments import assignment_table
from fairlead.labels.database import format_time
from fairlead.labels.flags import Flag, flag_table
from fairlead.labels.items import Item, item_table, slot_table
from fairlead.labels.judgements import Judgement, judgement_table
from fairlead.labels.stranded import Skip

ItemState = Literal["any", "open", "judged", "done", "flagged", "skipped", "disputed", "reveals", "archived"]
ITEM_STATES: tuple[ItemState, ...] = get_args(ItemState)


ItemOrder = Literal["oldest", "newest", "priority"]
ITEM_ORDERS: tuple[ItemOrder, ...] = get_args(ItemOrder)
_ORDERS: Mapping[ItemOrder, tuple[Any, ...]] = {
    "oldest": (item_table.c.id,),
    "newest": (item_table.c.id.desc(),),
    "priority": (item_table.c.priority.desc(), item_table.c.id.desc()),
}
MAX_COUNTED = 10_000  # hits of a search


@dataclass(frozen=True)
class ItemQuery:
    """Items that contain all words and have the state.

    With a rater, those that the rater has judged, skipped or holds; with "skipped", those they skipped.
    """

    words: str = ""
    state: ItemState = "any"
    rater: str = ""
    order: ItemOrder = "oldest"


ALL_ITEMS = ItemQuery()


class HitCount(NamedTuple):
    num: int
    is_more: bool  # there are more than `num`


@dataclass(frozen=True)
class ItemSummary:
    item: Item
    num_open: int
    num_held: int
    num_done: int
    num_flags: int  # unresolved flags


@dataclass(frozen=True)
class ItemDetails:
    """An item with all its judgements and flags."""

    summary: ItemSummary
    standing: list[Judgement]
    superseded: list[Judgement]  # includes withdrawn judgements
    flags: list[Flag]
    skips: list[Skip]


def search(
    connection: Connection,
    campaign_id: int,
    query: ItemQuery = ALL_ITEMS,
    *,
    after: int = 0,
    offset: int = 0,
    limit: int = 50,
    at: datetime | None = None,
) -> list[ItemSummary]:
    """Matching items in their order, after an id (of the oldest first) or after a number of hits."""
    # Only ids are skipped, which an index holds.
    ids = select(item_table.c.id).where(*_matches(campaign_id, query, at)).order_by(*_ORDERS[query.order])
    if after:
        ids = ids.where(item_table.c.id > after)
    page_ids = list(connection.execute(ids.offset(offset).limit(limit)).scalars())
    page = {item.id: item for item in items.get_many(connection, campaign_id, page_ids)}
    matching = [page[item_id] for item_id in page_ids if item_id in page]
    return _summaries(connection, campaign_id, matching, at)


def count_hits(connection: Connection, campaign_id: int, query: ItemQuery) -> HitCount:
    """The number of matching items; counting stops at MAX_COUNTED, except for a list without a filter."""
    matching = select(item_table.c.id).where(*_matches(campaign_id, query, None))
    is_filtered = bool(query.words.strip() or query.rater or query.state not in ("any", "archived"))
    if is_filtered:
        matching = matching.limit(MAX_COUNTED + 1)
    num = int(connection.execute(select(func.count()).select_from(matching.subquery())).scalar_one())
    is_more = is_filtered and num > MAX_COUNTED
    return HitCount(min(num, MAX_COUNTED) if is_filtered else num, is_more)


def get_details(
    connection: Connection, campaign_id: int, item_id: int, *, at: datetime | None = None
) -> ItemDetails:
    """Raises NotFound for an item that is not in the campaign."""
    item = items.get(connection, campaign_id, item_id)
    (summary,) = _summaries(connection, campaign_id, [item], at)
    all_judgements = judgements.list_of_items(connection, [item_id])
    standing = judgements.list_current(connection, campaign_id, item_id=item_id)
    current_ids = {judgement.id for judgement in standing}
    return ItemDetails(
        summary=summary,
        standing=standing,
        superseded=[judgement for judgement in all_judgements if judgement.id not in current_ids],
        flags=flags.list_of_items(connection, [item_id]),
        skips=stranded.skips_of_items(connection, [item_id]).get(item_id, []),
    )


def count_items(connection: Connection, campaign_ids: Sequence[int]) -> Mapping[int, int]:
    """Number of items by campaign, without archived ones."""
    query = (
        select(item_table.c.campaign_id, func.count())
        .where(item_table.c.campaign_id.in_(campaign_ids), item_table.c.archived_at.is_(None))
        .group_by(item_table.c.campaign_id)
    )
    counts = {campaign_id: count for campaign_id, count in connection.execute(query)}
    return {campaign_id: counts.get(campaign_id, 0) for campaign_id in campaign_ids}


def _summaries(
    connection: Connection, campaign_id: int, page: Sequence[Item], at: datetime | None
) -> list[ItemSummary]:
    ids = [item.id for item in page]
    counts = {item_id: {"open": 0, "held": 0, "done": 0} for item_id in ids}
    by_state = (
        select(slot_table.c.item_id, slot_table.c.state, func.count())
        .where(slot_table.c.item_id.in_(ids))
        .group_by(slot_table.c.item_id, slot_table.c.state)
    )
    for item_id, state, count in connection.execute(by_state):
        counts[item_id][state] = count
    expired = select(slot_table.c.item_id, func.count()).where(slot_table.c.item_id.in_(ids), _is_expired(at))
    for item_id, count in connection.execute(expired.group_by(slot_table.c.item_id)):
        counts[item_id]["held"] -= count
        counts[item_id]["open"] += count
    open_flags = select(flag_table.c.item_id, func.count()).where(
        flag_table.c.campaign_id == campaign_id,
        flag_table.c.resolved_at.is_(None),
        flag_table.c.item_id.in_(ids),
    )
    num_flags = {
        item_id: count for item_id, count in connection.execute(open_flags.group_by(flag_table.c.item_id))
    }
    return [
        ItemSummary(
            item,
            num_open=counts[item.id]["open"],
            num_held=counts[item.id]["held"],
            num_done=counts[item.id]["done"],
            num_flags=num_flags.get(item.id, 0),
        )
        for item in page
    ]


def _matches(campaign_id: int, query: ItemQuery, at: datetime | None) -> list[ColumnElement[bool]]:
    is_archived = query.state == "archived"
    archived_at = item_table.c.archived_at
    conditions = [
        item_table.c.campaign_id == campaign_id,
        archived_at.is_not(None) if is_archived else archived_at.is_(None),
        *(_contains(word) for word in query.words.split()[:8]),
    ]
    if query.state not in ("any", "archived"):
        conditions.append(_has_state(query.state, at))
    if query.rater:
        hows = ("skipped",) if query.state == "skipped" else ("judged", "skipped")
        holds = assignment_table.c.how.is_(None) if query.state != "skipped" else false()
        taken = or_(holds, assignment_table.c.how.in_(hows))
        mine = (assignment_table.c.item_id == item_table.c.id, assignment_table.c.rater == query.rater)
        conditions.append(exists().where(*mine, taken))
    return conditions


def _contains(word: str) -> ColumnElement[bool]:
    """SQL condition: the prompt, answers, tags, id or metadata contain the word, in any case.

    Stored JSON escapes characters beyond ASCII, so the search uses the escaped form of each case.
    """
    forms = {json.dumps(form)[1:-1] for form in (word, word.lower(), word.upper(), word.capitalize())}
    columns = (
        cast(item_table.c.prompt, Text),
        cast(item_table.c.answers, Text),
        cast(item_table.c.tags, Text),
        cast(item_table.c.carried, Text),
    )
    return or_(*(column.icontains(form, autoescape=True) for column in columns for form in sorted(forms)))


def _has_state(state: ItemState, at: datetime | None) -> ColumnElement[bool]:
    def has(slot_state: str) -> ColumnElement[bool]:
        return exists().where(slot_table.c.item_id == item_table.c.id, slot_table.c.state == slot_state)

    if state == "done":
        return and_(~has("open"), ~has("held"))
    if state == "judged":
        return exists().where(judgement_table.c.item_id == item_table.c.id)
    if state == "flagged":
        return exists().where(
            flag_table.c.item_id == item_table.c.id,
            flag_table.c.campaign_id == item_table.c.campaign_id,
            flag_table.c.resolved_at.is_(None),
        )
    if state == "skipped":
        return exists().where(
            assignment_table.c.item_id == item_table.c.id, assignment_table.c.how == "skipped"
        )
    if state == "disputed":
        return _is_disputed()
    if state == "reveals":
        return item_table.c.reveals.is_not(None)
    expired = exists().where(slot_table.c.item_id == item_table.c.id, _is_expired(at))
    return or_(has("open"), expired)


def _is_expired(at: datetime | None) -> ColumnElement[bool]:
    """SQL condition: the slot is held, but its lease has expired, so that anybody can get it."""
    return and_(
        slot_table.c.state == "held",
        exists().where(
            assignment_table.c.token == slot_table.c.token,
            assignment_table.c.how.is_(None),
            assignment_table.c.expires_at < format_time(at or datetime.now(UTC)),
        ),
    )


def _is_disputed() -> ColumnElement[bool]:
    """SQL condition: two raters contradict each other.

    One prefers the first answer and one the second, one calls it good and one bad, scores lie two steps or
    more apart, or rankings differ.
    """
    value = judgement_table.c.value
    preference, score = value["preference"].as_integer(), value["score"].as_integer()
    ranks, label = value["ranks"].as_string(), value["label"].as_string()
    contradictory = or_(
        and_(func.min(preference) < 0, func.max(preference) > 0),
        func.max(score) - func.min(score) >= 2,
        func.min(label) != func.max(label),
        func.min(ranks) != func.max(ranks),
    )
    return exists(
        select(judgement_table.c.item_id)
        .where(judgement_table.c.item_id == item_table.c.id, judgements.is_current())
        .group_by(judgement_table.c.item_id)
        .having(contradictory)
    )
