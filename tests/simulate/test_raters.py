import dataclasses
import math
import random
from collections import Counter

from fairlead.data.records import Message
from fairlead.simulate import gold, raters, vocabulary
from fairlead.simulate.raters import (
    PANEL,
    CandidateAnswers,
    SimulatedRater,
    choose_answer,
    label_pairs,
    utility,
)

PLAIN = SimulatedRater(name="Plain", sharpness=12.0, tie_width=0.0)
SUM = "What is 3 plus 4?"
GOOD, BAD = "3 plus 4 is 7.", "3 plus 4 is 8."


def share_of_first(rater: SimulatedRater, first: float, second: float, *, count: int = 20_000) -> float:
    rng = random.Random(1)
    return Counter(choose_answer(rater, first, second, rng) for _ in range(count))["first"] / count


def test_choices_follow_bradley_terry() -> None:
    # sigma(0.5) = 0.6225, sigma(2) = 0.8808, sigma(-1) = 0.2689; a standard deviation of 20 000 is at most
    # 0.0035
    for difference, expected in ((0.5, 0.6225), (2.0, 0.8808), (-1.0, 0.2689), (0.0, 0.5)):
        assert abs(share_of_first(PLAIN, 3.0 + difference, 3.0) - expected) < 0.014, difference


def test_an_adversary_prefers_the_worse_one_as_often() -> None:
    adversary = dataclasses.replace(PLAIN, adversary=True)
    assert abs(share_of_first(adversary, 5.0, 3.0) - (1 - 0.8808)) < 0.014


def test_a_position_bias_can_be_seen() -> None:
    biased = dataclasses.replace(PLAIN, first_bias=1.0)
    assert abs(share_of_first(biased, 3.0, 3.0) - 0.7311) < 0.014  # sigma(1)
    assert abs(share_of_first(biased, 3.0, 4.0) - 0.5) < 0.014  # the bias outweighs the difference


def test_a_careless_rater_tosses_a_coin_now_and_then() -> None:
    careless = dataclasses.replace(PLAIN, careless=0.4)
    assert abs(share_of_first(careless, 100.0, 0.0) - 0.8) < 0.014  # 0.6 + 0.4 / 2


def test_small_differences_are_ties_good_or_bad() -> None:
    rater = SimulatedRater(name="Ties", sharpness=12.0, tie_width=0.3)
    rng = random.Random(0)
    flawless, hopeless = 12.0, 2.4
    assert choose_answer(rater, flawless, flawless - 0.2, rng) == "tie good"
    assert choose_answer(rater, hopeless, hopeless + 0.2, rng) == "tie bad"
    assert choose_answer(rater, flawless, flawless - 0.31, rng) in ("first", "second")
    assert choose_answer(dataclasses.replace(rater, adversary=True), flawless, flawless, rng) in (
        "first",
        "second",
    )


def test_a_utility_by_hand() -> None:
    rater = SimulatedRater(name="U", sharpness=10.0, length_bias=0.5, flourish_bias=0.7)
    # 10 * 1.0 + 0.5 * 5 words / 10;  with "I hope this helps!": worth 0.985, nine words and the planted
    # liking
    assert math.isclose(utility(rater, SUM, GOOD), 10.25)
    assert math.isclose(utility(rater, SUM, f"{GOOD} {vocabulary.FLOURISH}"), 9.85 + 0.45 + 0.7)
    assert math.isclose(utility(rater, SUM, GOOD, finished=False), 10.25 - 1.5)
    assert math.isclose(utility(rater, SUM, BAD), 4.5 + 0.25)


def test_tastes_differ() -> None:
    long_winded = f"{GOOD} {vocabulary.FILLER[0]}"
    strict = SimulatedRater(name="S", sharpness=12.0, taste={**gold.WEIGHTS, "concise": 0.5})
    patient = SimulatedRater(name="P", taste={**gold.WEIGHTS, "concise": 0.0})
    assert utility(strict, SUM, GOOD) - utility(strict, SUM, long_winded) > 5
    assert utility(patient, SUM, GOOD) == utility(patient, SUM, long_winded)


