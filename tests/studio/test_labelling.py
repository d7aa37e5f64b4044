"""The labelling API: assignments, leases, drafts, judgements, skips, flags, guidelines."""

from typing import Any

import httpx
import pytest
from fastapi import FastAPI

import web
from fairlead.labels import campaigns
from fairlead.labels.campaigns import Campaign
from fairlead.labels.database import Database
from fairlead.studio.services import labelling, own_answers
from fairlead.studio.services.labelling import EXCERPT_LENGTH, GuidelinesStatus
from labels.build import LEAD, open_campaign

URL = "/api/v1/campaigns/helpful-pairwise"
BEST = {"value": {"choice": 1}, "active_ms": 1000}


@pytest.fixture
def campaign(database: Database) -> Campaign:
    with database.write() as connection:
        return open_campaign(connection, num_items=3)


@pytest.fixture
def ben(app: FastAPI, database: Database, campaign: Campaign) -> httpx.Client:
    """A labeller of the campaign."""
    return web.browser(app, database, web.person(database, "Ben", helpful_pairwise="labeller"))


def lease(client: httpx.Client, count: int = 1, **body: Any) -> list[dict[str, Any]]:
    response = client.post(f"{URL}/next", json={"count": count, **body})
    assert response.status_code == 200, response.text
    assignments: list[dict[str, Any]] = response.json()["assignments"]
    return assignments


def submit(
    client: httpx.Client, token: str, body: dict[str, Any] = BEST, key: str = "key-12345"
) -> httpx.Response:
    return client.post(f"{URL}/tasks/{token}/judgement", json=body, headers={"Idempotency-Key": key})


def test_next_leases_until_count_are_held(ben: httpx.Client) -> None:
    (first,) = lease(ben)
    both = lease(ben, 2)
    assert [assignment["token"] for assignment in both][0] == first["token"] and len(both) == 2
    response = ben.post(f"{URL}/next", json={"count": 5}).json()
    assert len(response["assignments"]) == 3  # the campaign has three items
    assert (response["state"], response["paused"]) == ("open", False)
    assert response["mine"] == {"today": 0, "total": 0, "median_active_ms": None}
    for count in (0, 6):
        assert ben.post(f"{URL}/next", json={"count": count}).status_code == 422


def test_an_assignment_shows_rendered_text_and_hides_sources(ben: httpx.Client) -> None:
    (assignment,) = lease(ben)
    assert assignment["kind"] == "pairwise" and assignment["draft"] is None
    assert "Question" in assignment["prompt"][0]["html"]
    assert [answer["letter"] for answer in assignment["answers"]] == ["A", "B"]
    assert all("Answer" in answer["html"] for answer in assignment["answers"])
    assert assignment["guidelines"] == {"version": 1, "read_version": 0, "changed": True}
    response = ben.get(f"{URL}/tasks/{assignment['token']}")
    assert "model-0" not in response.text and "model-1" not in response.text
    assert response.json() == assignment


def test_a_judgement_is_stored_once_per_key(ben: httpx.Client) -> None:
    (assignment,) = lease(ben)
    first = submit(ben, assignment["token"]).json()
    assert first["late"] is False
    assert submit(ben, assignment["token"]).json() == first
    corrected = submit(
        ben, assignment["token"], {"value": {"choice": 2}, "active_ms": 0}, key="key-67890"
    ).json()
    assert corrected["id"] != first["id"]
    mine = ben.post(f"{URL}/next", json={}).json()["mine"]
    assert (mine["today"], mine["total"]) == (1, 1)
    assert mine["median_active_ms"] <= 1000  # that of the first answer, cut to how long it was held


@pytest.mark.parametrize(
    ("body", "key"),
    [
        (BEST, "short"),
        ({"value": {"choice": 9}}, "key-12345"),
        ({"value": {"choice": 1}, "active_ms": -1}, "key-12345"),
        ({"active_ms": 5}, "key-12345"),
    ],
)
def test_an_invalid_judgement_is_refused_and_not_counted(
    ben: httpx.Client, body: dict[str, Any], key: str
) -> None:
    (assignment,) = lease(ben)
    assert submit(ben, assignment["token"], body, key).status_code == 422
    assert ben.post(f"{URL}/next", json={}).json()["mine"]["total"] == 0


def test_undo_returns_the_last_judgement_as_a_draft_in_the_letters_shown(ben: httpx.Client) -> None:
    assert ben.post(f"{URL}/undo").status_code == 404
    (assignment,) = lease(ben)
    submit(ben, assignment["token"], BEST | {"note": "clear"})
    reopened = ben.post(f"{URL}/undo").json()
    assert reopened["token"] == assignment["token"]
    assert reopened["draft"]["value"] == {"choice": 1} and reopened["draft"]["note"] == "clear"


