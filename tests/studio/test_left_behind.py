"""Tasks of an earlier account in the same browser: whose they are, and taking them over."""

from collections.abc import Callable
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

import web
from fairlead.labels import assignments, drafts, people
from fairlead.labels.campaigns import Campaign
from fairlead.labels.database import Database
from fairlead.labels.passwords import hash_password
from labels.build import open_campaign

URL = "/api/v1/campaigns/helpful-pairwise"
ANSWER = {"value": {"choice": 1}, "active_ms": 1000}

Join = Callable[[str], httpx.Client]


@pytest.fixture
def campaign(database: Database) -> Campaign:
    with database.write() as connection:
        return open_campaign(connection, num_items=3, overlap=2)


@pytest.fixture
def join(app: FastAPI, database: Database, campaign: Campaign) -> Join:
    """Somebody who joins the campaign as a labeller, each time as a new person."""
    return lambda name: web.browser(app, database, web.person(database, name, helpful_pairwise="labeller"))


def lease(client: httpx.Client) -> dict[str, Any]:
    [task] = client.post(f"{URL}/next", json={}).json()["assignments"]
    return dict(task)


def lease_item(client: httpx.Client, item: int) -> dict[str, Any]:
    """A lease on this item; judges those that come before it."""
    while (task := lease(client))["item"] != item:
        headers = {"Idempotency-Key": f"key-{task['item']:08}"}
        client.post(f"{URL}/tasks/{task['token']}/judgement", json=ANSWER, headers=headers)
    return task


def whose(client: httpx.Client, *tokens: str, name: str = "") -> list[str]:
    response = client.post(f"{URL}/left-behind", json={"tokens": tokens, "name": name})
    assert response.status_code == 200, response.text
    return [task["whose"] for task in response.json()["tasks"]]


def take_over(client: httpx.Client, token: str, name: str = "") -> httpx.Response:
    return client.post(f"{URL}/tasks/{token}/take-over", json={"name": name})


def send(client: httpx.Client, token: str) -> httpx.Response:
    headers = {"Idempotency-Key": "key-12345"}
    return client.post(f"{URL}/tasks/{token}/judgement", json=ANSWER, headers=headers)


def test_somebody_who_joins_again_goes_on_where_they_were(database: Database, join: Join) -> None:
    before, now = join("Bea Example"), join(" bea  EXAMPLE")
    task = lease(before)
    before.put(f"{URL}/tasks/{task['token']}/draft", json={"value": {}, "note": "half a thought"})
    assert whose(now, task["token"]) == ["yours"]
    assert send(now, task["token"]).status_code == 404
    assert take_over(now, task["token"]).status_code == 204
    assert take_over(now, task["token"]).status_code == 204  # a page that closed too early asks again
    assert whose(now, task["token"]) == ["yours"]
    assert now.get(f"{URL}/tasks/{task['token']}").json()["draft"]["note"] == "half a thought"
    assert send(now, task["token"]).json()["late"] is False
    assert send(before, task["token"]).status_code == 404


def test_another_name_is_told_nothing_but_may_name_the_earlier_one(join: Join) -> None:
    before, now = join("Bea"), join("Cy")
    token = lease(before)["token"]
    assert whose(now, token) == ["other"] and take_over(now, token).status_code == 404
    assert whose(now, token, name="Ada") == ["other"] and take_over(now, token, "Ada").status_code == 404
    assert whose(now, token, name="Bea") == ["yours"]
    assert take_over(now, token, "Bea").status_code == 204
    assert send(now, token).status_code == 200


def test_names_are_not_guessed_without_end(join: Join) -> None:
    before, now = join("Bea"), join("Cy")
    token = lease(before)["token"]
    for n in range(20):
        assert whose(now, token, name=f"Name {n}") == ["other"]
    response = now.post(f"{URL}/left-behind", json={"tokens": [token], "name": "Bea"})
    assert response.status_code == 429
    assert whose(now, token) == ["other"]  # without a guess it may ask on


def test_an_account_that_can_log_in_has_to(database: Database, join: Join) -> None:
    before, now = join("Bea"), join("Bea")
    token = lease(before)["token"]
    with database.write() as connection:
        person = people.get(connection, rater_of(connection, token))
        password = hash_password("correct horse battery", forbidden=())
        people.change(connection, person, email="bea@example.org", password=password)
    assert whose(now, token) == ["log_in"]
    assert take_over(now, token).status_code == 404


def rater_of(connection: Any, token: str) -> str:
    query = assignments.assignment_table.select().where(assignments.assignment_table.c.token == token)
    return str(connection.execute(query).one().rater)


def test_what_was_answered_already_is_not_taken_over(join: Join) -> None:
    before, now = join("Bea"), join("Bea")
    arrived = lease(before)["token"]
    assert send(before, arrived).status_code == 200
    assert take_over(now, arrived).json()["error"]["message"].startswith("This item has your answer already")
    waiting = lease(before)
    again = waiting["token"]
    own = lease_item(now, waiting["item"])
    assert take_over(now, again).status_code == 204  # the lease on the same item is given back
    assert now.post(f"{URL}/tasks/{own['token']}/heartbeat").status_code == 409
    assert send(now, again).status_code == 200


def test_an_item_answered_under_both_names_stays_as_it_is(join: Join) -> None:
    before, now = join("Bea"), join("Bea")
    old = lease(before)
    new = lease_item(now, old["item"])
    assert send(now, new["token"]).status_code == 200
    response = take_over(now, old["token"])
    assert response.status_code == 409 and "again since then" in response.text


def test_tasks_of_others_campaigns_and_erased_people_are_left_out(
    app: FastAPI, database: Database, join: Join
) -> None:
    before, now = join("Bea"), join("Bea")
    token = lease(before)["token"]
    assert whose(now, "nonsense") == []
    with database.read() as connection:
        rater = rater_of(connection, token)
    with database.write() as connection:
        people.erase(connection, people.get(connection, rater), by="system")
        assert drafts.get_many(connection, rater, assignment_ids=[token]) == {}
    assert whose(now, token) == [] and take_over(now, token).status_code == 404
