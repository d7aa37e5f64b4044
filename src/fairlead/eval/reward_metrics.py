"""What a reward model's scores say of it on pairs that it never saw.  Numbers and records in, figures ready for JSON out; no torch.

n counts pairs.  Pairs that share a prompt depend on each other, so every interval treats a prompt, not a pair, as one draw.
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

MOST_SLICES = 12  # of one kind, the largest first
LIKE_LENGTH = 0.1  # answers whose lengths differ by less than this share of the longer are of like length


@dataclass(frozen=True)
class EvaluationPairs:
    """What a model is examined on, without ties; it must not have been trained on `held_out`."""

    held_out: Sequence[Comparison]
    train: (
        Sequence[Comparison] | None
    )  # what baselines learn from; None: each half of the held-out prompts teaches those of the other
    notes: MetadataTable
    seed: int

    @property
    def prompts(self) -> list[str]:
        return [prompt_text(one) for one in self.held_out]

    @property
    def halves(self) -> list[bool]:
        """Whether each held-out pair is in the first half; all pairs of a prompt are in the same."""
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
    """All that can be known from the scores of the chosen and of the rejected answers, which must be finite."""
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
    """What a baseline reads: the chosen and the rejected answer as text."""
    return _text(comparison.chosen), _text(comparison.rejected)


def _baselines(pairs: EvaluationPairs, credit: Vector) -> dict[str, Any]:
    """Each baseline's accuracy on the same pairs, and the model's lead over it; None where the rows do not say what it would read."""

    def judged(rule: Callable[[Sequence[Comparison], Sequence[Comparison]], Vector]) -> dict[str, Any]:
        found = _on_the_other_half(pairs, rule) if pairs.train is None else rule(pairs.train, pairs.held_out)
        lead = interval.clustered_mean((credit - found).tolist(), pairs.prompts)
        return {**_share(found, pairs.prompts), "lead": lead.as_dict()}

    def first(rows: Sequence[Comparison]) -> list[bool | None]:
        return [pairs.notes.of(one).chosen_first for one in rows]

    def length(train: Sequence[Comparison], held_out: Sequence[Comparison]) -> Vector:
        return content_blind.length_only(
            [pair_texts(one) for one in train], [pair_texts(one) for one in held_out]
        )

    def position(train: Sequence[Comparison], held_out: Sequence[Comparison]) -> Vector:
        return content_blind.position_only(first(train), first(held_out))

    def words(train: Sequence[Comparison], held_out: Sequence[Comparison]) -> Vector:
        if len(train) < 2:  # too few to learn a word from
            return numpy.full(len(held_out), 0.5)
        return content_blind.bag_of_words(
            [pair_texts(one) for one in train], [pair_texts(one) for one in held_out], seed=pairs.seed
        )

    known = any(one is not None for one in first(pairs.held_out))
    return {
        "length_only": judged(length),
        "position_only": judged(position) if known else None,
        "bag_of_words": judged(words),
    }


def _on_the_other_half(
    pairs: EvaluationPairs, rule: Callable[[Sequence[Comparison], Sequence[Comparison]], Vector]
) -> Vector:
    found = numpy.empty(len(pairs.held_out))
    halves = numpy.array(pairs.halves)
    for side in (halves, ~halves):
        if side.any():
            inside, outside = (
                [pairs.held_out[i] for i in numpy.flatnonzero(which).tolist()] for which in (side, ~side)
            )
            found[side] = rule(outside, inside)
    return found


def _slices(pairs: EvaluationPairs, credit: Vector) -> list[dict[str, Any]]:
    """Accuracy by how much better the answer was called, by length, by rater and by tag."""
    by_kind: dict[str, dict[str, list[int]]] = {}
    for i, one in enumerate(pairs.held_out):
        for kind, name in _groups(one, pairs.notes):
            by_kind.setdefault(kind, {}).setdefault(name, []).append(i)
    prompts = pairs.prompts
    found = []
    for kind, groups in by_kind.items():
        largest = sorted(groups.items(), key=lambda group: (-len(group[1]), group[0]))[:MOST_SLICES]
        found += [
            {"by": kind, "name": name, "accuracy": _share(credit[rows], [prompts[i] for i in rows])}
            for name, rows in largest
        ]
    return found


def _groups(one: Comparison, notes: MetadataTable) -> list[tuple[str, str]]:
    """The slices that a pair belongs to: (kind, name)."""
    chosen, rejected = map(len, pair_texts(one))
    like = abs(chosen - rejected) <= LIKE_LENGTH * max(chosen, rejected)
    found = [
        ("length", "of like length" if like else "chosen longer" if chosen > rejected else "chosen shorter")
    ]
    if one.margin is not None:
        found.append(("margin", "below 1" if one.margin < 1 else "1 to 2" if one.margin < 2 else "2 to 3"))
    if one.rater is not None:
        found.append(("rater", one.rater))
    return found + [("tag", tag) for tag in notes.of(one).tags]


def _calibration(pairs: EvaluationPairs, margins: Vector) -> dict[str, Any]:
    """At a temperature fitted on the other half of the prompts; the one that is kept is fitted on all of them."""
    found = calibration.cross_fitted(margins.tolist(), pairs.halves)
    plain = calibration.probabilities(margins.tolist(), 1.0)
    return {
        "temperature": calibration.fit_temperature(margins.tolist()),
        "error_before": calibration.error(plain),
        "error": None if found is None else calibration.error(found),
        "chance_error": None
        if found is None
        else calibration.chance_error(found, pairs.prompts, seed=pairs.seed),
        "loss": None if found is None else float(-numpy.log(numpy.maximum(found, 1e-300)).mean()),
        "bins": [] if found is None else [one._asdict() for one in calibration.bins(found, pairs.prompts)],
    }


def _length(pairs: EvaluationPairs, chosen: Sequence[float], rejected: Sequence[float]) -> dict[str, Any]:
    """Correlations of score and length in characters: of all answers, of the differences inside pairs, and of these given the choice.

    A difference can be taken in either order, so those inside pairs are about zero and not about their mean.  People may prefer longer
    answers, and then a good model does: what is left when every difference is taken chosen minus rejected, about its mean, is not theirs.
    """
    sizes = numpy.array([[float(len(text)) for text in pair_texts(one)] for one in pairs.held_out])
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
    """None where nothing varies, so that nothing can go together."""
    found = interval.clustered_bootstrap(statistic, pairs.prompts, seed=pairs.seed)
    return found.as_dict() if math.isfinite(found.value) else None


def _cosine(a: Vector, b: Vector) -> float:
    size = math.sqrt(float((a**2).sum()) * float((b**2).sum()))
    return float((a * b).sum()) / size if size > 0 else math.nan


def _centred(values: Vector) -> Vector:
    return values - float(values.mean())


def _ceiling(pairs: EvaluationPairs, accuracy: float) -> dict[str, Any] | None:
    """From people who judged the same pair, on both sides of the split: it says something about the labels, not about the model."""
    votes = []
    for one in [*(pairs.train or ()), *pairs.held_out]:
        if one.rater is not None:
            prompt, answers = prompt_text(one), pair_texts(one)
            votes.append(Vote((prompt, frozenset(answers)), prompt, one.rater, answers[0]))
    found = accuracy_ceiling(votes)
    if found is None:
        return None
    return {
        "agreement": found.agreement.as_dict(),
        "accuracy": found.accuracy.as_dict(),
        "reached": accuracy / found.accuracy.value,
    }


def ensemble_disagreement(
    pairs: EvaluationPairs, members: Sequence[tuple[Sequence[float], Sequence[float]]]
) -> dict[str, Any]:
    """How far the members of an ensemble are apart, each on its own scale: per answer, and in the order of pairs."""
    scaled = []
    for chosen, rejected in members:
        both = numpy.array([chosen, rejected], dtype=numpy.float64)
        scaled.append((both - both.mean()) / max(float(both.std()), 1e-12))
    stack = numpy.stack(scaled)  # [members, 2, pairs]
    prefers = numpy.sign(stack[:, 0] - stack[:, 1])
    apart = (prefers != prefers[0]).any(axis=0) + 0.0
    spread = stack.std(axis=0, ddof=1).mean(axis=0)
    return {
        "members": len(members),
        "spread": interval.clustered_mean(spread.tolist(), pairs.prompts).as_dict(),
        "disagree": _share(apart, pairs.prompts),
        "accuracies": [_share((one[0] > one[1]) + 0.5 * (one[0] == one[1]), pairs.prompts) for one in stack],
    }


def _share(values: Vector, prompts: Sequence[str]) -> dict[str, Any]:
    return interval.clustered_proportion(values.tolist(), prompts).as_dict()


def _text(messages: Messages) -> str:
    return " ".join(message.content for message in messages)


def manifest_metrics(report: Mapping[str, Any]) -> dict[str, Any]:
    """The figures that stand in a manifest: estimates and plain numbers, none that was not measured."""
    if report["not_finite"]:
        return {"verdict": report["verdict"], "not_finite": report["not_finite"]}
    baselines = {name: _estimate(one) for name, one in report["baselines"].items() if one is not None}
    calibration_error, temperature = report["calibration"]["error"], report["calibration"]["temperature"]
    return {
        "held_out_loss": report["held_out_loss"],
        "accuracy": report["accuracy"],
        **baselines,
        **({} if calibration_error is None else {"calibration_error": calibration_error}),
        **({} if temperature is None else {"temperature": temperature}),
        "verdict": report["verdict"],
    }


def _estimate(one: Mapping[str, Any]) -> dict[str, Any]:
    return {key: one[key] for key in Interval._fields}
