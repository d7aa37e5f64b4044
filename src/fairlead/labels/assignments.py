"""Assignments: an item given to one rater, with the order in which that rater sees the answers.

An open assignment holds a lease on one of the item's slots.  One statement claims the slot, so two raters
never hold the same slot, and an item is never assigned more often than it has slots.  A lease ends when the
rater judges, skips or releases the item, when a lead revokes the lease, or when no heartbeat arrives within
the campaign's lease time.  A rater never gets the same item twice, unless the earlier lease was released or
expired.

On PostgreSQL, every transaction locks assignments before slots, and the slots of an item in order of their
ids. This order prevents deadlocks.

Answer positions are balanced in blocks.  For items with K answers, a block is 4K assignments of one rater:
four shuffled Latin squares, in which every answer appears equally often at every position.  When an
assignment ends without a judgement, the rater's next assignment reuses its place in the block.
"""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import (
    JSON,
    Column,
    Connection,
    ForeignKey,
    Index,
    Integer,
    String,
    Table,
    Text,
    delete,
    exists,
    func,
    insert,
    or_,
    select,
    text,
    update,
)
from sqlalchemy.exc import IntegrityError

from fairlead.core.seed import derive_rng
from fairlead.labels import campaigns, events, items
from fairlead.labels.campaigns import Campaign, campaign_table
from fairlead.labels.database import format_time, metadata, parse_time
from fairlead.labels.errors import Conflict, NotFound
from fairlead.labels.items import Item, slot_table

assignment_table = Table(
    "assignment",
    metadata,
    Column("token", String(32), primary_key=True),
    Column("campaign_id", Integer, ForeignKey("campaign.id"), nullable=False),
    Column("item_id", Integer, ForeignKey("item.id"), nullable=False),
    Column("slot_id", Integer),
    Column("rater", String(40), nullable=False),
    Column("seq", Integer),  # place in the rater's blocks; null after another assignment reused it
    Column("order", JSON, nullable=False),  # order[i]: index of the answer shown at position i
    Column("guidelines_version", Integer, nullable=False),
    Column("leased_at", String(27), nullable=False),
    Column("expires_at", String(27), nullable=False),
    Column("ended_at", String(27)),
    Column("how", String(10)),  # judged, skipped, released or expired; null while leased
    Column("reason", Text),  # why the rater skipped the item
    Index("ix_assignment_campaign_id_rater_seq", "campaign_id", "rater", "seq", unique=True),
    Index("ix_assignment_rater_how", "rater", "how"),
    Index("ix_assignment_item_id_rater_how", "item_id", "rater", "how"),
    Index("ix_assignment_campaign_id_how_rater_seq", "campaign_id", "how", "rater", "seq"),
)
NOT_OFFERED_AGAIN = "how IS NULL OR how IN ('judged', 'skipped')"
Index(
    "uq_assignment_item_id_rater_lasting",
    assignment_table.c.item_id,
    assignment_table.c.rater,
    unique=True,
    sqlite_where=text(NOT_OFFERED_AGAIN),
    postgresql_where=text(NOT_OFFERED_AGAIN),
)

MAX_LEASES = 5  # per rater and campaign
SQUARES_PER_BLOCK = 4  # Latin squares


@dataclass(frozen=True)
class StuckLease:
    """A lease without a recent heartbeat."""

    token: str  # id of the assignment
    item_id: int
    rater: str
    leased_at: str
    quiet_s: int  # seconds since the last heartbeat


@dataclass(frozen=True)
class Assignment:
    id: str  # the column `token`: random, so it cannot be guessed
    campaign_id: int
    rater: str
    item: Item
    order: tuple[int, ...]
    guidelines_version: int
    leased_at: str
    expires_at: str
    how: str | None


def lease(
    connection: Connection, campaign: Campaign, rater: str, *, count: int = 1, at: datetime | None = None
) -> list[Assignment]:
    """Return up to `count` leased assignments: those the rater already holds, oldest first, then new ones.

    The list is shorter when no item is left for this rater, or when the campaign is not open.
    """
    at = at or datetime.now(UTC)
    count = min(count, MAX_LEASES)
    _lock_rater(connection, rater)
    expire_leases(connection, campaign, at=at)
    # A concurrent transaction may be expiring the leases that are filtered out.
    leased = [
        assignment
        for assignment in list_leased(connection, campaign, rater)
        if assignment.expires_at >= format_time(at)
    ]
    _renew_leases(connection, campaign, [assignment.id for assignment in leased], at)
    if campaign.state != "open":
        return leased[:count]
    while len(leased) < count:
        assignment = _lease_next(connection, campaign, rater, at)
        if assignment is None:
            break
        leased.append(assignment)
    return leased[:count]


