from pathlib import Path

import pytest

from fairlead.core import config as configs
from fairlead.core import jsonl
from fairlead.core.errors import ConfigError, DataError
from fairlead.data.sampled_answers import read_sampled_answers
from fairlead.recipes import compare, reward, sample
from fairlead.rollout.rewards import open_reward
from fakes import assistant, check_finished, project_with_base, train, user

SAMPLE = {"name": "a", "model": "base", "prompts": "data/prompts.jsonl", "per_prompt": 2, "max_new_tokens": 8}
COMPARE = {"name": "verdict", "a": "a", "b": "b", "judge": "rule:data/vowels.py"}


def test_answers_stand_beside_their_prompts(tmp_path: Path) -> None:
    project = project_with_base(tmp_path)
    made = train(project, sample, **SAMPLE)
    rows = read_sampled_answers(made.artifact.folder / sample.ROWS)
    asked = [row["prompt"][0]["content"] for _, row in jsonl.read(project.data / "prompts.jsonl")]
    assert [row.prompt[0].content for row in rows] == asked
    assert all(len(row.texts) == len(row.finished) == 2 for row in rows)
    assert sum(row.texts[0] != row.texts[1] for row in rows) > 30  # each answer has random numbers of its own
    metrics = made.artifact.manifest.metrics
    assert metrics["answers"] == 80
    assert metrics["finished_frac"] == sum(sum(row.finished) for row in rows) / 80
    check_finished(project, sample, made, **SAMPLE)


def test_the_same_seed_gives_the_same_answers_and_another_one_others(tmp_path: Path) -> None:
    project = project_with_base(tmp_path)
    texts = [
        (
            train(project, sample, **SAMPLE | {"name": name, "seed": seed}).artifact.folder / sample.ROWS
        ).read_text()
        for name, seed in (("a", 0), ("b", 0), ("c", 1))
    ]
    assert texts[0] == texts[1] != texts[2]


def test_more_prompts_than_go_at_once_change_no_answer(tmp_path: Path) -> None:
    project = project_with_base(tmp_path)
    rows = [row for _, row in jsonl.read(project.data / "prompts.jsonl")]
    jsonl.write(project.data / "many.jsonl", rows * 8)
    assert len(rows) * 8 > sample.ANSWERS_PER_REQUEST
    many = train(project, sample, **SAMPLE | {"name": "many", "prompts": "data/many.jsonl", "per_prompt": 1})
    few = train(project, sample, **SAMPLE | {"name": "few", "per_prompt": 1})
    found, expected = (read_sampled_answers(made.artifact.folder / sample.ROWS) for made in (many, few))
    assert [row.texts for row in found[:40]] == [row.texts for row in expected]
    assert (
        len({row.texts for row in found if row.prompt == found[0].prompt}) > 4
    )  # the eight repetitions differ


def test_a_stop_string_ends_an_answer_that_then_counts_as_finished(tmp_path: Path) -> None:
    project = project_with_base(tmp_path)
    free = train(project, sample, **SAMPLE)
    made = train(project, sample, **SAMPLE | {"name": "b", "stop": ("e", "a")})
    ends, met = 0, 0
    for before, row in zip(
        *(read_sampled_answers(one.artifact.folder / sample.ROWS) for one in (free, made)), strict=True
    ):
        for whole, text, finished in zip(before.texts, row.texts, row.finished, strict=True):
            met += "e" in whole or "a" in whole
            ends += "e" in text or "a" in text
            assert whole.startswith(text)
            assert finished or not {"e", "a"} & set(text)
    assert ends == met > 10
    assert (
        made.artifact.manifest.metrics["response_tokens"] < free.artifact.manifest.metrics["response_tokens"]
    )


def test_min_p_of_one_leaves_the_likeliest_token(tmp_path: Path) -> None:
    project = project_with_base(tmp_path)
    one = train(project, sample, **SAMPLE | {"min_p": 1.0}).artifact.folder / sample.ROWS
    other = train(project, sample, **SAMPLE | {"name": "b", "temperature": 0}).artifact.folder / sample.ROWS
    assert one.read_text() == other.read_text()


@pytest.mark.parametrize(("field", "value"), [("min_p", 1.5), ("min_p", -0.1), ("stop", ["x", ""])])
def test_a_cut_that_means_nothing_is_refused(field: str, value: object) -> None:
    with pytest.raises(ConfigError, match=f"{field} = "):
        configs.from_dict(sample.Config, SAMPLE | {field: value})


def test_a_judge_prefers_what_it_scores_higher(tmp_path: Path) -> None:
    project = project_with_base(tmp_path)
    train(project, sample, **SAMPLE)
    train(project, sample, **SAMPLE | {"name": "b", "seed": 1})
    made = train(project, compare, **COMPARE)
    metrics = made.artifact.manifest.metrics
    rule = open_reward(f"rule:{project.data / 'vowels.py'}", micro_tokens=1)
    wins = ties = 0
    for a, b in zip(
        *(read_sampled_answers(project.artifacts / "rollouts" / name / sample.ROWS) for name in "ab"),
        strict=True,
    ):
        one, other = (float(rule([row.prompt], [row.texts[0]], [row.finished[0]])[0]) for row in (a, b))
        wins, ties = wins + (one > other), ties + (one == other)
    verdict = metrics["win_rate_a"]
    assert (verdict["wins"], verdict["ties"], verdict["losses"]) == (wins, ties, 40 - wins - ties)
    assert verdict["value"] == pytest.approx((wins + ties / 2) / 40, abs=1e-9)
    assert verdict["low"] < verdict["value"] < verdict["high"]
    check_finished(project, compare, made, **COMPARE)


def test_the_other_way_round_is_the_mirror_image(tmp_path: Path) -> None:
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
    made = train(project, compare, **COMPARE | {"judge": "judge"})
    (paths,) = [row for _, row in jsonl.read(made.folder / "events.jsonl") if row["event"] == "paths"]
    assert (
        paths["what"] == "reward model" and paths["chosen"] == "packed"
    )  # the judge was checked, and runs in the fastest way
    one = made.artifact.manifest.metrics
    other = train(
        project, compare, **COMPARE | {"judge": "judge", "a": "b", "b": "a", "name": "mirror"}
    ).artifact.manifest.metrics
    assert one["win_rate_a"]["value"] == pytest.approx(1 - other["win_rate_a"]["value"], abs=1e-9)
    assert one["score_a"] == other["score_b"]


def test_answers_to_different_prompts_are_not_compared(tmp_path: Path) -> None:
    project = project_with_base(tmp_path)
    train(project, sample, **SAMPLE)
    rows = [row for _, row in jsonl.read(project.data / "prompts.jsonl")]
    jsonl.write(project.data / "fewer.jsonl", rows[:-1])
    train(project, sample, **SAMPLE | {"name": "b", "prompts": "data/fewer.jsonl"})
    with pytest.raises(DataError, match="a and b answer different prompts. Sample both from the same file"):
        train(project, compare, **COMPARE)


def test_a_conversation_can_be_a_prompt(tmp_path: Path) -> None:
    project = project_with_base(tmp_path)
    turns = (user("One?"), assistant("Yes."), user("Two?"))
    jsonl.write(
        project.data / "long.jsonl", [{"prompt": [{"role": m.role, "content": m.content} for m in turns]}]
    )
    made = train(project, sample, **SAMPLE | {"prompts": "data/long.jsonl"})
    assert read_sampled_answers(made.artifact.folder / sample.ROWS)[0].prompt == turns
