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
from fairlead.labels.campaigns import Campaign, campaign
from fairlead.labels.database import metadata, moment, stamp
from fairlead.labels.errors import Conflict, NotFound
from fairlead.labels.items import Item, slot

assignment = Table(
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
LASTING = "how IS NULL OR how IN ('judged', 'skipped')"  # after these the person is not handed the item again
Index(
    "uq_assignment_item_id_rater_lasting",
    assignment.c.item_id,
    assignment.c.rater,
    unique=True,
    sqlite_where=text(LASTING),
    postgresql_where=text(LASTING),
)

MOST_AT_ONCE = 5  # assignments that one person holds in one campaign
SQUARES = 4  # Latin squares in a block


@dataclass(frozen=True)
class Assignment:
    token: str
    campaign_id: int
    rater: str
    item: Item
    order: tuple[int, ...]
    guidelines_version: int
    leased_at: str
    expires_at: str
    how: str | None


def lease(
    connection: Connection, one: Campaign, rater: str, *, count: int = 1, at: datetime | None = None
) -> list[Assignment]:
    """What the person holds already, oldest first, and as much more as makes `count`; fewer where nothing is left for them."""
    at = at or datetime.now(UTC)
    count = min(count, MOST_AT_ONCE)
    _one_by_one(connection, rater)
    reclaim(connection, one, at=at)
    held = [
        a for a in holding(connection, one, rater) if a.expires_at >= stamp(at)
    ]  # the others somebody else is just reclaiming
    _renew(connection, one, [a.token for a in held], at)
    if one.state != "open":
        return held[:count]
    while len(held) < count:
        made = _take(connection, one, rater, at)
        if made is None:
            break
        held.append(made)
    return held[:count]


def holding(connection: Connection, one: Campaign, rater: str) -> list[Assignment]:
    query = select(assignment).where(
        assignment.c.rater == rater, assignment.c.how.is_(None), assignment.c.campaign_id == one.id
    )
    rows = connection.execute(query.order_by(assignment.c.leased_at, assignment.c.seq)).all()
    return [_assignment(connection, row) for row in rows]


def new_options(connection: Connection, one: Campaign, changed: Mapping[str, Any]) -> dict[str, Any]:
    """The campaign's options with these changed, for `campaigns.change` in the same transaction.  Raises Conflict for another scale once
    anybody has had an item: what they say on this one would mean something else.
    """
    points = one.options["points"]
    if changed.get("points", points) != points:
        campaigns.hold(connection, one)  # nobody is handed anything until this has ended
        handed_out = select(assignment.c.token).where(assignment.c.campaign_id == one.id).limit(1)
        if connection.execute(handed_out).scalar() is not None:
            raise Conflict(f"people judge on {points} steps already; make a new campaign for another scale.")
    return {**one.options, **changed}


def get(
    connection: Connection, token: str, rater: str, *, campaign_id: int | None = None, alone: bool = False
) -> Assignment:
    """Raises NotFound for a token that is not this person's in the campaign, or in any.  `alone`: until the transaction ends nobody else
    gets it so.
    """
    return _assignment(connection, require(connection, token, rater, campaign_id=campaign_id, alone=alone))


def require(
    connection: Connection, token: str, rater: str, *, campaign_id: int | None = None, alone: bool = False
) -> Any:
    """The row of `assignment`, as `get` finds it, without the texts of its item."""
    query = select(assignment).where(assignment.c.token == token, assignment.c.rater == rater)
    if alone:
        _one_by_one(connection, rater)
        query = query.with_for_update()
    row = connection.execute(query).one_or_none()
    if row is None or campaign_id not in (None, row.campaign_id):
        raise NotFound("there is no such task of yours.")
    return row


def heartbeat(
    connection: Connection, one: Campaign, token: str, rater: str, *, at: datetime | None = None
) -> str:
    """Somebody is still at it: returns until when the item is held now.  Raises Conflict when it is not held any more."""
    if require(connection, token, rater).how is not None:
        raise Conflict("this task is not held any more; what you wrote can still be sent.")
    return _renew(connection, one, [token], at or datetime.now(UTC))


def release(connection: Connection, token: str, rater: str, *, at: datetime | None = None) -> None:
    """Let go: the item is there for others again, and for the same person.  Nothing happens to a task that has ended."""
    require(connection, token, rater)
    end(connection, token, "released", at=at or datetime.now(UTC))


def take_back(
    connection: Connection, one: Campaign, token: str, *, by: str, at: datetime | None = None
) -> None:
    """A lead frees an item that somebody holds."""
    row = connection.execute(
        select(assignment.c.rater).where(assignment.c.token == token, assignment.c.campaign_id == one.id)
    ).one_or_none()
    if row is None:
        raise NotFound("there is no such task in this campaign.")
    if end(connection, token, "released", at=at or datetime.now(UTC)):
        events.append(
            connection,
            verb="task.taken_back",
            actor=by,
            campaign=one.id,
            subject=token[:8],
            body={"rater": row.rater},
        )


def reclaim(connection: Connection, one: Campaign, *, at: datetime | None = None) -> int:
    """Items whose holders gave no sign of life are free again.  Returns how many."""
    late = stamp(at or datetime.now(UTC))
    lost = (assignment.c.campaign_id == one.id, assignment.c.how.is_(None), assignment.c.expires_at < late)
    query = select(assignment.c.token).where(*lost).order_by(assignment.c.slot_id).limit(100)
    tokens = (
        connection.execute(query.with_for_update(skip_locked=True)).scalars().all()
    )  # what somebody is just sending is not lost
    return sum(end(connection, token, "expired", at=at or datetime.now(UTC)) for token in tokens)


def end(connection: Connection, token: str, how: str, *, at: datetime, reason: str | None = None) -> bool:
    """The hold ends, and the slot is done or open again.  False if the assignment had ended before."""
    ended = update(assignment).where(assignment.c.token == token, assignment.c.how.is_(None))
    if not connection.execute(ended.values(how=how, ended_at=stamp(at), reason=reason)).rowcount:
        return False
    if how == "judged":
        connection.execute(
            update(slot).where(slot.c.token == token, slot.c.state == "held").values(state="done")
        )
    else:
        free(connection, token)
    return True


def skip(connection: Connection, task: Assignment, *, at: datetime, reason: str) -> bool:
    """The person is not handed the item again, and its slot is open: also of a task that is judged, or whose hold was lost.  What they
    hold of the item besides is let go.  False where this was said before.
    """
    if end(connection, task.token, "skipped", at=at, reason=reason):
        return True
    others = (
        assignment.c.item_id == task.item.id,
        assignment.c.rater == task.rater,
        assignment.c.token != task.token,
    )
    again = connection.execute(
        select(assignment.c.token).where(*others, assignment.c.how.is_(None)).with_for_update()
    ).scalar()
    if again is not None:
        end(connection, again, "released", at=at)
    values = {"reason": reason}
    if not connection.execute(
        select(exists().where(*others, assignment.c.how.in_(("judged", "skipped"))))
    ).scalar_one():
        values |= {"how": "skipped", "ended_at": stamp(at)}  # else that other task is the one that counts
    fresh = or_(assignment.c.reason.is_(None), assignment.c.how == "judged")
    said = update(assignment).where(assignment.c.token == task.token, fresh).values(values)
    is_new = bool(connection.execute(said).rowcount)
    free(connection, task.token)
    return is_new


def free(connection: Connection, token: str) -> None:
    """The slot of an assignment is open again; gone where the item has more than the campaign now wants, and done where an answer had come
    in addition, for which there was no room.
    """
    lost = connection.execute(
        select(slot.c.id, slot.c.item_id).where(slot.c.token == token).with_for_update()
    ).one_or_none()
    if lost is None:
        return
    has = select(func.count()).where(slot.c.item_id == lost.item_id).scalar_subquery()
    wanted = select(campaign.c.overlap).where(campaign.c.id == slot.c.campaign_id).scalar_subquery()
    connection.execute(delete(slot).where(slot.c.id == lost.id, has > wanted))
    counted = select(slot.c.token).where(slot.c.item_id == lost.item_id, slot.c.token.is_not(None))
    judged = select(assignment.c.token).where(
        assignment.c.item_id == lost.item_id, assignment.c.how == "judged"
    )
    extra = connection.execute(judged.where(assignment.c.token.not_in(counted)).limit(1)).scalar()
    values = {"state": "open" if extra is None else "done", "token": extra}
    connection.execute(update(slot).where(slot.c.id == lost.id).values(values))


# ---------------------------------------------------------------- taking a slot


def _take(connection: Connection, one: Campaign, rater: str, at: datetime) -> Assignment | None:
    token, until = secrets.token_urlsafe(18), stamp(at + timedelta(seconds=one.lease_s))
    seen = exists().where(
        assignment.c.item_id == slot.c.item_id,
        assignment.c.rater == rater,
        or_(assignment.c.how.is_(None), assignment.c.how.in_(("judged", "skipped"))),
    )
    wanted = (
        select(slot.c.id)
        .where(slot.c.campaign_id == one.id, slot.c.state == "open", ~seen)
        .order_by(slot.c.rank)
        .limit(1)
        .with_for_update(skip_locked=True, of=slot)
        .scalar_subquery()
    )
    taken = update(slot).where(slot.c.id == wanted, slot.c.state == "open").values(state="held", token=token)
    version = campaigns.guidelines(connection, one.id)
    while True:
        try:
            with connection.begin_nested():
                row = connection.execute(taken.returning(slot.c.id, slot.c.item_id)).one_or_none()
                if row is None:
                    return None
                found = items.get(connection, one.id, row.item_id)
                seq = _next_seq(connection, one, rater)
                values = {
                    "token": token, "campaign_id": one.id, "item_id": row.item_id, "slot_id": row.id, "rater": rater, "seq": seq,
                    "order": list(sides(one.seed, rater, seq, len(found.answers))), "guidelines_version": version.version if version else 0,
                    "leased_at": stamp(at), "expires_at": until,
                }  # fmt: skip
                made = connection.execute(insert(assignment).values(values).returning(assignment)).one()
                return _of(made, found)
        except (
            IntegrityError
        ):  # a late answer of the same person to this item came at this moment from another window
            continue


def _next_seq(connection: Connection, one: Campaign, rater: str) -> int:
    """A place that came back unused, else the next one."""
    mine = (assignment.c.campaign_id == one.id, assignment.c.rater == rater, assignment.c.seq.is_not(None))
    unused = select(assignment.c.seq, assignment.c.token).where(
        *mine, assignment.c.how.in_(("skipped", "released", "expired"))
    )
    if back := connection.execute(
        unused
    ).all():  # few; ordered by the database they would be looked for among all of the person's
        seq, token = min(back)
        connection.execute(update(assignment).where(assignment.c.token == token).values(seq=None))
        return int(seq)
    last = connection.execute(select(func.max(assignment.c.seq)).where(*mine)).scalar()
    return 0 if last is None else int(last) + 1


def sides(seed: str, rater: str, seq: int, num_answers: int) -> tuple[int, ...]:
    """The order of the answers for the `seq`-th assignment of a person."""
    if num_answers < 2:
        return tuple(range(num_answers))
    block, place = divmod(seq, SQUARES * num_answers)
    rng = derive_rng(0, seed, rater, num_answers, block)
    rows = []
    for _ in range(SQUARES):
        first = rng.sample(range(num_answers), num_answers)
        rows += [tuple(first[k:] + first[:k]) for k in range(num_answers)]
    rng.shuffle(rows)
    return rows[place]


# ---------------------------------------------------------------- details


def _one_by_one(connection: Connection, rater: str) -> None:
    """A person's windows take turns, or two could each wait for what the other has begun.  On SQLite all who write do."""
    if connection.dialect.name == "postgresql":
        connection.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(rater, 0))))


