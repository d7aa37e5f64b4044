"""Math-Shepherd: which step is right, and where a row must be refused."""

import pytest

from data.conversions import converted, judged, problem
from data.format_samples import SAMPLES
from fairlead.data.records import Message


def test_a_plus_after_a_step_says_that_it_is_right() -> None:
    (record,) = converted("math-shepherd", SAMPLES["math-shepherd"][0])
    assert record.prompt == (Message("user", "What is 2 + 3 + 4?"),)
    assert judged("math-shepherd", SAMPLES["math-shepherd"][0]) == [
        [("Step 1: 2 + 3 = 5.", True), ("Step 2: 5 + 4 = 8. The answer is: 8", False)]
    ]


@pytest.mark.parametrize(
    ("column", "value", "expected"),
    [
        ("label", "What is 2 + 3 + 4? Step 1: 2 + 3 = 5. +", "is not the input with + or - after step 2"),
        ("label", "Something else", "is not the input with + or - after step 1"),
        ("input", "What? Step 1: a ки and more", "has text after the last tag of a step"),
        ("input", "Step 1: a ки", "is not the input with + or - after step 1"),
    ],
)
def test_a_label_that_does_not_fit_the_steps_is_refused(column: str, value: str, expected: str) -> None:
    assert expected in problem("math-shepherd", SAMPLES["math-shepherd"][0] | {column: value})


def test_a_text_without_a_question_is_refused() -> None:
    row = {"input": "Step 1: a ки", "label": "Step 1: a +"}
    assert "has no question before the first step" in problem("math-shepherd", row)
