"""Filters of a snapshot: which judgements become rows, and why others are left out."""

import dataclasses
import json
from typing import Any

import pytest

from fairlead.data import record_reader
from fairlead.labels import items, judgements, snapshot, snapshot_filters, snapshot_rows
from fairlead.labels.campaigns import Campaign
from fairlead.labels.database import Database
from fairlead.labels.errors import Invalid
from fairlead.labels.snapshot_filters import JudgedItem, SnapshotFilters
from fairlead.labels.snapshot_rows import NativeRow
from fairlead.store.project import Project
from labels.snapshots import (
    ANN,
    BEN,
    CAT,
    take_snapshot,
)


@pytest.mark.parametrize(
    ("filters", "num_rows", "left_out"),
    [
        ({}, 6, {}),
        ({"ties": False}, 4, {"a tie": 2}),
        ({"min_margin": 2}, 4, {"the margin is too small": 2}),
        ({"min_margin": 3, "ties": False}, 1, {"the margin is too small": 3, "a tie": 2}),
        ({"by_item": True}, 1, {snapshot_rows.UNDECIDED: 4}),
        ({"guidelines": (2,)}, 3, {"another version of the guidelines": 3}),
        ({"raters": (ANN,)}, 3, {"another person": 3}),
        ({"without_raters": (ANN, CAT)}, 3, {"another person": 3}),
        ({"quick": False}, 3, {"faster than anybody reads": 3}),
        (
            {"until": "2020-01-01T00:00:00.000000Z", "raters": (ANN,)},
            0,
            {"another person": 3, "another time": 3},
        ),
        ({"since": "2020-01-01T00:00:00.000000Z"}, 6, {}),
        ({"by_item": True, "quick": False}, 3, {"faster than anybody reads": 3}),
    ],
)
def test_filters_count_what_they_leave_out(
    database: Database, judged: Campaign, filters: dict[str, Any], num_rows: int, left_out: dict[str, int]
) -> None:
    with database.read() as connection:
        counts, _ = snapshot.preview(connection, judged, SnapshotFilters(**filters))
    assert (counts.files.get("comparisons", 0), counts.left_out, counts.judgements) == (num_rows, left_out, 6)


def test_equal_items_gives_every_item_a_total_weight_of_one(
    database: Database, project: Project, judged: Campaign
) -> None:
    _, folder = take_snapshot(database, project, judged, equal_items=True)
    assert [
        comparison.weight for comparison in record_reader.read_comparisons(folder / "comparisons.jsonl")
    ] == [0.5] * 6


def test_all_invalid_filters_are_reported_at_once(database: Database, judged: Campaign) -> None:
    wrong = SnapshotFilters(min_margin=4, since="yesterday", by_item=True, equal_items=True)
    with pytest.raises(Invalid) as refused:
        snapshot_filters.validate(judged, wrong)
    assert sorted(refused.value.problems) == ["equal_items", "min_margin", "since"]
    with pytest.raises(Invalid, match="rating judgements have no margin"):
        snapshot_filters.validate(dataclasses.replace(judged, kind="rating"), SnapshotFilters(min_margin=1))


def test_filters_round_trip_as_json() -> None:
    filters = SnapshotFilters(min_margin=2, guidelines=(1, 2), raters=(ANN,), until="2026-01-01")
    stored = snapshot_filters.to_json(filters)
    assert stored["guidelines"] == [1, 2] and stored["raters"] == [ANN] and stored["without_raters"] == []
    assert snapshot_filters.from_json(json.loads(json.dumps(stored))) == filters


def test_valid_filters_are_sorted_without_repetitions(judged: Campaign) -> None:
    filters = SnapshotFilters(guidelines=(2, 1, 2), raters=(CAT, ANN, CAT), without_raters=(BEN, ANN))
    assert snapshot_filters.validate(judged, filters) == SnapshotFilters(
        guidelines=(1, 2), raters=(ANN, CAT), without_raters=(ANN, BEN)
    )


@pytest.mark.parametrize(
    ("filters", "reason"),
    [
        ({"since": "2026-03-01T12:00:00.000000Z"}, None),  # made at this time or later
        ({"since": "2026-03-01T12:00:00.000001Z"}, "another time"),
        ({"until": "2026-03-01T12:00:00.000000Z"}, "another time"),  # made before this time
        ({"until": "2026-03-01T12:00:00.000001Z"}, None),
        ({"late": False}, "came late"),
        ({"guidelines": (1, 3)}, None),
        ({"guidelines": (3,), "late": False}, "another version of the guidelines"),
        ({"raters": (BEN,), "late": False}, "another person"),
        ({"raters": (ANN, BEN)}, None),
        ({"raters": (ANN,), "without_raters": (ANN,)}, "another person"),
    ],
)
def test_the_reason_to_leave_out_a_judgement(
    database: Database, judged: Campaign, filters: dict[str, Any], reason: str | None
) -> None:
    with database.read() as connection:
        first = judgements.list_current(connection, judged.id, rater=ANN)[0]
    judgement = dataclasses.replace(first, made_at="2026-03-01T12:00:00.000000Z", late=True)
    assert snapshot_filters.why_excluded(judgement, SnapshotFilters(**filters)) == reason


def test_an_edit_becomes_a_demonstration_and_a_comparison(database: Database, judged: Campaign) -> None:
    with database.read() as connection:
        first = judgements.list_current(connection, judged.id, rater=ANN)[0]
        item = items.get(connection, judged.id, first.item_id)
    edited = dataclasses.replace(first, value={**first.value, "edit": {"candidate": 0, "text": "A!"}})
    selected = snapshot_filters.select_rows(judged, JudgedItem(item, [edited], {}), SnapshotFilters())
    assert (selected.num_judgements, selected.left_out, selected.raters) == (1, [], {ANN})
    files = [row.file for row in selected.rows if isinstance(row, NativeRow)]
    assert files == ["comparisons", "demonstrations", "comparisons"]
