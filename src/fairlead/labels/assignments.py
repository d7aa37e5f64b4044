"""Handing out work: an assignment is one person's hold on one item, with the order in which they see its answers.

A slot is taken in one statement, so that no two people hold the same one and no item is handed out more often than it has slots.  A hold
ends when the person judges, skips or lets go, when a lead takes it back, or when no sign of life came for the campaign's lease time.
Nobody is handed the same item twice, except one that they let go.

On PostgreSQL nobody waits in a circle: who changes both locks assignments before slots, and slots of one item in the order of their ids.

Sides are balanced in blocks: each of a person's blocks of 4K answers with K candidates shows every candidate equally often in every place
(a block is four Latin squares, shuffled).  A place in a block that comes back unused is given to the next assignment.
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
    Column("seq", Integer),  # place in the rater's blocks; empty where it was given on
    Column("order", JSON, nullable=False),  # order[i]: the candidate that is shown as the i-th
    Column("guidelines_version", Integer, nullable=False),
    Column("leased_at", String(27), nullable=False),
    Column("expires_at", String(27), nullable=False),
    Column("ended_at", String(27)),
    Column("how", String(10)),  # judged, skipped, released, expired; empty while it is held
    Column("reason", Text),  # of a skip
    Index("ix_assignment_campaign_id_rater_seq", "campaign_id", "rater", "seq", unique=True),
    Index("ix_assignment_rater_how", "rater", "how"),
    Index("ix_assignment_item_id_rater_how", "item_id", "rater", "how"),
    Index("ix_assignment_campaign_id_how_rater_seq", "campaign_id", "how", "rater", "seq"),
)
NOT_OFFERED_AGAIN = (
    "how IS NULL OR how IN ('judged', 'skipped')"  # after these the person is not handed the item again
)
Index(
    "uq_assignment_item_id_rater_lasting",
    assignment_table.c.item_id,
    assignment_table.c.rater,
    unique=True,
    sqlite_where=text(NOT_OFFERED_AGAIN),
    postgresql_where=text(NOT_OFFERED_AGAIN),
)

MAX_LEASES = 5  # assignments that one person holds in one campaign
SQUARES_PER_BLOCK = 4  # Latin squares in a block


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
    """What the person holds already, oldest first, and as much more as makes `count`; fewer where nothing is left for them."""
    at = at or datetime.now(UTC)
    count = min(count, MAX_LEASES)
    _lock_rater(connection, rater)
    expire_leases(connection, campaign, at=at)
    held = [
        a for a in list_leased(connection, campaign, rater) if a.expires_at >= format_time(at)
    ]  # the others somebody else is just reclaiming
    _renew_leases(connection, campaign, [a.id for a in held], at)
    if campaign.state != "open":
        return held[:count]
    while len(held) < count:
        made = _lease_next(connection, campaign, rater, at)
        if made is None:
            break
        held.append(made)
    return held[:count]


def list_leased(connection: Connection, campaign: Campaign, rater: str) -> list[Assignment]:
    query = select(assignment_table).where(
        assignment_table.c.rater == rater,
        assignment_table.c.how.is_(None),
        assignment_table.c.campaign_id == campaign.id,
    )
    rows = connection.execute(query.order_by(assignment_table.c.leased_at, assignment_table.c.seq)).all()
    return [_with_item(connection, row) for row in rows]


def merge_options(connection: Connection, campaign: Campaign, changed: Mapping[str, Any]) -> dict[str, Any]:
    """The campaign's options with these changed, for `campaigns.change` in the same transaction.  Raises Conflict for another scale once
    anybody has had an item: what they say on this one would mean something else.
    """
    points = campaign.options["points"]
    if changed.get("points", points) != points:
        campaigns.lock(connection, campaign)  # nobody is handed anything until this has ended
        handed_out = (
            select(assignment_table.c.token).where(assignment_table.c.campaign_id == campaign.id).limit(1)
        )
        if connection.execute(handed_out).scalar() is not None:
            raise Conflict(f"people judge on {points} steps already; make a new campaign for another scale.")
    return {**campaign.options, **changed}


def get(
    connection: Connection,
    assignment_id: str,
    rater: str,
    *,
    campaign_id: int | None = None,
    lock: bool = False,
) -> Assignment:
    """Raises NotFound for a token that is not this person's in the campaign, or in any.  `alone`: until the transaction ends nobody else
    gets it so.
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
    """The row of `assignment`, as `get` finds it, without the texts of its item."""
    query = select(assignment_table).where(
        assignment_table.c.token == assignment_id, assignment_table.c.rater == rater
    )
    if lock:
        _lock_rater(connection, rater)
        query = query.with_for_update()
    row = connection.execute(query).one_or_none()
    if row is None or campaign_id not in (None, row.campaign_id):
        raise NotFound("there is no such task of yours.")
    return row


