"""Keep open judgements for a named person: nobody else is handed them, and this person gets them first.

A skip gives the judgement to everybody.  `members.set_quota` bounds how many judgements somebody makes.
"""

from collections.abc import Mapping, Sequence

from sqlalchemy import ColumnElement, Connection, exists, func, or_, select, update

from fairlead.labels import events, members
from fairlead.labels.assignments import assignment_table
from fairlead.labels.campaigns import Campaign
from fairlead.labels.errors import Invalid
from fairlead.labels.items import slot_table

MAX_ITEMS = 500  # per call


def reserve(
    connection: Connection,
    campaign: Campaign,
    rater: str,
    *,
    by: str,
    item_ids: Sequence[int] | None = None,
    count: int = MAX_ITEMS,
) -> int:
    """Keep an open judgement of each of the items, or of the next `count`, for a member.

    Returns how many items: those that the member has had, or for which nothing is open, are passed over.
    """
    if members.get(connection, campaign.id, rater).role == "viewer":
        raise Invalid({"rater": "is a viewer here, who does not label"})
    seen = exists().where(
        assignment_table.c.item_id == slot_table.c.item_id,
        assignment_table.c.rater == rater,
        or_(assignment_table.c.how.is_(None), assignment_table.c.how.in_(("judged", "skipped"))),
    )
    kept = slot_table.alias("kept")
    has_one = exists().where(kept.c.item_id == slot_table.c.item_id, kept.c.reserved_for == rater)
    free = (
        slot_table.c.campaign_id == campaign.id,
        slot_table.c.state == "open",
        slot_table.c.reserved_for.is_(None),
        ~seen,
        ~has_one,
    )
    query = select(slot_table.c.id, slot_table.c.item_id).where(*free).order_by(slot_table.c.rank)
    if item_ids is not None:
        query = query.where(slot_table.c.item_id.in_(item_ids))
    slot_of_item: dict[int, int] = {}
    # An item may have several open slots; twenty at most.
    with connection.execute(query, execution_options={"yield_per": MAX_ITEMS}) as rows:
        for slot_id, item_id in rows:
            slot_of_item.setdefault(item_id, slot_id)
            if len(slot_of_item) == min(count, MAX_ITEMS):
                break
    if not slot_of_item:
        return 0
    still_open = (slot_table.c.id.in_(slot_of_item.values()), slot_table.c.state == "open")
    num = connection.execute(update(slot_table).where(*still_open).values(reserved_for=rater)).rowcount
    _record(connection, campaign, "items.reserved", rater, num, by)
    return num


def release(connection: Connection, campaign: Campaign, rater: str, *, by: str) -> int:
    """Give the open judgements that are kept for a person to everybody."""
    num = connection.execute(
        update(slot_table)
        .where(*_kept(campaign.id), slot_table.c.reserved_for == rater)
        .values(reserved_for=None)
    ).rowcount
    if num:
        _record(connection, campaign, "items.unreserved", rater, num, by)
    return num


def counts(connection: Connection, campaign_id: int) -> Mapping[str, int]:
    """Rater -> open judgements that are kept for them."""
    query = (
        select(slot_table.c.reserved_for, func.count())
        .where(*_kept(campaign_id))
        .group_by(slot_table.c.reserved_for)
    )
    return {rater: count for rater, count in connection.execute(query)}


def _kept(campaign_id: int) -> tuple[ColumnElement[bool], ...]:
    return (
        slot_table.c.campaign_id == campaign_id,
        slot_table.c.reserved_for.is_not(None),
        slot_table.c.state == "open",
    )


def _record(connection: Connection, campaign: Campaign, verb: str, rater: str, count: int, by: str) -> None:
    events.append(
        connection,
        verb=verb,
        actor=by,
        campaign_id=campaign.id,
        subject=rater,
        body={"count": count},
    )
