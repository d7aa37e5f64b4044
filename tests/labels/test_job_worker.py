"""Workers: errors of handlers, lease renewal, an unavailable database, and killed processes."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import (
    Connection,
    func,
    insert,
    select,
)
from sqlalchemy.exc import OperationalError

from fairlead.core.errors import DataError
from fairlead.labels import (
    job_worker,
    jobs,
)
from fairlead.labels.database import Database, now, open_database
from fairlead.labels.jobs import LeasedJob
from labels.job_steps import enqueue, get_expiry, get_job, list_steps, step_table, take_steps, wait_until

pytestmark = pytest.mark.usefixtures("create_step_table")


WORKER = """
import os, sys, threading, time
from fairlead.labels import job_worker
from fairlead.labels.database import open_database
from labels.job_steps import take_steps
database = open_database(sys.argv[1])
print("ready", flush=True)
job_worker.run_worker(
    database, {"steps": take_steps}, stop=threading.Event(), lease_s=float(sys.argv[2]), poll_s=0.02
)
"""


def test_user_errors_are_shown_and_bugs_are_reported_as_bugs(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(work: LeasedJob) -> dict[str, Any]:
        with work.write(num_done=1) as connection:
            connection.execute(insert(step_table).values(step=1))
        raise DataError("pairs.jsonl: has no rows.")

    def breaks(work: LeasedJob) -> dict[str, Any]:
        return {"secret": 1 // work.body["zero"]}

    id, bug = enqueue(database, "fails"), enqueue(database, "breaks", zero=0)
    for _ in range(2):
        job_worker.run_one(database, {"fails": fails, "breaks": breaks})
    assert (get_job(database, id).state, get_job(database, id).error, get_job(database, id).num_done) == (
        "failed",
        "pairs.jsonl: has no rows.",
        1,
    )
    assert (
        get_job(database, bug).error
        == "A bug in Fairlead: ZeroDivisionError. Read the server's log for details, and report the bug."
    )
    assert "ZeroDivisionError" in caplog.text


def test_the_lease_is_renewed_during_a_slow_step(database: Database) -> None:
    id = enqueue(database)
    leased = jobs.lease_next(
        database, frozenset(["steps"]), lease_s=2, at=datetime.now(UTC) - timedelta(hours=1)
    )  # expired long ago unless renewed
    rival: list[LeasedJob | None] = []

    def slow(work: LeasedJob) -> dict[str, Any]:
        wait_until(lambda: get_expiry(database, id) > now())
        rival.append(jobs.lease_next(database, frozenset(["steps"])))
        return {}

    assert leased is not None
    job_worker._run(leased, slow)
    assert (get_job(database, id).state, get_job(database, id).attempts, rival) == ("done", 1, [None])


class FaultyDatabase(Database):
    """Fails the next `left` writes, as a database does that is restarting."""

    def __init__(self, real: Database) -> None:
        super().__init__(real._reader, real._writer)
        self.left = 0

    @contextlib.contextmanager
    def write(self) -> Iterator[Connection]:
        if self.left > 0:
            self.left -= 1
            raise OperationalError("", {}, OSError("away"))
        with super().write() as connection:
            yield connection


@pytest.mark.parametrize(("away", "state"), [(2, "done"), (3, "failed")])
def test_a_job_is_retried_while_the_database_is_unavailable_and_fails_at_last(
    database: Database, away: int, state: str
) -> None:
    tried = []

    def needs_it(work: LeasedJob) -> dict[str, Any]:
        tried.append(work.job.attempts)
        if len(tried) <= away:
            raise OperationalError("", {}, OSError("away"))
        return {}

    id = enqueue(database, "breaks")
    for _ in range(jobs.MAX_ATTEMPTS - 1):
        with pytest.raises(OperationalError):
            job_worker.run_one(database, {"breaks": needs_it}, lease_s=0.05)
        assert get_job(database, id).state == "running"
        time.sleep(0.1)
    job_worker.run_one(database, {"breaks": needs_it}, lease_s=0.05)
    job = get_job(database, id)
    assert (job.state, tried) == (state, [1, 2, 3])
    assert (job.error is not None and "OperationalError" in job.error) == (state == "failed")


def test_the_worker_survives_an_unavailable_database(database: Database) -> None:
    faulty, stop = FaultyDatabase(database), threading.Event()

    def breaks_once(work: LeasedJob) -> dict[str, Any]:
        faulty.left = 1 if work.job.attempts == 1 else 0  # the write of the outcome
        return {"by": work.job.attempts}

    id = enqueue(database, "breaks")
    faulty.left = 2  # queries of the queue
    settings = {"stop": stop, "lease_s": 1.0, "poll_s": 0.02}
    worker = threading.Thread(
        target=job_worker.run_worker, args=(faulty, {"breaks": breaks_once}), kwargs=settings
    )
    worker.start()
    try:
        wait_until(lambda: get_job(database, id).is_over)
    finally:
        stop.set()
        worker.join()
    assert get_job(database, id).result == {"by": 2}


def test_a_stopped_thread_returns_its_job_to_the_queue(database: Database) -> None:
    worker = job_worker.WorkerThread(database, {"steps": take_steps})
    worker.start()
    quick, slow = enqueue(database, steps=2), enqueue(database, steps=1000, seconds=0.02)
    wait_until(lambda: get_job(database, slow).num_done > 1)
    worker.stop()
    assert (
        get_job(database, quick).state,
        get_job(database, slow).state,
        get_job(database, slow).attempts,
    ) == (
        "done",
        "queued",
        0,
    )
    before = get_job(database, slow).num_done
    assert list_steps(database) == [0, 1, *range(before)]


def test_killed_workers_lose_and_repeat_no_step(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    id = enqueue(database, steps=60, seconds=0.01)
    command = [sys.executable, "-c", WORKER, database_url, "0.4"]
    place = Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": f"{place / 'src'}:{place / 'tests'}"}
    workers = []
    try:
        for target in (10, 25):
            workers.append(subprocess.Popen(command, env=environment, cwd=tmp_path))
            wait_until(lambda target=target: get_job(database, id).num_done >= target)
            workers[-1].send_signal(signal.SIGKILL)
            assert workers[-1].wait(timeout=20) == -signal.SIGKILL
        assert get_job(database, id).state == "running"  # the queue has not noticed
        workers += [subprocess.Popen(command, env=environment, cwd=tmp_path) for _ in range(2)]
        wait_until(lambda: get_job(database, id).is_over)
    finally:
        for worker in workers:
            worker.kill()
            worker.wait(timeout=20)
    job = get_job(database, id)
    assert (job.state, job.attempts, list_steps(database)) == ("done", 3, list(range(60)))
    with database.read() as connection:
        assert connection.execute(select(func.count(func.distinct(step_table.c.by)))).scalar_one() == 3


@pytest.mark.parametrize("by", ["a thread of the same process", "another process"])
def test_a_save_does_not_wait_until_a_job_has_ended(database: Database, database_url: str, by: str) -> None:
    is_busy, has_saved = threading.Event(), threading.Event()
    most = 300

    def writes_on_and_on(work: LeasedJob) -> dict[str, Any]:
        for turn in range(most):
            with work.write():
                is_busy.set()
                time.sleep(0.01)  # as if it wrote many rows
            if has_saved.is_set():
                return {"turns": turn}
        return {"turns": most}

    id = enqueue(database, "busy")
    worker = threading.Thread(target=job_worker.run_one, args=(database, {"busy": writes_on_and_on}))
    worker.start()
    # Connections of another pool wait for SQLite's lock, as another process does.
    saving = database if by == "a thread of the same process" else open_database(database_url)
    assert is_busy.wait(60)
    with saving.write() as connection:
        connection.execute(insert(step_table).values(step=1))
    has_saved.set()
    worker.join(60)
    if saving is not database:
        saving.close()
    result = get_job(database, id).result
    assert result is not None and result["turns"] < most
