import json
from pathlib import Path
from typing import Any

import pytest
import torch
from pytest import approx
from safetensors.torch import load_file, save_file
from transformers import AutoModelForSequenceClassification

from fairlead.core.errors import ModelError
from fairlead.core.template_settings import Template
from fairlead.encoding.batching import Batch, collate
from fairlead.model.adapters import Lora
from fairlead.model.critic import load_critic
from fairlead.model.load import load_causal_lm
from fairlead.model.reward_config import StepSettings
from fairlead.model.reward_model import load_reward_model, new_reward_model
from fairlead.model.scalar_model import HEAD, ScalarModel
from fakes import save_model, shake, tokenizer, turns

CONVERSATIONS = (turns("What is it?", "It is 4."), turns("One?", "Yes, it is green. The sky is blue."))


def batch_of(model: ScalarModel) -> Batch:
    return collate([model.encode(messages) for messages in CONVERSATIONS], pad_id=model.pad_id)


def save_reward_model(folder: Path, *, shape: str = "llama", mean: float = 0.5, std: float = 2.0) -> Path:
    model = new_reward_model(str(save_model(folder / "base", shape)), run_seed=0)
    model.set_scale(mean=mean, std=std)
    model.save(folder / "reward")
    return folder / "reward"


def test_the_head_is_drawn_from_the_seed_at_the_papers_size(tmp_path: Path) -> None:
    folder = str(save_model(tmp_path / "base"))
    head, same, other = (
        new_reward_model(folder, run_seed=seed).trainable()["score.weight"] for seed in (0, 0, 1)
    )
    assert torch.equal(head, same) and not torch.equal(head, other)
    assert head.std().item() == approx(1 / 33**0.5, rel=0.4)  # 32 numbers of deviation 1/sqrt(d + 1)


def test_a_reward_model_comes_back_with_its_head_and_scale(tmp_path: Path) -> None:
    folder = save_reward_model(tmp_path)
    before = new_reward_model(str(tmp_path / "base"), run_seed=0)
    after = load_reward_model(str(folder))
    assert torch.equal(before.scores(batch_of(before)), after.scores(batch_of(after)))
    assert (after.scale.mean, after.scale.std) == (0.5, 2.0)
    assert (before.scale.mean, before.scale.std) == (0.0, 1.0)  # never measured


def test_a_trained_adapter_is_saved_into_its_trunk(tmp_path: Path) -> None:
    model = new_reward_model(str(save_model(tmp_path / "base")), run_seed=0, lora=Lora(4, 8))
    untouched = model.scores(batch_of(model)).detach()
    shake(model.trainable())
    trained = model.scores(batch_of(model)).detach()
    assert (trained - untouched).abs().min() > 0.01  # the adapter and the head take part
    model.set_scale(mean=1.0, std=3.0)
    model.save(tmp_path / "reward")
    after = load_reward_model(str(tmp_path / "reward"))
    assert (after.scores(batch_of(after)) - trained).abs().max() < 1e-5
    assert (after.scale.mean, after.scale.std) == (1.0, 3.0)


def test_an_adapter_trains_itself_and_the_head_and_nothing_else(tmp_path: Path) -> None:
    names = new_reward_model(str(save_model(tmp_path / "base")), run_seed=0, lora=Lora(4, 8)).trainable()
    assert all("lora_" in name or HEAD in name for name in names)
    assert sum(HEAD in name for name in names) == 1


def test_a_language_model_is_no_reward_model(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="is no reward model: its weights have no head 'score'"):
        load_reward_model(str(save_model(tmp_path / "base")))


def test_a_reward_model_without_its_head_is_refused(tmp_path: Path) -> None:
    folder = save_reward_model(tmp_path)
    weights = load_file(folder / "model.safetensors")
    del weights["score.weight"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    for load in (load_reward_model, load_critic):
        with pytest.raises(ModelError, match="no head 'score'"):
            load(str(folder))


def test_a_classifier_of_several_labels_is_refused(tmp_path: Path) -> None:
    base = load_causal_lm(str(save_model(tmp_path / "base")))
    config = base.config
    config.num_labels = 3
    AutoModelForSequenceClassification.from_config(config).save_pretrained(tmp_path / "three")
    tokenizer().save_pretrained(tmp_path / "three")
    with pytest.raises(ModelError, match="has 3 labels. A reward model has one"):
        load_reward_model(str(tmp_path / "three"))


# ---------------------------------------------------------------- steps


def save_process_reward_model(folder: Path, shape: str = "llama", lora: Lora | None = None) -> Path:
    model = new_reward_model(str(save_model(folder / "base", shape)), run_seed=0, lora=lora)
    shake(model.trainable())
    model.set_steps(StepSettings("\n", "product"))
    model.set_scale(mean=0.25, std=0.5)
    model.save(folder / "verifier")
    return folder / "verifier"


@pytest.mark.parametrize(
    "changed",
    [
        {"reward_step_separator": ""},
        {"reward_step_separator": ["\n"]},
        {"reward_step_pool": "best"},
        {"reward_step_pool": ["mean"]},
        {"reward_aspects": ["helpful"]},
    ],
)
def test_steps_that_no_answer_can_be_cut_into_are_refused(tmp_path: Path, changed: dict[str, Any]) -> None:
    folder = save_process_reward_model(tmp_path)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | changed))
    with pytest.raises(ModelError, match="reward_step_separator, a reward_step_pool"):
        load_reward_model(str(folder))


def test_a_reward_model_without_template_reads_as_the_policy_does(tmp_path: Path) -> None:
    new_reward_model(str(save_model(tmp_path / "base")), run_seed=0).save(tmp_path / "reward")
    (tmp_path / "reward" / "chat_template.jinja").unlink()
    with pytest.raises(ModelError, match="the reward model has no chat template.*Copy chat_template.jinja"):
        load_reward_model(str(tmp_path / "reward"))
    model = load_reward_model(str(tmp_path / "reward"), fallback=Template(file="plain"))
    assert model.chat.decode(model.encode(turns("What?", "Yes.")).tokens).startswith("User: What?")
