"""Judgements of annotators, in the direction in which they were given."""

from typing import Any

import pytest

from data.conversions import converted, judged, left_out, problem
from data.sample_texts import BAD, GOOD, QUESTION, Row, assistant, user
from data.tool_samples import argilla, label_studio
from fairlead.data.records import Comparison, Demonstration

ONE = {"prompt": QUESTION, "answer": BAD}


def pairwise(side: str, **columns: Any) -> Row:
    return label_studio({"type": "pairwise", "value": {"selected": side}, **columns})


def answers(question: str, *values: Any) -> Row:
    return {question: [{"value": value, "user_id": f"u-{index}"} for index, value in enumerate(values)]}


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ("Good", True),
        ("bad", False),
        ("Thumbs up", True),
        ("thumbs_down", False),
        ("👎", False),
        ("Not helpful", False),
    ],
)
def test_a_choice_about_one_answer_is_a_thumb(choice: str, expected: bool) -> None:
    row = label_studio({"type": "choices", "to_name": "answer", "value": {"choices": [choice]}}, ONE)
    assert judged("label-studio", row) == [(BAD, expected)]


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ("answer2", (GOOD, BAD)),
        ("Answer 1", (BAD, GOOD)),
        ("Answer 2 is slightly better", (GOOD, BAD)),
        ("1", (BAD, GOOD)),
        ("A", (BAD, GOOD)),
        ("B is better", (GOOD, BAD)),
    ],
)
def test_a_choice_between_two_answers_names_the_better_one(choice: str, expected: tuple[str, str]) -> None:
    row = label_studio({"type": "choices", "to_name": "prompt", "value": {"choices": [choice]}})
    assert judged("label-studio", row) == [expected]


@pytest.mark.parametrize("choice", ["0", "Answer 1 is worse", "answer3", "not A", "A > B", "maybe"])
def test_a_choice_that_is_not_understood_is_refused(choice: str) -> None:
    row = label_studio({"type": "choices", "to_name": "prompt", "value": {"choices": [choice]}})
    assert "does not name an answer" in problem("label-studio", row)


def test_ties_are_counted() -> None:
    row = label_studio({"type": "choices", "to_name": "prompt", "value": {"choices": ["Tie"]}})
    assert left_out("label-studio", row) == ["ties of the annotators"]
    row["annotations"][0]["result"][0]["value"]["choices"] = ["Both bad"]
    (record,) = converted("label-studio", row)
    assert isinstance(record, Comparison) and record.tie == "bad"


@pytest.mark.parametrize(("stars", "expected"), [(1, 0.0), (5, 1.0), (2, 0.25)])
def test_more_stars_are_better(stars: int, expected: float) -> None:
    row = label_studio({"type": "rating", "to_name": "answer", "value": {"rating": stars}}, ONE)
    assert judged("label-studio", row) == [(BAD, expected)]


def test_stars_on_another_scale_are_refused() -> None:
    row = label_studio({"type": "rating", "to_name": "answer", "value": {"rating": 8}}, ONE)
    assert "is not a mark. Marks go from 1 (worst) to 5 (best)" in problem("label-studio", row)


def test_an_edited_answer_beats_the_original() -> None:
    edit = {"type": "textarea", "from_name": "corrected", "to_name": "answer", "value": {"text": [GOOD]}}
    assert judged("label-studio", label_studio(edit, ONE)) == [(GOOD, BAD)]
    edit["value"] = {"text": [BAD]}
    assert left_out("label-studio", label_studio(edit, ONE)) == ["edits that change nothing"]


def test_a_comment_is_no_edit() -> None:
    comment = {
        "type": "textarea",
        "from_name": "rationale",
        "to_name": "answer",
        "value": {"text": ["Too long."]},
    }
    row = label_studio({"type": "rating", "to_name": "answer", "value": {"rating": 2}}, ONE)
    row["annotations"][0]["result"].append(comment)
    (record,) = converted("label-studio", row)
    assert record.metadata is not None and record.metadata["rationale"] == "Too long."
    comment["from_name"] = "box"
    assert "is neither a comment nor an edit, by its name" in problem("label-studio", row)


