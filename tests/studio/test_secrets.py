"""Tokens, passwords, links and cookies are nowhere but with those who hold them: not in logs, events,
addresses or the database.
"""

import logging

import pytest
from fastapi import FastAPI
from sqlalchemy import select

import web
from fairlead.labels import events, people, schema
from fairlead.labels.database import Database
from fairlead.labels.passwords import hash_password
from fairlead.studio import auth

PASSWORD = "a quiet harbour at dusk"
WRONG = "a loud harbour at dawn!!"


def everything(database: Database) -> str:
    """All rows of all tables, as text."""
    with database.read() as connection:
        return "\n".join(
            str(tuple(row))
            for table in schema.metadata.sorted_tables
            for row in connection.execute(select(table))
        )


def test_secrets_are_with_their_holders_only(
    app: FastAPI, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    owner = web.person(database, "Olga", role="owner")
    boss, secrets = web.browser(app, database, owner), [PASSWORD, WRONG]
    secrets.append(boss.cookies[auth.COOKIE])
    boss.post("/api/v1/campaigns", json={"name": "Helpful", "kind": "pairwise", "guidelines": "Be fair."})
    links = [
        boss.post("/api/v1/invites", json={"role": "lead"}).json(),
        boss.post("/api/v1/campaigns/helpful/invites", json={"role": "labeller"}).json(),
    ]
    secrets += [link["url"].rpartition("/")[2] for link in links]
    made = boss.post("/api/v1/people", json={"name": "Ben", "email": "ben@example.org"}).json()
    secrets.append(made["url"].rpartition("/")[2])

    ada = web.stranger(app)
    for link in (secrets[-2], "no-such-link"):
        ada.get(f"/join/{link}")
    joining = {
        "secret": secrets[-2],
        "name": "Ada",
        "email": "ada@example.org",
        "password": PASSWORD,
        "agree": True,
    }
    assert ada.post("/api/v1/join", json=joining).status_code == 200
    for password in (WRONG, PASSWORD):
        client = web.stranger(app)
        said = client.post("/api/v1/session", json={"email": "ada@example.org", "password": password})
        form = client.post("/login", data={"email": "ada@example.org", "password": password})
        assert PASSWORD not in said.text + form.text and WRONG not in said.text + form.text
        secrets += [cookie.value for cookie in client.cookies.jar if cookie.value]
    assert said.status_code == 200
    client.headers["X-CSRF-Token"] = said.json()["csrf"]
    token = boss.post("/api/v1/me/tokens", json={"name": "nightly", "scopes": ["read"]}).json()["token"]
    secrets += [token, token.removeprefix("flt_")]
    assert token not in boss.get("/api/v1/me/tokens").text  # shown once
    program = web.stranger(app, quiet=True)
    for bearer in (token, token + "x"):
        program.get("/api/v1/me", headers={"Authorization": f"Bearer {bearer}"})
        program.get("/api/v1/campaigns/none", headers={"Authorization": f"Bearer {bearer}"})

    assert len(set(secrets)) == len(secrets) >= 9
    ours = [
        record for record in caplog.records if not record.name.startswith("http")
    ]  # but what asks in this process, and says so
    assert any(record.name == "fairlead.studio" for record in ours)
    kept, logged = everything(database), "\n".join(f"{record.getMessage()} {vars(record)}" for record in ours)
    with database.read() as connection:
        told = str([vars(one) for one in events.list_after(connection, 0)])
    for secret in secrets:
        assert secret not in kept
        assert secret not in logged
        assert secret not in told
    assert "Ada" not in told and "ada@example.org" not in told


def test_what_was_searched_would_have_been_found(database: Database) -> None:
    with database.write() as connection:
        people.add(connection, name="Needle", email="needle@example.org", password=hash_password(PASSWORD))
    kept = everything(database)
    assert "Needle" in kept and "$argon2" in kept and PASSWORD not in kept


def test_a_bug_does_not_spill_what_was_sent(
    app: FastAPI, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever breaks inside, the answer says nothing of it."""

    def broken() -> None:
        raise RuntimeError("inside: secret-detail")

    app.router.routes.clear()
    app.get("/api/v1/broken")(broken)
    answer = web.stranger(app, quiet=True).get("/api/v1/broken")
    assert answer.status_code == 500
    assert "secret-detail" not in answer.text and "Traceback" not in answer.text
