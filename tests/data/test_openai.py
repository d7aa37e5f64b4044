"""The OpenAI chat format: rows that are recognised and converted, and rows that are refused."""

from typing import Any

import pytest

from data.test_formats import ASKED, FIVE, FOUR, SAYS_4, SAYS_5, USER, WHERE, problem
from fairlead.data.formats import openai
from fairlead.data.importer import FORMATS
from fairlead.data.records import Comparison, Demonstration, Message

ROWS: list[tuple[dict[str, Any], object]] = [
    ({"messages": [USER, SAYS_4]}, Demonstration((), ASKED + FOUR)),
    (
        {
            "messages": [
                {"role": "developer", "content": "Sum."},
                USER | {"content": [{"type": "text", "text": "2 + 2?"}]},
                SAYS_4,
            ]
        },
        Demonstration((), (Message("system", "Sum."), *ASKED, *FOUR)),
    ),
    (
        {"prompt": "2 + 2?", "chosen": [USER, SAYS_4], "rejected": [USER, SAYS_5]},
        Comparison(ASKED, FOUR, FIVE),
    ),
]


@pytest.mark.parametrize(("row", "record"), ROWS)
def test_a_row_is_recognised_and_converted(row: dict[str, Any], record: object) -> None:
    assert next(name for name in FORMATS if FORMATS[name].recognises(row)) == "openai"
    assert openai.convert(row, WHERE) == record


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"text": "a"}, "messages: is missing. The row has text."),
        ({"messages": "a"}, 'messages: "a": is not a list of turns'),
        ({"messages": [1]}, "messages[0]: 1: is not a turn"),
        ({"messages": [USER, SAYS_4 | {"weight": 2}]}, "messages[1].weight: 2: "),
        (
            {"messages": [USER | {"content": [{"type": "image_url"}]}]},
            'messages[0].content: [{"type": "image_url"}]: ',
        ),
        ({"messages": [SAYS_4, USER]}, 'messages[0].role: "assistant": wrong role order'),
        (
            {"chosen": [USER, SAYS_4], "rejected": [USER, SAYS_4]},
            'chosen: "4": chosen and rejected are equal',
        ),
        ({"chosen": [USER, SAYS_4]}, "rejected: is missing"),
    ],
)
def test_bad_rows_are_refused_with_field_and_value(row: dict[str, Any], expected: str) -> None:
    assert problem("openai", row).startswith(expected)
