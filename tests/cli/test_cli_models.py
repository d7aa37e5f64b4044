"""What is done with models: sample, compare, chat, export, report, lineage."""

import html
import io
import json
import shutil
from pathlib import Path

import pytest

from fairlead.cli.output import visible
from fairlead.data.sampled_answers import read_sampled_answers
from fairlead.model.policy import load_policy
from fairlead.model.reward_model import load_reward_model
from outcome import Cli


def test_sample_writes_one_row_per_prompt(cli: Cli, project: Path, tmp_path: Path) -> None:
    out = tmp_path / "answers.jsonl"
    words = [
        "sample",
        "sft",
        "--prompts",
        project / "data" / "prompts.jsonl",
        "-n",
        "2",
        "--max-new-tokens",
        "4",
        "--out",
        out,
    ]
    said = cli(*words, "--project", project, "--json")
    assert said.code == 0
    rows = read_sampled_answers(out)
    assert len(rows) == 6 and all(len(row.texts) == 2 for row in rows)
    assert said.json["metrics"]["answers"] == 12 and said.json["made_before"] is False
    again = cli(*words, "--project", project, "--json")
    assert again.json["made_before"] is True and again.json["artifact"] == said.json["artifact"]


def test_sample_of_changed_prompts_gets_a_name_of_its_own(cli: Cli, project: Path, tmp_path: Path) -> None:
    prompts, out = tmp_path / "prompts.jsonl", tmp_path / "answers.jsonl"
    names = []
    for text in ("One?", "Two?"):
        prompts.write_text(
            json.dumps({"prompt": [{"role": "user", "content": text}]}) + "\n", encoding="utf-8"
        )
        said = cli(
            "sample",
            "base",
            "--prompts",
            prompts,
            "--max-new-tokens",
            "2",
            "--out",
            out,
            "--project",
            project,
            "--json",
        )
        names.append(said.json["artifact"])
    assert names[0] != names[1]
    assert read_sampled_answers(out)[0].prompt[0].content == "Two?"


def test_sample_can_end_answers_at_a_text(cli: Cli, project: Path, tmp_path: Path) -> None:
    out, prompts = tmp_path / "answers.jsonl", project / "data" / "prompts.jsonl"
    words = [
        "sample",
        "base",
        "--prompts",
        prompts,
        "--max-new-tokens",
        "12",
        "--out",
        out,
        "--project",
        project,
    ]
    assert cli(*words, "--stop", "a", "--stop", "e", "--min-p", "0.01").code == 0
    texts = [text for row in read_sampled_answers(out) for text in row.texts]
    assert any(c in text for text in texts for c in "ae")
    assert cli(*words, "--stop", "").code == 1


def test_sample_does_not_overwrite_its_prompts(cli: Cli, project: Path, tmp_path: Path) -> None:
    prompts = tmp_path / "prompts.jsonl"
    prompts.write_text("the prompts", encoding="utf-8")
    said = cli("sample", "base", "--prompts", prompts, "--out", prompts, "--project", project)
    assert said.code == 1
    assert prompts.read_text(encoding="utf-8") == "the prompts"


def test_a_model_that_is_not_there_gets_a_suggestion(cli: Cli, project: Path, tmp_path: Path) -> None:
    prompts = project / "data" / "prompts.jsonl"
    said = cli("sample", "bose", "--prompts", prompts, "--out", tmp_path / "a.jsonl", "--project", project)
    assert said.code == 1
    assert said.err.startswith("ProjectError  model = 'bose'") and 'Did you mean "base"?' in said.err
    assert not (tmp_path / "a.jsonl").exists()


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
    said = cli("compare", *words, "--project", project, "--json")
    assert said.code == 0
    evaluation = project / "artifacts" / said.json["artifact"]
    rows = [
        json.loads(line) for line in (evaluation / "scores.jsonl").read_text(encoding="utf-8").splitlines()
    ]
    even = [(len(row["a"]) % 2 == 0, len(row["b"]) % 2 == 0) for row in rows]
    rate = said.json["win_rate_a"]
    assert rate["n"] == 6 and (rate["wins"], rate["losses"]) == (
        even.count((True, False)),
        even.count((False, True)),
    )
    assert rate["low"] <= rate["value"] <= rate["high"]
    assert cli("compare", *words, "--project", project, "--json").json["artifact"] == said.json["artifact"]


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
    said = cli("compare", *words, "--project", project)
    assert said.code == 0
    assert "of 6 prompts against base:" in said.out and "ties count half" in said.out


