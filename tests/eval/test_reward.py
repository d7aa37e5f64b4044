"""`fairlead eval reward`: its configuration, and the rows that count as held out."""

from pathlib import Path
from typing import Any

import pytest

from fairlead.core import jsonl
from fairlead.core.config import Ref
from fairlead.core.errors import ConfigError
from fairlead.data.record_reader import read_comparisons
from fairlead.data.split import split_by_prompt
from fairlead.eval import reward
from fairlead.model.reward_model import new_reward_model
from fairlead.store.artifact import Parent, Provenance, publish_artifact
from fairlead.store.project import Project
from fairlead.store.resolve_inputs import resolve_input
from fakes import project_with_base, train

EVALUATION = {"name": "evidence", "model": "judge", "comparisons": "data/comparisons.jsonl"}


def project_with_judge(root: Path, *, trained_on: str) -> Project:
    """A reward model with a random head, whose manifest says what it was trained on."""
    project = project_with_base(root)
    base = project.artifacts / "model" / "base"
    data = resolve_input(project, "comparisons", Ref("dataset"), trained_on)
    provenance = Provenance(
        parents=[Parent(data.name, data.digest, "comparisons")],
        config={"data": {"held_out": 0.25}},
        seed=7,
        metrics={},
    )

    def fill(folder: Path) -> None:
        new_reward_model(str(base), run_seed=0).save(folder)

    publish_artifact(project, "reward-model", "judge", provenance, fill=fill)
    return project


@pytest.mark.parametrize(("key", "value"), [("max_tokens", -1), ("micro_tokens", 0)])
def test_settings_are_checked(key: str, value: int) -> None:
    settings: dict[str, Any] = EVALUATION | {key: value}
    with pytest.raises(ValueError, match=f"{key} = {value}: must "):
        reward.Config(**settings)


def test_a_rule_cannot_be_examined(tmp_path: Path) -> None:
    project = project_with_base(tmp_path)
    with pytest.raises(ConfigError, match="rule:data/vowels.py: is a rule, not a model"):
        train(project, reward, **EVALUATION | {"model": "rule:data/vowels.py"})


@pytest.mark.slow
def test_on_the_training_file_the_held_out_prompts_of_training_are_examined(tmp_path: Path) -> None:
    project = project_with_judge(tmp_path, trained_on="data/comparisons.jsonl")
    evaluation = train(project, reward, **EVALUATION)
    comparisons = read_comparisons(project.data / "comparisons.jsonl")
    _, held_out = split_by_prompt(comparisons, held_out=0.25, seed=7)  # the share and seed of training
    metrics = evaluation.artifact.manifest.metrics
    assert metrics["pairs"] == len(held_out) < len(comparisons)
    assert (metrics["ties"], metrics["dropped"]) == (0, 0)
    assert {parent.role for parent in evaluation.artifact.manifest.parents} == {"model", "comparisons"}


@pytest.mark.slow
def test_on_another_file_all_rows_are_examined_and_ties_are_counted(tmp_path: Path) -> None:
    project = project_with_judge(tmp_path, trained_on="data/demonstrations.jsonl")
    rows = [row for _, row in jsonl.read(project.data / "comparisons.jsonl")]
    jsonl.write(project.data / "with_ties.jsonl", [*rows, rows[0] | {"tie": "good"}])
    settings = EVALUATION | {"comparisons": "data/with_ties.jsonl", "exclude_leaks": True}
    evaluation = train(project, reward, **settings)
    metrics = evaluation.artifact.manifest.metrics
    # the judge has no stored digests: its prompts are read again from its training file
    assert (metrics["pairs"] + metrics["leaks"], metrics["ties"]) == (len(rows), 1)
    assert 0 < metrics["leaks"] < len(rows)
    again = train(project, reward, **settings)
    assert again.artifact == evaluation.artifact
