"""What people said: judgements, skips and flags.

A judgement is never changed.  Sending again for the same task makes a new one that supersedes the last; skipping after all makes one that
withdraws it.  What comes late, after the hold was lost or the campaign closed, is kept as well and says so.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    Connection,
    ForeignKey,
    Index,
    Integer,
    String,
    Table,
    Text,
    UniqueConstraint,
    exists,
    func,
    insert,
    select,
    update,
)

from fairlead.labels import assignments, campaigns, chats, drafts, events, storable_text, task_kinds
from fairlead.labels.assignments import Assignment, assignment
from fairlead.labels.campaigns import Campaign
from fairlead.labels.database import metadata, now, stamp
from fairlead.labels.errors import Conflict, Invalid, NotFound
from fairlead.labels.items import Item, slot

judgement = Table(
    "judgement",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("campaign_id", Integer, ForeignKey("campaign.id"), nullable=False),
    Column("item_id", Integer, ForeignKey("item.id"), nullable=False),
    Column("token", String(32), ForeignKey("assignment.token"), nullable=False),
    Column("rater", String(40), nullable=False),
    Column("key", String(80), nullable=False),  # the sender's own, so that sending twice is sending once
    Column("value", JSON, nullable=False),  # by candidate, see `kinds`; {} of one that withdraws
    Column("margin", Integer),
    Column("reasons", JSON, nullable=False),
    Column("note", Text, nullable=False),
    Column("order", JSON, nullable=False),  # in which the candidates were shown
    Column("guidelines_version", Integer, nullable=False),
    Column("active_ms", Integer, nullable=False),
    Column("dwell_ms", JSON, nullable=False),
    Column("ui", JSON, nullable=False),
    Column("late", Boolean, nullable=False),
    Column("quick", Boolean, nullable=False),
    Column("withdraws", Boolean, nullable=False),
    Column("supersedes", Integer, ForeignKey("judgement.id"), unique=True),
    Column("made_at", String(27), nullable=False),
    UniqueConstraint("rater", "key"),
    Index("ix_judgement_campaign_id_id", "campaign_id", "id"),
    Index("ix_judgement_item_id", "item_id"),
    Index("ix_judgement_token", "token"),
    Index("ix_judgement_campaign_id_rater_id", "campaign_id", "rater", "id"),
    Index("ix_judgement_campaign_id_made_at", "campaign_id", "made_at"),
    Index(
        "ix_judgement_sums",
        "campaign_id",
        "rater",
        "made_at",
        "withdraws",
        "supersedes",
        "active_ms",
        "late",
        "quick",
    ),
)
flag = Table(
    "flag",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("campaign_id", Integer, ForeignKey("campaign.id"), nullable=False),
    Column("item_id", Integer, ForeignKey("item.id"), nullable=False),
    Column("rater", String(40), nullable=False),
    Column("reason", String(40), nullable=False),
    Column("note", Text, nullable=False),
    Column("raised_at", String(27), nullable=False),
    Column("resolved_at", String(27)),
    Column("resolved_by", String(40)),
    Index("ix_flag_campaign_id_resolved_at", "campaign_id", "resolved_at"),
)

SKIPS = ("unclear", "too hard", "not my field", "upsetting", "broken")
FLAGS = ("harmful", "personal data", "broken", "wrong guidelines", "other")
LONGEST_NOTE = 10_000  # characters
MOST_ACTIVE_MS = 6 * 3600 * 1000
MS_PER_WORD = 60  # under a quarter of a fast reader's time: 250 words a minute are 240 ms a word


@dataclass(frozen=True)
class Judgement:
    id: int
    campaign_id: int
    item_id: int
    token: str
    rater: str
    value: dict[str, Any]
    margin: int | None
    reasons: tuple[str, ...]
    note: str
    order: tuple[int, ...]
    guidelines_version: int
    active_ms: int
    dwell_ms: dict[str, int]
    ui: dict[str, Any]  # viewport, theme, version, digest of what was rendered
    late: bool  # the hold had been lost
    quick: bool  # faster than anybody reads
    withdraws: bool
    supersedes: int | None
    made_at: str


@dataclass(frozen=True)
class Flag:
    id: int
    campaign_id: int
    item_id: int
    rater: str
    reason: str
    note: str
    raised_at: str
    resolved_at: str | None
    resolved_by: str | None


def submit(
    connection: Connection,
    token: str,
    rater: str,
    *,
    key: str,
    value: Mapping[str, Any],
    reasons: Sequence[str] = (),
    note: str = "",
    active_ms: int = 0,
    dwell_ms: Mapping[str, int] | None = None,
    ui: Mapping[str, Any] | None = None,
    at: datetime | None = None,
) -> Judgement:
    """Keeps a judgement of a task, in letters as shown.  The same key again returns what it made first.  Raises Invalid, NotFound."""
    storable_text.require(key=key)
    task, at = assignments.get(connection, token, rater, alone=True), at or datetime.now(UTC)
    there = connection.execute(
        select(judgement).where(judgement.c.rater == rater, judgement.c.key == key)
    ).one_or_none()
    if there is not None:
        if there.token != token:
            raise Conflict("this key was used for another task.")
        return _judgement(there)
    one = campaigns.by_id(connection, task.campaign_id)
    _check(one, key, reasons, note, active_ms, dwell_ms, ui)
    num_turns = chats.num_judged(connection, token) if one.kind == "chat" else len(task.item.prompt)
    kept = task_kinds.to_kept(one.kind, one.options, value, task.order, num_turns=num_turns)
    late = _finish(connection, task, at)
    last = current_of(connection, token)
    row = connection.execute(
        insert(judgement)
        .values(
            campaign_id=one.id, item_id=task.item.id, token=token, rater=rater, key=key, value=kept, margin=task_kinds.margin(one.kind, kept),
            reasons=list(reasons), note=note, order=list(task.order), guidelines_version=task.guidelines_version, active_ms=active_ms,
            dwell_ms=dict(dwell_ms or {}), ui=dict(ui or {}), late=late, quick=active_ms < MS_PER_WORD * num_words(task.item),
            withdraws=False, supersedes=last.id if last else None, made_at=stamp(at),
        )
        .returning(judgement)
    ).one()  # fmt: skip
    drafts.forget(connection, token)
    body = {
        "item": task.item.id,
        "judgement": row.id,
        "supersedes": row.supersedes,
        "late": late,
        "active_ms": active_ms,
        "margin": row.margin,
    }
    events.append(
        connection, verb="judgement.made", actor=rater, campaign=one.id, subject=token[:8], body=body
    )
    return _judgement(row)


def undo(connection: Connection, one: Campaign, rater: str) -> tuple[Assignment, Judgement]:
    """The last task that this person judged, to be judged again: nothing changes until they send it.  Raises NotFound."""
    query = select(judgement).where(
        judgement.c.campaign_id == one.id, judgement.c.rater == rater, is_current()
    )
    row = connection.execute(query.order_by(judgement.c.id.desc()).limit(1)).one_or_none()
    if row is None:
        raise NotFound("there is nothing to take back.")
    return assignments.get(connection, row.token, rater), _judgement(row)


def skip(
    connection: Connection, token: str, rater: str, *, reason: str, note: str = "", at: datetime | None = None
) -> None:
    """Not for me: the item goes to somebody else, what was typed stays among the drafts.  Of a judged task the judgement is withdrawn."""
    if reason not in SKIPS:
        raise Invalid({"reason": f"is one of {', '.join(SKIPS)}"})
    if len(note) > LONGEST_NOTE:
        raise Invalid({"note": f"has at most {LONGEST_NOTE:,} characters"})
    storable_text.require(note=note)
    task, at = assignments.get(connection, token, rater, alone=True), at or datetime.now(UTC)
    last = current_of(connection, token)
    if last is not None:
        values = {
            name: getattr(last, name)
            for name in (
                "campaign_id",
                "item_id",
                "token",
                "rater",
                "guidelines_version",
                "ui",
                "late",
                "quick",
            )
        }
        values |= {
            "key": f"withdraws-{last.id}", "value": {}, "margin": None, "reasons": [], "note": "", "order": list(last.order),
            "active_ms": 0, "dwell_ms": {}, "withdraws": True, "supersedes": last.id, "made_at": stamp(at),
        }  # fmt: skip
        connection.execute(insert(judgement).values(values))
        assignments.skip(connection, task, at=at, reason=reason)
    elif task.how == "skipped" or not assignments.skip(connection, task, at=at, reason=reason):
        return
    body = {"item": task.item.id, "reason": reason, "withdraws": last.id if last else None}
    events.append(
        connection, verb="task.skipped", actor=rater, campaign=task.campaign_id, subject=token[:8], body=body
    )
    if note.strip():
        raise_flag(connection, token, rater, reason="other", note=note)


def current(
    connection: Connection,
    campaign_id: int,
    *,
    item_id: int | None = None,
    rater: str | None = None,
    after: int = 0,
    limit: int | None = None,
) -> list[Judgement]:
    """Judgements that stand: neither superseded nor withdrawn, in the order in which they came."""
    query = select(judgement).where(
        judgement.c.campaign_id == campaign_id, judgement.c.id > after, is_current()
    )
    if item_id is not None:
        query = query.where(judgement.c.item_id == item_id)
    if rater is not None:
        query = query.where(judgement.c.rater == rater)
    return [_judgement(row) for row in connection.execute(query.order_by(judgement.c.id).limit(limit))]


def raters(connection: Connection, campaign_id: int) -> list[str]:
    """Whose judgements there are, in the order of their pseudonyms."""
    query = (
        select(judgement.c.rater)
        .where(judgement.c.campaign_id == campaign_id)
        .distinct()
        .order_by(judgement.c.rater)
    )
    return list(connection.execute(query).scalars())


def of_item(connection: Connection, campaign_id: int, item_id: int) -> list[Judgement]:
    """Every judgement of an item, in the order in which they came: also superseded ones and those that withdraw one."""
    query = select(judgement).where(judgement.c.campaign_id == campaign_id, judgement.c.item_id == item_id)
    return [_judgement(row) for row in connection.execute(query.order_by(judgement.c.id))]


def current_of(connection: Connection, token: str) -> Judgement | None:
    """Of one task."""
    row = connection.execute(select(judgement).where(judgement.c.token == token, is_current())).one_or_none()
    return _judgement(row) if row else None


def count(connection: Connection, campaign_id: int, rater: str) -> int:
    """Judgements of this person that stand."""
    withdrawn = func.count().filter(
        judgement.c.withdraws
    )  # neither these stand, nor what another one supersedes
    query = select(func.count() - withdrawn - func.count(judgement.c.supersedes))
    return int(
        connection.execute(
            query.where(judgement.c.campaign_id == campaign_id, judgement.c.rater == rater)
        ).scalar_one()
    )


def active_times(connection: Connection, campaign_id: int, rater: str, *, since: str) -> list[int]:
    """Milliseconds that each judgement of this person took which stands and was made since then."""
    query = select(judgement.c.active_ms).where(
        judgement.c.campaign_id == campaign_id, judgement.c.rater == rater, is_current()
    )
    return list(connection.execute(query.where(judgement.c.made_at >= since)).scalars())


# ---------------------------------------------------------------- flags


def raise_flag(connection: Connection, token: str, rater: str, *, reason: str, note: str = "") -> int:
    """Something is wrong with the item; a lead looks at it.  Returns the flag's number."""
    if reason not in FLAGS:
        raise Invalid({"reason": f"is one of {', '.join(FLAGS)}"})
    if len(note) > LONGEST_NOTE:
        raise Invalid({"note": f"has at most {LONGEST_NOTE:,} characters"})
    storable_text.require(note=note)
    task = assignments.require(connection, token, rater)
    values = {
        "campaign_id": task.campaign_id,
        "item_id": task.item_id,
        "rater": rater,
        "reason": reason,
        "note": note,
        "raised_at": now(),
    }
    made = int(connection.execute(insert(flag).values(values).returning(flag.c.id)).scalar_one())
    events.append(
        connection,
        verb="flag.raised",
        actor=rater,
        campaign=task.campaign_id,
        subject=str(made),
        body={"item": task.item_id, "reason": reason},
    )
    return made


