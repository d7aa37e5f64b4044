import math
import random

import numpy
import pytest
from pytest import approx
from scipy import stats

from fairlead.stats import interval
from fairlead.stats.interval import Interval


def test_wilson_gives_newcombes_published_numbers() -> None:
    # Newcombe, Statistics in Medicine 17 (1998) 857, table I, score method without continuity correction
    assert interval.proportion(81, 263) == approx((81 / 263, 0.2553, 0.3662, 263), abs=5e-5)
    assert interval.proportion(15, 148) == approx((15 / 148, 0.0624, 0.1605, 148), abs=5e-5)
    assert interval.proportion(0, 20) == approx((0, 0, 0.1611, 20), abs=5e-5)
    assert interval.proportion(1, 29) == approx((1 / 29, 0.0061, 0.1718, 29), abs=5e-5)


@pytest.mark.parametrize(("successes", "n"), [(0, 1), (1, 1), (3, 7), (299, 300)])
def test_wilson_agrees_with_scipy(successes: int, n: int) -> None:
    expected = stats.binomtest(successes, n).proportion_ci(0.95, method="wilson")
    assert interval.proportion(successes, n)[1:3] == approx((expected.low, expected.high), abs=1e-9)


def test_half_a_success_is_between_none_and_one() -> None:
    none, half, one = (interval.proportion(count, 10) for count in (0, 0.5, 1))
    assert none.high < half.high < one.high and none.value < half.value < one.value


