"""Label Studio: each annotation gives a record."""

from typing import Any

import pytest

from data.conversions import converted, judged, left_out, problem
from data.format_samples import SAMPLES
from data.sample_texts import BAD, GOOD, QUESTION, Row
from data.tool_samples import label_studio
from fairlead.data.records import Comparison


def pairwise(side: str, **columns: Any) -> Row:
    return label_studio({"type": "pairwise", "value": {"selected": side}, **columns})


def test_left_is_the_first_answer_by_name_not_by_order() -> None:
    assert list(pairwise("left")["data"])[1:] == ["answer2", "answer1"]
    assert judged("label-studio", pairwise("right")) == [(GOOD, BAD)]
    assert judged("label-studio", pairwise("left")) == [(BAD, GOOD)]


def test_left_is_what_the_result_names_first() -> None:
    assert judged("label-studio", pairwise("left", to_name="answer2,answer1")) == [(GOOD, BAD)]
    assert judged("label-studio", pairwise("left", to_name=["answer2", "answer1"])) == [(GOOD, BAD)]


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
    assert judged("label-studio", row) == [(GOOD, BAD), (BAD, GOOD)]
    assert [record.rater for record in converted("label-studio", row) if isinstance(record, Comparison)] == [
        "ann@example.org",
        "9",
    ]
    assert left_out("label-studio", row) == ["annotations that were skipped"]


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
    assert judged("label-studio", row) == [{GOOD: 1, BAD: 2, "Fly.": 3}]
    row["annotations"][0]["result"][0]["value"]["ranker"] = ["r2", "r9"]
    assert "is not an order of the answers" in problem("label-studio", row)


def test_tasks_without_annotations_are_counted() -> None:
    assert left_out("label-studio", pairwise("left") | {"annotations": []}) == ["tasks without an annotation"]


def test_one_row_for_each_annotation() -> None:
    pair, thumb = SAMPLES["label-studio-min"]
    assert judged("label-studio-min", pair) == [(GOOD, BAD)]
    assert judged("label-studio-min", thumb) == [(BAD, False)]
    (record,) = converted("label-studio-min", pair)
    assert isinstance(record, Comparison) and (record.rater, record.id) == ("3", "12")
    csv = pair | {"comparison": '[{"selected": "left"}]'}
    assert judged("label-studio-min", csv) == [(BAD, GOOD)]
