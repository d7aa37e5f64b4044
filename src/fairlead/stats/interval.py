"""Estimates with two-sided 95 % intervals and the number of items behind them.

Nothing here corrects for multiple comparisons.  An empty set has no mean and no interval, and raises
ValueError.
"""

import math
from collections.abc import Callable, Hashable, Sequence
from typing import NamedTuple

import numpy
from numpy.typing import NDArray
from scipy import special

from fairlead.core.seed import derive_seed

LEVEL = 0.95
Z = float(special.ndtri(0.5 + LEVEL / 2))  # 1.95996


class Interval(NamedTuple):
    """An estimate and its 95 % interval.  Example: 84 of 100 is Interval(0.84, 0.756, 0.899, 100)."""

    value: float
    low: float  # -inf if the data give no bound, as for the mean of one number
    high: float
    n: int

    def as_dict(self) -> dict[str, float | int | None]:
        """The interval for JSON, which has no infinity: an unbounded end is None."""
        low = self.low if math.isfinite(self.low) else None
        high = self.high if math.isfinite(self.high) else None
        return {"value": self.value, "low": low, "high": high, "n": self.n}


class WinRate(NamedTuple):
    interval: Interval  # of (wins + ties / 2) / n
    wins: int
    ties: int
    losses: int


def proportion(successes: float, n: int) -> Interval:
    """Wilson's score interval.

    `successes` may include halves for ties; the interval is then wider than necessary.
    """
    if n < 1:
        raise ValueError(f"n = {n}: must be at least 1; a share of an empty set is undefined")
    if not 0 <= successes <= n:
        raise ValueError(f"successes = {successes}: must be between 0 and n = {n}")
    return _wilson(successes / n, n, n)


def clustered_proportion(values: Sequence[float], clusters: Sequence[Hashable]) -> Interval:
    """A proportion of items that are dependent within a cluster, such as pairs of one prompt.  Values are 0,
    0.5 or 1.

    Wilson's interval at the effective number of independent items (Korn and Graubard, Survey Methodology 24,
    1998). The variance is estimated from the sums of the clusters and corrected for its degrees of freedom.
    With one item per cluster this equals `proportion`.  A single cluster gives the interval 0 to 1.
    """
    array = _finite(values)
    sums = _cluster_sums(values, clusters)
    n = len(array)
    num_clusters = len(sums)
    share = float(array.mean())
    if num_clusters == n:
        return proportion(float(array.sum()), n)
    if num_clusters == 1:
        return Interval(share, 0.0, 1.0, n)
    return _wilson(share, _effective_items(sums, n, n * share * (1 - share)), n)


def mean(values: Sequence[float]) -> Interval:
    """Student's t interval.  A single value has an unbounded interval."""
    array = _finite(values)
    n = len(array)
    value = float(array.mean())
    if n == 1:
        return Interval(value, -math.inf, math.inf, 1)
    half = float(special.stdtrit(n - 1, 0.5 + LEVEL / 2)) * float(array.std(ddof=1)) / math.sqrt(n)
    return Interval(value, value - half, value + half, n)


def clustered_mean(values: Sequence[float], clusters: Sequence[Hashable]) -> Interval:
    """Student's t interval for the mean of items that are dependent within a cluster.

    The variance is estimated from the sums of the clusters.  With one item per cluster this equals `mean`.
    """
    array = _finite(values)
    sums = _cluster_sums(values, clusters)
    n = len(array)
    num_clusters = len(sums)
    value = float(array.mean())
    if num_clusters == 1:
        return Interval(value, -math.inf, math.inf, n)
    error = math.sqrt(num_clusters / (num_clusters - 1) * float((sums**2).sum())) / n
    half = float(special.stdtrit(num_clusters - 1, 0.5 + LEVEL / 2)) * error
    return Interval(value, value - half, value + half, n)


