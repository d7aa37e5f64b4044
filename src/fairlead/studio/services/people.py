"""People of the studio and members of a campaign: roles, pauses, invite links, and erasing a person."""

from collections.abc import Mapping
from typing import Literal

from pydantic import BaseModel, Field

from fairlead.labels import credentials, departures, members, people, reservations
from fairlead.labels.credentials import MAX_DAYS, MAX_USES, Invite
from fairlead.labels.errors import Conflict, Invalid, NotAllowed
from fairlead.labels.members import Member
from fairlead.labels.people import Person
from fairlead.studio.auth import Viewer
from fairlead.studio.limits import Limiter
from fairlead.studio.request_body import RequestBody
from fairlead.studio.services import account
from fairlead.studio.services.account import Confirmation
from fairlead.studio.settings import Settings
from fairlead.studio.state import Database

CampaignRole = Literal["viewer", "labeller", "adjudicator", "lead"]
StudioRole = Literal["viewer", "lead", "owner"]
OWN_ROLE = "you cannot give up your own lead role in this campaign. Ask another lead to change it."


class PersonOut(BaseModel):
    rater: str
    name: str
    email: str | None
    role: str | None = Field(description="Role in the whole studio.")
    created_at: str


class People(BaseModel):
    people: list[PersonOut]


class NewPerson(RequestBody):
    name: str = Field(max_length=500)
    email: str | None = Field(None, max_length=500)
    role: StudioRole | None = None


class PersonLink(BaseModel):
    person: PersonOut
    url: str = Field(description="A sign-in link for this person. It works once and is returned only here.")


class PersonRole(RequestBody):
    role: StudioRole | None
    was: StudioRole | None = Field(
        None, description="The role as you saw it. If somebody else has changed it, the answer is 409."
    )


class MemberOut(BaseModel):
    rater: str
    name: str
    email: str | None
    role: str
    paused: bool
    joined_at: str
    quota: int | None = Field(
        description="Most judgements that the member may make here; null for any number."
    )
    reserved: int = Field(description="Open judgements that are kept for the member.")


class Members(BaseModel):
    people: list[MemberOut]


class MemberChange(RequestBody):
    role: CampaignRole | None = None
    was: CampaignRole | None = Field(
        None, description="The role as you saw it. If somebody else has changed it, the answer is 409."
    )
    paused: bool | None = Field(
        None,
        description="A paused member gets no new assignments. Whatever they submit is still stored.",
    )
    quota: int | None = Field(None, description="Most judgements here; null for any number.")


class NewInvite(RequestBody):
    role: CampaignRole = "labeller"
    uses: int = Field(1, ge=1, le=MAX_USES, description="Number of people who can join with the link.")
    days: int = Field(7, ge=1, le=MAX_DAYS)


class NewStudioInvite(RequestBody):
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


class CreatedInvite(InviteOut):
    url: str = Field(description="Returned only here.")


class Invites(BaseModel):
    invites: list[InviteOut]


# ---------------------------------------------------------------- the whole studio


def list_people(database: Database) -> People:
    with database.read() as connection:
        return People(people=[_person_out(person) for person in people.list_all(connection)])


def add_person(
    database: Database, settings: Settings, viewer: Viewer, body: NewPerson, *, now: str
) -> PersonLink:
    with database.write() as connection:
        person = people.add(connection, name=body.name, email=body.email, role=body.role, by=viewer.rater)
        _, secret = credentials.create_invite(
            connection, role=None, person_id=person.id, by=viewer.rater, at=now
        )
    return PersonLink(person=_person_out(person), url=join_url(settings, secret))


def create_link(
    database: Database, settings: Settings, viewer: Viewer, rater: str, *, now: str
) -> PersonLink:
    if viewer.scopes is not None and rater == viewer.rater:
        raise NotAllowed(
            "a token cannot create a link to log in as its own person: a login outlives the token."
        )
    with database.write() as connection:
        person = people.get(connection, rater)
        _, secret = credentials.create_invite(
            connection, role=None, person_id=person.id, by=viewer.rater, at=now
        )
    return PersonLink(person=_person_out(person), url=join_url(settings, secret))


def set_studio_role(database: Database, viewer: Viewer, rater: str, body: PersonRole) -> PersonOut:
    with database.write() as connection:
        person = people.get(connection, rater)
        if "was" in body.model_fields_set:
            people.require_role(connection, person, was=body.was, wanted=body.role)
        if person.role in ("lead", "owner") and body.role != person.role:
            credentials.revoke_invites_of(connection, rater, by=viewer.rater)
        return _person_out(people.set_role(connection, person, body.role, by=viewer.rater))


