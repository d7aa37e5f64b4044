"""API routes of people: the whole studio for owners, and the members of a campaign for leads."""

from typing import Annotated

from fastapi import APIRouter, Path, Request

from fairlead.studio.access_control import Lead, Owner
from fairlead.studio.services import people
from fairlead.studio.services.account import Confirmation
from fairlead.studio.services.people import (
    CreatedInvite,
    Invites,
    MemberChange,
    MemberOut,
    Members,
    NewInvite,
    NewPerson,
    NewStudioInvite,
    People,
    PersonLink,
    PersonOut,
    PersonRole,
)
from fairlead.studio.state import Configured, Database, Time

router = APIRouter(tags=["people"])

CAMPAIGN = "/campaigns/{slug}"
Id = Annotated[int, Path(ge=1, le=2**31 - 1)]
Rater = Annotated[str, Path(max_length=40)]


# ---------------------------------------------------------------- the whole studio


@router.get("/people", name="everybody")
def list_people(viewer: Owner, database: Database) -> People:
    """Everybody who has an account."""
    return people.list_people(database)


@router.post("/people", status_code=201, name="add")
def add_person(
    body: NewPerson, viewer: Owner, database: Database, settings: Configured, now: Time
) -> PersonLink:
    """Add a person by name.  With the returned link they sign in and choose a password."""
    return people.add_person(database, settings, viewer, body, now=now)


@router.post("/people/{rater}/link", status_code=201, name="link")
def create_link(
    rater: Rater, viewer: Owner, database: Database, settings: Configured, now: Time
) -> PersonLink:
    """Create a link for a person who cannot sign in any more.  With it they choose a new password."""
    return people.create_link(database, settings, viewer, rater, now=now)


@router.patch("/people/{rater}")
def set_role(rater: Rater, body: PersonRole, viewer: Owner, database: Database) -> PersonOut:
    """Set a person's role in the whole studio."""
    return people.set_studio_role(database, viewer, rater, body)


@router.post("/people/{rater}/erase", status_code=204, name="erase")
def erase_person(
    request: Request, rater: Rater, body: Confirmation, viewer: Owner, database: Database, now: Time
) -> None:
    """Delete the person's name, address, sessions, tokens and drafts.  This cannot be undone.

    Their judgements stay, and nothing tells whose they are.
    """
    people.erase_person(database, request.app.state.wrong_passwords, viewer, rater, body, now=now)


@router.get("/invites", name="studio_invites")
def list_studio_invites(viewer: Owner, database: Database, now: Time) -> Invites:
    """Open invites to the studio."""
    return people.to_invites(people.list_invites(database, None, now=now))


@router.post("/invites", status_code=201)
def invite_to_studio(
    body: NewStudioInvite, viewer: Owner, database: Database, settings: Configured, now: Time
) -> CreatedInvite:
    """Create an invite link to the studio."""
    return people.create_invite(database, settings, viewer, body, campaign_id=None, now=now)


@router.delete("/invites/{invite_id}", status_code=204)
def revoke_studio_invite(invite_id: Id, viewer: Owner, database: Database, now: Time) -> None:
    """Revoke an invite to the studio."""
    people.revoke_invite(database, viewer, invite_id, campaign_id=None, now=now)


# ---------------------------------------------------------------- one campaign


@router.get(CAMPAIGN + "/people", name="members")
def list_members(slug: str, viewer: Lead, database: Database) -> Members:
    """The members of the campaign."""
    return people.list_members(database, viewer)


@router.patch(CAMPAIGN + "/people/{rater}")
def change_member(slug: str, rater: Rater, body: MemberChange, viewer: Lead, database: Database) -> MemberOut:
    """Change a member's role, or pause them."""
    return people.change_member(database, viewer, rater, body)


@router.delete(CAMPAIGN + "/people/{rater}", status_code=204)
def remove_member(slug: str, rater: Rater, viewer: Lead, database: Database) -> None:
    """Remove a member.  Their judgements stay."""
    people.remove_member(database, viewer, rater)


@router.get(CAMPAIGN + "/invites", name="invites")
def list_invites(slug: str, viewer: Lead, database: Database, now: Time) -> Invites:
    """Open invites to the campaign."""
    return people.to_invites(people.list_invites(database, viewer.campaign.id, now=now))


@router.post(CAMPAIGN + "/invites", status_code=201, name="invite")
def create_invite(
    slug: str, body: NewInvite, viewer: Lead, database: Database, settings: Configured, now: Time
) -> CreatedInvite:
    """Create an invite link to the campaign."""
    campaign_id = viewer.campaign.id
    return people.create_invite(database, settings, viewer, body, campaign_id=campaign_id, now=now)


@router.delete(CAMPAIGN + "/invites/{invite_id}", status_code=204)
def revoke_invite(slug: str, invite_id: Id, viewer: Lead, database: Database, now: Time) -> None:
    """Revoke an invite to the campaign."""
    people.revoke_invite(database, viewer, invite_id, campaign_id=viewer.campaign.id, now=now)
