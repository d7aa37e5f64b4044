from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from fairlead.core.errors import ModelError
from fairlead.model.policy import load_policy
from fairlead.recipes import average, sft
from fairlead.store.artifact import Provenance, publish_artifact
from fakes import check_finished, project_with_sft, save_model, train


def test_every_weight_stands_between(tmp_path: Path) -> None:
    project = project_with_sft(tmp_path)
    settings = {"name": "between", "a": "base", "b": "model/sft", "weight": 0.25}
    made = train(project, average, **settings)
    a, b = (load_file(project.artifacts / "model" / name / "model.safetensors") for name in ("base", "sft"))
    found = load_file(made.artifact.folder / "model.safetensors")
    assert set(found) == set(a) == set(b)
    for name, values in found.items():
        assert torch.allclose(values, 0.75 * a[name] + 0.25 * b[name], atol=1e-6), name
    assert not torch.equal(a["model.norm.weight"], b["model.norm.weight"])
    assert (
        load_policy(str(made.artifact.folder)).network.num_parameters()
        == made.artifact.manifest.metrics["parameters"]
    )
    check_finished(project, average, made, **settings)


def test_an_adapter_counts_as_the_model_that_it_makes(tmp_path: Path) -> None:
    project = project_with_sft(tmp_path)
    adapted = train(
        project,
        sft,
        name="adapted",
        model="base",
        demonstrations="data/demonstrations.jsonl",
        lr=1e-2,
        batch=8,
        warmup=1,
        rank=4,
    )
    made = train(project, average, name="all", a="base", b="model/adapted", weight=1.0)
    whole, apart = (
        dict(load_policy(str(folder)).network.named_parameters())
        for folder in (made.artifact.folder, adapted.artifact.folder)
    )
    base = load_file(project.artifacts / "model" / "base" / "model.safetensors")
    assert set(whole) == set(apart)
    assert all(torch.allclose(whole[name], apart[name], atol=1e-6) for name in whole)
    assert any(not torch.allclose(whole[name], base[name], atol=1e-3) for name in whole)


def test_models_of_different_shapes_are_refused(tmp_path: Path) -> None:
    project = project_with_sft(tmp_path)

    def fill(folder: Path) -> None:
        save_model(folder, hidden=64)

    publish_artifact(
        project, "model", "wide", Provenance(parents=(), config={}, seed=0, metrics={}), fill=fill
    )
    with pytest.raises(ModelError, match="base and wide: the models have different shapes"):
        train(project, average, name="none", a="base", b="wide")