def test_drafts_are_saved_returned_and_listed(ben: httpx.Client) -> None:
    (assignment,) = lease(ben)
    body = {"value": {}, "note": "  both\n are   fine", "active_ms": 7, "at": 12}
    assert ben.put(f"{URL}/tasks/{assignment['token']}/draft", json=body).status_code == 200
    draft = ben.get(f"{URL}/tasks/{assignment['token']}").json()["draft"]
    assert (draft["note"], draft["active_ms"], draft["at"]) == (body["note"], 7, 12)
    listed = ben.get(f"{URL}/drafts").json()["drafts"]
    assert listed == [
        {"token": assignment["token"], "item": assignment["item"], "excerpt": "both are fine", "how": None}
    ]
    submit(ben, assignment["token"])
    assert ben.get(f"{URL}/drafts").json() == {"drafts": []}


def test_released_items_come_back_and_skipped_items_do_not(ben: httpx.Client) -> None:
    (released,) = lease(ben)
    assert ben.post(f"{URL}/tasks/{released['token']}/release").status_code == 204
    (again,) = lease(ben)
    assert again["item"] == released["item"]
    response = ben.post(f"{URL}/tasks/{again['token']}/skip", json={"reason": "unclear"})
    assert response.status_code == 204, response.text
    assert again["item"] not in {assignment["item"] for assignment in lease(ben, 5)}


def test_a_heartbeat_extends_the_lease(ben: httpx.Client) -> None:
    (assignment,) = lease(ben)
    renewed = ben.post(f"{URL}/tasks/{assignment['token']}/heartbeat").json()
    assert renewed["expires_at"] >= assignment["expires_at"]
    assert ben.post(f"{URL}/tasks/nothing/heartbeat").status_code == 404


def test_a_flag_is_raised_for_the_leads(ben: httpx.Client) -> None:
    (assignment,) = lease(ben)
    response = ben.post(f"{URL}/tasks/{assignment['token']}/flag", json={"reason": "broken", "note": "empty"})
    assert response.status_code == 200 and isinstance(response.json()["id"], int)


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "", None),
        ("POST", "/heartbeat", None),
        ("POST", "/release", None),
        ("PUT", "/draft", {}),
        ("POST", "/skip", {"reason": "unclear"}),
        ("POST", "/flag", {"reason": "broken"}),
        ("POST", "/judgement", BEST),
    ],
)
def test_an_assignment_of_another_rater_is_not_found(
    app: FastAPI, database: Database, ben: httpx.Client, method: str, path: str, body: dict[str, Any] | None
) -> None:
    (assignment,) = lease(ben)
    ann = web.browser(app, database, web.person(database, "Ann", helpful_pairwise="labeller"))
    url = f"{URL}/tasks/{assignment['token']}{path}"
    response = ann.request(method, url, json=body, headers={"Idempotency-Key": "key-12345"})
    assert response.status_code == 404
    assert ben.get(f"{URL}/tasks/{assignment['token']}").json() == assignment


def test_guidelines_show_what_changed_since_they_were_read(
    ben: httpx.Client, database: Database, campaign: Campaign
) -> None:
    before = ben.get(f"{URL}/guide").json()
    assert (before["version"], before["read_version"], before["changes"]) == (1, 0, [])
    assert "Be fair." in before["html"]
    assert ben.post(f"{URL}/guide/read", json={"version": 1}).status_code == 204
    assert lease(ben)[0]["guidelines"] == {"version": 1, "read_version": 1, "changed": False}
    with database.write() as connection:
        campaigns.write_guidelines(connection, campaign, "# How to\nBe kind.", by=LEAD)
    after = ben.get(f"{URL}/guide").json()
    assert (after["version"], after["read_version"]) == (2, 1)
    assert "Be kind." in str(after["changes"])
    assert lease(ben)[0]["guidelines"]["changed"] is True


def test_a_preview_is_rendered_and_escaped(ben: httpx.Client) -> None:
    html = ben.post(f"{URL}/preview", json={"text": "**2** <img src=x>"}).json()["html"]
    assert "<strong>2</strong>" in html and "<img" not in html


def test_strangers_and_viewers_get_no_assignments(
    app: FastAPI, database: Database, campaign: Campaign
) -> None:
    viewer = web.browser(app, database, web.person(database, "Vi", helpful_pairwise="viewer"))
    assert viewer.post(f"{URL}/next", json={}).status_code in (403, 404)
    assert web.stranger(app).post(f"{URL}/next", json={}).status_code == 401


@pytest.mark.parametrize(
    ("draft", "excerpt"),
    [
        ({"value": {"text": "a\n b"}, "note": "n"}, "a b"),
        ({"value": {"edit": {"text": "edited"}}}, "edited"),
        ({"value": {"edit": "B"}, "note": "n"}, "n"),
        ({}, ""),
        ({"note": "x" * 200}, "x" * (EXCERPT_LENGTH - 1) + "…"),
    ],
)
def test_the_excerpt_of_a_draft(draft: dict[str, Any], excerpt: str) -> None:
    assert labelling._excerpt(draft) == excerpt


