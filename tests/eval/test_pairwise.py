"""Pairs that a judge on a real server compares: bias, equal answers, unreadable verdicts, resuming."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import chat_server
from chat_server import Body, Sent
from chat_server import chat_server as open_server
from fairlead.core.errors import ConfigError, EndpointError
from fairlead.data.records import Prompt
from fairlead.eval.pairwise import JudgedPairs, judge_pairs
from fairlead.rollout.llm_judge import LlmJudge, Pair, open_llm_judge
from fairlead.store.project import create_project, find_project
from fairlead.store.run import open_run
from fakes import turns
from judges import KEY, KEY_ENV, JudgeConfig, parts, write_judge

PAIRS = [Pair(Prompt(turns(f"Question {i}?")), f"good {i}", f"bad {i}") for i in range(30)]


@pytest.fixture(autouse=True)
def api_key(monkeypatch: Any) -> None:
    monkeypatch.setenv(KEY_ENV, KEY)


@contextmanager
def opened(root: Path, url: str) -> Iterator[LlmJudge]:
    project = find_project(root) if (root / "fairlead.toml").exists() else create_project(root)
    write_judge(root / "judge.toml", url)
    config = JudgeConfig(name="verdict", judge="llm:judge.toml")
    with open_run(project, "compare", config, kind="evaluation", quiet=True) as run:
        yield open_llm_judge(run, "judge", name="judge")


def judged(tmp_path: Path, respond: Callable[[Body, int], Sent], pairs: list[Pair]) -> JudgedPairs:
    with open_server(respond) as server, opened(tmp_path, server.url) as judge:
        return judge_pairs(judge, pairs)


def likes_good(body: Body, number: int = 0) -> Sent:
    return chat_server.text("A" if parts(body)["answer A"].startswith("good") else "B")


def test_a_fair_judge_has_no_bias(tmp_path: Path) -> None:
    pairs = [*PAIRS, *(Pair(Prompt(turns(f"And {i}?")), f"bad {i}", f"good {i}") for i in range(10))]
    result = judged(tmp_path, likes_good, pairs)
    rate, bias = result.metrics["win_rate_a"], result.metrics["position_bias"]
    assert (rate["wins"], rate["ties"], rate["losses"]) == (30, 0, 10)
    assert bias["value"] == 0 and bias["n"] == 40 and bias["high"] < 0.1
    assert result.rows[0] == {"verdicts": ["a", "a"], "outcome": "a"}
    assert result.rows[-1] == {"verdicts": ["b", "b"], "outcome": "b"}
    assert result.metrics["unreadable"] == 0 and "win_rate_range" not in result.metrics


def test_pairs_of_the_same_prompt_are_no_evidence_of_their_own(tmp_path: Path) -> None:
    result = judged(
        tmp_path, likes_good, [*PAIRS[:6], *(Pair(PAIRS[5].row, "good", "bad") for _ in range(24))]
    )
    rate, bias = result.metrics["win_rate_a"], result.metrics["position_bias"]
    assert (rate["wins"], rate["n"], bias["n"], result.metrics["num_prompts"]) == (30, 30, 30, 6)
    # Wilson with 6 prompts has 6 / (6 + 1.96^2) = 0.61 as its lower end; 30 would have 0.89.
    assert rate["low"] < 0.61 and bias["high"] > 0.39


@pytest.mark.parametrize(("winner", "place"), [("A", "first"), ("B", "second")])
def test_a_judge_that_goes_by_the_place_gives_ties_only(tmp_path: Path, winner: str, place: str) -> None:
    result = judged(tmp_path, lambda *_: chat_server.text(winner), PAIRS)
    rate, bias = result.metrics["win_rate_a"], result.metrics["position_bias"]
    assert (rate["wins"], rate["ties"], rate["losses"], rate["value"]) == (0, 30, 0, 0.5)
    assert bias["value"] == 1.0 and bias[place] == 30 and bias["low"] > 0.5


def test_equal_answers_are_ties_without_a_request(tmp_path: Path) -> None:
    equal = [Pair(Prompt(turns("Question?")), "same", "same")] * 5
    with open_server(likes_good) as server, opened(tmp_path, server.url) as judge:
        result = judge_pairs(judge, [*equal, *PAIRS[:2]])
        assert len(server.bodies) == 4
    assert result.metrics["equal_answers"] == 5 and result.metrics["win_rate_a"]["ties"] == 5
    assert result.metrics["position_bias"]["n"] == 2
    assert result.rows[0] == {"outcome": "tie"}


def test_models_that_answer_alike_are_tied(tmp_path: Path) -> None:
    result = judged(tmp_path, likes_good, [Pair(Prompt(turns("Question?")), "same", "same")] * 5)
    assert result.metrics["win_rate_a"]["value"] == 0.5 and result.metrics["position_bias"] is None


def test_unreadable_pairs_are_left_out_and_no_ties(tmp_path: Path) -> None:
    def respond(body: Body, number: int) -> Sent:
        shown = parts(body)
        if shown["answer A"] == "bad 3" or "7" in shown["answer A"]:
            return chat_server.text("I would rather not say.")
        return likes_good(body)

    with open_server(respond) as server, opened(tmp_path, server.url) as judge:
        result = judge_pairs(judge, PAIRS)
        assert judge.run.left_out == {"pairs without a readable verdict": 4}  # 3, 7, 17 and 27
    assert result.metrics["win_rate_a"]["n"] == 26 and result.metrics["win_rate_a"]["ties"] == 0
    assert result.metrics["unreadable"] == 4
    assert result.metrics["win_rate_range"] == [26 / 30, 1.0]
    assert result.rows[3]["outcome"] is None and "rather not" in result.rows[3]["problem"]


def test_a_judge_that_never_says_who_won_ends_after_the_first_pairs(tmp_path: Path) -> None:
    with (
        open_server(lambda *_: chat_server.text("Both are nice.")) as server,
        opened(tmp_path, server.url) as judge,
        pytest.raises(ConfigError, match="no reply of grader to the first 4 requests can be read"),
    ):
        judge_pairs(judge, PAIRS)
    assert len(server.bodies) == 8


def test_a_comparison_goes_on_where_it_was_stopped(tmp_path: Path) -> None:
    is_away = True

    def respond(body: Body, number: int) -> Sent:
        if is_away and 13 <= number < 20:
            time.sleep(0.5)  # still on its way when the refusal comes
        return chat_server.error(402, "no credit") if is_away and number >= 20 else likes_good(body)

    with open_server(respond) as server:
        with pytest.raises(EndpointError, match="asks for payment"), opened(tmp_path, server.url) as judge:
            judge_pairs(judge, PAIRS)
        is_away = False
        server.bodies.clear()
        with opened(tmp_path, server.url) as judge:
            assert judge_pairs(judge, PAIRS).metrics["win_rate_a"]["wins"] == 30
        assert len(server.bodies) == 60 - 20
