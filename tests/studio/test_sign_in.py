"""The first owner, and everybody who comes by a link."""

import re

import httpx
import pytest
from fastapi import FastAPI

import web
from fairlead.labels import campaigns, credentials, members, people
from fairlead.labels.database import Database, now
from fairlead.labels.passwords import hash_password

PASSWORD = "correct horse battery"
OWNER = {"name": "Olga", "email": "olga@example.org", "password": PASSWORD, "agree": "true"}


def link(
    database: Database,
    role: str | None,
    *,
    uses: int = 1,
    campaign: str | None = None,
    person: int | None = None,
) -> str:
    with database.write() as connection:
        at = None if campaign is None else campaigns.get(connection, campaign).id
        return credentials.create_invite(
            connection, role=role, campaign_id=at, person_id=person, uses=uses, by="system", at=now()
        )[1]


def helpful(database: Database) -> None:
    with database.write() as connection:
        campaigns.create(
            connection,
            campaigns.CampaignSettings(
                name="Helpful", kind="pairwise", audience="Who speaks English", pay_per_hour=15.5
            ),
            by="r-00000000aa",
        )


def said(page: httpx.Response) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", page.text).split())


def test_the_first_one_becomes_the_owner(app: FastAPI, database: Database) -> None:
    client, secret = web.stranger(app), link(database, "owner")
    assert "become the owner" in said(client.get(f"/first/{secret}"))
    done = client.post(f"/first/{secret}", data=OWNER)
    assert done.status_code == 303 and done.headers["location"] == "/"
    me = client.get("/api/v1/me").json()
    assert me["role"] == "owner" and me["email"] == "olga@example.org" and me["has_password"]
    assert client.get("/people").status_code == 200
    other = web.stranger(app)
    assert other.get(f"/first/{secret}").status_code == 404  # once
    assert other.post(f"/first/{secret}", data=OWNER | {"email": "eve@example.org"}).status_code == 404


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"email": ""}, "email"),
        ({"password": ""}, "password"),
        ({"password": "short"}, "password"),
        ({"name": ""}, "name"),
        ({"agree": ""}, "agree"),
    ],
)
def test_an_owner_who_could_not_come_back_is_told_so(
    app: FastAPI, database: Database, wrong: dict[str, str], field: str
) -> None:
    client, secret = web.stranger(app), link(database, "owner")
    given = {name: value for name, value in (OWNER | wrong).items() if value}
    page = client.post(f"/first/{secret}", data=given)
    assert page.status_code == 422 and f'id="{field}-error"' in page.text and PASSWORD not in page.text
    with database.read() as connection:
        assert people.list_all(connection) == []
    assert client.post(f"/first/{secret}", data=OWNER).status_code == 303  # the link was not used up


def test_a_labeller_joins_with_a_name_and_consent(app: FastAPI, database: Database) -> None:
    helpful(database)
    client, secret = web.stranger(app), link(database, "labeller", campaign="helpful", uses=2)
    page = said(client.get(f"/join/{secret}"))
    assert (
        "Helpful" in page
        and "Who speaks English" in page
        and "15.50 EUR per hour" in page
        and "random name" in page
    )
    assert client.post(f"/join/{secret}", data={"name": "Ada"}).status_code == 422
    assert client.post(f"/join/{secret}", data={"name": "Ada", "agree": "true"}).status_code == 303
    me = client.get("/api/v1/me").json()
    assert me["role"] is None and me["campaigns"] == [
        {"slug": "helpful", "name": "Helpful", "role": "labeller", "paused": False}
    ]
    half = web.stranger(app).post(
        f"/join/{secret}", data={"name": "Ben", "agree": "true", "email": "ben@example.org"}
    )
    assert half.status_code == 422 and "password-error" in half.text
    half = web.stranger(app).post(
        f"/join/{secret}", data={"name": "Ben", "agree": "true", "password": PASSWORD}
    )
    assert half.status_code == 422 and "email-error" in half.text


def test_who_has_logged_in_joins_as_themselves(app: FastAPI, database: Database) -> None:
    helpful(database)
    ada = web.person(database, "Ada")
    client, secret = web.browser(app, database, ada), link(database, "adjudicator", campaign="helpful")
    assert "will join with this account" in said(client.get(f"/join/{secret}"))
    assert (
        client.post(f"/join/{secret}", data={"agree": "true"}, headers={"X-CSRF-Token": ""}).status_code
        == 403
    )
    assert client.post(f"/join/{secret}", data={"agree": "true"}).status_code == 303
    with database.read() as connection:
        assert [one.name for one in people.list_all(connection)] == ["Ada"]
        assert (
            members.get(connection, campaigns.get(connection, "helpful").id, ada.rater).role == "adjudicator"
        )


def test_programs_join_too(app: FastAPI, database: Database) -> None:
    helpful(database)
    client, secret = web.stranger(app), link(database, "labeller", campaign="helpful")
    refused = client.post("/api/v1/join", json={"secret": secret, "name": "Ada"})
    assert refused.status_code == 422 and refused.json()["error"]["field"] == "agree"
    joined = client.post("/api/v1/join", json={"secret": secret, "name": "Ada", "agree": True}).json()
    assert joined["campaigns"][0]["slug"] == "helpful"
    assert (
        client.put(
            "/api/v1/me/preferences", json={"theme": "dark"}, headers={"X-CSRF-Token": joined["csrf"]}
        ).status_code
        == 200
    )


def test_a_role_of_the_studio_is_never_less_than_before(app: FastAPI, database: Database) -> None:
    olga, ada = web.person(database, "Olga", "owner"), web.person(database, "Ada")
    for one, role, then in (
        (olga, "viewer", "owner"),
        (ada, "viewer", "viewer"),
        (ada, "lead", "lead"),
        (ada, "viewer", "lead"),
    ):
        client = web.browser(app, database, one)
        assert client.post(f"/join/{link(database, role)}", data={"agree": "true"}).status_code == 303
        assert client.get("/api/v1/me").json()["role"] == then


def test_a_link_for_one_person_lets_them_choose_a_new_password(app: FastAPI, database: Database) -> None:
    with database.write() as connection:
        ada = people.add(connection, name="Ada", email="ada@example.org", password=hash_password(PASSWORD))
    old, client, secret = (
        web.browser(app, database, ada),
        web.stranger(app),
        link(database, None, person=ada.id),
    )
    page = client.get(f"/join/{secret}")
    assert "Hello Ada" in said(page) and 'value="ada@example.org"' in page.text
    assert client.post(f"/join/{secret}", data={"email": "ada@example.org"}).status_code == 422
    assert (
        client.post(
            f"/join/{secret}", data={"email": "ada@example.org", "password": "another horse"}
        ).status_code
        == 303
    )
    assert client.get("/api/v1/me").json()["rater"] == ada.rater
    assert old.get("/api/v1/me").status_code == 401  # whoever had the old password is out
    assert (
        web.stranger(app)
        .post("/login", data={"email": "ada@example.org", "password": "another horse"})
        .status_code
        == 303
    )


def test_two_people_cannot_both_take_the_last_use(app: FastAPI, database: Database) -> None:
    helpful(database)
    secret = link(database, "labeller", campaign="helpful")
    with database.write() as connection:
        credentials.use_invite(connection, secret, at=now())
    page = web.stranger(app).post(f"/join/{secret}", data={"name": "Ada", "agree": "true"})
    assert page.status_code == 404 and "ask for a new link" in page.text
