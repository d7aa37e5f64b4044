"""The viewer's own account: profile, password, preferences, sessions, API tokens, and erasing the account."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel, Field
from sqlalchemy import Connection

from fairlead.labels import campaigns, credentials, departures, members, passwords, people, personal_data
from fairlead.labels.campaigns import Campaign
from fairlead.labels.credentials import MAX_DAYS, ApiToken
from fairlead.labels.errors import Invalid, NotAllowed
from fairlead.labels.members import Membership
from fairlead.labels.people import Person
from fairlead.studio import auth
from fairlead.studio.auth import NotSignedIn, Viewer
from fairlead.studio.limits import Limiter
from fairlead.studio.request_body import RequestBody
from fairlead.studio.state import Database

Scope = Literal["read", "label", "lead", "owner", "account"]


class CampaignMembership(BaseModel):
    slug: str
    name: str
    role: str
    paused: bool


class Me(BaseModel):
    rater: str
    name: str
    email: str | None
    role: str | None = Field(description="Role in the whole studio.")
    has_password: bool
    preferences: dict[str, Any]
    campaigns: list[CampaignMembership]
    csrf: str = Field(description="Value of the X-CSRF-Token header for a session; empty for a token.")


class AccountChange(RequestBody):
    name: str | None = Field(None, max_length=500)
    email: str | None = Field(None, max_length=500)
    password: str | None = Field(
        None, max_length=1000, description="The new password. Setting it ends all other sessions and tokens."
    )
    current_password: str | None = Field(
        None, max_length=1000, description="Required to change the password or the e-mail address."
    )


class Preferences(BaseModel):
    theme: Literal["light", "dark"] | None = None
    hand: Literal["left", "right"] | None = None
    keys: dict[str, str] | None = Field(None, description="Action of the labelling screen -> key.")
    daily_goal: int | None = Field(
        None, description="Judgements per day and campaign that the labeller aims for, 1 to 10,000."
    )


class NewToken(RequestBody):
    name: str = Field(max_length=200, description="What the token is used for.")
    scopes: list[Scope] = Field(min_length=1, max_length=10)
    days: int = Field(90, ge=1, le=MAX_DAYS)


class TokenOut(BaseModel):
    id: int
    name: str
    start: str
    scopes: list[str]
    created_at: str
    expires_at: str
    used_at: str | None


class CreatedToken(TokenOut):
    token: str = Field(description="Returned only here.")


class Tokens(BaseModel):
    tokens: list[TokenOut]


class Confirmation(RequestBody):
    confirm: str = Field(max_length=500, description="The person's name, to confirm.")
    current_password: str = Field(
        "", max_length=1000, description="The viewer's own password, if the viewer has one."
    )


@dataclass(frozen=True)
class AccountPage:
    person: Person
    tokens: list[ApiToken]
    places: list[tuple[Campaign, Membership]]


def get_me(database: Database, person_id: int, csrf: str) -> Me:
    with database.read() as connection:
        person = people.get_by_id(connection, person_id)
        memberships = members.list_of_person(connection, person_id)
        joined = campaigns.list_all(connection, ids=list(memberships))
    places = [
        CampaignMembership(
            slug=campaign.slug,
            name=campaign.name,
            role=memberships[campaign.id].role,
            paused=memberships[campaign.id].paused,
        )
        for campaign in joined
    ]
    return Me(
        rater=person.rater,
        name=person.name,
        email=person.email,
        role=person.role,
        has_password=person.has_password,
        preferences=person.preferences,
        campaigns=places,
        csrf=csrf,
    )


def get_me_of_session(database: Database, secret: str, *, now: str) -> Me:
    """The account that a session which has just started belongs to."""
    with database.read() as connection:
        session = credentials.find_session(connection, secret, at=now)
    assert session is not None, "the session has just been started"
    person_id, _ = session
    return get_me(database, person_id, auth.csrf_of(secret))


def get_page(database: Database, viewer: Viewer) -> AccountPage:
    with database.read() as connection:
        person = people.get_by_id(connection, viewer.person)
        return AccountPage(
            person=person,
            tokens=credentials.list_tokens(connection, person),
            places=[
                (campaign, viewer.memberships[campaign.id])
                for campaign in campaigns.list_all(connection, ids=list(viewer.memberships))
            ],
        )


def download_data(database: Database, viewer: Viewer) -> Iterator[bytes]:
    """A zip archive of everything that is kept about the viewer."""
    with database.read() as connection:
        person = people.get_by_id(connection, viewer.person)
    return personal_data.archive(database, person)


def log_out(database: Database, viewer: Viewer) -> None:
    with database.write() as connection:
        credentials.end_session(connection, viewer.secret)


def end_other_sessions(database: Database, viewer: Viewer) -> None:
    """End the person's other sessions, and revoke the tokens."""
    with database.write() as connection:
        _end_other_access(connection, people.get_by_id(connection, viewer.person), viewer)


