"""Jobs of a campaign: imports and snapshots, how far they are, what came of them, and the rows that an import set aside."""

import json
from collections.abc import Iterator
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, Field
from sqlalchemy import Connection

from fairlead.labels import imports, jobs
from fairlead.labels.errors import NotFound
from fairlead.labels.imports import SetAsideRow
from fairlead.studio.auth import Viewer
from fairlead.studio.permissions import Lead
from fairlead.studio.state import Database

router = APIRouter(tags=["jobs"])

HERE = "/campaigns/{slug}/jobs"
Id = Annotated[int, Path(ge=1, le=2**31 - 1)]
PAGE = 1000


class JobOut(BaseModel):
    id: int
    kind: str
    state: str = Field(description="queued, running, done, failed or cancelled")
    num_done: int
    num_all: int | None = Field(description="Not known before it has begun.")
    attempts: int
    result: dict[str, Any] | None
    error: str | None
    created_at: str
    finished_at: str | None


class Jobs(BaseModel):
    jobs: list[JobOut] = Field(description="The newest first.")


class Problem(BaseModel):
    line: int
    field: str
    value: str = Field(description="What stands there, shortened.")
    why: str
    remedy: str


class Problems(BaseModel):
    num: int
    problems: list[Problem] = Field(description="The first of them.")


@router.get(HERE)
def recent(
    slug: str, viewer: Lead, database: Database, limit: Annotated[int, Query(ge=1, le=100)] = 20
) -> Jobs:
    with database.read() as connection:
        return Jobs(
            jobs=[
                job_out(one)
                for one in jobs.list_recent(connection, campaign_id=viewer.campaign.id, limit=limit)
            ]
        )


@router.get(HERE + "/{job_id}")
def one(slug: str, job_id: Id, viewer: Lead, database: Database) -> JobOut:
    with database.read() as connection:
        return job_out(mine(connection, viewer, job_id))


@router.post(HERE + "/{job_id}/cancel")
def cancel(slug: str, job_id: Id, viewer: Lead, database: Database) -> JobOut:
    """What it wrote before stays."""
    with database.write() as connection:
        mine(connection, viewer, job_id)
        return job_out(jobs.cancel(connection, job_id, actor=viewer.rater))


@router.post(HERE + "/{job_id}/retry")
def retry(slug: str, job_id: Id, viewer: Lead, database: Database) -> JobOut:
    """One that failed or was cancelled goes on where it stopped."""
    with database.write() as connection:
        mine(connection, viewer, job_id)
        return job_out(jobs.retry(connection, job_id, actor=viewer.rater))


@router.get(HERE + "/{job_id}/problems")
def problems(
    slug: str, job_id: Id, viewer: Lead, database: Database, limit: Annotated[int, Query(ge=1, le=PAGE)] = 100
) -> Problems:
    """Rows that the import could not use."""
    with database.read() as connection:
        mine(connection, viewer, job_id)
        found = imports.list_set_aside(connection, job_id, limit=limit)
        return Problems(
            num=imports.count_set_aside(connection, job_id), problems=[problem_out(each) for each in found]
        )


@router.get(HERE + "/{job_id}/set-aside.jsonl", response_class=StreamingResponse)
def set_aside(slug: str, job_id: Id, viewer: Lead, database: Database) -> StreamingResponse:
    """All of these rows, each with its reason, as JSON Lines."""
    with database.read() as connection:
        mine(connection, viewer, job_id)

    def lines() -> Iterator[str]:
        after = 0
        while True:
            with database.read() as connection:
                page = imports.list_set_aside(connection, job_id, after=after, limit=PAGE)
            yield from (json.dumps(row) + "\n" for row in imports.to_json_rows(page))
            if len(page) < PAGE:
                return
            after = page[-1].id

    headers = {"Content-Disposition": f'attachment; filename="set-aside-{job_id}.jsonl"'}
    return StreamingResponse(lines(), media_type="application/jsonl", headers=headers)


def mine(connection: Connection, viewer: Viewer, job_id: int) -> jobs.Job:
    """A job of the campaign in the address."""
    found = jobs.get(connection, job_id)
    if found.campaign_id != viewer.campaign.id:
        raise NotFound(f"There is no job {job_id}.")
    return found


def job_out(one: jobs.Job) -> JobOut:
    return JobOut(
        id=one.id, kind=one.kind, state=one.state, num_done=one.num_done, num_all=one.num_all, attempts=one.attempts, result=one.result,
        error=one.error, created_at=one.created_at, finished_at=one.finished_at,
    )  # fmt: skip


def problem_out(one: SetAsideRow) -> Problem:
    return Problem(line=one.line, field=one.field, value=one.value, why=one.why, remedy=one.remedy)
