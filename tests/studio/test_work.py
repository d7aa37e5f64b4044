"""The list of campaigns in which a person labels."""

from fastapi import FastAPI

import web
from fairlead.labels import campaigns, leases
from fairlead.labels.database import Database
from labels.build import LEAD, judge, open_campaign


def test_work_lists_the_own_campaigns_with_counts(app: FastAPI, database: Database) -> None:
    with database.write() as connection:
        pairwise = open_campaign(connection, num_items=3, overlap=2)
        open_campaign(connection, kind="rating", num_items=2)
        campaigns.create(connection, campaigns.CampaignSettings(name="Later", kind="pairwise"), by=LEAD)
    ben = web.person(database, "Ben", helpful_pairwise="labeller", later="labeller")
    with database.write() as connection:
        done, _ = leases.lease_items(connection, pairwise, ben.rater, count=2)
        judge(connection, done, active_ms=4000)
    client = web.browser(app, database, ben)
    (entry,) = client.get("/api/v1/work").json()["campaigns"]  # neither the draft nor another's campaign
    assert (entry["slug"], entry["kind"], entry["state"]) == ("helpful-pairwise", "pairwise", "open")
    assert (entry["done"], entry["wanted"], entry["num_held"], entry["paused"]) == (1, 6, 1, False)
    assert entry["mine"] == {"today": 1, "total": 1, "median_active_ms": 4000}
    assert entry["guidelines"] == {"version": 1, "read_version": 0, "changed": True}


def test_viewers_have_no_work_and_leads_do(app: FastAPI, database: Database) -> None:
    with database.write() as connection:
        open_campaign(connection)
    viewer = web.browser(app, database, web.person(database, "Vi", helpful_pairwise="viewer"))
    assert viewer.get("/api/v1/work").status_code == 403
    lead = web.browser(app, database, web.person(database, "Lea", helpful_pairwise="lead"))
    assert len(lead.get("/api/v1/work").json()["campaigns"]) == 1


def test_campaigns_with_open_items_come_first(app: FastAPI, database: Database) -> None:
    with database.write() as connection:
        open_campaign(connection)
        rating = open_campaign(connection, kind="rating")
        campaigns.set_state(connection, rating, "paused", by=LEAD)
    ben = web.person(database, "Ben", helpful_pairwise="labeller", helpful_rating="labeller")
    entries = web.browser(app, database, ben).get("/api/v1/work").json()["campaigns"]
    assert [(entry["slug"], entry["state"]) for entry in entries] == [
        ("helpful-pairwise", "open"),
        ("helpful-rating", "paused"),
    ]
