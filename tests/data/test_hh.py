"""Transcripts of HH-RLHF: rows that are converted, and rows that are refused."""

from typing import Any

import pytest

from data.test_formats import FIVE, FOUR, converted, problem
from fairlead.data.records import Comparison, Message


def test_a_transcript_of_several_turns_is_split_at_its_last_answer() -> None:
    start = "\n\nHuman: Hi\n\nAssistant: Hello.\n\nIt is fine.\n\nHuman: 2 + 2?\n\nAssistant:"
    record = converted("hh", {"chosen": f"{start} 4", "rejected": f"{start} 5"})
    prompt = (Message("user", "Hi"), Message("assistant", "Hello.\n\nIt is fine."), Message("user", "2 + 2?"))
    assert record == Comparison(prompt, FOUR, FIVE)


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"chosen": "4", "rejected": "5"}, 'chosen: "4": does not begin with "Human:"'),
        ({"chosen": "So\n\nHuman: a\n\nAssistant: b", "rejected": "c"}, 'chosen: "So\\n\\nHuman: a'),
        (
            {"chosen": "\n\nHuman: a\n\nAssistant:", "rejected": "\n\nHuman: a\n\nAssistant: b"},
            'chosen[1].content: "": the answer is empty',
        ),
        (
            {"chosen": "\n\nHuman: a\n\nAssistant: b", "rejected": "\n\nHuman: a"},
            'rejected[0].role: "user": must end with assistant',
        ),
        (
            {
                "chosen": "\n\nHuman: a\n\nHuman: b\n\nAssistant: c",
                "rejected": "\n\nHuman: a\n\nAssistant: c",
            },
            'chosen[1].role: "user": wrong role order',
        ),
        (
            {"chosen": "\n\nHuman: a\n\nAssistant: b", "rejected": "\n\nHuman: other\n\nAssistant: c"},
            'rejected: "other": differs from chosen at turn 1, before the last answer',
        ),
        (
            {
                "chosen": "\n\nHuman: a\n\nAssistant: b",
                "rejected": "\n\nHuman: a\n\nAssistant: b\n\nHuman: c\n\nAssistant: d",
            },
            'rejected: "b": differs from chosen at turn 2, before the last answer',
        ),
    ],
)
def test_bad_rows_are_refused_with_field_and_value(row: dict[str, Any], expected: str) -> None:
    assert problem("hh", row).startswith(expected)
