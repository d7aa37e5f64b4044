"""The ShareGPT format: rows that are recognised and converted, and rows that are refused."""

from typing import Any

import pytest

from data.test_formats import ASKED, FIVE, FOUR, WHERE, problem
from fairlead.data.formats import sharegpt
from fairlead.data.importer import FORMATS
from fairlead.data.records import Comparison, Demonstration

ROWS: list[tuple[dict[str, Any], object]] = [
    (
        {"conversations": [{"from": "human", "value": "2 + 2?"}, {"from": "gpt", "value": "4"}], "id": 3},
        Demonstration((), ASKED + FOUR, id="3"),
    ),
    (
        {
            "conversations": [{"from": "human", "value": "2 + 2?"}],
            "chosen": {"from": "gpt", "value": "4"},
            "rejected": {"from": "gpt", "value": "5"},
        },
        Comparison(ASKED, FOUR, FIVE),
    ),
]


@pytest.mark.parametrize(("row", "record"), ROWS)
def test_a_row_is_recognised_and_converted(row: dict[str, Any], record: object) -> None:
    assert next(name for name in FORMATS if FORMATS[name].recognises(row)) == "sharegpt"
    assert sharegpt.convert(row, WHERE) == record


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"text": "a"}, "conversations: is missing"),
        ({"conversations": []}, "conversations: []: is not a list of turns"),
        ({"conversations": ["a"]}, 'conversations[0]: "a": is not a turn'),
        (
            {"conversations": [{"from": "owl", "value": "a"}]},
            'conversations[0].from: "owl": is not a known speaker',
        ),
        (
            {"conversations": [{"from": [], "value": "a"}]},
            "conversations[0].from: []: is not a known speaker",
        ),
        (
            {"conversations": [{"from": "gpt", "value": "a"}]},
            'messages[0].role: "assistant": wrong role order',
        ),
        (
            {"conversations": [{"from": "human", "value": "a"}], "chosen": {"from": "gpt", "value": "b"}},
            "rejected: is missing",
        ),
    ],
)
def test_bad_rows_are_refused_with_field_and_value(row: dict[str, Any], expected: str) -> None:
    assert problem("sharegpt", row).startswith(expected)
