"""Live chat through the API: two blinded answers to each message, and the conversation that goes on from the better one."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from fairlead.data.records import Message
from fairlead.labels import assignments, campaigns, chats, events, items
from fairlead.labels.campaigns import Campaign
from fairlead.labels.chats import Answerer
from fairlead.labels.database import Database
from fairlead.labels.items import NewItem
from fairlead.store.project import PROJECT_FILE, create_project
from fairlead.studio.app import create_app
from fairlead.studio.settings import Settings
from studio.endpoint import Endpoint, endpoint
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


def test_a_conversation_goes_on_from_the_better_answer(chat: Chat) -> None:
    assert chat.client.get(chat.talk).json() == {
        "opening": "Ask about ships.",
        "turns": [],
        "most_turns": chats.MAX_TURNS,
    }
    said = chat.say(0, "What is a *ship*?").json()
    assert said["message"]["html"].startswith("<p") and [one["answer"] for one in said["answers"]] == [
        None,
        None,
    ]
    heard = chat.heard(0)
    assert heard[-1] == {"end": True}
    complete = {one["letter"]: one for one in heard if "html" in one}
    assert {one["text"] for one in complete.values()} == {"I am **red**.", "I am <b>blue</b>."}
    assert {"letter": "A", "more": complete["A"]["text"]} in heard
    html = complete["A"]["html"] + complete["B"]["html"]
    assert "<strong>red</strong>" in html and "&lt;b&gt;blue" in html
    chosen = chat.choose(0, 7).json()
    assert (chosen["choice"], chosen["continues"]) == (7, "B")
    assert chat.say(1, "And a boat?").status_code == 200
    chat.heard(1)
    asked = [body["messages"] for body in chat.server.asked if len(body["messages"]) > 2]
    before = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "What is a *ship*?"}]
    assert len(asked) == 2
    for messages in asked:
        assert messages == [
            *before,
            {"role": "assistant", "content": complete["B"]["text"]},
            {"role": "user", "content": "And a boat?"},
        ]
    chat.choose(1, 4)
    sent = chat.client.post(
        f"{chat.home}/tasks/{chat.token}/judgement",
        json={"value": {}},
        headers={"Idempotency-Key": "key-12345"},
    )
    assert sent.status_code == 200
    with chat.database.read() as connection:
        rows = chats.comparison_turns(
            assignments.get(connection, chat.token, chat.ada.rater).item,
            chats.list_turns(connection, chat.token),
        )
    assert [(len(row["prompt"]), row["choice"], row["seen"]) for row in rows] == [
        (2, 7, {"A": 3, "B": 4}),
        (4, 4, {"A": 3, "B": 4}),
    ]
    assert {answer["source"] for answer in rows[0]["answers"]} == set(MODELS)


def test_nothing_tells_the_labeller_which_model_it_is(chat: Chat) -> None:
    said = [chat.say(0, "Hello"), chat.choose(0, 1), chat.client.get(chat.talk)]
    streamed = json.dumps(chat.heard(0))
    for text in [streamed, *(answer.text for answer in said)]:
        assert (
            "endpoint" not in text
            and "source" not in text
            and "temperature" not in text
            and "here" not in text
        )


def test_both_models_are_shown_on_both_sides(chat: Chat) -> None:
    first = []
    for n in range(16):
        chat.say(n, f"Message {n}")
        chat.heard(n)
        chat.choose(n, 1)
        pair = [answer.source for answer in chat.turns()[n].answers]
        assert set(pair) == set(MODELS)
        first.append(pair[0])
    assert 3 <= first.count(MODELS[0]) <= 13


def test_the_choice_may_come_before_the_answers_and_be_changed(chat: Chat) -> None:
    chat.say(0, "Hello")
    assert chat.choose(0, 2).json()["continues"] == "A"
    assert chat.say(1, "Go on").status_code == 409  # the chosen answer is not there yet
    chat.heard(0)
    assert chat.choose(0, 6).json()["continues"] == "B"
    assert chat.say(1, "Go on").status_code == 200
    assert chat.choose(0, 1).status_code == 409  # the conversation has gone on
    assert chat.turns()[0].choice == 6


def test_a_turn_needs_the_choice_of_the_one_before(chat: Chat) -> None:
    assert chat.say(1, "Too early").status_code == 409
    chat.say(0, "Hello")
    chat.heard(0)
    assert chat.say(1, "No choice yet").status_code == 409


def test_what_is_sent_twice_is_said_once(chat: Chat) -> None:
    assert chat.say(0, "Hello").json() == chat.say(0, "Hello").json()
    assert chat.say(0, "Something else").status_code == 409
    chat.heard(0)
    chat.heard(0)
    assert len(chat.turns()) == 1 and len(chat.server.asked) == 2  # and asked once of each


def test_an_answer_that_did_not_come_is_asked_for_again(chat: Chat, caplog: pytest.LogCaptureFixture) -> None:
    chat.say(0, "Hello")
    chat.server.status = 503
    *failed, end = chat.heard(0)
    assert sorted(failed, key=str) == [
        {"letter": "A", "failed": True},
        {"letter": "B", "failed": True},
    ] and end == {"end": True}
    assert "here answered 503" in caplog.text
    chat.server.status = 200
    assert len([one for one in chat.heard(0) if "html" in one]) == 2


def test_what_a_model_cannot_say_in_a_database_is_replaced(chat: Chat) -> None:
    chat.server.replies = {"red": ["a\x00b\ud800c"], "blue": ["x"]}
    chat.say(0, "Hello")
    chat.heard(0)
    texts = {answer.text for answer in chat.turns()[0].answers}
    assert texts == {"a\ufffdb?c", "x"}


@pytest.mark.parametrize("message", ["", "   ", "a\x00", "x" * (chats.LONGEST_MESSAGE + 1)])
def test_a_message_has_to_be_text(chat: Chat, message: str) -> None:
    assert chat.say(0, message).status_code == 422


def test_nobody_else_hears_it(chat: Chat) -> None:
    chat.say(0, "Hello")
    slug = chat.campaign.slug.replace("-", "_")
    other = browser(chat.app, chat.database, person(chat.database, "Ben", **{slug: "labeller"}))
    for answer in (
        other.get(chat.talk),
        other.get(f"{chat.talk}/turns/0/stream"),
        other.post(f"{chat.talk}/turns", json={"n": 0, "message": "Hello"}),
        other.put(f"{chat.talk}/turns/0/choice", json={"choice": 1}),
    ):
        assert answer.status_code == 404


def test_a_task_that_ended_says_no_more(chat: Chat) -> None:
    chat.client.post(f"{chat.home}/tasks/{chat.token}/release")
    assert chat.say(0, "Hello").status_code == 409


def test_a_lead_says_who_answers(chat: Chat) -> None:
    slug = chat.campaign.slug.replace("-", "_")
    lead = browser(chat.app, chat.database, person(chat.database, "Lea", **{slug: "lead"}))
    found = lead.get(f"{chat.home}/answerers").json()
    assert (
        [one["source"] for one in found["answerers"]] == list(MODELS)
        and found["endpoints"] == ["here"]
        and found["models"] == []
    )
    one = {"source": "endpoint:here/green", "temperature": 0.2, "max_tokens": 64}
    assert lead.put(f"{chat.home}/answerers", json={"answerers": [one]}).json()["answerers"] == [one]
    wrong = lead.put(f"{chat.home}/answerers", json={"answerers": [{"source": "endpoint:elsewhere/x"}]})
    assert wrong.status_code == 422 and "here" in wrong.json()["error"]["message"]
    chat.say(0, "Hello")
    chat.heard(0)
    assert [body["model"] for body in chat.server.asked] == ["green", "green"]
    assert chat.server.asked[0]["seed"] != chat.server.asked[1]["seed"]
    assert chat.client.get(f"{chat.home}/answerers").status_code == 403


def test_the_events_hold_no_words_and_no_models(chat: Chat) -> None:
    chat.say(0, "Something private")
    chat.heard(0)
    chat.choose(0, 3)
    with chat.database.read() as connection:
        told = [
            (one.verb, one.body) for one in events.list_after(connection, 0) if one.verb.startswith("chat.")
        ]
        assert events.verify(connection).problem is None
    assert [verb for verb, _ in told] == ["chat.answerers", "chat.turn", "chat.choice"]
    assert told[1][1] == {"turn": 0} and told[2][1]["choice"] == 3
