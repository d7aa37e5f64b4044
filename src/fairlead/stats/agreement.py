"""How far people agree who judged the same things: the share of agreeing pairs, and Krippendorff's alpha, with 95 % intervals.

A unit is what several people judged; its values are what they said, one per person.  Units of fewer than two values say nothing about
agreement and are left out.  Units of one cluster (the parts of one item) are drawn together.  It does not say who is right.
"""

from collections.abc import Hashable, Sequence
from typing import Literal, NamedTuple

import numpy
from numpy.typing import NDArray

from fairlead.core import seed as seeds
from fairlead.stats.interval import LEVEL, Interval

Metric = Literal["nominal", "interval"]

RESAMPLES = 500


class Agreement(NamedTuple):
    raw: Interval  # share of pairs of people who said the same of one unit; n is the number of clusters
    alpha: Interval | None  # 1: always; 0: as often as by chance; None where all values are equal and chance explains everything
    num_units: int
    num_pairs: int


def agreement(units: Sequence[Sequence[float]], clusters: Sequence[Hashable], *, metric: Metric, seed: int = 0) -> Agreement | None:
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
    difference = numpy.subtract.outer(known, known) ** 2 if metric == "interval" else 1.0 - numpy.eye(len(known))

    size = counts.sum(axis=1)  # [units]
    pairs = size * (size - 1)  # ordered pairs of people
    same = (counts * (counts - 1)).sum(axis=1)
    apart = numpy.einsum("uc,ck,uk->u", counts, difference, counts) / (size - 1)

    weights = _weights([cluster for _, cluster in kept], seed)  # [draws, units], the first is the data itself
    raw = (weights @ same) / (weights @ pairs)
    margins = weights @ counts  # [draws, values]
    total = margins.sum(axis=1)
    expected = numpy.einsum("dc,ck,dk->d", margins, difference, margins) / (total - 1)
    with numpy.errstate(invalid="ignore", divide="ignore"):
        alpha = numpy.where(expected > 0, 1 - (weights @ apart) / expected, numpy.nan)
    num_clusters = len({cluster for _, cluster in kept})
    return Agreement(
        _interval(raw, num_clusters),
        None if numpy.isnan(alpha[0]) else _interval(alpha, num_clusters),
        len(kept),
        int(pairs.sum() / 2),
    )


def _weights(clusters: Sequence[Hashable], seed: int) -> NDArray[numpy.float64]:
    """How often each unit is drawn: once in the first row, as its cluster falls in the others."""
    number = {cluster: k for k, cluster in enumerate(dict.fromkeys(clusters))}
    random = numpy.random.default_rng(seeds.derive(seed, "bootstrap"))
    drawn = random.multinomial(len(number), numpy.full(len(number), 1 / len(number)), size=RESAMPLES)
    each = numpy.vstack([numpy.ones(len(number)), drawn])
    return numpy.asarray(each[:, [number[cluster] for cluster in clusters]], dtype=numpy.float64)


def _interval(draws: NDArray[numpy.float64], n: int) -> Interval:
    """One cluster cannot be resampled: nothing is bounded."""
    finite = draws[1:][numpy.isfinite(draws[1:])]
    if n < 2 or not len(finite):
        return Interval(float(draws[0]), -numpy.inf, numpy.inf, n)
    low, high = numpy.quantile(finite, [0.5 - LEVEL / 2, 0.5 + LEVEL / 2])
    return Interval(float(draws[0]), float(min(low, draws[0])), float(max(high, draws[0])), n)
