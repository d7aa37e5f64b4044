"""Work that takes longer than a request: a queue in the database, and the threads or processes that empty it.

    queued -> running -> done | failed | cancelled          failed -> queued, when somebody asks for it again

A worker holds a job by a lease that it renews while it works.  One that was killed renews nothing: its job goes to the next worker, which
goes on from what the last transaction of `Work.write` left.  Everything that a job changes is changed there, where the lease is checked in
the same transaction, so a worker that was only thought dead cannot write beside its successor.  What a job does is not known here.
"""

import contextlib
import logging
import secrets
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias

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
from sqlalchemy.exc import OperationalError, SQLAlchemyError

from fairlead.core.errors import FairleadError
from fairlead.labels import events
from fairlead.labels.database import Database, metadata, now, stamp
from fairlead.labels.errors import Conflict, NotFound

job = Table(
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
PATIENCE_S = 5.0  # for the job in hand, when somebody asks to stop
POLL_S = 0.5  # between two looks into an empty queue

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Job:
    id: int
    kind: str
    campaign: int | None
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


class Lost(Exception):
    """The job is no longer this worker's: it was cancelled, given to another after a silence, or is to be given back."""


@dataclass
class Work:
    """A job in a worker's hands.  `memory` is what the worker before it remembered; empty for the first."""

    database: Database
    job: Job
    memory: dict[str, Any]
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
            _hold(connection, self, known)
            yield connection

    def remember(self, connection: Connection, memory: dict[str, Any]) -> None:
        """Inside `write`: where the next worker goes on."""
        connection.execute(update(job).where(job.c.id == self.job.id).values(memory=memory))


Handler: TypeAlias = Callable[[Work], dict[str, Any]]


def enqueue(
    connection: Connection, kind: str, body: Mapping[str, Any], *, actor: str, campaign: int | None = None
) -> int:
    values = {"kind": kind, "campaign_id": campaign, "actor": actor, "body": dict(body), "created_at": now()}
    fresh = {"state": "queued", "attempts": 0, "cancel_asked": False, "num_done": 0, "memory": {}}
    id = connection.execute(insert(job).values(**values, **fresh).returning(job.c.id)).scalar_one()
    events.append(
        connection,
        verb="job.queued",
        actor=actor,
        campaign=campaign,
        subject=f"job/{id}",
        body={"kind": kind},
    )
    return int(id)


def get(connection: Connection, id: int) -> Job:
    row = connection.execute(select(job).where(job.c.id == id)).one_or_none()
    if row is None:
        raise NotFound(f"There is no job {id}.")
    return _job(row)


def recent(
    connection: Connection, *, campaign: int | None = None, kind: str | None = None, limit: int = 20
) -> list[Job]:
    """The newest first."""
    query = select(job).order_by(job.c.id.desc()).limit(limit)
    if campaign is not None:
        query = query.where(job.c.campaign_id == campaign)
    if kind is not None:
        query = query.where(job.c.kind == kind)
    return [_job(row) for row in connection.execute(query)]


def cancel(connection: Connection, id: int, *, actor: str) -> Job:
    """One that waits is cancelled at once; one that runs stops at its next transaction, and keeps what it wrote before."""
    found = get(connection, id)
    if found.is_over:
        raise Conflict(f"Job {id} is {found.state}; there is nothing left to cancel.")
    waiting = (
        update(job)
        .where(job.c.id == id, job.c.state == "queued")
        .values(state="cancelled", finished_at=now())
    )
    if connection.execute(waiting).rowcount == 0:
        connection.execute(update(job).where(job.c.id == id).values(cancel_asked=True))
    events.append(connection, verb="job.cancelled", actor=actor, campaign=found.campaign, subject=f"job/{id}")
    return get(connection, id)


def retry(connection: Connection, id: int, *, actor: str) -> Job:
    """Goes on from what it remembers."""
    again = {"state": "queued", "attempts": 0, "error": None, "finished_at": None, "cancel_asked": False}
    over = job.c.state.in_(("failed", "cancelled"))
    if connection.execute(update(job).where(job.c.id == id, over).values(**again)).rowcount == 0:
        raise Conflict(
            f"Job {id} is {get(connection, id).state}; only one that failed or was cancelled can be tried again."
        )
    found = get(connection, id)
    events.append(connection, verb="job.retried", actor=actor, campaign=found.campaign, subject=f"job/{id}")
    return found


def lease(
    database: Database, kinds: frozenset[str], *, lease_s: float = LEASE_S, at: datetime | None = None
) -> Work | None:
    """The oldest job that waits, or whose worker died; in one statement, so that no two workers get the same."""
    at = at or datetime.now(UTC)
    token = secrets.token_urlsafe(16)
    with database.write() as connection:
        _bury(connection, at)
        free = job.alias("free")
        dead = and_(free.c.state == "running", free.c.expires_at < stamp(at))
        oldest = (
            select(free.c.id)
            .where(or_(free.c.state == "queued", dead), free.c.kind.in_(kinds))
            .order_by(free.c.id)
            .limit(1)
        )
        if not database.is_sqlite:
            oldest = oldest.with_for_update(skip_locked=True)
        taken = (
            update(job)
            .where(job.c.id == oldest.scalar_subquery())
            .values(
                state="running",
                token=token,
                expires_at=_in(lease_s, at),
                attempts=job.c.attempts + 1,
                started_at=stamp(at),
            )
            .returning(job)
        )
        row = connection.execute(taken).one_or_none()
    return None if row is None else Work(database, _job(row), dict(row.memory), token, lease_s)


def work(
    database: Database,
    handlers: Mapping[str, Handler],
    *,
    stop: threading.Event,
    lease_s: float = LEASE_S,
    poll_s: float = POLL_S,
) -> None:
    """Do jobs of these kinds, one after another, until `stop` is set; the job in hand is then given back where its last write left it."""
    kinds = frozenset(handlers)
    while not stop.is_set():
        try:
            held = lease(database, kinds, lease_s=lease_s)
            if held is not None:
                held.stop = stop
                _do(held, handlers[held.job.kind])
                continue
        except (
            SQLAlchemyError
        ):  # a database that is away for a moment; what was in hand is taken up again after its lease
            log.warning("the queue of jobs could not be asked", exc_info=True)
        stop.wait(poll_s)


def do_one(database: Database, handlers: Mapping[str, Handler], *, lease_s: float = LEASE_S) -> Job | None:
    """The oldest job, done here and now; None when none waits."""
    held = lease(database, frozenset(handlers), lease_s=lease_s)
    if held is None:
        return None
    _do(held, handlers[held.job.kind])
    with database.read() as connection:
        return get(connection, held.job.id)


class Worker:
    """`work` in a thread of this process."""

    def __init__(self, database: Database, handlers: Mapping[str, Handler]) -> None:
        self._stop = threading.Event()
        self._thread = threading.Thread(
            target=work, args=(database, handlers), kwargs={"stop": self._stop}, name="jobs", daemon=True
        )

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """The job in hand goes back to the queue at its next transaction; one that has none for long is taken up again after its lease."""
        self._stop.set()
        self._thread.join(PATIENCE_S)


def _do(held: Work, handler: Handler) -> None:
    over = threading.Event()
    beat = threading.Thread(target=_beat, args=(held, over), name=f"job-{held.job.id}", daemon=True)
    beat.start()
    outcome: dict[str, Any]
    try:
        outcome = {"state": "done", "result": handler(held)}
    except Lost:
        outcome = {"state": "queued", "attempts": 0} if held.stop.is_set() else {"state": "cancelled"}
    except FairleadError as error:
        outcome = {"state": "failed", "error": str(error)}
    except (
        Exception
    ) as error:  # a bug in one job must not end the worker of all: it is told, and the next job begins
        log.exception("job %d (%s) failed", held.job.id, held.job.kind)
        if (
            isinstance(error, OperationalError) and held.job.attempts < MAX_ATTEMPTS
        ):  # a database that is away for a moment
            raise  # the job stays in hand until its lease ends, and is taken up again
        outcome = {
            "state": "failed",
            "error": f"A bug in Fairlead: {type(error).__name__}. The server's log has the details.",
        }
    finally:
        over.set()
        beat.join()
    with held.database.write() as connection:
        _end(
            connection,
            and_(job.c.id == held.job.id, job.c.token == held.token, job.c.state == "running"),
            outcome,
        )


def _beat(held: Work, over: threading.Event) -> None:
    """Renews the lease while the handler works, however long its steps are."""
    while not over.wait(held.lease_s / 5):
        try:
            with held.database.write() as connection:
                _hold(connection, held, {})
        except Lost:
            return
        except SQLAlchemyError:  # a database that is away for a moment; the lease still runs
            log.warning("the lease of job %d could not be renewed", held.job.id, exc_info=True)


def _hold(connection: Connection, held: Work, values: dict[str, Any]) -> None:
    mine = and_(
        job.c.id == held.job.id,
        job.c.token == held.token,
        job.c.state == "running",
        job.c.cancel_asked.is_(False),
    )
    renewed = update(job).where(mine).values(expires_at=_in(held.lease_s, datetime.now(UTC)), **values)
    if held.stop.is_set() or connection.execute(renewed).rowcount == 0:
        raise Lost


def _bury(connection: Connection, at: datetime) -> None:
    """Jobs whose every worker died, and those that were to be cancelled when theirs did."""
    dead = and_(job.c.state == "running", job.c.expires_at < stamp(at))
    _end(connection, and_(dead, job.c.cancel_asked.is_(True)), {"state": "cancelled"})
    why = f"Its worker died {MAX_ATTEMPTS} times. The work so far is kept; see the server's log before you try it again."
    _end(connection, and_(dead, job.c.attempts >= MAX_ATTEMPTS), {"state": "failed", "error": why})


def _end(connection: Connection, which: ColumnElement[bool], outcome: dict[str, Any]) -> None:
    """What came of the jobs that `which` finds: none, where one is another worker's by now."""
    ended = {} if outcome["state"] == "queued" else {"finished_at": now()}
    changed = update(job).where(which).values(**outcome, **ended, token=None, expires_at=None)
    for row in connection.execute(changed.returning(job.c.id, job.c.kind, job.c.campaign_id)).all():
        if ended:
            body = {"kind": row.kind, "state": outcome["state"]}
            events.append(
                connection,
                verb="job.ended",
                actor="system",
                campaign=row.campaign_id,
                subject=f"job/{row.id}",
                body=body,
            )


def _in(seconds: float, at: datetime) -> str:
    return stamp(at + timedelta(seconds=seconds))


def _job(row: Any) -> Job:
    return Job(
        id=row.id,
        kind=row.kind,
        campaign=row.campaign_id,
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
