"""Alpaca rows with the columns that LLaMA-Factory adds."""

from typing import Any

import pytest

from data.test_formats import ASKED, FOUR, converted, problem
from fairlead.data.records import Binary, Demonstration, Message

SYSTEM = Message("system", "Be brief.")
EARLIER = (Message("user", "1 + 1?"), Message("assistant", "2"))
SHARE = [{"from": "human", "value": "2 + 2?"}, {"from": "gpt", "value": "4"}]


ROWS: list[tuple[str, dict[str, Any], object]] = [
    (
        "alpaca",
        {
            "instruction": "2 + 2?",
            "output": "4",
            "system": "Be brief.",
            "history": [["1 + 1?", "2"]],
        },
        Demonstration((SYSTEM, *EARLIER, *ASKED), FOUR),
    ),
    ("alpaca", {"instruction": "2 + 2?", "output": "4", "kto_tag": False}, Binary(ASKED, FOUR, False)),
]


@pytest.mark.parametrize(("format", "row", "record"), ROWS)
def test_a_row_is_recognised_and_converted(format: str, row: dict[str, Any], record: object) -> None:
    assert converted(format, row) == record


@pytest.mark.parametrize(
    ("format", "row", "expected"),
    [
        ("alpaca", {"instruction": "a", "output": "b", "history": ["c"]}, 'history[0]: "c": is not a pair'),
    ],
)
def test_bad_rows_are_refused_with_field_and_value(format: str, row: dict[str, Any], expected: str) -> None:
    assert problem(format, row).startswith(expected)