@pytest.mark.parametrize(("version", "read", "changed"), [(0, 0, False), (1, 0, True), (2, 2, False)])
def test_guidelines_have_changed_when_a_later_version_exists(version: int, read: int, changed: bool) -> None:
    status = labelling.guidelines_status(version, read)
    assert status == GuidelinesStatus(version=version, read_version=read, changed=changed)


def test_a_judgement_says_which_one_it_replaced(ben: httpx.Client) -> None:
    (assignment,) = lease(ben)
    token = assignment["token"]
    assert ben.get(f"{URL}/tasks/{token}").json()["judgement"] is None
    first = {"value": {"choice": 2}, "note": "short", "active_ms": 1000}
    assert submit(ben, token, first).json()["replaced"] is None
    assert ben.get(f"{URL}/tasks/{token}").json()["judgement"]["value"] == {"choice": 2}
    for _ in range(2):  # repeated, it tells the same
        replaced = submit(ben, token, key="key-67890").json()["replaced"]
        assert (replaced["value"], replaced["note"]) == ({"choice": 2}, "short")


def test_undo_reaches_back_over_what_is_open_already(ben: httpx.Client) -> None:
    tokens = []
    for n in range(3):
        (assignment,) = lease(ben)
        tokens.append(assignment["token"])
        submit(ben, assignment["token"], key=f"key-{n:05}")
    open_already: list[str] = []
    for token in reversed(tokens):
        again = ben.post(f"{URL}/undo", json={"open": open_already}).json()
        assert again["token"] == token and again["draft"]["value"] == {"choice": 1}
        open_already.append(token)
    assert ben.post(f"{URL}/undo", json={"open": open_already}).status_code == 404
    assert ben.post(f"{URL}/undo").json()["token"] == tokens[-1]


def test_own_answers_are_listed_newest_first_and_by_page(
    database: Database, campaign: Campaign, ben: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(own_answers, "PER_PAGE", 2)
    empty = ben.get(f"{URL}/answers").json()
    assert (empty["answers"], empty["total"], empty["num_pages"]) == ([], 0, 1)
    assert "No answers yet" in ben.get("/c/helpful-pairwise/answers").text
    tokens = []
    for n, choice in enumerate((1, 4, 7)):
        (assignment,) = lease(ben)
        tokens.append(assignment["token"])
        body = {"value": {"choice": choice}, "note": f"note {n}", "active_ms": 1000}
        submit(ben, assignment["token"], body, key=f"key-{n:05}")
    newest = ben.get(f"{URL}/answers").json()
    assert [one["token"] for one in newest["answers"]] == [tokens[2], tokens[1]]
    assert [one["answer"] for one in newest["answers"]] == ["B better", "Tie, both good"]
    assert (newest["total"], newest["page"], newest["num_pages"]) == (3, 1, 2)
    for page in (2, 99):
        oldest = ben.get(f"{URL}/answers", params={"page": page}).json()
        assert [one["note"] for one in oldest["answers"]] == ["note 0"] and oldest["page"] == 2
    shown = ben.get("/c/helpful-pairwise/answers").text
    assert f"/c/helpful-pairwise/label?task={tokens[2]}" in shown and "Page 1 of 2" in shown
    submit(ben, tokens[0], {"value": {"cannot": "judge"}}, key="key-again")
    assert ben.get(f"{URL}/answers").json()["answers"][0]["answer"] == "Cannot be judged"
    ben.post(f"{URL}/tasks/{tokens[0]}/skip", json={"reason": "unclear"})
    assert ben.get(f"{URL}/answers").json()["total"] == 2


def test_nobody_lists_the_answers_of_somebody_else(
    app: FastAPI, database: Database, ben: httpx.Client
) -> None:
    (assignment,) = lease(ben)
    submit(ben, assignment["token"])
    cy = web.browser(app, database, web.person(database, "Cy", helpful_pairwise="labeller"))
    assert cy.get(f"{URL}/answers").json()["total"] == 0


def test_a_campaign_that_requires_reading_gives_nothing_before(
    database: Database, campaign: Campaign, ben: httpx.Client
) -> None:
    with database.write() as connection:
        campaigns.change(connection, campaign, by=LEAD, read_first=True)
    response = ben.post(f"{URL}/next", json={}).json()
    assert (response["assignments"], response["must_read"]) == ([], True)
    ben.post(f"{URL}/guide/read", json={"version": 1})
    response = ben.post(f"{URL}/next", json={}).json()
    assert (len(response["assignments"]), response["must_read"]) == (1, False)
    with database.write() as connection:
        campaigns.write_guidelines(connection, campaign, "# How to\nBe kind.", by=LEAD)
    assert ben.post(f"{URL}/next", json={}).json()["must_read"] is True
