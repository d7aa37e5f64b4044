"""Snapshots of a campaign: preview under filters, create, list, and find their files."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, Field

from fairlead.core.errors import DataError
from fairlead.data.table_writer import TableFormat
from fairlead.labels import campaigns, full_export, jobs, judgements, people, snapshot, snapshot_filters
from fairlead.labels.errors import Invalid, NotFound
from fairlead.labels.snapshot import FilterAlternative, Snapshot
from fairlead.labels.snapshot_filters import SnapshotCounts, SnapshotFilters
from fairlead.studio import project_files, safe_html
from fairlead.studio.auth import Viewer
from fairlead.studio.request_body import RequestBody
from fairlead.studio.services.jobs import JobOut, job_out
from fairlead.studio.services.projects import project_for_files
from fairlead.studio.settings import Settings
from fairlead.studio.state import Database

Rater = Annotated[str, Field(max_length=40)]
TimeText = Annotated[str, Field(max_length=40)]
DESCRIPTIONS = ("datasheet.md", "datasheet.html", "manifest.json")
FILES = (
    "comparisons.jsonl",
    "rankings.jsonl",
    "ratings.jsonl",
    "binary.jsonl",
    "demonstrations.jsonl",
    *DESCRIPTIONS,
)


class FiltersIn(RequestBody):
    ties: bool = Field(True, description="Keep ties.")
    min_margin: int = Field(0, description="1 to 3 keeps only preferences with at least this margin.")
    by_item: bool = Field(False, description="One row per item, aggregated over its judgements.")
    equal_items: bool = Field(
        False, description="With one row per judgement: the comparisons of an item get a total weight of 1."
    )
    guidelines: list[Annotated[int, Field(ge=0, le=2**31 - 1)]] = Field(
        [], max_length=1000, description="Guidelines versions; an empty list means all."
    )
    raters: list[Rater] = Field([], max_length=1000, description="Pseudonyms; an empty list means all.")
    without_raters: list[Rater] = Field([], max_length=1000)
    since: TimeText | None = Field(
        None, description="Made at this time or later, for example 2026-01-31T09:30:00.000000Z."
    )
    until: TimeText | None = Field(None, description="Made before this time.")
    late: bool = Field(True, description="Include judgements submitted after the lease expired.")
    quick: bool = Field(True, description="Include judgements made faster than anybody can read.")

    def filters(self) -> SnapshotFilters:
        return snapshot_filters.from_json(self.model_dump())


class NewSnapshot(RequestBody):
    name: Annotated[str, Field(max_length=200)]
    filters: FiltersIn = FiltersIn.model_validate({})  # keeps every current judgement


class CountsOut(BaseModel):
    judgements: int = Field(description="Current judgements of the campaign.")
    used: int
    items: int
    raters: int
    files: dict[str, int] = Field(description="File name -> number of rows.")
    left_out: dict[str, int] = Field(description="Reason -> number of judgements left out.")


class AlternativeOut(BaseModel):
    name: str
    filters: dict[str, Any]
    counts: CountsOut


class SnapshotPreview(BaseModel):
    counts: CountsOut
    alternatives: list[AlternativeOut] = Field(description="The counts with one filter changed.")


class SnapshotOut(BaseModel):
    name: str
    digest: str
    filters: dict[str, Any]
    counts: CountsOut
    files: list[str]
    made_by: str
    made_at: str
    train: str = Field(description="The command that trains on this snapshot.")


class Snapshots(BaseModel):
    snapshots: list[SnapshotOut] = Field(description="Newest first.")


@dataclasses.dataclass(frozen=True)
class FilterChoices:
    """What a lead can filter by on the snapshots page."""

    raters: list[str]
    versions: list[int]  # of the guidelines


def list_snapshots(database: Database, viewer: Viewer) -> list[Snapshot]:
    with database.read() as connection:
        return snapshot.list_all(connection, viewer.campaign.id)


def filter_choices(database: Database, viewer: Viewer) -> FilterChoices:
    campaign_id = viewer.campaign.id
    with database.read() as connection:
        return FilterChoices(
            raters=judgements.list_raters(connection, campaign_id),
            versions=[
                guidelines.version
                for guidelines in campaigns.list_guideline_versions(connection, campaign_id)
            ],
        )


def names_of(database: Database, raters: set[str]) -> dict[str, str]:
    """Pseudonym -> name."""
    with database.read() as connection:
        return people.names_of(connection, raters)


def get_snapshot(database: Database, viewer: Viewer, name: str) -> Snapshot:
    with database.read() as connection:
        return snapshot.get(connection, viewer.campaign.id, name)


def enqueue_snapshot(database: Database, settings: Settings, viewer: Viewer, body: NewSnapshot) -> JobOut:
    project = project_for_files(settings)
    with database.write() as connection:
        job_id = snapshot.enqueue(
            connection, project, viewer.campaign, body.name, body.filters.filters(), by=viewer.rater
        )
        return job_out(jobs.get(connection, job_id))


def count_rows(
    database: Database, viewer: Viewer, filters: SnapshotFilters
) -> tuple[SnapshotCounts, list[FilterAlternative]]:
    """Row counts under these filters, and under each variant with one filter changed."""
    with database.read() as connection:
        return snapshot.preview(connection, viewer.campaign, filters)


def preview_snapshot(database: Database, viewer: Viewer, body: FiltersIn) -> SnapshotPreview:
    counts, alternatives = count_rows(database, viewer, body.filters())
    return SnapshotPreview(
        counts=_counts_out(counts),
        alternatives=[
            AlternativeOut(
                name=alternative.name,
                filters=snapshot_filters.to_json(alternative.filters),
                counts=_counts_out(alternative.counts),
            )
            for alternative in alternatives
        ],
    )


def export_everything(database: Database, viewer: Viewer, format: TableFormat) -> tuple[Iterator[bytes], str]:
    """The bytes of the file, and its name.  Raises Invalid for a format that this machine cannot write."""
    try:
        parts = full_export.write(database, viewer.campaign, format)
    except DataError as error:
        raise Invalid(
            {"format": "parquet needs pyarrow where the studio runs; choose csv or jsonl"}
        ) from error
    return parts, f"{viewer.campaign.slug}.{format}"


def find_file(settings: Settings, record: Snapshot, file: str) -> Path:
    """Raises NotFound unless the snapshot has this file."""
    path = _folder(settings, record.name) / file
    if file not in FILES or not path.is_file():
        raise NotFound(f"this snapshot has no file {file!r}.")
    return path


def render_datasheet(settings: Settings, record: Snapshot) -> safe_html.Safe:
    """The datasheet as safe HTML; empty when the file is missing."""
    content = project_files.read_start(_folder(settings, record.name) / "datasheet.md", safe_html.LONGEST)
    return safe_html.render((content or b"").decode("utf-8", "replace"))


def snapshot_out(record: Snapshot) -> SnapshotOut:
    return SnapshotOut(
        name=record.name,
        digest=record.digest,
        filters=snapshot_filters.to_json(record.filters),
        counts=_counts_out(record.counts),
        files=[*(f"{name}.jsonl" for name in record.counts.files), *DESCRIPTIONS],
        made_by=record.made_by,
        made_at=record.made_at,
        train=snapshot.train_command(record),
    )


def suggest_name(slug: str, taken: set[str]) -> str:
    """The first free name of the form SLUG-N."""
    return next(name for n in range(1, len(taken) + 2) if (name := f"{slug}-{n}") not in taken)


def _folder(settings: Settings, name: str) -> Path:
    return project_files.folder_in(project_for_files(settings).artifacts / snapshot.KIND, name)


def _counts_out(counts: SnapshotCounts) -> CountsOut:
    return CountsOut(**dataclasses.asdict(counts))
