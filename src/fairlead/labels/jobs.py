"""Work that takes longer than a request: a queue in the database, and the threads or processes that empty it.

    queued -> running -> done | failed | cancelled          failed -> queued, when somebody asks for it again

A worker holds a job by a lease that it renews while it works.  One that was killed renews nothing: its job goes to the next worker, which
goes on from what the last transaction of `Work.write` left.  Everything that a job changes is changed there, where the lease is checked in
the same transaction, so a worker that was only thought dead cannot write beside its successor.  What a job does is not known here.
"""

import contextlib
import secrets
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    ColumnElement,
    Connection,
    Index,
    Integer,
    String,
    Table,
    Text,
    and_,
    insert,
    or_,
    select,
    update,
)

from fairlead.labels import events
from fairlead.labels.database import Database, format_time, metadata, now
from fairlead.labels.errors import Conflict, NotFound

job_table = Table(
    "job",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("kind", String(40), nullable=False),
    Column("campaign_id", Integer),
    Column("actor", String(40), nullable=False),  # the rater who asked for it
    Column("body", JSON, nullable=False),  # what is to be done
    Column("state", String(10), nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("token", String(40)),  # of the worker that holds it
    Column("expires_at", String(27)),  # when that worker counts as dead
    Column("cancel_asked", Boolean, nullable=False),
    Column("num_done", Integer, nullable=False),
    Column("num_all", Integer),  # null: not known yet
    Column("memory", JSON, nullable=False),  # where the next worker goes on
    Column("result", JSON),
    Column("error", Text),
    Column("created_at", String(27), nullable=False),
    Column("started_at", String(27)),
    Column("finished_at", String(27)),
    Index("ix_job_state_id", "state", "id"),
    Index("ix_job_campaign_id_id", "campaign_id", "id"),
)

STATES = ("queued", "running", "done", "failed", "cancelled")
LEASE_S = 30.0  # a worker that says nothing for this long counts as dead
MAX_ATTEMPTS = 3  # a job that kills its worker is not given to a fourth


@dataclass(frozen=True)
class Job:
    id: int
    kind: str
    campaign_id: int | None
    actor: str
    body: dict[str, Any]
    state: str
    attempts: int
    cancel_asked: bool
    num_done: int
    num_all: int | None
    result: dict[str, Any] | None
    error: str | None
    created_at: str
    started_at: str | None
    finished_at: str | None

    @property
    def is_over(self) -> bool:
        return self.state in ("done", "failed", "cancelled")


class LeaseLost(Exception):
    """The job is no longer this worker's: it was cancelled, given to another after a silence, or is to be given back."""


@dataclass
class LeasedJob:
    """A job in a worker's hands.  `memory` is what the worker before it remembered; empty for the first."""

    database: Database
    job: Job
    checkpoint: dict[str, Any]
    token: str
    lease_s: float
    stop: threading.Event = field(
        default_factory=threading.Event
    )  # the worker is to end, and gives the job back

    @property
    def body(self) -> dict[str, Any]:
        return self.job.body

    @contextlib.contextmanager
    def write(self, *, num_done: int | None = None, num_all: int | None = None) -> Iterator[Connection]:
        """A transaction of this job: what it changes, how far it is and what it remembers are kept together or not at all.

        Raises Lost, and changes nothing, when the job was cancelled, went to another worker, or the worker is to end.
        """
        known = {
            name: value for name, value in (("num_done", num_done), ("num_all", num_all)) if value is not None
        }
        with self.database.write() as connection:
            renew_lease(connection, self, known)
            yield connection

    def save_checkpoint(self, connection: Connection, checkpoint: dict[str, Any]) -> None:
        """Inside `write`: where the next worker goes on."""
        connection.execute(update(job_table).where(job_table.c.id == self.job.id).values(memory=checkpoint))


def enqueue(
    connection: Connection, kind: str, body: Mapping[str, Any], *, actor: str, campaign_id: int | None = None
) -> int:
    values = {
        "kind": kind,
        "campaign_id": campaign_id,
        "actor": actor,
        "body": dict(body),
        "created_at": now(),
    }
    fresh = {"state": "queued", "attempts": 0, "cancel_asked": False, "num_done": 0, "memory": {}}
    id = connection.execute(
        insert(job_table).values(**values, **fresh).returning(job_table.c.id)
    ).scalar_one()
    events.append(
        connection,
        verb="job.queued",
        actor=actor,
        campaign_id=campaign_id,
        subject=f"job/{id}",
        body={"kind": kind},
    )
    return int(id)


def get(connection: Connection, id: int) -> Job:
    row = connection.execute(select(job_table).where(job_table.c.id == id)).one_or_none()
    if row is None:
        raise NotFound(f"There is no job {id}.")
    return _from_row(row)


def list_recent(
    connection: Connection, *, campaign_id: int | None = None, kind: str | None = None, limit: int = 20
) -> list[Job]:
    """The newest first."""
    query = select(job_table).order_by(job_table.c.id.desc()).limit(limit)
    if campaign_id is not None:
        query = query.where(job_table.c.campaign_id == campaign_id)
    if kind is not None:
        query = query.where(job_table.c.kind == kind)
    return [_from_row(row) for row in connection.execute(query)]


def cancel(connection: Connection, id: int, *, actor: str) -> Job:
    """One that waits is cancelled at once; one that runs stops at its next transaction, and keeps what it wrote before."""
    found = get(connection, id)
    if found.is_over:
        raise Conflict(f"Job {id} is {found.state}; there is nothing left to cancel.")
    waiting = (
        update(job_table)
        .where(job_table.c.id == id, job_table.c.state == "queued")
        .values(state="cancelled", finished_at=now())
    )
    if connection.execute(waiting).rowcount == 0:
        connection.execute(update(job_table).where(job_table.c.id == id).values(cancel_asked=True))
    events.append(
        connection, verb="job.cancelled", actor=actor, campaign_id=found.campaign_id, subject=f"job/{id}"
    )
    return get(connection, id)


def retry(connection: Connection, id: int, *, actor: str) -> Job:
    """Goes on from what it remembers."""
    again = {"state": "queued", "attempts": 0, "error": None, "finished_at": None, "cancel_asked": False}
    over = job_table.c.state.in_(("failed", "cancelled"))
    if connection.execute(update(job_table).where(job_table.c.id == id, over).values(**again)).rowcount == 0:
        raise Conflict(
            f"Job {id} is {get(connection, id).state}; only one that failed or was cancelled can be tried again."
        )
    found = get(connection, id)
    events.append(
        connection, verb="job.retried", actor=actor, campaign_id=found.campaign_id, subject=f"job/{id}"
    )
    return found


def lease_next(
    database: Database, kinds: frozenset[str], *, lease_s: float = LEASE_S, at: datetime | None = None
) -> LeasedJob | None:
    """The oldest job that waits, or whose worker died; in one statement, so that no two workers get the same."""
    at = at or datetime.now(UTC)
    token = secrets.token_urlsafe(16)
    with database.write() as connection:
        _end_dead_jobs(connection, at)
        free = job_table.alias("free")
        dead = and_(free.c.state == "running", free.c.expires_at < format_time(at))
        oldest = (
            select(free.c.id)
            .where(or_(free.c.state == "queued", dead), free.c.kind.in_(kinds))
            .order_by(free.c.id)
            .limit(1)
        )
        if not database.is_sqlite:
            oldest = oldest.with_for_update(skip_locked=True)
        taken = (
            update(job_table)
            .where(job_table.c.id == oldest.scalar_subquery())
            .values(
                state="running",
                token=token,
                expires_at=_after(lease_s, at),
                attempts=job_table.c.attempts + 1,
                started_at=format_time(at),
            )
            .returning(job_table)
        )
        row = connection.execute(taken).one_or_none()
    return None if row is None else LeasedJob(database, _from_row(row), dict(row.memory), token, lease_s)


def renew_lease(connection: Connection, leased: LeasedJob, values: dict[str, Any]) -> None:
    mine = and_(
        job_table.c.id == leased.job.id,
        job_table.c.token == leased.token,
        job_table.c.state == "running",
        job_table.c.cancel_asked.is_(False),
    )
    renewed = (
        update(job_table).where(mine).values(expires_at=_after(leased.lease_s, datetime.now(UTC)), **values)
    )
    if leased.stop.is_set() or connection.execute(renewed).rowcount == 0:
        raise LeaseLost


def _end_dead_jobs(connection: Connection, at: datetime) -> None:
    """Jobs whose every worker died, and those that were to be cancelled when theirs did."""
    dead = and_(job_table.c.state == "running", job_table.c.expires_at < format_time(at))
    end_jobs(connection, and_(dead, job_table.c.cancel_asked.is_(True)), {"state": "cancelled"})
    why = f"Its worker died {MAX_ATTEMPTS} times. The work so far is kept; see the server's log before you try it again."
    end_jobs(connection, and_(dead, job_table.c.attempts >= MAX_ATTEMPTS), {"state": "failed", "error": why})


def end_jobs(connection: Connection, which: ColumnElement[bool], outcome: dict[str, Any]) -> None:
    """What came of the jobs that `which` finds: none, where one is another worker's by now."""
    ended = {} if outcome["state"] == "queued" else {"finished_at": now()}
    changed = update(job_table).where(which).values(**outcome, **ended, token=None, expires_at=None)
    for row in connection.execute(
        changed.returning(job_table.c.id, job_table.c.kind, job_table.c.campaign_id)
    ).all():
        if ended:
            body = {"kind": row.kind, "state": outcome["state"]}
            events.append(
                connection,
                verb="job.ended",
                actor="system",
                campaign_id=row.campaign_id,
                subject=f"job/{row.id}",
                body=body,
            )


def _after(seconds: float, at: datetime) -> str:
    return format_time(at + timedelta(seconds=seconds))


def _from_row(row: Any) -> Job:
    return Job(
        id=row.id,
        kind=row.kind,
        campaign_id=row.campaign_id,
        actor=row.actor,
        body=row.body,
        state=row.state,
        attempts=row.attempts,
        cancel_asked=row.cancel_asked,
        num_done=row.num_done,
        num_all=row.num_all,
        result=row.result,
        error=row.error,
        created_at=row.created_at,
        started_at=row.started_at,
        finished_at=row.finished_at,
    )
