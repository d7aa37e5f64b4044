"""Conversations in one column, with what stands beside it."""

import json
from typing import Any

import pytest

from data.test_formats import ASKED, FIVE, FOUR, SAYS_4, SAYS_5, USER, converted, problem
from fairlead.data.records import Binary, Comparison, Demonstration, Message

SYSTEM = Message("system", "Be brief.")
EARLIER = (Message("user", "1 + 1?"), Message("assistant", "2"))
SHARE = [{"from": "human", "value": "2 + 2?"}, {"from": "gpt", "value": "4"}]


ROWS: list[tuple[str, dict[str, Any], object]] = [
    ("openai", {"messages": json.dumps([USER, SAYS_4])}, Demonstration((), ASKED + FOUR)),  # as in CSV files
    ("openai", {"messages": [USER, SAYS_4], "label": "False"}, Binary(ASKED, FOUR, False)),
    ("openai", {"messages": [USER, SAYS_4], "label": 1}, Binary(ASKED, FOUR, True)),
    ("openai", {"messages": [USER, SAYS_4], "label": "rejected"}, Binary(ASKED, FOUR, False)),
    ("openai", {"messages": [USER, SAYS_4], "label": "thumbs_up"}, Binary(ASKED, FOUR, True)),
    (
        "openai",
        {"messages": [USER, SAYS_4], "system": "Be brief."},
        Demonstration((), (SYSTEM, *ASKED, *FOUR)),
    ),
    ("openai", {"messages": [USER, SAYS_4], "prompt": "2 + 2?"}, Demonstration((), ASKED + FOUR)),
    ("openai", {"messages": [USER, SAYS_4], "rejected_response": "5"}, Comparison(ASKED, FOUR, FIVE)),
    (
        "openai-preference",
        {"input": {"messages": [USER]}, "preferred_output": [SAYS_4], "non_preferred_output": [SAYS_5]},
        Comparison(ASKED, FOUR, FIVE),
    ),
    ("sharegpt", {"conversations": SHARE, "system": "Be brief."}, Demonstration((), (SYSTEM, *ASKED, *FOUR))),
    ("sharegpt", {"conversation": [USER, SAYS_4]}, Demonstration((), ASKED + FOUR)),
    ("sharegpt", {"conversations": SHARE, "kto_tag": "true"}, Binary(ASKED, FOUR, True)),
    (
        "sharegpt",
        {"conversations": SHARE[:1], "chosen": "4", "rejected": {"role": "assistant", "content": "5"}},
        Comparison(ASKED, FOUR, FIVE),
    ),
]


@pytest.mark.parametrize(("format", "row", "record"), ROWS)
def test_a_row_is_recognised_and_converted(format: str, row: dict[str, Any], record: object) -> None:
    assert converted(format, row) == record


@pytest.mark.parametrize(
    ("format", "row", "expected"),
    [
        (
            "openai",
            {"messages": [USER, SAYS_4], "label": "perhaps"},
            'label: "perhaps": says neither good nor',
        ),
        (
            "openai",
            {"messages": [USER, SAYS_4], "label": 1, "kto_tag": False},
            "label: 1: contradicts kto_tag",
        ),
        ("openai", {"messages": [USER, SAYS_4], "label": -1}, "label: -1: says neither good nor bad"),
        (
            "openai",
            {"messages": [USER, SAYS_4 | {"training": False}]},
            "messages[1].training: false: is not read, and would be lost",
        ),
        ("openai", {"messages": [{"text": "2 + 2?"}]}, 'messages[0]: {"text": "2 + 2?"}: is a turn without'),
        ("openai", {"messages": [USER], "label": True}, "messages[0]: is not an answer, but has a label"),
        ("openai", {"messages": [USER, SAYS_4 | {"rating": 1}]}, "messages[1].rating: 1: is not read"),
        ("openai", {"messages": [USER, SAYS_4], "prompt": "3 + 3?"}, 'prompt: "3 + 3?": is not in the conv'),
        (
            "openai",
            {"messages": [{"role": "system", "content": "Sing."}, USER, SAYS_4], "system": "Be brief."},
            'system: "Be brief.": differs from the system message',
        ),
    ],
)
def test_bad_rows_are_refused_with_field_and_value(format: str, row: dict[str, Any], expected: str) -> None:
    assert problem(format, row).startswith(expected)
