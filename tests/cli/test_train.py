"""`fairlead train`: keys and their help, errors, finished runs, and runs that resume."""

import re
import shutil
from pathlib import Path

import pytest

from fairlead.core.config_keys import keys
from fairlead.recipes import (
    alternate,
    average,
    best_of_n,
    dpo,
    kto,
    ppo,
    pretrain,
    process_reward,
    reward,
    rounds,
    sft,
    uft,
)
from fakes import STOPS_ONCE
from outcome import Cli

RECIPES = {
    "pretrain": pretrain,
    "sft": sft,
    "reward": reward,
    "process-reward": process_reward,
    "dpo": dpo,
    "kto": kto,
    "uft": uft,
    "alternate": alternate,
    "ppo": ppo,
    "best-of-n": best_of_n,
    "rounds": rounds,
    "average": average,
}


@pytest.mark.parametrize("recipe", RECIPES)
def test_help_lists_every_key_with_its_default(cli: Cli, recipe: str) -> None:
    shown = cli("train", recipe, "--help-all").out.split("Keys of the recipe")[1]
    rows: dict[str, str] = {}
    table = ""
    for line in shown.splitlines():
        if match := re.match(r"\[(\w+)\]  \S", line):
            table = f"{match[1]}."
        elif match := re.match(r"  (\w+)  ", line):
            rows[table + match[1]] = line
    every_key = keys(RECIPES[recipe].Config)
    assert list(rows) == [key.full_name for key in every_key]
    for key in every_key:
        assert (key.default or "required") in rows[key.full_name]


def test_help_leaves_out_advanced_keys_and_fits_on_a_screen(cli: Cli) -> None:
    shown = cli("train", "dpo", "--help").out.split("Keys of the recipe")[1]
    assert "  beta " in shown and "  lr " in shown and "--help-all" in shown
    assert "flip_rate" not in shown and "weight_decay" not in shown
    assert shown.count("\n") <= 40


def test_all_errors_of_a_configuration_are_reported_at_once(cli: Cli, project: Path, tmp_path: Path) -> None:
    config = tmp_path / "sft.toml"
    config.write_text('model = "base"\nbach = 8\nepochs = "two"\n', encoding="utf-8")
    outcome = cli("train", "sft", config, "lr=fast", "--project", project)
    assert (outcome.code, outcome.out) == (1, "")
    assert outcome.err.startswith("ConfigError  ")
    assert f'{config}:2: unknown key "bach". Did you mean "batch"?' in outcome.err
    assert '"name" is required' in outcome.err and '"demonstrations" is required' in outcome.err
    assert f"{config}:3: epochs = 'two'" in outcome.err and "command line: optim.lr = 'fast'" in outcome.err


def test_a_word_without_an_equals_sign_is_explained(cli: Cli, project: Path) -> None:
    outcome = cli("train", "sft", "base", "--project", project)
    assert outcome.code == 1
    assert '"base": expected key=value' in outcome.err


def test_a_configuration_that_does_not_exist(cli: Cli, project: Path) -> None:
    outcome = cli("train", "sft", "nothing.toml", "--project", project)
    assert outcome.code == 1
    assert "nothing.toml: no such configuration file." in outcome.err


def test_the_command_line_overrides_the_configuration_file(cli: Cli, project: Path, tmp_path: Path) -> None:
    config = tmp_path / "sft.toml"
    demonstrations = project / "data" / "demonstrations.jsonl"
    lines = [
        'name = "from-file"',
        'model = "base"',
        f'demonstrations = "{demonstrations}"',
        "batch = 24",
        "held_out = 0",
    ]
    config.write_text("\n".join(lines), encoding="utf-8")
    outcome = cli("train", "sft", config, "name=from-words", "--project", project, "--json")
    assert outcome.code == 0
    assert outcome.json["artifact"] == "model/from-words"
    assert (
        Path(outcome.json["folder"], "metrics.jsonl").read_text(encoding="utf-8").count("\n") == 1
    )  # 24 rows are one step


