import random

from pytest import approx

from fairlead.stats.accuracy_ceiling import Vote, accuracy_ceiling, ceiling_from_agreement


def test_the_ceiling_by_hand() -> None:
    # p = 0.8 for every pair: people agree in 0.8^2 + 0.2^2 = 0.68 of the pairs, and the best possible model
    # is right in 0.8 of them.
    assert ceiling_from_agreement(0.68) == approx(0.8, abs=1e-12)
    assert ceiling_from_agreement(1.0) == 1.0
    assert ceiling_from_agreement(0.5) == ceiling_from_agreement(0.2) == 0.5


def test_agreement_counts_pairs_of_people() -> None:
    votes = [
        Vote("one", "p", rater, choice) for rater, choice in (("ann", "x"), ("bo", "x"), ("cy", "y"))
    ]  # 1 of 3 agreements
    votes += [Vote("two", "q", "ann", "x"), Vote("two", "q", "bo", "x")]  # 1 of 1
    votes += [Vote("alone", "r", "ann", "x")]
    found = accuracy_ceiling(votes)
    assert found is not None
    assert found.agreement.n == 2
    assert found.agreement.value == approx((1 / 3 + 1) / 2, abs=1e-12)


def test_one_person_twice_says_nothing_about_others() -> None:
    assert accuracy_ceiling([Vote("one", "p", "ann", "x"), Vote("one", "p", "ann", "x")]) is None
    assert accuracy_ceiling([]) is None


def test_the_ceiling_of_simulated_people_is_found() -> None:
    draw = random.Random(0)
    votes = [
        Vote(
            pair, pair, rater, "better" if draw.random() < 0.85 else "worse"
        )  # the best possible accuracy is 0.85
        for pair in range(1500)
        for rater in ("ann", "bo")
    ]
    found = accuracy_ceiling(votes)
    assert found is not None
    assert found.accuracy.low < 0.85 < found.accuracy.high
    assert found.accuracy.high - found.accuracy.low < 0.05


def test_where_pairs_differ_in_difficulty_the_truth_lies_between() -> None:
    draw = random.Random(1)
    chances = [
        0.5,
        1.0,
    ]  # half of the pairs are a coin toss, half are plain: the best possible accuracy is 0.75
    votes = [
        Vote(pair, pair, rater, draw.random() < chances[pair % 2])
        for pair in range(4000)
        for rater in ("ann", "bo")
    ]
    found = accuracy_ceiling(votes)
    assert found is not None
    assert found.agreement.value - 0.03 < 0.75 < found.accuracy.value
