"""Drafts: judgements that raters have started and not yet submitted.

Only the latest state of a draft is stored.  Drafts are private, so saving one records no event.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import JSON, Column, Connection, ForeignKey, String, Table, delete, insert, select, update

from fairlead.labels import assignments, storable_text
from fairlead.labels.assignments import assignment_table
from fairlead.labels.database import metadata, now
from fairlead.labels.errors import Invalid

draft_table = Table(
    "draft",
    metadata,
    Column("token", String(32), ForeignKey("assignment.token"), primary_key=True),
    Column("rater", String(40), nullable=False, index=True),
    Column("body", JSON, nullable=False),
    Column("saved_at", String(27), nullable=False),
)

LARGEST_JSON = 400_000  # characters


@dataclass(frozen=True)
class Draft:
    assignment_id: str
    item_id: int
    body: dict[str, Any]
    how: str | None  # how the assignment ended; None while it is leased


def save(connection: Connection, assignment_id: str, rater: str, body: Mapping[str, Any]) -> str:
    """Store a draft of an assignment, and return the time.

    Raises NotFound when the rater has no such assignment, and Invalid for a body that cannot be stored.
    """
    assignments.get_row(connection, assignment_id, rater, lock=True)
    storable_text.require(draft=body)
    if len(str(body)) > LARGEST_JSON:
        raise Invalid({"draft": f"must have at most {LARGEST_JSON:,} characters; submit or shorten the text"})
    saved_at = now()
    if not connection.execute(
        update(draft_table)
        .where(draft_table.c.token == assignment_id)
        .values(body=dict(body), saved_at=saved_at)
    ).rowcount:
        connection.execute(
            insert(draft_table).values(token=assignment_id, rater=rater, body=dict(body), saved_at=saved_at)
        )
    return saved_at


def get_many(
    connection: Connection, rater: str, *, assignment_ids: Sequence[str]
) -> dict[str, dict[str, Any]]:
    """The drafts among these assignments, by assignment id."""
    query = select(draft_table.c.token, draft_table.c.body).where(
        draft_table.c.rater == rater, draft_table.c.token.in_(assignment_ids)
    )
    return {row.token: row.body for row in connection.execute(query)}


def list_of_rater(connection: Connection, campaign_id: int, rater: str) -> list[Draft]:
    """All drafts of a rater in a campaign, latest first."""
    columns = select(
        draft_table.c.token, assignment_table.c.item_id, draft_table.c.body, assignment_table.c.how
    )
    query = columns.join_from(draft_table, assignment_table, assignment_table.c.token == draft_table.c.token)
    query = query.where(draft_table.c.rater == rater, assignment_table.c.campaign_id == campaign_id).order_by(
        draft_table.c.saved_at.desc()
    )
    return [Draft(*row) for row in connection.execute(query)]


def discard(connection: Connection, assignment_id: str) -> None:
    """Delete the draft of an assignment that was submitted."""
    connection.execute(delete(draft_table).where(draft_table.c.token == assignment_id))