def ratio(numerators: Sequence[float], denominators: Sequence[float]) -> Interval:
    """Ratio of two means of paired values.  Fieller (Journal of the Royal Statistical Society B 16, 1954),
    Student's t.

    The interval contains every r for which the mean of numerator - r * denominator is not significantly
    different from zero.  It is unbounded if the mean of the denominators is not significantly different from
    zero.
    """
    if len(numerators) != len(denominators):
        raise ValueError(
            f"{len(numerators)} numerators and {len(denominators)} denominators: pass as many of both"
        )
    above = _finite(numerators)
    below = _finite(denominators)
    n = len(above)
    if below.mean() == 0:
        raise ValueError("the denominators have mean zero: the ratio is undefined")
    value = float(above.mean() / below.mean())
    if n == 1:
        return Interval(value, -math.inf, math.inf, 1)
    t = float(special.stdtrit(n - 1, 0.5 + LEVEL / 2))
    spread = t**2 * numpy.cov(above, below) / n
    a = float(below.mean() ** 2 - spread[1, 1])  # a r^2 - 2 b r + c <= 0
    b = float(above.mean() * below.mean() - spread[0, 1])
    c = float(above.mean() ** 2 - spread[0, 0])
    if a <= 0:
        return Interval(value, -math.inf, math.inf, n)
    half = math.sqrt(max(0.0, b * b - a * c)) / a
    return Interval(value, b / a - half, b / a + half, n)


def clustered_bootstrap(
    statistic: Callable[[NDArray[numpy.int64]], float],
    clusters: Sequence[Hashable],
    *,
    seed: int,
    resamples: int = 1000,
) -> Interval:
    """Percentile bootstrap that resamples whole clusters.

    `statistic` receives the numbers of the items in a draw; an item can occur several times.  Draws with a
    non-finite statistic are left out.  The interval is too narrow below about 20 clusters.
    """
    members: dict[Hashable, list[int]] = {}
    for item, cluster in enumerate(clusters):
        members.setdefault(cluster, []).append(item)
    groups = [numpy.array(items) for items in members.values()]
    value = float(statistic(numpy.arange(len(clusters))))
    if len(groups) < 2:
        return Interval(value, -math.inf, math.inf, len(clusters))
    random = numpy.random.default_rng(derive_seed(seed, "bootstrap"))
    draws = [
        float(statistic(numpy.concatenate([groups[g] for g in random.integers(0, len(groups), len(groups))])))
        for _ in range(resamples)
    ]
    finite = [draw for draw in draws if math.isfinite(draw)]
    if not finite:
        return Interval(value, -math.inf, math.inf, len(clusters))
    low, high = numpy.quantile(finite, [0.5 - LEVEL / 2, 0.5 + LEVEL / 2])
    return Interval(value, float(low), float(high), len(clusters))


def bootstrap(
    values: Sequence[float],
    statistic: Callable[[NDArray[numpy.float64]], float],
    *,
    seed: int,
    resamples: int = 2000,
) -> Interval:
    """Percentile bootstrap of any statistic of a sample.

    The interval is too narrow below about 20 values; use `mean` for means.
    """
    array = _finite(values)
    if len(array) < 2:
        raise ValueError("1 value: a bootstrap interval needs at least two")
    random = numpy.random.default_rng(derive_seed(seed, "bootstrap"))
    draws = [statistic(array[random.integers(0, len(array), len(array))]) for _ in range(resamples)]
    low, high = numpy.quantile(draws, [0.5 - LEVEL / 2, 0.5 + LEVEL / 2])
    return Interval(float(statistic(array)), float(low), float(high), len(array))


def win_rate(scores_a: Sequence[float], scores_b: Sequence[float]) -> WinRate:
    """Share of items on which A beats B; a tie counts half.

    The interval is Tango's score interval for paired proportions (Statistics in Medicine 17, 1998),
    transformed from the difference of wins and losses to the rate.  A t or bootstrap interval has zero width
    if A wins every item, and Wilson's interval is too wide with many ties.  Tango's covers close to 95 % in
    both cases.
    """
    if len(scores_a) != len(scores_b):
        raise ValueError(
            f"{len(scores_a)} scores against {len(scores_b)}: pass one score of each model per item"
        )
    difference = _finite(scores_a) - _finite(scores_b)
    wins = int((difference > 0).sum())
    losses = int((difference < 0).sum())
    n = len(difference)
    value = 0.5 + (wins - losses) / (2 * n)
    interval = Interval(value, _rate_bound(wins, losses, n, Z), _rate_bound(wins, losses, n, -Z), n)
    return WinRate(interval, wins, n - wins - losses, losses)


