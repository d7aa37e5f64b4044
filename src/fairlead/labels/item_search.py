"""Items as a lead looks for them: by words of the prompt or answers and by how far they are; and one item with all that was said of it.

Words are looked for in what is stored, one item after another: fast enough for a page, and no index to keep.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from sqlalchemy import ColumnElement, Connection, Text, and_, cast, exists, func, or_, select

from fairlead.labels import items, judgements
from fairlead.labels.items import Item, item, slot
from fairlead.labels.judgements import Flag, Judgement, flag, judgement

State = Literal["any", "open", "judged", "done", "flagged"]
STATES: tuple[State, ...] = get_args(State)


@dataclass(frozen=True)
class Found:
    item: Item
    num_open: int
    num_held: int
    num_done: int
    num_flags: int  # that nobody has looked at


@dataclass(frozen=True)
class Look:
    """One item with everything that was said of it."""

    found: Found
    standing: list[Judgement]
    superseded: list[Judgement]  # also what was withdrawn
    flags: list[Flag]


def search(
    connection: Connection,
    campaign_id: int,
    *,
    words: str = "",
    state: State = "any",
    after: int = 0,
    limit: int = 50,
) -> list[Found]:
    """In the order of their ids."""
    query = (
        select(item)
        .where(item.c.campaign_id == campaign_id, item.c.id > after)
        .order_by(item.c.id)
        .limit(limit)
    )
    for word in words.split()[:8]:
        query = query.where(_holds(word))
    if state != "any":
        query = query.where(_is(state))
    return _found(connection, campaign_id, [items.of_row(row) for row in connection.execute(query)])


def look(connection: Connection, campaign_id: int, item_id: int) -> Look:
    (found,) = _found(connection, campaign_id, [items.get(connection, campaign_id, item_id)])
    every = judgements.of_item(connection, campaign_id, item_id)
    standing = judgements.current(connection, campaign_id, item_id=item_id)
    ids = {one.id for one in standing}
    rows = connection.execute(
        select(flag).where(flag.c.campaign_id == campaign_id, flag.c.item_id == item_id).order_by(flag.c.id)
    )
    return Look(
        found, standing, [one for one in every if one.id not in ids], [Flag(**row._mapping) for row in rows]
    )


def num_items(connection: Connection, campaign_ids: Sequence[int]) -> Mapping[int, int]:
    """Of each campaign."""
    query = (
        select(item.c.campaign_id, func.count())
        .where(item.c.campaign_id.in_(campaign_ids))
        .group_by(item.c.campaign_id)
    )
    counts = {campaign_id: count for campaign_id, count in connection.execute(query)}
    return {one: counts.get(one, 0) for one in campaign_ids}


def _found(connection: Connection, campaign_id: int, page: Sequence[Item]) -> list[Found]:
    ids = [one.id for one in page]
    counts = {one: {"open": 0, "held": 0, "done": 0} for one in ids}
    by_state = (
        select(slot.c.item_id, slot.c.state, func.count())
        .where(slot.c.item_id.in_(ids))
        .group_by(slot.c.item_id, slot.c.state)
    )
    for item_id, state, count in connection.execute(by_state):
        counts[item_id][state] = count
    open_flags = select(flag.c.item_id, func.count()).where(
        flag.c.campaign_id == campaign_id, flag.c.resolved_at.is_(None), flag.c.item_id.in_(ids)
    )
    flags = {item_id: count for item_id, count in connection.execute(open_flags.group_by(flag.c.item_id))}
    return [
        Found(
            one, counts[one.id]["open"], counts[one.id]["held"], counts[one.id]["done"], flags.get(one.id, 0)
        )
        for one in page
    ]


def _holds(word: str) -> ColumnElement[bool]:
    """Stored JSON has letters beyond ASCII as escapes, so these are looked for as they are written, in either case."""
    forms = {json.dumps(form)[1:-1] for form in (word, word.lower(), word.upper(), word.capitalize())}
    columns = (cast(item.c.prompt, Text), cast(item.c.answers, Text), cast(item.c.tags, Text))
    return or_(*(column.icontains(form, autoescape=True) for column in columns for form in sorted(forms)))


def _is(state: State) -> ColumnElement[bool]:
    def has(wanted: str) -> ColumnElement[bool]:
        return exists().where(slot.c.item_id == item.c.id, slot.c.state == wanted)

    if state == "done":
        return and_(~has("open"), ~has("held"))
    if state == "judged":
        return exists().where(judgement.c.item_id == item.c.id)
    if state == "flagged":
        return exists().where(
            flag.c.item_id == item.c.id,
            flag.c.campaign_id == item.c.campaign_id,
            flag.c.resolved_at.is_(None),
        )
    return has("open")
