"""Estimates with their uncertainty.  Every interval is a two-sided 95 % interval and says how many items it stands on.

It does not decide anything and corrects for no multiple looks.  An empty set has no mean and no interval: ValueError.
"""

import math
from collections.abc import Callable, Hashable, Sequence
from typing import NamedTuple

import numpy
from numpy.typing import NDArray
from scipy import optimize, special

from fairlead.core.seed import derive_seed

LEVEL = 0.95
Z = float(special.ndtri(0.5 + LEVEL / 2))  # 1.95996


class Interval(NamedTuple):
    """An estimate and its 95 % interval.  Example: 84 of 100 is Interval(0.84, 0.756, 0.899, 100)."""

    value: float
    low: float  # -inf when the data bound nothing, as for the mean of one number
    high: float
    n: int

    def as_dict(self) -> dict[str, float | int | None]:
        """For JSON, which has no infinity: an end that is not bounded is None."""
        low = self.low if math.isfinite(self.low) else None
        high = self.high if math.isfinite(self.high) else None
        return {"value": self.value, "low": low, "high": high, "n": self.n}


class WinRate(NamedTuple):
    interval: Interval  # of (wins + ties / 2) / n
    wins: int
    ties: int
    losses: int


def proportion(successes: float, n: int) -> Interval:
    """Wilson's score interval.  `successes` may hold halves, for ties; the interval is then wider than it need be."""
    if n < 1:
        raise ValueError(f"n = {n}: a share of nothing is not a number")
    if not 0 <= successes <= n:
        raise ValueError(f"successes = {successes}: must be between 0 and n = {n}")
    return _wilson(successes / n, n, n)


def clustered_proportion(values: Sequence[float], clusters: Sequence[Hashable]) -> Interval:
    """A share of items of which those in one cluster depend on each other, as pairs that share a prompt do.  Values are 0, 1/2 or 1.

    Wilson's interval at the number of independent items that would tell as much (Korn and Graubard, Survey Methodology 24, 1998): the
    variance comes from the clusters' sums, and its few degrees of freedom are paid for.  With one item per cluster this is `proportion`.
    One cluster says nothing about the others: its interval is 0 to 1.
    """
    array, sums = _finite(values), _cluster_sums(values, clusters)
    n, num_clusters = len(array), len(sums)
    share = float(array.mean())
    if num_clusters == n:
        return proportion(float(array.sum()), n)
    if num_clusters == 1:
        return Interval(share, 0.0, 1.0, n)
    as_if_alone = n / (n - 1) * n * share * (1 - share)
    together = num_clusters / (num_clusters - 1) * float((sums**2).sum())
    # Where all items agree nothing shows how much the items of a cluster depend on each other: each cluster then counts once.
    times_wider = max(1.0, together / as_if_alone) if as_if_alone > 0 else n / num_clusters
    spread_known = float(
        special.stdtrit(n - 1, 0.5 + LEVEL / 2) / special.stdtrit(num_clusters - 1, 0.5 + LEVEL / 2)
    )
    effective = n / times_wider * spread_known**2
    return _wilson(share, effective, n)


def mean(values: Sequence[float]) -> Interval:
    """Student's t interval.  One value says nothing about the spread: its interval is the whole line."""
    array = _finite(values)
    n = len(array)
    value = float(array.mean())
    if n == 1:
        return Interval(value, -math.inf, math.inf, 1)
    half = float(special.stdtrit(n - 1, 0.5 + LEVEL / 2)) * float(array.std(ddof=1)) / math.sqrt(n)
    return Interval(value, value - half, value + half, n)


def clustered_mean(values: Sequence[float], clusters: Sequence[Hashable]) -> Interval:
    """A mean of items that depend on each other inside a cluster: the variance comes from the clusters' sums.  Student's t.

    With one item per cluster this is `mean`.
    """
    array, sums = _finite(values), _cluster_sums(values, clusters)
    n, num_clusters = len(array), len(sums)
    value = float(array.mean())
    if num_clusters == 1:
        return Interval(value, -math.inf, math.inf, n)
    error = math.sqrt(num_clusters / (num_clusters - 1) * float((sums**2).sum())) / n
    half = float(special.stdtrit(num_clusters - 1, 0.5 + LEVEL / 2)) * error
    return Interval(value, value - half, value + half, n)


