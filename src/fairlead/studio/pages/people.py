"""The pages of people: of the whole studio for its owners, of a campaign for its leads."""

from fastapi import APIRouter, Request, Response

from fairlead.labels import access, members, people
from fairlead.studio import html
from fairlead.studio.permissions import Lead, Owner
from fairlead.studio.state import Database, Time

router = APIRouter()


@router.get("/people")
def everybody(request: Request, viewer: Owner, database: Database, at: Time) -> Response:
    with database.read() as connection:
        found, invites = people.list_all(connection), access.list_invites(connection, None, at=at)
        names = people.names_of(connection, {one.made_by for one in invites})
    return html.page(
        request, "people.html", viewer, people=found, invites=invites, names=names, roles=people.STUDIO_ROLES
    )


@router.get("/c/{slug}/people")
def members_page(request: Request, slug: str, viewer: Lead, database: Database, at: Time) -> Response:
    with database.read() as connection:
        found, invites = (
            members.list_of_campaign(connection, viewer.campaign.id),
            access.list_invites(connection, viewer.campaign.id, at=at),
        )
        names = people.names_of(connection, {one.made_by for one in invites})
    return html.page(
        request,
        "members.html",
        viewer,
        members=found,
        invites=invites,
        names=names,
        roles=members.CAMPAIGN_ROLES,
    )