@pytest.mark.parametrize("judge", ["http://localhost:1/v1", "people", "reward:", "reward"])
def test_a_judge_that_does_not_exist_is_told_what_does(cli: Cli, project: Path, judge: str) -> None:
    said = cli(
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
    assert said.code == 1
    assert said.err.startswith(f"ConfigError  --judge {judge}: no such judge. Judges are reward:NAME")


def test_chat_answers_each_line_and_can_forget(
    cli: Cli, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["chat", "sft", "--max-new-tokens", "4", "--temperature", "0", "--project", project]
    monkeypatch.setattr("sys.stdin", io.StringIO("Hi\n\nHi\n/reset\nHi\n/quit\nnever said\n"))
    turns = cli(*words, "--json").json["turns"]
    assert [turn["user"] for turn in turns] == ["Hi", "Hi", "Hi"]
    assert turns[0] == turns[2]  # at temperature 0, and with the history forgotten
    monkeypatch.setattr("sys.stdin", io.StringIO("Hi\n"))
    said = cli(*words)
    assert said.code == 0
    assert said.out == turns[0]["assistant"] + "\n"


def test_chat_says_when_the_context_is_full(cli: Cli, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("ha " * 300 + "\nHi <|end|>\n"))
    said = cli("chat", "base", "--max-new-tokens", "4", "--project", project)
    assert (said.code, said.out) == (0, "")
    assert "filled the model's 256 tokens" in said.err and "control token" in said.err


def test_chat_outside_of_a_project_takes_a_folder(
    cli: Cli, project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.stdin", io.StringIO("Hi\n"))
    assert cli("chat", project / "artifacts" / "model" / "base", "--max-new-tokens", "2").code == 0
    said = cli("chat", "base")
    assert said.code == 1
    assert said.err.startswith("ProjectError  'base': no such folder, and ")


def test_answer_takes_a_line_and_gives_a_line(
    cli: Cli, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hello, long = (
        {"messages": [{"role": "user", "content": text}], "max_tokens": 4, "temperature": 0}
        for text in ("Hi", "ha " * 300)
    )
    monkeypatch.setattr(
        "sys.stdin", io.StringIO("".join(json.dumps(asked) + "\n" for asked in (hello, long, hello)))
    )
    said = cli("answer", "sft", "--project", project)
    first, full, again = (json.loads(line) for line in said.out.splitlines())
    assert said.code == 0 and first == again and set(first) == {"text", "finished"}
    assert "filled the model's 256 tokens" in full["error"]


def test_export_copies_a_model_without_its_manifest(cli: Cli, project: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert cli("export", "base", "--out", out, "--project", project).code == 0
    source = project / "artifacts" / "model" / "base"
    assert not (out / "manifest.json").exists()
    assert (out / "model.safetensors").read_bytes() == (source / "model.safetensors").read_bytes()
    assert load_policy(str(out)).text([]) == ""


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
    said = cli(
        *export,
        "--out",
        tmp_path / "kept",
        "--keep-rounding",
        "--prompts",
        project / "data" / "prompts.jsonl",
        "--json",
    )
    assert said.code == 0 and abs(said.json["merge_gap"]["kl"]) < 1e-6 < said.json["merge_gap"]["num_tokens"]
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
        (["base", "--merge", "--keep-rounding"], "say how an adapter is merged"),
        (["sft", "--keep-rounding"], "Add --merge"),
        (["sft", "--merge", "--keep-rounding"], "no rounding to keep"),
        (["sft", "--prompts", "prompts.jsonl"], "Add --merge"),
    ],
)
def test_export_refuses_options_that_would_do_nothing(
    cli: Cli, project: Path, tmp_path: Path, words: list[str], remedy: str
) -> None:
    said = cli("export", *words, "--out", tmp_path / "out", "--project", project)
    assert said.code == 1 and remedy in said.err
    assert not (tmp_path / "out").exists()


def test_export_takes_reward_models_too(cli: Cli, project: Path, tmp_path: Path) -> None:
    assert cli("export", "reward", "--out", tmp_path / "out", "--project", project).code == 0
    before, after = (
        load_reward_model(str(each))
        for each in (project / "artifacts" / "reward-model" / "reward", tmp_path / "out")
    )
    assert (before.scale.mean, before.scale.std) == (after.scale.mean, after.scale.std)


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
        "lora_rank=4",
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
    said = cli("export", "base", "--out", tmp_path, "--project", project)
    assert said.code == 1
    assert [path.name for path in tmp_path.iterdir()] == ["kept.txt"]


def test_report_shows_answers_before_and_after_training(cli: Cli, project: Path, tmp_path: Path) -> None:
    rows, prompts = project / "data" / "demonstrations.jsonl", project / "data" / "prompts.jsonl"
    assert (
        cli(
            "train",
            "sft",
            "name=shown",
            "model=base",
            f"demonstrations={rows}",
            "batch=24",
            "held_out=0",
            "--project",
            project,
        ).code
        == 0
    )
    for model in ("base", "shown"):
        out = ["--out", tmp_path / f"{model}.jsonl", "--project", project]
        assert (
            cli("sample", model, "--prompts", prompts, "--max-new-tokens", "3", "--seed", "7", *out).code == 0
        )
    said = cli("report", "shown", "--out", tmp_path / "shown.html", "--project", project, "--json")
    assert said.code == 0
    assert said.json["cost"].keys() == {"time", "tokens", "peak memory"}
    page = html.unescape((tmp_path / "shown.html").read_text(encoding="utf-8"))
    assert said.json["run"] in page and "file:data/demonstrations.jsonl" in page
    for model in ("base", "shown"):
        row = read_sampled_answers(tmp_path / f"{model}.jsonl")[0]
        assert row.prompt[0].content in page and visible(row.texts[0]) in page


def test_report_of_a_run_goes_into_its_folder(cli: Cli, project: Path) -> None:
    said = cli("report", "reward-reward", "--project", project, "--json")
    assert said.code == 0
    assert Path(said.json["report"]) == project / "runs" / said.json["run"] / "report.html"


def test_report_of_an_unknown_run_lists_the_known(cli: Cli, project: Path) -> None:
    said = cli("report", "nothing", "--project", project)
    assert said.code == 1
    assert said.err.startswith("ProjectError  'nothing': no run has this id")


def test_lineage_leads_back_to_the_first_file(cli: Cli, project: Path) -> None:
    said = cli("lineage", "show", "sft", "--project", project)
    assert said.code == 0
    assert [line.strip().split("  ")[0] for line in said.out.splitlines()[:4]] == [
        "model/sft",
        "demonstrations: file:data/demonstrations.jsonl",
        "model: model/base",
        "documents: file:data/documents.jsonl",
    ]
    nodes = cli("lineage", "show", "sft", "--project", project, "--json").json["nodes"]
    assert {node["name"]: node["status"] for node in nodes} == {
        "model/sft": "present",
        "file:data/demonstrations.jsonl": "outside",
        "model/base": "present",
        "file:data/documents.jsonl": "outside",
    }


def test_verify_exits_1_where_a_file_was_changed(cli: Cli, project: Path, tmp_path: Path) -> None:
    assert cli("lineage", "verify", "--project", project, "--json").json == {
        "artifact": None,
        "ok": True,
        "problems": [],
        "read": [str(project / "artifacts")],
        "wrote": [],
        "next": None,
    }
    changed = project / "artifacts" / "model" / "base" / "generation_config.json"
    before = changed.read_bytes()
    changed.write_bytes(before + b"\n")
    said = cli("lineage", "verify", "sft", "--project", project)
    as_json = cli("lineage", "verify", "sft", "--project", project, "--json")
    changed.write_bytes(before)
    assert said.code == 1
    assert "model/base: generation_config.json was changed." in said.out
    assert as_json.code == 1 and as_json.json["ok"] is False


def test_commands_outside_of_a_project_say_how_to_make_one(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    said = cli("lineage", "verify")
    assert said.code == 1
    assert "Make one here with `fairlead init .`" in said.err


def test_init_twice_changes_nothing(cli: Cli, tmp_path: Path) -> None:
    assert cli("init", tmp_path / "p", "--json").json["project"] == str(tmp_path / "p")
    said = cli("init", tmp_path / "p")
    assert said.code == 1
    assert "already a project" in said.err


def test_quickstart_refuses_a_folder_of_something_else(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "kept.txt").write_text("kept", encoding="utf-8")
    said = cli("quickstart", "--out", tmp_path)
    assert said.code == 1
    assert said.err.startswith(f"ProjectError  {tmp_path}: is not empty")
