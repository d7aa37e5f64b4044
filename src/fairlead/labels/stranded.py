"""Judgements that nobody in the campaign may make, because everybody has judged or skipped the item.

An item with two open judgements of which one person has skipped it needs another person.  A lead can invite
somebody, hand a skip back to who skipped, or be content with the judgements that the item has.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Select, and_, delete, exists, func, or_, select, update

from fairlead.labels import events, items, judgements
from fairlead.labels.assignments import assignment_table
from fairlead.labels.campaigns import Campaign
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


@dataclass(frozen=True)
class Stranded:
    judgements: int  # that nobody here may make
    num_items: int
    num_raters: int  # who label here and are not paused
    items: Sequence[StrandedItem]


NOTHING_STRANDED = Stranded(0, 0, 0, ())


@dataclass(frozen=True)
class Skip:
    rater: str
    reason: str
    skipped_at: str


def find_stranded(connection: Connection, campaign: Campaign) -> Stranded:
    """The judgements of an open campaign that none of its labellers may make."""
    if campaign.state != "open":
        return NOTHING_STRANDED
    raters = [
        rater
        for rater, quota in connection.execute(_labellers(campaign)).all()
        if quota is None or judgements.count_current(connection, campaign.id, rater) < quota
    ]
    num_open = func.count().label("num_open")
    open_slots = select(slot_table.c.item_id, num_open).where(
        slot_table.c.campaign_id == campaign.id, slot_table.c.state == "open"
    )
    if len(raters) >= campaign.overlap:  # there are enough people, so only a skip can leave too few
        open_slots = open_slots.where(
            exists().where(
                assignment_table.c.item_id == slot_table.c.item_id, assignment_table.c.how == "skipped"
            )
        )
    wanted = open_slots.group_by(slot_table.c.item_id).subquery()
    seen = (
        select(func.count(assignment_table.c.rater.distinct()))
        .where(
            assignment_table.c.item_id == wanted.c.item_id,
            assignment_table.c.rater.in_(raters),
            or_(assignment_table.c.how.is_(None), assignment_table.c.how.in_(("judged", "skipped"))),
        )
        .scalar_subquery()
    )
    missing = (wanted.c.num_open + seen - len(raters)).label("missing")
    lacking = select(wanted.c.item_id, missing).where(missing > 0).subquery()
    totals = func.count().over().label("num_items"), func.sum(lacking.c.missing).over().label("judgements")
    rows = connection.execute(select(lacking, *totals).order_by(lacking.c.item_id).limit(MAX_LISTED)).all()
    if not rows:
        return Stranded(0, 0, len(raters), ())
    skips = skips_of_items(connection, [row.item_id for row in rows])
    return Stranded(
        judgements=int(rows[0].judgements),
        num_items=rows[0].num_items,
        num_raters=len(raters),
        items=[
            StrandedItem(
                row.item_id,
                row.missing,
                [skip.rater for skip in skips.get(row.item_id, ()) if skip.rater in raters],
            )
            for row in rows
        ],
    )


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
