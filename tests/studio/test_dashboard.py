"""The dashboard over HTTP: who sees it, what it says, and what a lead does there."""

from typing import Any

import pytest
from fastapi import FastAPI
from sqlalchemy import update

import web
from fairlead.labels import assignments, events, flags, item_archive, items, judgements, leases
from fairlead.labels.campaigns import Campaign
from fairlead.labels.database import Database
from labels.build import VALUES, judge, open_campaign
from studio.busy_campaign import busy


def path(one: Campaign, rest: str = "") -> str:
    return f"/api/v1/campaigns/{one.slug}{rest}"


def test_the_figures_as_json(app: FastAPI, database: Database) -> None:
    one, _ = busy(database)
    client = web.browser(app, database, web.person(database, "Ada", "owner"))
    said = client.get(path(one, "/progress")).json()
    found = said["progress"]
    assert (found["wanted"], found["done"], found["held"], found["judgements"]) == (12, 1, 1, 1)
    assert found["cost"] == pytest.approx(0.3) and found["currency"] == "EUR"
    assert found["seconds"] == {"value": 36.0, "low": None, "high": None, "n": 1}  # one value bounds nothing
    assert found["people"][0]["rater"].startswith("r-") and "Ben" not in str(said)
    assert said["agreement"] is None and said["tags"] == []
    with database.read() as connection:
        assert said["seq"] == events.last_seq(connection)


@pytest.mark.parametrize(
    ("role", "reads", "settles", "acts"),
    [
        ("viewer", 200, 403, 403),
        ("adjudicator", 200, 204, 403),
        ("lead", 200, 204, 204),
        ("labeller", 403, 403, 403),
        (None, 404, 404, 404),
    ],
)
def test_who_watches_and_who_acts(
    app: FastAPI, database: Database, role: str | None, reads: int, settles: int, acts: int
) -> None:
    one, token = busy(database)
    somebody = web.person(database, "Eve", **({"helpful_pairwise": role} if role else {}))
    client = web.browser(app, database, somebody)
    with database.read() as connection:
        [flag] = flags.list_flags(connection, one.id)
    assert client.get(path(one, "/progress")).status_code == reads
    assert client.get(path(one, "/flags")).status_code == reads
    page = client.get(f"/c/{one.slug}/figures")
    assert page.status_code == reads and ("Mark as settled<" in page.text) == (settles == 204)
    assert client.post(path(one, f"/flags/{flag.id}/resolve")).status_code == settles
    assert client.post(path(one, f"/held/{token}/take-back")).status_code == acts
    with database.read() as connection:
        assert len(flags.list_flags(connection, one.id)) == (0 if settles == 204 else 1)


def test_taking_back_frees_the_item_and_is_seen_at_once(app: FastAPI, database: Database) -> None:
    one, token = busy(database)
    client = web.browser(app, database, web.person(database, "Ada", "owner"))
    assert client.get(path(one, "/progress")).json()["progress"]["held"] == 1
    assert client.post(path(one, f"/held/{token}/take-back")).status_code == 204
    assert client.get(path(one, "/progress")).json()["progress"]["held"] == 0
    assert client.post(path(one, f"/held/{token}/take-back")).status_code == 204  # it is free already
    assert client.post(path(one, "/held/nothing/take-back")).status_code == 404


def test_a_flag_or_hold_of_another_campaign_is_not_there(app: FastAPI, database: Database) -> None:
    one, token = busy(database)
    with database.write() as connection:
        other = open_campaign(connection, kind="thumbs")
        [flag] = flags.list_flags(connection, one.id)
    client = web.browser(app, database, web.person(database, "Ada", helpful_thumbs="lead"))
    assert client.post(path(other, f"/flags/{flag.id}/resolve")).status_code == 404
    assert client.post(path(other, f"/held/{token}/take-back")).status_code == 404


def test_the_page_shows_names_to_leads_only_and_runs_nothing(app: FastAPI, database: Database) -> None:
    one, _ = busy(database)
    lead = web.browser(app, database, web.person(database, "Ada", helpful_pairwise="lead")).get(
        f"/c/{one.slug}"
    )
    watcher = web.browser(app, database, web.person(database, "Vic", helpful_pairwise="viewer")).get(
        f"/c/{one.slug}"
    )
    assert lead.status_code == watcher.status_code == 200
    assert "Ben Franklin" in lead.text and "Ben Franklin" not in watcher.text
    assert "Mark as settled<" in lead.text and "Mark as settled<" not in watcher.text
    for page in (lead.text, watcher.text):
        assert "<script>alert" not in page and "&lt;script&gt;alert(1)" in page
        assert " style=" not in page and " onerror=" not in page.replace(
            "&lt;img src=x onerror=alert(1)&gt;", ""
        )


def test_who_only_labels_is_sent_to_work(app: FastAPI, database: Database) -> None:
    one, _ = busy(database)
    said = web.browser(app, database, web.person(database, "Lea", helpful_pairwise="labeller")).get(
        f"/c/{one.slug}"
    )
    assert (said.status_code, said.headers["location"]) == (303, f"/c/{one.slug}/label")


@pytest.mark.parametrize(
    "kind",
    ["pairwise", "ranking", "rating", "thumbs", "aspects", "demonstration", "edit", "conversation", "chat"],
)
def test_a_page_for_every_kind(app: FastAPI, database: Database, kind: Any) -> None:
    with database.write() as connection:
        one = open_campaign(connection, kind=kind)
        if kind not in ("conversation", "chat"):
            for task in leases.lease_items(connection, one, "r-0000000001", count=2):
                judge(connection, task, VALUES[one.kind], active_ms=2000)
    said = web.browser(app, database, web.person(database, "Ada", "owner")).get(f"/c/{one.slug}")
    assert said.status_code == 200 and "Recent judgements" in said.text


@pytest.mark.parametrize("role", ["lead", "viewer"])
def test_items_are_links_for_those_who_may_see_them(app: FastAPI, database: Database, role: str) -> None:
    one, token = busy(database)
    with database.write() as connection:
        connection.execute(
            update(assignments.assignment_table)
            .where(assignments.assignment_table.c.token == token)
            .values(expires_at="2026-01-01T00:00:00.000000Z")
        )
        [flag] = flags.list_flags(connection, one.id)
        [made] = judgements.list_current(connection, one.id)
    client = web.browser(app, database, web.person(database, "Eve", helpful_pairwise=role))
    page = client.get(f"/c/{one.slug}").text
    for number, word in ((flag.item_id, "item"), (flag.item_id, "Item"), (made.item_id, "item")):
        address = f"/c/{one.slug}/items/{number}"
        assert client.get(address).status_code == (200 if role == "lead" else 403)
        assert f"{word} {number}" in page
        assert (f'<a href="{address}">{word} {number}</a>' in page) == (role == "lead")


def test_what_was_judged_is_shown_when_all_items_are_archived(app: FastAPI, database: Database) -> None:
    one, _ = busy(database)
    with database.write() as connection:
        everything = [item.id for item in items.list_page(connection, one.id)]
        item_archive.set_archived(connection, one, everything, archived=True, by="system")
    page = web.browser(app, database, web.person(database, "Ada", "owner")).get(f"/c/{one.slug}").text
    assert "0 items" in page and "Recent judgements" in page and "No items yet" not in page
