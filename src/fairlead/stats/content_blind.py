"""Content-blind baselines that a reward model must beat on the same split.

A pair is (chosen text, rejected text).  Three baselines exist for pairs:

- `length_only` prefers the longer or the shorter answer,
- `position_only` prefers the answer shown first or the one shown second,
- `bag_of_words` knows which words raters preferred, but not their order.

Each returns its credit for every held-out pair: 1 for the right order, 0 for the wrong one, and 0.5 if the
baseline cannot decide.

Two baselines exist for step labels: `majority_label` predicts the more frequent label, and
`majority_by_position` the more frequent label of first steps, of second steps, and so on.
"""

import re
from collections import Counter
from collections.abc import Sequence

import numpy
from numpy.typing import NDArray
from scipy import optimize, sparse, special

from fairlead.core.seed import derive_rng

Pair = tuple[str, str]  # (chosen, rejected)
Vector = NDArray[numpy.float64]

MIN_PAIRS_PER_WORD = 2  # a word that occurs in a single pair can only memorise that pair
L2_STRENGTHS = (0.3, 3.0, 30.0)  # from weak to strong; chosen on a part of the training pairs


def length_only(train_pairs: Sequence[Pair], held_out_pairs: Sequence[Pair]) -> Vector:
    """Prefer the longer or the shorter text in characters, whichever is right more often in training.

    [held out]
    """
    return _credit(_length_margins(held_out_pairs) * _majority_sign(_length_margins(train_pairs)))


def position_only(train_first: Sequence[bool | None], held_out_first: Sequence[bool | None]) -> Vector:
    """Prefer the answer shown first or the one shown second, whichever is right more often in training.
    [held out]

    An entry is true if the chosen answer was shown first, and None if the position was not recorded.
    """
    return _credit(_position_margins(held_out_first) * _majority_sign(_position_margins(train_first)))


