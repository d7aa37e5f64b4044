"""Single sign-on with OpenID Connect: the authorisation code flow with PKCE, state and nonce.

Needs the extra `oidc`.

A person is identified by issuer and subject.  At their first sign-in, the account is found by the e-mail
address that the provider has verified and an owner has entered, or by the invite link that they came with.
Everybody else is refused.
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

from fairlead.labels.errors import NotAllowed, StudioError
from fairlead.labels.people import LONGEST_NAME
from fairlead.studio import auth
from fairlead.studio.access_control import Anyone
from fairlead.studio.entry import SignInAttempt, own_path
from fairlead.studio.services import sign_in
from fairlead.studio.services.sign_in import Identity
from fairlead.studio.settings import Oidc, Settings
from fairlead.studio.state import Configured

COOKIE = "fairlead_oidc"
PREFIX = "/oidc"
LIFETIME_S = 600  # for the way to the provider and back
METADATA_S = 3600  # how long the provider's metadata and keys are cached
LEEWAY_S = 60  # tolerated difference between the provider's clock and ours
TIMEOUT_S = 10.0
# Asymmetric algorithms only: tokens must be signed with the provider's own key.
ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]


@dataclass(frozen=True)
class PendingSignIn:
    """What the browser keeps in a cookie, out of reach of scripts, while it is at the provider."""

    state: str
    nonce: str
    verifier: str
    next: str
    invite: str


class Provider:
    """Requests to the identity provider."""

    def __init__(self, config: Oidc) -> None:
        self._config = config
        self._lock = threading.Lock()
        self._cached: tuple[float, dict[str, Any], KeySet] | None = None

    def authorization_url(self, pending: PendingSignIn, redirect_uri: str) -> str:
        """Where the browser goes to sign in."""
        metadata, _ = self._metadata()
        query = {
            "response_type": "code",
            "client_id": self._config.client_id,
            "redirect_uri": redirect_uri,
            "scope": "openid email profile",
            "state": pending.state,
            "nonce": pending.nonce,
            "code_challenge": create_s256_code_challenge(pending.verifier),
            "code_challenge_method": "S256",
        }
        endpoint = str(metadata["authorization_endpoint"])
        return f"{endpoint}{'&' if '?' in endpoint else '?'}{urlencode(query)}"

    def identify(self, pending: PendingSignIn, code: str, redirect_uri: str) -> Identity:
        """Exchange the code for an ID token, verify the token, and return who signed in.

        Raises StudioError.
        """
        metadata, keys = self._metadata()
        body = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": redirect_uri,
            "code_verifier": pending.verifier,
        }
        credentials = (self._config.client_id, self._config.client_secret)
        answer = self._request("POST", str(metadata["token_endpoint"]), data=body, auth=credentials)
        id_token = answer.get("id_token")
        if not isinstance(id_token, str):
            raise StudioError(f"{self._config.name} confirmed nobody. Try again.")
        claims = self._verify(id_token, keys, pending.nonce, answer.get("access_token"))
        email = claims.get("email") if claims.get("email_verified") is True else None
        name = claims.get("name") or claims.get("preferred_username") or email or "Somebody"
        return Identity(f"{self._config.issuer}|{claims['sub']}", str(name)[:LONGEST_NAME], email)

    def _verify(self, id_token: str, keys: KeySet, nonce: str, access_token: Any) -> CodeIDToken:
        options = {"iss": {"essential": True, "value": self._config.issuer}}
        params = {"nonce": nonce, "client_id": self._config.client_id, "access_token": access_token}
        try:
            token = jwt.decode(id_token, keys, algorithms=ALGORITHMS)
            claims = CodeIDToken(token.claims, token.header, options, params)
            claims.validate(leeway=LEEWAY_S)
        except (JoseError, ValueError):
            with self._lock:
                self._cached = None  # the provider may have rotated its keys
            raise StudioError(
                f"the answer of {self._config.name} could not be verified. Try again."
            ) from None
        return claims

    def _metadata(self) -> tuple[dict[str, Any], KeySet]:
        with self._lock:
            if self._cached is None or time.monotonic() - self._cached[0] > METADATA_S:
                issuer = self._config.issuer
                metadata = self._request("GET", f"{issuer.rstrip('/')}/.well-known/openid-configuration")
                if metadata.get("issuer") != issuer:
                    raise StudioError(
                        f"the provider at {issuer} calls itself {metadata.get('issuer')!r};"
                        f" set issuer in [studio.oidc] to exactly that."
                    )
                key_set = self._request("GET", str(metadata["jwks_uri"]))
                keys = KeySet.import_key_set(key_set)  # type: ignore[arg-type]
                self._cached = time.monotonic(), metadata, keys
            return self._cached[1], self._cached[2]

    def _request(self, method: str, url: str, **options: Any) -> dict[str, Any]:
        headers = {"Accept": "application/json"}
        try:
            response = httpx.request(method, url, timeout=TIMEOUT_S, headers=headers, **options)
            response.raise_for_status()
            content: dict[str, Any] = response.json()
        except (httpx.HTTPError, ValueError) as error:
            raise StudioError(
                f"{self._config.name} cannot be reached at the moment ({type(error).__name__}). Try again."
            ) from None
        return content


def router_for(config: Oidc) -> APIRouter:
    provider = Provider(config)
    router = APIRouter(prefix=PREFIX)

    @router.get("/start")
    def start(settings: Configured, viewer: Anyone, next: str = "/", invite: str = "") -> Response:
        pending = PendingSignIn(
            state=secrets.token_urlsafe(32),
            nonce=secrets.token_urlsafe(32),
            verifier=secrets.token_urlsafe(32),
            next=own_path(next),
            invite=invite[:100],
        )
        response = RedirectResponse(provider.authorization_url(pending, _redirect_uri(settings)), 303)
        response.set_cookie(
            COOKIE,
            _encode(pending),
            max_age=LIFETIME_S,
            path=settings.path + PREFIX,
            secure=settings.secure,
            httponly=True,
            samesite="lax",
        )
        return response

    @router.get("/back")
    def back(
        request: Request,
        viewer: Anyone,
        attempt: SignInAttempt,
        settings: Configured,
        code: str = "",
        state: str = "",
    ) -> Response:
        pending = _decode(request.cookies.get(COOKIE, ""))
        if pending is None or not code or not hmac.compare_digest(pending.state.encode(), state.encode()):
            raise NotAllowed("this log-in was not started here, or took too long. Start again.")
        identity = provider.identify(pending, code, _redirect_uri(settings))
        secret = sign_in.log_in_with_identity(attempt, identity, invite_secret=pending.invite)
        response = RedirectResponse(pending.next, 303)
        response.delete_cookie(COOKIE, path=settings.path + PREFIX)
        auth.set_session_cookie(response, settings, secret)
        return response

    return router


def _redirect_uri(settings: Settings) -> str:
    return f"{settings.origin}{PREFIX}/back"


def _encode(pending: PendingSignIn) -> str:
    return base64.urlsafe_b64encode(json.dumps(asdict(pending)).encode()).decode()


def _decode(cookie: str) -> PendingSignIn | None:
    try:
        return PendingSignIn(**json.loads(base64.urlsafe_b64decode(cookie)))
    except (binascii.Error, ValueError, TypeError):
        return None
