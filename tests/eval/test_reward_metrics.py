"""Scores are planted, so that every figure is known beforehand."""

import json
import math
import random
from dataclasses import replace
from typing import Any

from pytest import approx

from fairlead.data.pair_metadata import MetadataTable, PairKey, PairMetadata
from fairlead.data.records import Comparison
from fairlead.eval import admission_verdict, reward_metrics
from fairlead.eval.reward_metrics import EvaluationPairs
from fakes import assistant, user


def pair(prompt: str, chosen: str = "yes it is", rejected: str = "no it isn't", **fields: Any) -> Comparison:
    return Comparison((user(prompt),), (assistant(chosen),), (assistant(rejected),), **fields)


def notes(first: dict[int, bool], rows: list[Comparison]) -> MetadataTable:
    """`shown_first` of these rows, by number."""
    return MetadataTable(
        {
            _key(rows[i]): PairMetadata(("even",) if i % 2 == 0 else (), chosen_first)
            for i, chosen_first in first.items()
        }
    )


def _key(one: Comparison) -> PairKey:
    return (f"user: {one.prompt[0].content}", one.chosen, one.rejected, one.rater)


def pairs(
    held_out: list[Comparison], train: list[Comparison] | None = None, with_notes: MetadataTable | None = None
) -> EvaluationPairs:
    return EvaluationPairs(held_out, train, with_notes or MetadataTable({}), 0)


def many(
    count: int, *, accuracy: float = 0.8, seed: int = 0, **more: object
) -> tuple[list[Comparison], list[float], list[float]]:
    """Pairs of one length with scores that put this share of them right, by drawn margins."""
    draw = random.Random(seed)
    rows = [pair(f"question {i}", f"good {i:04}", f"poor {i:04}", **more) for i in range(count)]
    margins = [abs(draw.gauss(0, 1)) * (1 if i < accuracy * count else -0.3) for i in range(count)]
    draw.shuffle(margins)
    base = [draw.gauss(0, 1) for _ in rows]
    return rows, [b + m for b, m in zip(base, margins, strict=True)], base


def report(rows: EvaluationPairs, chosen: list[float], rejected: list[float]) -> dict[str, object]:
    return {
        "pairs": len(rows.held_out),
        "prompts": len(set(rows.prompts)),
        "not_finite": 0,
        "head": None,
        "batches": {"gap": 0.0},
        "ensemble": None,
        **reward_metrics.compute_reward_metrics(rows, chosen, rejected),
    }


def test_accuracy_by_hand() -> None:
    rows = [pair(f"q{i}") for i in range(4)]
    found = reward_metrics.compute_reward_metrics(
        pairs(rows), [2.0, 1.0, 0.0, 3.0], [1.0, 1.0, 1.0, 1.0]
    )  # right, tie, wrong, right
    assert found["accuracy"]["value"] == 2.5 / 4
    # margins 1, 0, -1, 2: log(1 + e^-1) + log 2 + log(1 + e) + log(1 + e^-2)
    expected = (math.log1p(math.exp(-1)) + math.log(2) + math.log1p(math.e) + math.log1p(math.exp(-2))) / 4
    assert found["held_out_loss"] == approx(expected, abs=1e-12)


def test_pairs_of_one_prompt_count_together() -> None:
    scores = [1.0, 1.0, -1.0, 1.0] * 6
    apart = reward_metrics.compute_reward_metrics(
        pairs([pair(f"q{i}") for i in range(24)]), scores, [0.0] * 24
    )["accuracy"]
    together = reward_metrics.compute_reward_metrics(
        pairs([pair(f"q{i % 4}") for i in range(24)]), scores, [0.0] * 24
    )["accuracy"]
    assert apart["value"] == together["value"]
    assert together["low"] < apart["low"] - 0.1


