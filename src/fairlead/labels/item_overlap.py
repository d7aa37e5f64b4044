"""How many people judge each item: add slots to items, or delete open ones, so that they fit the overlap."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, delete, insert, select, update

from fairlead.labels import campaigns, events, items
from fairlead.labels.campaigns import Campaign, campaign_table
from fairlead.labels.errors import Invalid
from fairlead.labels.items import item_table, slot_table


class FittedItems(NamedTuple):
    last_id: int
    num_items: int


def change(connection: Connection, campaign: Campaign, overlap: int, *, by: str) -> None:
    """Add slots to every item, or delete open ones, in this transaction; see `overlap_job` for many."""
    record(connection, campaign, overlap, by=by)
    after = 0
    while fitted := fit_slots(connection, campaign.id, after=after, limit=items.ROWS_PER_STATEMENT):
        after = fitted.last_id


def record(connection: Connection, campaign: Campaign, overlap: int, *, by: str) -> None:
    """Set the number of raters per item, for new items and for `fit_slots`."""
    if not isinstance(overlap, int) or not 1 <= overlap <= 20:
        raise Invalid({"overlap": "must be 1 to 20 people per item"})
    connection.execute(
        update(campaign_table).where(campaign_table.c.id == campaign.id).values(overlap=overlap)
    )
    events.append(
        connection,
        verb="campaign.overlap",
        actor=by,
        campaign_id=campaign.id,
        subject=campaign.slug,
        body={"from": campaign.overlap, "to": overlap},
    )


def fit_slots(connection: Connection, campaign_id: int, *, after: int = 0, limit: int) -> FittedItems | None:
    """Add slots to the next items, or delete open ones, so that they fit the campaign's overlap.

    Held and done slots stay.  A held slot is deleted when its lease ends without a judgement.  Returns None
    when there are no items after the id `after`.
    """
    rows = connection.execute(
        select(item_table.c.id, item_table.c.digest, item_table.c.priority)
        .where(
            item_table.c.campaign_id == campaign_id,
            item_table.c.archived_at.is_(None),
            item_table.c.id > after,
        )
        .order_by(item_table.c.id)
        .limit(limit)
    ).all()
    if not rows:
        return None
    _fit(connection, campaigns.get_by_id(connection, campaign_id), rows)
    return FittedItems(rows[-1].id, len(rows))


def fit_slots_of(connection: Connection, campaign: Campaign, item_ids: Sequence[int]) -> None:
    """As `fit_slots`, for a few hundred items."""
    rows = connection.execute(
        select(item_table.c.id, item_table.c.digest, item_table.c.priority)
        .where(item_table.c.campaign_id == campaign.id, item_table.c.id.in_(item_ids))
        .order_by(item_table.c.id)
    ).all()
    if rows:
        _fit(connection, campaigns.get_by_id(connection, campaign.id), rows)


def _fit(connection: Connection, campaign: Campaign, rows: Sequence[Any]) -> None:
    overlap = campaign.overlap
    states_of_item: dict[int, dict[int, str]] = {}
    for slot in connection.execute(
        select(slot_table.c.item_id, slot_table.c.n, slot_table.c.state).where(
            slot_table.c.campaign_id == campaign.id, slot_table.c.item_id.between(rows[0].id, rows[-1].id)
        )
    ):
        states_of_item.setdefault(slot.item_id, {})[slot.n] = slot.state
    more: list[dict[str, Any]] = []
    fewer: dict[int, list[int]] = {}  # n -> items
    for row in rows:
        states = states_of_item.get(row.id, {})
        missing = [n for n in range(overlap) if n not in states][: max(0, overlap - len(states))]
        more += [items.slot_row(campaign, row.id, row.digest, row.priority, n) for n in missing]
        free = sorted((n for n, state in states.items() if state == "open"), reverse=True)
        for n in free[: max(0, len(states) - overlap)]:
            fewer.setdefault(n, []).append(row.id)
    if more:
        connection.execute(insert(slot_table), more)
    for n, item_ids in fewer.items():
        connection.execute(
            delete(slot_table).where(
                slot_table.c.item_id.in_(item_ids), slot_table.c.n == n, slot_table.c.state == "open"
            )
        )
