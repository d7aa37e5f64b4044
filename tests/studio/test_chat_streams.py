"""Streams of chat answers: retries and storage."""

import pytest

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
