"""API routes of campaigns and their guidelines."""

from typing import Annotated

from fastapi import APIRouter, Path, Query, Request
from pydantic import Field

from fairlead.studio.access_control import Lead, Member, Watcher
from fairlead.studio.request_body import RequestBody
from fairlead.studio.services import campaigns, rendering
from fairlead.studio.services.campaigns import (
    ArchiveIn,
    CampaignChange,
    CampaignOut,
    Campaigns,
    CopyIn,
    DeleteIn,
    GuidelinesDiff,
    GuidelinesOut,
    GuidelineVersions,
    NewCampaign,
    NewGuidelines,
    StateChange,
)
from fairlead.studio.services.rendering import MarkdownPreview
from fairlead.studio.state import Database

router = APIRouter(tags=["campaigns"])

CAMPAIGN = "/campaigns/{slug}"
Version = Annotated[int, Path(ge=1, le=2**31 - 1)]


class MarkdownBody(RequestBody):
    text: str = Field(max_length=200_000)


@router.get("/campaigns", name="every")
def list_campaigns(
    viewer: Watcher,
    database: Database,
    archived: Annotated[bool, Query(description="Those that are archived, instead of the others.")] = False,
) -> Campaigns:
    """The campaigns that the viewer may watch, newest first."""
    return Campaigns(campaigns=campaigns.list_campaigns(database, viewer, archived=archived))


@router.post("/campaigns", status_code=201)
def create(body: NewCampaign, viewer: Lead, database: Database) -> CampaignOut:
    """Create a draft campaign.  The creator becomes its lead."""
    return campaigns.create_campaign(database, viewer, body)


@router.get(CAMPAIGN, name="one")
def get_campaign(slug: str, viewer: Watcher, database: Database) -> CampaignOut:
    """A campaign with its progress."""
    return campaigns.get_campaign(database, viewer.campaign)


@router.patch(CAMPAIGN)
def change(slug: str, body: CampaignChange, viewer: Lead, database: Database) -> CampaignOut:
    """Change settings.

    The kind and the slug cannot change.  Lowering the overlap removes unassigned judgements only.
    """
    return campaigns.change_campaign(database, viewer, body)


@router.post(CAMPAIGN + "/state")
def set_state(slug: str, body: StateChange, viewer: Lead, database: Database) -> CampaignOut:
    """Open, pause, close or reopen the campaign.

    Only an open campaign assigns items; every state accepts judgements.
    """
    return campaigns.change_state(database, viewer, body)


@router.post(CAMPAIGN + "/copy", status_code=201, name="copy")
def copy_campaign(slug: str, body: CopyIn, viewer: Lead, database: Database) -> CampaignOut:
    """Create a draft with the same settings, and if wanted with guidelines, people and items."""
    return campaigns.copy_campaign(database, viewer, body)


@router.post(CAMPAIGN + "/archive", name="archive")
def archive_campaign(slug: str, body: ArchiveIn, viewer: Lead, database: Database) -> CampaignOut:
    """Hide the campaign from lists, or show it again.  Nothing is deleted."""
    return campaigns.archive_campaign(database, viewer, body)


@router.post(CAMPAIGN + "/delete", status_code=204, name="delete")
def delete_campaign(slug: str, body: DeleteIn, viewer: Lead, database: Database) -> None:
    """Delete the campaign with its items, judgements, flags and guidelines.  This cannot be undone.

    A campaign with judgements needs its name in `confirm`.  Files of snapshots stay in the project.
    """
    campaigns.delete_campaign(database, viewer, body)


# ---------------------------------------------------------------- guidelines


@router.get(CAMPAIGN + "/guidelines", name="versions")
def list_guidelines(slug: str, viewer: Member, database: Database) -> GuidelineVersions:
    """Every version of the guidelines, newest first."""
    return campaigns.list_guidelines(database, viewer)


@router.post(CAMPAIGN + "/guidelines", status_code=201, name="write")
def write_guidelines(slug: str, body: NewGuidelines, viewer: Lead, database: Database) -> GuidelinesOut:
    """Store a new version, unless the text is unchanged.  Labellers are notified of the change."""
    return campaigns.write_guidelines(database, viewer, body)


@router.get(CAMPAIGN + "/guidelines/{version}/diff")
def diff(
    slug: str,
    version: Version,
    viewer: Member,
    database: Database,
    against: Annotated[int | None, Query(ge=1, le=2**31 - 1)] = None,
) -> GuidelinesDiff:
    """Compare a version line by line with the version before it, or with `against`."""
    return campaigns.compare_guidelines(database, viewer.campaign, version, against)


@router.post("/markdown")
async def markdown(request: Request, body: MarkdownBody, viewer: Lead) -> MarkdownPreview:
    """Render Markdown as the studio will show it.

    One text is rendered at a time for each person; 429 when a newer one came meanwhile.
    """
    html = await request.app.state.previews.render(request, viewer.person, body.text)
    return rendering.markdown_preview(body.text, html)
