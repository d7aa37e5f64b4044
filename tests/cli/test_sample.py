"""`fairlead sample`: rows, names of artifacts, and refused outputs."""

import json
from pathlib import Path

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


def test_sample_of_changed_prompts_gets_a_name_of_its_own(cli: Cli, project: Path, tmp_path: Path) -> None:
    prompts, out = tmp_path / "prompts.jsonl", tmp_path / "answers.jsonl"
    names = []
    for text in ("One?", "Two?"):
        prompts.write_text(
            json.dumps({"prompt": [{"role": "user", "content": text}]}) + "\n", encoding="utf-8"
        )
        result = cli(
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
        names.append(result.json["artifact"])
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
    result = cli("sample", "base", "--prompts", prompts, "--out", prompts, "--project", project)
    assert result.code == 1
    assert prompts.read_text(encoding="utf-8") == "the prompts"