def change_account(
    database: Database, wrong_passwords: Limiter, viewer: Viewer, body: AccountChange, *, now: str
) -> Me:
    """A new password or e-mail address requires the current password.

    The first password or address of an account without a password can only be set in a browser session.
    """
    with database.read() as connection:
        person = people.get_by_id(connection, viewer.person)
    changes_email = body.email is not None and (body.email.strip().lower() or None) != person.email
    if body.password is not None or changes_email:
        if person.has_password:
            _check_password(wrong_passwords, person, body.current_password or "", now=now)
        elif viewer.scopes is not None:
            raise NotAllowed(
                "the first password or e-mail address must be set in a browser, not with a token."
            )
    forbidden = (body.name or person.name, body.email or person.email)
    # Hashing is slow on purpose, so it happens before the write lock is taken.
    password = None if body.password is None else passwords.hash_password(body.password, forbidden=forbidden)
    with database.write() as connection:
        person = people.get_by_id(connection, viewer.person)
        people.change(connection, person, name=body.name, email=body.email, password=password)
        if password is not None:
            _end_other_access(connection, person, viewer)
    return get_me(database, viewer.person, viewer.csrf)


def set_preferences(database: Database, viewer: Viewer, body: Preferences) -> Me:
    """Null removes a preference.  Omitted preferences stay unchanged."""
    with database.write() as connection:
        person = people.get_by_id(connection, viewer.person)
        people.set_preferences(connection, person, body.model_dump(exclude_unset=True))
    return get_me(database, viewer.person, viewer.csrf)


def list_tokens(database: Database, viewer: Viewer) -> Tokens:
    with database.read() as connection:
        tokens = credentials.list_tokens(connection, people.get_by_id(connection, viewer.person))
    return Tokens(tokens=[_token_out(token) for token in tokens])


def create_token(database: Database, viewer: Viewer, body: NewToken, *, now: str) -> CreatedToken:
    """A token can create another token, with scopes that it has and until it expires itself."""
    if viewer.scopes is not None and (missing := set(body.scopes) - viewer.scopes):
        raise NotAllowed(
            f"this token does not have the scope {', '.join(sorted(missing))}, so it cannot grant it."
        )
    with database.write() as connection:
        person = people.get_by_id(connection, viewer.person)
        parent = None
        if viewer.scopes is not None:
            parent = credentials.find_token(connection, viewer.secret, at=now)
            if parent is None:
                raise NotSignedIn("this token is unknown or has expired.")
        token, secret = credentials.create_token(
            connection, person, name=body.name, scopes=body.scopes, days=body.days, parent=parent, at=now
        )
    return CreatedToken(**_token_out(token).model_dump(), token=secret)


def revoke_token(database: Database, viewer: Viewer, token_id: int) -> None:
    with database.write() as connection:
        credentials.revoke_token(connection, people.get_by_id(connection, viewer.person), token_id)


def erase_own_account(
    database: Database, wrong_passwords: Limiter, viewer: Viewer, body: Confirmation, *, now: str
) -> None:
    if body.confirm.strip() != viewer.name:
        raise Invalid({"confirm": f"must be your name as shown here: {viewer.name}"})
    confirm_person(database, wrong_passwords, viewer, body.current_password, now=now)
    with database.write() as connection:
        departures.give_up_items(connection, viewer.rater, by=viewer.rater)
        credentials.revoke_invites_of(connection, viewer.rater, by=viewer.rater)
        people.erase(connection, people.get_by_id(connection, viewer.person), by=viewer.rater)
    people.scrub_erased(database)


def confirm_person(
    database: Database, wrong_passwords: Limiter, viewer: Viewer, password: str, *, now: str
) -> None:
    """Before what cannot be undone: a stolen token or an open browser alone must not suffice.

    People without a password, who use single sign-on or a link, confirm in the browser.
    """
    with database.read() as connection:
        person = people.get_by_id(connection, viewer.person)
    if person.has_password:
        _check_password(wrong_passwords, person, password, now=now)
    elif viewer.scopes is not None:
        raise NotAllowed("without a password, an account must be deleted in a browser, not with a token.")


def _check_password(limiter: Limiter, person: Person, password: str, *, now: str) -> None:
    if not password:
        raise Invalid({"current_password": "is required"})
    limiter.begin(person.rater, now=now)
    with limiter.database.read() as connection:
        is_right = people.check_password(connection, person, password)
    if not is_right:
        raise Invalid({"current_password": "is not your password"})
    with limiter.database.write() as connection:
        limiter.succeeded(connection, person.rater)


def _end_other_access(connection: Connection, person: Person, viewer: Viewer) -> None:
    """End the sessions and the tokens of a person, except the one of this request."""
    credentials.end_sessions(connection, person, except_secret=viewer.secret)
    credentials.revoke_tokens(connection, person, except_secret=viewer.secret)
    credentials.revoke_personal_links(connection, person)


def _token_out(token: ApiToken) -> TokenOut:
    return TokenOut(
        id=token.id,
        name=token.name,
        start=token.start,
        scopes=sorted(token.scopes),
        created_at=token.created_at,
        expires_at=token.expires_at,
        used_at=token.used_at,
    )
