"""The event log: append-only rows, each of which contains the digest of the previous row.

    digest = sha256 of canonical JSON [seq, at, verb, actor, campaign_id, subject, body, digest before]

An event is written in the same transaction as the change it records.  Bodies contain ids, pseudonyms,
numbers and choices, but no names or texts, so erasing a person leaves the chain intact.  `seals` covers the
rows that an event wrote.
"""

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import JSON, Column, Connection, Index, Integer, String, Table, insert, select, update
from sqlalchemy.exc import IntegrityError

from fairlead.core import digest
from fairlead.labels import seals
from fairlead.labels.database import metadata, now
from fairlead.labels.seals import Row

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
# One row: the end of the chain.  A transaction that appends an event locks the row until it ends.
chain_table = Table(
    "chain",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("seq", Integer, nullable=False),
    Column("digest", String(80), nullable=False),
)

START = "sha256:" + "0" * 64


@dataclass(frozen=True)
class Event:
    seq: int
    at: str
    verb: str  # object and action, such as "judgement.made"
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
    rows: Sequence[Row] = (),
) -> int:
    """Append an event, and return its number.  `rows` are those that it wrote, to be sealed, see `seals`.

    On PostgreSQL this locks the end of the chain until the transaction ends, so append last.
    """
    head = connection.execute(
        update(chain_table)
        .where(chain_table.c.id == 1)
        .values(seq=chain_table.c.seq + 1)
        .returning(chain_table.c.seq, chain_table.c.digest)
    ).one_or_none()
    if head is None:
        # A concurrent transaction may insert the first row too.
        with contextlib.suppress(IntegrityError), connection.begin_nested():
            connection.execute(insert(chain_table).values(id=1, seq=0, digest=START))
        return append(
            connection,
            verb=verb,
            actor=actor,
            campaign_id=campaign_id,
            subject=subject,
            body=body,
            rows=rows,
        )
    at = now()
    content = dict(body or {})
    if new_seals := seals.make_seals(connection, rows):
        content["sealed"] = seals.digest_of(new_seals)
    new_digest = _digest(head.seq, at, verb, actor, campaign_id, subject, content, head.digest)
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
            digest=new_digest,
        )
    )
    seals.store(connection, new_seals, head.seq)
    connection.execute(update(chain_table).where(chain_table.c.id == 1).values(digest=new_digest))
    return int(head.seq)


def list_after(
    connection: Connection, seq: int, *, campaign_id: int | None = None, limit: int = 500
) -> list[Event]:
    """Events with a number above `seq`, oldest first: of a campaign, or all."""
    query = select(event_table).where(event_table.c.seq > seq).order_by(event_table.c.seq).limit(limit)
    if campaign_id is not None:
        query = query.where(event_table.c.campaign_id == campaign_id)
    return [_from_row(row) for row in connection.execute(query)]


def list_latest(
    connection: Connection, *, campaign_id: int | None = None, verbs: Sequence[str] = (), limit: int = 50
) -> list[Event]:
    """Events newest first: of a campaign, or all."""
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
    """The result of `verify`: the number of valid events, and the first problem if any."""

    num_events: int
    problem: str | None


def verify(connection: Connection) -> ChainCheck:
    """Recompute the digest of every event up to the recorded end of the chain, and of every sealed row."""
    expected = 1
    before = START
    sealed: dict[int, str] = {}
    with connection.execute(
        select(event_table).order_by(event_table.c.seq), execution_options={"yield_per": 2000}
    ) as rows:
        for row in rows:
            if row.seq != expected:
                return ChainCheck(expected - 1, f"event {expected} is missing")
            if row.prev_digest != before:
                return ChainCheck(
                    expected - 1, f"event {row.seq} does not contain the digest of event {row.seq - 1}"
                )
            if row.digest != _digest(
                row.seq, row.at, row.verb, row.actor, row.campaign_id, row.subject, row.body, before
            ):
                return ChainCheck(expected - 1, f"event {row.seq} was changed after it was written")
            if "sealed" in row.body:
                sealed[row.seq] = row.body["sealed"]
            expected += 1
            before = row.digest
    end = connection.execute(select(chain_table.c.seq, chain_table.c.digest)).one_or_none()
    if (end.seq, end.digest) != (expected - 1, before) if end else expected > 1:
        return ChainCheck(
            expected - 1, f"the log ends after event {expected - 1}, but the recorded end differs"
        )
    return ChainCheck(expected - 1, seals.find_problem(connection, sealed))


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
