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

STOP_TIMEOUT_S = 5.0  # for the job in hand, when somebody asks to stop
POLL_S = 0.5  # between two looks into an empty queue

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
    """Do jobs of these kinds, one after another, until `stop` is set; the job in hand is then given back where its last write left it."""
    kinds = frozenset(handlers)
    while not stop.is_set():
        try:
            held = jobs.lease_next(database, kinds, lease_s=lease_s)
            if held is not None:
                held.stop = stop
                _run(held, handlers[held.job.kind])
                continue
        except (
            SQLAlchemyError
        ):  # a database that is away for a moment; what was in hand is taken up again after its lease
            log.warning("the queue of jobs could not be asked", exc_info=True)
        stop.wait(poll_s)


def run_one(
    database: Database, handlers: Mapping[str, JobHandler], *, lease_s: float = jobs.LEASE_S
) -> Job | None:
    """The oldest job, done here and now; None when none waits."""
    held = jobs.lease_next(database, frozenset(handlers), lease_s=lease_s)
    if held is None:
        return None
    _run(held, handlers[held.job.kind])
    with database.read() as connection:
        return jobs.get(connection, held.job.id)


class WorkerThread:
    """`work` in a thread of this process."""

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
        """The job in hand goes back to the queue at its next transaction; one that has none for long is taken up again after its lease."""
        self._stop.set()
        self._thread.join(STOP_TIMEOUT_S)


def _run(leased: LeasedJob, handler: JobHandler) -> None:
    over = threading.Event()
    beat = threading.Thread(target=_keep_lease, args=(leased, over), name=f"job-{leased.job.id}", daemon=True)
    beat.start()
    outcome: dict[str, Any]
    try:
        outcome = {"state": "done", "result": handler(leased)}
    except jobs.LeaseLost:
        outcome = {"state": "queued", "attempts": 0} if leased.stop.is_set() else {"state": "cancelled"}
    except FairleadError as error:
        outcome = {"state": "failed", "error": str(error)}
    except (
        Exception
    ) as error:  # a bug in one job must not end the worker of all: it is told, and the next job begins
        log.exception("job %d (%s) failed", leased.job.id, leased.job.kind)
        if (
            isinstance(error, OperationalError) and leased.job.attempts < jobs.MAX_ATTEMPTS
        ):  # a database that is away for a moment
            raise  # the job stays in hand until its lease ends, and is taken up again
        outcome = {
            "state": "failed",
            "error": f"A bug in Fairlead: {type(error).__name__}. The server's log has the details.",
        }
    finally:
        over.set()
        beat.join()
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


def _keep_lease(leased: LeasedJob, over: threading.Event) -> None:
    """Renews the lease while the handler works, however long its steps are."""
    while not over.wait(leased.lease_s / 5):
        try:
            with leased.database.write() as connection:
                jobs.renew_lease(connection, leased, {})
        except jobs.LeaseLost:
            return
        except SQLAlchemyError:  # a database that is away for a moment; the lease still runs
            log.warning("the lease of job %d could not be renewed", leased.job.id, exc_info=True)
