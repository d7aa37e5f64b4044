"""Native columns with text, or with text and messages mixed."""

from typing import Any

import pytest

from data.test_formats import ASKED, FIVE, FOUR, SAYS_4, SAYS_5, USER, converted, problem
from fairlead.data.records import Binary, Comparison, Demonstration, Message, Ranking, Stepwise

SYSTEM = Message("system", "Be brief.")
EARLIER = (Message("user", "1 + 1?"), Message("assistant", "2"))
SHARE = [{"from": "human", "value": "2 + 2?"}, {"from": "gpt", "value": "4"}]


ROWS: list[tuple[str, dict[str, Any], object]] = [
    (
        "plain",
        {"system": "Be brief.", "prompt": "2 + 2?", "chosen": "4", "rejected": "5"},
        Comparison((SYSTEM, *ASKED), FOUR, FIVE),
    ),
    ("plain", {"prompt": [USER], "chosen": "4", "rejected": "5"}, Comparison(ASKED, FOUR, FIVE)),
    (
        "plain",
        {"prompt": [USER], "chosen": [USER, SAYS_4], "rejected": [USER, SAYS_5]},
        Comparison(ASKED, FOUR, FIVE),
    ),
    ("plain", {"prompt": "2 + 2?", "response": "4"}, Demonstration(ASKED, FOUR)),
    (
        "plain",
        {"prompt": "2 + 2?", "responses": ["4", "5"], "ranks": [1, 2]},
        Ranking(ASKED, (FOUR, FIVE), (1, 2)),
    ),
    (
        "plain",
        {"prompt": "2 + 2?", "completion": "4", "system_prompt": "Be brief."},
        Demonstration((SYSTEM, *ASKED), FOUR),
    ),
    ("plain", {"prompt": "2 + 2?", "completion": "4", "label": 0}, Binary(ASKED, FOUR, False)),
]


@pytest.mark.parametrize(("format", "row", "record"), ROWS)
def test_a_row_is_recognised_and_converted(format: str, row: dict[str, Any], record: object) -> None:
    assert converted(format, row) == record


@pytest.mark.parametrize(
    ("format", "row", "expected"),
    [
        (
            "plain",
            {"prompt": "a", "accepted": "b", "rejected": "c"},
            "chosen: is missing. The row has prompt, accepted, rejected. Name the column with --map",
        ),
        ("plain", {"prompt": "a", "completion": "b", "response": "c"}, 'response: "c": is a second answer'),
    ],
)
def test_bad_rows_are_refused_with_field_and_value(format: str, row: dict[str, Any], expected: str) -> None:
    assert problem(format, row).startswith(expected)


@pytest.mark.parametrize("labels", [[1, 0], ["true", "False"], [1.0, 0.0], "[1, 0]", [True, 0]])
@pytest.mark.parametrize("prompt", ["2 + 2?", [USER]])
def test_steps_may_have_labels_of_any_spelling(labels: object, prompt: object) -> None:
    row = {"prompt": prompt, "completions": ["So 4.", "No, 5."], "labels": labels}
    assert converted("plain", row) == Stepwise(ASKED, ("So 4.", "No, 5."), (True, False))


def test_a_step_label_that_is_neither_right_nor_wrong_is_refused() -> None:
    row = {"prompt": "2 + 2?", "completions": ["So 4.", "No, 5."], "labels": [1, -1]}
    assert problem("plain", row).startswith("labels[1]: -1: says neither right nor wrong. Write true or 1")


def test_lists_may_be_text_as_in_csv_files() -> None:
    row = {"prompt": "2 + 2?", "completions": '["4", "5"]', "ranks": "[1, 2]"}
    assert converted("plain", row) == Ranking(ASKED, (FOUR, FIVE), (1, 2))


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"prompt": 5, "completion": "4"}, "prompt: 5: is not a string. Write text in quotes."),
        (
            {"prompt": {"text": "2 + 2?"}, "completion": "4"},
            'prompt[0]: {"text": "2 + 2?"}: is a turn without',
        ),
    ],
)
def test_a_prompt_that_is_no_text_is_named(row: dict[str, Any], expected: str) -> None:
    assert problem("plain", row).startswith(expected)
