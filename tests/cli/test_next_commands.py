"""The next line of each command: right for what was just made, and a command that exists."""

import json
from pathlib import Path
from typing import Any

import pytest
import typer

from fairlead.cli import next_commands
from fairlead.cli.app import app
from fairlead.cli.train import RECIPES, recipe_settings
from fairlead.core.config_keys import hints_by_key
from fairlead.data.records import RECORD_KINDS
from fairlead.store.artifact import Artifact, Manifest
from outcome import Cli

ROWS: dict[str, dict[str, Any]] = {
    "demonstration": {"prompt": "a", "completion": "b"},
    "comparison": {"prompt": "a", "chosen": "b", "rejected": "c"},
    "ranking": {"prompt": "a", "completions": ["b", "c"], "ranks": [1, 2]},
    "rating": {"prompt": "a", "completion": "b", "score": 0.5},
    "binary": {"prompt": "a", "completion": "b", "label": True},
    "stepwise": {"prompt": "a", "completions": ["b", "c"], "labels": [True, False]},
    "prompt": {"prompt": "a"},
}


def make(recipe: str, kind: str = "model", **metrics: object) -> Artifact:
    manifest = Manifest(kind, "made", "sha256:1", (), {}, {}, 0, "", dict(metrics), None, {})
    assert recipe in RECIPES
    return Artifact(Path("made"), manifest)


