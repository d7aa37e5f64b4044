"""What the best of n is worth, by hand and by counting every case; and what it costs in KL."""

import itertools
import math

import pytest
from pytest import approx

from fairlead.stats import best_of_n


def test_by_hand() -> None:
    # the pairs of 1, 2, 3 have the maxima 2, 3, 3
    assert best_of_n.expected_value([3.0, 1.0, 2.0], 1) == approx(2.0, abs=1e-12)
    assert best_of_n.expected_value([3.0, 1.0, 2.0], 2) == approx(8 / 3, abs=1e-12)
    assert best_of_n.expected_value([3.0, 1.0, 2.0], 3) == approx(3.0, abs=1e-12)


def test_the_value_of_the_chosen_answer_may_be_anothers() -> None:
    # scores 1, 2, 3 with the values 10, 0, 5: the pairs choose 0, 5, 5
    assert best_of_n.expected_value([1.0, 2.0, 3.0], 2, [10.0, 0.0, 5.0]) == approx(10 / 3, abs=1e-12)


def test_answers_of_equal_score_are_chosen_equally_often() -> None:
    # scores 1, 2, 2 with the values 0, 4, 8: the pairs choose 4, 8, and one of 4 and 8
    for scores, values in (([1.0, 2.0, 2.0], [0.0, 4.0, 8.0]), ([2.0, 1.0, 2.0], [8.0, 0.0, 4.0])):
        assert best_of_n.expected_value(scores, 2, values) == approx(6.0, abs=1e-12)


@pytest.mark.parametrize("n", [1, 2, 3, 5, 7])
def test_it_is_the_mean_over_all_subsets(n: int) -> None:
    scores, values = [0.3, -1.0, 2.5, 2.0, 0.1, 4.0, -3.0], [1.0, 5.0, -2.0, 0.5, 3.0, 8.0, 2.0]
    subsets = list(itertools.combinations(range(7), n))
    best = [max(subset, key=lambda i: scores[i]) for subset in subsets]
    assert best_of_n.expected_value(scores, n) == approx(
        sum(scores[i] for i in best) / len(subsets), abs=1e-12
    )
    assert best_of_n.expected_value(scores, n, values) == approx(
        sum(values[i] for i in best) / len(subsets), abs=1e-12
    )


def test_it_has_no_bias() -> None:
    # every sample of 4 answers from a die of three faces, by its probability: on average the best of 2, which
    # is 0 with 0.5^2, 1 with 0.8^2 - 0.5^2, 3 with 1 - 0.8^2: 0.39 + 3 * 0.36 = 1.47
    die = {0.0: 0.5, 1.0: 0.3, 3.0: 0.2}
    mean = naive = 0.0
    for sample in itertools.product(die, repeat=4):
        probability = math.prod(die[face] for face in sample)
        mean += probability * best_of_n.expected_value(sample, 2)
        naive += probability * max(sample)
    assert mean == approx(1.47, abs=1e-12)
    assert naive > 1.6  # what taking the best of all four for the best of two would say


def test_a_long_list_does_not_overflow() -> None:
    scores = [float(i) for i in range(3000)]
    assert best_of_n.expected_value(scores, 1500) == approx(
        2999 - 1500 / 1501, abs=1e-6
    )  # the largest of n of 0 .. N-1: (N+1) n/(n+1) - 1


@pytest.mark.parametrize("n", [0, 4])
def test_more_than_there_are_cannot_be_asked(n: int) -> None:
    with pytest.raises(ValueError, match=f"n = {n}"):
        best_of_n.expected_value([1.0, 2.0, 3.0], n)


def test_kl_by_hand() -> None:
    assert best_of_n.kl(1) == 0
    assert best_of_n.kl(2) == approx(0.1931, abs=1e-4)  # ln 2 - 1/2
    assert best_of_n.kl(16) == approx(1.8351, abs=1e-4)  # 2.7726 - 15/16


def test_kl_bounds_what_is_left_where_answers_tie() -> None:
    # answers a, b, c with probabilities 0.5, 0.3, 0.2; b and c score the same, above a.  All 27 triples:
    probabilities, scores, n = (0.5, 0.3, 0.2), (0, 1, 1), 3
    chosen = [0.0, 0.0, 0.0]
    for triple in itertools.product(range(3), repeat=n):
        best = [i for i in triple if scores[i] == max(scores[k] for k in triple)]
        for i in best:
            chosen[i] += math.prod(probabilities[k] for k in triple) / len(best)
    counted = sum(q * math.log(q / p) for q, p in zip(chosen, probabilities, strict=True))
    assert counted < best_of_n.kl(n)


def test_no_answers_have_no_kl() -> None:
    with pytest.raises(ValueError, match="n = 0"):
        best_of_n.kl(0)
