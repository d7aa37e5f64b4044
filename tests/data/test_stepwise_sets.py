"""Math-Shepherd and PRM800K: which step is right, and where a row must be refused."""

import copy

import pytest

from data.conversions import converted, left_out, problem, said
from data.format_samples import SAMPLES, prm800k
from fairlead.data.records import Message


def test_a_plus_after_a_step_says_that_it_is_right() -> None:
    (record,) = converted("math-shepherd", SAMPLES["math-shepherd"][0])
    assert record.prompt == (Message("user", "What is 2 + 3 + 4?"),)
    assert said("math-shepherd", SAMPLES["math-shepherd"][0]) == [
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


def test_the_chosen_steps_are_one_row_and_each_alternative_is_another() -> None:
    first, second = "2 + 3 = 5.", "5 + 4 = 9."
    assert said("prm800k", prm800k()) == [
        [("2 + 3 = 6.", False)],
        [(first, True), ("5 + 4 = 8.", False)],
        [(first, True), ("Now we add 4.", True)],
        [(first, True), (second, True)],
    ]
    records = converted("prm800k", prm800k())
    assert [record.metadata["ratings"] for record in records if record.metadata] == [
        [-1],
        [1, -1],
        [1, 0],
        [1, 1],
    ]
    assert all(record.metadata and record.metadata["rater"] == "d8aa7923" for record in records)


def test_the_labels_end_where_the_labeller_found_an_error() -> None:
    row = copy.deepcopy(prm800k())
    row["label"]["steps"][1] |= {"human_completion": None}
    row["label"] |= {"finish_reason": "found_error"}
    assert said("prm800k", row) == [
        [("2 + 3 = 6.", False)],
        [("2 + 3 = 5.", True), ("5 + 4 = 8.", False)],
        [("2 + 3 = 5.", True), ("Now we add 4.", True)],
    ]


@pytest.mark.parametrize(
    ("reason", "expected"),
    [("bad_problem", "problems that the labeller found faulty"), ("give_up", "problems given up")],
)
def test_problems_without_a_judgement_are_counted(reason: str, expected: str) -> None:
    row = prm800k()
    row["label"] |= {"finish_reason": reason}
    assert left_out("prm800k", row) == [expected]


def test_a_rating_of_another_scale_is_refused() -> None:
    row = copy.deepcopy(prm800k())
    row["label"]["steps"][0]["completions"][0]["rating"] = 5
    assert problem("prm800k", row).startswith("label.steps[0].completions[0].rating: 5: is not a rating")