def erase_person(
    database: Database, wrong_passwords: Limiter, viewer: Viewer, rater: str, body: Confirmation, *, now: str
) -> None:
    with database.read() as connection:
        person = people.get(connection, rater)
    if body.confirm.strip() not in (person.name, person.rater):
        raise Invalid({"confirm": f"must be the person's name: {person.name}"})
    account.confirm_person(database, wrong_passwords, viewer, body.current_password, now=now)
    with database.write() as connection:
        departures.give_up_items(connection, rater, by=viewer.rater)
        credentials.revoke_invites_of(connection, rater, by=viewer.rater)
        people.erase(connection, people.get(connection, rater), by=viewer.rater)
    people.scrub_erased(database)


# ---------------------------------------------------------------- members of a campaign


def list_members(database: Database, viewer: Viewer) -> Members:
    with database.read() as connection:
        rows = members.list_of_campaign(connection, viewer.campaign.id)
        reserved = reservations.counts(connection, viewer.campaign.id)
    return Members(people=[_member_out(member, reserved) for member in rows])


def anybody_labels(database: Database, viewer: Viewer) -> bool:
    """Whether the campaign has somebody besides its leads who may label."""
    with database.read() as connection:
        members_here = members.list_of_campaign(connection, viewer.campaign.id)
    return any(member.role in ("labeller", "adjudicator") and not member.paused for member in members_here)


def change_member(database: Database, viewer: Viewer, rater: str, body: MemberChange) -> MemberOut:
    if rater == viewer.rater and not viewer.leads_all and body.role not in (None, "lead"):
        raise Conflict(OWN_ROLE)
    campaign_id = viewer.campaign.id
    with database.write() as connection:
        member = members.get(connection, campaign_id, rater)
        leads = member.role == "lead"
        if body.role is not None and body.was is not None:
            members.require_role(connection, campaign_id, rater, was=body.was, wanted=body.role)
        if body.role is not None:
            member = members.set_role(connection, campaign_id, rater, body.role, by=viewer.rater)
            if leads and body.role != "lead":
                credentials.revoke_invites_of(connection, rater, campaign_id=campaign_id, by=viewer.rater)
            if body.role == "viewer":
                departures.give_up_items(connection, rater, by=viewer.rater, campaign_id=campaign_id)
        if body.paused is not None:
            member = members.set_paused(connection, campaign_id, rater, paused=body.paused, by=viewer.rater)
        if "quota" in body.model_fields_set:
            member = members.set_quota(connection, campaign_id, rater, body.quota, by=viewer.rater)
        reserved = reservations.counts(connection, campaign_id)
    return _member_out(member, reserved)


def remove_member(database: Database, viewer: Viewer, rater: str) -> None:
    if rater == viewer.rater and not viewer.leads_all:
        raise Conflict(OWN_ROLE)
    with database.write() as connection:
        members.remove(connection, viewer.campaign.id, rater, by=viewer.rater)
        departures.give_up_items(connection, rater, by=viewer.rater, campaign_id=viewer.campaign.id)
        credentials.revoke_invites_of(connection, rater, campaign_id=viewer.campaign.id, by=viewer.rater)


# ---------------------------------------------------------------- invites


def list_invites(database: Database, campaign_id: int | None, *, now: str) -> list[Invite]:
    """Invites into a campaign, or into the studio when `campaign_id` is None."""
    with database.read() as connection:
        return credentials.list_invites(connection, campaign_id, at=now)


def to_invites(invites: list[Invite]) -> Invites:
    return Invites(invites=[_invite_out(invite) for invite in invites])


def create_invite(
    database: Database,
    settings: Settings,
    viewer: Viewer,
    body: NewInvite | NewStudioInvite,
    *,
    campaign_id: int | None,
    now: str,
) -> CreatedInvite:
    with database.write() as connection:
        invite, secret = credentials.create_invite(
            connection,
            role=body.role,
            campaign_id=campaign_id,
            uses=body.uses,
            days=body.days,
            by=viewer.rater,
            at=now,
        )
    return CreatedInvite(**_invite_out(invite).model_dump(), url=join_url(settings, secret))


def revoke_invite(
    database: Database, viewer: Viewer, invite_id: int, *, campaign_id: int | None, now: str
) -> None:
    with database.write() as connection:
        credentials.revoke_invite(connection, invite_id, campaign_id, by=viewer.rater, at=now)


def inviter_names(database: Database, invites: list[Invite]) -> dict[str, str]:
    """Pseudonym -> name of everybody who created an invite."""
    with database.read() as connection:
        return people.names_of(connection, {invite.made_by for invite in invites})


def join_url(settings: Settings, secret: str) -> str:
    return f"{settings.origin}/join/{secret}"


def _person_out(person: Person) -> PersonOut:
    return PersonOut(**{name: getattr(person, name) for name in PersonOut.model_fields})


def _member_out(member: Member, reserved: Mapping[str, int]) -> MemberOut:
    return MemberOut(**vars(member), reserved=reserved.get(member.rater, 0))


def _invite_out(invite: Invite) -> InviteOut:
    return InviteOut(**{name: getattr(invite, name) for name in InviteOut.model_fields})
