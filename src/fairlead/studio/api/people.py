"""Who is in the studio and in a campaign: links that invite, roles, pauses, and erasing a person for good."""

from typing import Annotated, Literal

from fastapi import APIRouter, Path
from pydantic import BaseModel, Field

from fairlead.labels import access, members, people
from fairlead.labels.access import MAX_DAYS, MAX_USES, Invite
from fairlead.labels.errors import Conflict, Invalid
from fairlead.labels.members import Member
from fairlead.studio.api.me import Confirm
from fairlead.studio.permissions import Lead, Owner
from fairlead.studio.settings import Settings
from fairlead.studio.state import Configured, Database, Time

router = APIRouter(tags=["people"])

Id = Annotated[int, Path(ge=1, le=2**31 - 1)]
Rater = Annotated[str, Path(max_length=40)]
CampaignRole = Literal["viewer", "labeller", "adjudicator", "lead"]
StudioRole = Literal["viewer", "lead", "owner"]


class PersonOut(BaseModel):
    rater: str
    name: str
    email: str | None
    role: str | None = Field(description="In the whole studio.")
    created_at: str


class People(BaseModel):
    people: list[PersonOut]


class NewPerson(BaseModel):
    name: str = Field(max_length=500)
    email: str | None = Field(None, max_length=500)
    role: StudioRole | None = None


class PersonLink(BaseModel):
    person: PersonOut
    url: str = Field(description="With it this person, and nobody else, gets in once; shown this once.")


class PersonRole(BaseModel):
    role: StudioRole | None


class MemberOut(BaseModel):
    rater: str
    name: str
    email: str | None
    role: str
    paused: bool
    joined_at: str


class Members(BaseModel):
    people: list[MemberOut]


class MemberChange(BaseModel):
    role: CampaignRole | None = None
    paused: bool | None = Field(
        None, description="Who is paused gets no new tasks; what they still send is kept."
    )


class NewInvite(BaseModel):
    role: CampaignRole = "labeller"
    uses: int = Field(1, ge=1, le=MAX_USES, description="How many people may join with it.")
    days: int = Field(7, ge=1, le=MAX_DAYS)


class NewStudioInvite(BaseModel):
    role: StudioRole
    uses: int = Field(1, ge=1, le=MAX_USES)
    days: int = Field(7, ge=1, le=MAX_DAYS)


class InviteOut(BaseModel):
    id: int
    role: str | None
    uses: int
    uses_left: int
    made_by: str
    created_at: str
    expires_at: str


class MadeInvite(InviteOut):
    url: str = Field(description="Shown this once.")


class Invites(BaseModel):
    invites: list[InviteOut]


# ---------------------------------------------------------------- the whole studio


@router.get("/people")
def everybody(viewer: Owner, database: Database) -> People:
    with database.read() as connection:
        return People(people=[_person(one) for one in people.list_all(connection)])


@router.post("/people", status_code=201)
def add(body: NewPerson, viewer: Owner, database: Database, settings: Configured, at: Time) -> PersonLink:
    """Add somebody by name; the link lets them in and choose a password."""
    with database.write() as connection:
        one = people.add(connection, name=body.name, email=body.email, role=body.role, by=viewer.rater)
        _, secret = access.create_invite(connection, role=None, person_id=one.id, by=viewer.rater, at=at)
    return PersonLink(person=_person(one), url=join_url(settings, secret))


@router.post("/people/{rater}/link", status_code=201)
def link(rater: Rater, viewer: Owner, database: Database, settings: Configured, at: Time) -> PersonLink:
    """For somebody who cannot get in any more: a link with which they choose a new password."""
    with database.write() as connection:
        one = people.get(connection, rater)
        _, secret = access.create_invite(connection, role=None, person_id=one.id, by=viewer.rater, at=at)
    return PersonLink(person=_person(one), url=join_url(settings, secret))


@router.patch("/people/{rater}")
def set_role(rater: Rater, body: PersonRole, viewer: Owner, database: Database) -> PersonOut:
    with database.write() as connection:
        return _person(people.set_role(connection, people.get(connection, rater), body.role, by=viewer.rater))


@router.post("/people/{rater}/erase", status_code=204)
def erase(rater: Rater, body: Confirm, viewer: Owner, database: Database) -> None:
    """Name, address, sessions, tokens and drafts are deleted; what they judged stays, and nothing says whose it was. No way back."""
    with database.write() as connection:
        one = people.get(connection, rater)
        if body.confirm.strip() not in (one.name, one.rater):
            raise Invalid({"confirm": f"has to be the person's name: {one.name}"})
        people.erase(connection, one, by=viewer.rater)
    people.scrub_erased(database)


