import warnings
from pathlib import Path
from typing import Any

import torch
from peft import TaskType
from pytest import mark
from safetensors.torch import load_file
from torch import Tensor
from transformers import MambaConfig, MambaForCausalLM

from fairlead.model.adapters import Lora, add_lora, layers_without_adapter
from fairlead.model.policy import load_policy
from fairlead.model.reward_model import new_reward_model
from fairlead.train.master_weights import MasterWeights
from fakes import SHAPES, network, policy, save_model, shake, tokenizer


def first_weights(lora: Lora) -> dict[str, Tensor]:
    made = add_lora(network("llama"), lora, task=TaskType.CAUSAL_LM)
    return {name: p.detach().clone() for name, p in made.named_parameters() if p.requires_grad}


def test_an_adapters_first_weights_come_from_its_seed_and_from_nothing_else() -> None:
    torch.manual_seed(1)
    one = first_weights(Lora(4, 8, seed=0))
    torch.manual_seed(2)
    same, other = first_weights(Lora(4, 8, seed=0)), first_weights(Lora(4, 8, seed=1))
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert all(
        torch.equal(one[name], other[name]) == ("lora_B" in name) for name in one
    )  # A is random, B is zero
    assert all(values.eq(0).all() for name, values in one.items() if "lora_B" in name)


def test_making_an_adapter_leaves_other_random_numbers_alone() -> None:
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    first_weights(Lora(4, 8))
    assert torch.equal(torch.rand(3), expected)


@mark.parametrize("shape", SHAPES)
def test_every_shape_takes_an_adapter_in_silence(shape: str) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        add_lora(network(shape), Lora(4, 8), task=TaskType.CAUSAL_LM)
    assert [
        str(each.message) for each in caught if "is_gradient_checkpointing" not in str(each.message)
    ] == []


def test_a_reward_model_trained_on_bfloat16_is_written_in_float32_with_its_adapter_exact(
    tmp_path: Path,
) -> None:
    lora = Lora(4, 8, precision="pure-bfloat16")
    base = load_file(save_model(tmp_path / "base") / "model.safetensors")
    model = new_reward_model(str(tmp_path / "base"), run_seed=0, lora=lora)
    master_weights = MasterWeights(model.trainable(), lora.precision)
    shake({name: p for name, p in master_weights.parameters.items() if "lora_" in name})
    master_weights.restore_float32()
    name = "model.layers.1.mlp.up_proj"
    layer: Any = dict(model.network.named_modules())[f"base_model.model.{name}"]
    correction = 2 * layer.lora_B["default"].weight @ layer.lora_A["default"].weight  # alpha / rank
    expected = (base[f"{name}.weight"].bfloat16().float() + correction).detach()
    model.save(tmp_path / "reward")
    written = load_file(tmp_path / "reward" / "model.safetensors")
    assert {values.dtype for values in written.values()} == {torch.float32}
    torch.testing.assert_close(written[f"{name}.weight"], expected, atol=1e-6, rtol=0)


def test_the_strength_is_alpha_over_rank() -> None:
    # one step of B away from zero moves the output in proportion to alpha / rank
    moved = []
    for alpha in (4, 8):
        made = add_lora(network("llama"), Lora(4, alpha), task=TaskType.CAUSAL_LM)
        tokens = torch.tensor([[5, 6, 7]])
        with torch.no_grad():
            before = made(input_ids=tokens).logits
            for name, parameter in made.named_parameters():
                if "lora_B" in name and "layers.1.mlp.down_proj" in name:
                    parameter.fill_(1e-4)
            moved.append(float((made(input_ids=tokens).logits - before).abs().max()))
    assert moved[0] > 1e-5
    assert abs(moved[1] / moved[0] - 2) < 0.05


def test_layers_that_take_no_adapter_are_left_out_and_named(tmp_path: Path) -> None:
    words = tokenizer()
    config = MambaConfig(
        vocab_size=len(words),
        hidden_size=32,
        num_hidden_layers=2,
        state_size=4,
        initializer_range=0.3,
        pad_token_id=words.pad_token_id,
        eos_token_id=words.eos_token_id,
        bos_token_id=None,
    )
    MambaForCausalLM(config).save_pretrained(tmp_path / "mamba")
    words.save_pretrained(tmp_path / "mamba")
    made = load_policy(str(tmp_path / "mamba"), lora=Lora(2, 4))
    # PEFT refuses out_proj; the model reads the weight of dt_proj without calling the layer.
    layers = [f"backbone.layers.*.mixer.{name}" for name in ("dt_proj", "out_proj")]
    assert layers_without_adapter(made.network) == layers
    shake(made.trainable())
    made.network(input_ids=torch.arange(8)[None]).logits.square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in made.trainable().values())


def test_a_usual_model_has_adapters_on_all_linear_layers(tmp_path: Path) -> None:
    made = policy(tmp_path / "base", lora=Lora(2, 4))
    assert layers_without_adapter(made.network) == []
    assert len(made.trainable()) == 2 * 2 * 7  # A and B, two layers, seven matrices
