"""Ticks and their labels, and the line from values to places."""

import pytest
from hypothesis import given
from hypothesis import strategies as some
from pytest import approx

from fairlead.report import axis_scale


@given(some.floats(-1e300, 1e300), some.floats(-1e300, 1e300))
def test_ticks_are_few_even_and_enclose_the_values(first: float, second: float) -> None:
    low, high = sorted((first, second))
    ticks = axis_scale.ticks(low, high, outside=True)
    assert 2 <= len(ticks) <= 9
    steps = [after - before for before, after in zip(ticks, ticks[1:], strict=False)]
    assert min(steps) == approx(max(steps), rel=1e-6) and min(steps) > 0
    slack = 1e-6 * min(steps)
    assert ticks[0] <= low + slack and high - slack <= ticks[-1]


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.0, 1.0, [0, 0.5, 1]),
        (0.13, 0.87, [0, 0.2, 0.4, 0.6, 0.8, 1.0]),
        (-0.35, 1.9, [-1, 0, 1, 2]),
        (1, 120, [0, 50, 100, 150]),
        (5, 5, [4.5, 5.0, 5.5]),  # a constant gets a tenth of room on each side
        (0, 0, [-1, -0.5, 0, 0.5, 1]),
    ],
)
def test_ticks_by_hand(low: float, high: float, expected: list[float]) -> None:
    assert axis_scale.ticks(low, high, outside=True) == approx(expected)


@pytest.mark.parametrize(
    ("value", "step", "label"),
    [
        (0.25, 0.05, "0.25"),
        (0, 0.1, "0"),
        (40, 20, "40"),
        (12000, 2000, "12k"),
        (1.5e6, 5e5, "1.5M"),
        (2e-5, 1e-5, "2e−5"),
        (-1, 1, "−1"),
    ],
)
def test_tick_labels_are_short(value: float, step: float, label: str) -> None:
    assert axis_scale.tick_label(value, step) == label


@pytest.mark.parametrize(("value", "place"), [(10.0, 100.0), (20.0, 0.0), (12.5, 75.0), (5.0, 150.0)])
def test_a_scale_is_a_line_from_values_to_places(value: float, place: float) -> None:
    scale = axis_scale.Scale(low=10.0, high=20.0, start=100.0, end=0.0)
    assert scale(value) == approx(place)


def test_a_scale_of_a_single_value_returns_the_middle() -> None:
    assert axis_scale.Scale(3.0, 3.0, start=10.0, end=30.0)(3.0) == 20.0


def test_a_scale_of_huge_values_stays_finite() -> None:
    scale = axis_scale.Scale(-1e308, 1e308, start=0.0, end=100.0)
    assert [scale(value) for value in (-1e308, 0.0, 1e308)] == approx([0.0, 50.0, 100.0])


@pytest.mark.parametrize(("step", "decimals"), [(0.5, 1), (0.25, 1), (0.05, 2), (1.0, 0), (20.0, 0)])
def test_decimals_follow_the_step(step: float, decimals: int) -> None:
    assert axis_scale.decimals(step) == decimals
