"""Whole runs that a judge behind an endpoint pays: GRPO, PPO and best-of-n, interrupted and resumed."""

import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from pytest import approx

import chat_server
from chat_server import Body, Sent
from chat_server import chat_server as open_server
from fairlead.core import digest, jsonl
from fairlead.core.errors import ConfigError, EndpointError
from fairlead.recipes import best_of_n, compare, grpo, ppo, sample
from fairlead.store.artifact import Artifact
from fakes import check_finished, project_with_base, train
from judges import KEY, KEY_ENV, parts, vowels, write_judge

SETTINGS = {
    "name": "aligned",
    "model": "base",
    "prompts": "data/prompts.jsonl",
    "reward": "llm:judge.toml",
    "steps": 4,
    "batch": 8,
    "max_new_tokens": 8,
    "lr": 3e-3,
    "warmup": 1,
    "rank": 0,
    "unfinished_penalty": 0.0,
    "checkpoints.every": 2,
}


@pytest.fixture(autouse=True)
def api_key(monkeypatch: Any) -> None:
    monkeypatch.setenv(KEY_ENV, KEY)


def score(body: Body) -> Sent:
    return chat_server.text(json.dumps({"score": min(10, 1 + vowels(parts(body)["answer"]))}))


def weights(artifact: Artifact) -> dict[str, str]:
    digests = digest.of_files(artifact.folder)
    return {name: value for name, value in digests.items() if name.endswith(".safetensors")}


@pytest.mark.parametrize(
    ("recipe", "own"), [(grpo, {"group": 4}), (ppo, {"critic": "policy"})], ids=["grpo", "ppo"]
)
def test_a_paid_run_goes_on_after_the_endpoint_was_away(
    tmp_path: Path, recipe: ModuleType, own: dict[str, Any]
) -> None:
    """It ends with the bits of a run that was never stopped, and pays for no answer twice."""
    settings = SETTINGS | own
    is_away = False

    def respond(body: Body, number: int) -> Sent:
        # away in the middle of the third step
        return chat_server.error(401, "no credit") if is_away and number >= 22 else score(body)

    with open_server(respond) as server:
        whole = project_with_base(tmp_path / "whole")
        write_judge(whole.root / "judge.toml", server.url)
        expected = train(whole, recipe, **settings)
        paid = [json.dumps(parts(body), sort_keys=True) for body in server.bodies]
        assert expected.artifact.manifest.metrics["judges"] == {
            "reward": {"url": server.url, "model": "grader"}
        }
        assert 1 <= expected.rows[0]["score"] <= 10 and "unreadable_frac" not in expected.rows[0]
        check_finished(whole, recipe, expected, **settings)

        server.bodies.clear()
        stopped = project_with_base(tmp_path / "stopped")
        write_judge(stopped.root / "judge.toml", server.url)
        is_away = True
        with pytest.raises(EndpointError, match="no credit"):
            train(stopped, recipe, **settings)
        is_away = False
        resumed = train(stopped, recipe, **settings)
        assert weights(resumed.artifact) == weights(expected.artifact)
        assert resumed.rows == expected.rows
        again = [json.dumps(parts(body), sort_keys=True) for body in server.bodies if parts(body)]
        # Refused requests and the trial of the first prompts come twice.
        assert set(again) == set(paid) and len(again) <= len(paid) + 12
    for project in (whole, stopped):
        texts = [path.read_bytes() for path in project.root.rglob("*") if path.is_file()]
        assert not any(KEY.encode() in text for text in texts)


def test_unreadable_replies_are_counted_and_end_no_run(tmp_path: Path) -> None:
    def respond(body: Body, number: int) -> Sent:
        answer = parts(body)["answer"]
        if answer != "Yes." and len(answer) % 2:
            return chat_server.text("I'm sorry, I cannot.")
        return chat_server.text("5")

    project = project_with_base(tmp_path)
    with open_server(respond) as server:
        write_judge(project.root / "judge.toml", server.url)
        made = train(project, grpo, **SETTINGS, group=4, unreadable_score=1.0)
    for row in made.rows:
        share = row.get("unreadable_frac", 0.0)
        assert row["score"] == approx(1.0 * share + 5.0 * (1 - share), abs=1e-5)
    assert any("unreadable_frac" in row for row in made.rows)
    assert "I'm sorry" in (made.folder / "events.jsonl").read_text(encoding="utf-8")


def test_a_judge_that_gives_no_scores_ends_before_the_first_step(tmp_path: Path) -> None:
    project = project_with_base(tmp_path)
    with open_server(lambda *_: chat_server.text("Nice!")) as server:
        write_judge(project.root / "judge.toml", server.url)
        with pytest.raises(ConfigError, match=r"reward = llm:judge\.toml: no reply of grader"):
            train(project, grpo, **SETTINGS, group=4)
    assert list(project.runs.glob("grpo-*")) == []


def test_best_of_n_takes_the_answer_that_the_judge_likes(tmp_path: Path) -> None:
    project = project_with_base(tmp_path)
    keys = ("name", "model", "prompts", "reward", "max_new_tokens")
    with open_server(lambda body, _: score(body)) as server:
        write_judge(project.root / "judge.toml", server.url)
        made = train(project, best_of_n, **{key: SETTINGS[key] for key in keys}, n=3)
    metrics = made.artifact.manifest.metrics
    assert metrics["judges"] == {"reward": {"url": server.url, "model": "grader"}}
    assert metrics["best_score"]["value"] >= metrics["score"]["value"] >= 1


def test_a_policy_is_not_judged_by_the_model_that_paid_it_without_saying_so(tmp_path: Path) -> None:
    """Another address and another rubric do not make another judge."""

    def respond(body: Body, number: int) -> Sent:
        return chat_server.text("tie") if "answer A" in parts(body) else score(body)

    project = project_with_base(tmp_path)
    with open_server(respond) as server:
        write_judge(project.root / "judge.toml", server.url)
        train(project, grpo, **SETTINGS | {"steps": 1}, group=4)
        own = {"prompts": "data/held_out.jsonl", "max_new_tokens": 4}
        jsonl.write(project.data / "held_out.jsonl", [{"prompt": [{"role": "user", "content": "New?"}]}])
        train(project, sample, name="a", model="aligned", **own)
        train(project, sample, name="b", model="base", **own)
        url = server.url.replace("127.0.0.1", "localhost")
        for name, model, paid in (("same", "grader", ["a"]), ("other", "another", [])):
            write_judge(project.root / f"{name}.toml", url, model=model, rubric="Short answers.")
            judged = train(project, compare, name=name, a="a", b="b", judge=f"llm:{name}.toml")
            assert judged.artifact.manifest.metrics["judge_paid"] == paid
            assert judged.artifact.manifest.metrics["leaks"]["not_checked"] == [
                f"llm:{name}.toml was trained elsewhere, on prompts that are not known."
            ]
