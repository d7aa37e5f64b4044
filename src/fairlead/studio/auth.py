"""Who is asking: a browser with a session cookie, or a program with a bearer token.

A visit prolongs a session, here and in the browser, and is written down once a day.

A cookie is sent by the browser whoever wrote the page, so what changes something also needs the session's CSRF token, in the header
`X-CSRF-Token` or a form's field `csrf`.  The token is computed from the session's secret and stored nowhere.  What may be asked without a
session (to log in) has to come from the studio's own pages.  A bearer token is sent on purpose and needs neither.
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

from fairlead.labels import access, members, people
from fairlead.labels.campaigns import Campaign
from fairlead.labels.database import format_time, parse_time
from fairlead.labels.errors import NotAllowed, StudioError
from fairlead.labels.members import Membership
from fairlead.studio import roles
from fairlead.studio.roles import Least
from fairlead.studio.settings import Settings
from fairlead.studio.state import Configured, Database, Time

COOKIE = "fairlead_session"
SAFE = ("GET", "HEAD", "OPTIONS")
FORMS = ("application/x-www-form-urlencoded", "multipart/form-data")

_bearer = HTTPBearer(
    auto_error=False, scheme_name="token", description="A token from the page /me; it begins with flt_."
)
_cookie = APIKeyCookie(
    name=COOKIE, auto_error=False, scheme_name="session", description="A browser that has logged in."
)


class NotSignedIn(StudioError):
    """Nobody has logged in, or no longer."""


class OutOfDate(NotAllowed):
    """The page is of a session that has ended: somebody has logged in anew."""


@dataclass(frozen=True)
class Viewer:
    """The person who sent the request.  `permissions.allow` sets `route_campaign` when the path names a campaign."""

    person: int
    rater: str
    name: str
    role: str | None  # in the whole studio: viewer, lead, owner or nothing
    memberships: dict[int, Membership]  # by campaign
    preferences: dict[str, Any]
    scopes: frozenset[str] | None  # of the token; None for a browser, which may all that its person may
    csrf: str = field(repr=False)  # empty for a token
    secret: str = field(repr=False)  # of the session or token
    ends_at: str  # which does
    route_campaign: Campaign | None = None

    @property
    def campaign(self) -> Campaign:
        """The campaign in the route's path; only for routes that have one."""
        assert self.route_campaign is not None, "the route has no {slug} in its path"
        return self.route_campaign

    @property
    def paused(self) -> bool:
        """In this campaign: no new tasks, but what is sent is kept."""
        held = self.memberships.get(self.campaign.id)
        return held is not None and held.paused and not self.leads_all

    @property
    def leads_all(self) -> bool:
        """In the whole studio, so that nothing hangs on their role in a campaign."""
        return roles.suffices(self.role, "lead")

    def roles_in(self, campaign_id: int) -> list[str]:
        """What they are in the studio and what they are in the campaign."""
        held = self.memberships.get(campaign_id)
        return [role for role in (self.role, held.role if held else None) if role is not None]

    def may(self, least: Least, campaign_id: int | None = None) -> bool:
        """In that campaign; without one, anywhere."""
        if least == "person":
            return True
        if campaign_id is not None:
            return any(roles.suffices(role, least) for role in self.roles_in(campaign_id))
        held = [self.role, *(membership.role for membership in self.memberships.values())]
        return any(roles.suffices(role, least) for role in held)


def viewer(
    request: Request,
    database: Database,
    settings: Configured,
    at: Time,
    bearer: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)],
    cookie: Annotated[str | None, Depends(_cookie)],
) -> Viewer | None:
    """None where nobody has logged in.  A token that is no good is refused and does not fall back on a cookie."""
    if bearer is not None:
        return _by_token(database, bearer.credentials, at)
    found = _by_cookie(database, cookie, at) if cookie else None
    if found is not None and _prolonged(database, found, days=settings.session_days, at=at):
        request.state.prolonged = found.secret
    return found


def again(one: Viewer, database: Database, at: str) -> Viewer | None:
    """The same as things stand now, for what lasts longer than a request; None when the session or the token has ended."""
    try:
        return (
            _by_cookie(database, one.secret, at)
            if one.scopes is None
            else _by_token(database, one.secret, at)
        )
    except NotSignedIn:
        return None


