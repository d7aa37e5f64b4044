"""How far people agree who judged the same things: the share of agreeing pairs, and Krippendorff's alpha, with 95 % intervals.

A unit is what several people judged; its values are what they said, one per person.  Units of fewer than two values say nothing about
agreement and are left out.  Units of one cluster (the parts of one item) are drawn together.  It does not say who is right.
"""

from collections.abc import Hashable, Sequence
from typing import Literal, NamedTuple

import numpy
from numpy.typing import NDArray

from fairlead.core.seed import derive_seed
from fairlead.stats.interval import LEVEL, Interval

Metric = Literal["nominal", "interval"]

RESAMPLES = 500


class Agreement(NamedTuple):
    raw: Interval  # share of pairs of people who said the same of one unit; n is the number of clusters
    alpha: (
        Interval | None
    )  # 1: always; 0: as often as by chance; None where all values are equal and chance explains everything
    num_units: int
    num_pairs: int


def agreement(
    units: Sequence[Sequence[float]], clusters: Sequence[Hashable], *, metric: Metric, seed: int = 0
) -> Agreement | None:
    """None where no unit has two values.

    Alpha = 1 - observed / expected disagreement (Krippendorff, Content Analysis, 2004, chapter 11); disagreement is 1 for different values
    ("nominal") or the square of their difference ("interval").  Intervals are percentiles of a bootstrap over clusters.
    """
    kept = [(values, cluster) for values, cluster in zip(units, clusters, strict=True) if len(values) > 1]
    if not kept:
        return None
    known = sorted({value for values, _ in kept for value in values})
    place = {value: k for k, value in enumerate(known)}
    counts = numpy.zeros((len(kept), len(known)))  # [units, values]
    for row, (values, _) in enumerate(kept):
        for value in values:
            counts[row, place[value]] += 1
    difference = (
        numpy.subtract.outer(known, known) ** 2 if metric == "interval" else 1.0 - numpy.eye(len(known))
    )

    size = counts.sum(axis=1)  # [units]
    pairs = size * (size - 1)  # ordered pairs of people
    same = (counts * (counts - 1)).sum(axis=1)
    apart = numpy.einsum("uc,ck,uk->u", counts, difference, counts) / (size - 1)

    number = {cluster: k for k, cluster in enumerate(dict.fromkeys(cluster for _, cluster in kept))}
    of_unit = [number[cluster] for _, cluster in kept]
    same, pairs, apart, counts = (
        _sums(part, of_unit, len(number)) for part in (same, pairs, apart, counts)
    )  # [clusters, ...]
    weights = _weights(len(number), seed)
    raw = (weights @ same) / (weights @ pairs)
    margins = weights @ counts  # [draws, values]
    total = margins.sum(axis=1)
    expected = numpy.einsum("dc,ck,dk->d", margins, difference, margins) / (total - 1)
    with numpy.errstate(invalid="ignore", divide="ignore"):
        alpha = numpy.where(expected > 0, 1 - (weights @ apart) / expected, numpy.nan)
    return Agreement(
        _interval(raw, len(number)),
        None if numpy.isnan(alpha[0]) else _interval(alpha, len(number)),
        len(kept),
        int(pairs.sum() / 2),
    )


def _sums(
    values: NDArray[numpy.float64], of_unit: Sequence[int], num_clusters: int
) -> NDArray[numpy.float64]:
    found = numpy.zeros((num_clusters, *values.shape[1:]))
    numpy.add.at(found, of_unit, values)
    return found


def _weights(num_clusters: int, seed: int) -> NDArray[numpy.float64]:
    """How often each cluster is drawn: once in the first row, which is the data itself.  [draws, clusters]"""
    random = numpy.random.default_rng(derive_seed(seed, "bootstrap"))
    drawn = random.multinomial(num_clusters, numpy.full(num_clusters, 1 / num_clusters), size=RESAMPLES)
    return numpy.vstack([numpy.ones(num_clusters), drawn]).astype(numpy.float64)


def _interval(draws: NDArray[numpy.float64], n: int) -> Interval:
    """One cluster cannot be resampled: nothing is bounded."""
    finite = draws[1:][numpy.isfinite(draws[1:])]
    if n < 2 or not len(finite):
        return Interval(float(draws[0]), -numpy.inf, numpy.inf, n)
    low, high = numpy.quantile(finite, [0.5 - LEVEL / 2, 0.5 + LEVEL / 2])
    return Interval(float(draws[0]), float(min(low, draws[0])), float(max(high, draws[0])), n)