def test_a_rater_who_always_takes_the_first_is_found_by_the_position_baseline() -> None:
    rows, chosen, rejected = many(200)
    draw = random.Random(1)
    always_first = notes({i: True for i in range(200)}, rows)
    fair = notes({i: draw.random() < 0.5 for i in range(200)}, rows)
    found = reward_metrics.compute_reward_metrics(pairs(rows, rows, always_first), chosen, rejected)
    assert found["baselines"]["position_only"]["value"] == 1.0
    assert found["baselines"]["position_only"]["lead"]["high"] < 0
    assert "a position-only rule on" in " ".join(
        admission_verdict.decide_admission(report(pairs(rows, rows, always_first), chosen, rejected)).reasons
    )
    shuffled = reward_metrics.compute_reward_metrics(pairs(rows, None, fair), chosen, rejected)["baselines"][
        "position_only"
    ]
    assert shuffled["low"] < 0.5 < shuffled["high"] + 0.1 and shuffled["value"] < 0.65
    assert (
        reward_metrics.compute_reward_metrics(pairs(rows), chosen, rejected)["baselines"]["position_only"]
        is None
    )


def test_a_length_that_tells_all_is_found_by_the_length_baseline() -> None:
    rows = [pair(f"q{i}", "long answer here", "short") for i in range(60)]
    found = report(pairs(rows), [1.0] * 60, [0.0] * 60)
    assert found["baselines"]["length_only"]["value"] == 1.0  # type: ignore[index]
    decided = admission_verdict.decide_admission(found)
    assert decided.verdict == "refuse" and "a length-only rule on 100.0%" in decided.reasons[0]


def test_without_training_pairs_no_prompt_teaches_its_own_pair() -> None:
    # The words of each prompt's answers stand in no other prompt's: learned from the pair's other rating they
    # would be right always.
    rows = [
        pair(f"q{i}", f"word{i:02}", f"none{i:02}", rater=rater) for rater in ("ann", "bo") for i in range(40)
    ]
    halves = pairs(rows).halves
    assert halves[:40] == halves[40:] and sum(halves[:40]) == 20
    found = reward_metrics.compute_reward_metrics(pairs(rows), [1.0] * 80, [0.0] * 80)["baselines"][
        "bag_of_words"
    ]
    assert found["value"] == 0.5
    assert (
        reward_metrics.compute_reward_metrics(pairs(rows, rows), [1.0] * 80, [0.0] * 80)["baselines"][
            "bag_of_words"
        ]["value"]
        == 1.0
    )


def test_correlation_with_length_is_told_apart_from_what_people_like() -> None:
    draw = random.Random(2)
    rows, by_length, by_taste, zeros = [], [], [], []
    for i in range(300):
        longer = draw.random() < 0.8  # people like length
        sizes = (
            (draw.randint(20, 40), draw.randint(5, 15))
            if longer
            else (draw.randint(5, 15), draw.randint(20, 40))
        )
        rows.append(pair(f"q{i}", "a" * sizes[0], "b" * sizes[1]))
        by_length.append(float(sizes[0] - sizes[1]))
        by_taste.append(1.0 + draw.gauss(0, 0.3))
        zeros.append(0.0)
    counting = reward_metrics.compute_reward_metrics(pairs(rows), by_length, zeros)["length"]
    tasting = reward_metrics.compute_reward_metrics(pairs(rows), by_taste, zeros)["length"]
    assert counting["inside_pairs"]["value"] == approx(1.0, abs=1e-9) == counting["given_choice"]["value"]
    assert tasting["inside_pairs"]["value"] > 0.4  # it agrees with people, who like length
    assert (
        abs(tasting["given_choice"]["value"]) < 0.15
        and tasting["given_choice"]["low"] < 0 < tasting["given_choice"]["high"]
    )


def test_nothing_that_varies_has_no_correlation() -> None:
    rows, chosen, rejected = many(20)
    assert (
        reward_metrics.compute_reward_metrics(pairs(rows), chosen, rejected)["length"]["inside_pairs"] is None
    )  # all of one length


def test_slices_by_margin_length_rater_and_tag() -> None:
    rows = [
        pair("q0", "long answer", "no", margin=0.5, rater="ann"),
        pair("q1", "no", "long answer", margin=3.0, rater="bo"),
        pair("q2"),
    ]
    found = reward_metrics.compute_reward_metrics(
        pairs(rows, None, notes({0: True, 2: False}, rows)), [1.0, 0.0, 1.0], [0.0, 1.0, 0.0]
    )["slices"]
    shown = {(one["by"], one["name"]): (one["accuracy"]["value"], one["accuracy"]["n"]) for one in found}
    assert shown == {
        ("length", "chosen longer"): (1.0, 1),
        ("length", "chosen shorter"): (0.5, 2),
        ("margin", "below 1"): (1.0, 1),
        ("margin", "2 to 3"): (0.0, 1),
        ("rater", "ann"): (1.0, 1),
        ("rater", "bo"): (0.0, 1),
        ("tag", "even"): (1.0, 2),
    }


