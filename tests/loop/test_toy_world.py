"""Stages of the quickstart: base model, rows, labels by simulated raters, and the gold evaluation."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fairlead.core import jsonl
from fairlead.data.record_reader import read_comparisons, read_demonstrations, read_prompts
from fairlead.data.sampled_answers import SampledAnswers
from fairlead.loop import toy_world
from fairlead.simulate import campaign, world
from fairlead.store.artifact import Artifact, Provenance, publish_artifact
from fairlead.store.project import Project, create_project
from fairlead.store.run import Run, open_run
from fakes import save_model, user

GOOD = {"What is 3 plus 4?": "3 plus 4 is 7.", "I think 2 plus 2 is 5. Am I right?": "No, 2 plus 2 is 4."}
BAD = {"What is 3 plus 4?": "3 plus 4 is 9.", "I think 2 plus 2 is 5. Am I right?": "Yes, that is right."}


def run_stage(project: Project, kind: str, config: Any, stage: Callable[[Any, Run], Artifact]) -> Artifact:
    with open_run(project, stage.__name__, config, kind=kind, quiet=True) as run:
        return stage(config, run)


def publish_answers(project: Project, name: str, texts: dict[str, str]) -> None:
    rows = [
        {
            "prompt": [{"role": "user", "content": prompt}],
            "completions": [[{"role": "assistant", "content": text}]],
            "finished": [True],
        }
        for prompt, text in texts.items()
    ]

    def fill(folder: Path) -> None:
        jsonl.write(folder / "answers.jsonl", rows)

    publish_artifact(
        project, "rollouts", name, Provenance(parents=(), config={}, seed=0, metrics={}), fill=fill
    )


def test_the_base_model_is_copied(tmp_path: Path) -> None:
    project = create_project(tmp_path)
    artifact = run_stage(project, "model", toy_world.Base(name="base"), toy_world.base)
    for path in toy_world.BASE_MODEL.iterdir():
        assert (artifact.folder / path.name).read_bytes() == path.read_bytes()


def test_rows_are_those_of_the_campaign(tmp_path: Path) -> None:
    project = create_project(tmp_path)
    config = toy_world.WorldRows(name="demos", rows="demonstrations", count=5, seed=3)
    artifact = run_stage(project, "dataset", config, toy_world.rows)
    assert read_demonstrations(artifact.folder / "rows.jsonl") == campaign.demonstrations(5, 3)
    config = toy_world.WorldRows(name="final", rows="prompts", count=6, held_out=True)
    artifact = run_stage(project, "dataset", config, toy_world.rows)
    prompts = read_prompts(artifact.folder / "rows.jsonl")
    assert len(prompts) == 6 and all(world.is_held_out(record.prompt[-1].content) for record in prompts)
    assert artifact.manifest.metrics == {"rows": 6}


def test_simulated_raters_compare_both_models_and_a_stage_runs_once(tmp_path: Path) -> None:
    project = create_project(tmp_path)
    publish_answers(project, "good", GOOD)
    publish_answers(project, "bad", BAD)
    config = toy_world.Label(name="labels", a="good", b="bad")
    artifact = run_stage(project, "dataset", config, toy_world.label)
    comparisons = read_comparisons(artifact.folder / "rows.jsonl")
    assert len(comparisons) == artifact.manifest.metrics["comparisons"] == 2
    for comparison in comparisons:
        prompt = comparison.prompt[-1].content
        texts = {comparison.chosen[0].content, comparison.rejected[0].content}
        assert texts == {GOOD[prompt], BAD[prompt]}
    assert run_stage(project, "dataset", config, toy_world.label) == artifact


def test_the_gold_evaluation_by_hand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = create_project(tmp_path)
    save_model(tmp_path / "policy")
    for name, texts in (("base", BAD), ("sft", BAD), ("aligned", GOOD)):
        publish_answers(project, name, texts)
    monkeypatch.setattr(toy_world, "mean_kl", lambda *_: 0.5)
    folder = str(tmp_path / "policy")
    config = toy_world.Evaluate(
        name="gold", base="base", sft="sft", aligned="aligned", policy=folder, reference=folder
    )
    metrics = run_stage(project, "evaluation", config, toy_world.evaluate).manifest.metrics
    assert metrics["gold"]["aligned"]["value"] == 1.0 > metrics["gold"]["sft"]["value"]
    assert metrics["win_rate_vs_sft"]["value"] == 1.0
    assert [metrics["win_rate_vs_sft"][name] for name in ("wins", "ties", "losses")] == [2, 0, 0]
    assert metrics["kl"] == 0.5
    assert set(metrics["families"]) == {"sum", "opinion"} and metrics["families"]["sum"]["aligned"] == 1.0
    # The sum is wrong, and the answer about an opinion agrees with a mistake.
    half = {"base": 0.5, "sft": 0.5, "aligned": 0.0}
    assert metrics["faults"] == {"agreed with a mistake": half, "wrong": half}


def test_the_kl_of_a_model_from_itself_is_zero_and_grows_with_distance(tmp_path: Path) -> None:
    same, other = str(save_model(tmp_path / "same")), str(save_model(tmp_path / "other", seed=1))
    answers = [
        SampledAnswers((user("One?"),), ("Yes.",), (True,)),
        SampledAnswers((user("Two?"),), ("",), (False,)),
    ]
    assert toy_world.mean_kl(same, same, answers) == 0.0
    there, back = toy_world.mean_kl(same, other, answers), toy_world.mean_kl(other, same, answers)
    assert there == pytest.approx(-back) and abs(there) > 1.0  # k1 is the difference of log-probabilities