@router.get("/invites")
def studio_invites(viewer: Owner, database: Database, at: Time) -> Invites:
    with database.read() as connection:
        return Invites(invites=[_invite(one) for one in access.list_invites(connection, None, at=at)])


@router.post("/invites", status_code=201)
def invite_to_studio(
    body: NewStudioInvite, viewer: Owner, database: Database, settings: Configured, at: Time
) -> MadeInvite:
    with database.write() as connection:
        made, secret = access.create_invite(
            connection, role=body.role, uses=body.uses, days=body.days, by=viewer.rater, at=at
        )
    return MadeInvite(**_invite(made).model_dump(), url=join_url(settings, secret))


@router.delete("/invites/{invite_id}", status_code=204)
def revoke_studio_invite(invite_id: Id, viewer: Owner, database: Database, at: Time) -> None:
    with database.write() as connection:
        access.revoke_invite(connection, invite_id, None, by=viewer.rater, at=at)


# ---------------------------------------------------------------- one campaign


@router.get("/campaigns/{slug}/people")
def list_members(slug: str, viewer: Lead, database: Database) -> Members:
    with database.read() as connection:
        return Members(
            people=[_member(one) for one in members.list_of_campaign(connection, viewer.campaign.id)]
        )


@router.patch("/campaigns/{slug}/people/{rater}")
def change_member(slug: str, rater: Rater, body: MemberChange, viewer: Lead, database: Database) -> MemberOut:
    if rater == viewer.rater and not viewer.leads_all and body.role not in (None, "lead"):
        raise Conflict("you cannot take the campaign from yourself; another lead can.")
    with database.write() as connection:
        held = members.get(connection, viewer.campaign.id, rater)
        if body.role is not None:
            held = members.set_role(connection, viewer.campaign.id, rater, body.role, by=viewer.rater)
        if body.paused is not None:
            held = members.set_paused(
                connection, viewer.campaign.id, rater, paused=body.paused, by=viewer.rater
            )
    return _member(held)


@router.delete("/campaigns/{slug}/people/{rater}", status_code=204)
def remove_member(slug: str, rater: Rater, viewer: Lead, database: Database) -> None:
    """What they judged stays."""
    if rater == viewer.rater and not viewer.leads_all:
        raise Conflict("you cannot take the campaign from yourself; another lead can.")
    with database.write() as connection:
        members.remove(connection, viewer.campaign.id, rater, by=viewer.rater)


@router.get("/campaigns/{slug}/invites")
def invites(slug: str, viewer: Lead, database: Database, at: Time) -> Invites:
    with database.read() as connection:
        return Invites(
            invites=[_invite(one) for one in access.list_invites(connection, viewer.campaign.id, at=at)]
        )


@router.post("/campaigns/{slug}/invites", status_code=201)
def invite(
    slug: str, body: NewInvite, viewer: Lead, database: Database, settings: Configured, at: Time
) -> MadeInvite:
    with database.write() as connection:
        made, secret = access.create_invite(
            connection,
            role=body.role,
            campaign_id=viewer.campaign.id,
            uses=body.uses,
            days=body.days,
            by=viewer.rater,
            at=at,
        )
    return MadeInvite(**_invite(made).model_dump(), url=join_url(settings, secret))


@router.delete("/campaigns/{slug}/invites/{invite_id}", status_code=204)
def revoke_invite(slug: str, invite_id: Id, viewer: Lead, database: Database, at: Time) -> None:
    with database.write() as connection:
        access.revoke_invite(connection, invite_id, viewer.campaign.id, by=viewer.rater, at=at)


# ---------------------------------------------------------------- details


def join_url(settings: Settings, secret: str) -> str:
    return f"{settings.origin}/join/{secret}"


def _person(one: people.Person) -> PersonOut:
    return PersonOut(
        rater=one.rater, name=one.name, email=one.email, role=one.role, created_at=one.created_at
    )


def _member(one: Member) -> MemberOut:
    return MemberOut(**vars(one))


def _invite(one: Invite) -> InviteOut:
    return InviteOut(
        id=one.id, role=one.role, uses=one.uses, uses_left=one.uses_left, made_by=one.made_by, created_at=one.created_at,
        expires_at=one.expires_at,
    )  # fmt: skip