def ratio(numerators: Sequence[float], denominators: Sequence[float]) -> Interval:
    """Mean over mean of paired values.  Fieller (Journal of the Royal Statistical Society B 16, 1954), with Student's t.

    The interval holds every r for which numerator - r * denominator could have mean zero.  Where the denominators' own mean could be zero
    nothing is bounded.
    """
    if len(numerators) != len(denominators):
        raise ValueError(
            f"{len(numerators)} numerators over {len(denominators)} denominators: a ratio needs pairs"
        )
    above, below = _finite(numerators), _finite(denominators)
    n = len(above)
    if below.mean() == 0:
        raise ValueError("the denominators have mean zero, and nothing can be divided by it")
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
    """Percentile bootstrap that draws whole clusters; `statistic` is told which items, some of them several times.

    Draws for which the statistic is no number (all items alike, say) are left out.  Too narrow below about 20 clusters.
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
    kept = [draw for draw in draws if math.isfinite(draw)]
    if not kept:
        return Interval(value, -math.inf, math.inf, len(clusters))
    low, high = numpy.quantile(kept, [0.5 - LEVEL / 2, 0.5 + LEVEL / 2])
    return Interval(value, float(low), float(high), len(clusters))


def bootstrap(
    values: Sequence[float],
    statistic: Callable[[NDArray[numpy.float64]], float],
    *,
    seed: int,
    resamples: int = 2000,
) -> Interval:
    """Percentile bootstrap of any statistic of one sample.  Too narrow below about 20 values: prefer `mean` for means."""
    array = _finite(values)
    if len(array) < 2:
        raise ValueError("one value cannot be resampled; a bootstrap interval needs at least two")
    random = numpy.random.default_rng(derive_seed(seed, "bootstrap"))
    draws = [statistic(array[random.integers(0, len(array), len(array))]) for _ in range(resamples)]
    low, high = numpy.quantile(draws, [0.5 - LEVEL / 2, 0.5 + LEVEL / 2])
    return Interval(float(statistic(array)), float(low), float(high), len(array))


def win_rate(scores_a: Sequence[float], scores_b: Sequence[float]) -> WinRate:
    """How often A beats B on the same items; a tie counts half.

    The interval is Tango's score interval for paired proportions (Statistics in Medicine 17, 1998), moved from the difference
    wins - losses to the rate.  A t or bootstrap interval has no width when every item is won, and Wilson's is too wide with
    many ties; this one covers close to 95 % in both cases.
    """
    if len(scores_a) != len(scores_b):
        raise ValueError(f"{len(scores_a)} scores against {len(scores_b)}: a win rate needs pairs")
    difference = _finite(scores_a) - _finite(scores_b)
    wins, losses = int((difference > 0).sum()), int((difference < 0).sum())
    n = len(difference)
    value = 0.5 + (wins - losses) / (2 * n)
    interval = Interval(value, _rate_bound(wins, losses, n, Z), _rate_bound(wins, losses, n, -Z), n)
    return WinRate(interval, wins, n - wins - losses, losses)


def _rate_bound(wins: int, losses: int, n: int, z: float) -> float:
    """The rate at which the score statistic equals z: the lower bound for z > 0, the upper for z < 0."""

    def excess(delta: float) -> float:
        """Tango's equation multiplied out, so that nothing is divided by a variance of zero.  It falls as delta grows."""
        a = 2 * n
        b = -wins - losses + (2 * n - wins + losses) * delta
        c = -losses * delta * (1 - delta)
        lost = (math.sqrt(max(0.0, b * b - 4 * a * c)) - b) / (
            2 * a
        )  # losing share that fits best under this delta
        return wins - losses - n * delta - z * math.sqrt(max(0.0, n * (2 * lost + delta * (1 - delta))))

    observed = (wins - losses) / n
    edge = -1.0 if z > 0 else 1.0
    if abs(observed - edge) < 1e-12:  # everything lost (or won): the bound on that side is the edge itself
        return 0.5 + edge / 2
    # Where every item has the same outcome the equation also holds, emptily, at the observed value: start just beside it.
    inner, outer = observed + 1e-9 * (edge - observed), edge
    return 0.5 + float(optimize.brentq(excess, min(inner, outer), max(inner, outer), xtol=1e-12)) / 2


def _wilson(share: float, effective: float, n: int) -> Interval:
    """Wilson's interval for a share of `effective` independent items; `n` is what is reported."""
    centre = (share + Z**2 / (2 * effective)) / (1 + Z**2 / effective)
    half = Z / (1 + Z**2 / effective) * math.sqrt(share * (1 - share) / effective + Z**2 / (4 * effective**2))
    # The formula touches 0 and 1 exactly at the ends; rounding must not push it past the estimate.
    return Interval(share, max(0.0, min(share, centre - half)), min(1.0, max(share, centre + half)), n)


def _cluster_sums(values: Sequence[float], clusters: Sequence[Hashable]) -> NDArray[numpy.float64]:
    """For each cluster the sum of its items' deviations from the mean of all.  [clusters]"""
    if len(values) != len(clusters):
        raise ValueError(f"{len(values)} values in {len(clusters)} clusters: each value needs one")
    array = _finite(values)
    place = {cluster: k for k, cluster in enumerate(dict.fromkeys(clusters))}
    sums = numpy.zeros(len(place))
    numpy.add.at(sums, [place[cluster] for cluster in clusters], array - array.mean())
    return sums


def _finite(values: Sequence[float]) -> NDArray[numpy.float64]:
    array = numpy.asarray(values, dtype=numpy.float64)
    if array.size == 0:
        raise ValueError("no values: an empty set has no mean")
    if not numpy.isfinite(array).all():
        raise ValueError(f"value {int(numpy.flatnonzero(~numpy.isfinite(array))[0])} is not finite")
    return array
