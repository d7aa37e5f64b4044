"""API routes of a campaign's jobs: imports and snapshots."""

from typing import Annotated

from fastapi import APIRouter, Path, Query
from fastapi.responses import StreamingResponse

from fairlead.studio.access_control import Lead
from fairlead.studio.services import jobs
from fairlead.studio.services.jobs import ROWS_PER_PAGE, JobOut, Jobs, RowProblems
from fairlead.studio.state import Database

router = APIRouter(tags=["jobs"])

JOBS = "/campaigns/{slug}/jobs"
JOB = JOBS + "/{job_id}"
Id = Annotated[int, Path(ge=1, le=2**31 - 1)]


@router.get(JOBS, name="recent")
def list_jobs(
    slug: str, viewer: Lead, database: Database, limit: Annotated[int, Query(ge=1, le=100)] = 20
) -> Jobs:
    """The latest jobs, newest first."""
    return jobs.list_jobs(database, viewer, limit=limit)


@router.get(JOB, name="one")
def get_job(slug: str, job_id: Id, viewer: Lead, database: Database) -> JobOut:
    """The state and progress of a job."""
    return jobs.get_job(database, viewer, job_id)


@router.post(JOB + "/cancel")
def cancel(slug: str, job_id: Id, viewer: Lead, database: Database) -> JobOut:
    """Cancel a job.  What the job has written stays."""
    return jobs.cancel_job(database, viewer, job_id)


@router.post(JOB + "/retry")
def retry(slug: str, job_id: Id, viewer: Lead, database: Database) -> JobOut:
    """Resume a failed or cancelled job where it stopped."""
    return jobs.retry_job(database, viewer, job_id)


@router.get(JOB + "/problems", name="problems")
def list_problems(
    slug: str,
    job_id: Id,
    viewer: Lead,
    database: Database,
    limit: Annotated[int, Query(ge=1, le=ROWS_PER_PAGE)] = 100,
) -> RowProblems:
    """Rows that the import could not use."""
    return jobs.list_problems(database, viewer, job_id, limit=limit)


@router.get(JOB + "/set-aside.jsonl", response_class=StreamingResponse)
def set_aside(slug: str, job_id: Id, viewer: Lead, database: Database) -> StreamingResponse:
    """Download every row that the import could not use, with the reason, as JSON Lines."""
    lines = jobs.stream_set_aside(database, viewer, job_id)
    headers = {"Content-Disposition": f'attachment; filename="set-aside-{job_id}.jsonl"'}
    return StreamingResponse(lines, media_type="application/jsonl", headers=headers)
