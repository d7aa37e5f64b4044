"""Prompts that are written as transcripts."""

import pytest

from data.conversions import converted
from data.sample_texts import BAD, GOOD
from fairlead.data.formats.transcript import open_transcript
from fairlead.data.records import Comparison, Demonstration


@pytest.mark.parametrize(
    ("text", "turns"),
    [
        ("\n\nHuman: Hi\n\nAssistant: Yes?\n\nHuman: Go.\n\nAssistant:", ["Hi", "Yes?", "Go."]),
        ("Human: Hi\nAssistant:", ["Hi"]),
        ("Human：Hi\nAssistant：", ["Hi"]),  # noqa: RUF001
        ("Human: Hi", None),
        ("Human: Hi\nAssistant: Yes", None),  # the answer may be what is asked about
        ("The words Human: and Assistant:", None),
        ("Assistant: Hi\nHuman: x\nAssistant:", None),
    ],
)
def test_a_text_that_ends_where_the_answer_begins_is_taken_apart(text: str, turns: list[str] | None) -> None:
    parsed = open_transcript(text)
    assert (None if parsed is None else [turn["content"] for turn in parsed]) == turns


def test_marks_of_a_transcript_are_no_part_of_a_prompt() -> None:
    prompt = "\n\nHuman: Hi\n\nAssistant: Yes?\n\nHuman: Go.\n\nAssistant:"
    (pair,) = converted("plain", {"prompt": prompt, "chosen": GOOD, "rejected": BAD})
    assert isinstance(pair, Comparison)
    assert [turn.content for turn in pair.prompt] == ["Hi", "Yes?", "Go."]
    (row,) = converted("alpaca", {"instruction": "Human: Go.\nAssistant:", "input": "", "output": GOOD})
    assert isinstance(row, Demonstration) and [turn.content for turn in row.prompt] == ["Go."]
