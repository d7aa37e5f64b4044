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
from sqlalchemy import Column, Connection, Integer, MetaData, String, Table, func, insert, select
from sqlalchemy.exc import OperationalError

from fairlead.core.errors import DataError
from fairlead.labels import events, job_worker, jobs
from fairlead.labels.database import Database, now
from fairlead.labels.errors import Conflict, NotFound
from fairlead.labels.jobs import Job, LeasedJob, LeaseLost

# What the jobs of these tests write: a line for each step that was taken.
own = MetaData()
line = Table(
    "line", own, Column("id", Integer, primary_key=True), Column("step", Integer), Column("by", String(40))
)

WORKER = """
import os, sys, threading, time
from fairlead.labels import job_worker
from fairlead.labels.database import open_database
from labels.test_jobs import steps
database = open_database(sys.argv[1])
print("ready", flush=True)
job_worker.run_worker(database, {"steps": steps}, stop=threading.Event(), lease_s=float(sys.argv[2]), poll_s=0.02)
"""


def steps(work: LeasedJob) -> dict[str, Any]:
    """A step, and its number as what to remember, in one transaction; slow on purpose."""
    for step in range(work.checkpoint.get("next", 0), work.body["steps"]):
        time.sleep(work.body.get("seconds", 0))
        with work.write(num_done=step + 1, num_all=work.body["steps"]) as connection:
            work.save_checkpoint(connection, {"next": step + 1})
            connection.execute(insert(line).values(step=step, by=str(os.getpid())))
    return {"steps": work.body["steps"]}


@pytest.fixture(autouse=True)
def lines(database: Database) -> None:
    with database.write() as connection:
        own.create_all(connection)


def add(database: Database, kind: str = "steps", **body: Any) -> int:
    with database.write() as connection:
        return jobs.enqueue(connection, kind, body, actor="r-0000000001", campaign_id=7)


def look(database: Database, id: int) -> Job:
    with database.read() as connection:
        return jobs.get(connection, id)


def expiry(database: Database, id: int) -> str:
    with database.read() as connection:
        return str(
            connection.execute(
                select(jobs.job_table.c.expires_at).where(jobs.job_table.c.id == id)
            ).scalar_one()
        )


def taken(database: Database) -> list[int]:
    with database.read() as connection:
        return list(connection.execute(select(line.c.step).order_by(line.c.id)).scalars())


def wait_until(condition: Any, seconds: float = 200) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.01)


def test_a_job_waits_is_done_and_says_what_came_of_it(database: Database) -> None:
    id = add(database, steps=3)
    assert (look(database, id).state, look(database, id).num_all) == ("queued", None)
    done = job_worker.run_one(database, {"steps": steps})
    assert done is not None and done == look(database, id)
    assert (done.state, done.num_done, done.num_all, done.result, done.attempts) == (
        "done",
        3,
        3,
        {"steps": 3},
        1,
    )
    assert done.created_at <= (done.started_at or "") <= (done.finished_at or "")
    assert taken(database) == [0, 1, 2]
    assert job_worker.run_one(database, {"steps": steps}) is None
    with database.read() as connection:
        told = [
            (event.verb, event.campaign_id, event.subject, event.body)
            for event in events.list_after(connection, 0)
        ]
    about = (7, f"job/{id}")
    assert told == [
        ("job.queued", *about, {"kind": "steps"}),
        ("job.ended", *about, {"kind": "steps", "state": "done"}),
    ]


def test_the_oldest_goes_first_and_only_kinds_that_the_worker_knows(database: Database) -> None:
    ids = [add(database, kind, steps=1) for kind in ("other", "steps", "steps")]
    order = []
    while (done := job_worker.run_one(database, {"steps": steps})) is not None:
        order.append(done.id)
    assert order == ids[1:]
    assert look(database, ids[0]).state == "queued"
    with database.read() as connection:
        assert [job.id for job in jobs.list_recent(connection, campaign_id=7)] == ids[::-1]
        assert [job.id for job in jobs.list_recent(connection, kind="other")] == ids[:1]
        assert jobs.list_recent(connection, campaign_id=8) == []
        with pytest.raises(NotFound, match="no job 99"):
            jobs.get(connection, 99)


