"""`fairlead compare`: win rates and refused judges."""

import json
from pathlib import Path

import pytest

from fairlead.cli.compare import summary_lines
from outcome import Cli


def test_compare_prefers_the_answers_that_the_rule_prefers(cli: Cli, project: Path, tmp_path: Path) -> None:
    """The rule likes answers of even length, so the verdict can be counted from the rollouts themselves."""
    rule = tmp_path / "even.py"
    rule.write_text(
        "def score(prompt, answer, finished):\n    return float(len(answer) % 2 == 0)\n", encoding="utf-8"
    )
    words = [
        "sft",
        "base",
        "--prompts",
        project / "data" / "prompts.jsonl",
        "--judge",
        f"rule:{rule}",
        "--max-new-tokens",
        "5",
    ]
    result = cli("compare", *words, "--project", project, "--json")
    assert result.code == 0
    evaluation = project / "artifacts" / result.json["artifact"]
    rows = [
        json.loads(line) for line in (evaluation / "scores.jsonl").read_text(encoding="utf-8").splitlines()
    ]
    even = [(len(row["a"]) % 2 == 0, len(row["b"]) % 2 == 0) for row in rows]
    rate = result.json["win_rate_a"]
    assert rate["n"] == 6 and (rate["wins"], rate["losses"]) == (
        even.count((True, False)),
        even.count((False, True)),
    )
    assert rate["low"] <= rate["value"] <= rate["high"]
    assert cli("compare", *words, "--project", project, "--json").json["artifact"] == result.json["artifact"]


def test_compare_with_a_reward_model_names_win_rate_interval_and_n(cli: Cli, project: Path) -> None:
    words = [
        "sft",
        "base",
        "--prompts",
        project / "data" / "prompts.jsonl",
        "--judge",
        "reward:reward",
        "--max-new-tokens",
        "4",
    ]
    result = cli("compare", *words, "--project", project)
    assert result.code == 0
    assert "of 6 prompts against base:" in result.out and "ties count half" in result.out


@pytest.mark.parametrize("judge", ["http://localhost:1/v1", "people", "reward:", "reward"])
def test_a_judge_that_does_not_exist_is_told_what_does(cli: Cli, project: Path, judge: str) -> None:
    result = cli(
        "compare",
        "sft",
        "base",
        "--prompts",
        project / "data" / "prompts.jsonl",
        "--judge",
        judge,
        "--project",
        project,
    )
    assert result.code == 1
    assert result.err.startswith(f"ConfigError  --judge {judge}: no such judge. Use reward:NAME")


def test_a_judge_that_was_the_reward_is_named_in_the_verdict() -> None:
    score = {"value": 0.5, "low": 0.4, "high": 0.6, "n": 1}
    metrics = {
        "win_rate_a": score | {"wins": 1, "ties": 0, "losses": 0},
        "score_a": score,
        "score_b": score,
        "judge_paid": ["a"],
        "leaks": {"rows": 2, "of": 3, "by": {"sft": 2}, "excluded": True, "not_checked": ["No idea."]},
    }
    verdict, caution, *_, left_out, unknown = summary_lines("ppo", "sft", "reward:judge", metrics)
    assert "1 win, 0 ties, 0 losses; ties count half; reward:judge is a reward that ppo was" in verdict
    assert "of 1 prompt against sft" in verdict
    assert "no evidence of quality" in caution
    assert left_out == "Seen in training: 2 of 3 rows, because sft was trained on these prompts."
    assert unknown == "Not checked for leaks: No idea."
