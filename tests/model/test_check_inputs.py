"""Models are checked before a run opens: policies, reward models, and members of ensembles."""

import json
import shutil
from pathlib import Path

import pytest

from fairlead.core.errors import ModelError
from fairlead.model import check_inputs
from fairlead.recipes import ppo
from fairlead.store.resolve_inputs import ResolvedInput
from fakes import save_model
from model.test_weight_files import write_weights


def local(folder: Path) -> ResolvedInput:
    return ResolvedInput(str(folder), f"file:{folder.name}", "", folder, None)


RULE = ResolvedInput("rule:maths", "module:maths", "", None, None)
HUB = ResolvedInput("owner/name", "hub:owner/name", "hub:owner/name", None, None)


def test_each_model_of_a_configuration_is_checked(tmp_path: Path) -> None:
    model = save_model(tmp_path / "model")
    config = ppo.Config(name="x", model=str(model), reward="rule:maths", prompts="p.jsonl")
    prompts = ResolvedInput("p.jsonl", "file:p.jsonl", "", tmp_path / "p.jsonl", None)
    check = check_inputs.checker(config)
    check({"model": local(model), "reward": RULE, "prompts": prompts})
    check({"model": HUB, "reward": HUB, "prompts": prompts})
    (model / "tokenizer.json").unlink()
    with pytest.raises(ModelError, match="no tokenizer can be read"):
        check({"model": local(model), "reward": RULE, "prompts": prompts})


def test_a_language_model_is_no_reward_model(tmp_path: Path) -> None:
    model = save_model(tmp_path / "model")
    check_inputs.check_input("model", local(model))
    with pytest.raises(ModelError, match=r"is no reward model: its weights have no head 'score'\. Train"):
        check_inputs.check_input("reward-model", local(model))


def test_every_member_of_an_ensemble_is_checked(tmp_path: Path) -> None:
    first = save_model(tmp_path / "first")
    shutil.copytree(first, first / "member-2")
    with pytest.raises(ModelError, match="declares an ensemble of 2 members"):
        check_inputs.check_input("reward-model", local(first))


def test_an_adapter_of_a_classifier_is_no_policy(tmp_path: Path) -> None:
    base, folder = save_model(tmp_path / "base"), tmp_path / "judge"
    folder.mkdir()
    write_weights(folder / "adapter_model.safetensors", "base_model.model.score.weight")
    settings = {"base_model_name_or_path": str(base), "task_type": "SEQ_CLS", "peft_type": "LORA"}
    (folder / "adapter_config.json").write_text(json.dumps(settings))
    with pytest.raises(ModelError, match="adapter of a reward model.*reward=NAME. As a policy.*base[.]$"):
        check_inputs.check_input("model", local(folder))
    settings["task_type"] = "CAUSAL_LM"
    (folder / "adapter_config.json").write_text(json.dumps(settings))
    check_inputs.check_input("model", local(folder))
