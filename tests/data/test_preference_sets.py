"""Published sets of preferences and demonstrations, each with a layout of its own."""

from typing import Any

import pytest

from data.conversions import converted, judged, left_out, problem
from data.format_samples import SAMPLES
from data.sample_texts import BAD, GOOD, QUESTION, Row
from fairlead.data.records import Binary, Demonstration, Message, Prompt


def only(format: str, row: Row | None = None) -> Any:
    (record,) = converted(format, row or SAMPLES[format][0])
    return record


def test_the_higher_score_of_webgpt_is_chosen() -> None:
    row = SAMPLES["webgpt"][0]
    assert judged("webgpt", row) == [(GOOD, BAD)]
    assert judged("webgpt", row | {"score_0": -1.0, "score_1": 1.0}) == [(BAD, GOOD)]
    assert left_out("webgpt", row | {"score_0": 0.0, "score_1": 0.0}) == ["ties of the raters"]
    assert only("webgpt").id == "3hlvq0"


def test_label_1_of_shp_prefers_comment_a() -> None:
    row = SAMPLES["shp"][0]
    assert judged("shp", row) == [(GOOD, BAD)]
    assert judged("shp", row | {"labels": 1, "score_A": 200}) == [(BAD, GOOD)]
    assert problem("shp", row | {"labels": 1}).startswith(
        "labels: 1: prefers comment A, which has fewer votes"
    )
    assert problem("shp", row | {"labels": 2}).startswith("labels: 2: is not true or false")


@pytest.mark.parametrize("is_safe", [True, False])
def test_a_safe_answer_is_a_good_one(is_safe: bool) -> None:
    record = only("beavertails", SAMPLES["beavertails"][0] | {"is_safe": is_safe})
    assert isinstance(record, Binary) and record.label is is_safe
    assert record.metadata == {"harms": ["violence"]}


def test_right_answers_rank_above_wrong_ones() -> None:
    assert judged("reward-bench-2", SAMPLES["reward-bench-2"][0]) == [{GOOD: 1, BAD: 2, "Eggs fly.": 2}]


def test_pairs_of_input_and_output_are_turns() -> None:
    record = only("capybara")
    assert [turn.content for turn in record.messages] == [QUESTION, GOOD, "And a soft one?", "Five minutes."]
    assert [turn.role for turn in record.messages] == ["user", "assistant"] * 2


def test_texts_alternate_between_user_and_assistant() -> None:
    assert only("lima") == Demonstration((), (Message("user", QUESTION), Message("assistant", GOOD)))
    question = {"conversations": [QUESTION]}
    assert left_out("lima", question) == ["questions without an answer; --kind prompt takes them"]
    assert converted("lima", question, "prompt") == [Prompt((Message("user", QUESTION),))]
    assert converted("lima", SAMPLES["lima"][0], "prompt") == [Prompt((Message("user", QUESTION),))]
