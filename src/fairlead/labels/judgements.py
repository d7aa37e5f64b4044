"""Judgements: what raters submit, and how an assignment is skipped.

A judgement row never changes.  Submitting again for the same assignment adds a judgement that supersedes the
previous one.  Skipping a judged assignment adds a judgement that withdraws the previous one.  A judgement is
current when no other judgement supersedes or withdraws it.  Late judgements, submitted after the lease ended,
are stored and marked `late`.  Active times are cut to what the server's clock allows, see `work_time`; that
of a correction includes the time of the judgement that it supersedes.
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
    false,
    func,
    insert,
    select,
)

from fairlead.labels import (
    assignments,
    campaigns,
    chats,
    drafts,
    events,
    flags,
    leases,
    storable_text,
    task_kinds,
    work_time,
)
from fairlead.labels.assignments import Assignment, assignment_table
from fairlead.labels.campaigns import Campaign
from fairlead.labels.database import format_time, metadata, parse_time
from fairlead.labels.errors import Conflict, Invalid, NotFound
from fairlead.labels.seals import Row

judgement_table = Table(
    "judgement",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("campaign_id", Integer, ForeignKey("campaign.id"), nullable=False),
    Column("item_id", Integer, ForeignKey("item.id"), nullable=False),
    Column("token", String(32), ForeignKey("assignment.token"), nullable=False),
    Column("rater", String(40), nullable=False),
    Column("key", String(80), nullable=False),  # idempotency key, chosen by the client
    Column("value", JSON, nullable=False),  # by answer index, see `task_kinds`; {} for a withdrawal
    Column("margin", Integer),
    Column("reasons", JSON, nullable=False),
    Column("note", Text, nullable=False),
    Column("order", JSON, nullable=False),  # order[i]: index of the answer shown at position i
    Column("guidelines_version", Integer, nullable=False),
    Column("active_ms", Integer, nullable=False),
    Column("dwell_ms", JSON, nullable=False),
    Column("ui", JSON, nullable=False),
    Column("late", Boolean, nullable=False),
    Column("quick", Boolean, nullable=False),
    Column("implausible", Boolean, nullable=False, server_default=false()),
    Column("withdraws", Boolean, nullable=False),
    Column("supersedes", Integer, ForeignKey("judgement.id"), unique=True),
    Column("made_at", String(27), nullable=False),
    UniqueConstraint("rater", "key"),
    Index("ix_judgement_campaign_id_id", "campaign_id", "id"),
    Index("ix_judgement_item_id", "item_id"),
    Index("ix_judgement_token", "token"),
    Index("ix_judgement_campaign_id_rater_id", "campaign_id", "rater", "id"),
    Index("ix_judgement_campaign_id_made_at", "campaign_id", "made_at"),
    Index("ix_judgement_rater_made_at", "rater", "made_at"),
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
        "implausible",
    ),
)
SKIP_REASONS = ("unclear", "too hard", "not my field", "upsetting", "broken")
MAX_ACTIVE_MS = 6 * 3600 * 1000
MAX_OTHERS = 1000  # judgements of the last hours that the bound of the active time takes into account


@dataclass(frozen=True)
class Judgement:
    id: int
    campaign_id: int
    item_id: int
    assignment_id: str
    rater: str
    value: dict[str, Any]
    margin: int | None
    reasons: tuple[str, ...]
    note: str
    order: tuple[int, ...]
    guidelines_version: int
    active_ms: int
    dwell_ms: dict[str, int]
    ui: dict[str, Any]  # viewport, theme, version, digest of the rendered texts
    late: bool  # submitted after the lease ended
    quick: bool  # submitted faster than the answers can be read, see `work_time`
    implausible: bool  # more active time was reported than the server's clock allows; `active_ms` was cut
    withdraws: bool  # takes back the judgement that `supersedes` names
    supersedes: int | None  # id of the previous judgement of the same assignment
    made_at: str


@dataclass(frozen=True, kw_only=True)
class NewJudgement:
    """A judgement as a rater submits it: `value` refers to answers by letter, in the order shown."""

    key: str  # idempotency key, chosen by the client
    value: Mapping[str, Any]
    reasons: Sequence[str] = ()
    note: str = ""
    active_ms: int = 0
    dwell_ms: Mapping[str, int] | None = None
    ui: Mapping[str, Any] | None = None


def submit(
    connection: Connection, assignment_id: str, rater: str, new: NewJudgement, *, at: datetime | None = None
) -> Judgement:
    """Store a judgement of an assignment.  Repeating a key returns the first judgement stored under it.

    Raises Invalid for a bad value, and NotFound for an assignment that is not this rater's.
    """
    storable_text.require(key=new.key)
    at = at or datetime.now(UTC)
    assignment = assignments.get(connection, assignment_id, rater, lock=True)
    repeated = connection.execute(
        select(judgement_table).where(judgement_table.c.rater == rater, judgement_table.c.key == new.key)
    ).one_or_none()
    if repeated is not None:
        if repeated.token != assignment_id:
            raise Conflict("This idempotency key was used for another assignment. Send a new key.")
        return _from_row(repeated)
    campaign = campaigns.get_by_id(connection, assignment.campaign_id)
    _validate(assignment, new)
    num_turns = (
        chats.count_judged_turns(connection, assignment_id)
        if campaign.kind == "chat"
        else len(assignment.item.prompt)
    )
    value = task_kinds.to_stored(
        campaign.kind, assignment.options, new.value, assignment.order, num_turns=num_turns
    )
    late = leases.complete(connection, assignment, at)
    previous = get_current(connection, assignment_id)
    reported_ms = max(new.active_ms, previous.active_ms if previous else 0)
    active_ms = min(reported_ms, _longest_active_ms(connection, assignment, at))
    row = connection.execute(
        insert(judgement_table)
        .values(
            campaign_id=campaign.id,
            item_id=assignment.item.id,
            token=assignment_id,
            rater=rater,
            key=new.key,
            value=value,
            margin=task_kinds.margin(campaign.kind, value),
            reasons=list(new.reasons),
            note=new.note,
            order=list(assignment.order),
            guidelines_version=assignment.guidelines_version,
            active_ms=active_ms,
            dwell_ms=work_time.cut_dwell(new.dwell_ms or {}, active_ms),
            ui=dict(new.ui or {}),
            late=late,
            quick=work_time.is_quick(campaign.kind, assignment.item, active_ms),
            implausible=reported_ms > active_ms + work_time.TOLERANCE_MS,
            withdraws=False,
            supersedes=previous.id if previous else None,
            made_at=format_time(at),
        )
        .returning(judgement_table)
    ).one()
    drafts.discard(connection, assignment_id)
    body = {
        "item": assignment.item.id,
        "judgement": row.id,
        "supersedes": row.supersedes,
        "late": late,
        "active_ms": active_ms,
        "reported_ms": new.active_ms,
        "margin": row.margin,
    }
    events.append(
        connection,
        verb="judgement.made",
        actor=rater,
        campaign_id=campaign.id,
        subject=assignment_id[:8],
        body=body,
        rows=[Row("judgement", (row.id,))],
    )
    return _from_row(row)


def get_last(
    connection: Connection, campaign: Campaign, rater: str, *, without: Sequence[str] = ()
) -> tuple[Assignment, Judgement]:
    """Get the rater's latest current judgement and its assignment, to be judged again.

    `without` are assignments that are being judged again already.  Changes nothing.  Raises NotFound when the
    rater has no other current judgement in the campaign.
    """
    query = select(judgement_table).where(
        judgement_table.c.campaign_id == campaign.id,
        judgement_table.c.rater == rater,
        judgement_table.c.token.not_in(without),
        is_current(),
    )
    row = connection.execute(query.order_by(judgement_table.c.id.desc()).limit(1)).one_or_none()
    if row is None:
        raise NotFound("There is no judgement to undo. Judge an item first.")
    return assignments.get(connection, row.token, rater), _from_row(row)


def skip(
    connection: Connection,
    assignment_id: str,
    rater: str,
    *,
    reason: str,
    note: str = "",
    at: datetime | None = None,
) -> None:
    """Skip an assignment, so that another rater gets the item.  A draft is kept.

    Skipping a judged assignment withdraws its judgement.  A note raises a flag for the leads.
    """
    if reason not in SKIP_REASONS:
        raise Invalid({"reason": f"must be one of: {', '.join(SKIP_REASONS)}"})
    if len(note) > flags.LONGEST_NOTE:
        raise Invalid({"note": f"must have at most {flags.LONGEST_NOTE:,} characters"})
    storable_text.require(note=note)
    at = at or datetime.now(UTC)
    assignment = assignments.get(connection, assignment_id, rater, lock=True)
    previous = get_current(connection, assignment_id)
    written: list[Row] = []
    if previous is not None:
        values = {
            "campaign_id": previous.campaign_id,
            "item_id": previous.item_id,
            "token": assignment_id,
            "rater": previous.rater,
            "key": f"withdraws-{previous.id}",
            "value": {},
            "margin": None,
            "reasons": [],
            "note": "",
            "order": list(previous.order),
            "guidelines_version": previous.guidelines_version,
            "active_ms": 0,
            "dwell_ms": {},
            "ui": previous.ui,
            "late": previous.late,
            "quick": previous.quick,
            "implausible": previous.implausible,
            "withdraws": True,
            "supersedes": previous.id,
            "made_at": format_time(at),
        }
        withdrawal = insert(judgement_table).values(values).returning(judgement_table.c.id)
        written = [Row("judgement", (connection.execute(withdrawal).scalar_one(),))]
        leases.skip(connection, assignment, at=at, reason=reason)
    elif assignment.how == "skipped" or not leases.skip(connection, assignment, at=at, reason=reason):
        return
    body = {"item": assignment.item.id, "reason": reason, "withdraws": previous.id if previous else None}
    events.append(
        connection,
        verb="task.skipped",
        actor=rater,
        campaign_id=assignment.campaign_id,
        subject=assignment_id[:8],
        body=body,
        rows=written,
    )
    if note.strip():
        flags.raise_flag(connection, assignment_id, rater, reason="other", note=note)


def list_current(
    connection: Connection,
    campaign_id: int,
    *,
    item_id: int | None = None,
    rater: str | None = None,
    after: int = 0,
    limit: int | None = None,
) -> list[Judgement]:
    """Current judgements of a campaign, oldest first."""
    query = select(judgement_table).where(
        judgement_table.c.campaign_id == campaign_id, judgement_table.c.id > after, is_current()
    )
    if item_id is not None:
        query = query.where(judgement_table.c.item_id == item_id)
    if rater is not None:
        query = query.where(judgement_table.c.rater == rater)
    return [_from_row(row) for row in connection.execute(query.order_by(judgement_table.c.id).limit(limit))]


def list_newest(
    connection: Connection, campaign_id: int, rater: str, *, offset: int, limit: int
) -> list[Judgement]:
    """Current judgements of a rater in a campaign, newest first."""
    query = select(judgement_table).where(
        judgement_table.c.campaign_id == campaign_id, judgement_table.c.rater == rater, is_current()
    )
    page = query.order_by(judgement_table.c.id.desc()).offset(offset).limit(limit)
    return [_from_row(row) for row in connection.execute(page)]


def list_raters(connection: Connection, campaign_id: int) -> list[str]:
    """Pseudonyms of everyone who judged in the campaign, sorted."""
    query = (
        select(judgement_table.c.rater)
        .where(judgement_table.c.campaign_id == campaign_id)
        .distinct()
        .order_by(judgement_table.c.rater)
    )
    return list(connection.execute(query).scalars())


def list_of_items(connection: Connection, item_ids: Sequence[int]) -> list[Judgement]:
    """All judgements of the items, oldest first, including superseded ones and withdrawals."""
    query = select(judgement_table).where(judgement_table.c.item_id.in_(item_ids))
    return [_from_row(row) for row in connection.execute(query.order_by(judgement_table.c.id))]


def get_superseded(connection: Connection, judgement: Judgement) -> Judgement | None:
    """The judgement that this one supersedes, if any."""
    if judgement.supersedes is None:
        return None
    query = select(judgement_table).where(judgement_table.c.id == judgement.supersedes)
    return _from_row(connection.execute(query).one())


def get_current(connection: Connection, assignment_id: str) -> Judgement | None:
    """The current judgement of an assignment, if any."""
    row = connection.execute(
        select(judgement_table).where(judgement_table.c.token == assignment_id, is_current())
    ).one_or_none()
    return _from_row(row) if row else None


def count_current(connection: Connection, campaign_id: int, rater: str) -> int:
    """Number of current judgements of a rater in a campaign."""
    # A withdrawal is not current, and neither is the judgement that another one supersedes.
    withdrawn = func.count().filter(judgement_table.c.withdraws)
    query = select(func.count() - withdrawn - func.count(judgement_table.c.supersedes))
    return int(
        connection.execute(
            query.where(judgement_table.c.campaign_id == campaign_id, judgement_table.c.rater == rater)
        ).scalar_one()
    )


def list_active_times(connection: Connection, campaign_id: int, rater: str, *, since: str) -> list[int]:
    """Active milliseconds of each current judgement that the rater made at or after `since`."""
    query = select(judgement_table.c.active_ms).where(
        judgement_table.c.campaign_id == campaign_id, judgement_table.c.rater == rater, is_current()
    )
    return list(connection.execute(query.where(judgement_table.c.made_at >= since)).scalars())


# ---------------------------------------------------------------- details


def _validate(assignment: Assignment, new: NewJudgement) -> None:
    problems = {}
    storable_text.require(note=new.note, dwell_ms=new.dwell_ms, ui=new.ui)
    if not 8 <= len(new.key) <= 80:
        problems["key"] = "must have 8 to 80 characters"
    if unknown := [reason for reason in new.reasons if reason not in assignment.options["chips"]]:
        problems["reasons"] = f"{unknown[0]!r} is not a reason of this task; choose from its list"
    if len(new.note) > flags.LONGEST_NOTE:
        problems["note"] = f"must have at most {flags.LONGEST_NOTE:,} characters"
    if not 0 <= new.active_ms <= MAX_ACTIVE_MS:
        problems["active_ms"] = f"must be 0 to {MAX_ACTIVE_MS:,} milliseconds"
    if len(str(new.dwell_ms or {})) + len(str(new.ui or {})) > 10_000:
        problems["ui"] = "must have at most 10,000 characters together with dwell_ms"
    if problems:
        raise Invalid(problems)


_later = judgement_table.alias("later")  # made once: it takes longer than a query


def is_current() -> Any:
    """SQL condition: the judgement is neither superseded nor withdrawn, and is no withdrawal itself."""
    return ~judgement_table.c.withdraws & ~exists().where(_later.c.supersedes == judgement_table.c.id)


def is_current_in(campaign_id: int) -> Any:
    """The same for the judgements of one campaign: faster for all of them, and slower for a few."""
    superseded = select(_later.c.supersedes).where(
        _later.c.campaign_id == campaign_id, _later.c.supersedes.is_not(None)
    )
    return ~judgement_table.c.withdraws & judgement_table.c.id.not_in(superseded)


def _longest_active_ms(connection: Connection, assignment: Assignment, at: datetime) -> int:
    """The most active time that the server's clock allows for this assignment, see `work_time`."""
    held = (assignment_table.c.item_id == assignment.item.id, assignment_table.c.rater == assignment.rater)
    # A draft stays with the item, so its time may come from an earlier lease.
    first_held = connection.execute(select(func.min(assignment_table.c.leased_at)).where(*held)).scalar_one()
    since = parse_time(first_held)
    others = (
        select(assignment_table.c.leased_at, judgement_table.c.active_ms)
        .join_from(judgement_table, assignment_table, assignment_table.c.token == judgement_table.c.token)
        .where(
            judgement_table.c.rater == assignment.rater,
            judgement_table.c.made_at >= format_time(since - work_time.LOOK_BACK),
            judgement_table.c.item_id != assignment.item.id,
            is_current(),
        )
        .order_by(judgement_table.c.made_at.desc())
        .limit(MAX_OTHERS)
    )
    rows = connection.execute(others).all()
    return work_time.longest_active_ms(
        since, at, [(parse_time(leased_at), active_ms) for leased_at, active_ms in rows]
    )


def _from_row(row: Any) -> Judgement:
    return Judgement(
        id=row.id,
        campaign_id=row.campaign_id,
        item_id=row.item_id,
        assignment_id=row.token,
        rater=row.rater,
        value=row.value,
        margin=row.margin,
        reasons=tuple(row.reasons),
        note=row.note,
        order=tuple(row.order),
        guidelines_version=row.guidelines_version,
        active_ms=row.active_ms,
        dwell_ms=row.dwell_ms,
        ui=row.ui,
        late=row.late,
        quick=row.quick,
        implausible=row.implausible,
        withdraws=row.withdraws,
        supersedes=row.supersedes,
        made_at=row.made_at,
    )
