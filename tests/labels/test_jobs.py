"""The job queue: order, checkpoints, leases, cancellation and retries."""

import threading
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import insert

from fairlead.core.errors import DataError
from fairlead.labels import events, job_worker, jobs
from fairlead.labels.database import Database
from fairlead.labels.errors import Conflict, NotFound
from fairlead.labels.jobs import LeasedJob, LeaseLost
from labels.job_steps import enqueue, get_job, list_steps, step_table, take_steps

pytestmark = pytest.mark.usefixtures("create_step_table")


def test_a_job_is_queued_and_run_and_stores_its_result(database: Database) -> None:
    id = enqueue(database, steps=3)
    assert (get_job(database, id).state, get_job(database, id).num_all) == ("queued", None)
    job = job_worker.run_one(database, {"steps": take_steps})
    assert job is not None and job == get_job(database, id)
    assert (job.state, job.num_done, job.num_all, job.result, job.attempts) == (
        "done",
        3,
        3,
        {"steps": 3},
        1,
    )
    assert job.created_at <= (job.started_at or "") <= (job.finished_at or "")
    assert list_steps(database) == [0, 1, 2]
    assert job_worker.run_one(database, {"steps": take_steps}) is None
    with database.read() as connection:
        recorded = [
            (event.verb, event.campaign_id, event.subject, event.body)
            for event in events.list_after(connection, 0)
        ]
    about = (7, f"job/{id}")
    assert recorded == [
        ("job.queued", *about, {"kind": "steps"}),
        ("job.ended", *about, {"kind": "steps", "state": "done"}),
    ]


def test_jobs_run_oldest_first_and_only_with_a_handler(database: Database) -> None:
    ids = [enqueue(database, kind, steps=1) for kind in ("other", "steps", "steps")]
    order = []
    while (finished := job_worker.run_one(database, {"steps": take_steps})) is not None:
        order.append(finished.id)
    assert order == ids[1:]
    assert get_job(database, ids[0]).state == "queued"
    with database.read() as connection:
        assert [job.id for job in jobs.list_recent(connection, campaign_id=7)] == ids[::-1]
        assert [job.id for job in jobs.list_recent(connection, kinds=("other",))] == ids[:1]
        assert jobs.list_recent(connection, campaign_id=8) == []
        with pytest.raises(NotFound, match="no job 99"):
            jobs.get(connection, 99)


def test_a_failed_transaction_stores_neither_rows_nor_progress(database: Database) -> None:
    def breaks(work: LeasedJob) -> dict[str, Any]:
        with work.write(num_done=5) as connection:
            work.save_checkpoint(connection, {"next": 5})
            connection.execute(insert(step_table).values(step=5))
            raise DataError("no")
        return {}

    id = enqueue(database, "breaks")
    job_worker.run_one(database, {"breaks": breaks})
    assert (get_job(database, id).num_done, list_steps(database)) == (0, [])


def test_a_queued_job_is_cancelled_at_once_and_a_running_job_at_its_next_transaction(
    database: Database,
) -> None:
    waiting, running = enqueue(database, steps=1), enqueue(database, "cancelled", steps=5)
    with database.write() as connection:
        assert jobs.cancel(connection, waiting, actor="r-0000000002").state == "cancelled"

    def cancelled(work: LeasedJob) -> dict[str, Any]:
        with work.write(num_done=1) as connection:
            connection.execute(insert(step_table).values(step=0))
        with database.write() as connection:
            assert jobs.cancel(connection, running, actor="r-0000000002").cancel_asked
        return take_steps(work)

    job_worker.run_one(database, {"steps": take_steps, "cancelled": cancelled})
    assert (get_job(database, running).state, list_steps(database)) == ("cancelled", [0])
    with database.write() as connection, pytest.raises(Conflict, match="is cancelled"):
        jobs.cancel(connection, running, actor="r-0000000002")
    assert job_worker.run_one(database, {"steps": take_steps, "cancelled": cancelled}) is None


