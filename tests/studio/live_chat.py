"""A live chat with an endpoint that answers, and the forms that choose its answerers."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from fairlead.data.records import Message
from fairlead.labels import campaigns, chats, items
from fairlead.labels.campaigns import Campaign
from fairlead.labels.chats import Answerer
from fairlead.labels.database import Database
from fairlead.labels.items import NewItem
from fairlead.store.artifact import Provenance, publish_artifact
from fairlead.store.project import PROJECT_FILE, create_project
from fairlead.studio.app import create_app
from fairlead.studio.settings import Settings
from studio.endpoint import Endpoint, endpoint
from studio.leads import Place, open_place
from web import browser, person

MODELS = ("endpoint:here/red", "endpoint:here/blue")


class Chat:
    """A campaign of live chat with two models, a labeller with a task, and a lead."""

    def __init__(self, app: FastAPI, database: Database, campaign: Campaign, server: Endpoint) -> None:
        self.app, self.database, self.campaign, self.server = app, database, campaign, server
        self.ada = person(database, "Ada", **{campaign.slug.replace("-", "_"): "labeller"})
        self.client = browser(app, database, self.ada)
        [task] = self.client.post(f"{self.home}/next", json={}).json()["assignments"]
        self.token = task["token"]

    @property
    def home(self) -> str:
        return f"/api/v1/campaigns/{self.campaign.slug}"

    @property
    def talk(self) -> str:
        return f"{self.home}/tasks/{self.token}/chat"

    def say(self, n: int, message: str) -> httpx.Response:
        return self.client.post(f"{self.talk}/turns", json={"n": n, "message": message})

    def heard(self, n: int) -> list[dict[str, Any]]:
        answer = self.client.get(f"{self.talk}/turns/{n}/stream")
        assert answer.headers["content-type"].startswith("text/event-stream")
        return [json.loads(line[6:]) for line in answer.text.splitlines() if line.startswith("data: ")]

    def choose(self, n: int, choice: int) -> httpx.Response:
        return self.client.put(
            f"{self.talk}/turns/{n}/choice", json={"choice": choice, "seen": {"A": 3, "B": 4}}
        )

    def turns(self) -> list[chats.ChatTurn]:
        with self.database.read() as connection:
            return chats.list_turns(connection, self.token)


@pytest.fixture
def chat(database: Database, database_url: str, tmp_path: Path) -> Iterator[Chat]:
    with endpoint() as server:
        folder = create_project(tmp_path / "project").root
        with open(folder / PROJECT_FILE, "a") as file:
            file.write(f'\n[studio.endpoints.here]\nurl = "{server.url}"\n')
        server.replies = {"red": ["I am **red**."], "blue": ["I am <b>blue</b>."]}
        with database.write() as connection:
            made = campaigns.create(
                connection, campaigns.CampaignSettings(name="Talk", kind="chat", seed="7"), by="system"
            )
            opening = (Message("system", "Be kind."), Message("user", "Ask about ships."))
            items.add(connection, made, [NewItem(opening)], by="system")
            chats.set_answerers(
                connection, made, [Answerer(source, {"temperature": 0.5}) for source in MODELS], by="system"
            )
            made = campaigns.set_state(connection, made, "open", by="system")
        app = create_app(Settings(database=database_url, project=folder), database)
        yield Chat(app, database, made, server)
        app.state.live.close()


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
def chat_place(database: Database, tmp_path: Path) -> Place:
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
def chat_lead(chat_place: Place) -> httpx.Client:
    return chat_place.browser(chat_place.person("Ada", "lead"))


def send(client: httpx.Client, path: str, **form: Any) -> httpx.Response:
    csrf = client.get("/api/v1/me").json()["csrf"]
    return client.post(path, data={"csrf": csrf, **form}, follow_redirects=False)


def who(place: Place, slug: str = "talk") -> list[Answerer]:
    with place.database.read() as connection:
        return chats.list_answerers(connection, place.campaign(slug).id)
