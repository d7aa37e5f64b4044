"""Access control: who may use a route."""

import pytest
from fastapi import APIRouter, FastAPI

import web
from fairlead.labels import campaigns
from fairlead.labels.database import Database
from fairlead.studio.app import create_app
from fairlead.studio.settings import Settings


@pytest.mark.parametrize(
    ("studio", "campaign", "status"),
    [
        (None, None, 404),
        (None, "viewer", 403),
        (None, "labeller", 403),
        (None, "adjudicator", 403),
        (None, "lead", 200),
        ("viewer", None, 403),
        ("viewer", "lead", 200),
        ("lead", None, 200),
        ("lead", "viewer", 200),
        ("owner", None, 200),
    ],
)
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
