"""Authentication: a browser with a session cookie, or a program with a bearer token.

A visit extends the session.  The extension is written to the database at most once a day.

Browsers send cookies with requests from any site.  A request that changes something therefore also needs
the session's CSRF token, in the header `X-CSRF-Token` or the form field `csrf`.  The token is derived from
the session's secret and not stored.  Requests that change something without a session, such as signing in,
must come from the studio's own pages. Bearer tokens are never sent automatically, so they need no CSRF
token.
"""

import hashlib
import hmac
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Annotated, Any
from urllib.parse import urlsplit

from fastapi import Depends, Request, Response
from fastapi.security import APIKeyCookie, HTTPAuthorizationCredentials, HTTPBearer
from sqlalchemy import Connection
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fairlead.labels import credentials, members, people
from fairlead.labels.campaigns import Campaign
from fairlead.labels.database import format_time, parse_time
from fairlead.labels.errors import NotAllowed, StudioError
from fairlead.labels.members import Membership
from fairlead.studio import roles
from fairlead.studio.roles import Least
from fairlead.studio.settings import Settings
from fairlead.studio.state import Configured, Database, Time

COOKIE = "fairlead_session"
SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
FORM_TYPES = ("application/x-www-form-urlencoded", "multipart/form-data")
DAY_S = 86_400

_bearer = HTTPBearer(
    auto_error=False, scheme_name="token", description="A token from the page /me. It starts with flt_."
)
_cookie = APIKeyCookie(
    name=COOKIE, auto_error=False, scheme_name="session", description="The cookie of a signed-in browser."
)


class NotSignedIn(StudioError):
    """The request has no valid session or token."""


class OutOfDate(NotAllowed):
    """The page belongs to a session that has ended."""


@dataclass(frozen=True)
class Viewer:
    """The person who sent the request.

    `permissions.allow` sets `route_campaign` when the path names a campaign.
    """

    person: int
    rater: str
    name: str
    role: str | None  # in the whole studio: viewer, lead, owner or None
    memberships: dict[int, Membership]  # by campaign id
    preferences: dict[str, Any]
    scopes: frozenset[str] | None  # of the token; None for a browser, which may do whatever its person may
    csrf: str = field(repr=False)  # empty for a token
    secret: str = field(repr=False)  # of the session or the token
    ends_at: str  # when the session or the token expires
    route_campaign: Campaign | None = None

    @property
    def campaign(self) -> Campaign:
        """The campaign in the route's path; only for routes that have one."""
        assert self.route_campaign is not None, "the route has no {slug} in its path"
        return self.route_campaign

    @property
    def paused(self) -> bool:
        """Whether the viewer gets no new assignments in this campaign.  Their judgements are still stored."""
        membership = self.memberships.get(self.campaign.id)
        return membership is not None and membership.paused and not self.leads_all

    @property
    def leads_all(self) -> bool:
        """Whether the viewer leads every campaign, whatever their role in it."""
        return roles.suffices(self.role, "lead")

    def roles_in(self, campaign_id: int) -> list[str]:
        """The viewer's role in the studio and their role in the campaign, where they have one."""
        membership = self.memberships.get(campaign_id)
        return [role for role in (self.role, membership.role if membership else None) if role is not None]

    def may(self, least: Least, campaign_id: int | None = None) -> bool:
        """Whether the viewer has the role in the campaign, or in any campaign when None."""
        if least == "person":
            return True
        held = self.roles_in(campaign_id) if campaign_id is not None else self._all_roles()
        if least == "unblinded" and campaign_id is not None and roles.is_blind(held):
            return False
        return any(roles.suffices(role, least) for role in held)

    def _all_roles(self) -> list[str]:
        all_roles = [self.role, *(membership.role for membership in self.memberships.values())]
        return [role for role in all_roles if role is not None]


def find_viewer(
    request: Request,
    database: Database,
    settings: Configured,
    now: Time,
    bearer: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)],
    cookie: Annotated[str | None, Depends(_cookie)],
) -> Viewer | None:
    """None without a session.

    Raises NotSignedIn for an invalid token instead of falling back to a cookie.
    """
    if bearer is not None:
        return _by_token(database, bearer.credentials, now)
    viewer = _by_cookie(database, cookie, now) if cookie else None
    if viewer is not None and _extend_session(database, viewer, days=settings.session_days, now=now):
        request.state.extended_session = viewer.secret
    return viewer


def refresh(viewer: Viewer, database: Database, now: str) -> Viewer | None:
    """Read the viewer again, for streams that outlive a request.

    None when the session or the token has ended.
    """
    try:
        if viewer.scopes is None:
            return _by_cookie(database, viewer.secret, now)
        return _by_token(database, viewer.secret, now)
    except NotSignedIn:
        return None


def lead_of(scope: Scope) -> str | None:
    """The lead who sent the request, or None.  Used before the body of the request is read."""
    request = Request(scope)
    database = request.app.state.database
    now = request.app.state.clock()
    kind, _, secret = request.headers.get("authorization", "").partition(" ")
    try:
        if kind.lower() == "bearer":
            viewer: Viewer | None = _by_token(database, secret, now)
        else:
            viewer = _by_cookie(database, request.cookies.get(COOKIE, ""), now)
    except NotSignedIn:
        return None
    return viewer.rater if viewer is not None and viewer.may("lead") else None