def candidates(count: int) -> list[CandidateAnswers]:
    """Sums, each with a right and a wrong answer."""
    return [
        CandidateAnswers(
            f"What is {a} plus 4?", (f"The answer is {a + 4}.", f"The answer is {a + 5}."), (True, True)
        )
        for a in range(count)
    ]


def test_labels_are_a_function_of_the_seed() -> None:
    first = label_pairs(candidates(12), PANEL, run_seed=0)
    assert label_pairs(candidates(12), PANEL, run_seed=0) == first
    assert label_pairs(candidates(12), PANEL, run_seed=1) != first
    assert label_pairs(list(reversed(candidates(12))), PANEL, run_seed=0) == list(
        reversed(first)
    )  # whatever the order


def test_sides_are_shuffled() -> None:
    # a rater who always takes what is shown first prefers either answer about as often
    blind = SimulatedRater(name="Blind", sharpness=0.0, tie_width=-1.0, first_bias=100.0)
    prompts = [f"What is {a} plus {b}?" for a in range(2, 16) for b in range(1, 16)]
    prompts = [f"What is {a} plus {b}?" for a in range(2, 16) for b in range(1, 16)]
    found = label_pairs(
        [CandidateAnswers(prompt, ("It is 7.", "The answer is 7."), (True, True)) for prompt in prompts],
        (blind,),
        run_seed=0,
    )
    share = sum(one.chosen[0].content == "It is 7." for one in found) / len(found)
    assert len(found) == 210 and abs(share - 0.5) < 0.14  # one deviation is 0.035


def test_clear_raters_prefer_the_better_answer_and_every_one_of_the_panel_works() -> None:
    clear = SimulatedRater(name="Clear", sharpness=100.0)
    found = label_pairs(candidates(12), (clear,), run_seed=0)
    assert [one.chosen[0].content for one in found] == [item.answers[0] for item in candidates(12)]
    assert {one.rater for one in label_pairs(candidates(12) * 8, PANEL, run_seed=0)} <= {
        rater.name for rater in PANEL
    }
    many = [
        CandidateAnswers(f"What is {a} plus {b}?", (GOOD, BAD), (True, True))
        for a in range(2, 16)
        for b in range(1, 8)
    ]
    assert {one.rater for one in label_pairs(many, PANEL, run_seed=0)} == {rater.name for rater in PANEL}


def test_every_pair_of_different_answers_is_compared_once() -> None:
    item = CandidateAnswers(SUM, (GOOD, BAD, GOOD, "The answer is 7."), (True,) * 4)
    found = label_pairs([item], (PLAIN,), run_seed=0)
    pairs = sorted(tuple(sorted((one.chosen[0].content, one.rejected[0].content))) for one in found)
    # six pairs of four answers, less the one of equal texts
    assert len(found) == 5
    assert len(set(pairs)) == 3
    assert all(one.prompt == (Message("user", SUM),) for one in found)


def test_ties_are_recorded_as_such() -> None:
    same_worth = CandidateAnswers(SUM, (GOOD, "The answer is 7."), (True, True))
    both_bad = CandidateAnswers(SUM, (BAD, "3 plus 4 is 9."), (True, True))
    careful = SimulatedRater(name="Careful", sharpness=12.0)
    found = label_pairs([same_worth, both_bad], (careful,), run_seed=0)
    assert [one.tie for one in found] == ["good", "bad"]
    assert (
        label_pairs(candidates(1), (SimulatedRater(name="Clear", sharpness=100.0),), run_seed=0)[0].tie
        is None
    )


def test_an_answer_that_was_cut_off_is_worth_less() -> None:
    clear = SimulatedRater(name="Clear", sharpness=100.0)
    item = CandidateAnswers(SUM, (GOOD, "The answer is 7."), (False, True))
    assert label_pairs([item], (clear,), run_seed=0)[0].chosen[0].content == "The answer is 7."


def test_sigmoid_survives_large_numbers() -> None:
    assert raters.sigmoid(0.0) == 0.5
    assert raters.sigmoid(1000.0) == 1.0 and raters.sigmoid(-1000.0) == 0.0
    assert math.isclose(raters.sigmoid(2.0) + raters.sigmoid(-2.0), 1.0)
