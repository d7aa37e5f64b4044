"""Who answers in a live chat, as its lead says on the pages: in the wizard, and later in the settings."""

from pathlib import Path
from typing import Any

import httpx
import pytest

from fairlead.data.records import Message
from fairlead.labels import chats, items
from fairlead.labels.chats import Answerer
from fairlead.labels.database import Database
from fairlead.labels.items import NewItem
from fairlead.store.artifact import Provenance, publish_artifact
from fairlead.store.project import PROJECT_FILE
from studio.leads import Place, open_place

FORM = {
    "kind": "chat",
    "name": "Talk",
    "overlap": "1",
    "lease_min": "30",
    "points": "7",
    "currency": "EUR",
    "guidelines": "Be kind.",
}


@pytest.fixture
def place(database: Database, tmp_path: Path) -> Place:
    made = open_place(database, tmp_path)
    publish_artifact(
        made.project,
        "model",
        "sft",
        Provenance(parents=[], config={}, seed=0, metrics={}),
        fill=lambda folder: (folder / "x").touch(),
    )
    with open(made.project.root / PROJECT_FILE, "a") as file:
        file.write('\n[studio.endpoints.here]\nurl = "http://127.0.0.1:9/v1"\n')
    return made


@pytest.fixture
def lead(place: Place) -> httpx.Client:
    return place.browser(place.person("Ada", "lead"))


def send(client: httpx.Client, path: str, **form: Any) -> httpx.Response:
    csrf = client.get("/api/v1/me").json()["csrf"]
    return client.post(path, data={"csrf": csrf, **form}, follow_redirects=False)


def who(place: Place, slug: str = "talk") -> list[Answerer]:
    with place.database.read() as connection:
        return chats.list_answerers(connection, place.campaign(slug).id)


def test_the_wizard_sets_who_answers_and_opens(place: Place, lead: httpx.Client) -> None:
    page = lead.get("/new/task?kind=chat").text
    assert 'value="model:sft"' in page and 'value="endpoint:here/"' in page and "FAIRLEAD_KEY_HERE" in page
    answerers = {
        "who": ["model:sft", "", "endpoint:here/"],
        "there": ["left over", "", " llama-3 "],
        "temperature": ["0", "1", "0,5"],
    }
    made = send(lead, "/new", **FORM, **answerers, max_tokens=["64", "512", "128"], publish="true")
    assert made.status_code == 303 and place.campaign("talk").state == "open"
    assert who(place) == [
        Answerer("model:sft", {"temperature": 0.0, "max_tokens": 64}),
        Answerer("endpoint:here/llama-3", {"temperature": 0.5, "max_tokens": 128}),
    ]


@pytest.mark.parametrize(
    ("answerers", "why"),
    [
        ({"who": [""], "publish": "true"}, "This live chat has no answerer yet"),
        ({"who": ["model:gone"]}, "is not a model of the project"),
        ({"who": ["endpoint:here/"], "there": [" "]}, "must be endpoint:NAME/MODEL"),
        ({"who": ["model:sft"], "temperature": ["3"]}, "temperature must be 0 to 2"),
        ({"who": ["model:sft"], "max_tokens": [""]}, "1 to 8,192 tokens"),
    ],
)
def test_the_wizard_says_what_is_wrong_and_keeps_what_was_typed(
    place: Place, lead: httpx.Client, answerers: dict[str, Any], why: str
) -> None:
    refused = send(lead, "/new", **FORM, **answerers)
    assert (
        refused.status_code == 422
        and why in refused.text.replace("&#39;", "'")
        and 'value="Talk"' in refused.text
    )
    assert lead.get("/api/v1/campaigns").json() == {"campaigns": []}
    for chosen in filter(None, answerers["who"]):
        assert f'value="{chosen}" selected' in refused.text


def test_a_chat_is_not_opened_before_somebody_answers(place: Place, lead: httpx.Client) -> None:
    assert send(lead, "/new", **FORM).status_code == 303
    refused = lead.post("/api/v1/campaigns/talk/state", json={"state": "open"})
    assert (
        refused.status_code == 409
        and "this live chat has no answerer yet" in refused.json()["error"]["message"]
    )
    page = lead.get("/c/talk/settings").text
    assert "This live chat has no answerers yet" in page
    assert send(lead, "/c/talk/answerers", who=["", ""]).status_code == 422
    saved = send(lead, "/c/talk/answerers", who=["", "model:sft"])
    assert saved.status_code == 303 and who(place) == [
        Answerer("model:sft", {"temperature": 0.8, "max_tokens": 512})
    ]
    page = lead.get(saved.headers["location"]).text
    assert "has no answerers" not in page and 'value="model:sft" selected' in page and "Saved." in page
    assert lead.post("/api/v1/campaigns/talk/state", json={"state": "open"}).status_code == 200


def test_settings_show_who_answers_also_when_it_is_gone(place: Place, lead: httpx.Client) -> None:
    send(lead, "/new", **FORM)
    with place.database.write() as connection:
        talk = place.campaign("talk")
        items.add(connection, talk, [NewItem((Message("user", "Hello"),))], by="system")
        before = [
            Answerer("endpoint:away/a/b", {"temperature": 1.5, "max_tokens": 9}),
            Answerer("model:sft", {}),
        ]
        chats.set_answerers(connection, talk, before, by="system")
    page = lead.get("/c/talk/settings").text
    assert (
        "endpoint:away/ (no longer available)" in page
        and 'value="a/b"' in page
        and 'value="1.5"' in page
        and 'value="9"' in page
    )


def test_other_kinds_have_no_such_field(place: Place, lead: httpx.Client) -> None:
    send(lead, "/new", **FORM | {"kind": "thumbs", "name": "Thumbs"})
    for path in ("/new/task?kind=thumbs", "/c/thumbs/settings"):
        assert "Answerers" not in lead.get(path).text
    assert send(lead, "/c/thumbs/answerers", who=["model:sft"]).status_code == 422
