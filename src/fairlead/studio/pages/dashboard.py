"""The page of a campaign for who leads or watches it.  What changes is a part of its own, which the browser asks for again."""

from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse
from markupsafe import Markup

from fairlead.labels import people
from fairlead.report import charts
from fairlead.stats.interval import Interval
from fairlead.studio import graphs, html, phrases
from fairlead.studio.auth import Viewer
from fairlead.studio.figures import Board
from fairlead.studio.pages.label import KIND_NAMES
from fairlead.studio.permissions import Member, Watcher
from fairlead.studio.state import Database

router = APIRouter()

MOST_PEOPLE, MOST_FLAGS, MOST_TAGS = 100, 20, 30  # rows; the API has all
FEWEST_SIDES = 20  # decided comparisons from which a share of first places is drawn


@router.get("/c/{slug}")
def dashboard(request: Request, slug: str, viewer: Member, database: Database) -> Response:
    """Who may only label is sent to work."""
    if not viewer.may("viewer", viewer.campaign.id):
        return RedirectResponse(f"/c/{slug}/label", 303)
    return html.page(request, "dashboard.html", viewer, **_values(request, viewer, database))


@router.get("/c/{slug}/figures")
def figures(request: Request, slug: str, viewer: Watcher, database: Database) -> Response:
    """Only what changes."""
    return html.page(request, "dashboard_figures.html", viewer, **_values(request, viewer, database))


def _values(request: Request, viewer: Viewer, database: Database) -> dict[str, Any]:
    board: Board = request.app.state.board
    found = board.of(viewer.campaign)
    shown, leads = found.progress, viewer.may("lead", viewer.campaign.id)
    raters = {pace.rater for pace in shown.people} | {flag.rater for flag in shown.flags}
    with database.read() as connection:
        names = people.names_of(connection, raters) if leads else {}
    return {
        "campaign": viewer.campaign, "seq": found.seq, "progress": shown, "agreement": found.agreement, "tags": found.tags, "leads": leads,
        "settles": viewer.may("adjudicator", viewer.campaign.id), "names": names, "phrases": phrases,
        "kind_name": KIND_NAMES[viewer.campaign.kind], "most_people": MOST_PEOPLE, "most_flags": MOST_FLAGS, "most_tags": MOST_TAGS,
        "hours": graphs.columns(
            [(phrases.hour(hour.start), hour.judgements) for hour in shown.hours], title="Judgements by hour", labels_every=6
        ),
        "days": graphs.columns(
            [(day.start[5:], day.judgements) for day in shown.days], title="Judgements by day", labels_every=max(1, len(shown.days) // 4)
        ),
        "whisker": _whisker,
    }  # fmt: skip


def _whisker(share: Interval | None) -> Markup:
    """A share of first places beside one half; too few say nothing."""
    if share is None or share.n < FEWEST_SIDES:
        return Markup('<span class="muted">{}</span>').format(phrases.DASH)
    return charts.whisker(share, label=f"{phrases.percent(share.value)} of {share.n}", reference=0.5)
