"""Two answers in columns of their own, and the verdict on them."""

import pytest

from data.conversions import converted, judged, left_out, problem
from data.sample_texts import BAD, GOOD, QUESTION, Row, user
from fairlead.data.records import Comparison

NUMBERED = {"instruction": QUESTION, "output_1": BAD, "output_2": GOOD}
LETTERED = {"prompt": QUESTION, "response_a": BAD, "response_b": GOOD}


@pytest.mark.parametrize("verdict", [2, "2", 2.0, 1.9, "output_2"])
@pytest.mark.parametrize("column", ["preference", "label", "better"])
def test_numbers_count_answers_from_1(column: str, verdict: object) -> None:
    assert judged("answer-pair", NUMBERED | {column: verdict}) == [(GOOD, BAD)]
    turned = NUMBERED | {"output_1": GOOD, "output_2": BAD}
    assert judged("answer-pair", turned | {column: verdict}) == [(BAD, GOOD)]


def test_the_first_answer_wins_with_1_and_a() -> None:
    assert judged("answer-pair", NUMBERED | {"preference": 1}) == [(BAD, GOOD)]
    for verdict in ("A", "a", "response_a", "model_a"):
        assert judged("answer-pair", LETTERED | {"preference": verdict}) == [(BAD, GOOD)]


@pytest.mark.parametrize("verdict", [0, "0", 3, -1, True, "yes", "A"])
def test_a_verdict_that_could_mean_either_answer_is_refused(verdict: object) -> None:
    expected = "names neither output_1 nor output_2. Write 1 or 2 for the better answer, or tie"
    assert expected in problem("answer-pair", NUMBERED | {"preference": verdict})


@pytest.mark.parametrize("verdict", [0, 1, 2, "1"])
def test_a_number_names_no_letter(verdict: object) -> None:
    expected = "names neither response_a nor response_b. Write A or B"
    assert expected in problem("answer-pair", LETTERED | {"preference": verdict})


def test_two_verdicts_are_refused_and_ties_are_counted() -> None:
    assert "has 2 verdicts" in problem("answer-pair", NUMBERED | {"preference": 1, "label": 2})
    assert left_out("answer-pair", NUMBERED | {"preference": 1.5}) == ["ties"]
    assert left_out("answer-pair", LETTERED | {"label": "tie"}) == ["ties"]
    assert left_out("answer-pair", NUMBERED | {"output_1": GOOD, "label": 1}) == ["pairs of equal answers"]


@pytest.mark.parametrize(
    "row",
    [
        {"question": QUESTION, "response_j": GOOD, "response_k": BAD},
        {"instruction": QUESTION, "chosen_response": GOOD, "rejected_response": BAD},
        {"context": [user(QUESTION)], "original_response": BAD, "edited_response": GOOD},
        {"context": [user(QUESTION)], "bad_edited_response": BAD, "good_edited_response": GOOD},
    ],
)
def test_names_that_say_which_answer_is_better(row: Row) -> None:
    assert judged("answer-pair", row) == [(GOOD, BAD)]
    (record,) = converted("answer-pair", row)
    assert isinstance(record, Comparison) and record.prompt[0].content == QUESTION


def test_scores_that_contradict_the_names_are_refused() -> None:
    row = {"instruction": QUESTION, "chosen_response": GOOD, "rejected_response": BAD}
    scores = {"chosen_rating": 2.0, "rejected_rating": 9.0}
    assert "is higher than chosen_rating" in problem("answer-pair", row | scores)


def test_first_steps_stand_before_both_answers() -> None:
    row = {
        "prompt": QUESTION,
        "initial_reason_steps": "Boil.\nStep 2: ",
        "chosen": GOOD,
        "rejected": BAD,
    }
    assert judged("answer-pair", row) == [(f"Boil.\nStep 2:\n{GOOD}", f"Boil.\nStep 2:\n{BAD}")]
    assert judged("answer-pair", row | {"initial_reason_steps": ""}) == [(GOOD, BAD)]


def test_the_input_of_alpaca_and_a_system_message_are_part_of_the_prompt() -> None:
    (record,) = converted("answer-pair", NUMBERED | {"input": "In a pan.", "system": "Be brief.", "label": 2})
    assert isinstance(record, Comparison)
    assert [turn.content for turn in record.prompt] == ["Be brief.", f"{QUESTION}\n\nIn a pan."]
