"""Pages of snapshots: choose filters, count rows, list snapshots, and show a snapshot with its datasheet."""

from datetime import UTC, date, timedelta, tzinfo
from typing import Annotated, Literal

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import BaseModel, Field

from fairlead.core.errors import FairleadError
from fairlead.core.plural import counted
from fairlead.labels import local_days, snapshot, snapshot_filters
from fairlead.labels.database import format_time
from fairlead.labels.snapshot_filters import SnapshotCounts, SnapshotFilters
from fairlead.studio import page_templates, phrases
from fairlead.studio.access_control import Lead, Unblinded
from fairlead.studio.services import jobs, snapshots
from fairlead.studio.state import Configured, Database

router = APIRouter()

Name = Annotated[str, Path(max_length=100)]
Day = Annotated[str, Field(pattern=r"^(\d{4}-\d\d-\d\d)?$")]
NUM_RECENT_JOBS = 3
PREFERENCES = {1: "“slightly better” or more", 2: "“better” or more", 3: "“much better”"}


class FilterForm(BaseModel):
    """The filters as an HTML form sends them: an unticked checkbox is absent."""

    ties: bool = False
    min_margin: Annotated[int, Field(ge=0, le=3)] = 0
    rows: Literal["judgement", "weighed", "item"] = "judgement"
    guidelines: Annotated[list[Annotated[int, Field(ge=0, le=2**31 - 1)]], Field(max_length=1000)] = []
    whose: Literal["without", "only"] = "without"
    raters: Annotated[list[Annotated[str, Field(max_length=40)]], Field(max_length=1000)] = []
    since: Day = ""
    until: Day = ""
    late: bool = False
    quick: bool = False

    def filters(self, zone: tzinfo) -> SnapshotFilters:
        """Both days are included: until the 31st means before the 1st, in the studio's time zone."""
        raters = tuple(self.raters)
        return SnapshotFilters(
            ties=self.ties,
            min_margin=self.min_margin,
            by_item=self.rows == "item",
            equal_items=self.rows == "weighed",
            guidelines=tuple(self.guidelines),
            raters=raters if self.whose == "only" else (),
            without_raters=raters if self.whose == "without" else (),
            since=_start_of(self.since, zone),
            until=_end_of(self.until, zone),
            late=self.late,
            quick=self.quick,
        )


@router.get("/c/{slug}/snapshots")
def snapshots_page(request: Request, slug: str, viewer: Unblinded, database: Database) -> Response:
    leads = viewer.may("lead", viewer.campaign.id)
    recent = (
        jobs.view_recent_jobs(database, viewer, kinds=(snapshot.KIND,), limit=NUM_RECENT_JOBS)
        if leads
        else []
    )
    records = snapshots.list_snapshots(database, viewer)
    choices = snapshots.filter_choices(database, viewer)
    raters = choices.raters if leads else []
    names = snapshots.names_of(database, {*raters, *(record.made_by for record in records)}) if leads else {}
    return page_templates.page(
        request,
        "snapshots.html",
        viewer,
        snapshots=records,
        names=names,
        raters=raters,
        versions=choices.versions,
        leads=leads,
        jobs=[job for job in recent if not job.record.is_over or job.record.state == "failed"],
        name=snapshots.suggest_name(
            slug, {*(record.name for record in records), *(job.record.body["name"] for job in recent)}
        ),
        phrases=phrases,
        pairs=viewer.campaign.kind in ("pairwise", "chat"),
        many=viewer.campaign.overlap > 1,
    )


@router.get("/c/{slug}/snapshots-preview")
def counts_part(
    request: Request,
    slug: str,
    viewer: Lead,
    database: Database,
    settings: Configured,
    form: Annotated[FilterForm, Query()],
) -> Response:
    """The part of the page that shows the row counts."""
    filters = form.filters(settings.zone)
    counts: SnapshotCounts | None = None
    alternatives: list[snapshot.FilterAlternative] = []
    error = None
    try:
        counts, alternatives = snapshots.count_rows(database, viewer, filters)
    except FairleadError as problem:
        error = str(problem)
    return page_templates.page(
        request,
        "_counts.html",
        viewer,
        counts=counts,
        others=alternatives,
        error=error,
        filters=snapshot_filters.to_json(filters),
        phrases=phrases,
        total=total_rows,
    )


@router.get("/c/{slug}/snapshots/{name}")
def snapshot_page(
    request: Request, slug: str, name: Name, viewer: Unblinded, database: Database, settings: Configured
) -> Response:
    record = snapshots.get_snapshot(database, viewer, name)
    leads = viewer.may("lead", viewer.campaign.id)
    return page_templates.page(
        request,
        "snapshot.html",
        viewer,
        snapshot=snapshots.snapshot_out(record),
        names=snapshots.names_of(database, {record.made_by}) if leads else {},
        sheet=snapshots.render_datasheet(settings, record),
        phrases=phrases,
        filters=describe_filters(record.filters, settings.zone),
        total=total_rows(record.counts),
    )


def total_rows(counts: SnapshotCounts) -> int:
    return sum(counts.files.values())


def describe_filters(filters: SnapshotFilters, zone: tzinfo = UTC) -> list[str]:
    """The filters in words; those that keep everything are omitted."""
    lines = ["one row per item" if filters.by_item else "one row per judgement"]
    if not filters.ties:
        lines.append("without ties")
    if filters.min_margin:
        lines.append(f"only preferences of {PREFERENCES[filters.min_margin]}")
    if filters.equal_items:
        lines.append("all items count the same")
    if filters.guidelines:
        lines.append(f"guidelines {', '.join(map(str, filters.guidelines))}")
    if filters.raters:
        lines.append(f"only by {_count_people(filters.raters)}")
    if filters.without_raters:
        lines.append(f"without {_count_people(filters.without_raters)}")
    if filters.since:
        lines.append(f"made at {phrases.minute(filters.since, zone)} or later")
    if filters.until:
        lines.append(f"made before {phrases.minute(filters.until, zone)}")
    if not filters.late:
        lines.append("without judgements that came late")
    if not filters.quick:
        lines.append("without judgements made faster than anybody can read")
    return lines


def _count_people(raters: tuple[str, ...]) -> str:
    return counted(len(raters), "person")


def _start_of(day: str, zone: tzinfo) -> str | None:
    return format_time(local_days.start_of_day(date.fromisoformat(day), zone)) if _is_day(day) else None


def _end_of(day: str, zone: tzinfo) -> str | None:
    if not _is_day(day):
        return None
    return format_time(local_days.start_of_day(date.fromisoformat(day) + timedelta(days=1), zone))


def _is_day(day: str) -> bool:
    """Whether the text is a date with a day before and a day after it, in any time zone."""
    try:
        return date.min < date.fromisoformat(day) < date.max - timedelta(days=1)
    except ValueError:
        return False
