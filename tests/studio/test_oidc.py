"""Logging in at a provider: a small one of the test's own, which answers over HTTP as the standard says."""

import base64
import hashlib
import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from fastapi import FastAPI
from joserfc import jwt
from joserfc.jwk import RSAKey

import web
from fairlead.labels import campaigns, credentials, people
from fairlead.labels.database import Database, now
from fairlead.studio import oidc
from fairlead.studio.app import create_app
from fairlead.studio.settings import Oidc, Settings

SECRET = "topsecret"
KEY = RSAKey.generate_key(2048, {"kid": "one"})
OTHER = RSAKey.generate_key(2048, {"kid": "one"})  # of somebody who says that it is the same


class Provider:
    """Who logs in at it, and what is wrong with what it says."""

    def __init__(self) -> None:
        self.claims: dict[str, Any] = {
            "sub": "7",
            "name": "Ada Lovelace",
            "email": "ada@example.org",
            "email_verified": True,
        }
        self.wrong: dict[str, Any] = {}  # claims that replace right ones
        self.key, self.algorithm = KEY, "RS256"
        self.codes: dict[str, dict[str, str]] = {}
        provider = self

        class Answers(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if self.path.endswith("openid-configuration"):
                    names = {
                        name: f"{provider.url}/{name}"
                        for name in ("authorization_endpoint", "token_endpoint", "jwks_uri")
                    }
                    self.say({"issuer": provider.url} | names)
                else:
                    self.say({"keys": [KEY.as_dict(private=False)]})

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                given = {name: values[0] for name, values in parse_qs(body).items()}
                basic = base64.b64decode(self.headers["Authorization"].removeprefix("Basic ")).decode()
                asked = provider.codes.pop(given["code"], None)
                challenge = (
                    base64.urlsafe_b64encode(hashlib.sha256(given["code_verifier"].encode()).digest())
                    .decode()
                    .rstrip("=")
                )
                right = {"code_challenge": challenge, "redirect_uri": given["redirect_uri"]}
                if asked is None or basic != f"studio:{SECRET}" or not right.items() <= asked.items():
                    self.say({"error": "invalid_grant"}, 400)
                    return
                self.say(
                    {
                        "access_token": "access",
                        "token_type": "Bearer",
                        "id_token": provider.token(asked["nonce"]),
                    }
                )

            def say(self, value: dict[str, Any], status: int = 200) -> None:
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.end_headers()
                self.wfile.write(json.dumps(value).encode())

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    def token(self, nonce: str) -> str:
        seconds = int(time.time())
        claims = (
            {"iss": self.url, "aud": "studio", "iat": seconds, "exp": seconds + 300, "nonce": nonce}
            | self.claims
            | self.wrong
        )
        return jwt.encode({"alg": self.algorithm, "kid": "one"}, claims, self.key)

    def log_in(self, address: str) -> str:
        """Somebody types their password at the provider; where it sends the browser then."""
        asked = {name: values[0] for name, values in parse_qs(urlsplit(address).query).items()}
        assert (
            asked["response_type"] == "code"
            and asked["client_id"] == "studio"
            and asked["code_challenge_method"] == "S256"
        )
        self.codes["code"] = asked
        return f"{urlsplit(asked['redirect_uri']).path}?code=code&state={asked['state']}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def provider() -> Iterator[Provider]:
    made = Provider()
    yield made
    made.close()


@pytest.fixture
def app(database: Database, database_url: str, provider: Provider) -> Iterator[FastAPI]:
    config = Oidc(issuer=provider.url, client_id="studio", client_secret=SECRET, name="Example")
    made = create_app(
        Settings(database=database_url, oidc=config), database, extra_routers=[oidc.router_for(config)]
    )
    yield made
    made.state.live.close()


def go(client: httpx.Client, provider: Provider, start: str = "/oidc/start") -> httpx.Response:
    """There and back."""
    sent = client.get(start)
    assert sent.status_code == 303 and sent.headers["location"].startswith(provider.url), sent.text
    return client.get(provider.log_in(sent.headers["location"]))


def test_somebody_known_by_their_address_comes_in_and_is_known_from_then_on(
    app: FastAPI, database: Database, provider: Provider
) -> None:
    with database.write() as connection:
        ada = people.add(connection, name="Ada", email="ada@example.org", role="owner", by="system")
    client = web.stranger(app)
    assert "Log in with Example" in client.get("/login").text
    back = go(client, provider, "/oidc/start?next=/me")
    assert back.status_code == 303 and back.headers["location"] == "/me"
    assert client.get("/api/v1/me").json()["rater"] == ada.rater
    provider.claims |= {"email": "other@example.org"}  # the address changed there; the subject did not
    again = web.stranger(app)
    assert go(again, provider).status_code == 303 and again.get("/api/v1/me").json()["rater"] == ada.rater


def test_an_address_that_is_not_verified_opens_nothing(
    app: FastAPI, database: Database, provider: Provider
) -> None:
    with database.write() as connection:
        people.add(connection, name="Ada", email="ada@example.org", role="owner", by="system")
    for claims in ({"email_verified": False}, {"email_verified": "true"}, {"email_verified": None}):
        provider.wrong = claims
        client = web.stranger(app)
        back = go(client, provider)
        assert (
            back.status_code == 403
            and "Ask for an invite link" in back.text
            and client.get("/api/v1/me").status_code == 401
        )


def test_somebody_new_needs_a_link(app: FastAPI, database: Database, provider: Provider) -> None:
    with database.write() as connection:
        here = campaigns.create(
            connection, campaigns.CampaignSettings(name="Helpful", kind="pairwise"), by="r-00000000aa"
        )
        _, secret = credentials.create_invite(
            connection, role="labeller", campaign_id=here.id, uses=2, by="r-00000000aa", at=now()
        )
    client = web.stranger(app)
    assert go(client, provider).status_code == 403
    assert "Agree and join with Example" in client.get(f"/join/{secret}").text
    for _ in range(2):  # the second time they are known, and join as themselves
        assert go(client, provider, f"/oidc/start?invite={secret}").status_code == 303
    me = client.get("/api/v1/me").json()
    assert (
        me["name"] == "Ada Lovelace"
        and me["email"] == "ada@example.org"
        and me["campaigns"][0]["role"] == "labeller"
    )
    with database.read() as connection:
        assert len(people.list_all(connection)) == 1
    assert go(web.stranger(app), provider, f"/oidc/start?invite={secret}").status_code == 404  # used up


def test_an_address_that_somebody_typed_in_themselves_catches_nobody(
    app: FastAPI, database: Database, provider: Provider
) -> None:
    mallory = web.browser(app, database, web.person(database, "Mallory"))
    assert mallory.patch("/api/v1/me", json={"email": "ada@example.org"}).status_code == 200
    client = web.stranger(app)
    back = go(client, provider)
    assert (
        back.status_code == 403
        and "Ask for an invite link" in back.text
        and client.get("/api/v1/me").status_code == 401
    )
    with database.write() as connection:
        _, secret = credentials.create_invite(connection, role="lead", by="r-00000000aa", at=now())
    assert go(client, provider, f"/oidc/start?invite={secret}").status_code == 303
    me = client.get("/api/v1/me").json()  # somebody of her own, without the address that is taken
    assert (me["name"], me["role"], me["email"]) == ("Ada Lovelace", "lead", None)
    assert mallory.get("/api/v1/me").json()["role"] is None


def test_who_comes_by_a_link_of_their_own_is_known_from_then_on(
    app: FastAPI, database: Database, provider: Provider
) -> None:
    with database.write() as connection:
        ada, ben = (
            people.add(connection, name=name, email=f"{name}@other.example") for name in ("Ada", "Ben")
        )
        secrets = [
            credentials.create_invite(connection, role=None, person_id=one.id, by="r-00000000aa", at=now())[1]
            for one in (ada, ben)
        ]
    assert "Continue with Example" in web.stranger(app).get(f"/join/{secrets[0]}").text
    for start in (f"/oidc/start?invite={secrets[0]}", "/oidc/start"):
        client = web.stranger(app)
        assert go(client, provider, start).status_code == 303
        assert client.get("/api/v1/me").json()["rater"] == ada.rater
    refused = go(web.stranger(app), provider, f"/oidc/start?invite={secrets[1]}")  # Ada is not Ben
    assert refused.status_code == 409 and "as Ada, and this link is for Ben" in refused.text


@pytest.mark.parametrize(
    "wrong",
    [
        {"iss": "https://evil.example"},
        {"aud": "another"},
        {"nonce": "another"},
        {"exp": 1_000_000_000},
        {"sub": None},
    ],
)
def test_a_token_that_is_not_for_this_log_in_is_refused(
    app: FastAPI, database: Database, provider: Provider, wrong: dict[str, Any]
) -> None:
    with database.write() as connection:
        people.add(connection, name="Ada", email="ada@example.org", by="system")
    provider.wrong = wrong
    client = web.stranger(app)
    back = go(client, provider)
    assert (
        back.status_code == 422
        and "could not be verified" in back.text
        and client.get("/api/v1/me").status_code == 401
    )


def test_a_token_of_another_key_is_refused(app: FastAPI, database: Database, provider: Provider) -> None:
    with database.write() as connection:
        people.add(connection, name="Ada", email="ada@example.org", by="system")
    provider.key = OTHER
    assert go(web.stranger(app), provider).status_code == 422
    provider.key = KEY
    assert go(web.stranger(app), provider).status_code == 303


def test_a_log_in_that_was_not_begun_here_is_refused(app: FastAPI, provider: Provider) -> None:
    one, other = web.stranger(app), web.stranger(app)
    back = provider.log_in(one.get("/oidc/start").headers["location"])
    assert other.get(back).status_code == 403  # another browser
    assert one.get(back.replace("state=", "state=x")).status_code == 403
    assert one.get("/oidc/back?state=x&error=access_denied").status_code == 403
    one.cookies.set(oidc.COOKIE, "nonsense", domain="127.0.0.1", path="/oidc")
    assert web.stranger(app).get(back).status_code == 403


def test_a_code_that_was_used_is_refused(app: FastAPI, database: Database, provider: Provider) -> None:
    with database.write() as connection:
        people.add(connection, name="Ada", email="ada@example.org", by="system")
    client = web.stranger(app)
    back = provider.log_in(client.get("/oidc/start").headers["location"])
    cookie = client.cookies.get(oidc.COOKIE)
    assert client.get(back).status_code == 303
    client.cookies.set(oidc.COOKIE, cookie or "", domain="127.0.0.1", path="/oidc")
    said = client.get(back)
    assert said.status_code == 422 and "Example cannot be reached at the moment" in said.text


def test_a_provider_that_is_away_or_another_is_said(
    database: Database, database_url: str, provider: Provider
) -> None:
    for issuer in ("http://127.0.0.1:1", f"{provider.url}/"):
        config = Oidc(issuer=issuer, client_id="studio", client_secret=SECRET, name="Example")
        app = create_app(
            Settings(database=database_url, oidc=config), database, extra_routers=[oidc.router_for(config)]
        )
        said = web.stranger(app).get("/oidc/start")
        assert said.status_code == 422 and ("cannot be reached" in said.text or "set issuer in" in said.text)
