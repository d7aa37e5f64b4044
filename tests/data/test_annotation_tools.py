"""Label Studio and Argilla: each annotator's judgement, in the direction in which it was given."""

from typing import Any

import pytest

from data.conversions import converted, left_out, problem, said
from data.format_samples import (
    BAD,
    GOOD,
    QUESTION,
    SAMPLES,
    Row,
    argilla,
    assistant,
    label_studio,
    user,
)
from fairlead.data.records import Comparison, Demonstration

ONE = {"prompt": QUESTION, "answer": BAD}


def pairwise(side: str, **columns: Any) -> Row:
    return label_studio({"type": "pairwise", "value": {"selected": side}, **columns})


# ---------------------------------------------------------------- Label Studio


def test_left_is_the_first_answer_by_name_not_by_order() -> None:
    assert list(pairwise("left")["data"])[1:] == ["answer2", "answer1"]
    assert said("label-studio", pairwise("right")) == [(GOOD, BAD)]
    assert said("label-studio", pairwise("left")) == [(BAD, GOOD)]


def test_left_is_what_the_result_names_first() -> None:
    assert said("label-studio", pairwise("left", to_name="answer2,answer1")) == [(GOOD, BAD)]
    assert said("label-studio", pairwise("left", to_name=["answer2", "answer1"])) == [(GOOD, BAD)]


def test_the_annotator_is_the_rater_and_the_task_keeps_its_id() -> None:
    (record,) = converted("label-studio", pairwise("right"))
    assert isinstance(record, Comparison)
    assert (record.rater, record.id) == ("ann@example.org", "12")
    assert record.metadata is not None and record.metadata["annotation_id"] == 44


def test_each_annotator_gives_a_record_and_skipped_ones_are_counted() -> None:
    row = pairwise("right")
    (first,) = row["annotations"]
    other = first | {"completed_by": 9, "result": [first["result"][0] | {"value": {"selected": "left"}}]}
    row["annotations"] += [other, first | {"was_cancelled": True}]
    assert said("label-studio", row) == [(GOOD, BAD), (BAD, GOOD)]
    assert [record.rater for record in converted("label-studio", row) if isinstance(record, Comparison)] == [
        "ann@example.org",
        "9",
    ]
    assert left_out("label-studio", row) == ["annotations that were skipped"]


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
    assert said("label-studio", row) == [(BAD, expected)]


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
    assert said("label-studio", row) == [expected]


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
    assert said("label-studio", row) == [(BAD, expected)]


def test_stars_on_another_scale_are_refused() -> None:
    row = label_studio({"type": "rating", "to_name": "answer", "value": {"rating": 8}}, ONE)
    assert "is not a mark. Marks go from 1 (worst) to 5 (best)" in problem("label-studio", row)


@pytest.mark.parametrize("order", [["r2", "r1", "r3"], {"_": ["r2", "r1", "r3"], "other": []}])
def test_the_first_of_a_ranker_is_the_best(order: Any) -> None:
    items = [
        {"id": "r1", "title": "One", "body": BAD},
        {"id": "r2", "body": GOOD},
        {"id": "r3", "body": "Fly."},
    ]
    row = label_studio(
        {"type": "ranker", "to_name": "items", "value": {"ranker": order}},
        {"prompt": QUESTION, "items": items},
    )
    assert said("label-studio", row) == [{GOOD: 1, BAD: 2, "Fly.": 3}]
    row["annotations"][0]["result"][0]["value"]["ranker"] = ["r2", "r9"]
    assert "is not an order of the answers" in problem("label-studio", row)


def test_an_edited_answer_beats_the_original() -> None:
    edit = {"type": "textarea", "from_name": "corrected", "to_name": "answer", "value": {"text": [GOOD]}}
    assert said("label-studio", label_studio(edit, ONE)) == [(GOOD, BAD)]
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


def test_tasks_without_annotations_are_counted() -> None:
    assert left_out("label-studio", pairwise("left") | {"annotations": []}) == ["tasks without an annotation"]


