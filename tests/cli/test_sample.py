"""`fairlead sample`: rows, names of artifacts, and refused outputs."""

import json
from pathlib import Path

import pytest

from fairlead.data.sampled_answers import read_sampled_answers
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
    result = cli(*words, "--project", project, "--json")
    assert result.code == 0
    rows = read_sampled_answers(out)
    assert len(rows) == 6 and all(len(row.texts) == 2 for row in rows)
    assert result.json["metrics"]["answers"] == 12 and result.json["made_before"] is False
    again = cli(*words, "--project", project, "--json")
    assert again.json["made_before"] is True and again.json["artifact"] == result.json["artifact"]


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
    result = cli("sample", "base", "--prompts", prompts, "--out", prompts, "--project", project)
    assert result.code == 1
    assert prompts.read_text(encoding="utf-8") == "the prompts"


def test_sample_overwrites_only_answers_that_the_project_keeps(
    cli: Cli, project: Path, tmp_path: Path
) -> None:
    rows = tmp_path / "rows.jsonl"
    rows.write_text("people's work", encoding="utf-8")
    words = ["sample", "base", "--prompts", project / "data" / "prompts.jsonl", "--max-new-tokens", "2"]
    words += ["--out", rows, "--project", project]
    refused = cli(*words)
    assert refused.code == 1 and "would be overwritten" in refused.err
    assert rows.read_text(encoding="utf-8") == "people's work"
    rows.unlink()
    assert cli(*words).code == 0
    assert cli(*words, "--seed", "8").code == 0  # the answers of seed 0 are still in their rollouts


def test_remedies_name_options_and_can_be_followed(cli: Cli, project: Path, tmp_path: Path) -> None:
    prompts, out = tmp_path / "prompts.jsonl", tmp_path / "answers.jsonl"
    rows = [{"prompt": [{"role": "user", "content": text}]} for text in ("Why?", "word " * 3000)]
    prompts.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    common = ["--prompts", prompts, "--max-new-tokens", "2", "--project", project]
    sample = ["sample", "base", *common, "--out", out]
    compare = ["compare", "sft", "base", *common, "--judge", "rule:length=1-9"]
    for words in (sample, compare):
        refused = cli(*words)
        assert refused.code == 1
        assert "Add --too-long drop to keep 1, --too-long truncate-prompt to keep 2 of the" in refused.err
        assert "or lower --max-new-tokens." in refused.err and "too_long" not in refused.err
        followed = cli(*words, "--too-long", "drop")
        assert followed.code == 0 and "Left out: 1 prompt too long." in followed.out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--top-p", "2"], "command line: --top-p = 2.0: must lie in (0, 1]."),
        (["--min-p", "3"], "command line: --min-p = 3.0: must lie in [0, 1]"),
        (["--too-long", "cut"], "command line: --too-long = 'cut': input should be 'error', 'drop'"),
        (["--stop", ""], "command line: --stop = ('',): must not contain"),
        (["--temperature", "inf"], "command line: --temperature = inf: must be a finite number."),
    ],
)
def test_a_wrong_value_is_named_by_its_option(
    cli: Cli, project: Path, tmp_path: Path, options: list[str], message: str
) -> None:
    prompts = project / "data" / "prompts.jsonl"
    words = ["--prompts", prompts, "--out", tmp_path / "a.jsonl", "--project", project]
    assert cli("sample", "base", *words, *options).err.startswith(f"ConfigError  {message}")


def test_an_input_that_is_not_there_is_named_by_its_option(cli: Cli, project: Path, tmp_path: Path) -> None:
    words = ["--out", tmp_path / "a.jsonl", "--project", project]
    missing_rows = cli("sample", "base", "--prompts", "none.jsonl", *words)
    assert missing_rows.err.startswith("ProjectError  --prompts = 'none.jsonl': no such dataset")
    missing_model = cli("sample", "none", "--prompts", project / "data" / "prompts.jsonl", *words)
    assert missing_model.err.startswith("ProjectError  MODEL = 'none': no such model")
