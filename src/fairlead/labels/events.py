"""What happened, in order: rows that are only ever added, each holding the digest of the one before it.

    digest = sha256 of canonical JSON [seq, at, verb, actor, campaign_id, subject, body, digest before]

An event is written in the transaction of what it tells, so that neither is there without the other.  Bodies hold ids, pseudonyms, numbers
and choices, never names or text of people: erasing a person leaves the chain whole.
"""

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import JSON, Column, Connection, Index, Integer, String, Table, insert, select, update
from sqlalchemy.exc import IntegrityError

from fairlead.core import digest
from fairlead.labels.database import metadata, now

event_table = Table(
    "event",
    metadata,
    Column("seq", Integer, primary_key=True, autoincrement=False),
    Column("at", String(27), nullable=False),
    Column("verb", String(60), nullable=False),
    Column("actor", String(40), nullable=False),  # a rater, or "system"
    Column("campaign_id", Integer),
    Column("subject", String(200), nullable=False),
    Column("body", JSON, nullable=False),
    Column("prev_digest", String(80), nullable=False),
    Column("digest", String(80), nullable=False),
    Index("ix_event_campaign_id_seq", "campaign_id", "seq"),
)
chain_table = (
    Table(  # one row: where the chain ends.  Whoever adds an event holds it until the transaction ends
        "chain",
        metadata,
        Column("id", Integer, primary_key=True, autoincrement=False),
        Column("seq", Integer, nullable=False),
        Column("digest", String(80), nullable=False),
    )
)

START = "sha256:" + "0" * 64


@dataclass(frozen=True)
class Event:
    seq: int
    at: str
    verb: str  # "judgement.made": what it is about, and what was done
    actor: str
    campaign_id: int | None
    subject: str
    body: dict[str, Any]


def append(
    connection: Connection,
    *,
    verb: str,
    actor: str,
    campaign_id: int | None = None,
    subject: str = "",
    body: Mapping[str, Any] | None = None,
) -> int:
    """Returns the event's number.  On PostgreSQL the end of the chain stays locked until the transaction ends: append last."""
    head = connection.execute(
        update(chain_table)
        .where(chain_table.c.id == 1)
        .values(seq=chain_table.c.seq + 1)
        .returning(chain_table.c.seq, chain_table.c.digest)
    ).one_or_none()
    if head is None:
        with (
            contextlib.suppress(IntegrityError),
            connection.begin_nested(),
        ):  # or somebody else began it at this moment
            connection.execute(insert(chain_table).values(id=1, seq=0, digest=START))
        return append(connection, verb=verb, actor=actor, campaign_id=campaign_id, subject=subject, body=body)
    at, content = now(), dict(body or {})
    made = _digest(head.seq, at, verb, actor, campaign_id, subject, content, head.digest)
    connection.execute(
        insert(event_table).values(
            seq=head.seq,
            at=at,
            verb=verb,
            actor=actor,
            campaign_id=campaign_id,
            subject=subject,
            body=content,
            prev_digest=head.digest,
            digest=made,
        )
    )
    connection.execute(update(chain_table).where(chain_table.c.id == 1).values(digest=made))
    return int(head.seq)


def list_after(
    connection: Connection, seq: int, *, campaign_id: int | None = None, limit: int = 500
) -> list[Event]:
    """Events with a higher number, oldest first; of one campaign, or of all."""
    query = select(event_table).where(event_table.c.seq > seq).order_by(event_table.c.seq).limit(limit)
    if campaign_id is not None:
        query = query.where(event_table.c.campaign_id == campaign_id)
    return [_from_row(row) for row in connection.execute(query)]


def list_latest(
    connection: Connection, *, campaign_id: int | None = None, verbs: Sequence[str] = (), limit: int = 50
) -> list[Event]:
    """The newest first."""
    query = select(event_table).order_by(event_table.c.seq.desc()).limit(limit)
    if campaign_id is not None:
        query = query.where(event_table.c.campaign_id == campaign_id)
    if verbs:
        query = query.where(event_table.c.verb.in_(verbs))
    return [_from_row(row) for row in connection.execute(query)]


def last_seq(connection: Connection) -> int:
    return int(connection.execute(select(chain_table.c.seq)).scalar() or 0)


@dataclass(frozen=True)
class ChainCheck:
    """Whether the chain holds; where not, what is wrong first."""

    num_events: int
    problem: str | None


def verify(connection: Connection) -> ChainCheck:
    """Every event is computed again, from the first to the end that `chain` names."""
    expected, before = 1, START
    with connection.execute(
        select(event_table).order_by(event_table.c.seq), execution_options={"yield_per": 2000}
    ) as rows:
        for row in rows:
            if row.seq != expected:
                return ChainCheck(expected - 1, f"event {expected} is missing")
            if row.prev_digest != before:
                return ChainCheck(expected - 1, f"event {row.seq} does not follow the one before it")
            if row.digest != _digest(
                row.seq, row.at, row.verb, row.actor, row.campaign_id, row.subject, row.body, before
            ):
                return ChainCheck(expected - 1, f"event {row.seq} was changed after it was written")
            expected, before = expected + 1, row.digest
    end = connection.execute(select(chain_table.c.seq, chain_table.c.digest)).one_or_none()
    if (end.seq, end.digest) != (expected - 1, before) if end else expected > 1:
        return ChainCheck(expected - 1, f"the chain ends after event {expected - 1}, but not where it should")
    return ChainCheck(expected - 1, None)


def _digest(
    seq: int,
    at: str,
    verb: str,
    actor: str,
    campaign_id: int | None,
    subject: str,
    body: Mapping[str, Any],
    before: str,
) -> str:
    return digest.of_json([seq, at, verb, actor, campaign_id, subject, dict(body), before])


def _from_row(row: Any) -> Event:
    return Event(row.seq, row.at, row.verb, row.actor, row.campaign_id, row.subject, row.body)
