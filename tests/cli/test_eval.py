"""`fairlead eval` on a reward model that three training steps taught to reward length alone."""

import json
import shutil
from pathlib import Path

import pytest

from fairlead.core import jsonl
from outcome import Cli

pytestmark = pytest.mark.slow


@pytest.fixture
def comparisons(project: Path) -> Path:
    return project / "data" / "comparisons.jsonl"


def test_training_wrote_its_own_report(project: Path) -> None:
    folder = project / "artifacts" / "reward-model" / "reward"
    report = json.loads((folder / "admission.json").read_text())
    manifest = json.loads((folder / "manifest.json").read_text())
    assert report["verdict"] == "refuse" and report["head"]["gap"] < 0.1
    assert manifest["metrics"]["verdict"] == "refuse" and "admission.json" in manifest["files"]
    assert manifest["metrics"]["accuracy"] == report["accuracy"]


def test_the_training_file_is_examined_on_its_held_out_side(
    cli: Cli, project: Path, comparisons: Path
) -> None:
    done = cli("eval", "reward", "--comparisons", comparisons, "--project", project, "--json")
    assert done.code == 0, done.err
    result = json.loads(done.out)
    manifest = json.loads((project / "artifacts" / "reward-model" / "reward" / "manifest.json").read_text())
    assert result["pairs"] == manifest["metrics"]["held_out"] < 24
    assert result["accuracy"] == manifest["metrics"]["accuracy"]
    assert result["head"] is None
    again = cli("eval", "reward", "--comparisons", comparisons, "--project", project, "--json")
    assert json.loads(again.out) == result
    assert cli("lineage", "verify", result["artifact"], "--project", project).code == 0
    shown = json.loads(cli("lineage", "show", result["artifact"], "--project", project, "--json").out)
    assert "reward-model/reward" in json.dumps(shown)


def test_the_verdict_is_told_and_the_gate_says_no(
    cli: Cli, project: Path, comparisons: Path, tmp_path: Path
) -> None:
    page = tmp_path / "page.html"
    told = cli("eval", "reward", "--comparisons", comparisons, "--project", project, "--out", page)
    assert told.code == 0 and "reward: refuse." in told.out and "length-only" in told.out
    assert "admission report" in page.read_text()
    gated = cli("eval", "reward", "--comparisons", comparisons, "--project", project, "--gate", "--json")
    assert gated.code == 3
    error = json.loads(gated.out)
    assert error["error"] == "GateRefused" and "length-only" in error["message"] and error["exit_code"] == 3


def test_a_folder_from_elsewhere_is_examined_on_another_file(
    cli: Cli, project: Path, comparisons: Path, tmp_path: Path
) -> None:
    outside = tmp_path / "theirs"
    shutil.copytree(
        project / "artifacts" / "reward-model" / "reward",
        outside,
        ignore=shutil.ignore_patterns("*manifest*", "admission*", "training_prompts*"),
    )
    other = tmp_path / "other.jsonl"
    jsonl.write(other, [row | {"family": "f"} for _, row in jsonl.read(comparisons)][:20])
    done = cli("eval", outside, "--comparisons", other, "--project", project, "--json")
    assert done.code == 0, done.err
    result = json.loads(done.out)
    assert result["pairs"] == 20 and {"by", "name", "accuracy"} == set(result["slices"][0])
    again = cli("eval", outside, "--comparisons", other, "--project", project, "--json")
    assert json.loads(again.out) == result  # to be examined does not make it another model
    assert result["verdict"] == "refuse"
    words = [f"reward={outside}", "name=paid", "model=base", "prompts=data/prompts.jsonl", "steps=1"]
    paid = cli("train", "ppo", *words, "--project", project)
    assert paid.code == 3 and f"{result['artifact']} refuses this reward model" in paid.err


def test_rows_of_the_training_file_are_refused_or_left_out_and_counted(
    cli: Cli, project: Path, comparisons: Path, tmp_path: Path
) -> None:
    """Case, white space and the name of the file do not matter."""
    rows = [row for _, row in jsonl.read(comparisons)]
    for row in rows:
        row["prompt"][-1]["content"] = "  " + row["prompt"][-1]["content"].upper()
    fresh = {**rows[0], "prompt": [{"role": "user", "content": "Never seen before?"}]}
    renamed = tmp_path / "fresh_rows.jsonl"
    jsonl.write(renamed, [*rows, fresh])
    words = ["eval", "reward", "--comparisons", renamed, "--project", project]
    refused = cli(*words, "--gate")
    assert refused.code == 1
    assert "prompts are among the training prompts of reward" in refused.err
    assert "--exclude-leaks" in refused.err and "fairlead data split" in refused.err
    counted = cli(*words, "--exclude-leaks", "--json").json
    assert counted["leaks"]["of"] == 25 and counted["leaks"]["excluded"] is True
    assert 0 < counted["leaks"]["rows"] == 25 - counted["pairs"]
    manifest = json.loads((project / "artifacts" / counted["artifact"] / "manifest.json").read_text())
    assert manifest["metrics"]["leaks"] == counted["leaks"]["rows"]
    told = cli(*words, "--exclude-leaks")
    number = counted["leaks"]["rows"]
    assert f"Seen in training: {number} of 25 rows, because reward was trained on" in told.out
    assert f"Left out: {number} pairs seen in training." in told.out
    assert manifest["metrics"]["left_out"] == {"pairs seen in training": number}
    page = (project / "runs" / manifest["run"] / "report.html").read_text(encoding="utf-8")
    assert f"Left out: {number} pairs seen in training." in page and "because reward was trained" in page