def test_a_share_always_lies_inside_its_interval() -> None:
    for n in (1, 2, 7, 300, 10**7):
        for successes in {0, 1, n // 2, n - 1, n}:
            share = interval.proportion(successes, n)
            assert 0 <= share.low <= share.value <= share.high <= 1


def test_mean_by_hand() -> None:
    # 2, 4, 9: mean 5, squares 9 + 1 + 16 = 26, s^2 = 13, standard error sqrt(13/3) = 2.0817, t(2) = 4.3027 ->
    # half 8.9568
    assert interval.mean([2, 4, 9]) == approx((5, -3.9568, 13.9568, 3), abs=1e-3)


def test_mean_agrees_with_scipy() -> None:
    values = [0.2, 0.9, 0.4, 0.4, 1.0, 0.7]
    low, high = stats.t.interval(0.95, 5, loc=numpy.mean(values), scale=stats.sem(values))
    assert interval.mean(values)[1:3] == approx((low, high), abs=1e-12)


def test_one_value_bounds_nothing_and_is_written_as_null() -> None:
    one = interval.mean([3.0])
    assert one == Interval(3.0, -math.inf, math.inf, 1)
    assert one.as_dict() == {"value": 3.0, "low": None, "high": None, "n": 1}


def test_as_dict_keeps_finite_ends() -> None:
    assert Interval(0.5, 0.25, 0.75, 8).as_dict() == {"value": 0.5, "low": 0.25, "high": 0.75, "n": 8}


@pytest.mark.parametrize("n", [0, -3])
def test_no_items_have_no_share(n: int) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        interval.proportion(0, n)


@pytest.mark.parametrize("successes", [-0.5, 10.5, math.nan])
def test_impossible_counts_are_refused(successes: float) -> None:
    with pytest.raises(ValueError, match="between 0 and n = 10"):
        interval.proportion(successes, 10)


def test_an_empty_set_has_no_mean() -> None:
    with pytest.raises(ValueError, match="empty set"):
        interval.mean([])
    with pytest.raises(ValueError, match="empty set"):
        interval.win_rate([], [])
    with pytest.raises(ValueError, match="empty set"):
        interval.bootstrap([], numpy.mean, seed=0)


def test_values_that_are_not_finite_are_refused_by_position() -> None:
    with pytest.raises(ValueError, match="value 1 is not finite"):
        interval.mean([1.0, math.nan])


def test_bootstrap_of_the_mean_is_near_the_t_interval() -> None:
    values = numpy.random.default_rng(3).normal(10, 2, 200).tolist()
    expected, found = interval.mean(values), interval.bootstrap(values, numpy.mean, seed=0)
    assert found.value == approx(expected.value)
    assert (found.low, found.high) == approx((expected.low, expected.high), abs=0.06)  # half width 0.28


def test_bootstrap_depends_on_its_seed_only() -> None:
    values = [1.0, 5.0, 2.0, 8.0, 3.0]
    assert interval.bootstrap(values, numpy.median, seed=1) == interval.bootstrap(
        values, numpy.median, seed=1
    )
    assert interval.bootstrap(values, numpy.mean, seed=1) != interval.bootstrap(values, numpy.mean, seed=2)


def test_one_value_cannot_be_resampled() -> None:
    with pytest.raises(ValueError, match="at least two"):
        interval.bootstrap([1.0], numpy.mean, seed=0)


def test_win_rate_counts_a_tie_as_half() -> None:
    found = interval.win_rate([1, 1, 0, 0.5], [0, 0, 1, 0.5])
    assert (found.wins, found.ties, found.losses) == (2, 1, 1)
    assert found.interval.value == 0.625  # (2 + 1/2) / 4


def test_win_rate_gives_tangos_interval_for_published_pairs() -> None:
    # Airway hyper-responsiveness before and after transplantation: 21 pairs, 1 against 7 discordant.
    # Fagerland, Lydersen and Laake (Statistics in Medicine 33, 2014): difference -0.286, Tango's score
    # interval -0.517 to -0.026; the rate is half that above one half.
    found = interval.win_rate([1] + [0] * 7 + [1] * 13, [0] + [1] * 7 + [1] * 13).interval
    assert found == approx((0.5 - 0.286 / 2, 0.5 - 0.517 / 2, 0.5 - 0.026 / 2, 21), abs=5e-4)


def test_without_ties_or_losses_the_win_rate_has_wilsons_bound() -> None:
    found = interval.win_rate([1] * 12, [0] * 12).interval
    assert found == approx(tuple(interval.proportion(12, 12)), abs=1e-8)  # low 12 / (12 + 1.96^2) = 0.757


def test_only_ties_still_leave_doubt() -> None:
    # The variance under a difference d is n |d| (1 - |d|): n d^2 = z^2 |d| (1 - |d|), so |d| = z^2 / (n +
    # z^2) = 0.2775
    found = interval.win_rate([1.0] * 10, [1.0] * 10).interval
    assert found == approx((0.5, 0.5 - 0.2775 / 2, 0.5 + 0.2775 / 2, 10), abs=1e-4)


def test_swapping_sides_mirrors_the_win_rate() -> None:
    ours, theirs = [3, 2, 2, 5, 1, 4, 4], [1, 2, 3, 1, 1, 1, 2]
    forward, backward = interval.win_rate(ours, theirs).interval, interval.win_rate(theirs, ours).interval
    assert (backward.value, backward.low, backward.high) == approx(
        (1 - forward.value, 1 - forward.high, 1 - forward.low)
    )
    assert forward.value > 0.5


def test_a_win_rate_needs_pairs() -> None:
    with pytest.raises(ValueError, match="3 scores against 2"):
        interval.win_rate([1, 2, 3], [1, 2])


@pytest.mark.parametrize(
    ("win", "tie"),
    [(0.5, 0.0), (0.84, 0.0), (0.6, 0.3), (0.2, 0.7), (0.05, 0.9), (0.95, 0.0), (0.9, 0.08), (0.3, 0.4)],
)
def test_the_win_rate_interval_covers_the_truth_close_to_95_times_in_100(win: float, tie: float) -> None:
    # Exact, by summing over all outcomes of 25 items.  Discreteness alone moves coverage by two or three
    # points.
    n, truth, covered, total = 25, win + tie / 2, 0.0, 0.0
    for wins in range(n + 1):
        for losses in range(n + 1 - wins):
            chance = stats.multinomial.pmf([wins, losses, n - wins - losses], n, [win, 1 - win - tie, tie])
            found = interval.win_rate(
                [1] * wins + [0] * (n - wins), [0] * wins + [1] * losses + [0] * (n - wins - losses)
            ).interval
            covered += chance * (found.low <= truth <= found.high)
            total += chance
    assert total == approx(1)
    assert 0.92 <= covered <= 0.985


# ---------------------------------------------------------------- items that depend on each other


def test_one_item_per_cluster_is_the_plain_interval() -> None:
    values = [1.0, 0.0, 1.0, 1.0, 0.5]
    assert interval.clustered_proportion(values, "abcde") == interval.proportion(3.5, 5)
    assert interval.clustered_mean(values, "abcde") == approx(interval.mean(values), abs=1e-12)


def test_items_that_only_repeat_each_other_count_once() -> None:
    alone = interval.clustered_proportion([1.0, 0.0, 1.0, 1.0], "abcd")
    thrice = interval.clustered_proportion([1.0, 0.0, 1.0, 1.0] * 3, "abcd" * 3)
    assert (thrice.value, thrice.n) == (0.75, 12)
    # They tell no more than 4 would.
    assert thrice.low <= alone.low + 1e-9 and thrice.high >= alone.high - 1e-9


def test_win_rates_of_repeated_items_count_each_cluster_once() -> None:
    ours, theirs = [3, 2, 2, 5, 1, 4], [1, 2, 3, 1, 1, 1]
    alone = interval.win_rate(ours, theirs)
    assert interval.clustered_win_rate(ours, theirs, "abcdef") == alone
    thrice = interval.clustered_win_rate(ours * 3, theirs * 3, "abcdef" * 3)
    assert (thrice.wins, thrice.ties, thrice.losses) == (9, 6, 3)
    assert (thrice.interval.value, thrice.interval.n) == (alone.interval.value, 18)
    assert thrice.interval.low < alone.interval.low and thrice.interval.high > alone.interval.high
    won = interval.clustered_win_rate([1] * 12, [0] * 12, "aaabbbcccddd").interval
    assert won.low < interval.win_rate([1] * 4, [0] * 4).interval.low and won.high == 1
    one = interval.clustered_win_rate([1, 1], [0, 0], "aa").interval
    assert one == interval.Interval(1.0, 0.0, 1.0, 2)


def test_one_cluster_says_nothing_about_the_next() -> None:
    assert interval.clustered_proportion([1.0, 1.0], "aa") == interval.Interval(1.0, 0.0, 1.0, 2)
    assert interval.clustered_mean([1.0, 2.0], "aa") == interval.Interval(1.5, -math.inf, math.inf, 2)


def test_all_right_counts_each_cluster_once() -> None:
    found = interval.clustered_proportion([1.0] * 12, "aaabbbcccddd")
    assert found.value == found.high == 1.0
    assert found.low <= interval.proportion(4, 4).low


def test_the_clustered_mean_by_hand() -> None:
    # Clusters {1, 3} and {5, 7}: mean 4, sums of deviations -4 and 4; variance 2/1 * (16 + 16) / 4^2 = 4,
    # error 2; t(1 df) = 12.706
    found = interval.clustered_mean([1.0, 3.0, 5.0, 7.0], "aabb")
    assert found == approx((4.0, 4 - 2 * 12.7062, 4 + 2 * 12.7062, 4), abs=1e-3)


def dependent(seed: int, num_clusters: int) -> tuple[list[float], list[int]]:
    """Clusters of 1 to 8 items that share a chance of 0.95 or 0.45: 0.7 on average."""
    draw = random.Random(seed)
    values, clusters = [], []
    for cluster in range(num_clusters):
        chance = 0.95 if draw.random() < 0.5 else 0.45
        for _ in range(draw.randint(1, 8)):
            values.append(float(draw.random() < chance))
            clusters.append(cluster)
    return values, clusters


@pytest.mark.parametrize("num_clusters", [12, 60])
def test_clustered_intervals_cover_what_plain_ones_miss(num_clusters: int) -> None:
    draws = [dependent(seed, num_clusters) for seed in range(500)]
    covered = (
        sum(one.low <= 0.7 <= one.high for one in (interval.clustered_proportion(*draw) for draw in draws))
        / 500
    )
    plain = (
        sum(one.low <= 0.7 <= one.high for one in (interval.proportion(sum(v), len(v)) for v, _ in draws))
        / 500
    )
    means = (
        sum(one.low <= 0.7 <= one.high for one in (interval.clustered_mean(*draw) for draw in draws)) / 500
    )
    rates = [interval.clustered_win_rate(values, [0.5] * len(values), c).interval for values, c in draws]
    won = sum(rate.low <= 0.7 <= rate.high for rate in rates) / 500
    assert 0.92 <= won <= 0.985
    assert 0.92 <= covered <= 0.985  # 500 draws know a coverage of 0.95 to 0.02
    assert 0.90 <= means <= 0.985
    assert plain < 0.88


def test_the_clustered_bootstrap_draws_whole_clusters() -> None:
    values, clusters = dependent(0, 60)
    array = numpy.array(values)
    found = interval.clustered_bootstrap(lambda rows: float(array[rows].mean()), clusters, seed=0)
    expected = interval.clustered_mean(values, clusters)
    assert found.value == approx(expected.value, abs=1e-12)
    assert (found.low, found.high) == approx((expected.low, expected.high), abs=0.02)
    assert found == interval.clustered_bootstrap(lambda rows: float(array[rows].mean()), clusters, seed=0)


def test_a_bootstrap_of_one_cluster_or_of_nothing_that_varies_bounds_nothing() -> None:
    assert interval.clustered_bootstrap(lambda rows: 1.0, "aa", seed=0) == interval.Interval(
        1.0, -math.inf, math.inf, 2
    )
    found = interval.clustered_bootstrap(lambda rows: math.nan, "ab", seed=0)
    assert math.isnan(found.value) and (found.low, found.high) == (-math.inf, math.inf)


def test_every_value_needs_a_cluster() -> None:
    with pytest.raises(ValueError, match="2 values and 1 clusters"):
        interval.clustered_proportion([1.0, 0.0], "a")
    with pytest.raises(ValueError, match="no values"):
        interval.clustered_mean([], "")


def test_a_ratio_by_hand() -> None:
    # one denominator: half of the mean of 1, 3 is 1, and half of its interval 2 +- 12.7062 * sqrt(2) /
    # sqrt(2)
    assert interval.ratio([1.0, 3.0], [2.0, 2.0]) == approx((1.0, 1 - 6.3531, 1 + 6.3531, 2), abs=1e-3)
    # numerators that are twice their denominators have a ratio of exactly 2
    assert interval.ratio([2.0, 2.2, 1.8], [1.0, 1.1, 0.9]) == approx((2.0, 2.0, 2.0, 3), abs=1e-6)


def test_at_each_end_of_a_ratio_the_difference_could_just_be_zero() -> None:
    above, below = [3.1, 4.4, 2.2, 5.0, 3.6], [4.0, 5.5, 3.9, 5.1, 4.4]
    found = interval.ratio(above, below)
    assert found.low < found.value < found.high and found.value == approx(18.3 / 22.9, abs=1e-12)
    at_low, at_high = (
        [x - r * y for x, y in zip(above, below, strict=True)] for r in (found.low, found.high)
    )
    assert interval.mean(at_low).low == approx(0, abs=1e-9)
    assert interval.mean(at_high).high == approx(0, abs=1e-9)


def test_a_ratio_covers_the_truth() -> None:
    covered = 0
    for seed in range(500):
        draw = random.Random(seed)
        below = [draw.gauss(5, 1) for _ in range(5)]
        found = interval.ratio([0.8 * y + draw.gauss(0, 1) for y in below], below)
        covered += found.low <= 0.8 <= found.high
    assert 0.92 <= covered / 500 <= 0.98  # 500 draws know a coverage of 0.95 to 0.02


def test_a_ratio_over_what_could_be_zero_is_not_bounded() -> None:
    assert interval.ratio([1.0, 2.0, 3.0], [1.0, -1.0, 0.5]) == interval.Interval(
        12.0, -math.inf, math.inf, 3
    )
    assert interval.ratio([1.0], [2.0]) == interval.Interval(0.5, -math.inf, math.inf, 1)
    with pytest.raises(ValueError, match="mean zero"):
        interval.ratio([1.0, 2.0], [1.0, -1.0])
    with pytest.raises(ValueError, match="2 numerators and 1 denominators"):
        interval.ratio([1.0, 2.0], [1.0])