def list_leased(connection: Connection, campaign: Campaign, rater: str) -> list[Assignment]:
    """The rater's leased assignments in the campaign, oldest first."""
    query = select(assignment_table).where(
        assignment_table.c.rater == rater,
        assignment_table.c.how.is_(None),
        assignment_table.c.campaign_id == campaign.id,
    )
    rows = connection.execute(query.order_by(assignment_table.c.leased_at, assignment_table.c.seq)).all()
    return [_with_item(connection, row) for row in rows]


def merge_options(connection: Connection, campaign: Campaign, changed: Mapping[str, Any]) -> dict[str, Any]:
    """Merge changed options into the campaign's, for `campaigns.change` in the same transaction.

    Raises Conflict when the rating scale changes after an item was assigned: earlier scores would change
    meaning.
    """
    points = campaign.options["points"]
    if changed.get("points", points) != points:
        campaigns.lock(connection, campaign)  # no item can be assigned until this transaction ends
        assigned = (
            select(assignment_table.c.token).where(assignment_table.c.campaign_id == campaign.id).limit(1)
        )
        if connection.execute(assigned).scalar() is not None:
            raise Conflict(
                f"Items have already been assigned with a {points}-point scale. "
                "Create a new campaign to use another scale."
            )
    return {**campaign.options, **changed}


def get(
    connection: Connection,
    assignment_id: str,
    rater: str,
    *,
    campaign_id: int | None = None,
    lock: bool = False,
) -> Assignment:
    """Get an assignment of this rater, in the given campaign or in any.

    `lock` makes other transactions that lock the assignment wait until this one ends.  Raises NotFound when
    the rater has no such assignment.
    """
    return _with_item(
        connection, get_row(connection, assignment_id, rater, campaign_id=campaign_id, lock=lock)
    )


def get_row(
    connection: Connection,
    assignment_id: str,
    rater: str,
    *,
    campaign_id: int | None = None,
    lock: bool = False,
) -> Any:
    """Get the table row only, without reading the item.  Raises NotFound like `get`."""
    query = select(assignment_table).where(
        assignment_table.c.token == assignment_id, assignment_table.c.rater == rater
    )
    if lock:
        _lock_rater(connection, rater)
        query = query.with_for_update()
    row = connection.execute(query).one_or_none()
    if row is None or campaign_id not in (None, row.campaign_id):
        raise NotFound("You have no such assignment. Load the next item and try again.")
    return row


def heartbeat(
    connection: Connection, campaign: Campaign, assignment_id: str, rater: str, *, at: datetime | None = None
) -> str:
    """Renew the lease while the rater works, and return when it expires now.

    Raises Conflict when the lease has ended.
    """
    if get_row(connection, assignment_id, rater).how is not None:
        raise Conflict("Your lease on this item has ended. You can still submit your judgement.")
    return _renew_leases(connection, campaign, [assignment_id], at or datetime.now(UTC))


def release(connection: Connection, assignment_id: str, rater: str, *, at: datetime | None = None) -> None:
    """Return the item, so any rater can get it again, this rater included.

    Does nothing after the lease ended.
    """
    get_row(connection, assignment_id, rater)
    end_lease(connection, assignment_id, "released", at=at or datetime.now(UTC))


def revoke_lease(
    connection: Connection, campaign: Campaign, assignment_id: str, *, by: str, at: datetime | None = None
) -> None:
    """End a rater's lease on behalf of a lead."""
    row = connection.execute(
        select(assignment_table.c.rater).where(
            assignment_table.c.token == assignment_id, assignment_table.c.campaign_id == campaign.id
        )
    ).one_or_none()
    if row is None:
        raise NotFound("There is no such assignment in this campaign. Reload the page.")
    if end_lease(connection, assignment_id, "released", at=at or datetime.now(UTC)):
        events.append(
            connection,
            verb="task.taken_back",
            actor=by,
            campaign_id=campaign.id,
            subject=assignment_id[:8],
            body={"rater": row.rater},
        )


def expire_leases(connection: Connection, campaign: Campaign, *, at: datetime | None = None) -> int:
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
    return sum(end_lease(connection, assignment_id, "expired", at=at) for assignment_id in assignment_ids)


