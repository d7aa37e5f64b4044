"""Samples of rows that are read once."""

from collections import Counter

from pytest import approx

from fairlead.data.row_sample import sample_rows


def test_every_row_has_the_same_chance() -> None:
    drawn: Counter[int] = Counter()
    for seed in range(3000):
        drawn.update(sample_rows(iter(range(10)), 3, Counter(), seed=seed))
    # each row: 3000 * 3 / 10 = 900 times; one standard deviation is sqrt(3000 * 0.3 * 0.7) = 25
    assert [drawn[row] for row in range(10)] == approx([900] * 10, abs=100)