def heartbeat(
    connection: Connection, campaign: Campaign, assignment_id: str, rater: str, *, at: datetime | None = None
) -> str:
    """Somebody is still at it: returns until when the item is held now.  Raises Conflict when it is not held any more."""
    if get_row(connection, assignment_id, rater).how is not None:
        raise Conflict("this task is not held any more; what you wrote can still be sent.")
    return _renew_leases(connection, campaign, [assignment_id], at or datetime.now(UTC))


def release(connection: Connection, assignment_id: str, rater: str, *, at: datetime | None = None) -> None:
    """Let go: the item is there for others again, and for the same person.  Nothing happens to a task that has ended."""
    get_row(connection, assignment_id, rater)
    end_lease(connection, assignment_id, "released", at=at or datetime.now(UTC))


def revoke_lease(
    connection: Connection, campaign: Campaign, assignment_id: str, *, by: str, at: datetime | None = None
) -> None:
    """A lead frees an item that somebody holds."""
    row = connection.execute(
        select(assignment_table.c.rater).where(
            assignment_table.c.token == assignment_id, assignment_table.c.campaign_id == campaign.id
        )
    ).one_or_none()
    if row is None:
        raise NotFound("there is no such task in this campaign.")
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
    """Items whose holders gave no sign of life are free again.  Returns how many."""
    late = format_time(at or datetime.now(UTC))
    lost = (
        assignment_table.c.campaign_id == campaign.id,
        assignment_table.c.how.is_(None),
        assignment_table.c.expires_at < late,
    )
    query = select(assignment_table.c.token).where(*lost).order_by(assignment_table.c.slot_id).limit(100)
    tokens = (
        connection.execute(query.with_for_update(skip_locked=True)).scalars().all()
    )  # what somebody is just sending is not lost
    return sum(end_lease(connection, token, "expired", at=at or datetime.now(UTC)) for token in tokens)


def end_lease(
    connection: Connection, assignment_id: str, how: str, *, at: datetime, reason: str | None = None
) -> bool:
    """The hold ends, and the slot is done or open again.  False if the assignment had ended before."""
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
    """The person is not handed the item again, and its slot is open: also of a task that is judged, or whose hold was lost.  What they
    hold of the item besides is let go.  False where this was said before.
    """
    if end_lease(connection, assignment.id, "skipped", at=at, reason=reason):
        return True
    others = (
        assignment_table.c.item_id == assignment.item.id,
        assignment_table.c.rater == assignment.rater,
        assignment_table.c.token != assignment.id,
    )
    again = connection.execute(
        select(assignment_table.c.token).where(*others, assignment_table.c.how.is_(None)).with_for_update()
    ).scalar()
    if again is not None:
        end_lease(connection, again, "released", at=at)
    values = {"reason": reason}
    if not connection.execute(
        select(exists().where(*others, assignment_table.c.how.in_(("judged", "skipped"))))
    ).scalar_one():
        values |= {
            "how": "skipped",
            "ended_at": format_time(at),
        }  # else that other task is the one that counts
    fresh = or_(assignment_table.c.reason.is_(None), assignment_table.c.how == "judged")
    said = update(assignment_table).where(assignment_table.c.token == assignment.id, fresh).values(values)
    is_new = bool(connection.execute(said).rowcount)
    reopen_slot(connection, assignment.id)
    return is_new


def reopen_slot(connection: Connection, assignment_id: str) -> None:
    """The slot of an assignment is open again; gone where the item has more than the campaign now wants, and done where an answer had come
    in addition, for which there was no room.
    """
    lost = connection.execute(
        select(slot_table.c.id, slot_table.c.item_id)
        .where(slot_table.c.token == assignment_id)
        .with_for_update()
    ).one_or_none()
    if lost is None:
        return
    has = select(func.count()).where(slot_table.c.item_id == lost.item_id).scalar_subquery()
    wanted = (
        select(campaign_table.c.overlap)
        .where(campaign_table.c.id == slot_table.c.campaign_id)
        .scalar_subquery()
    )
    connection.execute(delete(slot_table).where(slot_table.c.id == lost.id, has > wanted))
    counted = select(slot_table.c.token).where(
        slot_table.c.item_id == lost.item_id, slot_table.c.token.is_not(None)
    )
    judged = select(assignment_table.c.token).where(
        assignment_table.c.item_id == lost.item_id, assignment_table.c.how == "judged"
    )
    extra = connection.execute(judged.where(assignment_table.c.token.not_in(counted)).limit(1)).scalar()
    values = {"state": "open" if extra is None else "done", "token": extra}
    connection.execute(update(slot_table).where(slot_table.c.id == lost.id).values(values))


