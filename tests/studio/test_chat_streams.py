"""Streams of chat answers: retries, storage, and one pace for every backend."""

import asyncio
import json
import time
from collections.abc import AsyncGenerator
from typing import Any

import pytest

from fairlead.labels import chats
from fairlead.studio.chat_backends import Piece
from fairlead.studio.chat_streams import CHARS_PER_S, TICK_S, ChatStreams
from studio.live_chat import Chat


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


class Paced:
    """Backends whose models write at their own speed."""

    def __init__(self, pieces: dict[str, list[tuple[float, str]]]) -> None:
        self.pieces = pieces  # source -> (seconds before the piece, its text)

    async def answer(self, source: str, messages: object, params: object) -> AsyncGenerator[Piece]:
        for seconds, text in self.pieces[source]:
            await asyncio.sleep(seconds)
            yield Piece(text)
        yield Piece("", finished=True)


def streamed(chat: Chat, backends: Paced) -> list[dict[str, Any]]:
    async def collect() -> list[dict[str, Any]]:
        streams = ChatStreams(chat.database, backends)  # type: ignore[arg-type]
        [turn] = chat.turns()
        return [json.loads(data[6:]) async for data in streams.stream(turn, ()) if data.startswith(b"data: ")]

    return asyncio.run(collect())


def test_a_fast_model_and_a_slow_one_are_shown_in_step(chat: Chat) -> None:
    chat.say(0, "Hello")
    [turn] = chat.turns()
    fast, slow = (answer.source for answer in turn.answers)
    frames = streamed(chat, Paced({fast: [(0, "f" * 90)], slow: [(0.05, "s" * 15) for _ in range(4)]}))
    lengths = {"A": 0, "B": 0}
    for one in frames:
        if "more" in one:
            lengths[one["letter"]] += len(one["more"])
            if one["letter"] == "B":  # a piece of A comes first, then one of B of the same length
                assert lengths["A"] == lengths["B"]
    assert lengths == {"A": 90, "B": 60}
    ends = [one["letter"] for one in frames if "html" in one]
    assert ends == ["B", "A"]  # the shorter answer, not the faster model


def test_no_backend_is_shown_faster_than_the_common_pace(chat: Chat) -> None:
    chat.say(0, "Hello")
    [turn] = chat.turns()
    at_once = Paced({answer.source: [(0, "x" * 200)] for answer in turn.answers})
    began = time.monotonic()
    frames = streamed(chat, at_once)
    per_tick = CHARS_PER_S * TICK_S
    assert time.monotonic() - began >= (200 / per_tick - 1) * TICK_S
    assert max(len(one.get("more", "")) for one in frames) <= per_tick


def test_a_page_that_comes_back_does_not_learn_which_answer_was_first(chat: Chat) -> None:
    chat.say(0, "Hello")
    [turn] = chat.turns()
    with chat.database.write() as connection:
        chats.store_answer(connection, turn.id, 1, text="The first to be complete.", finished=False)
    [shown] = chat.client.get(chat.talk).json()["turns"]
    assert [(one["answer"], one["cut"]) for one in shown["answers"]] == [(None, False), (None, False)]
    frames = chat.heard(0)
    assert [one["letter"] for one in frames if "html" in one] == ["A", "B"]
    [shown] = chat.client.get(chat.talk).json()["turns"]
    assert [one["answer"]["text"] for one in shown["answers"]][1] == "The first to be complete."


def test_an_answer_that_fails_does_not_hold_up_the_other(chat: Chat) -> None:
    chat.say(0, "Hello")
    [turn] = chat.turns()
    frames = streamed(chat, Paced({turn.answers[0].source: [], turn.answers[1].source: [(0, "Fine.")]}))
    assert {"letter": "A", "failed": True} in frames
    assert [one["text"] for one in frames if "html" in one] == ["Fine."]
