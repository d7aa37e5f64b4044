"""Background jobs: a queue in the database for work that takes longer than a request.

    queued -> running -> done | failed | cancelled
    failed | cancelled -> queued, on retry

A worker leases a job and renews the lease while it works.  When a worker dies, the lease expires, and the
next worker continues from the checkpoint of the last transaction.  A job makes all its changes in
`LeasedJob.write`, which checks the lease in the same transaction.  A worker that lost its lease therefore
cannot write beside its successor.

This module does not know what a job does: see `job_handlers`.  `job_worker` runs the jobs."""

import contextlib
import secrets
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
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
    Column("actor", String(40), nullable=False),  # rater who queued the job
    Column("body", JSON, nullable=False),  # arguments of the handler
    Column("state", String(10), nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("token", String(40)),  # identifies the worker's lease
    Column("expires_at", String(27)),  # end of the lease
    Column("cancel_asked", Boolean, nullable=False),
    Column("num_done", Integer, nullable=False),
    Column("num_all", Integer),  # null while unknown
    Column("memory", JSON, nullable=False),  # checkpoint for the next worker
    Column("result", JSON),
    Column("error", Text),
    Column("created_at", String(27), nullable=False),
    Column("started_at", String(27)),
    Column("finished_at", String(27)),
    Index("ix_job_state_id", "state", "id"),
    Index("ix_job_campaign_id_id", "campaign_id", "id"),
)

STATES = ("queued", "running", "done", "failed", "cancelled")
LEASE_S = 30.0  # a worker that renews no lease for this long counts as dead
MAX_ATTEMPTS = 3  # a job whose workers died this often fails
# After each transaction of a job on SQLite: at least so long, and as long as the transaction had the lock.
# There is no queue for the lock: a job that took it again at once would have it until the job ended, and
# everybody else's saves would wait.
PAUSE_S = 0.005
HOLD_S = 0.05  # what a transaction of a job should take: on SQLite every save waits for it
FIRST_PORTION = 50  # items of a job's first transaction
SMALLEST_PORTION, LARGEST_PORTION = 10, 10_000


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
    """The worker must stop: the job was cancelled, leased by another worker, or is to be returned."""


@dataclass
class LeasedJob:
    """A job leased by this worker, with the checkpoint of the previous worker, or an empty one."""

    database: Database
    job: Job
    checkpoint: dict[str, Any]
    token: str
    lease_s: float
    stop: threading.Event = field(default_factory=threading.Event)  # set when the worker must return the job
    portion: int = FIRST_PORTION  # items for which a transaction takes about HOLD_S here
    _held_s: float = 0.0  # by the last transaction
    _released: float = 0.0  # when it ended

    @property
    def body(self) -> dict[str, Any]:
        return self.job.body

    @contextlib.contextmanager
    def write(self, *, num_done: int | None = None, num_all: int | None = None) -> Iterator[Connection]:
        """Open a transaction that commits changes, progress and checkpoint together.

        Raises LeaseLost, and changes nothing, when the worker must stop working on the job.
        """
        progress = {
            name: value for name, value in (("num_done", num_done), ("num_all", num_all)) if value is not None
        }
        self._let_others_write()
        with self.database.write() as connection:
            began = time.monotonic()
            renew_lease(connection, self, progress)
            yield connection
        self._released = time.monotonic()
        self._held_s = self._released - began
        self.portion = next_portion(self.portion, self._held_s)

    def _let_others_write(self) -> None:
        """Leave the lock of SQLite to others for as long as the last transaction has held it."""
        if self.database.is_sqlite and self._released:
            pause_s = max(PAUSE_S, self._held_s)
            self.stop.wait(max(0.0, pause_s - (time.monotonic() - self._released)))

    def save_checkpoint(self, connection: Connection, checkpoint: dict[str, Any]) -> None:
        """Record where the next worker continues.  Call this inside `write`."""
        connection.execute(update(job_table).where(job_table.c.id == self.job.id).values(memory=checkpoint))


def next_portion(portion: int, held_s: float) -> int:
    """The size of the next transaction after one of this size has taken so long."""
    if held_s > HOLD_S:
        return max(SMALLEST_PORTION, int(portion * HOLD_S / held_s))
    return min(LARGEST_PORTION, 2 * portion) if held_s < HOLD_S / 2 else portion


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
        raise NotFound(f"There is no job {id}. Check the number.")
    return _from_row(row)


