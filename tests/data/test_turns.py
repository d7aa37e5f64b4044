"""Turns of conversations under the names that are common."""

from typing import Any

import pytest

from data.test_formats import WHERE
from fairlead.data.formats import turns
from fairlead.data.parsing import read_messages
from fairlead.data.records import Message, ToolCall
from fairlead.data.row_problem import BadRow

ADD = {"name": "add", "arguments": {"a": 2, "b": 2}}


@pytest.mark.parametrize(
    ("turn", "message"),
    [
        ({"from": "human", "value": "a"}, Message("user", "a")),
        ({"role": "User", "value": "a"}, Message("user", "a")),
        ({"from": "gpt", "content": "a"}, Message("assistant", "a")),
        ({"role": "developer", "content": [{"type": "text", "text": "a"}, "b"]}, Message("system", "ab")),
        ({"from": "observation", "value": "4"}, Message("tool", "4")),
        (
            {"from": "function_call", "value": '{"name": "add", "arguments": {"a": 2, "b": 2}}'},
            Message("assistant", "", tool_calls=(ToolCall("add", {"a": 2, "b": 2}),)),
        ),
        (
            {"role": "assistant", "content": None, "tool_calls": [{"id": "c1", "function": ADD}]},
            Message("assistant", "", tool_calls=(ToolCall("add", {"a": 2, "b": 2}, "c1"),)),
        ),
        ({"from": "gpt", "value": "a", "loss": False}, Message("assistant", "a", trained=False)),
        ({"from": "gpt", "value": "a", "weight": 0}, Message("assistant", "a", trained=False)),
    ],
)
def test_a_turn_becomes_a_message(turn: dict[str, Any], message: Message) -> None:
    assert read_messages(turns.read_turns([turn], "messages", WHERE), "messages", WHERE) == (message,)


@pytest.mark.parametrize(
    ("turn", "expected"),
    [
        ({"from": "owl", "value": "a"}, 't[0].from: "owl": is not a known speaker'),
        ({"role": "assistant", "content": "a", "score": 1}, "t[0].score: 1: is not read, and would be lost"),
        ({"from": "function_call", "value": "add 2"}, 't[0].value: "add 2": is not the JSON of a tool call'),
        ("a", 't[0]: "a": is not a turn'),
    ],
)
def test_a_turn_that_would_lose_something_is_refused(turn: object, expected: str) -> None:
    with pytest.raises(BadRow) as caught:
        turns.read_turns([turn], "t", WHERE)
    assert str(caught.value).removeprefix(f"{WHERE}: ").startswith(expected)


def test_conversations_may_be_json_text_as_in_csv_files() -> None:
    text = '[{"role": "user", "content": "a"}]'
    assert turns.read_turns(text, "messages", WHERE) == [{"role": "user", "content": "a"}]
    assert turns.read_question("[sic] a", "prompt", WHERE) == [{"role": "user", "content": "[sic] a"}]