# ---------------------------------------------------------------- taking a slot


def _lease_next(connection: Connection, campaign: Campaign, rater: str, at: datetime) -> Assignment | None:
    token, until = secrets.token_urlsafe(18), format_time(at + timedelta(seconds=campaign.lease_s))
    seen = exists().where(
        assignment_table.c.item_id == slot_table.c.item_id,
        assignment_table.c.rater == rater,
        or_(assignment_table.c.how.is_(None), assignment_table.c.how.in_(("judged", "skipped"))),
    )
    wanted = (
        select(slot_table.c.id)
        .where(slot_table.c.campaign_id == campaign.id, slot_table.c.state == "open", ~seen)
        .order_by(slot_table.c.rank)
        .limit(1)
        .with_for_update(skip_locked=True, of=slot_table)
        .scalar_subquery()
    )
    taken = (
        update(slot_table)
        .where(slot_table.c.id == wanted, slot_table.c.state == "open")
        .values(state="held", token=token)
    )
    version = campaigns.get_guidelines(connection, campaign.id)
    while True:
        try:
            with connection.begin_nested():
                row = connection.execute(taken.returning(slot_table.c.id, slot_table.c.item_id)).one_or_none()
                if row is None:
                    return None
                found = items.get(connection, campaign.id, row.item_id)
                seq = _next_seq(connection, campaign, rater)
                values = {
                    "token": token, "campaign_id": campaign.id, "item_id": row.item_id, "slot_id": row.id, "rater": rater, "seq": seq,
                    "order": list(answer_order(campaign.seed, rater, seq, len(found.answers))), "guidelines_version": version.version if version else 0,
                    "leased_at": format_time(at), "expires_at": until,
                }  # fmt: skip
                made = connection.execute(
                    insert(assignment_table).values(values).returning(assignment_table)
                ).one()
                return _from_row(made, found)
        except (
            IntegrityError
        ):  # a late answer of the same person to this item came at this moment from another window
            continue


def _next_seq(connection: Connection, campaign: Campaign, rater: str) -> int:
    """A place that came back unused, else the next one."""
    mine = (
        assignment_table.c.campaign_id == campaign.id,
        assignment_table.c.rater == rater,
        assignment_table.c.seq.is_not(None),
    )
    unused = select(assignment_table.c.seq, assignment_table.c.token).where(
        *mine, assignment_table.c.how.in_(("skipped", "released", "expired"))
    )
    if back := connection.execute(
        unused
    ).all():  # few; ordered by the database they would be looked for among all of the person's
        seq, token = min(back)
        connection.execute(update(assignment_table).where(assignment_table.c.token == token).values(seq=None))
        return int(seq)
    last = connection.execute(select(func.max(assignment_table.c.seq)).where(*mine)).scalar()
    return 0 if last is None else int(last) + 1


def answer_order(seed: str, rater: str, seq: int, num_answers: int) -> tuple[int, ...]:
    """The order of the answers for the `seq`-th assignment of a person."""
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
    """A person's windows take turns, or two could each wait for what the other has begun.  On SQLite all who write do."""
    if connection.dialect.name == "postgresql":
        connection.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(rater, 0))))


def _renew_leases(
    connection: Connection, campaign: Campaign, assignment_ids: Sequence[str], at: datetime
) -> str:
    until = format_time(at + timedelta(seconds=campaign.lease_s))
    if assignment_ids:
        connection.execute(
            update(assignment_table)
            .where(assignment_table.c.token.in_(assignment_ids), assignment_table.c.how.is_(None))
            .values(expires_at=until)
        )
    return until


def list_stuck(
    connection: Connection, campaign: Campaign, *, since_s: int = 900, at: datetime | None = None
) -> list[Mapping[str, Any]]:
    """Held without a sign of life for so long: token, rater, item_id, leased_at, quiet_s."""
    at = at or datetime.now(UTC)
    quiet = format_time(
        at + timedelta(seconds=campaign.lease_s - since_s)
    )  # a hold renewed just now would expire lease_s from now
    query = select(assignment_table).where(
        assignment_table.c.campaign_id == campaign.id,
        assignment_table.c.how.is_(None),
        assignment_table.c.expires_at < quiet,
    )
    return [
        {
            "token": row.token, "rater": row.rater, "item_id": row.item_id, "leased_at": row.leased_at,
            "quiet_s": int((at - parse_time(row.expires_at)).total_seconds()) + campaign.lease_s,
        }
        for row in connection.execute(query.order_by(assignment_table.c.expires_at))
    ]  # fmt: skip


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
