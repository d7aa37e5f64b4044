"""Judgements that nobody in the campaign may make.

- Everybody has judged or skipped the item.  A lead can invite somebody, hand a skip back to who skipped, or
  be content with the judgements that the item has.
- The judgement is kept for somebody who gets no items: paused, or with as many judgements as they may make.
- Together, people may make fewer judgements than are missing.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    String,
    and_,
    case,
    cast,
    delete,
    exists,
    func,
    null,
    or_,
    select,
    union_all,
    update,
)

from fairlead.labels import events, items, judgements
from fairlead.labels.assignments import assignment_table
from fairlead.labels.campaigns import Campaign
from fairlead.labels.database import format_time
from fairlead.labels.errors import NotFound
from fairlead.labels.items import slot_table
from fairlead.labels.members import membership_table
from fairlead.labels.people import pseudonym_table

MAX_LISTED = 50  # items with names; the others are only counted


@dataclass(frozen=True)
class StrandedItem:
    item_id: int
    missing: int  # judgements that nobody here may make
    skipped_by: Sequence[str]  # raters who skipped the item and could get it back
    kept_for: str | None = None  # a rater who gets no items


@dataclass(frozen=True)
class Stranded:
    judgements: int  # that nobody here may make
    num_items: int
    num_raters: int  # who label here and are not paused
    items: Sequence[StrandedItem]
    kept: int = 0  # of the judgements: those kept for somebody who gets no items
    beyond_quotas: int = 0  # of the judgements: those that are more than people may make together


TOTALS = ("num_items", "num_all", "num_kept")
NOTHING_STRANDED = Stranded(0, 0, 0, ())


@dataclass(frozen=True)
class Skip:
    rater: str
    reason: str
    skipped_at: str


def find_stranded(connection: Connection, campaign: Campaign, *, at: datetime | None = None) -> Stranded:
    """The judgements of an open campaign that none of its labellers may make."""
    if campaign.state != "open":
        return NOTHING_STRANDED
    time = format_time(at or datetime.now(UTC))
    num_left = {
        rater: None if quota is None else quota - judgements.count_current(connection, campaign.id, rater)
        for rater, quota in connection.execute(_labellers(campaign)).all()
    }
    num_left = {rater: left for rater, left in num_left.items() if left is None or left > 0}
    raters = list(num_left)
    both = union_all(_lacking(campaign, raters, time), _kept_for_nobody(campaign, raters, time)).subquery()
    num_kept = func.sum(case((both.c.kept_for.is_not(None), both.c.missing), else_=0)).over()
    totals = func.count().over(), func.sum(both.c.missing).over(), num_kept
    query = select(both, *(total.label(name) for total, name in zip(totals, TOTALS, strict=True)))
    rows = connection.execute(query.order_by(both.c.item_id).limit(MAX_LISTED)).all()
    num_found, kept, num_items = (
        (int(rows[0].num_all), int(rows[0].num_kept), rows[0].num_items) if rows else (0, 0, 0)
    )
    beyond = max(0, _beyond_quotas(connection, campaign, num_left, time) - (num_found - kept))
    skips = skips_of_items(connection, [row.item_id for row in rows]) if rows else {}
    return Stranded(
        judgements=num_found + beyond,
        num_items=num_items,
        num_raters=len(raters),
        items=[
            StrandedItem(
                row.item_id,
                row.missing,
                [skip.rater for skip in skips.get(row.item_id, ()) if skip.rater in raters],
                row.kept_for,
            )
            for row in rows
        ],
        kept=kept,
        beyond_quotas=beyond,
    )


def _lacking(campaign: Campaign, raters: list[str], time: str) -> Select[Any]:
    """Items with more open judgements than there are people who have neither judged nor skipped them."""
    open_slots = _open_slots(campaign, raters, time)
    if len(raters) >= campaign.overlap:  # there are enough people, so only a skip can leave too few
        open_slots = open_slots.where(
            exists().where(
                assignment_table.c.item_id == slot_table.c.item_id, assignment_table.c.how == "skipped"
            )
        )
    wanted = open_slots.group_by(slot_table.c.item_id).subquery()
    seen = (
        select(func.count(assignment_table.c.rater.distinct()))
        .where(assignment_table.c.item_id == wanted.c.item_id, _has_seen(raters, time))
        .scalar_subquery()
    )
    missing = wanted.c.num_open + seen - len(raters)
    nobody = cast(null(), String).label("kept_for")
    return select(wanted.c.item_id, missing.label("missing"), nobody).where(missing > 0)


def _kept_for_nobody(campaign: Campaign, raters: Collection[str], time: str) -> Select[Any]:
    """Open judgements that are kept for somebody who gets no items, and for whom."""
    kept_for = slot_table.c.reserved_for
    return (
        select(slot_table.c.item_id, func.count().label("missing"), kept_for.label("kept_for"))
        .where(
            slot_table.c.campaign_id == campaign.id,
            kept_for.is_not(None),
            kept_for.not_in(raters),
            _is_open(time),
        )
        .group_by(slot_table.c.item_id, kept_for)
    )


def _beyond_quotas(
    connection: Connection, campaign: Campaign, num_left: Mapping[str, int | None], time: str
) -> int:
    """How many more judgements are open than people may make together, where somebody has a quota."""
    if not any(left is not None for left in num_left.values()):
        return 0
    raters = list(num_left)
    wanted = _open_slots(campaign, raters, time).group_by(slot_table.c.item_id).subquery()
    counts = select(func.count(), func.coalesce(func.sum(wanted.c.num_open), 0)).select_from(wanted)
    num_items, num_open = connection.execute(counts).one()
    seen_by = (
        select(assignment_table.c.rater, func.count(assignment_table.c.item_id.distinct()))
        .where(assignment_table.c.item_id.in_(select(wanted.c.item_id)), _has_seen(raters, time))
        .group_by(assignment_table.c.rater)
    )
    seen = {rater: count for rater, count in connection.execute(seen_by)}
    unseen = {rater: num_items - seen.get(rater, 0) for rater in raters}
    possible: int = sum(
        unseen[rater] if left is None else min(left, unseen[rater]) for rater, left in num_left.items()
    )
    return max(0, int(num_open) - possible)


def _open_slots(campaign: Campaign, raters: Collection[str], time: str) -> Select[Any]:
    """Item and number of its open judgements, without those that are kept for somebody else."""
    return select(slot_table.c.item_id, func.count().label("num_open")).where(
        slot_table.c.campaign_id == campaign.id,
        or_(slot_table.c.reserved_for.is_(None), slot_table.c.reserved_for.in_(raters)),
        _is_open(time),
    )


def _is_open(time: str) -> ColumnElement[bool]:
    """SQL condition: the slot is open, or held by a lease that has expired."""
    expired = exists().where(
        assignment_table.c.token == slot_table.c.token,
        assignment_table.c.how.is_(None),
        assignment_table.c.expires_at < time,
    )
    return or_(slot_table.c.state == "open", and_(slot_table.c.state == "held", expired))


def _has_seen(raters: Collection[str], time: str) -> ColumnElement[bool]:
    """SQL condition: one of the raters has the item now, or gets it no more."""
    has_it = and_(assignment_table.c.how.is_(None), assignment_table.c.expires_at >= time)
    is_through = assignment_table.c.how.in_(("judged", "skipped"))
    return and_(assignment_table.c.rater.in_(raters), or_(has_it, is_through))


def skips_of_items(connection: Connection, item_ids: Sequence[int]) -> Mapping[int, list[Skip]]:
    """Who skipped the items and why, oldest first."""
    query = (
        select(assignment_table)
        .where(assignment_table.c.item_id.in_(item_ids), assignment_table.c.how == "skipped")
        .order_by(assignment_table.c.ended_at)
    )
    skips: dict[int, list[Skip]] = {}
    for row in connection.execute(query):
        skips.setdefault(row.item_id, []).append(Skip(row.rater, row.reason or "", row.ended_at))
    return skips


def hand_back(connection: Connection, campaign: Campaign, item_id: int, rater: str, *, by: str) -> None:
    """Undo a rater's skip: they can get the item again."""
    skipped = (
        assignment_table.c.campaign_id == campaign.id,
        assignment_table.c.item_id == item_id,
        assignment_table.c.rater == rater,
        assignment_table.c.how == "skipped",
    )
    if not connection.execute(update(assignment_table).where(*skipped).values(how="released")).rowcount:
        raise NotFound(f"{rater} has not skipped item {item_id}. Reload the page.")
    events.append(
        connection,
        verb="skip.handed_back",
        actor=by,
        campaign_id=campaign.id,
        subject=str(item_id),
        body={"item": item_id, "rater": rater},
    )


