"""Filters of a snapshot: which judgements become rows, and why others are left out."""

import dataclasses
from typing import Any

import pytest

from fairlead.data import record_reader
from fairlead.labels import native_rows, snapshot, snapshot_filters
from fairlead.labels.campaigns import Campaign
from fairlead.labels.database import Database
from fairlead.labels.errors import Invalid
from fairlead.labels.snapshot_filters import SnapshotFilters
from fairlead.store.project import Project
from labels.snapshots import (
    ANN,
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
        ({"by_item": True}, 1, {native_rows.UNDECIDED: 4}),
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
