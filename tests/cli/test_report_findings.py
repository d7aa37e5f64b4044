"""What stands at the top of a run's report: refusals and comparisons."""

import html
import json
import shutil
from pathlib import Path

from fairlead.cli.report_findings import refusals_of
from fairlead.core import jsonl
from fairlead.store.artifact import find_artifact
from fairlead.store.project import load_project
from outcome import Cli


def test_the_report_of_a_model_shows_its_comparisons_and_the_refusal_of_their_judge(
    cli: Cli, project: Path, tmp_path: Path
) -> None:
    """`compare` leads to this report."""
    copy = shutil.copytree(project, tmp_path / "project")
    shutil.rmtree(copy / "artifacts" / "evaluation", ignore_errors=True)  # those of other tests
    reward = copy / "artifacts" / "reward-model" / "reward"
    admission = json.loads((reward / "admission.json").read_text(encoding="utf-8"))
    admission |= {"verdict": "refuse", "reasons": ["No better than <length>."]}
    (reward / "admission.json").write_text(json.dumps(admission), encoding="utf-8")
    jsonl.write(
        tmp_path / "fresh.jsonl",
        [{"prompt": [{"role": "user", "content": f"What is {i}?"}]} for i in range(4)],
    )
    words = ["--prompts", tmp_path / "fresh.jsonl", "--max-new-tokens", "2", "--project", copy]
    judged = cli("compare", "sft", "base", *words, "--judge", "reward:reward", "--json")
    assert judged.code == 0, judged.err
    assert judged.json["judge_refused"] == {
        "by": "the admission report",
        "reasons": ["No better than <length>."],
    }
    assert judged.json["next"] == "fairlead report sft"
    assert judged.json["or"] == [f"fairlead report {judged.json['artifact']}"]
    rule = cli("compare", "base", "sft", *words, "--judge", "rule:length=1-5")
    assert rule.code == 0 and "refuses" not in rule.out
    for ref in ("sft", judged.json["artifact"]):
        report = cli("report", ref, "--project", copy, "--json")
        assert report.code == 0, report.err
        page = html.unescape(Path(report.json["report"]).read_text(encoding="utf-8"))
        top = page[: page.index("On this page")]
        newest, *older = report.json["comparisons"]
        assert [comparison["judge"] for comparison in older] == ["reward:reward"][: len(older)]
        assert (newest["judge"] == "rule:length=1-5") == (ref == "sft") == bool(older)
        assert "sft wins " in top and "Judge: reward:reward. Held-out prompts: " in top
        assert (
            "the admission report refuses the judge reward:reward, a reward model. No better than <l" in top
        )
    told = cli("report", "sft", "--project", copy).out
    assert f"{judged.json['artifact']}: sft wins " in told


def test_a_report_says_whose_refusal_it_shows(cli: Cli, project: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(project, tmp_path / "project")
    shutil.rmtree(copy / "artifacts" / "evaluation", ignore_errors=True)  # those of other tests
    reward = find_artifact(load_project(copy), "reward-model/reward")
    assert reward is not None
    path = reward.folder / "admission.json"
    admission = json.loads(path.read_text(encoding="utf-8")) | {"verdict": "refuse", "reasons": ["A coin."]}
    path.write_text(json.dumps(admission), encoding="utf-8")
    (own,) = refusals_of(reward, [])
    assert own.sentence == "The admission report refuses the reward model reward-model/reward:"
    assert own.reasons == ("A coin.",)
    event = {"event": "admission", "of": "reward", "by": "the admission report", "verdict": "refuse"}
    (used,) = refusals_of(None, [event, event])
    assert used.sentence == (
        "This run used the reward model reward as its reward, although the admission report refuses it."
    )
