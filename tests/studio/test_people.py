"""Owners and leads, and the people whom they ask in, pause and erase."""

from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import select

import web
from fairlead.data.records import Message
from fairlead.labels import campaigns, drafts, events, items, people
from fairlead.labels.database import Database
from fairlead.labels.items import CandidateAnswer, NewItem

HERE = "/api/v1/campaigns/helpful"


@pytest.fixture
def helpful(database: Database) -> None:
    with database.write() as connection:
        campaigns.create(
            connection, campaigns.CampaignSettings(name="Helpful", kind="pairwise"), by="r-00000000aa"
        )


def come(app: FastAPI, url: str, name: str) -> httpx.Client:
    """Somebody new opens a link."""
    client = web.stranger(app)
    said = client.post("/api/v1/join", json={"secret": url.rpartition("/")[2], "name": name, "agree": True})
    assert said.status_code == 200, said.text
    client.headers["X-CSRF-Token"] = said.json()["csrf"]
    return client


def work_to_do(database: Database) -> None:
    """Two pairs in the campaign, which is opened."""
    with database.write() as connection:
        here = campaigns.get(connection, "helpful")
        answers = tuple(CandidateAnswer((Message("assistant", text),)) for text in ("yes", "no"))
        items.add(
            connection, here, [NewItem((Message("user", f"{n}?"),), answers) for n in range(2)], by="system"
        )
        campaigns.set_state(connection, here, "open", by="system")


def answer_to(app: FastAPI, url: str) -> int:
    """The status for somebody new who opens a link."""
    body = {"secret": url.rpartition("/")[2], "name": "Eve", "agree": True}
    return web.stranger(app).post("/api/v1/join", json=body).status_code


# ---------------------------------------------------------------- a campaign


@pytest.mark.parametrize("end", ["removed", "demoted", "erased"])
def test_links_end_with_the_role_of_who_made_them(
    app: FastAPI, database: Database, helpful: None, end: str
) -> None:
    owner = web.browser(app, database, web.person(database, "Olga", "owner"))
    lea = web.person(database, "Lea", helpful="lead")
    made = web.browser(app, database, lea).post(f"{HERE}/invites", json={"role": "lead", "uses": 3}).json()
    assert answer_to(app, made["url"]) == 200
    if end == "removed":
        assert owner.delete(f"{HERE}/people/{lea.rater}").status_code == 204
    elif end == "demoted":
        assert owner.patch(f"{HERE}/people/{lea.rater}", json={"role": "labeller"}).status_code == 200
    else:
        assert owner.post(f"/api/v1/people/{lea.rater}/erase", json={"confirm": "Lea"}).status_code == 204
    assert answer_to(app, made["url"]) == 404


def test_links_into_the_studio_end_with_the_role_of_who_made_them(app: FastAPI, database: Database) -> None:
    olga, ada = web.person(database, "Olga", "owner"), web.person(database, "Ada", "owner")
    made = web.browser(app, database, ada).post("/api/v1/invites", json={"role": "lead", "uses": 3}).json()
    owner = web.browser(app, database, olga)
    assert owner.patch(f"/api/v1/people/{ada.rater}", json={"role": "viewer"}).status_code == 200
    assert answer_to(app, made["url"]) == 404


def test_a_new_password_ends_the_other_links_of_the_person(app: FastAPI, database: Database) -> None:
    owner = web.browser(app, database, web.person(database, "Olga", "owner"))
    added = owner.post("/api/v1/people", json={"name": "Ada", "email": "ada@example.org"}).json()
    newer = owner.post(f"/api/v1/people/{added['person']['rater']}/link").json()
    body = {"email": "ada@example.org", "password": "correct horse"}
    for link, status in ((newer, 200), (added, 404)):
        secret = {"secret": link["url"].rpartition("/")[2]}
        assert web.stranger(app).post("/api/v1/join", json=secret | body).status_code == status