def be_content(connection: Connection, campaign: Campaign, item_id: int, *, by: str) -> int:
    """Ask for no more judgements of the item than it has or somebody works on.  Returns how many fewer."""
    items.get(connection, campaign.id, item_id)
    free = (slot_table.c.item_id == item_id, slot_table.c.state == "open")
    fewer = connection.execute(delete(slot_table).where(*free)).rowcount
    if fewer:
        events.append(
            connection,
            verb="item.content",
            actor=by,
            campaign_id=campaign.id,
            subject=str(item_id),
            body={"item": item_id, "fewer": fewer},
        )
    return fewer


def _labellers(campaign: Campaign) -> Select[Any]:
    """Those who label: labellers, and members of other roles who have been handed an item."""
    has_labelled = exists().where(
        assignment_table.c.campaign_id == campaign.id, assignment_table.c.rater == pseudonym_table.c.rater
    )
    labels = or_(
        membership_table.c.role == "labeller",
        and_(membership_table.c.role.in_(("adjudicator", "lead")), has_labelled),
    )
    return (
        select(pseudonym_table.c.rater, membership_table.c.quota)
        .join(membership_table, membership_table.c.person_id == pseudonym_table.c.person_id)
        .where(membership_table.c.campaign_id == campaign.id, membership_table.c.paused_at.is_(None), labels)
    )