def test_one_row_for_each_annotation() -> None:
    pair, thumb = SAMPLES["label-studio-min"]
    assert said("label-studio-min", pair) == [(GOOD, BAD)]
    assert said("label-studio-min", thumb) == [(BAD, False)]
    (record,) = converted("label-studio-min", pair)
    assert isinstance(record, Comparison) and (record.rater, record.id) == ("3", "12")
    csv = pair | {"comparison": '[{"selected": "left"}]'}
    assert said("label-studio-min", csv) == [(BAD, GOOD)]


# ---------------------------------------------------------------- Argilla


def answers(question: str, *values: Any) -> Row:
    return {question: [{"value": value, "user_id": f"u-{index}"} for index, value in enumerate(values)]}


def test_each_user_gives_a_record() -> None:
    row = argilla(answers("preference", "response_2", "response_1", "tie"))
    assert said("argilla", row) == [(GOOD, BAD), (BAD, GOOD)]
    assert left_out("argilla", row) == ["ties of the annotators"]
    records = converted("argilla", row)
    assert [record.rater for record in records if isinstance(record, Comparison)] == ["u-0", "u-1"]
    assert {record.id for record in records} == {"rec-1"}
    # The suggestion of a model says the opposite, and travels as a note.
    assert records[0].metadata is not None
    assert records[0].metadata["suggestions"]["preference"]["value"] == "response_1"


@pytest.mark.parametrize("value", [[{"value": "response-2", "rank": 1}, {"value": "response-1", "rank": 2}],
                                   ["response_2", "response_1"]])  # fmt: skip
def test_rank_1_is_the_best(value: Any) -> None:
    assert said("argilla", argilla(answers("ranking", value))) == [{GOOD: 1, BAD: 2}]


def test_ratings_labels_and_edits_of_one_answer() -> None:
    fields = {"instruction": QUESTION, "response": BAD}
    row = argilla(
        answers("quality", 5) | answers("corrected_response", GOOD) | answers("thumb", "bad"), fields
    )
    assert said("argilla", row) == [(GOOD, BAD)]
    assert said("argilla", row, "rating") == [(BAD, 1.0)]
    assert said("argilla", row, "binary") == [(BAD, False)]
    assert sorted(left_out("argilla", row, "rating")) == [
        "judgements of another kind, which --kind binary takes",
        "judgements of another kind, which --kind comparison takes",
    ]
    (rating,) = converted("argilla", row, "rating")
    assert rating.metadata is not None and rating.metadata["rater"] == "u-0"


def test_a_mark_is_given_to_the_answer_in_its_name() -> None:
    row = argilla(answers("rating_response_2", 5) | answers("rating_response_1", 1))
    assert said("argilla", row) == [(GOOD, 1.0), (BAD, 0.0)]
    assert "is about 2 answers, where a mark needs one" in problem("argilla", argilla(answers("rating", 5)))


def test_version_1_holds_the_values_of_each_user() -> None:
    row = argilla({})
    row["responses"] = [
        {"user_id": "u-1", "status": "submitted", "values": {"preference": {"value": "response_2"}}},
        {"user_id": "u-2", "status": "draft", "values": {"preference": {"value": "response_1"}}},
    ]
    row["suggestions"] = [{"question_name": "preference", "value": "response_1"}]
    assert said("argilla", row) == [(GOOD, BAD)]
    assert left_out("argilla", row) == ["responses with the status draft"]


def test_flat_tables_of_both_versions() -> None:
    second, first = SAMPLES["argilla-table"]
    assert said("argilla-table", second) == [(GOOD, BAD)]
    assert left_out("argilla-table", second) == ["responses with the status discarded"]
    assert said("argilla-table", first) == [(BAD, 0.25)]
    (record,) = converted("argilla-table", first)
    assert record.id == "rec-2"


def test_records_without_a_response_are_counted_even_with_a_suggestion() -> None:
    assert left_out("argilla", argilla({})) == ["records without a response"]


def test_a_conversation_is_judged_by_its_last_answer() -> None:
    fields = {"chat": [user(QUESTION), assistant(BAD)]}
    assert said("argilla", argilla(answers("label", "good"), fields)) == [(BAD, True)]


def test_labels_that_are_no_judgement_are_refused() -> None:
    row = argilla(answers("topic", "cooking"), {"prompt": QUESTION, "response": BAD})
    assert problem("argilla", row).startswith('topic: "cooking": says neither good nor bad')
