import math
import random

import numpy
import pytest
from pytest import approx
from scipy import optimize, special

from fairlead.stats import calibration


def slow_error(chosen: list[float], num_bins: int) -> float:
    """The definition in plain loops: sort by confidence, cut into equal bins, average the weighted gaps."""
    judged = sorted(
        ((max(p, 1 - p), 1.0 if p > 0.5 else 0.5 if p == 0.5 else 0.0) for p in chosen),
        key=lambda one: one[0],
    )
    size, longer = divmod(len(judged), num_bins)
    total, start = 0.0, 0
    for k in range(num_bins):
        part = judged[start : start + size + (k < longer)]
        start += len(part)
        confidence = sum(one[0] for one in part) / len(part)
        right = sum(one[1] for one in part) / len(part)
        total += len(part) / len(judged) * abs(confidence - right)
    return total


def drawn_margins(count: int, *, temperature: float, seed: int) -> list[float]:
    """Margins of a model whose probabilities are exactly right at this temperature, each with the sign of
    what people chose.
    """
    draw = random.Random(seed)
    found = []
    for _ in range(count):
        margin = draw.gauss(0, 2) * temperature
        found.append(margin if draw.random() < 1 / (1 + math.exp(-margin / temperature)) else -margin)
    return found


@pytest.mark.parametrize(("count", "num_bins"), [(7, 7), (150, 10), (300, 15), (331, 15)])
def test_the_error_agrees_with_plain_loops(count: int, num_bins: int) -> None:
    chosen = calibration.probabilities(drawn_margins(count, temperature=0.5, seed=count), 1.0)
    assert calibration.error(chosen) == approx(slow_error(chosen.tolist(), num_bins), abs=1e-12)


def test_the_error_by_hand() -> None:
    # Confidences 0.6 (right), 0.8 (wrong: stated 0.2 for the chosen one), 0.5 (neither: half right), in three
    # bins of one pair each: gaps 0.4, 0.8 and 0, mean 0.4
    assert calibration.error(numpy.array([0.6, 0.2, 0.5])) == approx(0.4, abs=1e-12)


def test_equal_scores_are_perfectly_honest() -> None:
    chosen = calibration.probabilities([0.0] * 40, 1.0)
    assert calibration.error(chosen) == 0.0
    assert calibration.fit_temperature([0.0] * 40) is None


def test_bins_have_equal_numbers_and_rising_confidence() -> None:
    chosen = calibration.probabilities(drawn_margins(304, temperature=1.0, seed=0), 1.0)
    bins = calibration.bins(chosen, list(range(304)))
    assert [one.n for one in bins] == [21] * 4 + [20] * 11
    assert [one.confidence for one in bins] == sorted(one.confidence for one in bins)
    assert all(0.5 <= one.confidence <= 1 and one.low <= one.right <= one.high for one in bins)


def test_the_temperature_agrees_with_a_search_by_scipy() -> None:
    margins = drawn_margins(200, temperature=3.0, seed=1)
    typical = math.sqrt(sum(m * m for m in margins) / 200)

    def loss(log_temperature: float) -> float:
        t = math.exp(log_temperature)
        imaginary = [typical, -typical]
        return sum(math.log1p(math.exp(-m / t)) for m in margins) + 0.5 * sum(
            math.log1p(math.exp(-m / t)) for m in imaginary
        )

    found = optimize.minimize_scalar(loss, bounds=(-3, 5), method="bounded", options={"xatol": 1e-9})
    ours = calibration.fit_temperature(margins)
    assert ours is not None
    assert math.log(ours) == approx(found.x, abs=1e-6)


@pytest.mark.parametrize("temperature", [0.2, 1.0, 7.0])
def test_the_temperature_that_was_planted_is_found(temperature: float) -> None:
    ours = calibration.fit_temperature(drawn_margins(4000, temperature=temperature, seed=2))
    assert ours is not None
    assert ours / temperature == approx(1.0, abs=0.1)  # one in 4000 pairs is known to about 3 %


def test_all_right_is_not_taken_for_certainty() -> None:
    # 20 pairs of margin 1, all right, and half an imaginary one wrong: sigma(1 / T) = 20.5 / 21
    ours = calibration.fit_temperature([1.0] * 20)
    assert ours is not None
    assert 1 / (1 + math.exp(-1 / ours)) == approx(20.5 / 21, abs=1e-9)


def test_margins_that_point_the_wrong_way_have_no_temperature() -> None:
    assert calibration.fit_temperature([-1.0, -2.0, 0.5]) is None
    assert calibration.cross_fitted([-1.0, -2.0, 1.0, 2.0], [True, True, False, False]) is None


def test_each_half_is_judged_at_the_temperature_of_the_other() -> None:
    first, second = drawn_margins(50, temperature=1.0, seed=3), drawn_margins(70, temperature=4.0, seed=4)
    found = calibration.cross_fitted(first + second, [True] * 50 + [False] * 70)
    assert found is not None
    of_first, of_second = calibration.fit_temperature(first), calibration.fit_temperature(second)
    assert of_first is not None and of_second is not None
    assert found[0] == approx(1 / (1 + math.exp(-first[0] / of_second)), abs=1e-12)
    assert found[60] == approx(1 / (1 + math.exp(-second[10] / of_first)), abs=1e-12)


def test_one_half_alone_cannot_be_cross_fitted() -> None:
    assert calibration.cross_fitted([1.0, 2.0], [True, True]) is None


def test_right_probabilities_stay_below_the_error_of_chance_and_wrong_ones_do_not() -> None:
    margins = drawn_margins(600, temperature=1.0, seed=5)
    honest, boasting = calibration.probabilities(margins, 1.0), calibration.probabilities(margins, 0.2)
    apart = list(range(600))
    assert calibration.error(honest) < calibration.chance_error(honest, apart, seed=0)
    assert calibration.error(boasting) > 2 * calibration.chance_error(boasting, apart, seed=0)
    assert calibration.chance_error(honest, apart, seed=0) == calibration.chance_error(honest, apart, seed=0)


def test_copies_of_a_pair_make_chance_no_smaller() -> None:
    once = calibration.probabilities(drawn_margins(300, temperature=1.0, seed=6), 1.0)
    four_times = numpy.repeat(once, 4)
    alone = calibration.chance_error(once, range(300), seed=0)
    assert calibration.chance_error(four_times, [k // 4 for k in range(1200)], seed=0) == approx(
        alone, abs=1e-12
    )
    assert calibration.chance_error(four_times, range(1200), seed=0) == approx(alone / 2, rel=0.1)


def test_perfect_models_stay_below_it_also_where_pairs_of_a_prompt_are_alike() -> None:
    """Most of what decides a pair is its prompt's, and every stated probability is exactly right."""
    prompts, each, runs = 100, 6, 40
    random = numpy.random.default_rng(0)
    above = above_alone = 0
    for run in range(runs):
        sizes = random.normal(0, 2, prompts).repeat(each) + random.normal(0, 0.3, prompts * each)
        stated = special.expit(numpy.abs(sizes))
        decides = math.sqrt(0.9) * random.normal(size=prompts).repeat(each) + math.sqrt(0.1) * random.normal(
            size=prompts * each
        )
        chosen = numpy.where(special.ndtr(decides) < stated, stated, 1 - stated)
        found = calibration.error(chosen)
        above += found > calibration.chance_error(
            chosen, [k // each for k in range(prompts * each)], seed=run
        )
        above_alone += found > calibration.chance_error(chosen, range(prompts * each), seed=run)
    assert above <= 4 < 10 < above_alone  # 5 % of 40 are 2; drawn pair by pair a third are above
