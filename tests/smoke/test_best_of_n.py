"""Best of n: which answers are kept, what is learned from them, and that an interrupted run ends with the
same rows.
"""

import json
from pathlib import Path
from typing import Any

import pytest
from pytest import approx

from fairlead.core import digest, jsonl
from fairlead.core.errors import ConfigError, DataError, GateRefused, Stopped
from fairlead.data.record_reader import read_comparisons, read_demonstrations
from fairlead.data.records import Record
from fairlead.recipes import best_of_n, dpo, ppo, reward, sft
from fairlead.store import lineage
from fakes import STOPS_ONCE, Trained, check_finished, project_with_sft, train

SETTINGS = {
    "name": "best",
    "model": "model/sft",
    "prompts": "data/prompts.jsonl",
    "reward": "rule:data/vowels.py",
    "n": 6,
    "max_new_tokens": 24,
}
PPO = {
    "model": "model/sft",
    "prompts": "data/prompts.jsonl",
    "reward": "rule:data/vowels.py",
    "steps": 1,
    "batch": 8,
    "epochs": 1,
    "max_new_tokens": 8,
    "rank": 0,
}


def rows(made: Trained) -> list[dict[str, Any]]:
    return [row for _, row in jsonl.read(made.artifact.folder / "answers.jsonl")]


def text(messages: Any) -> str:
    return str(messages[0]["content"] if isinstance(messages[0], dict) else messages[0].content)


def test_the_best_answer_that_ended_is_kept_beside_the_worst(tmp_path: Path) -> None:
    project = project_with_sft(tmp_path)
    made = train(project, best_of_n, **SETTINGS | {"probe": "rule:data/vowels.py"})
    demonstrations = read_demonstrations(made.artifact.folder / "demonstrations.jsonl")
    comparisons = read_comparisons(made.artifact.folder / "comparisons.jsonl")
    best: dict[tuple[str, str], None] = {}
    pairs = []
    for row in rows(made):
        texts = [text(completion) for completion in row["completions"]]
        assert row["scores"] == approx([sum(c in "aeiou" for c in t) / 4 for t in texts], abs=1e-6)
        assert row["probe_scores"] == row["scores"]
        ended = [
            (score, t)
            for score, t, end in zip(row["scores"], texts, row["finished"], strict=True)
            if end and t
        ]
        if not ended:
            continue
        high, low = max(score for score, _ in ended), min(score for score, _ in ended)
        winner = next(t for score, t in ended if score == high)
        if (text(row["prompt"]), winner) in best:
            continue
        best[text(row["prompt"]), winner] = None
        if low < high:
            pairs.append((text(row["prompt"]), winner, next(t for score, t in ended if score == low)))
    assert [(text(one.prompt), text(one.completion)) for one in demonstrations] == list(best)
    assert [(text(one.prompt), text(one.chosen), text(one.rejected)) for one in comparisons] == pairs
    assert len(best) > 20 and len(pairs) > 10
    metrics = made.artifact.manifest.metrics
    assert metrics["prompts"] == 40 == metrics["demonstrations"] + metrics["unfinished"] + metrics["repeated"]
    check_finished(project, best_of_n, made, **SETTINGS | {"probe": "rule:data/vowels.py"})


def test_selected_rows_carry_the_id_and_the_metadata_of_their_prompts(tmp_path: Path) -> None:
    project = project_with_sft(tmp_path)
    prompts = [row for _, row in jsonl.read(project.data / "prompts.jsonl")]
    rows_with_ids = [row | {"id": str(i), "metadata": {"n": i}} for i, row in enumerate(prompts)]
    jsonl.write(project.data / "rows.jsonl", rows_with_ids)
    folder = train(project, best_of_n, **SETTINGS | {"prompts": "data/rows.jsonl"}).artifact.folder
    records: list[Record] = [*read_demonstrations(folder / "demonstrations.jsonl")]
    records += read_comparisons(folder / "comparisons.jsonl")
    assert len(records) > 2 and all(record.metadata == {"n": int(record.id or -1)} for record in records)


def test_what_fewer_answers_would_be_worth(tmp_path: Path) -> None:
    made = train(project_with_sft(tmp_path), best_of_n, **SETTINGS | {"probe": "rule:data/vowels.py"})
    metrics = made.artifact.manifest.metrics
    by_n = metrics["by_n"]
    assert list(by_n) == ["1", "2", "4", "6"]
    assert by_n["1"]["score"] == approx(metrics["score"], abs=1e-12)
    assert by_n["6"]["score"] == metrics["best_score"]
    assert [by_n[n]["score"]["value"] for n in by_n] == sorted(by_n[n]["score"]["value"] for n in by_n)
    every = [score for row in rows(made) for score in row["scores"]]
    assert metrics["score"]["value"] == approx(sum(every) / len(every), abs=1e-9)
    assert by_n["4"]["probe"]["value"] == approx(
        by_n["4"]["score"]["value"], abs=1e-9
    )  # the probe is the same rule
    assert by_n["1"]["kl"] == 0 and by_n["4"]["kl"] == approx(0.6363, abs=1e-4)  # ln 4 - 3/4


