"""Pages of snapshots: what one would hold while its filters are being chosen, those that there are, and one with its datasheet."""

from datetime import date
from typing import Annotated, Literal

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import BaseModel, Field

from fairlead.core.errors import FairleadError
from fairlead.labels import campaigns, jobs, judgements, people, snapshot, snapshot_filters
from fairlead.labels.snapshot_filters import SnapshotCounts, SnapshotFilters
from fairlead.studio import html, phrases, render
from fairlead.studio.api import snapshots as snapshot_api
from fairlead.studio.api.items import project
from fairlead.studio.pages.campaigns import job_values
from fairlead.studio.permissions import Lead, Watcher
from fairlead.studio.project_files import folder_in, read_start
from fairlead.studio.state import Configured, Database

router = APIRouter()

Name = Annotated[str, Path(max_length=100)]
Day = Annotated[str, Field(pattern=r"^(\d{4}-\d\d-\d\d)?$")]


class Form(BaseModel):
    """The filters as a form has them; what is not ticked is not sent."""

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

    def filters(self) -> SnapshotFilters:
        """Days are whole and both are meant: until the 31st is before the 1st."""
        named = {"raters" if self.whose == "only" else "without_raters": tuple(self.raters)}
        return SnapshotFilters(
            ties=self.ties, min_margin=self.min_margin, by_item=self.rows == "item", equal_items=self.rows == "weighed",
            guidelines=tuple(self.guidelines), since=_start(self.since), until=_end(self.until),
            late=self.late, quick=self.quick, **named,
        )  # fmt: skip


@router.get("/c/{slug}/snapshots")
def every(request: Request, slug: str, viewer: Watcher, database: Database) -> Response:
    leads = viewer.may("lead", viewer.campaign.id)
    with database.read() as connection:
        found = snapshot.list_all(connection, viewer.campaign.id)
        recent = (
            jobs.list_recent(connection, campaign_id=viewer.campaign.id, kind=snapshot.KIND, limit=3)
            if leads
            else []
        )
        raters = judgements.list_raters(connection, viewer.campaign.id) if leads else []
        names = people.names_of(connection, {*raters, *(one.made_by for one in found)}) if leads else {}
        versions = [one.version for one in campaigns.list_guideline_versions(connection, viewer.campaign.id)]
    waiting = [
        job_values(viewer, database, job) for job in recent if not job.is_over or job.state == "failed"
    ]
    return html.page(
        request, "snapshots.html", viewer, snapshots=found, names=names, raters=raters, versions=versions, leads=leads, jobs=waiting,
        name=snapshot_api.suggested_name(slug, {one.name for one in found}), phrases=phrases, pairs=viewer.campaign.kind in ("pairwise", "chat"),
        many=viewer.campaign.overlap > 1,
    )  # fmt: skip


@router.get("/c/{slug}/snapshots-preview")
def preview(
    request: Request, slug: str, viewer: Lead, database: Database, form: Annotated[Form, Query()]
) -> Response:
    """The part of the page that counts."""
    counts: SnapshotCounts | None = None
    others: list[snapshot.FilterAlternative] = []
    error = None
    try:
        with database.read() as connection:
            counts, others = snapshot.preview(connection, viewer.campaign, form.filters())
    except FairleadError as problem:
        error = str(problem)
    plain = snapshot_filters.to_json(form.filters())
    return html.page(
        request,
        "_counts.html",
        viewer,
        counts=counts,
        others=others,
        error=error,
        filters=plain,
        phrases=phrases,
        total=total,
    )


@router.get("/c/{slug}/snapshots/{name}")
def one(
    request: Request, slug: str, name: Name, viewer: Watcher, database: Database, settings: Configured
) -> Response:
    with database.read() as connection:
        found = snapshot.get(connection, viewer.campaign.id, name)
        names = people.names_of(connection, {found.made_by}) if viewer.may("lead", viewer.campaign.id) else {}
    shown = snapshot_api.snapshot_out(found)
    return html.page(
        request, "snapshot.html", viewer, snapshot=shown, names=names, sheet=_sheet(found.name, settings), phrases=phrases,
        filters=filters_said(found.filters), total=total(found.counts),
    )  # fmt: skip


def total(counts: SnapshotCounts) -> int:
    return sum(counts.files.values())


def filters_said(filters: SnapshotFilters) -> list[str]:
    """Only what differs from keeping everything."""
    plain = SnapshotFilters()
    said = ["one row for each item" if filters.by_item else "one row for each judgement"]
    said += ["ties left out"] if not filters.ties else []
    said += [f"margin at least {filters.min_margin}"] if filters.min_margin else []
    said += ["comparisons of an item weigh 1 together"] if filters.equal_items else []
    said += (
        [f"guidelines {', '.join(map(str, filters.guidelines))}"]
        if filters.guidelines != plain.guidelines
        else []
    )
    said += [f"only of {_people(filters.raters)}"] if filters.raters else []
    said += [f"without {_people(filters.without_raters)}"] if filters.without_raters else []
    said += [f"from {filters.since[:10]}"] if filters.since else []
    said += [f"before {filters.until[:10]}"] if filters.until else []
    said += ["without late ones"] if not filters.late else []
    return [*said, *(["without quick ones"] if not filters.quick else [])]


def _people(raters: tuple[str, ...]) -> str:
    return "1 person" if len(raters) == 1 else f"{len(raters)} people"


def _sheet(name: str, settings: Configured) -> render.Safe:
    """The datasheet, rendered as any other text that somebody may have written; empty where the file is not there."""
    content = read_start(
        folder_in(project(settings).artifacts / snapshot.KIND, name) / "datasheet.md", render.LONGEST
    )
    return render.render((content or b"").decode("utf-8", "replace"))


def _start(day: str) -> str | None:
    return f"{day}T00:00:00.000000Z" if day and _is_day(day) else None


def _end(day: str) -> str | None:
    return (
        f"{date.fromordinal(date.fromisoformat(day).toordinal() + 1)}T00:00:00.000000Z"
        if day and _is_day(day)
        else None
    )


def _is_day(day: str) -> bool:
    try:
        return date.fromisoformat(day) < date.max
    except ValueError:
        return False
