"""Agreement beside published and hand-worked numbers."""

import math

import numpy
import pytest
from pytest import approx

from fairlead.stats.agreement import agreement

# Four observers of twelve units, from Krippendorff's "Computing Krippendorff's Alpha-Reliability" (2011);
# None where one did not look.
OBSERVERS = [
    [1, 2, 3, 3, 2, 1, 4, 1, 2, None, None, None],
    [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, None, 3],
    [None, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, None],
    [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, None],
]
UNITS = [[float(value) for value in column if value is not None] for column in zip(*OBSERVERS, strict=True)]


def test_alpha_is_the_published_one() -> None:
    nominal = agreement(UNITS, range(12), metric="nominal")
    interval = agreement(UNITS, range(12), metric="interval")
    assert nominal and nominal.alpha and interval and interval.alpha
    assert nominal.alpha.value == approx(0.743, abs=0.0005)
    assert interval.alpha.value == approx(0.849, abs=0.0005)
    assert nominal.num_units == 11  # the last unit was seen by one observer only
    assert nominal.alpha.low < 0.743 < nominal.alpha.high


def test_two_people_by_hand() -> None:
    # aa ab bb bb: 3 of 4 pairs agree.  n = 8, 3 a and 5 b.  Observed disagreement 2/8 (ab and ba);
    # expected 2 * 3 * 5 / (8 * 7) = 30/56.  alpha = 1 - (1/4) / (30/56) = 1 - 56/120 = 0.5333
    found = agreement([[0, 0], [0, 1], [1, 1], [1, 1]], range(4), metric="nominal")
    assert found and found.alpha
    assert found.raw.value == 0.75 and found.num_pairs == 4
    assert found.alpha.value == approx(0.53333, abs=1e-5)


def test_chance_is_worth_nothing_and_opposition_less() -> None:
    draw = numpy.random.default_rng(1)
    chance = agreement(draw.integers(0, 2, size=(4000, 2)).tolist(), range(4000), metric="nominal")
    assert (
        chance
        and chance.alpha
        and chance.alpha.low < 0 < chance.alpha.high
        and abs(chance.alpha.value) < 0.05
    )
    opposed = agreement([[0, 1]] * 10, range(10), metric="nominal")
    assert opposed and opposed.alpha and opposed.alpha.value < 0 and opposed.raw.value == 0


def test_where_all_say_the_same_alpha_says_nothing() -> None:
    found = agreement([[1, 1], [1, 1, 1]], range(2), metric="nominal")
    assert found and found.alpha is None and found.raw.value == 1


def test_one_cluster_bounds_nothing_and_single_values_are_no_agreement() -> None:
    found = agreement([[1, 1], [1, 0]], ["same", "same"], metric="nominal")
    assert found and found.raw.low == -math.inf and found.raw.n == 1
    assert agreement([[1], []], range(2), metric="nominal") is None


def test_the_interval_covers_what_is_true_about_as_often_as_it_says() -> None:
    # Two people who say the same of a unit with probability 0.8, and otherwise the opposite.
    draw, hits = numpy.random.default_rng(2), 0
    for trial in range(100):
        first = draw.integers(0, 2, size=150)
        second = numpy.where(draw.random(150) < 0.8, first, 1 - first)
        found = agreement(
            numpy.stack([first, second], axis=1).tolist(), range(150), metric="nominal", seed=trial
        )
        assert found is not None
        hits += found.raw.low <= 0.8 <= found.raw.high
    assert hits == pytest.approx(95, abs=7)
