"""Rounds: each learns from the answers of the one before, and everything can be gone on with."""

from pathlib import Path
from typing import Any

import pytest

from fairlead.core import config as configs
from fairlead.core import jsonl
from fairlead.core.errors import ConfigError, DataError, Stopped
from fairlead.data.record_reader import read_comparisons, read_prompts
from fairlead.recipes import rounds
from fairlead.store import lineage
from fairlead.store.artifact import Artifact, find_artifact
from fairlead.store.project import Project
from fairlead.train.diagnostics import read_nothing_learned
from fakes import STOPS_ONCE, check_finished, project_with_sft, train

SETTINGS: dict[str, Any] = {
    "name": "made",
    "model": "model/sft",
    "prompts": "data/prompts.jsonl",
    "reward": "rule:data/vowels.py",
    "rounds": 2,
    "n": 4,
    "max_new_tokens": 24,
    "train": ("lr=3e-3", "warmup=1", "batch=8", "rank=0", "epochs=2"),
    "held_out": "data/held_out.jsonl",
    "probe": "rule:data/vowels.py",
}


def artifact(project: Project, name: str) -> Artifact:
    found = find_artifact(project, name)
    assert found is not None, name
    return found


def parents(project: Project, name: str) -> dict[str, str]:
    return {parent.role: parent.name for parent in artifact(project, name).manifest.parents}


def test_each_round_learns_from_the_answers_of_the_model_before(tmp_path: Path) -> None:
    project = project_with_sft(tmp_path)
    with pytest.raises(DataError, match="40 of 40 prompts are among the training prompts of the rounds and"):
        train(project, rounds, **SETTINGS | {"held_out": "data/prompts.jsonl"})
    asked = [record.prompt[-1].content for record in read_prompts(project.data / "prompts.jsonl")]
    jsonl.write(
        project.data / "held_out.jsonl",
        [{"prompt": [{"role": "user", "content": f"{text} Thank you."}]} for text in asked],
    )
    made = train(project, rounds, **SETTINGS)
    assert parents(project, "dataset/made-rows-1")["model"] == "model/sft"
    assert parents(project, "model/made-1") == {"model": "model/sft", "comparisons": "dataset/made-rows-1"}
    assert parents(project, "dataset/made-rows-2")["model"] == "model/made-1"
    assert parents(project, "model/made-2") == {"model": "model/made-1", "comparisons": "dataset/made-rows-2"}
    rows = [row for _, row in jsonl.read(made.artifact.folder / "rounds.jsonl")]
    assert rows == made.artifact.manifest.metrics["rounds"]
    assert [row["model"] for row in rows] == ["model/made-1", "model/made-2"]
    assert (
        rows[1]["score"]["value"] > 1.1 * rows[0]["score"]["value"]
    )  # it answers with more vowels than it did
    assert (
        rows[1]["probe"]["value"] > rows[1]["probe_at_start"]["value"] == rows[0]["probe_at_start"]["value"]
    )
    assert rows[1]["win_rate"]["value"] > 0.5
    assert made.artifact.manifest.metrics["newest"] == "model/made-2"
    check_finished(project, rounds, made, **SETTINGS)


def test_rounds_that_learned_nothing_say_so(tmp_path: Path) -> None:
    project = project_with_sft(tmp_path)
    still = {"train": ("lr=1e-12", "warmup=1", "batch=8", "rank=0", "epochs=4"), "rounds": 1}
    made = train(project, rounds, **SETTINGS | still | {"held_out": "", "probe": ""})
    sentence = read_nothing_learned(made.folder)
    assert sentence.startswith("made-1: nothing was learned: in ") and sentence.endswith(".")
    moving = train(project, rounds, **SETTINGS | {"held_out": "", "probe": "", "name": "moved", "rounds": 1})
    assert read_nothing_learned(moving.folder) == ""


@pytest.mark.parametrize("learn", ["dpo", "sft"])
def test_beginning_anew_learns_from_the_rows_of_all_rounds(tmp_path: Path, learn: str) -> None:
    project = project_with_sft(tmp_path)
    settings = SETTINGS | {"begin": "start", "learn": learn, "held_out": "", "probe": ""}
    train(project, rounds, **settings)
    rows = {"dpo": "comparisons", "sft": "demonstrations"}[learn]
    assert parents(project, "model/made-2") == {"model": "model/sft", rows: "dataset/made-all-2"}
    counts = [artifact(project, f"dataset/made-rows-{number}").manifest.metrics[rows] for number in (1, 2)]
    joined = list(jsonl.read(artifact(project, "dataset/made-all-2").folder / f"{rows}.jsonl"))
    assert len(joined) == sum(counts)
    assert parents(project, "dataset/made-rows-2")["model"] == "model/made-1"
    assert lineage.verify(project, None).problems == []


