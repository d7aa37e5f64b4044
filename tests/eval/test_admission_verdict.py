"""Each threshold on its own: a healthy report, one figure changed, and one sentence more."""

import copy
from typing import Any

import pytest

from fairlead.eval.admission_verdict import AdmissionDecision, decide_admission, decide_step_admission


def share(value: float, low: float, high: float, n: int = 400) -> dict[str, Any]:
    return {"value": value, "low": low, "high": high, "n": n}


HEALTHY: dict[str, Any] = {
    "pairs": 400,
    "prompts": 300,
    "not_finite": 0,
    "head": {"gap": 1e-6, "moved": 0.3},
    "batches": {"gap": 1e-6},
    "accuracy": share(0.80, 0.76, 0.84),
    "baselines": {
        "length_only": share(0.55, 0.50, 0.60) | {"lead": share(0.25, 0.19, 0.31)},
        "position_only": None,
        "bag_of_words": share(0.65, 0.60, 0.70) | {"lead": share(0.15, 0.09, 0.21)},
    },
    "slices": [{"by": "rater", "name": "ann", "accuracy": share(0.8, 0.7, 0.9, 60)}],
    "calibration": {"temperature": 1.1, "error": 0.03, "chance_error": 0.05},
    "length": {"given_choice": share(0.1, 0.0, 0.2)},
    "ensemble": None,
    "ceiling": None,
}


def changed(path: str, value: Any) -> dict[str, Any]:
    found = copy.deepcopy(HEALTHY)
    *parts, last = path.split(".")
    inner = found
    for part in parts:
        inner = inner[part]
    inner[last] = value
    return found


def test_a_healthy_model_is_admitted_without_a_word() -> None:
    assert decide_admission(HEALTHY) == AdmissionDecision("admit")


@pytest.mark.parametrize(
    ("path", "value", "says"),
    [
        ("head.moved", 0.0, "learned nothing"),
        ("head.gap", 0.5, "not the trained model"),
        ("batches.gap", 0.02, "depend on the other rows of the batch"),
        ("accuracy", share(0.54, 0.5, 0.58), "than chance"),
        (
            "baselines.length_only",
            share(0.8, 0.7, 0.9) | {"lead": share(0, -0.1, 0.1)},
            "a length-only rule on 80.0%",
        ),
        (
            "baselines.position_only",
            share(0.9, 0.8, 0.95) | {"lead": share(-0.1, -0.2, 0.0)},
            "a position-only rule on 90.0%",
        ),
        (
            "baselines.bag_of_words",
            share(0.9, 0.8, 0.95) | {"lead": share(-0.1, -0.2, -0.01)},
            "A bag-of-words model",
        ),
    ],
)
def test_what_is_refused(path: str, value: Any, says: str) -> None:
    decided = decide_admission(changed(path, value))
    assert decided.verdict == "refuse"
    assert len(decided.reasons) == 1 or path == "accuracy"
    assert says in decided.reasons[0]


@pytest.mark.parametrize(
    ("path", "value", "says"),
    [
        ("prompts", 99, "on only 99 prompts"),
        (
            "baselines.length_only",
            share(0.78, 0.7, 0.9) | {"lead": share(0.02, -0.1, 0.1)},
            "length-only baseline",
        ),
        (
            "baselines.bag_of_words",
            share(0.78, 0.7, 0.9) | {"lead": share(0.02, None, None)},  # type: ignore[arg-type]
            "bag-of-words baseline",
        ),
        ("calibration.temperature", None, "Use only the order of scores"),
        ("calibration.error", 0.06, "scaling is 0.060"),
        ("length.given_choice", share(0.51, 0.4, 0.6), "rewards longer answers"),
        ("length.given_choice", share(-0.51, -0.6, -0.4), "rewards shorter answers"),
        ("ensemble", {"disagree": share(0.26, 0.2, 0.3)}, "disagree on 26%"),
        ("ceiling", {"agreement": share(0.9, 0.85, 0.95)}, "agree with each other on 90.0%"),
        ("slices", [{"by": "rater", "name": "eve", "accuracy": share(0.2, 0.1, 0.49, 20)}], "rater 'eve'"),
    ],
)
def test_what_is_warned_of(path: str, value: Any, says: str) -> None:
    decided = decide_admission(changed(path, value))
    assert decided.verdict == "admit with warnings"
    assert decided.reasons == () and len(decided.warnings) == 1 and says in decided.warnings[0]


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("prompts", 100),
        ("head", None),
        ("calibration.error", 0.05),
        ("calibration.chance_error", 0.2),
        ("length.given_choice", None),
        ("ensemble", {"disagree": share(0.25, 0.2, 0.3)}),
        ("slices", [{"by": "rater", "name": "eve", "accuracy": share(0.2, 0.1, 0.49, 19)}]),
        ("ceiling", {"agreement": share(0.8, 0.75, 0.85)}),
    ],
)
def test_what_is_let_pass(path: str, value: Any) -> None:
    assert decide_admission(changed(path, value)).verdict == "admit"