def test_a_finished_run_returns_its_result(cli: Cli, project: Path) -> None:
    words = [
        "train",
        "sft",
        "name=sft",
        "model=base",
        f"demonstrations={project / 'data' / 'demonstrations.jsonl'}",
        "batch=8",
        "held_out=0",
    ]
    outcome = cli(*words, "--project", project)
    assert outcome.code == 0
    assert "finished before; this is its result" in outcome.err
    assert "next  fairlead sample sft --prompts FILE" in outcome.out


def test_a_used_name_is_refused_for_another_configuration(cli: Cli, project: Path) -> None:
    outcome = cli(
        "train",
        "sft",
        "name=sft",
        "model=base",
        f"demonstrations={project / 'data' / 'demonstrations.jsonl'}",
        "--project",
        project,
    )
    assert outcome.code == 1
    assert outcome.err.startswith("ProjectError  name = 'sft': model/sft was made by")


def test_the_result_as_json_holds_the_run_and_its_evidence(cli: Cli, project: Path) -> None:
    words = [
        f"comparisons={project / 'data' / 'comparisons.jsonl'}",
        "batch=8",
        "held_out=0.4",
        "rank=0",
    ]
    outcome = cli("train", "reward", "name=reward", "model=base", *words, "--project", project, "--json")
    assert outcome.code == 0
    assert outcome.json["made_before"] is True and outcome.json["artifact"] == "reward-model/reward"
    assert outcome.json["metrics"]["accuracy"].keys() == {"value", "low", "high", "n"}
    assert outcome.json["metrics"]["verdict"] == "refuse"
    assert outcome.json["next"] == "fairlead report reward-model/reward"


def test_ctrl_c_exits_130_and_the_same_command_resumes(cli: Cli, project: Path, tmp_path: Path) -> None:
    rule = tmp_path / "rule.py"
    rule.write_text(STOPS_ONCE, encoding="utf-8")
    words = [
        "name=stopped",
        "model=base",
        f"reward=rule:{rule}",
        f"prompts={project / 'data' / 'prompts.jsonl'}",
    ]
    words += ["steps=3", "batch=4", "epochs=1", "max_new_tokens=4", "rank=2"]
    stopped = cli("train", "ppo", *words, "--project", project)
    assert (stopped.code, stopped.out) == (130, "")
    assert "Stopped after step 1 of 3; the work is saved. Run the same command again to go on." in stopped.err
    again = cli("train", "ppo", *words, "--project", project, "--json")
    assert again.code == 0
    assert "resuming from step 1" in again.err
    assert again.json["resumed_from"] == 1
    # the rule has paid the model, so it is no judge of it
    assert again.json["next"] == "fairlead compare stopped base --prompts HELD_OUT --judge JUDGE"


@pytest.mark.parametrize("kind", ["a folder without a model", "a pickle checkpoint"])
def test_a_folder_without_a_model_is_refused_in_one_line(
    cli: Cli, project: Path, tmp_path: Path, kind: str
) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "notes.txt").write_text("none", encoding="utf-8")
    if kind == "a pickle checkpoint":
        (folder / "config.json").write_text('{"model_type": "llama"}', encoding="utf-8")
        (folder / "pytorch_model.bin").write_bytes(b"\x80\x04.")
    rows = project / "data" / "demonstrations.jsonl"
    outcome = cli(
        "train", "sft", "name=none", f"model={folder}", f"demonstrations={rows}", "--project", project
    )
    assert (outcome.code, outcome.out) == (1, "")
    [line] = [line for line in outcome.err.splitlines() if line.startswith("ModelError")]
    assert ("pickle" if kind == "a pickle checkpoint" else "is not a model") in line
    assert not (project / "artifacts" / "model" / "none").exists()


