"""`fairlead report`: the page of a run."""

import html
from pathlib import Path

from fairlead.cli.output import visible
from fairlead.data.sampled_answers import read_sampled_answers
from outcome import Cli


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
    result = cli("report", "shown", "--out", tmp_path / "shown.html", "--project", project, "--json")
    assert result.code == 0
    assert result.json["cost"].keys() == {"time", "tokens", "peak memory"}
    page = html.unescape((tmp_path / "shown.html").read_text(encoding="utf-8"))
    assert result.json["run"] in page and "file:data/demonstrations.jsonl" in page
    for model in ("base", "shown"):
        row = read_sampled_answers(tmp_path / f"{model}.jsonl")[0]
        assert row.prompt[0].content in page and visible(row.texts[0]) in page


def test_report_of_a_run_goes_into_its_folder(cli: Cli, project: Path) -> None:
    result = cli("report", "reward-reward", "--project", project, "--json")
    assert result.code == 0
    assert Path(result.json["report"]) == project / "runs" / result.json["run"] / "report.html"


def test_report_of_an_unknown_run_lists_the_known(cli: Cli, project: Path) -> None:
    result = cli("report", "nothing", "--project", project)
    assert result.code == 1
    assert result.err.startswith("ProjectError  'nothing': no run has this id")
