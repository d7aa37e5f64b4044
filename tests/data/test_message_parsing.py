"""Messages in the layouts in which data sets keep them: tool calls, reasoning, untrained turns."""

import json
from typing import Any

import pytest

from fairlead.data.parsing import parse_row
from fairlead.data.records import Demonstration, Message, ToolCall
from fairlead.data.row_problem import BadRow, RowLocation

WHERE = RowLocation("rows.jsonl", 7)
CALL = {"id": "call_1", "type": "function", "function": {"name": "add", "arguments": '{"a": 2, "b": 2}'}}
ASKED = [{"role": "user", "content": "2 + 2?"}]


def user(content: str) -> dict[str, Any]:
    return {"role": "user", "content": content}


def assistant(content: str) -> dict[str, Any]:
    return {"role": "assistant", "content": content}


def tool(content: str) -> dict[str, Any]:
    return {"role": "tool", "content": content}


def test_tool_calls_and_results_are_read_in_every_layout() -> None:
    call = ToolCall("add", {"a": 2, "b": 2}, "call_1")
    layouts: list[dict[str, Any]] = [
        {"tool_calls": [CALL]},
        {"content": "", "tool_calls": json.dumps([CALL])},
        {"content": "", "tool_calls": [{"id": "call_1", "name": "add", "arguments": {"a": 2, "b": 2}}]},
    ]
    for layout in layouts:
        turns = [
            *ASKED,
            {"role": "assistant", **layout},
            tool("4") | {"tool_call_id": "call_1", "name": "add"},
        ]
        record = parse_row("prompt", {"prompt": turns}, WHERE)
        assert record.prompt == (
            Message("user", "2 + 2?"),
            Message("assistant", "", tool_calls=(call,)),
            Message("tool", "4", tool_call_id="call_1", name="add"),
        )
    older = [
        *ASKED,
        {"role": "assistant", "content": None, "function_call": {"name": "now", "arguments": ""}},
    ]
    record = parse_row(
        "prompt", {"prompt": [*older, {"role": "function", "name": "now", "content": ""}]}, WHERE
    )
    assert record.prompt[1:] == (
        Message("assistant", "", tool_calls=(ToolCall("now", {}),)),
        Message("tool", "", name="now"),
    )


@pytest.mark.parametrize("key", ["reasoning_content", "reasoning", "thinking"])
def test_reasoning_is_read_under_its_usual_names(key: str) -> None:
    record = parse_row("demonstration", {"messages": [*ASKED, assistant("4") | {key: "Hm."}]}, WHERE)
    assert isinstance(record, Demonstration) and record.completion[1].reasoning == "Hm."
    empty = parse_row("demonstration", {"messages": [*ASKED, assistant("4") | {key: " "}]}, WHERE)
    assert isinstance(empty, Demonstration) and empty.completion[1].reasoning is None


@pytest.mark.parametrize("mark", [{"train": False}, {"weight": 0}, {"train": False, "weight": 0.0}])
def test_a_single_message_can_be_left_untrained(mark: dict[str, Any]) -> None:
    turns = [*ASKED, assistant("4") | mark, user("Sure?") | {"weight": 0}, assistant("Yes.") | {"weight": 1}]
    record = parse_row("demonstration", {"messages": turns}, WHERE)
    assert isinstance(record, Demonstration)
    assert [turn.trained for turn in record.completion] == [True, False, True, True]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (None, "messages[1].content: is missing. Fill it in, or drop the row"),
        (
            [{"type": "image"}, {"type": "text", "text": "4"}],
            "images, sound, video or files cannot be trained",
        ),
        ([{"type": "input_audio", "input_audio": {}}], "cannot be trained. Drop the row with --drop."),
        (4, "messages[1].content: 4: is not a string. Write text in quotes."),
    ],
)
def test_contents_that_are_no_text_are_refused_for_what_they_are(content: object, expected: str) -> None:
    turns = [*ASKED, {"role": "assistant", "content": content}]
    with pytest.raises(BadRow) as caught:
        parse_row("demonstration", {"messages": turns}, WHERE)
    assert expected in str(caught.value)
