"""Leases: how an assignment claims a slot of an item for a limited time, and gives the slot back.

`assignments` describes the rules.  `judgements` calls `complete` when a rater submits.
"""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, delete, exists, func, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from fairlead.labels import assignments, campaigns, events, items, members
from fairlead.labels.assignments import Assignment, assignment_table
from fairlead.labels.campaigns import Campaign, campaign_table
from fairlead.labels.database import format_time, parse_time
from fairlead.labels.errors import Conflict, NotFound
from fairlead.labels.items import slot_table

MAX_LEASES = 5  # per rater and campaign


@dataclass(frozen=True)
class StuckLease:
    """A lease without a recent heartbeat."""

    token: str  # id of the assignment
    item_id: int
    rater: str
    leased_at: str
    quiet_s: int  # seconds since the last heartbeat


def lease_items(
    connection: Connection, campaign: Campaign, rater: str, *, count: int = 1, at: datetime | None = None
) -> list[Assignment]:
    """Return up to `count` leased assignments: those the rater already holds, oldest first, then new ones.

    The list is shorter when no item is left for this rater, or when the campaign is not open.
    """
    at = at or datetime.now(UTC)
    count = min(count, MAX_LEASES)
    assignments.lock_rater(connection, rater)
    expire(connection, campaign, at=at)
    # A concurrent transaction may be expiring the leases that are filtered out.
    leased = [
        assignment
        for assignment in assignments.list_leased(connection, campaign, rater)
        if assignment.expires_at >= format_time(at)
    ]
    _renew_leases(connection, campaign, [assignment.id for assignment in leased], at)
    if len(leased) >= count:
        return leased[:count]
    campaign = campaigns.get_by_id(connection, campaign.id, lock=True)  # options and state of this moment
    count = min(count, _quota_left(connection, campaign.id, rater))
    while campaign.state == "open" and len(leased) < count:
        assignment = _lease_next(connection, campaign, rater, at)
        if assignment is None:
            break
        leased.append(assignment)
    return leased


def _quota_left(connection: Connection, campaign_id: int, rater: str) -> int:
    """The most items that the rater may hold now."""
    quota = members.quota_of(connection, campaign_id, rater)
    if quota is None:
        return MAX_LEASES
    query = select(func.count()).where(
        assignment_table.c.campaign_id == campaign_id,
        assignment_table.c.how == "judged",
        assignment_table.c.rater == rater,
    )
    return quota - int(connection.execute(query).scalar_one())


def heartbeat(
    connection: Connection, campaign: Campaign, assignment_id: str, rater: str, *, at: datetime | None = None
) -> str:
    """Renew the lease while the rater works, and return when it expires now.

    Raises Conflict when the lease has ended.
    """
    if assignments.get_row(connection, assignment_id, rater).how is not None:
        raise Conflict("The time for this item is over. You can still send your judgement.")
    return _renew_leases(connection, campaign, [assignment_id], at or datetime.now(UTC))


def release(connection: Connection, assignment_id: str, rater: str, *, at: datetime | None = None) -> None:
    """Return the item, so any rater can get it again, this rater included.

    Does nothing after the lease ended.
    """
    assignments.get_row(connection, assignment_id, rater)
    end(connection, assignment_id, "released", at=at or datetime.now(UTC))


def revoke(
    connection: Connection, campaign: Campaign, assignment_id: str, *, by: str, at: datetime | None = None
) -> None:
    """End a rater's lease on behalf of a lead."""
    row = connection.execute(
        select(assignment_table.c.rater).where(
            assignment_table.c.token == assignment_id, assignment_table.c.campaign_id == campaign.id
        )
    ).one_or_none()
    if row is None:
        raise NotFound("Nobody in this campaign has this item at the moment. Reload the page.")
    if end(connection, assignment_id, "released", at=at or datetime.now(UTC)):
        events.append(
            connection,
            verb="task.taken_back",
            actor=by,
            campaign_id=campaign.id,
            subject=assignment_id[:8],
            body={"rater": row.rater},
        )


def expire(connection: Connection, campaign: Campaign, *, at: datetime | None = None) -> int:
    """End every lease whose time has passed.  Returns the number of leases ended."""
    at = at or datetime.now(UTC)
    expired = (
        assignment_table.c.campaign_id == campaign.id,
        assignment_table.c.how.is_(None),
        assignment_table.c.expires_at < format_time(at),
    )
    query = select(assignment_table.c.token).where(*expired).order_by(assignment_table.c.slot_id).limit(100)
    # A locked assignment is being submitted right now, so it has not expired.
    assignment_ids = connection.execute(query.with_for_update(skip_locked=True)).scalars().all()
    return sum(end(connection, assignment_id, "expired", at=at) for assignment_id in assignment_ids)


