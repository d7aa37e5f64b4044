"""The viewer's own account: passwords, sessions and tokens."""

from pathlib import Path

from fastapi import FastAPI

import web
from databases import Files
from fairlead.labels import credentials
from fairlead.labels.database import Database, now, open_database
from fairlead.studio.app import create_app
from fairlead.studio.limits import Limiter
from fairlead.studio.settings import Settings
from studio.accounts import ME, PASSWORD, ada, log_in


def test_a_new_password_ends_the_other_sessions(app: FastAPI, database: Database) -> None:
    one = ada(database)
    here, there = web.browser(app, database, one), web.browser(app, database, one)
    wrong = here.patch(ME, json={"password": "another horse", "current_password": "guess guess"})
    assert wrong.status_code == 422 and wrong.json()["error"]["field"] == "current_password"
    assert here.patch(ME, json={"password": "another horse", "current_password": PASSWORD}).status_code == 200
    assert (here.get(ME).status_code, there.get(ME).status_code) == (200, 401)
    assert log_in(web.stranger(app), password="another horse").status_code == 200


def test_nobody_waits_to_save_while_a_password_is_looked_at(files: Files, tmp_path: Path) -> None:
    database = open_database(files.copy(tmp_path))
    app = create_app(Settings(database="unused"), database)
    client = web.browser(app, database, ada(database))
    with database.write() as connection:
        _, secret = credentials.create_invite(connection, role="viewer", by="r-00000000aa", at=now())
    body = {"secret": secret, "name": "Ben", "email": "ben@example.org", "password": "short", "agree": True}
    with database.write():  # SQLite has one writer; who needs to write now waits
        assert (
            client.patch(
                ME, json={"password": "another horse", "current_password": "guess guess"}
            ).status_code
            == 422
        )
        assert web.stranger(app).post("/api/v1/join", json=body).status_code == 422
    database.close()


def test_guessing_the_password_from_within_is_limited(app: FastAPI, database: Database) -> None:
    app.state.wrong_passwords = Limiter(2, 900)
    here = web.browser(app, database, ada(database))
    said = [
        here.patch(ME, json={"password": "another horse", "current_password": f"guess {n}"}).status_code
        for n in range(3)
    ]
    assert said == [422, 422, 429]


def test_a_token_makes_none_that_may_more(app: FastAPI, database: Database) -> None:
    client = web.program(app, database, ada(database, "owner"), "account", "read")
    assert client.post(f"{ME}/tokens", json={"name": "x", "scopes": ["read"]}).status_code == 201
    assert client.post(f"{ME}/tokens", json={"name": "x", "scopes": ["read", "owner"]}).status_code == 403


def test_a_token_cannot_set_a_first_password(app: FastAPI, database: Database) -> None:
    client = web.program(app, database, web.person(database, "Ben"), "account")
    assert client.patch(ME, json={"email": "ben@example.org", "password": PASSWORD}).status_code == 403
