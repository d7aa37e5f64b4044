"""The prompts of training data, stored with artifacts or read again from the data of older ones."""

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from fairlead.core import jsonl
from fairlead.core.config import DatasetRef, ModelRef, Ref, RewardModelRef
from fairlead.core.errors import ProjectError
from fairlead.data.prompt_digest import prompt_digest
from fairlead.store.artifact import Artifact, load_artifact
from fairlead.store.project import Project, create_project
from fairlead.store.resolve_inputs import resolve_input
from fairlead.store.run import open_run
from fairlead.train import training_prompts
from fairlead.train.settings import Data
from fairlead.train.training_prompts import FILE, TrainingPrompts
from fakes import user


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    name: str
    model: ModelRef = ""
    reward: RewardModelRef = ""
    demonstrations: DatasetRef = ""
    comparisons: DatasetRef = ""
    prompts: DatasetRef = ""
    replay: DatasetRef = ""
    probe: DatasetRef = ""
    data: Data = Data()
    seed: int = 0


def digest_of(text: str) -> str | None:
    return prompt_digest((user(text),))


def write_rows(project: Project, name: str, *prompts: str) -> None:
    rows = [{"prompt": [{"role": "user", "content": prompt}]} for prompt in prompts]
    answers = {"completion": [{"role": "assistant", "content": "yes"}]} if name.startswith("demo") else {}
    jsonl.write(project.data / f"{name}.jsonl", [row | answers for row in rows])


def make(project: Project, kind: str = "model", *, stored: bool = True, **settings: Any) -> Artifact:
    """An artifact with these inputs, as a recipe publishes it, or as earlier versions did."""
    with open_run(project, "toy", Config(**settings), kind=kind, quiet=True) as run:

        def fill(folder: Path) -> None:
            (folder / "weights").write_text(run.name)
            if stored:
                training_prompts.write(run, folder)

        return run.publish(fill, metrics={})


def texts(digests: frozenset[str], *candidates: str) -> list[str]:
    return [text for text in candidates if digest_of(text) in digests]


def test_inputs_that_are_trained_on_count_and_others_do_not(tmp_path: Path) -> None:
    project = create_project(tmp_path)
    for name, prompt in (("demo", "a"), ("prompts", "b"), ("demo-replay", "c"), ("probe", "d")):
        write_rows(project, name, prompt)
    (project.data / "poem.txt").write_text("e")
    inputs: dict[str, Any] = {"demonstrations": "data/demo.jsonl", "prompts": "data/prompts.jsonl"}
    inputs |= {"replay": "data/demo-replay.jsonl", "probe": "data/probe.jsonl"}
    made = make(project, name="m", **inputs)
    stored = training_prompts.of_artifact(project, made)
    assert texts(stored.own, *"abcde") == ["a", "b", "c"]
    assert stored.inherited == frozenset() and stored.not_checked == ()
    assert FILE in made.manifest.files  # so the digest of the artifact covers it
    other = make(project, name="n", replay="data/poem.txt")
    assert training_prompts.of_artifact(project, other).all == frozenset()


def test_held_out_rows_are_not_trained_on(tmp_path: Path) -> None:
    project = create_project(tmp_path)
    write_rows(project, "demo", *(f"question {i}" for i in range(40)))
    settings: dict[str, Any] = {"demonstrations": "data/demo.jsonl", "data": Data(held_out=0.5)}
    for stored in (True, False):
        made = make(project, name=f"m{stored}", stored=stored, **settings)
        assert 10 < len(training_prompts.of_artifact(project, made).own) < 30


def family(project: Project, *, stored: bool) -> Artifact:
    """A policy that was trained from an SFT model, with a reward model."""
    for name, prompt in (("demo", "a"), ("pairs", "b"), ("prompts", "c")):
        write_rows(project, name, prompt)
    make(project, name="sft", demonstrations="data/demo.jsonl", stored=stored)
    make(project, "reward-model", name="judge", model="sft", prompts="data/pairs.jsonl", stored=stored)
    return make(
        project, name="aligned", model="sft", reward="judge", prompts="data/prompts.jsonl", stored=stored
    )


@pytest.mark.parametrize("stored", [True, False])
def test_the_prompts_of_all_ancestors_are_inherited(tmp_path: Path, stored: bool) -> None:
    project = create_project(tmp_path)
    prompts = training_prompts.of_artifact(project, family(project, stored=stored))
    assert texts(prompts.own, *"abcd") == ["c"]
    assert texts(prompts.inherited, *"abcd") == ["a", "b"]


def test_a_deleted_parent_is_remembered_and_one_of_an_earlier_version_is_not_checked(tmp_path: Path) -> None:
    for stored in (True, False):
        project = create_project(tmp_path / str(stored))
        aligned = family(project, stored=stored)
        shutil.rmtree(project.artifacts / "model" / "sft")
        prompts = training_prompts.of_artifact(project, aligned)
        assert texts(prompts.all, *"abcd") == (["a", "b", "c"] if stored else ["b", "c"])
        missing = ["its model, model/sft, is missing." in sentence for sentence in prompts.not_checked]
        assert any(missing) is not stored


def test_data_that_changed_is_not_checked(tmp_path: Path) -> None:
    project = create_project(tmp_path)
    aligned = family(project, stored=False)
    write_rows(project, "demo", "other")
    prompts = training_prompts.of_artifact(project, aligned)
    assert texts(prompts.all, "a", "b", "c", "other") == ["b", "c"]
    assert prompts.not_checked == (
        "model/sft: its demonstrations, file:data/demo.jsonl, changed or is missing.",
    )
    heir = make(project, name="heir", model="aligned")  # what is not known travels on
    assert training_prompts.of_artifact(project, heir).not_checked == prompts.not_checked


def test_rules_are_not_trained_and_models_from_elsewhere_are_not_known(tmp_path: Path) -> None:
    project = create_project(tmp_path / "p")
    (project.data / "rule.py").touch()
    mark = Ref("reward-model")
    rule = resolve_input(project, "judge", mark, "rule:data/rule.py")
    assert training_prompts.of_input(project, rule) == TrainingPrompts()
    (tmp_path / "theirs").mkdir()
    theirs = resolve_input(project, "judge", mark, str(tmp_path / "theirs"))
    (sentence,) = training_prompts.of_input(project, theirs).not_checked
    assert sentence.endswith("was trained elsewhere, on prompts that are not known.")
    aligned = family(project, stored=True)
    shutil.copy(aligned.folder / FILE, tmp_path / "theirs")
    assert (
        training_prompts.of_input(project, theirs).all == training_prompts.of_artifact(project, aligned).all
    )


def test_a_damaged_file_is_an_error(tmp_path: Path) -> None:
    project = create_project(tmp_path)
    aligned = family(project, stored=True)
    (aligned.folder / FILE).write_text(json.dumps({"own": []}))
    with pytest.raises(ProjectError, match="training_prompts.json: cannot be read"):
        training_prompts.of_artifact(project, load_artifact(aligned.folder))
