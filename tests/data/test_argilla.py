"""Argilla: each submitted response gives a record."""

from typing import Any

from data.conversions import converted, judged, left_out
from data.format_samples import SAMPLES
from data.sample_texts import BAD, GOOD, QUESTION, Row
from data.tool_samples import argilla
from fairlead.data.records import Comparison


def answers(question: str, *values: Any) -> Row:
    return {question: [{"value": value, "user_id": f"u-{index}"} for index, value in enumerate(values)]}


def test_each_user_gives_a_record() -> None:
    row = argilla(answers("preference", "response_2", "response_1", "tie"))
    assert judged("argilla", row) == [(GOOD, BAD), (BAD, GOOD)]
    assert left_out("argilla", row) == ["ties of the annotators"]
    records = converted("argilla", row)
    assert [record.rater for record in records if isinstance(record, Comparison)] == ["u-0", "u-1"]
    assert {record.id for record in records} == {"rec-1"}
    # The suggestion of a model says the opposite, and travels as a note.
    assert records[0].metadata is not None
    assert records[0].metadata["suggestions"]["preference"]["value"] == "response_1"


def test_ratings_labels_and_edits_of_one_answer() -> None:
    fields = {"instruction": QUESTION, "response": BAD}
    row = argilla(
        answers("quality", 5) | answers("corrected_response", GOOD) | answers("thumb", "bad"), fields
    )
    assert judged("argilla", row) == [(GOOD, BAD)]
    assert judged("argilla", row, "rating") == [(BAD, 1.0)]
    assert judged("argilla", row, "binary") == [(BAD, False)]
    assert sorted(left_out("argilla", row, "rating")) == [
        "judgements of another kind, which --kind binary takes",
        "judgements of another kind, which --kind comparison takes",
    ]
    (rating,) = converted("argilla", row, "rating")
    assert rating.metadata is not None and rating.metadata["rater"] == "u-0"


def test_version_1_holds_the_values_of_each_user() -> None:
    row = argilla({})
    row["responses"] = [
        {"user_id": "u-1", "status": "submitted", "values": {"preference": {"value": "response_2"}}},
        {"user_id": "u-2", "status": "draft", "values": {"preference": {"value": "response_1"}}},
    ]
    row["suggestions"] = [{"question_name": "preference", "value": "response_1"}]
    assert judged("argilla", row) == [(GOOD, BAD)]
    assert left_out("argilla", row) == ["responses with the status draft"]


def test_flat_tables_of_both_versions() -> None:
    second, first = SAMPLES["argilla-table"]
    assert judged("argilla-table", second) == [(GOOD, BAD)]
    assert left_out("argilla-table", second) == ["responses with the status discarded"]
    assert judged("argilla-table", first) == [(BAD, 0.25)]
    (record,) = converted("argilla-table", first)
    assert record.id == "rec-2"


def test_records_without_a_response_are_counted_even_with_a_suggestion() -> None:
    assert left_out("argilla", argilla({})) == ["records without a response"]
