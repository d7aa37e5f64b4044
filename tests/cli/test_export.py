"""`fairlead export`: plain folders, adapters and merging."""

import json
import shutil
from pathlib import Path

import pytest
from transformers import AutoTokenizer

from fairlead.model.policy import load_policy
from fairlead.model.reward_model import load_reward_model
from outcome import Cli


def test_export_copies_a_model_without_its_manifest(cli: Cli, project: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert cli("export", "base", "--out", out, "--project", project).code == 0
    source = project / "artifacts" / "model" / "base"
    assert not (out / "manifest.json").exists()
    assert (out / "model.safetensors").read_bytes() == (source / "model.safetensors").read_bytes()
    assert load_policy(str(out)).text([]) == ""


def test_export_does_not_write_into_a_model(cli: Cli, project: Path, tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    assert cli("export", "base", "--out", plain, "--project", project).code == 0
    for model, folder in (("base", project / "artifacts" / "model" / "sft"), (plain, plain)):
        result = cli("export", model, "--out", folder / "copy", "--project", project)
        assert result.code == 1 and "is inside the" in result.err
        assert not (folder / "copy").exists()


def test_export_of_an_adapter_names_its_base_or_merges_it(cli: Cli, project: Path, tmp_path: Path) -> None:
    beside, merged = tmp_path / "beside", tmp_path / "merged"
    assert cli("export", "sft", "--out", beside, "--project", project, "--json").json["adapter"] is True
    assert (
        cli("export", "sft", "--out", merged, "--merge", "--project", project, "--json").json["merged"]
        is True
    )
    settings = json.loads((beside / "adapter_config.json").read_text(encoding="utf-8"))
    assert settings["base_model_name_or_path"] == str((project / "artifacts" / "model" / "base").resolve())
    assert not (merged / "adapter_config.json").exists() and (merged / "model.safetensors").exists()
    weights = [load_policy(str(folder)).network.state_dict() for folder in (beside, merged)]
    assert weights[0].keys() == weights[1].keys()
    assert all(bool((weights[0][name] == weights[1][name]).all()) for name in weights[0])


def test_export_merges_an_adapter_on_four_bits_into_either_base(
    cli: Cli, project: Path, tmp_path: Path
) -> None:
    rows = project / "data" / "demonstrations.jsonl"
    words = [
        "train",
        "sft",
        "name=qlora",
        "model=base",
        f"demonstrations={rows}",
        "batch=24",
        "held_out=0",
        "base_bits=4",
    ]
    assert cli(*words, "--project", project).code == 0
    export = ["export", "qlora", "--merge", "--project", project]
    record = project / "artifacts" / "model" / "qlora" / "quantised_base.json"
    before = load_policy(str(record.parent)).network.state_dict()
    result = cli(
        *export,
        "--out",
        tmp_path / "kept",
        "--keep-rounding",
        "--prompts",
        project / "data" / "prompts.jsonl",
        "--json",
    )
    assert (
        result.code == 0
        and abs(result.json["merge_gap"]["kl"]) < 1e-6 < result.json["merge_gap"]["num_tokens"]
    )
    after = load_policy(str(tmp_path / "kept")).network.state_dict()
    assert all(bool((before[name] == after[name]).all()) for name in before)
    accepted = cli(
        *export, "--out", tmp_path / "full", "--json"
    )  # untrained as it is, rounding hardly moves it
    assert accepted.code == 0 and 1e-7 < accepted.json["merge_gap"]["kl"] < 0.02
    assert any(
        bool((before[name] != value).any())
        for name, value in load_policy(str(tmp_path / "full")).network.state_dict().items()
    )


@pytest.mark.parametrize(
    "words, remedy",
    [
        (["base", "--merge", "--keep-rounding"], "apply to merging an adapter"),
        (["sft", "--keep-rounding"], "Add --merge"),
        (["sft", "--merge", "--keep-rounding"], "no rounding to keep"),
        (["sft", "--prompts", "prompts.jsonl"], "Add --merge"),
    ],
)
def test_export_refuses_options_that_would_do_nothing(
    cli: Cli, project: Path, tmp_path: Path, words: list[str], remedy: str
) -> None:
    result = cli("export", *words, "--out", tmp_path / "out", "--project", project)
    assert result.code == 1 and remedy in result.err
    assert not (tmp_path / "out").exists()


def test_export_takes_reward_models_too(cli: Cli, project: Path, tmp_path: Path) -> None:
    assert cli("export", "reward", "--out", tmp_path / "out", "--project", project).code == 0
    before, after = (
        load_reward_model(str(each))
        for each in (project / "artifacts" / "reward-model" / "reward", tmp_path / "out")
    )
    assert (before.scale.mean, before.scale.std) == (after.scale.mean, after.scale.std)


def test_export_warns_of_a_reward_model_that_others_read_at_another_token(
    cli: Cli, project: Path, tmp_path: Path
) -> None:
    source = project / "artifacts" / "reward-model" / "reward"
    outcome = cli("export", source, "--out", tmp_path / "good", "--project", project)
    assert outcome.code == 0 and "another token" not in outcome.out + outcome.err
    for name, value in (("pad", None), ("line break", "chat_template.jinja")):
        old = tmp_path / name
        shutil.copytree(source, old)
        if value is None:  # the padding token ends answers
            config = json.loads((old / "config.json").read_text())
            config["pad_token_id"] = AutoTokenizer.from_pretrained(old).eos_token_id
            (old / "config.json").write_text(json.dumps(config))
        else:
            template = (old / value).read_text()
            (old / value).write_text(template + "{{ '' if add_generation_prompt else '\n' }}")
        outcome = cli("export", old, "--out", tmp_path / f"{name}-out", "--project", project)
        assert outcome.code == 0 and "at another token than Fairlead" in outcome.out + outcome.err


def test_export_leaves_a_reward_models_adapter_behind_and_nothing_else(
    cli: Cli, project: Path, tmp_path: Path
) -> None:
    rows = project / "data" / "comparisons.jsonl"
    words = [
        "train",
        "reward",
        "name=judge",
        "model=base",
        f"comparisons={rows}",
        "batch=8",
        "held_out=0.2",
        "rank=4",
    ]
    assert cli(*words, "--project", project).code == 0
    source = project / "artifacts" / "reward-model" / "judge"
    assert (source / "adapter" / "adapter_config.json").is_file()
    assert cli("export", "judge", "--out", tmp_path / "out", "--project", project).code == 0
    assert not (tmp_path / "out" / "adapter").exists() and (tmp_path / "out" / "model.safetensors").is_file()
    foreign = (
        tmp_path / "foreign"
    )  # a model of somebody's own, with a folder that only happens to be called so
    shutil.copytree(tmp_path / "out", foreign)
    (foreign / "adapter").mkdir()
    (foreign / "adapter" / "notes.txt").write_text("kept")
    assert cli("export", foreign, "--out", tmp_path / "again", "--project", project).code == 0
    assert (tmp_path / "again" / "adapter" / "notes.txt").read_text() == "kept"


def test_export_does_not_write_into_a_folder_that_holds_something(
    cli: Cli, project: Path, tmp_path: Path
) -> None:
    (tmp_path / "kept.txt").write_text("kept", encoding="utf-8")
    result = cli("export", "base", "--out", tmp_path, "--project", project)
    assert result.code == 1
    assert [path.name for path in tmp_path.iterdir()] == ["kept.txt"]


def test_a_merge_saves_the_template_that_was_chosen(cli: Cli, project: Path, tmp_path: Path) -> None:
    adapter = tmp_path / "adapter"
    assert cli("export", "sft", "--out", adapter, "--project", project).code == 0
    (adapter / "chat_template.jinja").unlink()
    command = ("export", adapter, "--merge", "--out", tmp_path / "merged", "--project", project)
    refused = cli(*command)
    assert refused.code == 1 and "the tokenizer has no chat template" in refused.err
    merged = cli(*command, "template.file=plain")
    assert merged.code == 0, merged.err
    assert "Assistant:" in (tmp_path / "merged" / "chat_template.jinja").read_text(encoding="utf-8")
