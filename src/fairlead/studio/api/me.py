"""One's own account: logging in and out, name and password, preferences, tokens, and leaving for good."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Request, Response
from pydantic import BaseModel, Field

from fairlead.labels import access, campaigns, members, passwords, people
from fairlead.labels.access import MAX_DAYS, ApiToken
from fairlead.labels.errors import Invalid, NotAllowed
from fairlead.studio import auth, entry
from fairlead.studio.limits import Limiter
from fairlead.studio.permissions import Anyone, Person
from fairlead.studio.state import Configured, Database, Time

router = APIRouter(tags=["me"])

Id = Annotated[int, Path(ge=1, le=2**31 - 1)]


class LogIn(BaseModel):
    email: str = Field(max_length=254)
    password: str = Field(max_length=1000)


class Join(BaseModel):
    secret: str = Field(max_length=100, description="The last part of the link.")
    name: str = Field(
        "", max_length=500, description="How leads see you; not needed by somebody who has logged in."
    )
    email: str = Field("", max_length=500)
    password: str = Field("", max_length=1000)
    agree: bool = Field(False, description="To what the page of the link says about what is kept.")


class Place(BaseModel):
    slug: str
    name: str
    role: str
    paused: bool


class Me(BaseModel):
    rater: str
    name: str
    email: str | None
    role: str | None = Field(description="In the whole studio.")
    has_password: bool
    preferences: dict[str, Any]
    campaigns: list[Place]
    csrf: str = Field(description="For the header X-CSRF-Token of a session; empty for a token.")


class Change(BaseModel):
    name: str | None = Field(None, max_length=500)
    email: str | None = Field(None, max_length=500)
    password: str | None = Field(None, max_length=1000, description="The new one; all other sessions end.")
    current_password: str | None = Field(
        None, max_length=1000, description="Needed for a new password or address."
    )


class Preferences(BaseModel):
    theme: Literal["light", "dark"] | None = None
    hand: Literal["left", "right"] | None = None
    keys: dict[str, str] | None = Field(None, description="Action of the labelling screen -> key.")
    daily_goal: int | None = Field(
        None, description="Judgements a day that one wants to make in a campaign, 1 to 10,000."
    )


Scope = Literal["read", "label", "lead", "owner", "account"]


class NewToken(BaseModel):
    name: str = Field(max_length=200, description="What it is for.")
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


class MadeToken(TokenOut):
    token: str = Field(description="Shown this once.")


class Tokens(BaseModel):
    tokens: list[TokenOut]


class Confirm(BaseModel):
    confirm: str = Field(max_length=500, description="The person's name, as it is written here.")


@router.post("/session")
def log_in(
    request: Request,
    response: Response,
    body: LogIn,
    viewer: Anyone,
    database: Database,
    settings: Configured,
    at: Time,
) -> Me:
    secret = entry.log_in(
        request, database, email=body.email, password=body.password, days=settings.session_days, at=at
    )
    auth.sign_in(response, settings, secret)
    return _after_entry(database, secret, at)


@router.post("/join")
def join(
    request: Request,
    response: Response,
    body: Join,
    viewer: Anyone,
    database: Database,
    settings: Configured,
    at: Time,
) -> Me:
    """Use a link that invites. Whoever has logged in joins as themselves."""
    given = body.model_dump(exclude={"secret"})
    secret = entry.join(request, database, body.secret, viewer, **given, days=settings.session_days, at=at)
    if secret is None:
        assert viewer is not None
        return _me(database, viewer.person, viewer.csrf)
    auth.sign_in(response, settings, secret)
    return _after_entry(database, secret, at)


@router.delete("/session", status_code=204)
def log_out(response: Response, viewer: Person, database: Database, settings: Configured) -> None:
    with database.write() as connection:
        access.end_session(connection, viewer.secret)
    auth.sign_out(response, settings)


@router.delete("/me/sessions", status_code=204)
def end_other_sessions(viewer: Person, database: Database) -> None:
    """Log out everywhere but here."""
    with database.write() as connection:
        access.end_sessions(
            connection, people.get_by_id(connection, viewer.person), except_secret=viewer.secret
        )


@router.get("/me")
def me(viewer: Person, database: Database) -> Me:
    return _me(database, viewer.person, viewer.csrf)


@router.patch("/me")
def change(request: Request, body: Change, viewer: Person, database: Database) -> Me:
    with database.read() as connection:
        one = people.get_by_id(connection, viewer.person)
    if body.password is not None or (
        body.email is not None and (body.email.strip().lower() or None) != one.email
    ):
        if one.has_password:
            _check_password(request, database, one, body.current_password)
        elif viewer.scopes is not None:
            raise NotAllowed("a first password or address is set in a browser and not with a token.")
    not_these = (body.name or one.name, body.email or one.email)
    chosen = None if body.password is None else passwords.hash_password(body.password, forbidden=not_these)
    with database.write() as connection:
        one = people.get_by_id(connection, viewer.person)
        people.change(connection, one, name=body.name, email=body.email, password=chosen)
        if chosen is not None:
            access.end_sessions(connection, one, except_secret=viewer.secret)
    return _me(database, viewer.person, viewer.csrf)


@router.put("/me/preferences")
def prefer(body: Preferences, viewer: Person, database: Database) -> Me:
    """What is sent is changed; null takes a preference away; what is not sent stays."""
    with database.write() as connection:
        people.set_preferences(
            connection, people.get_by_id(connection, viewer.person), body.model_dump(exclude_unset=True)
        )
    return _me(database, viewer.person, viewer.csrf)


@router.get("/me/tokens")
def tokens(viewer: Person, database: Database) -> Tokens:
    with database.read() as connection:
        return Tokens(
            tokens=[
                _token(one)
                for one in access.list_tokens(connection, people.get_by_id(connection, viewer.person))
            ]
        )


@router.post("/me/tokens", status_code=201)
def make_token(body: NewToken, viewer: Person, database: Database, at: Time) -> MadeToken:
    """A token can make others, but none that may more than itself."""
    if viewer.scopes is not None and (beyond := set(body.scopes) - viewer.scopes):
        raise NotAllowed(f"this token has no scope {', '.join(sorted(beyond))} to give.")
    with database.write() as connection:
        one = people.get_by_id(connection, viewer.person)
        token, text = access.create_token(
            connection, one, name=body.name, scopes=body.scopes, days=body.days, at=at
        )
    return MadeToken(**_token(token).model_dump(), token=text)


@router.delete("/me/tokens/{token_id}", status_code=204)
def revoke_token(token_id: Id, viewer: Person, database: Database) -> None:
    with database.write() as connection:
        access.revoke_token(connection, people.get_by_id(connection, viewer.person), token_id)


@router.post("/me/erase", status_code=204)
def erase_me(
    response: Response, body: Confirm, viewer: Person, database: Database, settings: Configured
) -> None:
    """Your name, address, sessions, tokens and drafts are deleted; what you judged stays, and nothing says that it was you."""
    if body.confirm.strip() != viewer.name:
        raise Invalid({"confirm": f"has to be your name as it is written here: {viewer.name}"})
    with database.write() as connection:
        people.erase(connection, people.get_by_id(connection, viewer.person), by=viewer.rater)
    people.scrub_erased(database)
    auth.sign_out(response, settings)


def _check_password(request: Request, database: Database, one: people.Person, password: str | None) -> None:
    limiter: Limiter = request.app.state.wrong_passwords
    limiter.check(one.rater)
    with database.read() as connection:
        right = people.check_password(connection, one, password or "")
    if not right:
        limiter.failed(one.rater)
        raise Invalid({"current_password": "is not your password"})


def _after_entry(database: Database, secret: str, at: str) -> Me:
    with database.read() as connection:
        found = access.find_session(connection, secret, at=at)
    assert found is not None
    return _me(database, found[0], auth.csrf_of(secret))


def _me(database: Database, person_id: int, csrf: str) -> Me:
    with database.read() as connection:
        one = people.get_by_id(connection, person_id)
        held = members.list_of_person(connection, person_id)
        places = [
            Place(slug=each.slug, name=each.name, role=held[each.id].role, paused=held[each.id].paused)
            for each in campaigns.list_all(connection, ids=list(held))
        ]
    return Me(
        rater=one.rater, name=one.name, email=one.email, role=one.role, has_password=one.has_password, preferences=one.preferences,
        campaigns=places, csrf=csrf,
    )  # fmt: skip


def _token(one: ApiToken) -> TokenOut:
    return TokenOut(
        id=one.id, name=one.name, start=one.start, scopes=sorted(one.scopes), created_at=one.created_at, expires_at=one.expires_at,
        used_at=one.used_at,
    )  # fmt: skip