def _renew(connection: Connection, one: Campaign, tokens: Sequence[str], at: datetime) -> str:
    until = stamp(at + timedelta(seconds=one.lease_s))
    if tokens:
        connection.execute(
            update(assignment)
            .where(assignment.c.token.in_(tokens), assignment.c.how.is_(None))
            .values(expires_at=until)
        )
    return until


def stuck(
    connection: Connection, one: Campaign, *, since_s: int = 900, at: datetime | None = None
) -> list[Mapping[str, Any]]:
    """Held without a sign of life for so long: token, rater, item_id, leased_at, quiet_s."""
    at = at or datetime.now(UTC)
    quiet = stamp(
        at + timedelta(seconds=one.lease_s - since_s)
    )  # a hold renewed just now would expire lease_s from now
    query = select(assignment).where(
        assignment.c.campaign_id == one.id, assignment.c.how.is_(None), assignment.c.expires_at < quiet
    )
    return [
        {
            "token": row.token, "rater": row.rater, "item_id": row.item_id, "leased_at": row.leased_at,
            "quiet_s": int((at - moment(row.expires_at)).total_seconds()) + one.lease_s,
        }
        for row in connection.execute(query.order_by(assignment.c.expires_at))
    ]  # fmt: skip


def _assignment(connection: Connection, row: Any) -> Assignment:
    return _of(row, items.get(connection, row.campaign_id, row.item_id))


def _of(row: Any, found: Item) -> Assignment:
    return Assignment(
        row.token,
        row.campaign_id,
        row.rater,
        found,
        tuple(row.order),
        row.guidelines_version,
        row.leased_at,
        row.expires_at,
        row.how,
    )
