"""API routes of a campaign's dashboard: figures, flags, and taking back leases."""

from typing import Annotated

from fastapi import APIRouter, Path, Request

from fairlead.studio.access_control import Adjudicator, Lead, Watcher
from fairlead.studio.services import dashboard
from fairlead.studio.services.dashboard import DashboardOut, FlagOut
from fairlead.studio.state import Database

router = APIRouter(tags=["dashboard"])

CAMPAIGN = "/campaigns/{slug}"
Id = Annotated[int, Path(ge=1, le=2**31 - 1)]
Token = Annotated[str, Path(max_length=40)]


@router.get(CAMPAIGN + "/progress")
def progress(slug: str, request: Request, viewer: Watcher) -> DashboardOut:
    """The figures of the dashboard.  Raters appear under their pseudonyms."""
    return dashboard.get_dashboard(request.app.state.dashboard, viewer)


@router.get(CAMPAIGN + "/flags", name="flags")
def list_flags(slug: str, viewer: Watcher, database: Database, resolved: bool = False) -> list[FlagOut]:
    """Open flags, or resolved flags, newest first."""
    return dashboard.list_flags(database, viewer, resolved=resolved)


@router.post(CAMPAIGN + "/flags/{flag_id}/resolve", status_code=204)
def resolve_flag(slug: str, flag_id: Id, request: Request, viewer: Adjudicator, database: Database) -> None:
    """Mark a flag as resolved.  Resolving it again changes nothing."""
    dashboard.resolve_flag(database, request.app.state.dashboard, viewer, flag_id)


@router.post(CAMPAIGN + "/held/{token}/take-back", status_code=204, name="take_back")
def revoke_lease(slug: str, token: Token, request: Request, viewer: Lead, database: Database) -> None:
    """End a rater's lease so that others can get the item.

    A judgement that the rater still submits is stored.
    """
    dashboard.revoke_lease(database, request.app.state.dashboard, viewer, token)
