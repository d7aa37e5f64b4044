import json
import warnings
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor
from transformers import AutoTokenizer, GenerationConfig

from fairlead.core.errors import ModelError
from fairlead.core.template_settings import Template
from fairlead.encoding.batching import Batch, collate
from fairlead.model.adapters import Lora
from fairlead.model.from_scratch import CHAT_TEMPLATE
from fairlead.model.policy import Policy, load_policy
from fakes import SHAPES, policy, save_model, shake, tokenizer, turns

CONVERSATIONS = (turns("What is it?", "It is 4."), turns("One?", "Yes, it is green. The sky is blue."))


def batch_of(made: Policy) -> Batch:
    return collate([made.encode(messages, num_context=1) for messages in CONVERSATIONS], pad_id=made.pad_id)


@torch.no_grad()
def logps(made: Policy) -> Tensor:
    return made.token_logps(batch_of(made))


@pytest.mark.parametrize("shape", SHAPES)
def test_log_probabilities_are_those_of_the_network_alone(tmp_path: Path, shape: str) -> None:
    made = policy(tmp_path / "base", shape)
    found = logps(made)
    for row, messages in enumerate(CONVERSATIONS):
        encoded = made.encode(messages, num_context=1)
        logits = made.network(input_ids=torch.tensor([encoded.tokens])).logits[0]
        for t, (token, trained) in enumerate(zip(encoded.tokens, encoded.trained, strict=True)):
            expected = logits[t - 1].log_softmax(-1)[token].item() if trained else 0.0
            assert abs(float(found[row, t]) - expected) < 1e-5  # of order 5


@pytest.mark.parametrize("shape", SHAPES)
def test_the_reference_under_an_adapter_is_the_base_bit_for_bit(tmp_path: Path, shape: str) -> None:
    base = policy(tmp_path / "base", shape)
    trained = load_policy(str(tmp_path / "base"), lora=Lora(4, 8))
    assert torch.equal(logps(trained), logps(base))  # a fresh adapter does nothing
    shake(trained.trainable())
    with trained.as_reference():
        inside = logps(trained)
    assert torch.equal(inside, logps(base))
    assert (logps(trained) - logps(base)).abs().max() > 0.01


def test_a_full_reference_is_frozen_where_it_was_kept(tmp_path: Path) -> None:
    made = policy(tmp_path / "base")
    before = logps(made)
    made.keep_reference()
    shake(made.trainable())
    assert (logps(made) - before).abs().max() > 0.01
    with made.as_reference():
        assert torch.equal(logps(made), before)
        assert made.trainable() == {}  # nothing of it learns
    assert len(made.trainable()) > 0


def test_the_policy_is_back_after_an_error_inside_the_reference(tmp_path: Path) -> None:
    for name, lora in (("full", None), ("adapted", Lora(4, 8))):
        made = policy(tmp_path / name, lora=lora)
        made.keep_reference()
        shake(made.trainable())
        before = logps(made)
        with pytest.raises(KeyError), made.as_reference():
            raise KeyError
        assert torch.equal(logps(made), before)


def test_a_full_reference_must_be_kept_first(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="keep_reference"), policy(tmp_path / "base").as_reference():
        pass


@pytest.mark.parametrize("shape", SHAPES)
def test_an_adapter_trains_all_its_matrices_and_nothing_else(tmp_path: Path, shape: str) -> None:
    made = policy(tmp_path / "base", shape, lora=Lora(4, 8))
    names = list(made.trainable())
    assert names and all("lora_" in name for name in names)
    linear = (
        4 if shape in ("gpt2", "gpt_neox") else 7
    )  # per layer: q k v o and gate up down, or qkv o and up down
    assert len(names) == 2 * 2 * linear  # two layers, A and B
    shake(made.trainable())
    made.token_logps(batch_of(made)).sum().backward()
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in made.trainable().values())


def test_a_saved_adapter_says_the_same_when_loaded(tmp_path: Path) -> None:
    made = policy(tmp_path / "base", lora=Lora(4, 8))
    shake(made.trainable())
    made.save(tmp_path / "adapter")
    assert (
        json.loads((tmp_path / "adapter" / "adapter_config.json").read_text())["base_model_name_or_path"]
        == "../base"
    )
    assert sorted(
        path.suffix for path in (tmp_path / "adapter").iterdir() if path.stem == "adapter_model"
    ) == [".safetensors"]
    assert (logps(load_policy(str(tmp_path / "adapter"))) - logps(made)).abs().max() < 1e-4  # of order 5


def test_saving_an_adapter_looks_for_nothing_outside_and_says_nothing(tmp_path: Path) -> None:
    made = policy(tmp_path / "base", lora=Lora(4, 8))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        made.save(tmp_path / "adapter")
    assert [str(each.message) for each in caught] == []