def end(
    connection: Connection, assignment_id: str, how: str, *, at: datetime, reason: str | None = None
) -> bool:
    """End a lease; the slot becomes done after a judgement, and open otherwise.

    Returns False when the lease had already ended.
    """
    ended = update(assignment_table).where(
        assignment_table.c.token == assignment_id, assignment_table.c.how.is_(None)
    )
    if not connection.execute(ended.values(how=how, ended_at=format_time(at), reason=reason)).rowcount:
        return False
    if how == "judged":
        connection.execute(
            update(slot_table)
            .where(slot_table.c.token == assignment_id, slot_table.c.state == "held")
            .values(state="done")
        )
    else:
        reopen_slot(connection, assignment_id)
    return True


def skip(connection: Connection, assignment: Assignment, *, at: datetime, reason: str) -> bool:
    """Reopen the slot and never give this rater the item again.

    Also works for an assignment that was judged or whose lease has ended.  Another lease that the rater holds
    on the same item is released.  Returns False when the assignment was already skipped.
    """
    mine = (slot_table.c.item_id == assignment.item.id, slot_table.c.reserved_for == assignment.rater)
    connection.execute(update(slot_table).where(*mine).values(reserved_for=None))  # others may have it
    if end(connection, assignment.id, "skipped", at=at, reason=reason):
        return True
    others = (
        assignment_table.c.item_id == assignment.item.id,
        assignment_table.c.rater == assignment.rater,
        assignment_table.c.token != assignment.id,
    )
    leased_again = connection.execute(
        select(assignment_table.c.token).where(*others, assignment_table.c.how.is_(None)).with_for_update()
    ).scalar()
    if leased_again is not None:
        end(connection, leased_again, "released", at=at)
    values = {"reason": reason}
    # At most one assignment of a rater and an item may be judged or skipped, see NOT_OFFERED_AGAIN.
    if not connection.execute(
        select(exists().where(*others, assignment_table.c.how.in_(("judged", "skipped"))))
    ).scalar_one():
        values |= {"how": "skipped", "ended_at": format_time(at)}
    not_skipped = or_(assignment_table.c.reason.is_(None), assignment_table.c.how == "judged")
    mark_skipped = (
        update(assignment_table).where(assignment_table.c.token == assignment.id, not_skipped).values(values)
    )
    is_new = bool(connection.execute(mark_skipped).rowcount)
    reopen_slot(connection, assignment.id)
    return is_new


def complete(connection: Connection, assignment: Assignment, at: datetime) -> bool:
    """Mark the assignment as judged, and return whether the judgement is late.

    A late judgement takes an open slot of the item if there is one.  Otherwise it is an extra judgement.
    """
    if assignment.how == "judged":
        return False
    if end(connection, assignment.id, "judged", at=at):
        return False
    # The lease had ended.  The rater may have received the same item again since then.
    others = (
        assignment_table.c.item_id == assignment.item.id,
        assignment_table.c.rater == assignment.rater,
        assignment_table.c.token != assignment.id,
    )
    leased_again = connection.execute(
        select(assignment_table.c.token).where(*others, assignment_table.c.how.is_(None)).with_for_update()
    ).scalar()
    # Locking all slots keeps a concurrent release from hiding an open slot from this judgement.
    connection.execute(
        select(slot_table.c.id)
        .where(slot_table.c.item_id == assignment.item.id)
        .order_by(slot_table.c.id)
        .with_for_update()
    ).all()
    if leased_again is not None:
        end(connection, leased_again, "released", at=at)
    earlier_outcome = connection.execute(
        select(assignment_table.c.how).where(*others, assignment_table.c.how.in_(("judged", "skipped")))
    ).scalar()
    if earlier_outcome != "judged":  # a rater fills at most one slot of an item
        open_slot = (
            select(slot_table.c.id)
            .where(slot_table.c.item_id == assignment.item.id, slot_table.c.state == "open")
            .order_by(slot_table.c.n)
            .limit(1)
        )
        connection.execute(
            update(slot_table)
            .where(slot_table.c.id == open_slot.scalar_subquery())
            .values(state="done", token=assignment.id)
        )
    if earlier_outcome is None:
        connection.execute(
            update(assignment_table)
            .where(assignment_table.c.token == assignment.id)
            .values(how="judged", ended_at=format_time(at))
        )
    return True


