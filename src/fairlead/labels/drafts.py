"""What people have begun to write and not sent.  The last state counts; drafts are nobody's business, so there is no event of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import JSON, Column, Connection, ForeignKey, String, Table, delete, insert, select, update

from fairlead.labels import assignments, storable_text
from fairlead.labels.assignments import assignment
from fairlead.labels.database import metadata, now
from fairlead.labels.errors import Invalid

draft = Table(
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
    token: str
    item_id: int
    body: dict[str, Any]
    how: str | None  # the task ended so; None while it is held


def save(connection: Connection, token: str, rater: str, body: Mapping[str, Any]) -> str:
    """Returns when it was saved.  Raises NotFound for a task that is not this person's, Invalid for what cannot be kept."""
    assignments.require(connection, token, rater, alone=True)
    storable_text.require(draft=body)
    if len(str(body)) > LARGEST_JSON:
        raise Invalid({"draft": f"is larger than {LARGEST_JSON:,} characters"})
    at = now()
    if not connection.execute(
        update(draft).where(draft.c.token == token).values(body=dict(body), saved_at=at)
    ).rowcount:
        connection.execute(insert(draft).values(token=token, rater=rater, body=dict(body), saved_at=at))
    return at


def of(connection: Connection, rater: str, *, tokens: Sequence[str]) -> dict[str, dict[str, Any]]:
    """token -> what was being written, where something was."""
    query = select(draft.c.token, draft.c.body).where(draft.c.rater == rater, draft.c.token.in_(tokens))
    return {row.token: row.body for row in connection.execute(query)}


def every(connection: Connection, campaign_id: int, rater: str) -> list[Draft]:
    """A person's in a campaign, the one saved last first."""
    columns = select(draft.c.token, assignment.c.item_id, draft.c.body, assignment.c.how)
    query = columns.join_from(draft, assignment, assignment.c.token == draft.c.token)
    query = query.where(draft.c.rater == rater, assignment.c.campaign_id == campaign_id).order_by(
        draft.c.saved_at.desc()
    )
    return [Draft(*row) for row in connection.execute(query)]


def forget(connection: Connection, token: str) -> None:
    """It was sent."""
    connection.execute(delete(draft).where(draft.c.token == token))
