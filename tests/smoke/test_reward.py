import json
import statistics
from pathlib import Path
from typing import Any

import pytest
from pytest import approx

from fairlead.core import jsonl
from fairlead.data.parsing import parse_row
from fairlead.data.records import to_row
from fairlead.data.row_problem import RowLocation
from fairlead.data.split import split_by_prompt
from fairlead.eval import admission_verdict
from fairlead.model.reward_model import load_reward_model
from fairlead.model.scalar_model import ScalarModel
from fairlead.recipes import reward
from fakes import check_finished, project_with_base, train

SETTINGS = {
    "name": "judge",
    "model": "base",
    "comparisons": "data/comparisons.jsonl",
    "epochs": 3,
    "batch": 8,
    "lr": 3e-3,
    "warmup": 2,
    "held_out": 0.2,
    "measure_every": 5,
    "checkpoints.every": 7,
}


def score(model: ScalarModel, messages: list[dict[str, str]]) -> float:
    """From the text alone: the head on the last token."""
    text = model.tokenizer.apply_chat_template(messages, tokenize=False)
    ids = model.tokenizer(text, add_special_tokens=False, return_tensors="pt")["input_ids"]
    return model.network(ids).logits.item()  # type: ignore[no-any-return]


@pytest.mark.parametrize("rank", [0, 4])
def test_it_learns_and_shows_its_evidence(tmp_path: Path, rank: int) -> None:
    project = project_with_base(tmp_path)
    settings = SETTINGS | {"rank": rank}
    made = train(project, reward, **settings)
    losses = made.series("loss")
    assert len(losses) == 15
    assert losses[-1] < losses[0] / 4
    assert made.series("accuracy")[-1] == 1.0
    evidence = made.artifact.manifest.metrics
    assert evidence["train"] + evidence["held_out"] == 40 and evidence["ties"] == 0
    for name in ("accuracy", "length_only", "bag_of_words"):
        assert evidence[name]["n"] == evidence["held_out"]
        assert evidence[name]["low"] <= evidence[name]["value"] <= evidence[name]["high"]
    assert evidence["accuracy"]["value"] == 1.0
    assert evidence["held_out_loss"] < 0.3
    check_finished(project, reward, made, **settings)


def test_its_scale_is_that_of_the_answers_that_were_held_out(tmp_path: Path) -> None:
    project = project_with_base(tmp_path)
    made = train(project, reward, **SETTINGS | {"rank": 0})
    model = load_reward_model(str(made.artifact.folder))
    rows = [row for _, row in jsonl.read(project.data / "comparisons.jsonl")]
    _, held_out = split_by_prompt(
        [parse_row("comparison", row, RowLocation("comparisons.jsonl", i)) for i, row in enumerate(rows)],
        held_out=0.2,
        seed=0,
    )
    scores = [
        score(model, to_row(one)["prompt"] + to_row(one)[side])
        for one in held_out
        for side in ("chosen", "rejected")
    ]
    assert model.scale.mean == approx(statistics.mean(scores), abs=1e-4)
    assert model.scale.std == approx(statistics.stdev(scores), abs=1e-4)


@pytest.mark.parametrize("rank", [0, 4])
def test_it_is_examined_as_it_was_saved(tmp_path: Path, rank: int) -> None:
    project = project_with_base(tmp_path)
    made = train(project, reward, **SETTINGS | {"rank": rank})
    report = json.loads((made.artifact.folder / "admission.json").read_text())
    metrics = made.artifact.manifest.metrics
    assert report["accuracy"] == metrics["accuracy"] and report["pairs"] == metrics["held_out"]
    assert report["head"]["gap"] < 1e-3 < 0.01 < report["head"]["moved"]
    assert report["batches"]["gap"] < 1e-3
    assert report["verdict"] == metrics["verdict"] == "admit with warnings"  # right on all, of few prompts
    assert report["reasons"] == [] and any("examined on only" in warning for warning in report["warnings"])
    assert report["calibration"]["temperature"] == metrics["temperature"] > 0
    said = [row for _, row in jsonl.read(made.folder / "events.jsonl") if row["event"] == "admission"]
    assert [row["verdict"] for row in said] == [report["verdict"]]


@pytest.mark.parametrize(
    "settings", [{"precision": "bfloat16"}, {"precision": "pure-bfloat16"}, {"rank": 4, "base_bits": 4}]
)
def test_rounding_is_not_taken_for_another_head(tmp_path: Path, settings: dict[str, Any]) -> None:
    project = project_with_base(tmp_path)
    made = train(project, reward, **SETTINGS | {"rank": 0, "epochs": 1} | settings)
    report = json.loads((made.artifact.folder / "admission.json").read_text())
    assert report["head"]["gap"] < admission_verdict.MOST_MOVED_BY_SAVING / 2, report["head"]


def test_a_model_that_learned_nothing_is_refused(tmp_path: Path) -> None:
    project = project_with_base(tmp_path)
    made = train(project, reward, **SETTINGS | {"rank": 0, "lr": 1e-30, "epochs": 1})
    report = json.loads((made.artifact.folder / "admission.json").read_text())
    assert report["verdict"] == "refuse" and report["head"]["moved"] == 0
    assert "learned nothing" in report["reasons"][0]


def test_ties_are_left_out_and_counted(tmp_path: Path) -> None:
    project = project_with_base(tmp_path)
    rows = [row for _, row in jsonl.read(project.data / "comparisons.jsonl")]
    jsonl.write(
        project.data / "comparisons.jsonl",
        [row | ({"tie": "good"} if i % 4 == 0 else {}) for i, row in enumerate(rows)],
    )
    made = train(project, reward, **SETTINGS | {"rank": 0, "epochs": 1})
    evidence = made.artifact.manifest.metrics
    assert (evidence["ties"], evidence["train"] + evidence["held_out"]) == (10, 30)


def test_swapped_labels_teach_the_opposite(tmp_path: Path) -> None:
    project = project_with_base(tmp_path)
    rows = [row for _, row in jsonl.read(project.data / "comparisons.jsonl")]
    made = train(project, reward, **SETTINGS | {"rank": 0})
    swapped = [row | {"chosen": row["rejected"], "rejected": row["chosen"]} for row in rows]
    jsonl.write(project.data / "comparisons.jsonl", swapped)
    other = train(project, reward, **SETTINGS | {"rank": 0, "name": "swapped"})
    good, bad = load_reward_model(str(made.artifact.folder)), load_reward_model(str(other.artifact.folder))
    right = wrong = 0
    for row in rows:
        asked, chosen, rejected = row["prompt"], row["chosen"], row["rejected"]
        right += score(good, asked + chosen) > score(good, asked + rejected)
        wrong += score(bad, asked + chosen) > score(bad, asked + rejected)
    assert (right, wrong) == (40, 0)