def test_an_answer_to_a_task_without_answers_is_a_demonstration() -> None:
    row = label_studio(
        {"type": "textarea", "from_name": "answer", "to_name": "prompt", "value": {"text": [GOOD]}},
        {"prompt": [user(QUESTION), assistant("Which size?"), user("Large.")]},
    )
    (record,) = converted("label-studio", row)
    assert isinstance(record, Demonstration)
    assert [turn.content for turn in record.messages] == [QUESTION, "Which size?", "Large.", GOOD]


def test_a_field_that_would_be_lost_is_refused() -> None:
    row = label_studio({"type": "rating", "value": {"rating": 2}}, ONE | {"context": "At sea level."})
    assert problem("label-studio", row).startswith(
        'data.context: "At sea level.": is not read, and would be lost'
    )
    assert "have no field with a question" in problem(
        "label-studio", pairwise("left") | {"data": {"text_1": "a"}}
    )


@pytest.mark.parametrize("value", [[{"value": "response-2", "rank": 1}, {"value": "response-1", "rank": 2}],
                                   ["response_2", "response_1"]])  # fmt: skip
def test_rank_1_is_the_best(value: Any) -> None:
    assert judged("argilla", argilla(answers("ranking", value))) == [{GOOD: 1, BAD: 2}]


def test_a_mark_is_given_to_the_answer_in_its_name() -> None:
    row = argilla(answers("rating_response_2", 5) | answers("rating_response_1", 1))
    assert judged("argilla", row) == [(GOOD, 1.0), (BAD, 0.0)]
    assert "is about 2 answers, where a mark needs one" in problem("argilla", argilla(answers("rating", 5)))


def test_a_conversation_is_judged_by_its_last_answer() -> None:
    fields = {"chat": [user(QUESTION), assistant(BAD)]}
    assert judged("argilla", argilla(answers("label", "good"), fields)) == [(BAD, True)]


def test_labels_that_are_no_judgement_are_refused() -> None:
    row = argilla(answers("topic", "cooking"), {"prompt": QUESTION, "response": BAD})
    assert problem("argilla", row).startswith('topic: "cooking": says neither good nor bad')


@pytest.mark.parametrize(("choice", "expected"), [("left", (BAD, GOOD)), ("Right is better", (GOOD, BAD))])
def test_places_name_answers_with_letters_too(choice: str, expected: tuple[str, str]) -> None:
    fields = {"prompt": QUESTION, "response_b": GOOD, "response_a": BAD}
    row = label_studio({"type": "pairwise", "to_name": "a,b", "value": {"selected": choice}}, fields)
    assert judged("label-studio", row) == [expected]


def test_an_instruction_and_its_input_are_the_question() -> None:
    fields = {"instruction": "Shorten it.", "input": "A long text.", "response": BAD}
    (record,) = converted("argilla", argilla(answers("label", "good"), fields))
    assert record.prompt[0].content == "Shorten it.\n\nA long text."


@pytest.mark.parametrize(
    ("question", "result"),
    [
        ("worse_answer", {"type": "choices", "to_name": "prompt", "value": {"choices": ["answer1"]}}),
        ("which is worst", {"type": "pairwise", "value": {"selected": "left"}}),
        ("worst_to_best", {"type": "ranker", "value": {"ranker": ["answer1", "answer2"]}}),
        ("toxicity_answer1", {"type": "rating", "to_name": "answer1", "value": {"rating": 5}}),
    ],
)
def test_a_question_for_the_bad_is_not_turned_round(question: str, result: Row) -> None:
    row = label_studio({"from_name": question, **result})
    assert "may ask for what is bad, by its name" in problem("label-studio", row)