def test_the_ceiling_reads_both_sides_of_the_split() -> None:
    rows = [pair("q", rater="ann")]
    train = [
        pair("t", rater="ann"),
        pair("t", "no it isn't", "yes it is", rater="bo"),
        pair("u", rater="ann"),
        pair("u", rater="bo"),
    ]
    found = reward_metrics.compute_reward_metrics(pairs(rows, train), [1.0], [0.0])["ceiling"]
    assert found["agreement"]["value"] == 0.5 and found["agreement"]["n"] == 2
    assert found["accuracy"]["value"] == 0.5 and found["reached"] == 2.0


def test_members_that_say_the_opposite_disagree_on_everything() -> None:
    rows, chosen, rejected = many(50)
    same = reward_metrics.ensemble_disagreement(
        pairs(rows), [(chosen, rejected), ([2 * x + 5 for x in chosen], [2 * x + 5 for x in rejected])]
    )
    assert same["spread"]["value"] == approx(0.0, abs=1e-12) and same["disagree"]["value"] == 0.0
    opposite = reward_metrics.ensemble_disagreement(
        pairs(rows), [(chosen, rejected), ([-x for x in chosen], [-x for x in rejected])]
    )
    assert opposite["disagree"]["value"] == 1.0
    assert opposite["accuracies"][0]["value"] == approx(1 - opposite["accuracies"][1]["value"], abs=1e-12)


def test_one_pair_and_one_prompt_have_a_report() -> None:
    for rows in ([pair("q")], [pair("q"), pair("q", rater="bo")]):
        found = report(pairs(rows), [1.0] * len(rows), [0.0] * len(rows))
        json.dumps(found, allow_nan=False)
        assert admission_verdict.decide_admission(found).verdict == "refuse"


def test_equal_scores_are_refused() -> None:
    rows, _, _ = many(150)
    found = report(pairs(rows), [1.0] * 150, [1.0] * 150)
    json.dumps(found, allow_nan=False)
    decided = admission_verdict.decide_admission(found)
    assert decided.verdict == "refuse" and "than chance" in decided.reasons[0]


def test_a_calibrated_model_is_admitted_and_a_boasting_one_only_after_its_temperature() -> None:
    draw = random.Random(3)
    rows, margins = [], []
    for i in range(800):
        size = abs(draw.gauss(0, 2.5))
        right = draw.random() < 1 / (1 + math.exp(-size))
        rows.append(pair(f"q{i}", f"good {draw.randint(0, 10**6):07}", f"poor {draw.randint(0, 10**6):07}"))
        margins.append(size if right else -size)
    rows = [
        replace(one, rejected=(assistant(one.rejected[0].content.replace("poor", "good")),)) for one in rows
    ]  # no word tells
    honest = report(pairs(rows), margins, [0.0] * 800)
    assert admission_verdict.decide_admission(honest) == admission_verdict.AdmissionDecision("admit")
    boasting = report(pairs(rows), [8 * m for m in margins], [0.0] * 800)
    calibration: Any = boasting["calibration"]
    honest_calibration: Any = honest["calibration"]
    assert calibration["error_before"] > 0.1 > 0.05 > calibration["error"]
    assert calibration["temperature"] / honest_calibration["temperature"] == approx(8.0, abs=1e-6)


def test_a_manifest_has_only_what_was_measured() -> None:
    rows, chosen, rejected = many(20)
    found = reward_metrics.manifest_metrics(report(pairs(rows), chosen, rejected) | {"verdict": "admit"})
    assert "position_only" not in found and set(found["accuracy"]) == {"value", "low", "high", "n"} == set(
        found["bag_of_words"]
    )
    assert reward_metrics.manifest_metrics({"not_finite": 3, "verdict": "refuse"}) == {
        "verdict": "refuse",
        "not_finite": 3,
    }
