"""Who is asking: sessions, CSRF, tokens and their scopes, and what every answer says to the browser."""

from datetime import timedelta
from pathlib import Path
from typing import Annotated

import httpx
import pytest
from fastapi import APIRouter, Depends, FastAPI
from sqlalchemy import insert
from sqlalchemy.exc import IntegrityError

import web
from databases import Files
from fairlead.labels import access, campaigns, members, people
from fairlead.labels.database import Database, format_time, now, open_database, parse_time
from fairlead.labels.passwords import hash_password
from fairlead.studio import auth, headers, permissions, roles
from fairlead.studio.app import create_app
from fairlead.studio.limits import Limiter
from fairlead.studio.settings import Settings

PASSWORD = "correct horse battery"
ME = "/api/v1/me"


def ada(database: Database, role: str | None = None) -> people.Person:
    with database.write() as connection:
        return people.add(
            connection, name="Ada", email="ada@example.org", password=hash_password(PASSWORD), role=role
        )


def log_in(client: httpx.Client, email: str = "ada@example.org", password: str = PASSWORD) -> httpx.Response:
    return client.post("/api/v1/session", json={"email": email, "password": password})


def csrf(client: httpx.Client) -> dict[str, str]:
    return {"X-CSRF-Token": client.get(ME).json()["csrf"]}


# ---------------------------------------------------------------- sessions


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


def test_a_secret_that_was_logged_out_is_dead(app: FastAPI, database: Database) -> None:
    ada(database)
    client = web.stranger(app)
    log_in(client)
    secret = client.cookies[auth.COOKIE]
    client.delete("/api/v1/session", headers=csrf(client))
    thief = web.stranger(app)
    thief.cookies.set(auth.COOKIE, secret, domain="127.0.0.1")
    assert thief.get(ME).status_code == 401


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


def test_the_page_of_the_door(app: FastAPI, database: Database) -> None:
    ada(database)
    client = web.stranger(app)
    asked = client.get("/me?x=1")
    assert asked.status_code == 303 and asked.headers["location"] == "/login?next=/me%3Fx%3D1"
    assert 'name="next" value="/me?x=1"' in client.get(asked.headers["location"]).text
    form = {"email": "ada@example.org", "next": "/me"}
    wrong = client.post("/login", data=form | {"password": "wrong wrong"})
    assert (
        wrong.status_code == 422
        and "password is wrong" in wrong.text
        and 'value="ada@example.org"' in wrong.text
    )
    right = client.post("/login", data=form | {"password": PASSWORD})
    assert right.status_code == 303 and right.headers["location"] == "/me"
    assert "Ada" in client.get("/me").text
    assert client.get("/login").headers["location"] == "/"
    out = client.post("/logout", data={"csrf": csrf(client)["X-CSRF-Token"]})
    assert out.status_code == 303 and client.get("/me").status_code == 303


@pytest.mark.parametrize(
    "next", ["https://evil.example", "//evil.example", "/\\evil.example", "javascript:alert(1)", "/a\nb"]
)
def test_the_door_leads_nowhere_else(app: FastAPI, database: Database, next: str) -> None:
    ada(database)
    said = web.stranger(app).post(
        "/login", data={"email": "ada@example.org", "password": PASSWORD, "next": next}
    )
    assert said.headers["location"] == "/"


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
        _, secret = access.create_invite(connection, role="viewer", by="r-00000000aa", at=now())
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


def test_logging_out_everywhere_else(app: FastAPI, database: Database) -> None:
    one = ada(database)
    here, there = web.browser(app, database, one), web.browser(app, database, one)
    assert here.delete("/api/v1/me/sessions").status_code == 204
    assert (here.get(ME).status_code, there.get(ME).status_code) == (200, 401)


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
def test_what_another_site_sends_is_refused(
    app: FastAPI, database: Database, wrong: dict[str, str | bytes]
) -> None:
    client = web.browser(app, database, ada(database))
    assert client.put(f"{ME}/preferences", json={"theme": "dark"}, headers=wrong).status_code == 403  # type: ignore[arg-type]
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
    client = web.program(app, database, web.person(database, "Ben"), *access.SCOPES)
    assert client.get("/api/v1/people").status_code == 403


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


def test_a_token_makes_none_that_may_more(app: FastAPI, database: Database) -> None:
    client = web.program(app, database, ada(database, "owner"), "account", "read")
    assert client.post(f"{ME}/tokens", json={"name": "x", "scopes": ["read"]}).status_code == 201
    assert client.post(f"{ME}/tokens", json={"name": "x", "scopes": ["read", "owner"]}).status_code == 403


def test_a_token_cannot_set_a_first_password(app: FastAPI, database: Database) -> None:
    client = web.program(app, database, web.person(database, "Ben"), "account")
    assert client.patch(ME, json={"email": "ben@example.org", "password": PASSWORD}).status_code == 403


def test_a_wrong_token_does_not_fall_back_on_a_cookie(app: FastAPI, database: Database) -> None:
    client = web.browser(app, database, ada(database))
    assert client.get(ME, headers={"Authorization": "Bearer flt_wrong"}).status_code == 401


# ---------------------------------------------------------------- roles


