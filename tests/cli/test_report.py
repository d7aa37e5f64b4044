"""`fairlead report`: the page of a run."""

import dataclasses
import html
from pathlib import Path

import pytest

from fairlead.cli.output import visible
from fairlead.cli.report_findings import comparisons_of
from fairlead.core import jsonl
from fairlead.data.sampled_answers import read_sampled_answers
from fairlead.store.artifact import find_artifact
from fairlead.store.project import load_project
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


def test_a_run_is_found_by_its_path_and_a_rule_is_not_overwritten(
    cli: Cli, project: Path, tmp_path: Path
) -> None:
    run = cli("report", "reward-reward", "--project", project, "--json").json["run"]
    assert cli("report", project / "runs" / run, "--project", project, "--json").json["run"] == run
    rule = tmp_path / "rule.py"
    rule.write_text("def score(answer): return 1", encoding="utf-8")
    assert cli("report", "reward-reward", "--out", rule, "--project", project).code == 1
    assert rule.read_text(encoding="utf-8") == "def score(answer): return 1"


def test_report_of_an_unknown_run_lists_the_known(cli: Cli, project: Path) -> None:
    result = cli("report", "nothing", "--project", project)
    assert result.code == 1
    assert result.err.startswith("ProjectError  'nothing': no run has this id")


def test_the_report_of_a_comparison_shows_leaks_and_a_judge_that_paid(
    cli: Cli, project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = load_project(project)
    prompts = tmp_path / "prompts.jsonl"
    rows = [row for _, row in jsonl.read(project / "data" / "comparisons.jsonl")]
    jsonl.write(prompts, [{"prompt": row["prompt"]} for row in rows])
    words = ["--prompts", prompts, "--max-new-tokens", "2", "--project", project, "--json"]
    words += ["--judge", "reward:reward", "--exclude-leaks"]
    # sft was trained on all of these prompts, the judge on those that it did not hold out
    assert "nothing is left to evaluate" in cli("compare", "sft", "base", *words).err
    done = cli("compare", "base", "base", *words)
    assert done.code == 0, done.err
    number = done.json["leaks"]["rows"]
    assert number > 0 and done.json["left_out"] == {"prompts seen in training": number}
    report = cli("report", done.json["artifact"], "--project", project, "--json")
    page = html.unescape(Path(report.json["report"]).read_text(encoding="utf-8"))
    top = page[: page.index("On this page")]
    assert "base wins 50.0%" in top and f"Left out: {number} prompts seen in training." in top
    assert f"Seen in training: {number} of {len(rows)} rows, because the judge was trained" in top
    evaluation = find_artifact(opened, done.json["artifact"])
    assert evaluation is not None
    metrics = dict(evaluation.manifest.metrics) | {"judge_paid": ["a"]}
    paid = dataclasses.replace(evaluation, manifest=dataclasses.replace(evaluation.manifest, metrics=metrics))
    monkeypatch.setattr("fairlead.cli.report_findings.load_artifacts", lambda _: ([paid], []))
    (alone,) = comparisons_of(opened, paid)
    assert "This is no evidence of quality." in " ".join(alone.remarks)