class RenewCookie:
    """Middleware that sends the cookie again when the request has extended its session."""

    def __init__(self, app: ASGIApp, *, settings: Settings) -> None:
        self._app = app
        self._settings = settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        state = scope.setdefault("state", {})

        async def send_with_cookie(message: Message) -> None:
            if message["type"] == "http.response.start" and "extended_session" in state:
                headers = MutableHeaders(scope=message)
                if "set-cookie" not in headers:  # signing out deletes the cookie
                    renewed = Response()
                    set_session_cookie(renewed, self._settings, state["extended_session"])
                    headers["set-cookie"] = renewed.headers["set-cookie"]
            await send(message)

        await self._app(scope, receive, send_with_cookie)


async def read_csrf_token(request: Request) -> str:
    if request.method in SAFE_METHODS:
        return ""
    token = request.headers.get("x-csrf-token", "")
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if not token and content_type in FORM_TYPES:
        token = str((await request.form()).get("csrf", ""))
    return token


def check_csrf(request: Request, viewer: Viewer | None, csrf_token: str) -> None:
    """Raises NotAllowed when a request that changes something does not come from a page of the studio."""
    if request.method in SAFE_METHODS or (viewer is not None and viewer.scopes is not None):
        return
    if not same_origin(request):
        raise NotAllowed(_another_site(request))
    if viewer is not None and not hmac.compare_digest(csrf_token.encode(), viewer.csrf.encode()):
        raise OutOfDate(
            "this page is from before your last log-in: reload it. (The CSRF token is missing or wrong.)"
        )


def same_origin(request: Request) -> bool:
    """What the browser says about the request's origin.

    Clients that are no browsers say nothing and pass.
    """
    if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        return False
    origin = request.headers.get("origin")
    if origin is None:
        return True
    settings: Settings = request.app.state.settings
    sender = urlsplit(origin).netloc
    return sender == request.url.netloc or (
        settings.public_url is not None and sender == urlsplit(settings.origin).netloc
    )


def _another_site(request: Request) -> str:
    """Why a request of another origin is refused.  Behind a proxy it may be the studio's own."""
    message = "this request was sent by another site, so it is refused."
    origin = urlsplit(request.headers.get("origin", ""))
    if origin.scheme not in ("http", "https") or not origin.netloc:
        return message
    sender = f"{origin.scheme}://{origin.netloc}"[:200]
    settings: Settings = request.app.state.settings
    return (
        f"{message} It came from {sender}, and the studio's address is {settings.origin}. If {sender} is a "
        f"proxy in front of the studio, start the studio with --public-url {sender}."
    )


def csrf_of(secret: str) -> str:
    return hmac.new(secret.encode(), b"csrf", hashlib.sha256).hexdigest()


def set_session_cookie(response: Response, settings: Settings, secret: str) -> None:
    response.set_cookie(
        COOKIE,
        secret,
        max_age=settings.session_days * DAY_S,
        path=settings.path or "/",
        secure=settings.secure,
        httponly=True,
        samesite="lax",
    )


def delete_session_cookie(response: Response, settings: Settings) -> None:
    response.delete_cookie(
        COOKIE, path=settings.path or "/", secure=settings.secure, httponly=True, samesite="lax"
    )


def _extend_session(database: Database, viewer: Viewer, *, days: int, now: str) -> bool:
    """Extend the session unless that was done within the last day.  Returns whether it was extended."""
    if parse_time(viewer.ends_at) >= parse_time(now) + timedelta(days=days - 1):
        return False
    with database.write() as connection:
        credentials.extend_session(connection, viewer.secret, days=days, at=now)
    return True


def _by_cookie(database: Database, secret: str, now: str) -> Viewer | None:
    with database.read() as connection:
        session = credentials.find_session(connection, secret, at=now)
        if session is None:
            return None
        person_id, ends_at = session
        return _viewer(connection, person_id, secret=secret, ends_at=ends_at, scopes=None)


def _by_token(database: Database, secret: str, now: str) -> Viewer:
    with database.read() as connection:
        token = credentials.find_token(connection, secret, at=now)
        if token is None:
            raise NotSignedIn("this token is unknown or has expired.")
        viewer = _viewer(
            connection, token.person_id, secret=secret, ends_at=token.expires_at, scopes=token.scopes
        )
    if token.used_at is None or token.used_at < format_time(parse_time(now) - timedelta(hours=1)):
        with database.write() as connection:
            credentials.touch_token(connection, token, at=now)
    return viewer


def _viewer(
    connection: Connection, person_id: int, *, secret: str, ends_at: str, scopes: frozenset[str] | None
) -> Viewer:
    person = people.get_by_id(connection, person_id)
    return Viewer(
        person=person_id,
        rater=person.rater,
        name=person.name,
        role=person.role,
        memberships=members.list_of_person(connection, person_id),
        preferences=person.preferences,
        scopes=scopes,
        csrf=csrf_of(secret) if scopes is None else "",
        secret=secret,
        ends_at=ends_at,
    )