def reopen_slot(connection: Connection, assignment_id: str) -> None:
    """Open the slot that the assignment occupied.

    The slot is deleted when the item is archived, or has more slots than the campaign's overlap.  The slot is
    done at once when the item has an extra judgement that had no slot.
    """
    slot = connection.execute(
        select(slot_table.c.id, slot_table.c.item_id)
        .where(slot_table.c.token == assignment_id)
        .with_for_update()
    ).one_or_none()
    if slot is None:
        return
    num_slots = select(func.count()).where(slot_table.c.item_id == slot.item_id).scalar_subquery()
    overlap = (
        select(campaign_table.c.overlap)
        .where(campaign_table.c.id == slot_table.c.campaign_id)
        .scalar_subquery()
    )
    archived = exists().where(
        items.item_table.c.id == slot.item_id, items.item_table.c.archived_at.is_not(None)
    )
    unwanted = or_(num_slots > overlap, archived)
    connection.execute(delete(slot_table).where(slot_table.c.id == slot.id, unwanted))
    with_slot = select(slot_table.c.token).where(
        slot_table.c.item_id == slot.item_id, slot_table.c.token.is_not(None)
    )
    judged = select(assignment_table.c.token).where(
        assignment_table.c.item_id == slot.item_id, assignment_table.c.how == "judged"
    )
    extra = connection.execute(judged.where(assignment_table.c.token.not_in(with_slot)).limit(1)).scalar()
    values = {"state": "open" if extra is None else "done", "token": extra}
    connection.execute(update(slot_table).where(slot_table.c.id == slot.id).values(values))


def list_stuck(
    connection: Connection, campaign: Campaign, *, since_s: int = 900, at: datetime | None = None
) -> list[StuckLease]:
    """Leases without a heartbeat for `since_s` seconds, longest first."""
    at = at or datetime.now(UTC)
    # A lease renewed at time t expires at t + lease_s.
    latest_expiry = format_time(at + timedelta(seconds=campaign.lease_s - since_s))
    query = select(assignment_table).where(
        assignment_table.c.campaign_id == campaign.id,
        assignment_table.c.how.is_(None),
        assignment_table.c.expires_at < latest_expiry,
        assignment_table.c.expires_at >= format_time(at),  # later, others get the item by themselves
    )
    return [
        StuckLease(
            token=row.token,
            item_id=row.item_id,
            rater=row.rater,
            leased_at=row.leased_at,
            quiet_s=int((at - parse_time(row.expires_at)).total_seconds()) + campaign.lease_s,
        )
        for row in connection.execute(query.order_by(assignment_table.c.expires_at))
    ]


# ---------------------------------------------------------------- details


def _lease_next(connection: Connection, campaign: Campaign, rater: str, at: datetime) -> Assignment | None:
    assignment_id = secrets.token_urlsafe(18)
    expires_at = format_time(at + timedelta(seconds=campaign.lease_s))
    seen = exists().where(
        assignment_table.c.item_id == slot_table.c.item_id,
        assignment_table.c.rater == rater,
        or_(assignment_table.c.how.is_(None), assignment_table.c.how.in_(("judged", "skipped"))),
    )

    def claim(reservation: ColumnElement[bool]) -> Any:
        next_slot = (
            select(slot_table.c.id)
            .where(slot_table.c.campaign_id == campaign.id, slot_table.c.state == "open", reservation, ~seen)
            .order_by(slot_table.c.rank)
            .limit(1)
            .with_for_update(skip_locked=True, of=slot_table)
            .scalar_subquery()
        )
        claimed = (
            update(slot_table)
            .where(slot_table.c.id == next_slot, slot_table.c.state == "open")
            .values(state="held", token=assignment_id)
        )
        return connection.execute(claimed.returning(slot_table.c.id, slot_table.c.item_id)).one_or_none()

    guidelines = campaigns.get_guidelines(connection, campaign.id)
    while True:
        try:
            with connection.begin_nested():
                # What is kept for this rater comes first.
                slot = claim(slot_table.c.reserved_for == rater) or claim(slot_table.c.reserved_for.is_(None))
                if slot is None:
                    return None
                item = items.get(connection, campaign.id, slot.item_id)
                seq = assignments.next_seq(connection, campaign, rater)
                order = assignments.answer_order(campaign.seed, rater, seq, len(item.answers))
                values = {
                    "token": assignment_id,
                    "campaign_id": campaign.id,
                    "item_id": slot.item_id,
                    "slot_id": slot.id,
                    "rater": rater,
                    "seq": seq,
                    "order": list(order),
                    "options": campaign.options,
                    "guidelines_version": guidelines.version if guidelines else 0,
                    "leased_at": format_time(at),
                    "expires_at": expires_at,
                }
                row = connection.execute(
                    insert(assignment_table).values(values).returning(assignment_table)
                ).one()
                return assignments.from_row(row, item)
        except IntegrityError:
            # The same rater just submitted a late judgement of this item from another window.
            continue


def _renew_leases(
    connection: Connection, campaign: Campaign, assignment_ids: Sequence[str], at: datetime
) -> str:
    expires_at = format_time(at + timedelta(seconds=campaign.lease_s))
    if assignment_ids:
        connection.execute(
            update(assignment_table)
            .where(assignment_table.c.token.in_(assignment_ids), assignment_table.c.how.is_(None))
            .values(expires_at=expires_at)
        )
    return expires_at
