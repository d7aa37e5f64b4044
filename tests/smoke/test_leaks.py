"""Held-out prompts on which the starting model was trained are not examined at the end of training."""

import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from fairlead.core import jsonl
from fairlead.recipes import process_reward, reward, sft
from fairlead.store.project import Project
from fakes import project_with_base, train

SETTINGS: dict[str, Any] = {"model": "seen", "batch": 8, "lr": 3e-3, "warmup": 2, "rank": 0, "held_out": 0.3}


def make_seen(project: Project, rows: list[dict[str, Any]]) -> None:
    """A model that was trained on the prompts of these rows."""
    answer = [{"role": "assistant", "content": "Yes."}]
    jsonl.write(
        project.data / "seen.jsonl", [{"prompt": row["prompt"], "completion": answer} for row in rows]
    )
    train(
        project,
        sft,
        name="seen",
        model="base",
        demonstrations="data/seen.jsonl",
        rank=0,
        batch=8,
        held_out=0.0,
    )


@pytest.mark.parametrize(("recipe", "role"), [(reward, "comparisons"), (process_reward, "stepwise")])
def test_they_are_left_out_and_counted(tmp_path: Path, recipe: ModuleType, role: str) -> None:
    project = project_with_base(tmp_path)
    rows = [row for _, row in jsonl.read(project.data / f"{role}.jsonl")]
    make_seen(project, rows[: len(rows) // 2])
    made = train(project, recipe, **SETTINGS, name="judge", **{role: f"data/{role}.jsonl"})
    metrics = made.artifact.manifest.metrics
    number = metrics["left_out"]["held-out rows seen in training"]
    assert 0 < number < metrics["held_out"]
    report = json.loads((made.artifact.folder / "admission.json").read_text(encoding="utf-8"))
    assert report["leaks"]["rows"] == number and report["leaks"]["excluded"] is True
    assert report["accuracy"]["n"] < metrics["held_out"] or role == "stepwise"
    if role == "stepwise":
        assert report["held_out_prompts"] == metrics["held_out"] - number


def test_a_model_without_other_held_out_prompts_is_refused(tmp_path: Path) -> None:
    project = project_with_base(tmp_path)
    make_seen(project, [row for _, row in jsonl.read(project.data / "stepwise.jsonl")])
    made = train(project, process_reward, **SETTINGS, name="judge", stepwise="data/stepwise.jsonl")
    metrics = made.artifact.manifest.metrics
    assert metrics["verdict"] == "refuse" and "left_out" not in metrics
    assert metrics["leaks"]["rows"] == metrics["leaks"]["of"] == metrics["held_out"]