def test_both_kinds_of_rows_are_learned_from_as_they_are(tmp_path: Path) -> None:
    project = project_with_sft(tmp_path)
    train(project, best_of_n, **SETTINGS)
    common = {"model": "model/sft", "batch": 8, "rank": 0, "held_out": 0.2, "lr": 1e-3, "warmup": 1}
    learned = train(project, sft, name="from-best", demonstrations="dataset/best", **common)
    preferred = train(project, dpo, name="from-pairs", comparisons="dataset/best", **common)
    mixed = train(
        project,
        sft,
        name="mixed",
        demonstrations="data/demonstrations.jsonl",
        replay="dataset/best",
        **common,
    )
    paid = train(project, ppo, name="paid", **PPO | {"ptx.data": "dataset/best"})
    centred = train(
        project, reward, name="judge", comparisons="dataset/best", centre_on="dataset/best", **common
    )
    assert any("replay_loss" in row for row in mixed.rows) and "ptx_loss" in paid.rows[0]
    for made in (learned, preferred, mixed, paid, centred):
        shown = lineage.render_text(lineage.ancestors(project, made.artifact))
        assert all(
            name in shown
            for name in ("dataset/best", "model/sft", "file:data/prompts.jsonl", "file:data/vowels.py")
        )
    assert lineage.verify(project, None).problems == []


def test_any_lower_answer_may_be_the_rejected_one(tmp_path: Path) -> None:
    project = project_with_sft(tmp_path)
    worst = train(project, best_of_n, **SETTINGS)
    drawn = train(project, best_of_n, **SETTINGS | {"name": "drawn", "rejected": "random"})
    one, other = (read_comparisons(made.artifact.folder / "comparisons.jsonl") for made in (worst, drawn))
    assert [(a.prompt, a.chosen) for a in one] == [(b.prompt, b.chosen) for b in other]
    assert sum(a.rejected != b.rejected for a, b in zip(one, other, strict=True)) > 3


def test_a_floor_leaves_prompts_out_and_counts_them(tmp_path: Path) -> None:
    project = project_with_sft(tmp_path)
    made = train(project, best_of_n, **SETTINGS | {"min_score": 1.5})
    metrics = made.artifact.manifest.metrics
    assert metrics["below_min_score"] > 0
    floor = [
        sum(c in "aeiou" for c in text(d.completion)) / 4
        for d in read_demonstrations(made.artifact.folder / "demonstrations.jsonl")
    ]
    assert floor and min(floor) >= 1.5
    with pytest.raises(DataError, match="no answer was kept .*below_min_score"):
        train(project, best_of_n, **SETTINGS | {"name": "none", "min_score": 100.0})


def test_a_stopped_run_goes_on_where_it_was_and_ends_with_the_same_bytes(tmp_path: Path) -> None:
    found = []
    for place in ("whole", "stopped"):
        project = project_with_sft(tmp_path / place)
        (project.data / "long.py").write_text(STOPS_ONCE, encoding="utf-8")
        settings = SETTINGS | {"reward": "rule:data/long.py", "n": 16}  # 16 prompts at once: three parts
        if place == "whole":
            (project.data / "long.asked").touch()
        else:
            with pytest.raises(Stopped, match="after 16 of 40 prompts"):
                train(project, best_of_n, **settings)
            (part,) = project.runs.glob("best_of_n-*/answers/*.jsonl")
            written = part.stat().st_mtime_ns
        made = train(project, best_of_n, **settings)
        found.append(made.artifact.manifest)
    assert part.stat().st_mtime_ns == written  # it was not sampled again
    assert found[0].files == found[1].files and found[0].digest == found[1].digest
    assert {name for name in found[0].files} == {"answers.jsonl", "comparisons.jsonl", "demonstrations.jsonl"}


def test_a_reward_model_that_its_own_report_refuses_is_not_used_unless_it_is_named(tmp_path: Path) -> None:
    project = project_with_sft(tmp_path)
    judge = train(
        project,
        reward,
        name="judge",
        model="base",
        comparisons="data/comparisons.jsonl",
        batch=8,
        rank=0,
        held_out=0.2,
    )
    settings = SETTINGS | {"reward": "judge", "n": 2}
    report = judge.artifact.folder / "admission.json"
    report.write_text(
        json.dumps({"verdict": "refuse", "reasons": ["It is no better than length."]}), encoding="utf-8"
    )
    before = digest.of_files(project.artifacts)
    with pytest.raises(GateRefused, match="no better than length"):
        train(project, best_of_n, **settings)
    with pytest.raises(ConfigError, match="another is not a reward model of this run"):
        train(project, best_of_n, **settings | {"trust": "another"})
    assert digest.of_files(project.artifacts) == before
    made = train(project, best_of_n, **settings | {"trust": "judge"})
    assert made.artifact.manifest.metrics["demonstrations"] > 0