def test_a_rule_that_is_no_better_than_a_coin_is_no_reason() -> None:
    wrong = changed("accuracy", share(0.0, 0.0, 1.0, 1))
    wrong["baselines"]["length_only"] |= {"value": 0.0}
    wrong["baselines"]["bag_of_words"] |= {"value": 0.0}
    [reason] = decide_admission(wrong).reasons
    assert "not significantly better than chance" in reason


LEAKS = {"rows": 30, "of": 30, "by": {"sft": 30}, "not_checked": []}


def test_leaks_are_no_evidence_unless_they_were_excluded() -> None:
    for decide, healthy in ((decide_admission, HEALTHY), (decide_step_admission, STEPS)):
        assert decide(healthy | {"leaks": LEAKS | {"excluded": True}}).verdict == "admit"
        refused = decide(healthy | {"leaks": LEAKS | {"excluded": False}})
        assert refused.verdict == "refuse"
        assert refused.reasons[0].startswith("30 of 30 held-out rows have a training prompt of sft")


def test_scores_that_are_no_numbers_are_refused_whatever_else_is_missing() -> None:
    decided = decide_admission({"not_finite": 3, "prompts": 300})
    assert decided.verdict == "refuse" and "3 scores" in decided.reasons[0]


def test_a_refusal_does_not_silence_warnings_nor_take_them_for_reasons() -> None:
    decided = decide_admission(changed("head.moved", 0.0) | {"prompts": 1})
    assert [reason[:8] for reason in decided.reasons] == ["The head"]
    assert [warning[:38] for warning in decided.warnings] == ["The model was examined on only 1 promp"]


STEPS: dict[str, Any] = {
    "accuracy": share(0.90, 0.88, 0.92),
    "lead": share(0.15, 0.10, 0.20),
    "held_out_prompts": 300,
    "calibration_error": 0.03,
    "chance_error": 0.02,
}


@pytest.mark.parametrize(
    ("changes", "verdict", "says"),
    [
        ({}, "admit", ""),
        ({"lead": share(0.0, -0.1, 0.1)}, "refuse", "content-blind baseline on 90.0%"),
        (
            {"lead": share(0.1, -0.1, 0.3)},
            "admit with warnings",
            "not significantly better than a content-blind",
        ),
        (
            {"lead": share(0.1, 0.0, 0.2) | {"low": None}},
            "admit with warnings",
            "not significantly better than a content-blind",
        ),
        ({"held_out_prompts": 99}, "admit with warnings", "only 99 prompts"),
        (
            {"calibration_error": 0.06},
            "admit with warnings",
            "calibration error is 0.060 (by chance up to 0.020)",
        ),
        ({"calibration_error": 0.06, "chance_error": 0.07}, "admit", ""),
    ],
)
def test_what_is_said_of_a_process_reward_model(changes: dict[str, Any], verdict: str, says: str) -> None:
    found = decide_step_admission(STEPS | changes)
    assert found.verdict == verdict
    assert [says in reason for reason in found.reasons + found.warnings] == [True] * bool(says)
    assert bool(found.reasons) == (verdict == "refuse")