def test_roles_are_no_ladder() -> None:
    held = ("viewer", "labeller", "adjudicator", "lead", "owner")
    may: dict[str, set[str]] = {
        role: {least for least in roles.ROLES if roles.suffices(role, least)} for role in held
    }
    assert may == {
        "viewer": {"member", "viewer"},
        "labeller": {"member", "labeller"},
        "adjudicator": {"member", "viewer", "labeller", "adjudicator"},
        "lead": {"member", "viewer", "labeller", "adjudicator", "lead"},
        "owner": {"member", "viewer", "labeller", "adjudicator", "lead", "owner"},
    }


@pytest.mark.parametrize(
    ("studio", "campaign", "status"),
    [(None, None, 404), (None, "viewer", 403), (None, "labeller", 403), (None, "adjudicator", 403), (None, "lead", 200),
     ("viewer", None, 403), ("viewer", "lead", 200), ("lead", None, 200), ("lead", "viewer", 200), ("owner", None, 200)],
)  # fmt: skip
def test_roles_of_the_studio_and_of_the_campaign_add_up(
    app: FastAPI, database: Database, studio: str | None, campaign: str | None, status: int
) -> None:
    with database.write() as connection:
        campaigns.create(
            connection, campaigns.CampaignSettings(name="Helpful", kind="pairwise"), by="r-00000000aa"
        )
    one = web.person(database, "Ada", studio, **({"helpful": campaign} if campaign else {}))
    client = web.browser(app, database, one)
    assert client.get("/api/v1/campaigns/helpful/people").status_code == status
    assert client.get("/c/helpful/people").status_code == status


def test_somebody_elses_campaign_looks_like_none(app: FastAPI, database: Database) -> None:
    with database.write() as connection:
        campaigns.create(
            connection, campaigns.CampaignSettings(name="Helpful", kind="pairwise"), by="r-00000000aa"
        )
    client = web.browser(app, database, web.person(database, "Ada"))
    there, nowhere = (
        client.get(f"/api/v1/campaigns/{slug}/people").json()["error"]["message"]
        for slug in ("helpful", "nothing")
    )
    assert there.replace("helpful", "nothing") == nowhere


def test_a_route_that_says_nobodys_role_stops_the_start(database: Database, database_url: str) -> None:
    more = APIRouter()
    more.get("/api/v1/forgotten")(lambda: "everybody's")
    with pytest.raises(AssertionError, match="/api/v1/forgotten"):
        create_app(Settings(database=database_url), database, extra_routers=[more])


def test_home_is_by_role(app: FastAPI, database: Database) -> None:
    with database.write() as connection:
        campaigns.create(
            connection, campaigns.CampaignSettings(name="Helpful", kind="pairwise"), by="r-00000000aa"
        )
    homes = {
        role: web.browser(app, database, web.person(database, "Ada", helpful=role))
        .get("/")
        .headers["location"]
        for role in members.CAMPAIGN_ROLES
    }
    assert homes == {
        "viewer": "/campaigns",
        "labeller": "/work",
        "adjudicator": "/campaigns",
        "lead": "/campaigns",
    }


# ---------------------------------------------------------------- answers


@pytest.mark.parametrize(
    "path", ["/login", "/api/v1/me", "/static/studio.css", "/nothing", "/api/v1/openapi.json"]
)
def test_every_answer_has_the_headers(app: FastAPI, path: str) -> None:
    said = web.stranger(app).get(path).headers
    assert {name: said[name] for name in headers.HEADERS} == headers.HEADERS
    assert said["cache-control"] == ("no-cache" if path.startswith("/static/") else "no-store")
    assert "'unsafe" not in said["content-security-policy"] and "server" not in said


def test_errors_are_json_for_programs_and_a_page_for_people(app: FastAPI, database: Database) -> None:
    client = web.browser(app, database, ada(database))
    assert client.get("/api/v1/nothing").json() == {"error": {"message": "there is no such page."}}
    page = client.get("/nothing")
    assert page.status_code == 404 and "<h1>Not found</h1>" in page.text
    wrong = client.post(f"{ME}/tokens", json={"name": 7, "scopes": ["read"], "days": 0}).json()["error"]
    assert set(wrong["fields"]) == {"name", "days"} and wrong["field"] == "name"
    assert client.put(ME).status_code == 405


def test_a_bug_tells_nothing_and_is_logged(
    app: FastAPI, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(viewer: Annotated[object, Depends(permissions.Allow("anyone"))]) -> None:
        raise RuntimeError("the inside of the studio")

    app.get("/api/v1/broken")(broken)
    said = web.stranger(app, quiet=True).get("/api/v1/broken")
    assert (
        said.status_code == 500
        and "inside" not in said.text
        and "was logged" in said.json()["error"]["message"]
    )
    assert {name: said.headers[name] for name in headers.HEADERS} == headers.HEADERS and said.headers[
        "cache-control"
    ] == "no-store"


def test_an_error_of_the_database_does_not_show_what_people_wrote(database: Database) -> None:
    with database.write() as connection:
        one = people.add(connection, name="Ada")
    with pytest.raises(IntegrityError) as error, database.write() as connection:
        connection.execute(insert(people.pseudonym_table).values(person_id=one.id, rater="r-secretname"))
    assert "r-secretname" not in str(error.value)
