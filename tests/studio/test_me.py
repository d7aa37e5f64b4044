"""API routes of the viewer's own account."""

import pytest
from fastapi import FastAPI

import web
from fairlead.labels.database import Database
from studio.accounts import ME, PASSWORD, ada, csrf, log_in


def test_logging_in_and_out(app: FastAPI, database: Database) -> None:
    one, client = ada(database), web.stranger(app)
    assert client.get(ME).status_code == 401
    said = log_in(client)
    assert said.status_code == 200 and said.json()["rater"] == one.rater
    cookie = said.headers["set-cookie"]
    assert "HttpOnly" in cookie and "SameSite=lax" in cookie and "Secure" not in cookie
    assert client.get(ME).json()["name"] == "Ada"
    assert client.delete("/api/v1/session", headers=csrf(client)).status_code == 204
    assert client.get(ME).status_code == 401


@pytest.mark.parametrize(
    ("email", "password"), [("ada@example.org", "wrong wrong"), ("eve@example.org", PASSWORD), ("", "")]
)
def test_wrong_passwords_and_unknown_addresses_sound_the_same(
    app: FastAPI, database: Database, email: str, password: str
) -> None:
    ada(database)
    said = log_in(web.stranger(app), email, password)
    assert (
        said.status_code == 401
        and said.json()["error"]["message"] == "the e-mail address or the password is wrong."
    )
    assert "set-cookie" not in said.headers


def test_logging_out_everywhere_else(app: FastAPI, database: Database) -> None:
    one = ada(database)
    here, there = web.browser(app, database, one), web.browser(app, database, one)
    assert here.delete("/api/v1/me/sessions").status_code == 204
    assert (here.get(ME).status_code, there.get(ME).status_code) == (200, 401)


def test_a_token_is_made_used_and_revoked(app: FastAPI, database: Database) -> None:
    here = web.browser(app, database, ada(database))
    made = here.post(f"{ME}/tokens", json={"name": "nightly", "scopes": ["read"]}).json()
    client = web.stranger(app)
    client.headers["Authorization"] = f"Bearer {made['token']}"
    assert client.get(ME).status_code == 200
    [listed] = here.get(f"{ME}/tokens").json()["tokens"]
    assert listed["used_at"] is not None and "token" not in listed and made["token"] not in str(listed)
    assert here.delete(f"{ME}/tokens/{made['id']}").status_code == 204
    said = client.get(ME)
    assert said.status_code == 401 and said.headers["www-authenticate"] == "Bearer"
    assert here.delete(f"{ME}/tokens/{made['id']}").status_code == 404
