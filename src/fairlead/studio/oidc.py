"""Logging in at an OpenID Connect provider: the authorisation code flow with PKCE, state and nonce.  Needs the extra `oidc`.

Who comes back is known by issuer and subject.  The first time they are found by an e-mail address that the provider has verified and an
owner has entered, or they come with a link that invites; anybody else is refused, however well the provider knows them.
"""

import base64
import binascii
import hmac
import json
import secrets
import threading
import time
from dataclasses import asdict, dataclass
from typing import Any
from urllib.parse import urlencode

import httpx
from authlib.oauth2.rfc7636 import create_s256_code_challenge
from authlib.oidc.core import CodeIDToken
from fastapi import APIRouter, Request, Response
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet
from starlette.responses import RedirectResponse

from fairlead.labels import access, people
from fairlead.labels.database import Database as Opened
from fairlead.labels.errors import NotAllowed, StudioError
from fairlead.studio import auth, entry
from fairlead.studio.pages.entry import own_path
from fairlead.studio.permissions import Anyone
from fairlead.studio.settings import Oidc, Settings
from fairlead.studio.state import Configured, Database, Time

COOKIE = "fairlead_oidc"
PATH = "/oidc"
LASTS_S = 600  # from here to the provider and back
KNOWN_S = 3600  # for which what the provider says about itself is kept
LEEWAY_S = 60  # between its clock and ours
TIMEOUT_S = 10.0
ALGORITHMS = [
    "RS256",
    "RS384",
    "RS512",
    "PS256",
    "PS384",
    "PS512",
    "ES256",
    "ES384",
    "ES512",
    "EdDSA",
]  # with the provider's own key


@dataclass(frozen=True)
class Trip:
    """What the browser keeps, out of reach of scripts, while it is at the provider."""

    state: str
    nonce: str
    verifier: str
    next: str
    invite: str


@dataclass(frozen=True)
class Somebody:
    subject: str  # issuer and subject
    name: str
    email: str | None  # verified by the provider


class Provider:
    """What has to be asked of the provider over the network."""

    def __init__(self, config: Oidc) -> None:
        self._config = config
        self._lock = threading.Lock()
        self._known: tuple[float, dict[str, Any], KeySet] | None = None

    def address(self, trip: Trip, back: str) -> str:
        """Where the browser goes to log in."""
        metadata, _ = self._metadata()
        asked = {
            "response_type": "code", "client_id": self._config.client_id, "redirect_uri": back, "scope": "openid email profile",
            "state": trip.state, "nonce": trip.nonce, "code_challenge": create_s256_code_challenge(trip.verifier),
            "code_challenge_method": "S256",
        }  # fmt: skip
        start = str(metadata["authorization_endpoint"])
        return f"{start}{'&' if '?' in start else '?'}{urlencode(asked)}"

    def somebody(self, trip: Trip, code: str, back: str) -> Somebody:
        """Who logged in there, once the provider has confirmed the code and its token has been checked."""
        metadata, keys = self._metadata()
        given = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": back,
            "code_verifier": trip.verifier,
        }
        answer = self._ask(
            "POST",
            str(metadata["token_endpoint"]),
            data=given,
            auth=(self._config.client_id, self._config.client_secret),
        )
        text = answer.get("id_token")
        if not isinstance(text, str):
            raise StudioError(f"{self._config.name} confirmed nobody. Try again.")
        try:
            token = jwt.decode(text, keys, algorithms=ALGORITHMS)
            options = {"iss": {"essential": True, "value": self._config.issuer}}
            params = {
                "nonce": trip.nonce,
                "client_id": self._config.client_id,
                "access_token": answer.get("access_token"),
            }
            claims = CodeIDToken(token.claims, token.header, options, params)
            claims.validate(leeway=LEEWAY_S)
        except (JoseError, ValueError):
            with self._lock:
                self._known = None  # its keys may have changed
            raise StudioError(f"the answer of {self._config.name} is not to be trusted. Try again.") from None
        email = claims.get("email") if claims.get("email_verified") is True else None
        name = claims.get("name") or claims.get("preferred_username") or email or "Somebody"
        return Somebody(f"{self._config.issuer}|{claims['sub']}", str(name)[: people.LONGEST_NAME], email)

    def _metadata(self) -> tuple[dict[str, Any], KeySet]:
        with self._lock:
            if self._known is None or time.monotonic() - self._known[0] > KNOWN_S:
                found = self._ask(
                    "GET", f"{self._config.issuer.rstrip('/')}/.well-known/openid-configuration"
                )
                if found.get("issuer") != self._config.issuer:
                    raise StudioError(
                        f"{self._config.issuer} says that it is {found.get('issuer')!r}; the setting has to be the same."
                    )
                keys = KeySet.import_key_set(self._ask("GET", str(found["jwks_uri"])))  # type: ignore[arg-type]
                self._known = time.monotonic(), found, keys
            return self._known[1], self._known[2]

    def _ask(self, method: str, url: str, **more: Any) -> dict[str, Any]:
        try:
            answer = httpx.request(
                method, url, timeout=TIMEOUT_S, headers={"Accept": "application/json"}, **more
            )
            answer.raise_for_status()
            found: dict[str, Any] = answer.json()
        except (httpx.HTTPError, ValueError) as error:
            raise StudioError(
                f"{self._config.name} cannot be asked just now ({type(error).__name__}). Try again."
            ) from None
        return found


