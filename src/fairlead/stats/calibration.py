"""Calibration of a preference model: expected calibration error, reliability curve and temperature.

A margin is the score of the chosen answer minus the score of the rejected one.  At temperature T the model
states the probability sigma(margin / T) that raters choose that answer.  The order of a pair is arbitrary.
Calibration therefore compares the confidence, the probability of the preferred answer (0.5 to 1), with how
often that answer was chosen.
"""

from collections.abc import Hashable, Sequence
from typing import NamedTuple

import numpy
from numpy.typing import NDArray
from scipy import optimize, special

from fairlead.core.seed import derive_seed
from fairlead.stats import interval

Vector = NDArray[numpy.float64]

# Both numbers of bins are common in the literature; the smaller is used if 15 bins would hold few pairs each.
MAX_BINS = 15
FEWER_BINS = 10
MIN_PER_BIN = 20
NUM_SIMULATIONS = 500


class Bin(NamedTuple):
    """Pairs of similar confidence."""

    confidence: float  # mean
    right: float  # share of pairs whose preferred answer was the chosen one
    low: float  # 95 % interval of that share
    high: float
    n: int


def probabilities(margins: Sequence[float], temperature: float) -> Vector:
    """Stated probability of the chosen answer.  [pairs]"""
    return numpy.asarray(special.expit(numpy.asarray(margins, dtype=numpy.float64) / temperature))


def bins(chosen: Vector, clusters: Sequence[Hashable]) -> list[Bin]:
    """The reliability curve: bins of equally many pairs, ordered by confidence.

    `chosen` holds the stated probabilities of the chosen answers.
    """
    confidence, right = _folded(chosen)
    curve = []
    for rows in _equal_bins(confidence):
        share = interval.clustered_proportion(right[rows].tolist(), [clusters[i] for i in rows])
        curve.append(Bin(float(confidence[rows].mean()), share.value, share.low, share.high, len(rows)))
    return curve


def error(chosen: Vector) -> float:
    """Expected calibration error: mean distance of the right share from the confidence, over equal bins."""
    confidence, right = _folded(chosen)
    return _error(right, confidence, _equal_bins(confidence))


def chance_error(chosen: Vector, clusters: Sequence[Hashable], *, seed: int) -> float:
    """95th percentile of `error` for a perfectly calibrated model; with few clusters this is far above 0.

    The dependence between pairs of one cluster is unknown.  The simulation assumes the worst case: one random
    number decides all pairs of a cluster.
    """
    confidence, _ = _folded(chosen)
    bin_rows = _equal_bins(confidence)
    index = {cluster: k for k, cluster in enumerate(dict.fromkeys(clusters))}
    cluster_of_pair = numpy.array([index[cluster] for cluster in clusters])
    random = numpy.random.default_rng(derive_seed(seed, "calibration"))
    draws = [
        _error(
            (random.random(len(index))[cluster_of_pair] < confidence).astype(numpy.float64),
            confidence,
            bin_rows,
        )
        for _ in range(NUM_SIMULATIONS)
    ]
    return float(numpy.quantile(draws, 0.95))


def fit_temperature(margins: Sequence[float]) -> float | None:
    """The temperature T that minimises -sum log sigma(margin / T).

    None if the margins point the wrong way on average, so that no temperature helps.  The loss includes one
    imaginary pair with a typical margin, half right and half wrong.  Without that pair, a model that is right
    on all of a few pairs would get infinite confidence.
    """
    array = numpy.asarray(margins, dtype=numpy.float64)
    typical = float(numpy.sqrt((array**2).mean()))
    if typical == 0 or array.mean() <= 0:
        return None

    def slope(inverse: float) -> float:
        """Derivative of the loss by 1 / T, in units of the typical margin.

        It increases: the loss is convex.
        """
        z = array / typical
        return float(
            -(z * special.expit(-inverse * z)).sum()
            - 0.5 * special.expit(-inverse)
            + 0.5 * special.expit(inverse)
        )

    largest = 1.0
    while slope(largest) < 0:
        largest *= 2
    return typical / float(optimize.brentq(slope, 0.0, largest, xtol=1e-12))


def cross_fitted(margins: Sequence[float], halves: Sequence[bool]) -> Vector | None:
    """Probabilities of each half at the temperature fitted on the other half.  [pairs]

    None if a half is empty or has no temperature.
    """
    array = numpy.asarray(margins, dtype=numpy.float64)
    in_first = numpy.asarray(halves, dtype=bool)
    stated = numpy.empty(len(array))
    for half in (in_first, ~in_first):
        temperature = fit_temperature(array[~half].tolist()) if (~half).any() else None
        if temperature is None or not half.any():
            return None
        stated[half] = probabilities(array[half].tolist(), temperature)
    return stated


def _folded(chosen: Vector) -> tuple[Vector, Vector]:
    """Confidence in the preferred answer, and whether it was chosen: 1, 0, or 0.5 if neither is preferred."""
    return numpy.maximum(chosen, 1 - chosen), (chosen > 0.5) + 0.5 * (chosen == 0.5)


def _equal_bins(confidence: Vector) -> list[NDArray[numpy.int64]]:
    """Row numbers of each bin."""
    count = MAX_BINS if len(confidence) >= MAX_BINS * MIN_PER_BIN else min(FEWER_BINS, len(confidence))
    return numpy.array_split(numpy.argsort(confidence, kind="stable"), count)


def _error(right: Vector, confidence: Vector, bin_rows: Sequence[NDArray[numpy.int64]]) -> float:
    return float(sum(abs((right[rows] - confidence[rows]).sum()) for rows in bin_rows) / len(right))