def flags(connection: Connection, campaign_id: int, *, resolved: bool = False) -> list[Flag]:
    """The newest first."""
    state = flag.c.resolved_at.is_not(None) if resolved else flag.c.resolved_at.is_(None)
    rows = connection.execute(
        select(flag).where(flag.c.campaign_id == campaign_id, state).order_by(flag.c.id.desc())
    )
    return [Flag(**row._mapping) for row in rows]


def resolve_flag(connection: Connection, campaign_id: int, flag_id: int, *, by: str) -> None:
    mine = (flag.c.id == flag_id, flag.c.campaign_id == campaign_id)
    if connection.execute(select(flag.c.id).where(*mine)).one_or_none() is None:
        raise NotFound("there is no such flag in this campaign.")
    if connection.execute(
        update(flag).where(*mine, flag.c.resolved_at.is_(None)).values(resolved_at=now(), resolved_by=by)
    ).rowcount:
        events.append(connection, verb="flag.resolved", actor=by, campaign=campaign_id, subject=str(flag_id))


# ---------------------------------------------------------------- details


def _check(
    one: Campaign,
    key: str,
    reasons: Sequence[str],
    note: str,
    active_ms: int,
    dwell_ms: Mapping[str, int] | None,
    ui: Mapping[str, Any] | None,
) -> None:
    problems = {}
    storable_text.require(note=note, dwell_ms=dwell_ms, ui=ui)
    if not 8 <= len(key) <= 80:
        problems["key"] = "has 8 to 80 characters"
    if unknown := [reason for reason in reasons if reason not in one.options["chips"]]:
        problems["reasons"] = f"{unknown[0]!r} is not one of this campaign's"
    if len(note) > LONGEST_NOTE:
        problems["note"] = f"has at most {LONGEST_NOTE:,} characters"
    if not 0 <= active_ms <= MOST_ACTIVE_MS:
        problems["active_ms"] = "is a time from 0 to six hours"
    if len(str(dwell_ms or {})) + len(str(ui or {})) > 10_000:
        problems["ui"] = "is too large"
    if problems:
        raise Invalid(problems)


