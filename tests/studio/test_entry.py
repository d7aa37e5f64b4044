"""Pages that sign people in, and where they lead afterwards."""

import pytest
from fastapi import FastAPI

import web
from fairlead.labels import campaigns, members
from fairlead.labels.database import Database
from studio.accounts import PASSWORD, ada, csrf


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
