"""A job that writes one row per step, and helpers to watch it."""

import os
import time
from typing import Any

from sqlalchemy import Column, Integer, MetaData, String, Table, insert, select

from fairlead.labels import jobs
from fairlead.labels.database import Database
from fairlead.labels.jobs import Job, LeasedJob

# The handler writes a row for each step.
metadata = MetaData()


step_table = Table(
    "line",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("step", Integer),
    Column("by", String(40)),
)


def take_steps(work: LeasedJob) -> dict[str, Any]:
    """Write one row and one checkpoint per step, in one transaction, after a delay of `seconds`."""
    for step in range(work.checkpoint.get("next", 0), work.body["steps"]):
        time.sleep(work.body.get("seconds", 0))
        with work.write(num_done=step + 1, num_all=work.body["steps"]) as connection:
            work.save_checkpoint(connection, {"next": step + 1})
            connection.execute(insert(step_table).values(step=step, by=str(os.getpid())))
    return {"steps": work.body["steps"]}


def enqueue(database: Database, kind: str = "steps", **body: Any) -> int:
    with database.write() as connection:
        return jobs.enqueue(connection, kind, body, actor="r-0000000001", campaign_id=7)


def get_job(database: Database, id: int) -> Job:
    with database.read() as connection:
        return jobs.get(connection, id)


def get_expiry(database: Database, id: int) -> str:
    with database.read() as connection:
        return str(
            connection.execute(
                select(jobs.job_table.c.expires_at).where(jobs.job_table.c.id == id)
            ).scalar_one()
        )


def list_steps(database: Database) -> list[int]:
    with database.read() as connection:
        return list(connection.execute(select(step_table.c.step).order_by(step_table.c.id)).scalars())


def wait_until(condition: Any, seconds: float = 200) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "timed out"
        time.sleep(0.01)