@pytest.mark.parametrize("end", ["viewer", "removed", "erased", "erases"])
def test_items_of_who_leaves_go_to_others(app: FastAPI, database: Database, helpful: None, end: str) -> None:
    work_to_do(database)
    lead = web.browser(app, database, web.person(database, "Olga", "owner"))
    ada, ben = (web.person(database, name, helpful="labeller") for name in ("Ada", "Ben"))
    kept = lead.post(f"{HERE}/reservations", json={"rater": ben.rater})
    assert kept.json() == {"num_changed": 2}
    leaving = web.browser(app, database, ben)
    assert len(leaving.post(f"{HERE}/next", json={"count": 1}).json()["assignments"]) == 1
    staying = web.browser(app, database, ada)
    assert staying.post(f"{HERE}/next", json={"count": 2}).json()["assignments"] == []
    done = {
        "viewer": lambda: lead.patch(f"{HERE}/people/{ben.rater}", json={"role": "viewer"}),
        "removed": lambda: lead.delete(f"{HERE}/people/{ben.rater}"),
        "erased": lambda: lead.post(f"/api/v1/people/{ben.rater}/erase", json={"confirm": "Ben"}),
        "erases": lambda: leaving.post("/api/v1/me/erase", json={"confirm": "Ben"}),
    }[end]()
    assert done.is_success
    assert len(staying.post(f"{HERE}/next", json={"count": 2}).json()["assignments"]) == 2


def test_a_lead_asks_people_in(app: FastAPI, database: Database, helpful: None) -> None:
    lead = web.browser(app, database, web.person(database, "Lea", helpful="lead"))
    made = lead.post(f"{HERE}/invites", json={"role": "labeller", "uses": 2}).json()
    assert made["url"].startswith(f"{web.ORIGIN}/join/") and made["uses_left"] == 2
    ada = come(app, made["url"], "Ada")
    assert [invite["uses_left"] for invite in lead.get(f"{HERE}/invites").json()["invites"]] == [1]
    assert "url" not in lead.get(f"{HERE}/invites").json()["invites"][0]
    assert [one["name"] for one in lead.get(f"{HERE}/people").json()["people"]] == ["Ada", "Lea"]
    page = lead.get("/c/helpful/people")
    assert "Ada" in page.text and made["url"] not in page.text
    assert lead.delete(f"{HERE}/invites/{made['id']}").status_code == 204
    assert (
        web.stranger(app)
        .post("/api/v1/join", json={"secret": made["url"].rpartition("/")[2], "name": "B", "agree": True})
        .status_code
        == 404
    )
    assert ada.get(f"{HERE}/people").status_code == 403


def test_a_lead_pauses_promotes_and_removes(app: FastAPI, database: Database, helpful: None) -> None:
    lead, ada = (
        web.browser(app, database, web.person(database, "Lea", helpful="lead")),
        web.person(database, "Ada", helpful="labeller"),
    )
    place = f"{HERE}/people/{ada.rater}"
    assert lead.patch(place, json={"paused": True}).json()["paused"] is True
    assert web.browser(app, database, ada).get("/api/v1/me").json()["campaigns"][0]["paused"] is True
    changed = lead.patch(place, json={"paused": False, "role": "adjudicator"}).json()
    assert (changed["paused"], changed["role"]) == (False, "adjudicator")
    assert lead.patch(place, json={"role": "owner"}).status_code == 422
    assert lead.delete(place).status_code == 204 and lead.delete(place).status_code == 404
    assert web.browser(app, database, ada).get("/c/helpful/people").status_code == 404


def test_a_lead_cannot_leave_a_campaign_without_one_by_mistake(
    app: FastAPI, database: Database, helpful: None
) -> None:
    lea = web.person(database, "Lea", helpful="lead")
    lead = web.browser(app, database, lea)
    assert lead.patch(f"{HERE}/people/{lea.rater}", json={"role": "labeller"}).status_code == 409
    assert lead.delete(f"{HERE}/people/{lea.rater}").status_code == 409
    with database.write() as connection:
        people.set_role(connection, lea, "viewer", by="system")  # which gives no rights of a lead
    assert lead.patch(f"{HERE}/people/{lea.rater}", json={"role": "labeller"}).status_code == 409
    assert lead.delete(f"{HERE}/people/{lea.rater}").status_code == 409
    with database.write() as connection:
        people.set_role(connection, lea, "lead", by="system")
    assert lead.delete(f"{HERE}/people/{lea.rater}").status_code == 204


def test_who_watches_the_studio_and_leads_here_leads_also_what_they_make(
    app: FastAPI, database: Database, helpful: None
) -> None:
    client = web.browser(app, database, web.person(database, "Vic", "viewer", helpful="lead"))
    assert client.post("/api/v1/campaigns", json={"name": "Mine", "kind": "pairwise"}).status_code == 201
    assert client.get("/api/v1/campaigns/mine/people").status_code == 200


