"""Messages of LangChain and of OpenAI's newer API are read as messages."""

from typing import Any

import pytest

from data.conversions import WHERE
from fairlead.data.formats import chat_turns
from fairlead.data.records import Message, ToolCall
from fairlead.data.row_problem import BadRow


@pytest.mark.parametrize(
    "turn",
    [
        {"role": "user", "content": "2 + 2?"},
        {"from": "human", "value": "2 + 2?"},
        {
            "type": "human",
            "content": "2 + 2?",
            "additional_kwargs": {},
            "response_metadata": {"finish": "stop"},
        },
        {"type": "human", "data": {"content": "2 + 2?", "example": False}},
        {"lc": 1, "id": ["langchain", "HumanMessage"], "kwargs": {"content": "2 + 2?", "type": "human"}},
        {"role": "user", "content": [{"type": "input_text", "text": "2 + "}, {"type": "text", "text": "2?"}]},
    ],
)
def test_a_turn_in_any_layout(turn: Any) -> None:
    assert chat_turns.is_turn(turn) or "from" in turn
    assert chat_turns.read_conversation([turn], "input", WHERE) == (Message("user", "2 + 2?"),)
    assert chat_turns.read_conversation([[turn]], "input", WHERE) == (Message("user", "2 + 2?"),)


def test_tool_calls_of_langchain_are_kept() -> None:
    call = {"name": "add", "args": {"a": 2}, "id": "c1", "type": "tool_call"}
    turns = [
        {"type": "ai", "content": "", "tool_calls": [call]},
        {"type": "tool", "content": "2", "tool_call_id": "c1"},
        {"type": "ai", "content": "It is 2."},
    ]
    called, result, answer = chat_turns.read_answer(turns, "output", WHERE)
    assert called.tool_calls == (ToolCall("add", {"a": 2}, "c1"),)
    assert (result.role, result.tool_call_id, answer.content) == ("tool", "c1", "It is 2.")


@pytest.mark.parametrize("value", [7, [], [7], {"role": "user"}, [{"role": "critic", "content": "no"}]])
def test_other_values_are_refused(value: Any) -> None:
    with pytest.raises(BadRow):
        chat_turns.read_conversation(value, "input", WHERE)