def clustered_win_rate(
    scores_a: Sequence[float], scores_b: Sequence[float], clusters: Sequence[Hashable]
) -> WinRate:
    """A win rate on items that are dependent within a cluster, such as answers to the same prompt.

    Tango's interval at the effective number of independent items, as in `clustered_proportion`.  With one
    item per cluster this equals `win_rate`.  A single cluster of several items gives the interval 0 to 1.
    """
    rate = win_rate(scores_a, scores_b)
    points = (1 + numpy.sign(_finite(scores_a) - _finite(scores_b))) / 2
    sums = _cluster_sums(points, clusters)
    value, _, _, n = rate.interval
    if len(sums) == n:
        return rate
    if len(sums) == 1:
        return rate._replace(interval=Interval(value, 0.0, 1.0, n))
    effective = _effective_items(sums, n, float(((points - value) ** 2).sum()))
    wins, losses = rate.wins * effective / n, rate.losses * effective / n
    low, high = (_rate_bound(wins, losses, effective, z) for z in (Z, -Z))
    return rate._replace(interval=Interval(value, low, high, n))


def _rate_bound(wins: float, losses: float, n: float, z: float) -> float:
    """The rate at which the score statistic equals z: the lower bound if z > 0, else the upper."""

    def excess(delta: float) -> float:
        """Tango's equation multiplied out, so that nothing is divided by a variance of zero.

        It falls as delta grows.
        """
        a = 2 * n
        b = -wins - losses + (2 * n - wins + losses) * delta
        c = -losses * delta * (1 - delta)
        # maximum-likelihood estimate of the share of losses, given delta
        loss_share = (math.sqrt(max(0.0, b * b - 4 * a * c)) - b) / (2 * a)
        return wins - losses - n * delta - z * math.sqrt(max(0.0, n * (2 * loss_share + delta * (1 - delta))))

    from scipy import optimize  # only here: loading it takes a tenth of the time in which the studio starts

    observed = (wins - losses) / n
    edge = -1.0 if z > 0 else 1.0
    if abs(observed - edge) < 1e-12:  # all items lost (or won): the bound is the edge itself
        return 0.5 + edge / 2
    # If all items have the same outcome, the observed value is a trivial root: start the search just beside
    # it.
    start = observed + 1e-9 * (edge - observed)
    return 0.5 + float(optimize.brentq(excess, min(start, edge), max(start, edge), xtol=1e-12)) / 2


def _effective_items(sums: NDArray[numpy.float64], n: int, squares: float) -> float:
    """The number of independent items that tell as much as n items in at least two clusters.

    `sums` are those of the clusters, and `squares` the sum of the squared deviations of the items.
    """
    num_clusters = len(sums)
    independent_variance = n / (n - 1) * squares
    clustered_variance = num_clusters / (num_clusters - 1) * float((sums**2).sum())
    if independent_variance > 0:
        design_effect = max(1.0, clustered_variance / independent_variance)
    else:  # all items agree: the dependence cannot be estimated, so each cluster counts once
        design_effect = n / num_clusters
    t_ratio = float(
        special.stdtrit(n - 1, 0.5 + LEVEL / 2) / special.stdtrit(num_clusters - 1, 0.5 + LEVEL / 2)
    )
    return n / design_effect * t_ratio**2


def _wilson(share: float, effective: float, n: int) -> Interval:
    """Wilson's interval for a share of `effective` independent items; `n` is the reported number of items."""
    centre = (share + Z**2 / (2 * effective)) / (1 + Z**2 / effective)
    half = Z / (1 + Z**2 / effective) * math.sqrt(share * (1 - share) / effective + Z**2 / (4 * effective**2))
    # At a share of 0 or 1 an end equals the share exactly; rounding must not push it past the share.
    return Interval(share, max(0.0, min(share, centre - half)), min(1.0, max(share, centre + half)), n)


def _cluster_sums(
    values: Sequence[float] | NDArray[numpy.float64], clusters: Sequence[Hashable]
) -> NDArray[numpy.float64]:
    """Sum over each cluster of the deviations from the overall mean.  [clusters]"""
    if len(values) != len(clusters):
        raise ValueError(f"{len(values)} values and {len(clusters)} clusters: pass one cluster per value")
    array = _finite(values)
    index = {cluster: k for k, cluster in enumerate(dict.fromkeys(clusters))}
    sums = numpy.zeros(len(index))
    numpy.add.at(sums, [index[cluster] for cluster in clusters], array - array.mean())
    return sums


def _finite(values: Sequence[float] | NDArray[numpy.float64]) -> NDArray[numpy.float64]:
    array = numpy.asarray(values, dtype=numpy.float64)
    if array.size == 0:
        raise ValueError("no values: the mean of an empty set is undefined")
    if not numpy.isfinite(array).all():
        raise ValueError(f"value {int(numpy.flatnonzero(~numpy.isfinite(array))[0])} is not finite")
    return array