def router_for(config: Oidc) -> APIRouter:
    provider = Provider(config)
    router = APIRouter(prefix=PATH)

    @router.get("/start")
    def start(settings: Configured, viewer: Anyone, next: str = "/", invite: str = "") -> Response:
        state, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(3))
        trip = Trip(state, nonce, verifier, own_path(next), invite[:100])
        response = RedirectResponse(provider.address(trip, _back(settings)), 303)
        kept = base64.urlsafe_b64encode(json.dumps(asdict(trip)).encode()).decode()
        response.set_cookie(
            COOKIE, kept, max_age=LASTS_S, path=PATH, secure=settings.secure, httponly=True, samesite="lax"
        )
        return response

    @router.get("/back")
    def back(
        request: Request,
        viewer: Anyone,
        database: Database,
        settings: Configured,
        at: Time,
        code: str = "",
        state: str = "",
    ) -> Response:
        trip = _trip(request.cookies.get(COOKIE, ""))
        if trip is None or not code or not hmac.compare_digest(trip.state.encode(), state.encode()):
            raise NotAllowed("this log-in was not begun here, or took too long. Begin again.")
        found = provider.somebody(trip, code, _back(settings))
        secret = _let_in(request, database, settings, trip, found, at)
        response = RedirectResponse(trip.next, 303)
        response.delete_cookie(COOKIE, path=PATH)
        auth.sign_in(response, settings, secret)
        return response

    return router


def _let_in(
    request: Request, database: Opened, settings: Settings, trip: Trip, found: Somebody, at: str
) -> str:
    days = settings.session_days
    with database.write() as connection:
        one = people.find_by_subject(connection, found.subject)
        if one is None and found.email is not None:
            one = people.link_by_email(connection, found.email, found.subject)
        if one is not None and not trip.invite:
            return access.start_session(connection, one, days=days, at=at)
        taken = found.email is not None and people.find_by_email(connection, found.email) is not None
    if not trip.invite:
        said = "Ask for a link that invites you, and come with it: for one of your own, where you have a password here."
        raise NotAllowed(f"this log-in is not known here yet. {said}")
    secret = entry.join(
        request, database, trip.invite, None, known=one, name=found.name, email="" if taken else found.email or "", subject=found.subject,
        agree=True, days=days, at=at,
    )  # fmt: skip
    assert secret is not None
    return secret


def _back(settings: Settings) -> str:
    return f"{settings.origin}{PATH}/back"


def _trip(kept: str) -> Trip | None:
    try:
        return Trip(**json.loads(base64.urlsafe_b64decode(kept)))
    except (binascii.Error, ValueError, TypeError):
        return None
