"""`fairlead compare`: win rates and refused judges."""

import html
import json
from collections.abc import Callable
from pathlib import Path

import pytest

import chat_server
from chat_server import Body, Sent
from fairlead.cli.compare import summary_lines
from judges import KEY, KEY_ENV, parts, write_judge
from outcome import Cli, Outcome


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


def test_the_option_bounds_the_time_of_a_rule(cli: Cli, project: Path, tmp_path: Path) -> None:
    rule = tmp_path / "slow.py"
    rule.write_text(
        "import time\n\n\ndef score(prompt, answer, finished):\n    time.sleep(60)\n", encoding="utf-8"
    )
    words = ["sft", "base", "--prompts", project / "data" / "prompts.jsonl", "--judge", f"rule:{rule}"]
    result = cli("compare", *words, "--max-new-tokens", "4", "--rule-timeout", "0.2", "--project", project)
    assert result.code == 1
    assert "took longer than rule_timeout = 0.2 s" in result.err


@pytest.mark.parametrize(
    "judge, message",
    [
        ("rule:language", "needs an argument"),
        ("rule:maths", "rule:maths cannot read 6 of 6 prompts (row 1: has no reference"),
        ("rule:data/broken.py", "cannot be loaded in line 1"),
        ("rule:data/without_score.py", "score"),
        ("rule:no.such.module", "no.such.module"),
    ],
)
def test_a_rule_that_cannot_judge_is_refused_before_anything_is_sampled(
    cli: Cli, project: Path, judge: str, message: str
) -> None:
    (project / "data" / "broken.py").write_text("import nothing_of_that_name\n", encoding="utf-8")
    (project / "data" / "without_score.py").write_text("x = 1\n", encoding="utf-8")
    before = sorted((project / "artifacts").rglob("*"))
    words = ["sft", "base", "--prompts", project / "data" / "prompts.jsonl", "--judge", judge]
    result = cli("compare", *words, "--project", project)
    assert result.code == 1
    assert message in result.err
    assert sorted((project / "artifacts").rglob("*")) == before


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


def test_repeated_prompts_are_named_in_the_verdict() -> None:
    rate = {"value": 1.0, "low": 0.6, "high": 1.0, "n": 12, "wins": 12, "ties": 0, "losses": 0}
    lines = summary_lines("a", "b", "rule:r.py", {"win_rate_a": rate, "num_prompts": 4})
    assert "of 12 rows against b" in lines[0]
    assert lines[1].startswith("The rows hold 4 different prompts. Rows with the same prompt count as dep")
    assert len(summary_lines("a", "b", "rule:r.py", {"win_rate_a": rate, "num_prompts": 12})) == 1


def compare_by_llm(cli: Cli, project: Path, respond: Callable[[Body, int], Sent], *more: str) -> Outcome:
    """`moved` against `base`: a model that answers otherwise."""
    if not (project / "artifacts" / "model" / "moved").exists():
        keys = ["name=moved", "model=base", "lr=0.3", "rank=0", "epochs=2", "batch=8", "held_out=0"]
        rows = f"demonstrations={project / 'data' / 'demonstrations.jsonl'}"
        assert cli("train", "sft", *keys, rows, "--project", project).code == 0
    with chat_server.chat_server(respond) as server:
        write_judge(project / "judge.toml", server.url)
        words = ["--prompts", project / "data" / "prompts.jsonl", "--max-new-tokens", "6", *more]
        return cli("compare", "moved", "base", *words, "--judge", "llm:judge.toml", "--project", project)


def test_a_judge_behind_an_endpoint_compares_in_both_orders(
    cli: Cli, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(KEY_ENV, KEY)

    def longer(body: Body, number: int) -> Sent:
        a, b = (parts(body)[name] for name in ("answer A", "answer B"))
        return chat_server.text(json.dumps({"winner": "tie" if len(a) == len(b) else "AB"[len(b) > len(a)]}))

    result = compare_by_llm(cli, project, longer, "--json")
    assert result.code == 0, result.err
    assert result.json["judges"]["judge"]["model"] == "grader"
    evaluation = project / "artifacts" / result.json["artifact"]
    rows = [json.loads(line) for line in (evaluation / "scores.jsonl").read_text().splitlines()]
    lengths = [(len(row["a"]), len(row["b"])) for row in rows]
    rate = result.json["win_rate_a"]
    assert rate["wins"] == sum(a > b for a, b in lengths) and rate["losses"] == sum(a < b for a, b in lengths)
    assert result.json["position_bias"]["value"] == 0.0
    assert json.loads((evaluation / "verdict.json").read_text())["judges"] == result.json["judges"]
    written = [path.read_bytes() for path in project.rglob("*") if path.is_file()]
    assert not any(KEY.encode() in content for content in written)
    assert KEY not in result.out + result.err


def test_position_bias_and_unreadable_verdicts_are_in_the_text_and_the_report(
    cli: Cli, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(KEY_ENV, KEY)

    questions: list[str] = []

    def first(body: Body, number: int) -> Sent:
        """Refuses the first question, and always takes the answer that is shown first."""
        questions.append(parts(body)["message 1: user"])
        return chat_server.text("I refuse." if questions[-1] == questions[0] else "A")

    result = compare_by_llm(cli, project, first)
    assert result.code == 0, result.err
    assert "Position bias: 100.0% [" in result.out and "for the first answer, 0 for the second" in result.out
    assert "Left out: 1 pair without a readable verdict." in result.out
    assert "Without a readable verdict: 1 pair. moved would win" in result.out
    assert "llm:judge.toml mostly goes by the position of an answer." in result.out
    assert "llm:judge.toml is grader at http://127.0.0.1:" in result.out
    evaluations = (project / "artifacts" / "evaluation").glob("moved-vs-base-*")
    [name] = [path.name for path in evaluations if f"evaluation/{path.name}" in result.out]
    report = cli("report", name, "--project", project, "--json")
    page = html.unescape(Path(report.json["report"]).read_text(encoding="utf-8"))
    assert "Position bias: 100.0% [" in page[: page.index("On this page")]


def test_a_judge_without_its_key_is_refused_before_answers_are_sampled(
    cli: Cli, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(KEY_ENV, raising=False)
    (project / "artifacts" / "rollouts").mkdir(exist_ok=True)
    before = set((project / "artifacts" / "rollouts").iterdir())
    result = compare_by_llm(cli, project, lambda *_: chat_server.text("A"), "--seed", "7")
    assert result.code == 1
    assert f"the environment variable {KEY_ENV}, for the API key, is not set" in result.err
    assert set((project / "artifacts" / "rollouts").iterdir()) == before
