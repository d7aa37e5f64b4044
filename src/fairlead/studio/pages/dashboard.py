"""The dashboard of a campaign, for leads and viewers.  The figures are a part that the browser reloads."""

from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse
from markupsafe import Markup

from fairlead.report import charts
from fairlead.stats.interval import Interval
from fairlead.studio import graphs, page_templates, phrases
from fairlead.studio.access_control import Member, Watcher
from fairlead.studio.auth import Viewer
from fairlead.studio.services import dashboard
from fairlead.studio.services.dashboard_cache import DashboardCache
from fairlead.studio.state import Database

router = APIRouter()

# Rows shown; the API returns all.
MAX_PEOPLE = 100
MAX_FLAGS = 20
MAX_TAGS = 30
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
    cache: DashboardCache = request.app.state.dashboard
    campaign = viewer.campaign
    figures = cache.figures(campaign)
    progress = figures.progress
    leads = viewer.may("lead", campaign.id)
    by_hour = [(phrases.hour(hour.start), hour.judgements) for hour in progress.hours]
    by_day = [(day.start[5:], day.judgements) for day in progress.days]
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
        "whisker": _whisker,
    }


def _whisker(share: Interval | None) -> Markup:
    """A share of first places beside one half, or a dash when there are too few comparisons."""
    if share is None or share.n < MIN_COMPARISONS:
        return Markup('<span class="muted">{}</span>').format(phrases.DASH)
    return charts.whisker(share, label=f"{phrases.percent(share.value)} of {share.n}", reference=0.5)