def is_lead(scope: Scope) -> bool:
    """Whether a lead asks, for what has to be known before a request is read."""
    request = Request(scope)
    database, at = request.app.state.database, request.app.state.clock()
    kind, _, secret = request.headers.get("authorization", "").partition(" ")
    try:
        found = (
            _by_token(database, secret, at)
            if kind.lower() == "bearer"
            else _by_cookie(database, request.cookies.get(COOKIE, ""), at)
        )
    except NotSignedIn:
        return False
    return found is not None and found.may("lead")


class Renews:
    """Where a visit prolonged a session, its cookie is sent again, whatever the route answers."""

    def __init__(self, app: ASGIApp, *, settings: Settings) -> None:
        self._app, self._settings = app, settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        state = scope.setdefault("state", {})

        async def with_cookie(message: Message) -> None:
            if message["type"] == "http.response.start" and "prolonged" in state:
                headers, made = MutableHeaders(scope=message), Response()
                if "set-cookie" not in headers:  # of somebody who logs out
                    sign_in(made, self._settings, state["prolonged"])
                    headers["set-cookie"] = made.headers["set-cookie"]
            await send(message)

        await self._app(scope, receive, with_cookie)


async def csrf_given(request: Request) -> str:
    if request.method in SAFE:
        return ""
    given = request.headers.get("x-csrf-token", "")
    if not given and request.headers.get("content-type", "").partition(";")[0].strip().lower() in FORMS:
        given = str((await request.form()).get("csrf", ""))
    return given


def check_csrf(request: Request, one: Viewer | None, given: str) -> None:
    """Raises NotAllowed where a change was not asked for by a page of the studio."""
    if request.method in SAFE or (one is not None and one.scopes is not None):
        return
    if not same_origin(request):
        raise NotAllowed("this was sent by another site, and is refused.")
    if one is not None and not hmac.compare_digest(given.encode(), one.csrf.encode()):
        raise OutOfDate("the page is out of date: load it again. (The CSRF token is missing or wrong.)")


def same_origin(request: Request) -> bool:
    """What a browser says about where a request comes from; programs that are no browsers say nothing."""
    if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        return False
    origin = request.headers.get("origin")
    if origin is None:
        return True
    settings: Settings = request.app.state.settings
    asked = urlsplit(origin).netloc
    return asked == request.url.netloc or (
        settings.public_url is not None and asked == urlsplit(settings.origin).netloc
    )


def csrf_of(secret: str) -> str:
    return hmac.new(secret.encode(), b"csrf", hashlib.sha256).hexdigest()


def sign_in(response: Response, settings: Settings, secret: str) -> None:
    response.set_cookie(
        COOKIE,
        secret,
        max_age=settings.session_days * 86_400,
        path="/",
        secure=settings.secure,
        httponly=True,
        samesite="lax",
    )


def sign_out(response: Response, settings: Settings) -> None:
    response.delete_cookie(COOKIE, path="/", secure=settings.secure, httponly=True, samesite="lax")


def _prolonged(database: Database, one: Viewer, *, days: int, at: str) -> bool:
    if parse_time(one.ends_at) >= parse_time(at) + timedelta(days=days - 1):
        return False
    with database.write() as connection:
        access.extend_session(connection, one.secret, days=days, at=at)
    return True


def _by_cookie(database: Database, secret: str, at: str) -> Viewer | None:
    with database.read() as connection:
        found = access.find_session(connection, secret, at=at)
        return None if found is None else _viewer(connection, *found, None, secret)


def _by_token(database: Database, secret: str, at: str) -> Viewer:
    with database.read() as connection:
        token = access.find_token(connection, secret, at=at)
        if token is None:
            raise NotSignedIn("this token is not known, or has expired.")
        found = _viewer(connection, token.person_id, token.expires_at, token.scopes, secret)
    if token.used_at is None or token.used_at < format_time(parse_time(at) - timedelta(hours=1)):
        with database.write() as connection:
            access.touch_token(connection, token, at=at)
    return found


def _viewer(
    connection: Connection, person_id: int, ends_at: str, scopes: frozenset[str] | None, secret: str
) -> Viewer:
    one, memberships = people.get_by_id(connection, person_id), members.list_of_person(connection, person_id)
    csrf = csrf_of(secret) if scopes is None else ""
    return Viewer(
        person_id, one.rater, one.name, one.role, memberships, one.preferences, scopes, csrf, secret, ends_at
    )
