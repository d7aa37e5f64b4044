"""Snapshots: what one would hold under these filters or others, the making of it, and its files."""

import dataclasses
from typing import Annotated, Any

from fastapi import APIRouter, Path
from fastapi.responses import FileResponse
from pydantic import BaseModel, Field

from fairlead.labels import jobs, snapshot, snapshot_filters
from fairlead.labels.errors import NotFound
from fairlead.labels.snapshot import Snapshot
from fairlead.labels.snapshot_filters import SnapshotCounts, SnapshotFilters
from fairlead.studio.api.items import project
from fairlead.studio.api.jobs import JobOut, job_out
from fairlead.studio.permissions import Lead, Watcher
from fairlead.studio.project_files import folder_in
from fairlead.studio.settings import Settings
from fairlead.studio.state import Configured, Database

router = APIRouter(tags=["snapshots"])

HERE = "/campaigns/{slug}/snapshots"
Name = Annotated[str, Path(max_length=100)]
Rater = Annotated[str, Field(max_length=40)]
Time = Annotated[str, Field(max_length=40)]
FILES = (
    "comparisons.jsonl",
    "rankings.jsonl",
    "ratings.jsonl",
    "binary.jsonl",
    "demonstrations.jsonl",
    "datasheet.md",
    "datasheet.html",
    "manifest.json",
)
TYPES = {
    "jsonl": "application/jsonl",
    "md": "text/markdown; charset=utf-8",
    "html": "text/html; charset=utf-8",
    "json": "application/json",
}


class FiltersIn(BaseModel):
    ties: bool = Field(True, description="Keep ties.")
    min_margin: int = Field(0, description="1 to 3 keeps clearer preferences only.")
    by_item: bool = Field(
        False, description="One row for each item, on which all its judgements are put together."
    )
    equal_items: bool = Field(
        False, description="With one row for each judgement: the comparisons of an item weigh 1 together."
    )
    guidelines: list[Annotated[int, Field(ge=0, le=2**31 - 1)]] = Field(
        [], max_length=1000, description="Versions; none means all."
    )
    raters: list[Rater] = Field([], max_length=1000, description="Pseudonyms; none means all.")
    without_raters: list[Rater] = Field([], max_length=1000)
    since: Time | None = Field(None, description="2026-01-31T09:30:00.000000Z; made then or later.")
    until: Time | None = Field(None, description="Made before.")
    late: bool = Field(True, description="Also those that came after the hold was lost.")
    quick: bool = Field(True, description="Also those made faster than anybody reads.")

    def filters(self) -> SnapshotFilters:
        return snapshot_filters.from_json(self.model_dump())


class NewSnapshot(BaseModel):
    name: Annotated[str, Field(max_length=200)]
    filters: FiltersIn = FiltersIn.model_validate({})  # everything that stands


class CountsOut(BaseModel):
    judgements: int = Field(description="That stand in the campaign.")
    used: int
    items: int
    raters: int
    files: dict[str, int] = Field(description="Rows of each.")
    left_out: dict[str, int] = Field(description="Why, and how many.")


class AlternativeOut(BaseModel):
    name: str
    filters: dict[str, Any]
    counts: CountsOut


class PreviewOut(BaseModel):
    counts: CountsOut
    alternatives: list[AlternativeOut] = Field(description="What there would be with one filter changed.")


class SnapshotOut(BaseModel):
    name: str
    digest: str
    filters: dict[str, Any]
    counts: CountsOut
    files: list[str]
    made_by: str
    made_at: str
    train: str = Field(description="The command that trains with it.")


class Snapshots(BaseModel):
    snapshots: list[SnapshotOut] = Field(description="The newest first.")


@router.get(HERE)
def every(slug: str, viewer: Watcher, database: Database) -> Snapshots:
    with database.read() as connection:
        return Snapshots(
            snapshots=[snapshot_out(one) for one in snapshot.list_all(connection, viewer.campaign.id)]
        )


@router.post(HERE, status_code=202)
def make(slug: str, body: NewSnapshot, viewer: Lead, database: Database, settings: Configured) -> JobOut:
    """Queues it; when the job is done, training can name it."""
    with database.write() as connection:
        id = snapshot.enqueue(
            connection, project(settings), viewer.campaign, body.name, body.filters.filters(), by=viewer.rater
        )
        return job_out(jobs.get(connection, id))


@router.post(HERE + "/preview")
def preview(slug: str, body: FiltersIn, viewer: Lead, database: Database) -> PreviewOut:
    """Nothing is made."""
    with database.read() as connection:
        counts, others = snapshot.preview(connection, viewer.campaign, body.filters())
    alternatives = [
        AlternativeOut(
            name=one.name, filters=snapshot_filters.to_json(one.filters), counts=_counts(one.counts)
        )
        for one in others
    ]
    return PreviewOut(counts=_counts(counts), alternatives=alternatives)


@router.get(HERE + "/{name}")
def one(slug: str, name: Name, viewer: Watcher, database: Database) -> SnapshotOut:
    with database.read() as connection:
        return snapshot_out(snapshot.get(connection, viewer.campaign.id, name))


@router.get(HERE + "/{name}/files/{file}", response_class=FileResponse)
def file(
    slug: str, name: Name, file: Name, viewer: Watcher, database: Database, settings: Configured
) -> FileResponse:
    """Its rows, its datasheet or its manifest."""
    with database.read() as connection:
        found = snapshot.get(connection, viewer.campaign.id, name)
    return download(settings, found, file)


def download(settings: Settings, found: Snapshot, file: str) -> FileResponse:
    path = folder_in(project(settings).artifacts / snapshot.KIND, found.name) / file
    if file not in FILES or not path.is_file():
        raise NotFound(f"there is no file {file!r} in this snapshot.")
    return FileResponse(path, media_type=TYPES[path.suffix[1:]], filename=f"{found.name}-{file}")


def snapshot_out(one: Snapshot) -> SnapshotOut:
    present = [
        *(f"{name}.jsonl" for name in one.counts.files),
        "datasheet.md",
        "datasheet.html",
        "manifest.json",
    ]
    return SnapshotOut(
        name=one.name, digest=one.digest, filters=snapshot_filters.to_json(one.filters), counts=_counts(one.counts), files=present,
        made_by=one.made_by, made_at=one.made_at, train=snapshot.train_command(one),
    )  # fmt: skip


def suggested_name(slug: str, taken: set[str]) -> str:
    """A name that is free: the campaign's, and a number."""
    return next(name for n in range(1, len(taken) + 2) if (name := f"{slug}-{n}") not in taken)


def _counts(counts: SnapshotCounts) -> CountsOut:
    return CountsOut(**dataclasses.asdict(counts))
