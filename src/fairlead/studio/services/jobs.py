"""Jobs of a campaign: imports and snapshots, their progress, and the rows that an import set aside."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, Field
from sqlalchemy import Connection

from fairlead.labels import campaign_copy, imports, jobs, overlap_job
from fairlead.labels.errors import NotFound
from fairlead.labels.imports import SetAsideRow
from fairlead.labels.jobs import Job
from fairlead.studio.auth import Viewer
from fairlead.studio.state import Database

ROWS_PER_PAGE = 1000  # rows set aside that are read at once
NUM_SHOWN_PROBLEMS = 20  # rows listed on a page
# Kinds of jobs that change a campaign's items.
ITEM_JOBS = (imports.JOB_KIND, overlap_job.JOB_KIND, campaign_copy.JOB_KIND)


class JobOut(BaseModel):
    id: int
    kind: str
    state: str = Field(description="queued, running, done, failed or cancelled")
    num_done: int
    num_all: int | None = Field(description="Null until the job has started.")
    attempts: int
    result: dict[str, Any] | None
    error: str | None
    created_at: str
    finished_at: str | None


class Jobs(BaseModel):
    jobs: list[JobOut] = Field(description="Newest first.")


class RowProblem(BaseModel):
    line: int
    field: str
    value: str = Field(description="The value in the row, shortened.")
    why: str
    remedy: str


class RowProblems(BaseModel):
    num: int
    problems: list[RowProblem] = Field(description="The first problems.")


@dataclass(frozen=True)
class JobView:
    """A job and the first rows that it set aside, for a page."""

    record: Job
    num_problems: int
    problems: list[SetAsideRow]


def list_jobs(database: Database, viewer: Viewer, *, limit: int) -> Jobs:
    with database.read() as connection:
        recent = jobs.list_recent(connection, campaign_id=viewer.campaign.id, limit=limit)
    return Jobs(jobs=[job_out(job) for job in recent])


def get_job(database: Database, viewer: Viewer, job_id: int) -> JobOut:
    with database.read() as connection:
        return job_out(_require_own(connection, viewer, job_id))


def cancel_job(database: Database, viewer: Viewer, job_id: int) -> JobOut:
    with database.write() as connection:
        _require_own(connection, viewer, job_id)
        return job_out(jobs.cancel(connection, job_id, actor=viewer.rater))


def retry_job(database: Database, viewer: Viewer, job_id: int) -> JobOut:
    with database.write() as connection:
        _require_own(connection, viewer, job_id)
        return job_out(jobs.retry(connection, job_id, actor=viewer.rater))


def list_problems(database: Database, viewer: Viewer, job_id: int, *, limit: int) -> RowProblems:
    with database.read() as connection:
        _require_own(connection, viewer, job_id)
        rows = imports.list_set_aside(connection, job_id, limit=limit)
        num_rows = imports.count_set_aside(connection, job_id)
    return RowProblems(num=num_rows, problems=[row_problem(row) for row in rows])


def stream_set_aside(database: Database, viewer: Viewer, job_id: int) -> Iterator[str]:
    """JSON Lines of every row that the import set aside, with its reason.

    Raises NotFound before the first line.
    """
    with database.read() as connection:
        _require_own(connection, viewer, job_id)

    def lines() -> Iterator[str]:
        after = 0
        while True:
            with database.read() as connection:
                rows = imports.list_set_aside(connection, job_id, after=after, limit=ROWS_PER_PAGE)
            yield from (json.dumps(row) + "\n" for row in imports.to_json_rows(rows))
            if len(rows) < ROWS_PER_PAGE:
                return
            after = rows[-1].id

    return lines()


def view_job(database: Database, viewer: Viewer, job_id: int) -> JobView:
    with database.read() as connection:
        return _view(connection, _require_own(connection, viewer, job_id))


def view_recent_jobs(
    database: Database, viewer: Viewer, *, kinds: Sequence[str], limit: int
) -> list[JobView]:
    """Read jobs before what they make: a page must not show a finished job above what was there before."""
    with database.read() as connection:
        recent = jobs.list_recent(connection, campaign_id=viewer.campaign.id, kinds=kinds, limit=limit)
        return [_view(connection, job) for job in recent]


def adds_items(database: Database, viewer: Viewer) -> bool:
    """Whether an import of the campaign is queued or running."""
    with database.read() as connection:
        recent = jobs.list_recent(connection, campaign_id=viewer.campaign.id, kinds=(imports.JOB_KIND,))
    return any(not job.is_over for job in recent)


def job_out(job: Job) -> JobOut:
    return JobOut(**{name: getattr(job, name) for name in JobOut.model_fields})


def row_problem(row: SetAsideRow) -> RowProblem:
    return RowProblem(**{name: getattr(row, name) for name in RowProblem.model_fields})


def _view(connection: Connection, job: Job) -> JobView:
    num_problems = imports.count_set_aside(connection, job.id) if job.kind == imports.JOB_KIND else 0
    rows = imports.list_set_aside(connection, job.id, limit=NUM_SHOWN_PROBLEMS) if num_problems else []
    return JobView(job, num_problems, rows)


def _require_own(connection: Connection, viewer: Viewer, job_id: int) -> Job:
    """Raises NotFound for a job of another campaign."""
    job = jobs.get(connection, job_id)
    if job.campaign_id != viewer.campaign.id:
        raise NotFound(f"there is no job {job_id}.")
    return job
