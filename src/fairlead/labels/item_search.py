"""Items as a lead looks for them: by words of the prompt or answers and by how far they are; and one item with all that was said of it.

Words are looked for in what is stored, one item after another: fast enough for a page, and no index to keep.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from sqlalchemy import ColumnElement, Connection, Text, and_, cast, exists, func, or_, select

from fairlead.labels import items, judgements
from fairlead.labels.flags import Flag, flag_table
from fairlead.labels.items import Item, item_table, slot_table
from fairlead.labels.judgements import Judgement, judgement_table

ItemState = Literal["any", "open", "judged", "done", "flagged"]
ITEM_STATES: tuple[ItemState, ...] = get_args(ItemState)


@dataclass(frozen=True)
class ItemSummary:
    item: Item
    num_open: int
    num_held: int
    num_done: int
    num_flags: int  # that nobody has looked at


@dataclass(frozen=True)
class ItemDetails:
    """One item with everything that was said of it."""

    summary: ItemSummary
    standing: list[Judgement]
    superseded: list[Judgement]  # also what was withdrawn
    flags: list[Flag]


def search(
    connection: Connection,
    campaign_id: int,
    *,
    words: str = "",
    state: ItemState = "any",
    after: int = 0,
    limit: int = 50,
) -> list[ItemSummary]:
    """In the order of their ids."""
    query = (
        select(item_table)
        .where(item_table.c.campaign_id == campaign_id, item_table.c.id > after)
        .order_by(item_table.c.id)
        .limit(limit)
    )
    for word in words.split()[:8]:
        query = query.where(_contains(word))
    if state != "any":
        query = query.where(_has_state(state))
    return _summaries(connection, campaign_id, [items.from_row(row) for row in connection.execute(query)])


def get_details(connection: Connection, campaign_id: int, item_id: int) -> ItemDetails:
    (found,) = _summaries(connection, campaign_id, [items.get(connection, campaign_id, item_id)])
    every = judgements.list_of_item(connection, campaign_id, item_id)
    standing = judgements.list_current(connection, campaign_id, item_id=item_id)
    ids = {one.id for one in standing}
    rows = connection.execute(
        select(flag_table)
        .where(flag_table.c.campaign_id == campaign_id, flag_table.c.item_id == item_id)
        .order_by(flag_table.c.id)
    )
    return ItemDetails(
        found, standing, [one for one in every if one.id not in ids], [Flag(**row._mapping) for row in rows]
    )


def count_items(connection: Connection, campaign_ids: Sequence[int]) -> Mapping[int, int]:
    """Of each campaign."""
    query = (
        select(item_table.c.campaign_id, func.count())
        .where(item_table.c.campaign_id.in_(campaign_ids))
        .group_by(item_table.c.campaign_id)
    )
    counts = {campaign_id: count for campaign_id, count in connection.execute(query)}
    return {one: counts.get(one, 0) for one in campaign_ids}


def _summaries(connection: Connection, campaign_id: int, page: Sequence[Item]) -> list[ItemSummary]:
    ids = [one.id for one in page]
    counts = {one: {"open": 0, "held": 0, "done": 0} for one in ids}
    by_state = (
        select(slot_table.c.item_id, slot_table.c.state, func.count())
        .where(slot_table.c.item_id.in_(ids))
        .group_by(slot_table.c.item_id, slot_table.c.state)
    )
    for item_id, state, count in connection.execute(by_state):
        counts[item_id][state] = count
    open_flags = select(flag_table.c.item_id, func.count()).where(
        flag_table.c.campaign_id == campaign_id,
        flag_table.c.resolved_at.is_(None),
        flag_table.c.item_id.in_(ids),
    )
    flags = {
        item_id: count for item_id, count in connection.execute(open_flags.group_by(flag_table.c.item_id))
    }
    return [
        ItemSummary(
            one, counts[one.id]["open"], counts[one.id]["held"], counts[one.id]["done"], flags.get(one.id, 0)
        )
        for one in page
    ]


def _contains(word: str) -> ColumnElement[bool]:
    """Stored JSON has letters beyond ASCII as escapes, so these are looked for as they are written, in either case."""
    forms = {json.dumps(form)[1:-1] for form in (word, word.lower(), word.upper(), word.capitalize())}
    columns = (
        cast(item_table.c.prompt, Text),
        cast(item_table.c.answers, Text),
        cast(item_table.c.tags, Text),
    )
    return or_(*(column.icontains(form, autoescape=True) for column in columns for form in sorted(forms)))


def _has_state(state: ItemState) -> ColumnElement[bool]:
    def has(wanted: str) -> ColumnElement[bool]:
        return exists().where(slot_table.c.item_id == item_table.c.id, slot_table.c.state == wanted)

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
    return has("open")
