from collections.abc import Mapping
from typing import Any

import pytest

from fairlead.data.importer import FORMATS, first_format
from fairlead.data.records import (
    Binary,
    Comparison,
    Demonstration,
    Message,
    Prompt,
    Ranking,
    Rating,
    Stepwise,
)
from fairlead.data.row_problem import BadRow, RowLocation

WHERE = RowLocation("rows.jsonl", 7)
ASKED = (Message("user", "2 + 2?"),)
FOUR = (Message("assistant", "4"),)
FIVE = (Message("assistant", "5"),)
USER = {"role": "user", "content": "2 + 2?"}
SAYS_4 = {"role": "assistant", "content": "4"}
SAYS_5 = {"role": "assistant", "content": "5"}


def converted(format: str, row: Mapping[str, Any]) -> object:
    """What becomes of a row of which the format is detected."""
    assert first_format(row) == format
    return FORMATS[format].convert(row, WHERE)


def problem(format: str, row: Mapping[str, Any]) -> str:
    with pytest.raises(BadRow) as caught:
        FORMATS[format].convert(row, WHERE)
    return str(caught.value).removeprefix("rows.jsonl:7: ")


ROWS: list[tuple[str, dict[str, Any], object]] = [
    ("native", {"prompt": [USER], "completion": [SAYS_4]}, Demonstration(ASKED, FOUR)),
    (
        "native",
        {"prompt": [USER], "chosen": [SAYS_4], "rejected": [SAYS_5], "margin": 1},
        Comparison(ASKED, FOUR, FIVE, 1.0),
    ),
    ("alpaca", {"instruction": "2 + 2?", "input": "", "output": "4"}, Demonstration(ASKED, FOUR)),
    (
        "alpaca",
        {"instruction": "Add.", "input": "2, 2", "output": "4"},
        Demonstration((Message("user", "Add.\n\n2, 2"),), FOUR),
    ),
    (
        "alpaca",
        {"instruction": "2 + 2?", "output": "4", "chosen": "4", "rejected": "5"},
        Comparison(ASKED, FOUR, FIVE),
    ),
    (
        "hh",
        {"chosen": "\n\nHuman: 2 + 2?\n\nAssistant: 4", "rejected": "\n\nHuman: 2 + 2? \n\nAssistant:5"},
        Comparison(ASKED, FOUR, FIVE),
    ),
    (
        "plain",
        {"prompt": "2 + 2?", "chosen": "4", "rejected": "5", "rater": "ann"},
        Comparison(ASKED, FOUR, FIVE, rater="ann"),
    ),
    ("plain", {"prompt": "2 + 2?", "completion": "4"}, Demonstration(ASKED, FOUR)),
    ("plain", {"prompt": "2 + 2?", "completion": "4", "label": True}, Binary(ASKED, FOUR, True)),
    ("plain", {"prompt": "2 + 2?", "completion": "4", "score": 0.5}, Rating(ASKED, FOUR, 0.5)),
    (
        "plain",
        {"prompt": "2 + 2?", "completions": ["So 4.", "No, 5."], "labels": [True, False]},
        Stepwise(ASKED, ("So 4.", "No, 5."), (True, False)),
    ),
    (
        "native",
        {"prompt": [USER], "completions": ["So 4."], "labels": [True]},
        Stepwise(ASKED, ("So 4.",), (True,)),
    ),
    (
        "plain",
        {"prompt": "2 + 2?", "completions": ["4", "5"], "ranks": [1, 2]},
        Ranking(ASKED, (FOUR, FIVE), (1, 2)),
    ),
    ("plain", {"prompt": "2 + 2?", "chosen": None, "reference": "4"}, Prompt(ASKED, "4")),
]


@pytest.mark.parametrize(("format", "row", "record"), ROWS)
def test_a_row_is_recognised_and_converted(format: str, row: dict[str, Any], record: object) -> None:
    assert converted(format, row) == record


@pytest.mark.parametrize(
    "row",
    [{}, {"frage": "2 + 2?", "antwort": "4"}, {"instruction": "Add."}, {"chosen": "4", "rejected": "5"}],
)
def test_no_format_recognises_other_columns(row: dict[str, Any]) -> None:
    assert not [name for name in FORMATS if FORMATS[name].recognises(row)]


@pytest.mark.parametrize(
    ("format", "row", "expected"),
    [
        (
            "native",
            {"question": "a"},
            "prompt: is missing. A native row has prompt or messages; this row has question.",
        ),
        ("native", {}, "prompt: is missing. A native row has prompt or messages; this row has nothing."),
        ("alpaca", {"instruction": " ", "output": "4"}, 'instruction: " ": is empty'),
        ("alpaca", {"instruction": "Add.", "output": ""}, 'output: "": is empty'),
        ("alpaca", {"instruction": "Add.", "output": 4}, "output: 4: is not a string"),
        (
            "alpaca",
            {"instruction": "Add.", "chosen": "4", "rejected": "4"},
            'chosen: "4": chosen and rejected are equal',
        ),
        ("alpaca", {"instruction": "Add.", "chosen": "4"}, "rejected: is missing"),
        ("plain", {"prompt": "2 + 2?", "completion": ""}, 'completion: "": is empty'),
        ("plain", {"prompt": "2 + 2?", "chosen": "4"}, "rejected: is missing"),
        ("plain", {"prompt": ["2 + 2?"]}, 'prompt[0]: "2 + 2?": is not a turn'),
    ],
)
def test_bad_rows_are_refused_with_field_and_value(format: str, row: dict[str, Any], expected: str) -> None:
    assert problem(format, row).startswith(expected)
