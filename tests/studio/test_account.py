"""The viewer's own account: passwords, sessions and tokens."""

import dataclasses
import io
import json
import zipfile
from collections.abc import Callable

import httpx
import pytest
from fastapi import FastAPI

import web
from fairlead.labels import credentials, events, passwords
from fairlead.labels.database import Database, now
from studio.accounts import ME, PASSWORD, ada, log_in


def test_a_new_password_ends_the_other_sessions(app: FastAPI, database: Database) -> None:
    one = ada(database)
    here, there = web.browser(app, database, one), web.browser(app, database, one)
    wrong = here.patch(ME, json={"password": "another horse", "current_password": "guess guess"})
    assert wrong.status_code == 422 and wrong.json()["error"]["field"] == "current_password"
    assert here.patch(ME, json={"password": "another horse", "current_password": PASSWORD}).status_code == 200
    assert (here.get(ME).status_code, there.get(ME).status_code) == (200, 401)
    assert log_in(web.stranger(app), password="another horse").status_code == 200


def test_nobody_waits_to_save_while_a_password_is_looked_at(
    app: FastAPI, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked = []

    def others_save(*arguments: object, **options: object) -> bool:
        with (
            database.write()
        ):  # SQLite has one writer; this would wait for a write that surrounds the hashing
            looked.append(arguments)
        return False

    client = web.browser(app, database, ada(database))
    monkeypatch.setattr(passwords, "verify_password", others_save)
    body = {"password": "another horse", "current_password": "guess guess"}
    assert client.patch(ME, json=body).status_code == 422
    assert log_in(web.stranger(app)).status_code == 401
    assert len(looked) == 2
    with database.write() as connection:
        _, secret = credentials.create_invite(connection, role="viewer", by="r-00000000aa", at=now())
    joining = {
        "secret": secret,
        "name": "Ben",
        "email": "ben@example.org",
        "password": "short",
        "agree": True,
    }
    with database.write():
        assert web.stranger(app).post("/api/v1/join", json=joining).status_code == 422


def test_guessing_the_password_from_within_is_limited(app: FastAPI, database: Database) -> None:
    app.state.wrong_passwords = dataclasses.replace(app.state.wrong_passwords, limit=2)
    one = ada(database)
    here, token = web.browser(app, database, one), web.program(app, database, one, "account")
    said = [
        here.patch(ME, json={"password": "another horse", "current_password": f"guess {n}"}).status_code
        for n in range(2)
    ]
    erasing = token.post(f"{ME}/erase", json={"confirm": "Ada", "current_password": "guess"})
    assert [*said, erasing.status_code] == [422, 422, 429]


# ---------------------------------------------------------------- tokens


def create(client: httpx.Client, *scopes: str, days: int = 90) -> httpx.Response:
    return client.post(f"{ME}/tokens", json={"name": "x", "scopes": scopes, "days": days})


def bearer(app: FastAPI, token: str) -> httpx.Client:
    client = web.stranger(app)
    client.headers["Authorization"] = f"Bearer {token}"
    return client


def test_a_token_creates_none_that_outlives_it(app: FastAPI, database: Database) -> None:
    here = web.browser(app, database, ada(database))
    day = create(here, "account", "read", days=1).json()
    program = bearer(app, day["token"])
    year = create(program, "account", days=366).json()
    assert year["expires_at"] == day["expires_at"]
    grandchild = create(bearer(app, year["token"]), "account").json()
    assert bearer(app, grandchild["token"]).get(f"{ME}/tokens").status_code == 403  # no scope read
    assert here.delete(f"{ME}/tokens/{day['id']}").status_code == 204
    assert here.get(f"{ME}/tokens").json()["tokens"] == []


def test_a_new_password_and_logging_out_everywhere_end_tokens(app: FastAPI, database: Database) -> None:
    one = ada(database)
    here = web.browser(app, database, one)
    other = web.program(app, database, web.person(database, "Ben"), "read")

    def ends(act: Callable[[], httpx.Response]) -> bool:
        parent = bearer(app, create(here, "account", "read").json()["token"])
        child = bearer(app, create(parent, "read").json()["token"])
        assert act().is_success and here.get(ME).status_code == 200
        return [client.get(ME).status_code for client in (parent, child)] == [401, 401]

    change = {"password": "another horse", "current_password": PASSWORD}
    assert ends(lambda: here.patch(ME, json=change))
    assert ends(lambda: here.delete(f"{ME}/sessions"))
    with database.write() as connection:
        _, secret = credentials.create_invite(connection, role=None, person_id=one.id, by="x", at=now())
    token = bearer(app, create(here, "read").json()["token"])
    again = web.stranger(app).post("/api/v1/join", json={"secret": secret, "password": "a third password"})
    assert again.status_code == 200 and token.get(ME).status_code == 401
    assert other.get(ME).status_code == 200
    with database.read() as connection:
        assert events.verify(connection).problem is None


def test_a_token_that_logs_out_everywhere_else_stays(app: FastAPI, database: Database) -> None:
    here = web.browser(app, database, ada(database))
    parent = bearer(app, create(here, "account", "read").json()["token"])
    child = bearer(app, create(parent, "account", "read").json()["token"])
    assert child.delete(f"{ME}/sessions").status_code == 204
    assert [client.get(ME).status_code for client in (here, parent, child)] == [401, 401, 200]


def test_a_token_uses_no_link_beyond_its_scopes(app: FastAPI, database: Database) -> None:
    owner = ada(database, "owner")
    reader = web.program(app, database, web.person(database, "Ben"), "read")
    with database.write() as connection:
        _, secret = credentials.create_invite(connection, role="lead", by=owner.rater, at=now())
    assert reader.post("/api/v1/join", json={"secret": secret, "agree": True}).status_code == 403
    for_itself = web.program(app, database, owner, "owner").post(f"/api/v1/people/{owner.rater}/link")
    assert for_itself.status_code == 403


def test_erasing_asks_for_the_password(app: FastAPI, database: Database) -> None:
    olga, ben = ada(database, "owner"), web.person(database, "Ben", "owner")
    here, token = web.browser(app, database, olga), web.program(app, database, olga, "owner", "account")
    for client in (here, token):
        for path, name in ((f"{ME}/erase", "Ada"), (f"/api/v1/people/{ben.rater}/erase", "Ben")):
            for password in ("", "guess guess"):
                said = client.post(path, json={"confirm": name, "current_password": password})
                assert said.status_code == 422 and said.json()["error"]["field"] == "current_password"
    without = web.program(app, database, ben, "account")
    assert without.post(f"{ME}/erase", json={"confirm": "Ben"}).status_code == 403
    confirmed = {"confirm": "Ben", "current_password": PASSWORD}
    assert token.post(f"/api/v1/people/{ben.rater}/erase", json=confirmed).status_code == 204
    for page in ("/me", "/people"):
        assert 'name="current_password"' in here.get(page).text


def test_a_token_makes_none_that_may_more(app: FastAPI, database: Database) -> None:
    client = web.program(app, database, ada(database, "owner"), "account", "read")
    assert client.post(f"{ME}/tokens", json={"name": "x", "scopes": ["read"]}).status_code == 201
    assert client.post(f"{ME}/tokens", json={"name": "x", "scopes": ["read", "owner"]}).status_code == 403


def test_a_token_cannot_set_a_first_password(app: FastAPI, database: Database) -> None:
    client = web.program(app, database, web.person(database, "Ben"), "account")
    assert client.patch(ME, json={"email": "ben@example.org", "password": PASSWORD}).status_code == 403


def test_a_person_downloads_what_is_kept_about_them(app: FastAPI, database: Database) -> None:
    client = web.browser(app, database, ada(database))
    answer = client.get("/api/v1/me/data")
    assert answer.headers["content-type"] == "application/zip"
    assert "attachment" in answer.headers["content-disposition"]
    with zipfile.ZipFile(io.BytesIO(answer.content)) as packed:
        [account] = json.loads(packed.read("account.json"))
    assert account["name"] == "Ada" and "password" not in account
    assert "/api/v1/me/data" in client.get("/me").text
    assert web.stranger(app).get("/api/v1/me/data").status_code == 401
