"""Metrics of a reward model on held-out pairs, from its scores.  Returns JSON values; does not import torch.

n counts pairs.  Pairs of one prompt are dependent, so every interval treats a prompt as one cluster.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy
from numpy.typing import NDArray
from scipy import special

from fairlead.core.seed import derive_seed
from fairlead.data.pair_metadata import MetadataTable
from fairlead.data.records import Comparison, Messages, prompt_text
from fairlead.stats import calibration, content_blind, interval
from fairlead.stats.accuracy_ceiling import Vote, accuracy_ceiling
from fairlead.stats.interval import Interval

Vector = NDArray[numpy.float64]

MOST_SLICES = 12  # largest slices of each kind
SIMILAR_LENGTH = 0.1  # lengths that differ by at most this share of the longer answer are similar


@dataclass(frozen=True)
class EvaluationPairs:
    """The pairs of an examination, without ties.  The model must not have been trained on `held_out`."""

    held_out: Sequence[Comparison]
    # Pairs for the baselines.  If None, baselines learn from each half of the held-out prompts for the other
    # half.
    train: Sequence[Comparison] | None
    notes: MetadataTable
    seed: int

    @property
    def prompts(self) -> list[str]:
        return [prompt_text(comparison) for comparison in self.held_out]

    @property
    def halves(self) -> list[bool]:
        """Whether each held-out pair is in the first half.  All pairs of a prompt are in the same half."""
        place = {
            prompt: k
            for k, prompt in enumerate(
                sorted(set(self.prompts), key=lambda text: derive_seed(self.seed, "half", text))
            )
        }
        return [place[prompt] % 2 == 0 for prompt in self.prompts]


def compute_reward_metrics(
    pairs: EvaluationPairs, chosen: Sequence[float], rejected: Sequence[float]
) -> dict[str, Any]:
    """All metrics from the finite scores of the chosen and of the rejected answers."""
    margins = numpy.asarray(chosen, dtype=numpy.float64) - numpy.asarray(rejected, dtype=numpy.float64)
    credit = (margins > 0) + 0.5 * (margins == 0)
    prompts = pairs.prompts
    return {
        "accuracy": _share(credit, prompts),
        "held_out_loss": float(-special.log_expit(margins).mean()),
        "baselines": _baselines(pairs, credit),
        "slices": _slices(pairs, credit),
        "calibration": _calibration(pairs, margins),
        "length": _length(pairs, chosen, rejected),
        "ceiling": _ceiling(pairs, float(credit.mean())),
    }


def pair_texts(comparison: Comparison) -> tuple[str, str]:
    """The chosen and the rejected answer as text, which is what the baselines read."""
    return _text(comparison.chosen), _text(comparison.rejected)


def _baselines(pairs: EvaluationPairs, credit: Vector) -> dict[str, Any]:
    """Accuracy of each baseline on the same pairs, and the lead of the model; None without its column."""

    def evaluate(rule: Callable[[Sequence[Comparison], Sequence[Comparison]], Vector]) -> dict[str, Any]:
        if pairs.train is None:
            baseline_credit = _cross_fitted_credit(pairs, rule)
        else:
            baseline_credit = rule(pairs.train, pairs.held_out)
        lead = interval.clustered_mean((credit - baseline_credit).tolist(), pairs.prompts)
        return {**_share(baseline_credit, pairs.prompts), "lead": lead.as_dict()}

    def first(rows: Sequence[Comparison]) -> list[bool | None]:
        return [pairs.notes.of(comparison).chosen_first for comparison in rows]

    def length(train: Sequence[Comparison], held_out: Sequence[Comparison]) -> Vector:
        return content_blind.length_only(_texts(train), _texts(held_out))

    def position(train: Sequence[Comparison], held_out: Sequence[Comparison]) -> Vector:
        return content_blind.position_only(first(train), first(held_out))

    def words(train: Sequence[Comparison], held_out: Sequence[Comparison]) -> Vector:
        if len(train) < 2:  # too few pairs to learn from
            return numpy.full(len(held_out), 0.5)
        return content_blind.bag_of_words(_texts(train), _texts(held_out), seed=pairs.seed)

    has_positions = any(is_first is not None for is_first in first(pairs.held_out))
    return {
        "length_only": evaluate(length),
        "position_only": evaluate(position) if has_positions else None,
        "bag_of_words": evaluate(words),
    }


def _cross_fitted_credit(
    pairs: EvaluationPairs, rule: Callable[[Sequence[Comparison], Sequence[Comparison]], Vector]
) -> Vector:
    """Credit of a baseline on each half of the prompts after learning from the other half.  [pairs]"""
    credit = numpy.empty(len(pairs.held_out))
    in_first = numpy.array(pairs.halves)
    for half in (in_first, ~in_first):
        if half.any():
            inside, outside = (
                [pairs.held_out[i] for i in numpy.flatnonzero(rows).tolist()] for rows in (half, ~half)
            )
            credit[half] = rule(outside, inside)
    return credit


def _slices(pairs: EvaluationPairs, credit: Vector) -> list[dict[str, Any]]:
    """Accuracy by margin, length, rater and tag."""
    by_kind: dict[str, dict[str, list[int]]] = {}
    for i, comparison in enumerate(pairs.held_out):
        for kind, name in _groups(comparison, pairs.notes):
            by_kind.setdefault(kind, {}).setdefault(name, []).append(i)
    prompts = pairs.prompts
    slices = []
    for kind, groups in by_kind.items():
        largest = sorted(groups.items(), key=lambda group: (-len(group[1]), group[0]))[:MOST_SLICES]
        slices += [
            {"by": kind, "name": name, "accuracy": _share(credit[rows], [prompts[i] for i in rows])}
            for name, rows in largest
        ]
    return slices


def _groups(comparison: Comparison, notes: MetadataTable) -> list[tuple[str, str]]:
    """The slices of a pair, as (kind, name)."""
    chosen, rejected = map(len, pair_texts(comparison))
    if abs(chosen - rejected) <= SIMILAR_LENGTH * max(chosen, rejected):
        length = "of like length"
    else:
        length = "chosen longer" if chosen > rejected else "chosen shorter"
    groups = [("length", length)]
    margin = comparison.margin
    if margin is not None:
        groups.append(("margin", "below 1" if margin < 1 else "1 to 2" if margin < 2 else "2 to 3"))
    if comparison.rater is not None:
        groups.append(("rater", comparison.rater))
    return groups + [("tag", tag) for tag in notes.of(comparison).tags]


def _calibration(pairs: EvaluationPairs, margins: Vector) -> dict[str, Any]:
    """Calibration at temperatures fitted on the other half of the prompts.

    The reported temperature is fitted on all prompts.
    """
    uncalibrated = calibration.probabilities(margins.tolist(), 1.0)
    metrics: dict[str, Any] = {
        "temperature": calibration.fit_temperature(margins.tolist()),
        "error_before": calibration.error(uncalibrated),
        "error": None,
        "chance_error": None,
        "loss": None,
        "bins": [],
    }
    stated = calibration.cross_fitted(margins.tolist(), pairs.halves)
    if stated is None:
        return metrics
    return metrics | {
        "error": calibration.error(stated),
        "chance_error": calibration.chance_error(stated, pairs.prompts, seed=pairs.seed),
        "loss": float(-numpy.log(numpy.maximum(stated, 1e-300)).mean()),
        "bins": [row._asdict() for row in calibration.bins(stated, pairs.prompts)],
    }


def _length(pairs: EvaluationPairs, chosen: Sequence[float], rejected: Sequence[float]) -> dict[str, Any]:
    """Correlations of score and length in characters: over all answers, within pairs, and given the raters'
    choice.

    Within pairs, the sign of a difference is arbitrary, so differences are not centred.  Raters may prefer
    longer answers, and a good model then does too.  `given_choice` centres the differences of chosen minus
    rejected, which removes this preference.
    """
    sizes = numpy.array([[float(len(text)) for text in texts] for texts in _texts(pairs.held_out)])
    scores = numpy.array([chosen, rejected], dtype=numpy.float64).T
    score_gaps, size_gaps = scores[:, 0] - scores[:, 1], sizes[:, 0] - sizes[:, 1]
    return {
        "all_answers": _correlation(
            pairs, lambda rows: _cosine(_centred(scores[rows].ravel()), _centred(sizes[rows].ravel()))
        ),
        "inside_pairs": _correlation(pairs, lambda rows: _cosine(score_gaps[rows], size_gaps[rows])),
        "given_choice": _correlation(
            pairs, lambda rows: _cosine(_centred(score_gaps[rows]), _centred(size_gaps[rows]))
        ),
    }


def _correlation(
    pairs: EvaluationPairs, statistic: Callable[[NDArray[numpy.int64]], float]
) -> dict[str, Any] | None:
    """Correlation with its interval; None if a side does not vary."""
    estimate = interval.clustered_bootstrap(statistic, pairs.prompts, seed=pairs.seed)
    return estimate.as_dict() if math.isfinite(estimate.value) else None


def _cosine(a: Vector, b: Vector) -> float:
    size = math.sqrt(float((a**2).sum()) * float((b**2).sum()))
    return float((a * b).sum()) / size if size > 0 else math.nan


def _centred(values: Vector) -> Vector:
    return values - float(values.mean())


def _ceiling(pairs: EvaluationPairs, accuracy: float) -> dict[str, Any] | None:
    """Accuracy ceiling of the labels, from pairs of both splits that several raters judged."""
    votes = []
    for comparison in [*(pairs.train or ()), *pairs.held_out]:
        if comparison.rater is not None:
            prompt = prompt_text(comparison)
            answers = pair_texts(comparison)
            votes.append(Vote((prompt, frozenset(answers)), prompt, comparison.rater, answers[0]))
    ceiling = accuracy_ceiling(votes)
    if ceiling is None:
        return None
    return {
        "agreement": ceiling.agreement.as_dict(),
        "accuracy": ceiling.accuracy.as_dict(),
        "reached": accuracy / ceiling.accuracy.value,
    }


def ensemble_disagreement(
    pairs: EvaluationPairs, members: Sequence[tuple[Sequence[float], Sequence[float]]]
) -> dict[str, Any]:
    """Disagreement of standardised ensemble members: spread per answer, and share of pairs with different
    orders.
    """
    scaled = []
    for chosen, rejected in members:
        both = numpy.array([chosen, rejected], dtype=numpy.float64)
        scaled.append((both - both.mean()) / max(float(both.std()), 1e-12))
    stack = numpy.stack(scaled)  # [members, 2, pairs]
    prefers = numpy.sign(stack[:, 0] - stack[:, 1])
    disagrees = (prefers != prefers[0]).any(axis=0) + 0.0
    spread = stack.std(axis=0, ddof=1).mean(axis=0)
    return {
        "members": len(members),
        "spread": interval.clustered_mean(spread.tolist(), pairs.prompts).as_dict(),
        "disagree": _share(disagrees, pairs.prompts),
        "accuracies": [
            _share((chosen > rejected) + 0.5 * (chosen == rejected), pairs.prompts)
            for chosen, rejected in stack
        ],
    }


def _share(values: Vector, prompts: Sequence[str]) -> dict[str, Any]:
    return interval.clustered_proportion(values.tolist(), prompts).as_dict()


def _texts(comparisons: Sequence[Comparison]) -> list[tuple[str, str]]:
    return [pair_texts(comparison) for comparison in comparisons]


def _text(messages: Messages) -> str:
    return " ".join(message.content for message in messages)


def manifest_metrics(report: Mapping[str, Any]) -> dict[str, Any]:
    """The metrics for the manifest, without those that were not measured."""
    if report["not_finite"]:
        return {"verdict": report["verdict"], "not_finite": report["not_finite"]}
    baselines = {
        name: _estimate(baseline) for name, baseline in report["baselines"].items() if baseline is not None
    }
    calibration_error, temperature = report["calibration"]["error"], report["calibration"]["temperature"]
    return {
        "held_out_loss": report["held_out_loss"],
        "accuracy": report["accuracy"],
        **baselines,
        **({} if calibration_error is None else {"calibration_error": calibration_error}),
        **({} if temperature is None else {"temperature": temperature}),
        "verdict": report["verdict"],
    }


def _estimate(baseline: Mapping[str, Any]) -> dict[str, Any]:
    return {key: baseline[key] for key in Interval._fields}
