"""Pages of people: everybody in the studio for owners, the members of a campaign for leads."""

from fastapi import APIRouter, Request, Response

from fairlead.labels.members import CAMPAIGN_ROLES
from fairlead.labels.people import STUDIO_ROLES
from fairlead.studio import page_templates
from fairlead.studio.access_control import Lead, Owner
from fairlead.studio.services import account, people
from fairlead.studio.state import Database, Time

router = APIRouter()


@router.get("/people")
def people_page(request: Request, viewer: Owner, database: Database, now: Time) -> Response:
    invites = people.list_invites(database, None, now=now)
    return page_templates.page(
        request,
        "people.html",
        viewer,
        people=people.list_people(database).people,
        invites=invites,
        names=people.inviter_names(database, invites),
        roles=STUDIO_ROLES,
        has_password=account.get_page(database, viewer).person.has_password,
    )


@router.get("/c/{slug}/people")
def members_page(request: Request, slug: str, viewer: Lead, database: Database, now: Time) -> Response:
    invites = people.list_invites(database, viewer.campaign.id, now=now)
    return page_templates.page(
        request,
        "members.html",
        viewer,
        members=people.list_members(database, viewer).people,
        invites=invites,
        names=people.inviter_names(database, invites),
        roles=CAMPAIGN_ROLES,
    )
