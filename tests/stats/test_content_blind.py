import random

import numpy
import pytest
from pytest import approx
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression

from fairlead.stats import content_blind
from fairlead.stats.content_blind import Pair


def noisy_pairs(count: int, seed: int) -> list[Pair]:
    """Answers of random words in which "please" is liked, "stupid" is disliked, and one label in ten is
    wrong.
    """
    draw = random.Random(seed)
    words = ["the", "cat", "sat", "on", "a", "mat", "and", "then", "please", "stupid"]
    pairs = []
    for _ in range(count):
        left, right = (" ".join(draw.choices(words, k=draw.randint(3, 12))) for _ in range(2))
        liking = [text.count("please") - text.count("stupid") for text in (left, right)]
        swap = (liking[0] < liking[1]) != (draw.random() < 0.1)
        pairs.append((right, left) if swap else (left, right))
    return pairs


def test_length_only_learns_that_longer_is_better() -> None:
    train = [("long answer", "short"), ("another long one", "no"), ("x", "xy")]
    # held out: right, right, wrong, and one of equal length that counts half
    held_out = [("abc", "ab"), ("abcd", "a"), ("a", "ab"), ("ab", "cd")]
    assert content_blind.length_only(train, held_out).tolist() == [1.0, 1.0, 0.0, 0.5]


def test_length_only_learns_that_shorter_is_better() -> None:
    assert content_blind.length_only([("a", "abc"), ("b", "bcd")], [("a", "ab"), ("abc", "ab")]).tolist() == [
        1.0,
        0.0,
    ]
    assert content_blind.length_only([("a", "abc")], [("a", "ab")]).tolist() == [1.0]


def test_length_only_does_not_look_at_the_held_out_side() -> None:
    assert content_blind.length_only([("long", "s")], [("a", "abc"), ("b", "bcd")]).tolist() == [0.0, 0.0]


def test_position_only_finds_a_rater_who_always_takes_the_first() -> None:
    assert content_blind.position_only([True, True, False], [True, False, None]).tolist() == [1.0, 0.0, 0.5]
    assert content_blind.position_only([False, False, True], [True, False, None]).tolist() == [0.0, 1.0, 0.5]


def test_without_a_majority_in_training_no_side_is_taken() -> None:
    assert content_blind.length_only([], [("abc", "a"), ("a", "abc")]).tolist() == [0.5, 0.5]
    assert content_blind.length_only(
        [("abc", "a"), ("a", "abc"), ("ab", "cd")], [("abc", "a"), ("a", "abc")]
    ).tolist() == [0.5, 0.5]
    assert content_blind.position_only([], [True, False]).tolist() == [0.5, 0.5]
    assert content_blind.position_only([True, False, None], [True, False]).tolist() == [0.5, 0.5]


def test_word_differences_by_hand() -> None:
    matrix = content_blind.word_differences(
        [("Yes, yes please", "no please"), ("no", "no")], {"no": 0, "please": 1, "yes": 2}
    )
    assert matrix.toarray().tolist() == [[-1.0, 0.0, 2.0], [0.0, 0.0, 0.0]]


def test_a_word_of_one_pair_is_not_in_the_vocabulary() -> None:
    assert content_blind.vocabulary_of(
        [("good rare", "bad"), ("good", "bad both"), ("both", "both good")]
    ) == {
        "bad": 0,
        "good": 1,
    }


def test_the_fit_agrees_with_scikit_learn() -> None:
    pairs = noisy_pairs(150, seed=1)
    counter = CountVectorizer(token_pattern=r"\w+").fit([text for pair in pairs for text in pair])
    rows = (
        counter.transform([chosen for chosen, _ in pairs])
        - counter.transform([rejected for _, rejected in pairs])
    ).toarray()
    # Every pair in both orders gives scikit-learn its two classes and twice our loss, so C = 1 / (2 l2).
    oracle = LogisticRegression(C=1 / (2 * 3.0), fit_intercept=False, tol=1e-8, max_iter=1000)
    oracle.fit(numpy.concatenate([rows, -rows]), [1] * len(rows) + [0] * len(rows))
    vocabulary = {word: int(column) for word, column in counter.vocabulary_.items()}
    ours = content_blind.fit(content_blind.word_differences(pairs, vocabulary), l2=3.0)
    assert ours == approx(oracle.coef_[0], abs=2e-3)  # weights are of the order 1
    assert ours[vocabulary["please"]] > 0.5 > -0.5 > ours[vocabulary["stupid"]]


def test_bag_of_words_finds_the_words_people_like() -> None:
    accuracy = content_blind.bag_of_words(noisy_pairs(400, seed=2), noisy_pairs(200, seed=3), seed=0)
    assert len(accuracy) == 200
    assert accuracy.mean() > 0.75  # labels are right nine times in ten, and ties in liking are a coin toss


def test_bag_of_words_fails_on_swapped_labels() -> None:
    swapped = [(rejected, chosen) for chosen, rejected in noisy_pairs(200, seed=3)]
    assert content_blind.bag_of_words(noisy_pairs(400, seed=2), swapped, seed=0).mean() < 0.3


def test_bag_of_words_without_any_evidence_is_a_coin_toss() -> None:
    assert content_blind.bag_of_words([("a", "a"), ("b", "b")], [("x", "y")], seed=0).tolist() == [0.5]


def test_bag_of_words_needs_two_training_pairs() -> None:
    with pytest.raises(ValueError, match="1 training pairs"):
        content_blind.bag_of_words([("a", "b")], [("a", "b")], seed=0)


def test_the_majority_of_labels_by_hand() -> None:
    train = [[True, False], [True, True, False]]  # three of five are right
    assert content_blind.majority_label(train, [[True], [False, True]]).tolist() == [1.0, 0.0, 1.0]
    assert content_blind.majority_label([[False, False], [True]], [[True], [False, True]]).tolist() == [
        0.0,
        1.0,
        0.0,
    ]


def test_labels_by_their_place_by_hand() -> None:
    # first steps are right, second and third ones wrong; no training answer has a fourth, and four of seven
    # labels are wrong
    train = [[True, False, False], [True, False], [True, False]]
    assert content_blind.majority_by_position(train, [[True, True, False, False], [False]]).tolist() == [
        1.0,
        0.0,
        1.0,
        1.0,
        0.0,
    ]