def test_what_the_user_can_mend_is_said_and_a_bug_is_told_apart(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(work: LeasedJob) -> dict[str, Any]:
        with work.write(num_done=1) as connection:
            connection.execute(insert(line).values(step=1))
        raise DataError("pairs.jsonl: has no rows.")

    def breaks(work: LeasedJob) -> dict[str, Any]:
        return {"secret": 1 // work.body["zero"]}

    id, bug = add(database, "fails"), add(database, "breaks", zero=0)
    for _ in range(2):
        job_worker.run_one(database, {"fails": fails, "breaks": breaks})
    assert (look(database, id).state, look(database, id).error, look(database, id).num_done) == (
        "failed",
        "pairs.jsonl: has no rows.",
        1,
    )
    assert (
        look(database, bug).error
        == "A bug in Fairlead: ZeroDivisionError. Read the server's log for details, and report the bug."
    )
    assert "ZeroDivisionError" in caplog.text


def test_a_transaction_that_breaks_leaves_neither_the_change_nor_the_progress(database: Database) -> None:
    def breaks(work: LeasedJob) -> dict[str, Any]:
        with work.write(num_done=5) as connection:
            work.save_checkpoint(connection, {"next": 5})
            connection.execute(insert(line).values(step=5))
            raise DataError("no")
        return {}

    id = add(database, "breaks")
    job_worker.run_one(database, {"breaks": breaks})
    assert (look(database, id).num_done, taken(database)) == (0, [])


def test_one_that_waits_is_cancelled_at_once_and_one_that_runs_at_its_next_transaction(
    database: Database,
) -> None:
    waiting, running = add(database, steps=1), add(database, "cancelled", steps=5)
    with database.write() as connection:
        assert jobs.cancel(connection, waiting, actor="r-0000000002").state == "cancelled"

    def cancelled(work: LeasedJob) -> dict[str, Any]:
        with work.write(num_done=1) as connection:
            connection.execute(insert(line).values(step=0))
        with database.write() as connection:
            assert jobs.cancel(connection, running, actor="r-0000000002").cancel_asked
        return steps(work)

    job_worker.run_one(database, {"steps": steps, "cancelled": cancelled})
    assert (look(database, running).state, taken(database)) == ("cancelled", [0])
    with database.write() as connection, pytest.raises(Conflict, match="is cancelled"):
        jobs.cancel(connection, running, actor="r-0000000002")
    assert job_worker.run_one(database, {"steps": steps, "cancelled": cancelled}) is None


def test_what_failed_can_be_tried_again_and_goes_on_from_what_it_remembers(database: Database) -> None:
    broken = threading.Event()
    broken.set()

    def mended(work: LeasedJob) -> dict[str, Any]:
        if broken.is_set():
            with work.write(num_done=2) as connection:
                work.save_checkpoint(connection, {"next": 2})
            raise DataError("the disk is full")
        return steps(work)

    id = add(database, "mended", steps=4)
    job_worker.run_one(database, {"mended": mended})
    broken.clear()
    with database.write() as connection:
        again = jobs.retry(connection, id, actor="r-0000000002")
    assert (again.state, again.error, again.num_done) == ("queued", None, 2)
    job_worker.run_one(database, {"mended": mended})
    assert (look(database, id).state, taken(database)) == ("done", [2, 3])
    with database.write() as connection, pytest.raises(Conflict, match="is done"):
        jobs.retry(connection, id, actor="r-0000000002")


def test_a_worker_that_was_only_thought_dead_cannot_write_beside_its_successor(database: Database) -> None:
    id = add(database, steps=3)
    begun = datetime.now(UTC)
    first = jobs.lease_next(database, frozenset(["steps"]), lease_s=60, at=begun)
    assert (
        first is not None
        and jobs.lease_next(database, frozenset(["steps"]), at=begun + timedelta(seconds=59)) is None
    )
    second = jobs.lease_next(database, frozenset(["steps"]), at=begun + timedelta(seconds=61))
    assert second is not None and (second.job.id, second.job.attempts) == (id, 2)
    with pytest.raises(LeaseLost), first.write(num_done=99) as connection:
        connection.execute(insert(line).values(step=99))
    with second.write(num_done=1) as connection:
        connection.execute(insert(line).values(step=1))
    assert (look(database, id).num_done, taken(database)) == (1, [1])


def test_a_slow_step_does_not_cost_the_lease(database: Database) -> None:
    id = add(database)
    held = jobs.lease_next(
        database, frozenset(["steps"]), lease_s=2, at=datetime.now(UTC) - timedelta(hours=1)
    )  # over long ago, if not renewed
    rival: list[LeasedJob | None] = []

    def slow(work: LeasedJob) -> dict[str, Any]:
        wait_until(lambda: expiry(database, id) > now())
        rival.append(jobs.lease_next(database, frozenset(["steps"])))
        return {}

    assert held is not None
    job_worker._run(held, slow)
    assert (look(database, id).state, look(database, id).attempts, rival) == ("done", 1, [None])


class Faulty(Database):
    """Its next `left` writes fail, as those of a database that is being started again."""

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
def test_a_job_whose_database_is_away_is_taken_up_again_and_fails_at_last(
    database: Database, away: int, state: str
) -> None:
    tried = []

    def needs_it(work: LeasedJob) -> dict[str, Any]:
        tried.append(work.job.attempts)
        if len(tried) <= away:
            raise OperationalError("", {}, OSError("away"))
        return {}

    id = add(database, "breaks")
    for _ in range(jobs.MAX_ATTEMPTS - 1):
        with pytest.raises(OperationalError):
            job_worker.run_one(database, {"breaks": needs_it}, lease_s=0.05)
        assert look(database, id).state == "running"
        time.sleep(0.1)
    job_worker.run_one(database, {"breaks": needs_it}, lease_s=0.05)
    found = look(database, id)
    assert (found.state, tried) == (state, [1, 2, 3])
    assert (found.error is not None and "OperationalError" in found.error) == (state == "failed")


def test_a_database_that_was_away_does_not_end_the_worker(database: Database) -> None:
    faulty, stop = Faulty(database), threading.Event()

    def breaks_once(work: LeasedJob) -> dict[str, Any]:
        faulty.left = 1 if work.job.attempts == 1 else 0  # the write of how it ended
        return {"by": work.job.attempts}

    id = add(database, "breaks")
    faulty.left = 2  # looks into the queue
    settings = {"stop": stop, "lease_s": 1.0, "poll_s": 0.02}
    worker = threading.Thread(
        target=job_worker.run_worker, args=(faulty, {"breaks": breaks_once}), kwargs=settings
    )
    worker.start()
    try:
        wait_until(lambda: look(database, id).is_over)
    finally:
        stop.set()
        worker.join()
    assert look(database, id).result == {"by": 2}


def test_a_job_that_kills_every_worker_is_given_up(database: Database) -> None:
    id, other = add(database, steps=1), add(database, steps=1)
    begun = datetime.now(UTC) - timedelta(hours=1)
    for attempt in range(jobs.MAX_ATTEMPTS):
        held = jobs.lease_next(database, frozenset(["steps"]), at=begun + timedelta(minutes=attempt))
        assert held is not None and (held.job.id, held.job.attempts) == (id, attempt + 1)
    done = job_worker.run_one(database, {"steps": steps})
    assert done is not None and (done.id, done.state) == (other, "done")
    assert look(database, id).state == "failed"
    assert (look(database, id).error or "").startswith("The worker of this job died 3 times.")


def test_one_to_be_cancelled_whose_worker_died_is_cancelled(database: Database) -> None:
    id = add(database, steps=1)
    assert (
        jobs.lease_next(database, frozenset(["steps"]), at=datetime.now(UTC) - timedelta(hours=1)) is not None
    )
    with database.write() as connection:
        jobs.cancel(connection, id, actor="r-0000000002")
    assert job_worker.run_one(database, {"steps": steps}) is None
    assert (look(database, id).state, taken(database)) == ("cancelled", [])


def test_a_thread_works_until_it_is_stopped_and_gives_back_what_it_holds(database: Database) -> None:
    worker = job_worker.WorkerThread(database, {"steps": steps})
    worker.start()
    quick, slow = add(database, steps=2), add(database, steps=1000, seconds=0.02)
    wait_until(lambda: look(database, slow).num_done > 1)
    worker.stop()
    assert (look(database, quick).state, look(database, slow).state, look(database, slow).attempts) == (
        "done",
        "queued",
        0,
    )
    before = look(database, slow).num_done
    assert taken(database) == [0, 1, *range(before)]


def test_killed_workers_lose_no_step_and_repeat_none(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    id = add(database, steps=60, seconds=0.01)
    command = [sys.executable, "-c", WORKER, database_url, "0.4"]
    place = Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": f"{place / 'src'}:{place / 'tests'}"}
    workers = []
    try:
        for target in (10, 25):
            workers.append(subprocess.Popen(command, env=environment, cwd=tmp_path))
            wait_until(lambda target=target: look(database, id).num_done >= target)
            workers[-1].send_signal(signal.SIGKILL)
            assert workers[-1].wait(timeout=20) == -signal.SIGKILL
        assert look(database, id).state == "running"  # nobody told the queue
        workers += [subprocess.Popen(command, env=environment, cwd=tmp_path) for _ in range(2)]
        wait_until(lambda: look(database, id).is_over)
    finally:
        for worker in workers:
            worker.kill()
            worker.wait(timeout=20)
    found = look(database, id)
    assert (found.state, found.attempts, taken(database)) == ("done", 3, list(range(60)))
    with database.read() as connection:
        assert connection.execute(select(func.count(func.distinct(line.c.by)))).scalar_one() == 3