def test_an_adapter_names_its_base_from_where_it_will_stand(tmp_path: Path) -> None:
    made = policy(tmp_path / "base", lora=Lora(4, 8))
    made.save(tmp_path / "work" / "half-written", final_folder=tmp_path / "models" / "deep" / "adapter")
    saved = json.loads((tmp_path / "work" / "half-written" / "adapter_config.json").read_text())
    assert saved["base_model_name_or_path"] == "../../../base"


def test_an_adapter_can_stand_on_an_adapter(tmp_path: Path) -> None:
    first = policy(tmp_path / "base", lora=Lora(4, 8))
    shake(first.trainable())
    first.save(tmp_path / "first")
    second = load_policy(str(tmp_path / "first"), lora=Lora(2, 8))
    assert (logps(second) - logps(first)).abs().max() < 1e-4
    shake(second.trainable(), seed=2)
    second.save(tmp_path / "second")
    loaded = load_policy(str(tmp_path / "second"))
    assert (logps(loaded) - logps(second)).abs().max() < 1e-4
    assert (logps(loaded) - logps(first)).abs().max() > 0.01
    assert not loaded.has_adapter  # merged: a plain network again


def test_an_adapter_whose_base_is_gone_is_refused(tmp_path: Path) -> None:
    policy(tmp_path / "the-base", lora=Lora(4, 8)).save(tmp_path / "adapter")
    (tmp_path / "the-base").rename(tmp_path / "moved")
    with pytest.raises(ModelError, match="adapter: the base of this adapter is not at .*/the-base"):
        load_policy(str(tmp_path / "adapter"))


def test_a_template_is_refused_before_the_network_is_loaded(tmp_path: Path) -> None:
    made = policy(tmp_path / "model")
    weights = {name: torch.full_like(value, torch.nan) for name, value in made.network.state_dict().items()}
    save_file(weights, tmp_path / "model" / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match="weights are not a finite number"):
        load_policy(str(tmp_path / "model"))
    with pytest.raises(ModelError, match="template.file=none.jinja: no such file"):
        load_policy(str(tmp_path / "model"), template=Template(file="none.jinja"))


def test_a_full_policy_says_the_same_when_loaded(tmp_path: Path) -> None:
    made = policy(tmp_path / "base", "qwen3")
    shake(made.trainable())
    made.save(tmp_path / "trained")
    assert torch.equal(logps(load_policy(str(tmp_path / "trained"))), logps(made))


def test_text_is_without_control_tokens_and_outer_space(tmp_path: Path) -> None:
    made = policy(tmp_path / "base")
    tokens = made.tokenizer(" The sky is blue.<|end|>", add_special_tokens=False)["input_ids"]
    assert made.text(tokens) == "The sky is blue."


def test_an_adapter_stays_small_on_disk(tmp_path: Path) -> None:
    made = policy(tmp_path / "base", lora=Lora(4, 8))
    made.save(tmp_path / "adapter")
    trained = sum(p.numel() * 4 for p in made.trainable().values())
    assert (tmp_path / "adapter" / "adapter_model.safetensors").stat().st_size < trained + 10_000


@pytest.mark.parametrize("lora", [None, Lora(4, 8)], ids=["full", "adapter"])
def test_a_saved_policy_is_prompted_and_stopped_as_it_was_trained(tmp_path: Path, lora: Lora | None) -> None:
    base = save_model(tmp_path / "base")
    (base / "chat_template.jinja").write_text("{{ x }} {{ strftime_now('%F') }}|" + CHAT_TEMPLATE)
    settings = Template(arguments='{"x": 7}', date="2024-07-26", stop_tokens=("<|user|>",))
    trained = load_policy(str(base), lora=lora, template=settings)
    trained.save(tmp_path / "saved")
    again = load_policy(str(tmp_path / "saved"))
    assert again.stop_ids == trained.stop_ids == {tokenizer().eos_token_id, *again.chat.tokens("<|user|>")}
    prompt = turns("What is it?")
    assert again.encode_prompt(prompt) == trained.encode_prompt(prompt)
    assert again.chat.decode(again.encode_prompt(prompt)).startswith("7 2024-07-26|")
    # Other programs read these two files.
    declared = GenerationConfig.from_pretrained(tmp_path / "saved").eos_token_id
    assert set(declared) == again.stop_ids
    other = AutoTokenizer.from_pretrained(tmp_path / "saved")
    text = other.apply_chat_template(
        [{"role": "user", "content": "What is it?"}], tokenize=False, add_generation_prompt=True
    )
    assert text == again.chat.render(prompt, generation_prompt=True)