def list_recent(
    connection: Connection, *, campaign_id: int | None = None, kinds: Sequence[str] = (), limit: int = 20
) -> list[Job]:
    """Jobs newest first, of a campaign or of some kinds."""
    query = select(job_table).order_by(job_table.c.id.desc()).limit(limit)
    if campaign_id is not None:
        query = query.where(job_table.c.campaign_id == campaign_id)
    if kinds:
        query = query.where(job_table.c.kind.in_(kinds))
    return [_from_row(row) for row in connection.execute(query)]


def cancel(connection: Connection, id: int, *, actor: str) -> Job:
    """Cancel a job.  A running job stops at its next transaction, and its earlier changes stay."""
    job = get(connection, id)
    if job.is_over:
        raise Conflict(f"Job {id} is {job.state}. Only a queued or running job can be cancelled.")
    cancel_queued = (
        update(job_table)
        .where(job_table.c.id == id, job_table.c.state == "queued")
        .values(state="cancelled", finished_at=now())
    )
    if connection.execute(cancel_queued).rowcount == 0:
        connection.execute(update(job_table).where(job_table.c.id == id).values(cancel_asked=True))
    events.append(
        connection, verb="job.cancelled", actor=actor, campaign_id=job.campaign_id, subject=f"job/{id}"
    )
    return get(connection, id)


def retry(connection: Connection, id: int, *, actor: str) -> Job:
    """Queue a failed or cancelled job again.  The job continues from its checkpoint."""
    reset_columns = {
        "state": "queued",
        "attempts": 0,
        "error": None,
        "finished_at": None,
        "cancel_asked": False,
    }
    over = job_table.c.state.in_(("failed", "cancelled"))
    if (
        connection.execute(
            update(job_table).where(job_table.c.id == id, over).values(**reset_columns)
        ).rowcount
        == 0
    ):
        raise Conflict(
            f"Job {id} is {get(connection, id).state}. Only a failed or cancelled job can be retried."
        )
    job = get(connection, id)
    events.append(
        connection, verb="job.retried", actor=actor, campaign_id=job.campaign_id, subject=f"job/{id}"
    )
    return job


def lease_next(
    database: Database, kinds: frozenset[str], *, lease_s: float = LEASE_S, at: datetime | None = None
) -> LeasedJob | None:
    """Lease the oldest job that is queued or whose worker died.

    One statement claims the job, so two workers never lease the same one.
    """
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
        claim = (
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
        row = connection.execute(claim).one_or_none()
    return None if row is None else LeasedJob(database, _from_row(row), dict(row.memory), token, lease_s)


def renew_lease(connection: Connection, leased: LeasedJob, values: dict[str, Any]) -> None:
    """Renew the lease and update columns of the job.  Raises LeaseLost."""
    is_leased = and_(
        job_table.c.id == leased.job.id,
        job_table.c.token == leased.token,
        job_table.c.state == "running",
        job_table.c.cancel_asked.is_(False),
    )
    renewed = (
        update(job_table)
        .where(is_leased)
        .values(expires_at=_after(leased.lease_s, datetime.now(UTC)), **values)
    )
    if leased.stop.is_set() or connection.execute(renewed).rowcount == 0:
        raise LeaseLost


def _end_dead_jobs(connection: Connection, at: datetime) -> None:
    """End jobs whose workers died too often, and cancelled jobs whose worker died."""
    dead = and_(job_table.c.state == "running", job_table.c.expires_at < format_time(at))
    end_jobs(connection, and_(dead, job_table.c.cancel_asked.is_(True)), {"state": "cancelled"})
    error = (
        f"The worker of this job died {MAX_ATTEMPTS} times. Its changes so far are kept. "
        "Read the server's log before you retry the job."
    )
    end_jobs(
        connection, and_(dead, job_table.c.attempts >= MAX_ATTEMPTS), {"state": "failed", "error": error}
    )


def end_jobs(connection: Connection, condition: ColumnElement[bool], outcome: dict[str, Any]) -> None:
    """Set the outcome of all jobs that match a condition.  A job leased by another worker must not match."""
    ended = {} if outcome["state"] == "queued" else {"finished_at": now()}
    changed = update(job_table).where(condition).values(**outcome, **ended, token=None, expires_at=None)
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
