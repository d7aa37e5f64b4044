"""Failed attempts to log in or to open a link, counted by key.

The counts are in the database, so that all server processes share them and a restart forgets none.  The table
holds digests of the keys only, and at most MAX_ATTEMPTS rows: the oldest are forgotten first.
"""

import hashlib
from datetime import timedelta

from sqlalchemy import Column, Connection, Index, Integer, String, Table, delete, func, insert, select

from fairlead.labels.database import format_time, metadata, parse_time

attempt_table = Table(
    "attempt",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("key_digest", String(64), nullable=False),
    Column("at", String(27), nullable=False, index=True),
    Index("ix_attempt_key_digest_at", "key_digest", "at"),
)
MAX_ATTEMPTS = 100_000
KEEP_S = 3600.0  # the longest window in which attempts are counted
LOCK = 4_703_002  # advisory lock; see `schema.UPGRADE_LOCK`


def wait_s(connection: Connection, key: str, *, limit: int, per_s: float, at: str) -> float | None:
    """Seconds until the key has fewer than `limit` attempts within `per_s` seconds; None if it has fewer."""
    assert per_s <= KEEP_S, f"attempts are kept for {KEEP_S} s"
    mine = (attempt_table.c.key_digest == _digest(key), attempt_table.c.at > _earlier(at, per_s))
    query = select(attempt_table.c.at).where(*mine).order_by(attempt_table.c.at.desc()).limit(limit)
    times = connection.execute(query).scalars().all()
    if len(times) < limit:
        return None
    return per_s - (parse_time(at) - parse_time(times[-1])).total_seconds()


def take_turns(connection: Connection) -> None:
    """Wait for other transactions that count, so that two of them cannot both take the last attempt."""
    if connection.dialect.name == "postgresql":  # SQLite has one writer at a time
        connection.execute(select(func.pg_advisory_xact_lock(LOCK)))


def add(connection: Connection, key: str, *, at: str) -> int:
    """Count an attempt, and forget the oldest.  Returns the id for `forgive`."""
    counted = connection.execute(
        insert(attempt_table).values(key_digest=_digest(key), at=at).returning(attempt_table.c.id)
    ).scalar_one()
    connection.execute(delete(attempt_table).where(attempt_table.c.at <= _earlier(at, KEEP_S)))
    connection.execute(delete(attempt_table).where(attempt_table.c.id <= counted - MAX_ATTEMPTS))
    return int(counted)


def forgive(connection: Connection, attempt_id: int) -> None:
    connection.execute(delete(attempt_table).where(attempt_table.c.id == attempt_id))


def forget(connection: Connection, key: str) -> None:
    connection.execute(delete(attempt_table).where(attempt_table.c.key_digest == _digest(key)))


def _digest(key: str) -> str:
    return hashlib.sha256(key.encode(errors="surrogatepass")).hexdigest()


def _earlier(at: str, seconds: float) -> str:
    return format_time(parse_time(at) - timedelta(seconds=seconds))
