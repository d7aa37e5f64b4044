"""Inter-rater agreement: the share of agreeing pairs of raters, and Krippendorff's alpha, with 95 %
intervals.

A unit is a question that several raters answered, with one value per rater.  Units with fewer than two values
carry no information about agreement and are skipped.  Units of one cluster, such as the aspects of one item,
are resampled together.  Agreement does not say which rater is right.
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
    raw: Interval  # share of pairs of raters with equal values for the same unit; n is the number of clusters
    # 1: perfect agreement, 0: agreement at chance level; None if all values are equal
    alpha: Interval | None
    num_units: int
    num_pairs: int


def agreement(
    units: Sequence[Sequence[float]], clusters: Sequence[Hashable], *, metric: Metric, seed: int = 0
) -> Agreement | None:
    """Raw agreement and alpha of all units; None if no unit has two values.

    Alpha = 1 - observed / expected disagreement (Krippendorff, Content Analysis, 2004, chapter 11).  The
    disagreement of two different values is 1 ("nominal") or their squared difference ("interval").  Intervals
    are percentiles of a bootstrap over clusters.
    """
    rated = [(values, cluster) for values, cluster in zip(units, clusters, strict=True) if len(values) > 1]
    if not rated:
        return None
    categories = sorted({value for values, _ in rated for value in values})
    column = {value: k for k, value in enumerate(categories)}
    counts = numpy.zeros((len(rated), len(categories)))  # [units, categories]
    for row, (values, _) in enumerate(rated):
        for value in values:
            counts[row, column[value]] += 1
    if metric == "interval":
        distance = numpy.subtract.outer(categories, categories) ** 2
    else:
        distance = 1.0 - numpy.eye(len(categories))

    num_raters = counts.sum(axis=1)  # [units]
    unit_pairs = num_raters * (num_raters - 1)  # ordered pairs of raters
    unit_agreeing = (counts * (counts - 1)).sum(axis=1)
    unit_disagreement = numpy.einsum("uc,ck,uk->u", counts, distance, counts) / (num_raters - 1)

    cluster_index = {cluster: k for k, cluster in enumerate(dict.fromkeys(cluster for _, cluster in rated))}
    cluster_of_unit = [cluster_index[cluster] for _, cluster in rated]
    agreeing, pairs, disagreement, cluster_counts = (
        _cluster_sums(values, cluster_of_unit, len(cluster_index))
        for values in (unit_agreeing, unit_pairs, unit_disagreement, counts)
    )  # [clusters, ...]
    weights = _bootstrap_weights(len(cluster_index), seed)
    raw = (weights @ agreeing) / (weights @ pairs)
    margins = weights @ cluster_counts  # [draws, categories]
    total = margins.sum(axis=1)
    expected = numpy.einsum("dc,ck,dk->d", margins, distance, margins) / (total - 1)
    with numpy.errstate(invalid="ignore", divide="ignore"):
        alpha = numpy.where(expected > 0, 1 - (weights @ disagreement) / expected, numpy.nan)
    return Agreement(
        _percentile_interval(raw, len(cluster_index)),
        None if numpy.isnan(alpha[0]) else _percentile_interval(alpha, len(cluster_index)),
        len(rated),
        int(pairs.sum() / 2),
    )


def _cluster_sums(
    values: NDArray[numpy.float64], cluster_of_unit: Sequence[int], num_clusters: int
) -> NDArray[numpy.float64]:
    sums = numpy.zeros((num_clusters, *values.shape[1:]))
    numpy.add.at(sums, cluster_of_unit, values)
    return sums


def _bootstrap_weights(num_clusters: int, seed: int) -> NDArray[numpy.float64]:
    """How often each draw contains each cluster; the first row is the data itself.  [draws, clusters]"""
    random = numpy.random.default_rng(derive_seed(seed, "bootstrap"))
    drawn = random.multinomial(num_clusters, numpy.full(num_clusters, 1 / num_clusters), size=RESAMPLES)
    return numpy.vstack([numpy.ones(num_clusters), drawn]).astype(numpy.float64)


def _percentile_interval(draws: NDArray[numpy.float64], n: int) -> Interval:
    """Percentile interval of the bootstrap draws; a single cluster cannot be resampled and has no bounds."""
    finite = draws[1:][numpy.isfinite(draws[1:])]
    if n < 2 or not len(finite):
        return Interval(float(draws[0]), -numpy.inf, numpy.inf, n)
    low, high = numpy.quantile(finite, [0.5 - LEVEL / 2, 0.5 + LEVEL / 2])
    return Interval(float(draws[0]), float(min(low, draws[0])), float(max(high, draws[0])), n)
