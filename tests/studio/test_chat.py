"""Live chat through the API: two blinded answers to each message, and the conversation that goes on from the
better one.
"""

import json

import pytest

from fairlead.labels import assignments, chats, events
from studio.live_chat import MODELS, Chat
from web import browser, person


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
    for letter, message in complete.items():  # in parts, as both answers are paced alike
        parts = [part["more"] for part in heard if part.get("letter") == letter and "more" in part]
        assert "".join(parts) == message["text"]
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


@pytest.mark.slow
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
