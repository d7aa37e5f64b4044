"""Flags: a rater reports that something is wrong with an item, and a campaign lead resolves the report."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import (
    Column,
    Connection,
    ForeignKey,
    Index,
    Integer,
    String,
    Table,
    Text,
    insert,
    select,
    update,
)

from fairlead.labels import assignments, events, storable_text
from fairlead.labels.database import metadata, now
from fairlead.labels.errors import Invalid, NotFound
from fairlead.labels.seals import Row

flag_table = Table(
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
    Index("ix_flag_item_id", "item_id"),
)

FLAG_REASONS = ("harmful", "personal data", "broken", "wrong guidelines", "other")
LONGEST_NOTE = 10_000  # characters


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


def raise_flag(connection: Connection, assignment_id: str, rater: str, *, reason: str, note: str = "") -> int:
    """Report the item of an assignment to the leads.  Returns the id of the flag."""
    if reason not in FLAG_REASONS:
        raise Invalid({"reason": f"must be one of: {', '.join(FLAG_REASONS)}"})
    if len(note) > LONGEST_NOTE:
        raise Invalid({"note": f"must have at most {LONGEST_NOTE:,} characters"})
    storable_text.require(note=note)
    assignment = assignments.get_row(connection, assignment_id, rater)
    values = {
        "campaign_id": assignment.campaign_id,
        "item_id": assignment.item_id,
        "rater": rater,
        "reason": reason,
        "note": note,
        "raised_at": now(),
    }
    flag_id = int(
        connection.execute(insert(flag_table).values(values).returning(flag_table.c.id)).scalar_one()
    )
    events.append(
        connection,
        verb="flag.raised",
        actor=rater,
        campaign_id=assignment.campaign_id,
        subject=str(flag_id),
        body={"item": assignment.item_id, "reason": reason},
        rows=[Row("flag", (flag_id,))],
    )
    return flag_id


def list_flags(connection: Connection, campaign_id: int, *, resolved: bool = False) -> list[Flag]:
    """Open or resolved flags of a campaign, newest first."""
    state = flag_table.c.resolved_at.is_not(None) if resolved else flag_table.c.resolved_at.is_(None)
    rows = connection.execute(
        select(flag_table)
        .where(flag_table.c.campaign_id == campaign_id, state)
        .order_by(flag_table.c.id.desc())
    )
    return [Flag(**row._mapping) for row in rows]


def list_of_items(connection: Connection, item_ids: Sequence[int]) -> list[Flag]:
    """All flags of the items, oldest first."""
    rows = connection.execute(
        select(flag_table).where(flag_table.c.item_id.in_(item_ids)).order_by(flag_table.c.id)
    )
    return [Flag(**row._mapping) for row in rows]


def resolve_flag(connection: Connection, campaign_id: int, flag_id: int, *, by: str) -> None:
    """Mark a flag as resolved.  Does nothing when it already is."""
    this_flag = (flag_table.c.id == flag_id, flag_table.c.campaign_id == campaign_id)
    if connection.execute(select(flag_table.c.id).where(*this_flag)).one_or_none() is None:
        raise NotFound(f"This campaign has no flag {flag_id}. Reload the page.")
    if connection.execute(
        update(flag_table)
        .where(*this_flag, flag_table.c.resolved_at.is_(None))
        .values(resolved_at=now(), resolved_by=by)
    ).rowcount:
        events.append(
            connection,
            verb="flag.resolved",
            actor=by,
            campaign_id=campaign_id,
            subject=str(flag_id),
            rows=[Row("flag", (flag_id,))],
        )