def test_a_failed_job_resumes_from_its_checkpoint_when_retried(database: Database) -> None:
    broken = threading.Event()
    broken.set()

    def mended(work: LeasedJob) -> dict[str, Any]:
        if broken.is_set():
            with work.write(num_done=2) as connection:
                work.save_checkpoint(connection, {"next": 2})
            raise DataError("the disk is full")
        return take_steps(work)

    id = enqueue(database, "mended", steps=4)
    job_worker.run_one(database, {"mended": mended})
    broken.clear()
    with database.write() as connection:
        again = jobs.retry(connection, id, actor="r-0000000002")
    assert (again.state, again.error, again.num_done) == ("queued", None, 2)
    job_worker.run_one(database, {"mended": mended})
    assert (get_job(database, id).state, list_steps(database)) == ("done", [2, 3])
    with database.write() as connection, pytest.raises(Conflict, match="is done"):
        jobs.retry(connection, id, actor="r-0000000002")


def test_a_worker_that_lost_its_lease_cannot_write(database: Database) -> None:
    id = enqueue(database, steps=3)
    begun = datetime.now(UTC)
    first = jobs.lease_next(database, frozenset(["steps"]), lease_s=60, at=begun)
    assert (
        first is not None
        and jobs.lease_next(database, frozenset(["steps"]), at=begun + timedelta(seconds=59)) is None
    )
    second = jobs.lease_next(database, frozenset(["steps"]), at=begun + timedelta(seconds=61))
    assert second is not None and (second.job.id, second.job.attempts) == (id, 2)
    with pytest.raises(LeaseLost), first.write(num_done=99) as connection:
        connection.execute(insert(step_table).values(step=99))
    with second.write(num_done=1) as connection:
        connection.execute(insert(step_table).values(step=1))
    assert (get_job(database, id).num_done, list_steps(database)) == (1, [1])


def test_a_job_fails_after_too_many_dead_workers(database: Database) -> None:
    id, other = enqueue(database, steps=1), enqueue(database, steps=1)
    begun = datetime.now(UTC) - timedelta(hours=1)
    for attempt in range(jobs.MAX_ATTEMPTS):
        leased = jobs.lease_next(database, frozenset(["steps"]), at=begun + timedelta(minutes=attempt))
        assert leased is not None and (leased.job.id, leased.job.attempts) == (id, attempt + 1)
    finished = job_worker.run_one(database, {"steps": take_steps})
    assert finished is not None and (finished.id, finished.state) == (other, "done")
    assert get_job(database, id).state == "failed"
    assert (get_job(database, id).error or "").startswith("The worker of this job died 3 times.")


def test_a_cancellation_takes_effect_when_the_worker_has_died(database: Database) -> None:
    id = enqueue(database, steps=1)
    assert (
        jobs.lease_next(database, frozenset(["steps"]), at=datetime.now(UTC) - timedelta(hours=1)) is not None
    )
    with database.write() as connection:
        jobs.cancel(connection, id, actor="r-0000000002")
    assert job_worker.run_one(database, {"steps": take_steps}) is None
    assert (get_job(database, id).state, list_steps(database)) == ("cancelled", [])


class RecordedWaits(threading.Event):
    """Never set; waits for no time."""

    def __init__(self) -> None:
        super().__init__()
        self.waits_s: list[float] = []

    def wait(self, timeout: float | None = None) -> bool:
        self.waits_s.append(timeout or 0.0)
        return False


def test_a_job_leaves_the_lock_to_others_for_as_long_as_it_had_it(database: Database) -> None:
    enqueue(database, steps=1)
    stop, work_s = RecordedWaits(), 0.05
    waited_s: list[float] = []

    def handler(leased: LeasedJob) -> dict[str, Any]:
        leased.stop = stop
        with leased.write():
            threading.Event().wait(work_s)
            ended = time.monotonic()
        with leased.write():
            waited_s.append(sum(stop.waits_s) + time.monotonic() - ended)
        return {}

    job = job_worker.run_one(database, {"steps": handler})
    assert job is not None and job.state == "done"
    assert bool(stop.waits_s) == database.is_sqlite  # PostgreSQL has no such lock
    assert not database.is_sqlite or waited_s[0] >= work_s


def test_the_portions_of_a_job_fit_the_time_of_a_transaction() -> None:
    assert jobs.next_portion(100, 2 * jobs.HOLD_S) == 50
    assert jobs.next_portion(100, 0.8 * jobs.HOLD_S) == 100
    assert jobs.next_portion(100, 0.2 * jobs.HOLD_S) == 200
    assert jobs.next_portion(100, 1000.0) == jobs.SMALLEST_PORTION
    assert jobs.next_portion(jobs.LARGEST_PORTION, 0.0) == jobs.LARGEST_PORTION
