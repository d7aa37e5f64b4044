"""What a reward model must beat: baselines that cannot read, on the same split.

A pair is (chosen text, rejected text).  `length_only` knows one bit, whether people preferred the longer or the shorter answer;
`position_only` knows one bit, whether they preferred the answer that they were shown first; `bag_of_words` knows which words people
preferred.  Each returns its credit for every held-out pair: 1 in the right order, 0 in the wrong one, a half where it cannot tell,
and everywhere where training takes no side.

For answers in steps that are right or wrong there are two: `majority` knows which label is more frequent, `by_place` which is more frequent
among first steps, among second steps, and so on.
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

MIN_PAIRS_PER_WORD = 2  # a word met in one pair only can but memorise that pair
L2_STRENGTHS = (0.3, 3.0, 30.0)  # from nearly free to nearly silent; the training side chooses


def length_only(train_pairs: Sequence[Pair], held_out_pairs: Sequence[Pair]) -> Vector:
    """Prefer the longer or the shorter text (in characters), whichever agrees more often with the training pairs.  [held out]"""
    return _credit(_length_margins(held_out_pairs) * _majority(_length_margins(train_pairs)))


def position_only(train_first: Sequence[bool | None], held_out_first: Sequence[bool | None]) -> Vector:
    """Prefer the answer shown first or the one shown second, whichever was chosen more often in training.  [held out]

    An entry says whether the chosen answer was the one shown first; None where nobody wrote it down.
    """
    return _credit(_position_margins(held_out_first) * _majority(_position_margins(train_first)))


def bag_of_words(train_pairs: Sequence[Pair], held_out_pairs: Sequence[Pair], *, seed: int) -> Vector:
    """Logistic regression on the difference of word counts; its L2 strength is chosen on a fifth of the training pairs.  [held out]"""
    if len(train_pairs) < 2:
        raise ValueError(
            f"{len(train_pairs)} training pairs: at least two are needed to choose the regularisation"
        )
    order = derive_rng(seed, "bag of words").sample(range(len(train_pairs)), len(train_pairs))
    cut = max(1, len(train_pairs) // 5)
    trial = [train_pairs[index] for index in order[:cut]]
    rest = [train_pairs[index] for index in order[cut:]]
    # On equal credit the stronger pull wins: the simpler model.
    strength = max(L2_STRENGTHS, key=lambda l2: (_word_credit(rest, trial, l2=l2).sum(), l2))
    return _word_credit(train_pairs, held_out_pairs, l2=strength)


def majority_label(
    train_labels: Sequence[Sequence[bool]], held_out_labels: Sequence[Sequence[bool]]
) -> Vector:
    """Give every step the more frequent label of the training steps.  [held-out steps], answer by answer"""
    usual = _usual([label for labels in train_labels for label in labels])
    return numpy.array(
        [label == usual for labels in held_out_labels for label in labels], dtype=numpy.float64
    )


def majority_by_position(
    train_labels: Sequence[Sequence[bool]], held_out_labels: Sequence[Sequence[bool]]
) -> Vector:
    """Give every step the more frequent label of the training steps at its place, of all of them where none came so far.

    [held-out steps], answer by answer
    """
    usual = _usual([label for labels in train_labels for label in labels])
    longest = max(len(labels) for labels in (*train_labels, *held_out_labels))
    known = [[labels[place] for labels in train_labels if place < len(labels)] for place in range(longest)]
    rule = [_usual(found) if found else usual for found in known]
    return numpy.array(
        [label == rule[place] for labels in held_out_labels for place, label in enumerate(labels)],
        dtype=numpy.float64,
    )


def fit(features: sparse.csr_array, *, l2: float) -> Vector:
    """Weights w that minimise sum log(1 + exp(-x.w)) + l2/2 |w|^2, where each row x is chosen minus rejected.  [words]"""

    def objective(weights: Vector) -> tuple[float, Vector]:
        margins = features @ weights  # [pairs]
        loss = -special.log_expit(margins).sum() + l2 / 2 * (weights**2).sum()
        return float(loss), l2 * weights - features.T @ special.expit(-margins)

    def curvature_along(weights: Vector, direction: Vector) -> Vector:
        margins = features @ weights
        share = special.expit(margins) * special.expit(-margins)  # [pairs]
        return numpy.asarray(l2 * direction + features.T @ (share * (features @ direction)))

    # Newton's method needs a dozen steps where L-BFGS needs hundreds: common words outweigh rare ones a thousand to one.
    start = numpy.zeros(features.shape[1])
    found = optimize.minimize(
        objective, start, jac=True, hessp=curvature_along, method="Newton-CG", options={"xtol": 1e-6}
    )
    return numpy.asarray(found.x, dtype=numpy.float64)


def word_differences(pairs: Sequence[Pair], vocabulary: dict[str, int]) -> sparse.csr_array:
    """Counts in the chosen text minus counts in the rejected text.  [pairs, words]"""
    rows, columns, counts = [], [], []
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
    """The words that tell at least two pairs apart, each with its column."""
    seen = Counter(word for pair in pairs for word in _count_difference(pair))
    return {
        word: column
        for column, word in enumerate(sorted(w for w, n in seen.items() if n >= MIN_PAIRS_PER_WORD))
    }


def _word_credit(train_pairs: Sequence[Pair], held_out_pairs: Sequence[Pair], *, l2: float) -> Vector:
    vocabulary = vocabulary_of(train_pairs)
    if not vocabulary:  # nothing to go by: every held-out pair is a coin toss
        return numpy.full(len(held_out_pairs), 0.5)
    weights = fit(word_differences(train_pairs, vocabulary), l2=l2)
    return _credit(word_differences(held_out_pairs, vocabulary) @ weights)


def _credit(margins: Vector) -> Vector:
    """1 for each pair put in the right order, a half for one without order.  [pairs]"""
    return numpy.asarray((margins > 0) + 0.5 * (margins == 0), dtype=numpy.float64)


def _majority(margins: Vector) -> float:
    """1 where more margins are positive, -1 where more are negative, 0 where training takes no side."""
    return float(numpy.sign(numpy.sign(margins).sum()))


def _usual(labels: Sequence[bool]) -> bool:
    return 2 * sum(labels) >= len(labels)


def _position_margins(first: Sequence[bool | None]) -> Vector:
    return numpy.array([0.0 if one is None else 1.0 if one else -1.0 for one in first])


def _length_margins(pairs: Sequence[Pair]) -> Vector:
    return numpy.array([len(chosen) - len(rejected) for chosen, rejected in pairs], dtype=numpy.float64)


def _count_difference(pair: Pair) -> Counter[str]:
    """Word -> count in chosen minus count in rejected, zeros left out."""
    difference = Counter(_words(pair[0]))
    difference.subtract(_words(pair[1]))
    return Counter({word: count for word, count in difference.items() if count})


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())
