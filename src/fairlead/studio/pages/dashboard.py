"""The dashboard of a campaign, for leads and viewers.  The figures are a part that the browser reloads."""

from datetime import date, timedelta
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse
from markupsafe import Markup

from fairlead.labels.progress import NUM_DAYS, Progress
from fairlead.report import charts
from fairlead.stats.interval import Interval
from fairlead.studio import graphs, page_templates, phrases
from fairlead.studio.access_control import Member, Watcher
from fairlead.studio.auth import Viewer
from fairlead.studio.services import dashboard, jobs
from fairlead.studio.services.dashboard_cache import DashboardCache
from fairlead.studio.state import Database

router = APIRouter()

# Rows shown; the API returns all.
MAX_PEOPLE = 100
MAX_FLAGS = 20
MAX_TAGS = 30
MIN_DAYS = 14  # in the chart: a few wide bars would tell less than the empty days around them
MIN_COMPARISONS = 20  # decided comparisons from which the share of first places is drawn


@router.get("/c/{slug}")
def dashboard_page(request: Request, slug: str, viewer: Member, database: Database) -> Response:
    """Members who may only label are sent to the labelling screen."""
    if not viewer.may("viewer", viewer.campaign.id):
        return RedirectResponse(f"/c/{slug}/label", 303)
    return page_templates.page(
        request, "dashboard.html", viewer, **_template_values(request, viewer, database)
    )


@router.get("/c/{slug}/figures")
def figures_part(request: Request, slug: str, viewer: Watcher, database: Database) -> Response:
    return page_templates.page(
        request, "dashboard_figures.html", viewer, **_template_values(request, viewer, database)
    )


def _template_values(request: Request, viewer: Viewer, database: Database) -> dict[str, Any]:
    zone = request.app.state.settings.zone
    cache: DashboardCache = request.app.state.dashboard
    campaign = viewer.campaign
    figures = dashboard.get_figures(cache, viewer)
    progress = figures.progress
    leads = viewer.may("lead", campaign.id)
    by_hour = [(phrases.hour(hour.start, zone), hour.judgements) for hour in progress.hours]
    by_day = _last_days(progress)
    return {
        "campaign": campaign,
        "seq": figures.seq,
        "progress": progress,
        "agreement": figures.agreement,
        "tags": figures.tags,
        "leads": leads,
        "settles": viewer.may("adjudicator", campaign.id),
        "names": dashboard.rater_names(database, figures) if leads else {},
        "phrases": phrases,
        "kind_name": phrases.KIND_NAMES[campaign.kind],
        "most_people": MAX_PEOPLE,
        "most_flags": MAX_FLAGS,
        "most_tags": MAX_TAGS,
        "hours": graphs.columns(by_hour, title="Judgements by hour", labels_every=6),
        "days": graphs.columns(by_day, title="Judgements by day", labels_every=max(1, len(by_day) // 4)),
        "num_days": len(by_day),
        "items_on_their_way": not progress.num_items and jobs.adds_items(database, viewer),
        "ago": lambda time: phrases.ago(time, progress.at, zone),
        "loaded": phrases.time_of_day(progress.at, zone),
        "whisker": _whisker,
    }


def _last_days(progress: Progress) -> list[tuple[str, int]]:
    """Every day from the first with judgements, at least MIN_DAYS and at most NUM_DAYS, until today."""
    counts = {day.start: day.judgements for day in progress.days}
    today = date.fromisoformat(progress.today)
    first = date.fromisoformat(progress.days[0].start) if progress.days else today
    num_days = min(NUM_DAYS, max(MIN_DAYS, (today - first).days + 1))
    days = [today - timedelta(days=ago) for ago in reversed(range(num_days))]
    return [(phrases.day_and_month(day), counts.get(day.isoformat(), 0)) for day in days]


def _whisker(share: Interval | None) -> Markup:
    """A share of first places beside one half, or a dash when there are too few comparisons."""
    if share is None or share.n < MIN_COMPARISONS:
        return Markup('<span class="muted">{}</span>').format(phrases.DASH)
    return charts.whisker(share, label=f"{phrases.percent(share.value)} of {share.n}", reference=0.5)