def test_rules_ties_and_things_that_are_no_reward_model_are_refused(
    cli: Cli, project: Path, comparisons: Path, tmp_path: Path
) -> None:
    rule = cli("eval", "rule:fairlead.simulate.gold", "--comparisons", comparisons, "--project", project)
    assert rule.code == 1 and "is a rule, not a model" in rule.err
    ties = tmp_path / "ties.jsonl"
    jsonl.write(ties, [row | {"tie": "good"} for _, row in jsonl.read(comparisons)])
    tied = cli("eval", "reward", "--comparisons", ties, "--project", project)
    assert tied.code == 1 and "are ties" in tied.err
    policy = cli("eval", "base", "--comparisons", comparisons, "--project", project)
    assert policy.code == 1 and "Name a reward-model" in policy.err


def test_the_report_of_its_run_comes_with_the_admission_page(cli: Cli, project: Path) -> None:
    done = cli("report", "reward-model/reward", "--project", project, "--json")
    assert done.code == 0, done.err
    pages = [Path(path) for path in json.loads(done.out)["wrote"]]
    assert [page.name for page in pages] == ["report.html", "admission.html"]
    assert "should not be used as a reward" in pages[1].read_text()


def test_a_process_reward_model_is_examined_by_its_pooled_steps(
    cli: Cli, project: Path, comparisons: Path, tmp_path: Path
) -> None:
    prompts = [
        [{"role": "user", "content": f"Say {word}."}]
        for word in ("red", "blue", "green", "fox", "dog", "cat", "seven", "story")
    ]
    rows = [
        {
            "prompt": prompt,
            "completions": ["Yes.", "No!", "Yes."][: 2 + i % 2],
            "labels": [True, False, True][: 2 + i % 2],
        }
        for i, prompt in enumerate(prompts)
    ]
    jsonl.write(tmp_path / "steps.jsonl", rows)
    words = [
        "name=verifier",
        "model=base",
        f"stepwise={tmp_path / 'steps.jsonl'}",
        "batch=4",
        "held_out=0.4",
        "rank=0",
    ]
    trained = cli("train", "process-reward", *words, "--project", project, "--json")
    assert trained.code == 0, trained.err
    assert trained.json["metrics"]["verdict"] == "refuse"
    assert "warning: admission: The model was examined on" in trained.err
    assert trained.json["refused"] and "refused" not in trained.err
    again = cli("train", "process-reward", *words, "--project", project)
    for reason in trained.json["refused"]:
        assert (again.out + again.err).count(reason) == 1
    assert (
        trained.json["next"] == "fairlead report reward-model/verifier"
    )  # to train with it would end with 3
    done = cli("eval", "verifier", "--comparisons", comparisons, "--project", project, "--json")
    assert done.code == 0, done.err
    assert done.json["not_finite"] == 0 and done.json["batches"]["gap"] < 0.01 and done.json["pairs"] == 24
    reported = cli("report", "reward-model/verifier", "--project", project, "--json")
    assert reported.code == 0, reported.err
    assert [Path(path).name for path in reported.json["wrote"]] == ["report.html"]
    assert cli("data", "check", tmp_path / "steps.jsonl").code == 0


def test_a_reward_model_without_a_template_is_given_one(
    cli: Cli, project: Path, comparisons: Path, tmp_path: Path
) -> None:
    bare = tmp_path / "bare"
    shutil.copytree(project / "artifacts" / "reward-model" / "reward", bare)
    for name in ("manifest.json", "admission.json", "training_prompts.json"):
        (bare / name).unlink()
    template = tmp_path / "mine.jinja"
    (bare / "chat_template.jinja").rename(template)
    rows = ["--comparisons", comparisons, "--project", project]
    refused = cli("eval", bare, *rows)
    assert refused.code == 1 and "or choose one with template.file" in refused.err
    given = cli("eval", bare, f"template.file={template}", *rows, "--json")
    assert given.code == 0, given.err
    shutil.copy(template, bare / "chat_template.jinja")
    assert cli("eval", bare, *rows, "--json").json["held_out_loss"] == given.json["held_out_loss"]
    twice = cli("eval", "reward", f"template.file={template}", *rows, "--exclude-leaks")
    assert twice.code == 1 and "has a chat template of its own" in twice.err