def _finish(connection: Connection, task: Assignment, at: datetime) -> bool:
    """The task is judged.  Returns whether the hold had been lost, so that this is an extra judgement, unless the slot is still free."""
    if task.how == "judged":
        return False
    if assignments.end(connection, task.token, "judged", at=at):
        return False
    # Lost: what the same person was handed of the item since then is this task in another guise.
    mine = (
        assignment.c.item_id == task.item.id,
        assignment.c.rater == task.rater,
        assignment.c.token != task.token,
    )
    again = connection.execute(
        select(assignment.c.token).where(*mine, assignment.c.how.is_(None)).with_for_update()
    ).scalar()
    # Nobody else lets go of the item until this has ended, or both would miss that there is room for it.
    connection.execute(
        select(slot.c.id).where(slot.c.item_id == task.item.id).order_by(slot.c.id).with_for_update()
    ).all()
    if again is not None:
        assignments.end(connection, again, "released", at=at)
    before = connection.execute(
        select(assignment.c.how).where(*mine, assignment.c.how.in_(("judged", "skipped")))
    ).scalar()
    if before != "judged":  # a person counts once
        free = (
            select(slot.c.id)
            .where(slot.c.item_id == task.item.id, slot.c.state == "open")
            .order_by(slot.c.n)
            .limit(1)
        )
        connection.execute(
            update(slot).where(slot.c.id == free.scalar_subquery()).values(state="done", token=task.token)
        )
    if before is None:
        connection.execute(
            update(assignment)
            .where(assignment.c.token == task.token)
            .values(how="judged", ended_at=stamp(at))
        )
    return True


def is_current() -> Any:
    later = judgement.alias("later")
    return ~judgement.c.withdraws & ~exists().where(later.c.supersedes == judgement.c.id)


def num_words(item: Item) -> int:
    """Of the answers: the least that somebody who judges has to read."""
    return sum(len(message.content.split()) for answer in item.answers for message in answer.messages)


def _judgement(row: Any) -> Judgement:
    return Judgement(
        row.id, row.campaign_id, row.item_id, row.token, row.rater, row.value, row.margin, tuple(row.reasons), row.note, tuple(row.order),
        row.guidelines_version, row.active_ms, row.dwell_ms, row.ui, row.late, row.quick, row.withdraws, row.supersedes, row.made_at,
    )  # fmt: skip
