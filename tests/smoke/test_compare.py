"""The recipe `compare`: win rates of two models under a judge."""

from pathlib import Path

import pytest

from fairlead.core import jsonl
from fairlead.core.errors import DataError
from fairlead.data.sampled_answers import read_sampled_answers
from fairlead.recipes import compare, reward, sample
from fairlead.rollout.rewards import open_reward
from fakes import answers, check_finished, project_with_base, train

SAMPLE = {"name": "a", "model": "base", "prompts": "data/prompts.jsonl", "per_prompt": 2, "max_new_tokens": 8}
COMPARE = {"name": "verdict", "a": "a", "b": "b", "judge": "rule:data/vowels.py"}


def test_the_higher_score_wins(tmp_path: Path) -> None:
    project = project_with_base(tmp_path)
    train(project, sample, **SAMPLE)
    train(project, sample, **SAMPLE | {"name": "b", "seed": 1})
    trained = train(project, compare, **COMPARE)
    metrics = trained.artifact.manifest.metrics
    rule = open_reward(f"rule:{project.data / 'vowels.py'}", micro_tokens=1)
    wins = ties = 0
    for a, b in zip(
        *(read_sampled_answers(project.artifacts / "rollouts" / name / sample.ROWS) for name in "ab"),
        strict=True,
    ):
        score_a, score_b = (float(rule(answers([row.prompt], [row.texts[0]])).values[0]) for row in (a, b))
        wins += score_a > score_b
        ties += score_a == score_b
    verdict = metrics["win_rate_a"]
    assert (verdict["wins"], verdict["ties"], verdict["losses"]) == (wins, ties, 40 - wins - ties)
    assert verdict["value"] == pytest.approx((wins + ties / 2) / 40, abs=1e-9)
    assert verdict["low"] < verdict["value"] < verdict["high"]
    check_finished(project, compare, trained, **COMPARE)


def test_swapping_the_models_mirrors_the_result(tmp_path: Path) -> None:
    project = project_with_base(tmp_path)
    train(project, sample, **SAMPLE)
    train(project, sample, **SAMPLE | {"name": "b", "seed": 1})
    train(
        project,
        reward,
        name="judge",
        model="base",
        comparisons="data/comparisons.jsonl",
        batch=8,
        rank=0,
        held_out=0.2,
    )
    with pytest.raises(DataError, match="of 40 prompts are among the training prompts of the judge"):
        train(project, compare, **COMPARE | {"judge": "judge"})
    judged = COMPARE | {"judge": "judge", "exclude_leaks": True}
    trained = train(project, compare, **judged)
    metrics = trained.artifact.manifest.metrics
    assert metrics["leaks"]["by"] == {"the judge": 40 - metrics["win_rate_a"]["n"]}
    assert metrics["left_out"] == {"prompts seen in training": 40 - metrics["win_rate_a"]["n"]}
    (paths,) = [row for _, row in jsonl.read(trained.folder / "events.jsonl") if row["event"] == "paths"]
    # The judge's backend was verified, and the fastest one was chosen.
    assert (paths["what"], paths["chosen"]) == ("reward model", "packed")
    swapped = train(
        project, compare, **judged | {"a": "b", "b": "a", "name": "mirror"}
    ).artifact.manifest.metrics
    assert metrics["win_rate_a"]["value"] == pytest.approx(1 - swapped["win_rate_a"]["value"], abs=1e-9)
    assert metrics["score_a"] == swapped["score_b"]


def test_answers_to_different_prompts_are_not_compared(tmp_path: Path) -> None:
    project = project_with_base(tmp_path)
    train(project, sample, **SAMPLE)
    rows = [row for _, row in jsonl.read(project.data / "prompts.jsonl")]
    jsonl.write(project.data / "fewer.jsonl", rows[:-1])
    train(project, sample, **SAMPLE | {"name": "b", "prompts": "data/fewer.jsonl"})
    with pytest.raises(DataError, match="a and b answer different prompts. Sample both from the same file"):
        train(project, compare, **COMPARE)
