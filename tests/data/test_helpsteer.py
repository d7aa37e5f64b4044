"""HelpSteer 1 to 3: scores become aspects, and a preference becomes a comparison with a margin."""

from typing import Any

import pytest

from data.test_formats import ASKED, FIVE, FOUR, USER, converted, problem
from fairlead.data.formats.format import LeftOut
from fairlead.data.records import Comparison, Message, Rating

SCORED = {"prompt": "2 + 2?", "response": "4", "helpfulness": 4, "correctness": 3, "verbosity": 0}
PAIR = {"prompt": "2 + 2?", "response_1": "4", "response_2": "5"}


def test_scores_become_aspects_from_0_to_1() -> None:
    aspects = {"helpfulness": 1.0, "correctness": 0.75, "verbosity": 0.0}
    assert converted("helpsteer", SCORED) == Rating(ASKED, FOUR, None, aspects)
    assert converted("helpsteer", {name: str(value) for name, value in SCORED.items()}) == Rating(
        ASKED, FOUR, None, aspects
    )


def test_earlier_turns_in_the_prompt_are_turns() -> None:
    text = "1 + 1?\n<extra_id_1>Assistant\n2\n<extra_id_1>User\n2 + 2?\n<extra_id_1>Assistant\n"
    record = converted("helpsteer", SCORED | {"prompt": text})
    assert isinstance(record, Rating)
    assert record.prompt == (Message("user", "1 + 1?"), Message("assistant", "2"), *ASKED)


@pytest.mark.parametrize(
    ("row", "record"),
    [
        (PAIR | {"preference_strength": -3}, Comparison(ASKED, FOUR, FIVE, margin=3.0)),
        (PAIR | {"preference_strength": "1"}, Comparison(ASKED, FIVE, FOUR, margin=1.0)),
        (
            {"context": [USER], "response1": "4", "response2": "5", "overall_preference": 2},
            Comparison(ASKED, FIVE, FOUR, margin=2.0),
        ),
        (PAIR | {"preference_strength": 0}, LeftOut("ties")),
    ],
)
def test_a_negative_preference_is_for_the_first_answer(row: dict[str, Any], record: object) -> None:
    assert converted("helpsteer-preference", row) == record


@pytest.mark.parametrize(
    ("format", "row", "expected"),
    [
        (
            "helpsteer",
            SCORED | {"correctness": 5},
            "correctness: 5: is out of range. Scores of HelpSteer are 0",
        ),
        (
            "helpsteer-preference",
            PAIR | {"preference_strength": 4},
            "preference_strength: 4: is no preference",
        ),
        ("helpsteer-preference", PAIR | {"preference_strength": None}, "preference_strength: is missing"),
    ],
)
def test_a_score_that_the_set_does_not_have_is_refused(
    format: str, row: dict[str, Any], expected: str
) -> None:
    assert problem(format, row).startswith(expected)
