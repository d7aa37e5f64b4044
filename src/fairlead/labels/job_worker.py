"""Workers: threads that lease queued jobs and run their handlers."""

import logging
import threading
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from sqlalchemy import and_
from sqlalchemy.exc import OperationalError, SQLAlchemyError

from fairlead.core.errors import FairleadError
from fairlead.labels import jobs
from fairlead.labels.database import Database
from fairlead.labels.jobs import Job, LeasedJob

STOP_TIMEOUT_S = 5.0  # wait for the present job when a worker stops
POLL_S = 0.5  # between two queries of an empty queue

log = logging.getLogger(__name__)


JobHandler: TypeAlias = Callable[[LeasedJob], dict[str, Any]]


def run_worker(
    database: Database,
    handlers: Mapping[str, JobHandler],
    *,
    stop: threading.Event,
    lease_s: float = jobs.LEASE_S,
    poll_s: float = POLL_S,
) -> None:
    """Run jobs of these kinds one after another until `stop` is set.

    The present job then returns to the queue with its last checkpoint.
    """
    kinds = frozenset(handlers)
    while not stop.is_set():
        try:
            leased = jobs.lease_next(database, kinds, lease_s=lease_s)
            if leased is not None:
                leased.stop = stop
                _run(leased, handlers[leased.job.kind])
                continue
        except SQLAlchemyError:
            # The database is unavailable for a moment.  A job of this worker is leased again after its lease.
            log.warning("could not query the job queue", exc_info=True)
        stop.wait(poll_s)


def run_one(
    database: Database, handlers: Mapping[str, JobHandler], *, lease_s: float = jobs.LEASE_S
) -> Job | None:
    """Run the oldest job in this thread, and return the job; None when the queue is empty."""
    leased = jobs.lease_next(database, frozenset(handlers), lease_s=lease_s)
    if leased is None:
        return None
    _run(leased, handlers[leased.job.kind])
    with database.read() as connection:
        return jobs.get(connection, leased.job.id)


class WorkerThread:
    """Runs `run_worker` in a thread of this process."""

    def __init__(self, database: Database, handlers: Mapping[str, JobHandler]) -> None:
        self._stop = threading.Event()
        self._thread = threading.Thread(
            target=run_worker,
            args=(database, handlers),
            kwargs={"stop": self._stop},
            name="jobs",
            daemon=True,
        )

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Stop the thread.

        The present job returns to the queue at its next transaction, or at the latest when its lease expires.
        """
        self._stop.set()
        self._thread.join(STOP_TIMEOUT_S)


def _run(leased: LeasedJob, handler: JobHandler) -> None:
    is_over = threading.Event()
    heartbeat = threading.Thread(
        target=_keep_lease, args=(leased, is_over), name=f"job-{leased.job.id}", daemon=True
    )
    heartbeat.start()
    outcome: dict[str, Any]
    try:
        outcome = {"state": "done", "result": handler(leased)}
    except jobs.LeaseLost:
        outcome = {"state": "queued", "attempts": 0} if leased.stop.is_set() else {"state": "cancelled"}
    except FairleadError as error:
        outcome = {"state": "failed", "error": str(error)}
    except Exception as error:  # a bug in a handler must not stop the worker
        log.exception("job %d (%s) failed", leased.job.id, leased.job.kind)
        if isinstance(error, OperationalError) and leased.job.attempts < jobs.MAX_ATTEMPTS:
            # The database is unavailable for a moment.  The job is leased again when its lease expires.
            raise
        outcome = {
            "state": "failed",
            "error": f"A bug in Fairlead: {type(error).__name__}. "
            "Read the server's log for details, and report the bug.",
        }
    finally:
        is_over.set()
        heartbeat.join()
    with leased.database.write() as connection:
        jobs.end_jobs(
            connection,
            and_(
                jobs.job_table.c.id == leased.job.id,
                jobs.job_table.c.token == leased.token,
                jobs.job_table.c.state == "running",
            ),
            outcome,
        )


def _keep_lease(leased: LeasedJob, is_over: threading.Event) -> None:
    """Renew the lease regularly, however long a step of the handler takes."""
    while not is_over.wait(leased.lease_s / 5):
        try:
            with leased.database.write() as connection:
                jobs.renew_lease(connection, leased, {})
        except jobs.LeaseLost:
            return
        except SQLAlchemyError:  # the database is unavailable for a moment, and the lease is still valid
            log.warning("could not renew the lease of job %d", leased.job.id, exc_info=True)
