"""ProcessBench: `label` is the first wrong step, counted from 0."""

import pytest

from data.conversions import converted, judged, problem
from data.format_samples import SAMPLES

ROW = SAMPLES["process-bench"][0]
RIGHT, WRONG, LAST = ROW["steps"]


def test_the_row_ends_at_the_first_wrong_step() -> None:
    assert judged("process-bench", ROW) == [[(RIGHT, True), (WRONG, False)]]
    (record,) = converted("process-bench", ROW)
    assert record.metadata == {"unlabelled_steps": [LAST]}


def test_minus_1_says_that_every_step_is_right() -> None:
    assert judged("process-bench", ROW | {"label": -1}) == [[(RIGHT, True), (WRONG, True), (LAST, True)]]


@pytest.mark.parametrize("label", [3, -2, 0.5])
def test_a_number_of_no_step_is_refused(label: float) -> None:
    assert "is not the number of a step" in problem("process-bench", ROW | {"label": label})