def test_best_of_n_prints_the_next_command(cli: Cli, project: Path, tmp_path: Path) -> None:
    # the model is hardly trained, so no answer of four tokens ends: a rule cannot choose among none
    rule = tmp_path / "short.py"
    rule.write_text("def score(prompt, answer, finished):\n    return -len(answer)\n", encoding="utf-8")
    words = [
        "model=sft",
        f"reward=rule:{rule}",
        f"prompts={project / 'data' / 'prompts.jsonl'}",
        "--project",
        project,
    ]
    outcome = cli("train", "best-of-n", "name=none", "n=2", "max_new_tokens=1", "min_score=1", *words)
    assert outcome.code == 1
    assert outcome.err.splitlines()[-1].startswith("DataError  none: no answer was kept (")
    outcome = cli("train", "best-of-n", "name=best", "n=8", "max_new_tokens=100", *words)
    if outcome.code:
        assert "no answer was kept (unfinished 6 of 6 prompts)" in outcome.err
    else:
        assert "fairlead train sft name=NAME model=sft demonstrations=dataset/best" in outcome.out


def test_rounds_name_the_file_they_wait_for(cli: Cli, project: Path) -> None:
    words = [
        "name=asked",
        "model=sft",
        f"prompts={project / 'data' / 'prompts.jsonl'}",
        "n=2",
        "max_new_tokens=4",
    ]
    outcome = cli("train", "rounds", *words, "--project", project)
    assert outcome.code == 130
    assert "Round 1 of 3 waits for people" in outcome.err and "asked-1.jsonl" in outcome.err


def test_a_damaged_model_is_refused_before_a_run_opens(cli: Cli, project: Path, tmp_path: Path) -> None:
    """In every role: the model to train, rewards, the probe, the judge, and the model to examine."""
    good, language = tmp_path / "good", tmp_path / "language"
    without_manifest = shutil.ignore_patterns("manifest.json")
    shutil.copytree(project / "artifacts" / "model" / "base", language, ignore=without_manifest)
    shutil.copytree(language, good)
    (good / "model.safetensors").write_bytes(b"")
    damaged, weights = str(good), "model.safetensors: is empty"
    no_reward = "is no reward model: its weights have no head 'score'"
    prompts = "prompts=data/prompts.jsonl"
    rule = "reward=rule:length=1-9"
    sampling: list[str | Path] = ["--prompts", project / "data" / "prompts.jsonl", "--max-new-tokens", "2"]
    rows: list[str | Path] = ["--comparisons", project / "data" / "comparisons.jsonl"]
    cases: list[tuple[list[str | Path], str]] = [
        (["train", "sft", f"model={damaged}", "demonstrations=data/demonstrations.jsonl"], weights),
        (["train", "ppo", f"model={damaged}", rule, prompts], weights),
        (["train", "ppo", "model=base", f"reward={language}", prompts], no_reward),
        (["train", "grpo", "model=base", f"reward={damaged}", prompts], weights),
        (["train", "grpo", "model=base", rule, f"extra={{'{damaged}'=1.0}}", prompts], weights),
        (["train", "grpo", "model=base", rule, f"probe={language}", prompts], no_reward),
        (["train", "best-of-n", "model=base", f"reward={language}", prompts], no_reward),
        (["train", "rounds", "model=base", f"reward={language}", prompts], no_reward),
        (["train", "average", "a=base", f"b={damaged}"], weights),
        (["sample", damaged, *sampling, "--out", tmp_path / "out.jsonl"], weights),
        (["compare", "base", damaged, *sampling, "--judge", "rule:length=1-9"], weights),
        (["compare", "base", "sft", *sampling, "--judge", f"reward:{language}"], no_reward),
        (["eval", str(language), *rows], no_reward),
    ]
    runs = sorted((project / "runs").iterdir())
    for words, message in cases:
        name = ["name=damaged"] if words[0] == "train" else []
        refused = cli(*words, *name, "--project", project)
        assert refused.code == 1 and refused.err.startswith("ModelError  "), (words, refused.err)
        assert message in refused.err and "starting" not in refused.err, (words, refused.err)
        made = [run.name for run in sorted((project / "runs").iterdir()) if run not in runs]
        assert all(run.startswith("sample-base") for run in made), words  # compare's first model answered


def test_a_report_says_that_the_folder_of_its_run_is_missing(cli: Cli, project: Path, tmp_path: Path) -> None:
    copy = tmp_path / "project"
    shutil.copytree(project, copy, ignore=shutil.ignore_patterns("runs"))
    refused = cli("report", "sft", "--project", copy)
    assert refused.code == 1
    assert "made this artifact, but its folder is missing from" in refused.err
