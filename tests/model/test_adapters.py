import warnings

import torch
from peft import TaskType
from pytest import mark
from torch import Tensor

from fairlead.model.adapters import Lora, add_lora
from fakes import SHAPES, network


def first_weights(lora: Lora) -> dict[str, Tensor]:
    made = add_lora(network("llama"), lora, task=TaskType.CAUSAL_LM)
    return {name: p.detach().clone() for name, p in made.named_parameters() if p.requires_grad}


def test_an_adapters_first_weights_come_from_its_seed_and_from_nothing_else() -> None:
    torch.manual_seed(1)
    one = first_weights(Lora(4, 8, seed=0))
    torch.manual_seed(2)
    same, other = first_weights(Lora(4, 8, seed=0)), first_weights(Lora(4, 8, seed=1))
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert all(torch.equal(one[name], other[name]) == ("lora_B" in name) for name in one)  # A is random, B is zero
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
    assert [str(each.message) for each in caught if "is_gradient_checkpointing" not in str(each.message)] == []


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
