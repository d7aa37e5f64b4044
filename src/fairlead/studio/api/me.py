"""API routes of the viewer's account: signing in and out, profile, preferences, tokens, erasure."""

from typing import Annotated

from fastapi import APIRouter, Path, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import Field

from fairlead.labels import personal_data
from fairlead.studio import auth
from fairlead.studio.access_control import Anyone, Person
from fairlead.studio.entry import SignInAttempt
from fairlead.studio.request_body import RequestBody
from fairlead.studio.services import account, sign_in
from fairlead.studio.services.account import (
    AccountChange,
    Confirmation,
    CreatedToken,
    Me,
    NewToken,
    Preferences,
    Tokens,
)
from fairlead.studio.services.sign_in import Newcomer
from fairlead.studio.state import Configured, Database, Time

router = APIRouter(tags=["me"])

Id = Annotated[int, Path(ge=1, le=2**31 - 1)]


class LogIn(RequestBody):
    email: str = Field(max_length=254)
    password: str = Field(max_length=1000)


class Join(RequestBody):
    secret: str = Field(max_length=100, description="The last part of the invite link.")
    name: str = Field(
        "", max_length=500, description="The name that leads see. Not needed when you are signed in."
    )
    email: str = Field("", max_length=500)
    password: str = Field("", max_length=1000)
    agree: bool = Field(
        False, description="Consent to what the page of the link says about the data that is stored."
    )


@router.post("/session")
def log_in(
    response: Response,
    body: LogIn,
    viewer: Anyone,
    attempt: SignInAttempt,
    database: Database,
    settings: Configured,
    now: Time,
) -> Me:
    """Start a session with an e-mail address and a password."""
    secret = sign_in.log_in(attempt, email=body.email, password=body.password)
    auth.set_session_cookie(response, settings, secret)
    return account.get_me_of_session(database, secret, now=now)


@router.post("/join")
def join(
    response: Response,
    body: Join,
    viewer: Anyone,
    attempt: SignInAttempt,
    database: Database,
    settings: Configured,
    now: Time,
) -> Me:
    """Use an invite link.  A signed-in person joins with their own account."""
    newcomer = Newcomer(**body.model_dump(exclude={"secret"}))
    secret = sign_in.join(attempt, body.secret, viewer, newcomer)
    if secret is None:
        assert viewer is not None, "a viewer without a session gets a new one"
        return account.get_me(database, viewer.person, viewer.csrf)
    auth.set_session_cookie(response, settings, secret)
    return account.get_me_of_session(database, secret, now=now)


@router.delete("/session", status_code=204)
def log_out(response: Response, viewer: Person, database: Database, settings: Configured) -> None:
    """End this session."""
    account.log_out(database, viewer)
    auth.delete_session_cookie(response, settings)


@router.delete("/me/sessions", status_code=204)
def end_other_sessions(viewer: Person, database: Database) -> None:
    """End all sessions but this one, and revoke all API tokens."""
    account.end_other_sessions(database, viewer)


@router.get("/me", name="me")
def get_me(viewer: Person, database: Database) -> Me:
    """The viewer's account."""
    return account.get_me(database, viewer.person, viewer.csrf)


@router.patch("/me", name="change")
def change_account(
    request: Request, body: AccountChange, viewer: Person, database: Database, now: Time
) -> Me:
    """Change the name, the e-mail address or the password."""
    return account.change_account(database, request.app.state.wrong_passwords, viewer, body, now=now)


@router.put("/me/preferences", name="prefer")
def set_preferences(body: Preferences, viewer: Person, database: Database) -> Me:
    """Set preferences.  Null removes a preference, and omitted preferences stay unchanged."""
    return account.set_preferences(database, viewer, body)


@router.get("/me/data", response_class=StreamingResponse, name="data")
def download_data(viewer: Person, database: Database) -> StreamingResponse:
    """Download everything that is kept about the viewer: a zip archive of JSON files, without secrets."""
    headers = {"Content-Disposition": f'attachment; filename="fairlead-{viewer.rater}.zip"'}
    parts = account.download_data(database, viewer)
    return StreamingResponse(parts, media_type=personal_data.MEDIA_TYPE, headers=headers)


@router.get("/me/tokens", name="tokens")
def list_tokens(viewer: Person, database: Database) -> Tokens:
    """The viewer's API tokens."""
    return account.list_tokens(database, viewer)


@router.post("/me/tokens", status_code=201, name="make_token")
def create_token(body: NewToken, viewer: Person, database: Database, now: Time) -> CreatedToken:
    """Create an API token.

    A token can create tokens with a subset of its own scopes.  They expire and are revoked with it.
    """
    return account.create_token(database, viewer, body, now=now)


@router.delete("/me/tokens/{token_id}", status_code=204)
def revoke_token(token_id: Id, viewer: Person, database: Database) -> None:
    """Revoke an API token."""
    account.revoke_token(database, viewer, token_id)


@router.post("/me/erase", status_code=204)
def erase_me(
    request: Request,
    response: Response,
    body: Confirmation,
    viewer: Person,
    database: Database,
    settings: Configured,
    now: Time,
) -> None:
    """Delete the viewer's name, address, sessions, tokens and drafts.  This cannot be undone.

    Their judgements stay, and nothing tells whose they are.
    """
    account.erase_own_account(database, request.app.state.wrong_passwords, viewer, body, now=now)
    auth.delete_session_cookie(response, settings)