def bag_of_words(train_pairs: Sequence[Pair], held_out_pairs: Sequence[Pair], *, seed: int) -> Vector:
    """Logistic regression on differences of word counts.  [held out]

    The L2 strength is chosen on a fifth of the training pairs.
    """
    if len(train_pairs) < 2:
        raise ValueError(
            f"{len(train_pairs)} training pairs: at least two are needed to choose the L2 strength"
        )
    order = derive_rng(seed, "bag of words").sample(range(len(train_pairs)), len(train_pairs))
    cut = max(1, len(train_pairs) // 5)
    validation = [train_pairs[index] for index in order[:cut]]
    remaining = [train_pairs[index] for index in order[cut:]]
    # Of strengths with equal credit the largest wins, which gives the simpler model.
    strength = max(L2_STRENGTHS, key=lambda l2: (_word_credit(remaining, validation, l2=l2).sum(), l2))
    return _word_credit(train_pairs, held_out_pairs, l2=strength)


def majority_label(
    train_labels: Sequence[Sequence[bool]], held_out_labels: Sequence[Sequence[bool]]
) -> Vector:
    """Predict the more frequent label of all training steps.

    [held-out steps], in the order of the answers
    """
    majority = _majority_of([label for labels in train_labels for label in labels])
    return numpy.array(
        [label == majority for labels in held_out_labels for label in labels], dtype=numpy.float64
    )


def majority_by_position(
    train_labels: Sequence[Sequence[bool]], held_out_labels: Sequence[Sequence[bool]]
) -> Vector:
    """Predict the more frequent label of the training steps at the same position.

    Positions beyond the longest training answer get the more frequent label of all steps.
    [held-out steps], in the order of the answers
    """
    overall = _majority_of([label for labels in train_labels for label in labels])
    longest = max(len(labels) for labels in (*train_labels, *held_out_labels))
    predicted = []
    for position in range(longest):
        seen = [labels[position] for labels in train_labels if position < len(labels)]
        predicted.append(_majority_of(seen) if seen else overall)
    return numpy.array(
        [label == predicted[position] for labels in held_out_labels for position, label in enumerate(labels)],
        dtype=numpy.float64,
    )


def fit(features: sparse.csr_array, *, l2: float) -> Vector:
    """Weights w that minimise sum log(1 + exp(-x.w)) + l2/2 |w|^2; a row x is chosen minus rejected.

    [words]
    """

    def objective(weights: Vector) -> tuple[float, Vector]:
        margins = features @ weights  # [pairs]
        loss = -special.log_expit(margins).sum() + l2 / 2 * (weights**2).sum()
        return float(loss), l2 * weights - features.T @ special.expit(-margins)

    def curvature_along(weights: Vector, direction: Vector) -> Vector:
        margins = features @ weights
        share = special.expit(margins) * special.expit(-margins)  # [pairs]
        return numpy.asarray(l2 * direction + features.T @ (share * (features @ direction)))

    # Common words occur a thousand times as often as rare ones: L-BFGS needs hundreds of steps, Newton's
    # method a dozen.
    start = numpy.zeros(features.shape[1])
    solution = optimize.minimize(
        objective, start, jac=True, hessp=curvature_along, method="Newton-CG", options={"xtol": 1e-6}
    )
    return numpy.asarray(solution.x, dtype=numpy.float64)


def word_differences(pairs: Sequence[Pair], vocabulary: dict[str, int]) -> sparse.csr_array:
    """Word counts in the chosen text minus those in the rejected text.  [pairs, words]"""
    rows = []
    columns = []
    counts = []
    for row, pair in enumerate(pairs):
        for word, count in _count_difference(pair).items():
            if word in vocabulary:
                rows.append(row)
                columns.append(vocabulary[word])
                counts.append(float(count))
    return sparse.csr_array(
        (counts, (rows, columns)), shape=(len(pairs), len(vocabulary)), dtype=numpy.float64
    )


def vocabulary_of(pairs: Sequence[Pair]) -> dict[str, int]:
    """Map each word whose counts differ within at least two pairs to its column."""
    num_pairs = Counter(word for pair in pairs for word in _count_difference(pair))
    frequent = sorted(word for word, count in num_pairs.items() if count >= MIN_PAIRS_PER_WORD)
    return {word: column for column, word in enumerate(frequent)}


def _word_credit(train_pairs: Sequence[Pair], held_out_pairs: Sequence[Pair], *, l2: float) -> Vector:
    vocabulary = vocabulary_of(train_pairs)
    if not vocabulary:  # no evidence: every held-out pair is a coin toss
        return numpy.full(len(held_out_pairs), 0.5)
    weights = fit(word_differences(train_pairs, vocabulary), l2=l2)
    return _credit(word_differences(held_out_pairs, vocabulary) @ weights)


def _credit(margins: Vector) -> Vector:
    """1 for a positive margin, 0 for a negative one, 0.5 for zero.  [pairs]"""
    return numpy.asarray((margins > 0) + 0.5 * (margins == 0), dtype=numpy.float64)


def _majority_sign(margins: Vector) -> float:
    """1 if more margins are positive, -1 if more are negative, 0 if there are as many of both."""
    return float(numpy.sign(numpy.sign(margins).sum()))


def _majority_of(labels: Sequence[bool]) -> bool:
    return 2 * sum(labels) >= len(labels)


def _position_margins(first: Sequence[bool | None]) -> Vector:
    margin_of = {None: 0.0, True: 1.0, False: -1.0}
    return numpy.array([margin_of[is_first] for is_first in first])


def _length_margins(pairs: Sequence[Pair]) -> Vector:
    return numpy.array([len(chosen) - len(rejected) for chosen, rejected in pairs], dtype=numpy.float64)


def _count_difference(pair: Pair) -> Counter[str]:
    """Map each word to its count in chosen minus its count in rejected; equal counts are left out."""
    difference = Counter(_words(pair[0]))
    difference.subtract(_words(pair[1]))
    return Counter({word: count for word, count in difference.items() if count})


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())
