"""Who is asking: sessions, CSRF, tokens and their scopes, and what every answer says to the browser."""

from datetime import timedelta
from typing import Any

import pytest
from fastapi import FastAPI
from sqlalchemy import insert
from sqlalchemy.exc import IntegrityError

import web
from fairlead.labels import credentials, people
from fairlead.labels.database import Database, format_time, now, parse_time
from fairlead.studio import auth
from fairlead.studio.app import create_app
from fairlead.studio.settings import Settings
from studio.accounts import ME, PASSWORD, ada, csrf, log_in

# ---------------------------------------------------------------- sessions


def test_a_secret_that_was_logged_out_is_dead(app: FastAPI, database: Database) -> None:
    ada(database)
    client = web.stranger(app)
    log_in(client)
    secret = client.cookies[auth.COOKIE]
    client.delete("/api/v1/session", headers=csrf(client))
    thief = web.stranger(app)
    thief.cookies.set(auth.COOKIE, secret, domain="127.0.0.1")
    assert thief.get(ME).status_code == 401


def test_a_visit_prolongs_a_session_and_absence_ends_it(database: Database, database_url: str) -> None:
    time = [now()]
    app = create_app(Settings(database=database_url, session_days=10), database, lambda: time[0])
    client = web.browser(app, database, ada(database), days=10)
    secret = client.cookies[auth.COOKIE]
    for days, path, status in ((6, ME, 200), (6, "/me", 200), (6, "/login", 303), (11, ME, 401)):
        time[0] = format_time(parse_time(time[0]) + timedelta(days=days))
        said = client.get(path)
        assert said.status_code == status
        cookie = said.headers.get(
            "set-cookie", ""
        )  # its ten days begin again in the browser too, whatever kind of answer that is
        assert cookie.startswith(f"{auth.COOKIE}={secret}; HttpOnly; Max-Age=864000;") == (status != 401)
        assert "set-cookie" not in client.get(path).headers  # once a day


def test_who_logs_out_after_a_while_is_not_logged_in_again(database: Database, database_url: str) -> None:
    time = [now()]
    app = create_app(Settings(database=database_url, session_days=10), database, lambda: time[0])
    client = web.browser(app, database, ada(database), days=10)
    time[0] = format_time(parse_time(time[0]) + timedelta(days=6))
    assert "Max-Age=0" in client.delete("/api/v1/session").headers["set-cookie"]


# ---------------------------------------------------------------- CSRF


@pytest.mark.parametrize(
    "wrong",
    [
        {"X-CSRF-Token": ""},
        {"X-CSRF-Token": "0" * 64},
        {"X-CSRF-Token": b"\xc3\xa9"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_what_another_site_sends_is_refused(app: FastAPI, database: Database, wrong: dict[str, Any]) -> None:
    client = web.browser(app, database, ada(database))
    assert client.put(f"{ME}/preferences", json={"theme": "dark"}, headers=wrong).status_code == 403
    assert client.get(ME).json()["preferences"] == {}
    assert (
        client.put(f"{ME}/preferences", json={"theme": "dark"}, headers={"Origin": web.ORIGIN}).status_code
        == 200
    )


def test_a_token_of_one_session_is_not_that_of_another(app: FastAPI, database: Database) -> None:
    one, other = (
        web.browser(app, database, ada(database)),
        web.browser(app, database, web.person(database, "Ben")),
    )
    said = one.put(
        f"{ME}/preferences", json={"theme": "dark"}, headers={"X-CSRF-Token": other.headers["X-CSRF-Token"]}
    )
    assert (said.status_code, said.json()["error"]["code"]) == (403, "out_of_date")


def test_another_site_cannot_log_somebody_in(app: FastAPI, database: Database) -> None:
    ada(database)
    client = web.stranger(app)
    form = {"email": "ada@example.org", "password": PASSWORD}
    assert client.post("/login", data=form, headers={"Origin": "https://evil.example"}).status_code == 403
    assert client.post("/login", data=form, headers={"Sec-Fetch-Site": "cross-site"}).status_code == 403
    assert (
        client.post(
            "/login", data=form, headers={"Origin": web.ORIGIN, "Sec-Fetch-Site": "same-origin"}
        ).status_code
        == 303
    )


def test_behind_a_proxy_the_public_address_counts(database: Database, database_url: str) -> None:
    app = create_app(Settings(database=database_url, public_url="https://labels.example.org"), database)
    ada(database)
    client = web.stranger(app)
    said = client.post(
        "/login",
        data={"email": "ada@example.org", "password": PASSWORD},
        headers={"Origin": "https://labels.example.org"},
    )
    assert said.status_code == 303 and "Secure" in said.headers["set-cookie"]
    assert said.headers["strict-transport-security"] == "max-age=31536000"


# ---------------------------------------------------------------- tokens


def test_a_token_does_what_its_scopes_say_and_no_more(app: FastAPI, database: Database) -> None:
    olga = web.person(database, "Olga", "owner")
    reader, keeper = (
        web.program(app, database, olga, "read"),
        web.program(app, database, olga, "account", "owner"),
    )
    assert reader.get(ME).json()["csrf"] == "" and reader.get("/api/v1/people").status_code == 200
    said = reader.put(f"{ME}/preferences", json={"theme": "dark"})
    assert said.status_code == 403 and "'account'" in said.json()["error"]["message"]
    assert reader.post("/api/v1/people", json={"name": "Ben"}).status_code == 403
    assert keeper.get("/api/v1/people").status_code == 403
    assert keeper.put(f"{ME}/preferences", json={"theme": "dark"}).status_code == 200
    assert keeper.post("/api/v1/people", json={"name": "Ben"}).status_code == 201


def test_a_token_is_never_more_than_its_person(app: FastAPI, database: Database) -> None:
    client = web.program(app, database, web.person(database, "Ben"), *credentials.SCOPES)
    assert client.get("/api/v1/people").status_code == 403


def test_a_wrong_token_does_not_fall_back_on_a_cookie(app: FastAPI, database: Database) -> None:
    client = web.browser(app, database, ada(database))
    assert client.get(ME, headers={"Authorization": "Bearer flt_wrong"}).status_code == 401


# ---------------------------------------------------------------- roles


# ---------------------------------------------------------------- answers


def test_an_error_of_the_database_does_not_show_what_people_wrote(database: Database) -> None:
    with database.write() as connection:
        one = people.add(connection, name="Ada")
    with pytest.raises(IntegrityError) as error, database.write() as connection:
        connection.execute(insert(people.pseudonym_table).values(person_id=one.id, rater="r-secretname"))
    assert "r-secretname" not in str(error.value)