def test_without_a_reward_it_waits_for_people_and_goes_on(tmp_path: Path) -> None:
    project = project_with_sft(tmp_path)
    settings = SETTINGS | {"reward": "", "probe": "", "held_out": ""}
    for number in (1, 2):
        with pytest.raises(
            Stopped,
            match=rf"Round {number} of 2 waits for people: .*made-answers-{number}.*data/made-{number}.jsonl",
        ):
            train(project, rounds, **settings)
        asked = [
            row
            for _, row in jsonl.read(
                artifact(project, f"rollouts/made-answers-{number}").folder / "answers.jsonl"
            )
        ]
        assert len(asked) == 40 and all(len(row["completions"]) == 4 for row in asked)
        no = [{"role": "assistant", "content": "No."}]
        judged = [{"prompt": row["prompt"], "chosen": row["completions"][0], "rejected": no} for row in asked]
        jsonl.write(
            project.data / f"made-{number}.jsonl",
            [row for row in judged if row["chosen"][0]["content"] not in ("", "No.")],
        )
        assert read_comparisons(project.data / f"made-{number}.jsonl")
    made = train(project, rounds, **settings)
    assert parents(project, "model/made-2") == {
        "model": "model/made-1",
        "comparisons": "file:data/made-2.jsonl",
    }
    check_finished(project, rounds, made, **settings)


def test_peoples_comparisons_are_the_projects_and_never_a_file_of_the_same_name_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = project_with_sft(tmp_path / "project")
    settings = SETTINGS | {"reward": "", "probe": "", "held_out": "", "rounds": 1}
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    with pytest.raises(Stopped, match="waits for people"):
        train(project, rounds, **settings)
    rows = [row for _, row in jsonl.read(project.data / "comparisons.jsonl")]
    jsonl.write(project.data / "made-1.jsonl", rows)
    jsonl.write(elsewhere / "data" / "made-1.jsonl", rows[:10])
    with pytest.raises(DataError, match=r"data/made-1\.jsonl: is here and in the project too"):
        train(project, rounds, **settings)
    (elsewhere / "data" / "made-1.jsonl").unlink()
    train(project, rounds, **settings)
    assert parents(project, "model/made-1")["comparisons"] == "file:data/made-1.jsonl"


def test_stopped_within_a_round_it_ends_with_the_same_weights(tmp_path: Path) -> None:
    found = []
    for place in ("whole", "stopped"):
        project = project_with_sft(tmp_path / place)
        (project.data / "long.py").write_text(STOPS_ONCE, encoding="utf-8")
        settings = SETTINGS | {"reward": "rule:data/long.py", "held_out": "", "probe": ""}
        if place == "whole":
            (project.data / "long.asked").touch()
        else:
            with pytest.raises(Stopped, match="to continue"):
                train(project, rounds, **settings)
            assert not (project.artifacts / "model" / "made-1").exists()
        train(project, rounds, **settings)
        found.append([artifact(project, f"model/made-{number}").manifest.digest for number in (1, 2)])
    assert found[0] == found[1]


def test_a_knob_that_the_training_does_not_know_is_refused_before_anything_is_sampled(tmp_path: Path) -> None:
    project = project_with_sft(tmp_path)
    with pytest.raises(ConfigError, match='unknown key "btea". Did you mean "beta"'):
        train(project, rounds, **SETTINGS | {"train": ("btea=0.2",), "held_out": "", "probe": ""})
    assert not (project.artifacts / "rollouts").exists()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"n": 1}, "n = 1: must be at least 2"),
        ({"reward": "", "learn": "sft"}, "learn = 'sft': needs a reward"),
        ({"held_out": ""}, "probe = .*go together"),
        ({"train": ("lr=1e-3", "seed=7")}, r"train = \['seed=7'\]: is set by the rounds"),
        ({"train": ("name=mine",)}, "train = .*'name=mine'"),
        ({"train": ("model=base",)}, "train = .*'model=base'"),
        ({"train": ("comparisons=data/comparisons.jsonl",)}, "train = .*'comparisons="),
        (
            {"learn": "sft", "train": ("demonstrations=data/demonstrations.jsonl",)},
            "train = .*'demonstrations=",
        ),
    ],
)
def test_settings_that_do_not_go_together_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        configs.from_dict(rounds.Config, SETTINGS | settings)