def end_lease(
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
    if end_lease(connection, assignment.id, "skipped", at=at, reason=reason):
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
        end_lease(connection, leased_again, "released", at=at)
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


def reopen_slot(connection: Connection, assignment_id: str) -> None:
    """Open the slot that the assignment occupied.

    The slot is deleted when the item has more slots than the campaign's overlap.  The slot is done at once
    when the item has an extra judgement that had no slot.
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
    connection.execute(delete(slot_table).where(slot_table.c.id == slot.id, num_slots > overlap))
    with_slot = select(slot_table.c.token).where(
        slot_table.c.item_id == slot.item_id, slot_table.c.token.is_not(None)
    )
    judged = select(assignment_table.c.token).where(
        assignment_table.c.item_id == slot.item_id, assignment_table.c.how == "judged"
    )
    extra = connection.execute(judged.where(assignment_table.c.token.not_in(with_slot)).limit(1)).scalar()
    values = {"state": "open" if extra is None else "done", "token": extra}
    connection.execute(update(slot_table).where(slot_table.c.id == slot.id).values(values))


# ---------------------------------------------------------------- leasing a slot


def _lease_next(connection: Connection, campaign: Campaign, rater: str, at: datetime) -> Assignment | None:
    assignment_id = secrets.token_urlsafe(18)
    expires_at = format_time(at + timedelta(seconds=campaign.lease_s))
    seen = exists().where(
        assignment_table.c.item_id == slot_table.c.item_id,
        assignment_table.c.rater == rater,
        or_(assignment_table.c.how.is_(None), assignment_table.c.how.in_(("judged", "skipped"))),
    )
    next_slot = (
        select(slot_table.c.id)
        .where(slot_table.c.campaign_id == campaign.id, slot_table.c.state == "open", ~seen)
        .order_by(slot_table.c.rank)
        .limit(1)
        .with_for_update(skip_locked=True, of=slot_table)
        .scalar_subquery()
    )
    claim = (
        update(slot_table)
        .where(slot_table.c.id == next_slot, slot_table.c.state == "open")
        .values(state="held", token=assignment_id)
    )
    guidelines = campaigns.get_guidelines(connection, campaign.id)
    while True:
        try:
            with connection.begin_nested():
                slot = connection.execute(
                    claim.returning(slot_table.c.id, slot_table.c.item_id)
                ).one_or_none()
                if slot is None:
                    return None
                item = items.get(connection, campaign.id, slot.item_id)
                seq = _next_seq(connection, campaign, rater)
                order = answer_order(campaign.seed, rater, seq, len(item.answers))
                values = {
                    "token": assignment_id,
                    "campaign_id": campaign.id,
                    "item_id": slot.item_id,
                    "slot_id": slot.id,
                    "rater": rater,
                    "seq": seq,
                    "order": list(order),
                    "guidelines_version": guidelines.version if guidelines else 0,
                    "leased_at": format_time(at),
                    "expires_at": expires_at,
                }
                row = connection.execute(
                    insert(assignment_table).values(values).returning(assignment_table)
                ).one()
                return _from_row(row, item)
        except IntegrityError:
            # The same rater just submitted a late judgement of this item from another window.
            continue


def _next_seq(connection: Connection, campaign: Campaign, rater: str) -> int:
    """A place in the rater's blocks that an earlier assignment left unused, otherwise the next place."""
    mine = (
        assignment_table.c.campaign_id == campaign.id,
        assignment_table.c.rater == rater,
        assignment_table.c.seq.is_not(None),
    )
    unused = select(assignment_table.c.seq, assignment_table.c.token).where(
        *mine, assignment_table.c.how.in_(("skipped", "released", "expired"))
    )
    # Sorted here: with ORDER BY ... LIMIT 1 the database would scan all assignments of the rater.
    if unused_places := connection.execute(unused).all():
        seq, assignment_id = min(unused_places)
        connection.execute(
            update(assignment_table).where(assignment_table.c.token == assignment_id).values(seq=None)
        )
        return int(seq)
    last = connection.execute(select(func.max(assignment_table.c.seq)).where(*mine)).scalar()
    return 0 if last is None else int(last) + 1


def answer_order(seed: str, rater: str, seq: int, num_answers: int) -> tuple[int, ...]:
    """The order of the answers at place `seq` of the rater's blocks."""
    if num_answers < 2:
        return tuple(range(num_answers))
    block, place = divmod(seq, SQUARES_PER_BLOCK * num_answers)
    rng = derive_rng(0, seed, rater, num_answers, block)
    rows = []
    for _ in range(SQUARES_PER_BLOCK):
        first = rng.sample(range(num_answers), num_answers)
        rows += [tuple(first[k:] + first[:k]) for k in range(num_answers)]
    rng.shuffle(rows)
    return rows[place]


# ---------------------------------------------------------------- details


def _lock_rater(connection: Connection, rater: str) -> None:
    """Serialise the transactions of one rater, whose windows could otherwise deadlock.

    SQLite needs no lock: its writers always take turns.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(rater, 0))))


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


def _with_item(connection: Connection, row: Any) -> Assignment:
    return _from_row(row, items.get(connection, row.campaign_id, row.item_id))


def _from_row(row: Any, item: Item) -> Assignment:
    return Assignment(
        row.token,
        row.campaign_id,
        row.rater,
        item,
        tuple(row.order),
        row.guidelines_version,
        row.leased_at,
        row.expires_at,
        row.how,
    )