def test_who_watches_the_studio_and_labels_here_can_be_paused(
    app: FastAPI, database: Database, helpful: None
) -> None:
    work_to_do(database)
    vic = web.person(database, "Vic", "viewer", helpful="labeller")
    lead, client = (
        web.browser(app, database, web.person(database, "Lea", helpful="lead")),
        web.browser(app, database, vic),
    )
    assert lead.patch(f"{HERE}/people/{vic.rater}", json={"paused": True}).status_code == 200
    assert client.post(f"{HERE}/next", json={}).json()["assignments"] == []
    assert lead.patch(f"{HERE}/people/{vic.rater}", json={"paused": False}).status_code == 200
    assert len(client.post(f"{HERE}/next", json={}).json()["assignments"]) == 1


def test_a_lead_of_one_campaign_rules_over_no_other_and_over_nobodys_account(
    app: FastAPI, database: Database, helpful: None
) -> None:
    with database.write() as connection:
        campaigns.create(
            connection, campaigns.CampaignSettings(name="Other", kind="pairwise"), by="r-00000000aa"
        )
    lead, ada = (
        web.browser(app, database, web.person(database, "Lea", helpful="lead")),
        web.person(database, "Ada", other="labeller"),
    )
    assert lead.patch(f"{HERE}/people/{ada.rater}", json={"paused": True}).status_code == 404
    assert lead.get("/api/v1/campaigns/other/people").status_code == 404
    for method, path in (
        ("GET", "people"),
        ("POST", f"people/{ada.rater}/erase"),
        ("POST", f"people/{ada.rater}/link"),
        ("POST", "invites"),
    ):
        said = lead.request(
            method, f"/api/v1/{path}", json={"confirm": "Ada", "role": "lead"} if method == "POST" else None
        )
        assert said.status_code == 403, path


# ---------------------------------------------------------------- the studio


def test_an_owner_adds_somebody_who_comes_in_by_their_own_link(app: FastAPI, database: Database) -> None:
    owner = web.browser(app, database, web.person(database, "Olga", "owner"))
    added = owner.post(
        "/api/v1/people", json={"name": "Ada", "email": "ada@example.org", "role": "lead"}
    ).json()
    client = web.stranger(app)
    joined = client.post(
        "/api/v1/join",
        json={
            "secret": added["url"].rpartition("/")[2],
            "email": "ada@example.org",
            "password": "correct horse",
        },
    )
    assert joined.json()["rater"] == added["person"]["rater"] and joined.json()["role"] == "lead"
    assert owner.post("/api/v1/people", json={"name": "Eve", "email": "ADA@example.org"}).status_code == 409
    again = owner.post(f"/api/v1/people/{added['person']['rater']}/link").json()
    assert again["url"] != added["url"]


def test_an_owner_gives_and_takes_roles(app: FastAPI, database: Database) -> None:
    olga, ada = web.person(database, "Olga", "owner"), web.person(database, "Ada")
    owner = web.browser(app, database, olga)
    assert owner.patch(f"/api/v1/people/{olga.rater}", json={"role": None}).status_code == 409
    assert owner.patch(f"/api/v1/people/{ada.rater}", json={"role": "owner"}).json()["role"] == "owner"
    assert owner.patch(f"/api/v1/people/{olga.rater}", json={"role": None}).json()["role"] is None
    assert owner.get("/api/v1/people").status_code == 403  # from now on


def test_an_owner_asks_leads_in(app: FastAPI, database: Database) -> None:
    owner = web.browser(app, database, web.person(database, "Olga", "owner"))
    assert owner.post("/api/v1/invites", json={"role": "labeller"}).status_code == 422
    made = owner.post("/api/v1/invites", json={"role": "lead"}).json()
    assert "lead" in web.stranger(app).get(f"/join/{made['url'].rpartition('/')[2]}").text
    assert come(app, made["url"], "Lea").get("/api/v1/me").json()["role"] == "lead"
    second = owner.post("/api/v1/invites", json={"role": "viewer", "uses": 3}).json()
    assert [one["role"] for one in owner.get("/api/v1/invites").json()["invites"]] == ["viewer"]
    assert owner.delete(f"/api/v1/invites/{second['id']}").status_code == 204
    assert owner.get("/api/v1/invites").json()["invites"] == []


def in_files(folder: Path, name: str) -> bool:
    """Of SQLite."""
    return any(name.encode() in path.read_bytes() for path in folder.glob("studio.db*"))