@pytest.mark.parametrize(
    ("kind", "training"),
    [
        ("demonstration", "sft"),
        ("comparison", "reward"),
        ("ranking", "reward"),
        ("rating", "uft"),
        ("binary", "kto"),
        ("stepwise", "process-reward"),
        ("prompt", "ppo"),
    ],
)
def test_rows_lead_to_the_training_that_reads_them(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, training: str
) -> None:
    monkeypatch.chdir(tmp_path)
    rows = [ROWS[kind] | {"prompt": f"question {i}"} for i in range(30)]
    Path("source.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    imported = cli("data", "import", "source.jsonl", "--out", "rows.jsonl")
    assert imported.code == 0, imported.err
    assert "next  fairlead data check rows.jsonl" in imported.out
    assert f"or    fairlead train {training} " in imported.out and "=rows.jsonl" in imported.out
    split = cli("data", "split", "rows.jsonl", "--out-train", "t.jsonl", "--out-held-out", "h.jsonl")
    assert f"next  fairlead train {training} " in split.out and "=t.jsonl" in split.out
    words = split.out.partition("next  fairlead train ")[2].splitlines()[0].split()
    keys = hints_by_key(recipe_settings(words[0]).Config)
    assert [word for word in words[1:5] if word.partition("=")[0] not in keys] == []


def test_every_kind_of_rows_has_a_training() -> None:
    assert set(next_commands.TRAINING) == set(RECORD_KINDS)


def test_a_refused_reward_model_leads_to_why_and_an_admitted_one_to_training() -> None:
    config = {"model": "sft"}
    for recipe in ("reward", "process-reward"):
        (refused,) = next_commands.after_training(recipe, make(recipe, verdict="refuse"), config)
        assert refused == "fairlead report reward-model/made  # why it was refused, and what to do"
        (admitted,) = next_commands.after_training(recipe, make(recipe, verdict="admit"), config)
        assert admitted == "fairlead train ppo name=aligned model=sft reward=made prompts=FILE"


@pytest.mark.parametrize("recipe", ["dpo", "kto", "uft", "alternate", "ppo", "grpo"])
def test_a_policy_leads_to_a_judge_that_did_not_pay_it(recipe: str) -> None:
    (command,) = next_commands.after_training(recipe, make(recipe), {"model": "sft"})
    assert command == "fairlead compare made sft --prompts HELD_OUT --judge JUDGE"
    if recipe in ("ppo", "grpo"):
        config = {"model": "sft", "reward": "rule:maths", "too_long": "drop"}
        (paid,) = next_commands.after_training(recipe, make(recipe), config)
        remark = "  # a JUDGE other than rule:maths, which paid made"
        assert paid == f"{command} --too-long drop{remark}"


@pytest.mark.parametrize(
    ("references", "reward"),
    [
        (["72", "\\frac{1}{2}", "x"], "rule:maths"),
        (["Paris", "the Nile", "1492"], "rule:exact"),
        (["72", None], "REWARD"),
        ([None, None], "REWARD"),
    ],
)
def test_prompts_with_references_lead_to_the_rule_that_checks_answers(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, references: list[str | None], reward: str
) -> None:
    monkeypatch.chdir(tmp_path)
    rows: list[dict[str, Any]] = [
        {"prompt": f"question {i}"} | ({} if reference is None else {"reference": reference})
        for i, reference in enumerate(references * 10)
    ]
    Path("source.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    imported = cli("data", "import", "source.jsonl", "--out", "all.jsonl")
    training = f"fairlead train ppo name=aligned model=MODEL reward={reward} prompts"
    assert f"or    {training}=all.jsonl" in imported.out, imported.err
    assert f"or    {training}=all.jsonl" in cli("data", "check", "all.jsonl").out
    split = cli("data", "split", "all.jsonl", "--out-train", "t.jsonl", "--out-held-out", "h.jsonl")
    assert f"next  {training}=t.jsonl" in split.out


@pytest.mark.parametrize("choice", ["drop", "truncate-prompt"])
def test_next_commands_keep_the_choice_for_long_rows(choice: str) -> None:
    config = {"model": "sft", "data": {"too_long": choice}}
    (training,) = next_commands.after_training("reward", make("reward", verdict="admit"), config)
    assert training.endswith(f" prompts=FILE too_long={choice}")
    (compare,) = next_commands.after_training("ppo", make("ppo"), {"model": "sft", "too_long": choice})
    assert compare.endswith(f" --judge JUDGE --too-long {choice}")
    (refused,) = next_commands.after_training("reward", make("reward", verdict="refuse"), config)
    assert "too" not in refused.partition("#")[0]


def test_a_choice_that_prompts_do_not_have_is_not_passed_on() -> None:
    config = {"model": "sft", "data": {"too_long": "truncate-answer"}}
    (training,) = next_commands.after_training("reward", make("reward", verdict="admit"), config)
    assert training.endswith(" prompts=FILE")


def test_a_checked_file_leads_to_a_split_with_a_judge_and_a_side_of_a_split_to_training() -> None:
    split, train = next_commands.after_check("comparison", Path("data/all.jsonl"))
    assert split == (
        "fairlead data split data/all.jsonl --out-train data/train.jsonl --out-judge data/judge.jsonl "
        "--out-held-out data/held_out.jsonl"
    )
    assert train.endswith(" comparisons=data/all.jsonl")
    assert next_commands.after_check("comparison", Path("data/train.jsonl")) == [
        "fairlead train reward name=reward model=MODEL comparisons=data/train.jsonl"
    ]
    first, _ = next_commands.after_check("demonstration", Path("data/rows.jsonl.gz"))
    assert first == "fairlead train sft name=sft model=MODEL demonstrations=data/rows.jsonl.gz"


def test_a_split_of_comparisons_leads_to_demonstrations_too() -> None:
    reward, demonstrations = next_commands.after_split("comparison", Path("data/train.jsonl"))
    assert reward.startswith("fairlead train reward ")
    assert demonstrations == (
        "fairlead data import data/train.jsonl --kind demonstration --out data/demonstrations.jsonl"
    )


def test_answers_lead_to_comparing_or_labelling() -> None:
    compare, label = next_commands.after_sample("sft", "p.jsonl", Path("answers.jsonl"))
    assert compare == "fairlead compare sft OTHER --prompts p.jsonl --judge JUDGE"
    assert label == "fairlead studio serve  # people label answers.jsonl"


def test_an_exported_reward_model_leads_to_its_examination_and_a_policy_to_a_chat() -> None:
    assert next_commands.after_export(Path("out"), is_reward_model=True) == [
        "fairlead eval out --comparisons HELD_OUT"
    ]
    assert next_commands.after_export(Path("out"), is_reward_model=False) == ["fairlead chat out"]


def test_an_examined_reward_model_leads_to_training_only_if_it_is_admitted() -> None:
    page = Path("page.html")
    assert next_commands.after_eval("judge", "refuse", page) == [
        "open page.html in a browser  # why it was refused, and what to do"
    ]
    assert next_commands.after_eval("judge", "admit", page)[0].startswith("fairlead train ppo ")


def test_every_next_command_exists() -> None:
    root = typer.main.get_command(app)
    config = {"model": "m", "reward": "r", "b": "b"}
    commands = [
        command
        for recipe in RECIPES
        for verdict in ("admit", "refuse")
        for command in next_commands.after_training(recipe, make(recipe, verdict=verdict, newest="n"), config)
    ]
    for command in commands:
        _, name, *rest = command.split()
        found = root.get_command(typer.Context(root), name)  # type: ignore[attr-defined]
        assert found is not None, command
        assert name != "train" or rest[0] in RECIPES
