"""Whether stated probabilities hold: the expected calibration error, the curve behind it, and the temperature that makes them hold.

A margin is what a preference model gives the chosen answer above the rejected one; at temperature T it states the probability
sigma(margin / T) that people choose so.  A pair can be read in either order, so what is judged is its confidence, the probability of the
answer that the model prefers, between a half and 1, against whether that answer was the chosen one.
"""

from collections.abc import Hashable, Sequence
from typing import NamedTuple

import numpy
from numpy.typing import NDArray
from scipy import optimize, special

from fairlead.core.seed import derive_seed
from fairlead.stats import interval

Vector = NDArray[numpy.float64]

MOST_BINS, FEWER_BINS = (
    15,
    10,
)  # the numbers of bins of the literature; the smaller one where 15 would hold few pairs each
MIN_PER_BIN = 20
SIMULATIONS = 500


class Bin(NamedTuple):
    """Pairs of about equal confidence."""

    confidence: float  # mean
    right: float  # the share in which the preferred answer was the chosen one
    low: float  # 95 % interval of that share
    high: float
    n: int


def probabilities(margins: Sequence[float], temperature: float) -> Vector:
    """Of the chosen answer.  [pairs]"""
    return numpy.asarray(special.expit(numpy.asarray(margins, dtype=numpy.float64) / temperature))


def bins(chosen: Vector, clusters: Sequence[Hashable]) -> list[Bin]:
    """Bins of equal numbers of pairs, by confidence; `chosen` holds the stated probabilities of the chosen answers."""
    confidence, right = _folded(chosen)
    found = []
    for items in _equal_parts(confidence):
        share = interval.clustered_proportion(right[items].tolist(), [clusters[i] for i in items])
        found.append(Bin(float(confidence[items].mean()), share.value, share.low, share.high, len(items)))
    return found


def error(chosen: Vector) -> float:
    """The expected calibration error: how far, on average over bins of equal numbers of pairs, the right share is from the stated one."""
    confidence, right = _folded(chosen)
    return _error(right, confidence, _equal_parts(confidence))


def chance_error(chosen: Vector, clusters: Sequence[Hashable], *, seed: int) -> float:
    """What `error` stays below in 95 % of draws in which every stated probability is exactly right: with few clusters it is far from 0.

    How much the pairs of a cluster have in common is not known.  The draws take the worst: one number decides all of them.
    """
    confidence, _ = _folded(chosen)
    parts = _equal_parts(confidence)
    place = {cluster: k for k, cluster in enumerate(dict.fromkeys(clusters))}
    at = numpy.array([place[cluster] for cluster in clusters])
    random = numpy.random.default_rng(derive_seed(seed, "calibration"))
    draws = [
        _error((random.random(len(place))[at] < confidence).astype(numpy.float64), confidence, parts)
        for _ in range(SIMULATIONS)
    ]
    return float(numpy.quantile(draws, 0.95))


def fit_temperature(margins: Sequence[float]) -> float | None:
    """The T that minimises -sum log sigma(margin / T); None where the margins point the wrong way, so that no T helps.

    One imaginary pair of typical margin, half right and half wrong, is added: without it a model that is right on all of its few pairs
    would be made infinitely sure of itself.
    """
    array = numpy.asarray(margins, dtype=numpy.float64)
    typical = float(numpy.sqrt((array**2).mean()))
    if typical == 0 or array.mean() <= 0:
        return None

    def slope(inverse: float) -> float:
        """Of the loss in 1 / T, in units of the typical margin; it rises, because the loss is convex."""
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
    """Probabilities at temperatures that were each fitted on the other half.  [pairs]  None where a half has no temperature."""
    array, in_first = numpy.asarray(margins, dtype=numpy.float64), numpy.asarray(halves, dtype=bool)
    found = numpy.empty(len(array))
    for side in (in_first, ~in_first):
        temperature = fit_temperature(array[~side].tolist()) if (~side).any() else None
        if temperature is None or not side.any():
            return None
        found[side] = probabilities(array[side].tolist(), temperature)
    return found


def _folded(chosen: Vector) -> tuple[Vector, Vector]:
    """Confidence in the preferred answer, and 1, 0 or (where neither is preferred) a half for whether it was the chosen one."""
    return numpy.maximum(chosen, 1 - chosen), (chosen > 0.5) + 0.5 * (chosen == 0.5)


def _equal_parts(confidence: Vector) -> list[NDArray[numpy.int64]]:
    count = MOST_BINS if len(confidence) >= MOST_BINS * MIN_PER_BIN else min(FEWER_BINS, len(confidence))
    return numpy.array_split(numpy.argsort(confidence, kind="stable"), count)


def _error(right: Vector, confidence: Vector, parts: Sequence[NDArray[numpy.int64]]) -> float:
    return float(sum(abs((right[items] - confidence[items]).sum()) for items in parts) / len(right))