def test_erasing_somebody_takes_their_name(
    app: FastAPI, database: Database, helpful: None, tmp_path: Path
) -> None:
    owner, ada = (
        web.browser(app, database, web.person(database, "Olga", "owner")),
        web.person(database, "Ada", helpful="labeller"),
    )
    client = web.browser(app, database, ada)
    wrong = owner.post(f"/api/v1/people/{ada.rater}/erase", json={"confirm": "Eve"})
    assert wrong.status_code == 422 and wrong.json()["error"]["field"] == "confirm"
    assert owner.post(f"/api/v1/people/{ada.rater}/erase", json={"confirm": "Ada"}).status_code == 204
    assert client.get("/api/v1/me").status_code == 401
    assert "Ada" not in owner.get("/people").text and "Ada" not in owner.get("/c/helpful/people").text
    assert not in_files(tmp_path, "Ada")
    with database.read() as connection:
        assert events.verify(connection).problem is None


def test_people_erase_themselves(app: FastAPI, database: Database, tmp_path: Path) -> None:
    ada = web.person(database, "Ada")
    client = web.browser(app, database, ada)
    assert client.post("/api/v1/me/erase", json={"confirm": "ada"}).status_code == 422
    assert client.post("/api/v1/me/erase", json={"confirm": " Ada "}).status_code == 204
    assert client.get("/api/v1/me").status_code == 401
    with database.read() as connection:
        assert people.list_all(connection) == []
    assert not in_files(tmp_path, "Ada")


def test_drafts_go_with_who_is_erased(app: FastAPI, database: Database, helpful: None) -> None:
    work_to_do(database)
    ada, ben = (web.person(database, name, helpful="labeller") for name in ("Ada", "Ben"))
    for one in (ada, ben):
        client = web.browser(app, database, one)
        [task] = client.post(f"{HERE}/next", json={}).json()["assignments"]
        saved = client.put(f"{HERE}/tasks/{task['token']}/draft", json={"note": f"I am {one.name}"})
        assert saved.status_code == 200 and client.get(f"{HERE}/drafts").json()["drafts"]
    assert client.post("/api/v1/me/erase", json={"confirm": "Ben"}).status_code == 204
    owner = web.browser(app, database, web.person(database, "Olga", "owner"))
    assert owner.post(f"/api/v1/people/{ada.rater}/erase", json={"confirm": "Ada"}).status_code == 204
    with database.read() as connection:
        assert connection.execute(select(drafts.draft_table)).all() == []


def test_the_last_owner_stays(app: FastAPI, database: Database) -> None:
    owner = web.browser(app, database, web.person(database, "Olga", "owner"))
    assert owner.post("/api/v1/me/erase", json={"confirm": "Olga"}).status_code == 409


# ---------------------------------------------------------------- pages


def test_names_are_text_on_every_page(app: FastAPI, database: Database, helpful: None) -> None:
    name = '<img src=x onerror="alert(1)">'
    ada = web.person(database, name, "owner", helpful="lead")
    client = web.browser(app, database, ada)
    for path in ("/me", "/people", "/c/helpful/people"):
        page = client.get(path)
        assert page.status_code == 200 and "<img" not in page.text and "&lt;img" in page.text


@pytest.mark.parametrize("path", ["/login", "/me", "/people", "/c/helpful/people"])
def test_pages_keep_to_the_policy(app: FastAPI, database: Database, helpful: None, path: str) -> None:
    """Nothing inline, which the browser would refuse."""
    one = (
        web.browser(app, database, web.person(database, "Olga", "owner"))
        if path != "/login"
        else web.stranger(app)
    )
    text = one.get(path).text
    assert (
        " style=" not in text
        and "<style" not in text
        and " onclick" not in text
        and "javascript:" not in text
    )
    assert text.count("<script") == text.count('<script type="module" src="/static/')


def test_pages_show_what_their_reader_may(app: FastAPI, database: Database, helpful: None) -> None:
    def links(one: people.Person, path: str) -> set[str]:
        text = web.browser(app, database, one).get(path).text
        return {
            href
            for href in ("/work", "/campaigns", "/runs", "/people", "/c/helpful/label")
            if f'href="{href}"' in text
        }

    assert links(web.person(database, "Olga", "owner"), "/me") == {"/work", "/campaigns", "/runs", "/people"}
    assert links(web.person(database, "Lea", helpful="lead"), "/c/helpful/people") == {
        "/work",
        "/campaigns",
        "/runs",
        "/c/helpful/label",
    }
    assert links(web.person(database, "Vic", helpful="viewer"), "/me") == {"/campaigns", "/runs"}
    assert links(web.person(database, "Ada", helpful="labeller"), "/me") == {"/work"}
