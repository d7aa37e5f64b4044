import pytest
import torch
from pytest import approx
from torch import nn, tensor

from fairlead.train.master_weights import MasterWeights
from fairlead.train.optim import adamw, update


def halved(*values: float) -> tuple[nn.Parameter, MasterWeights]:
    weight = nn.Parameter(tensor([list(values)]))
    return weight, MasterWeights({"matrix": weight}, "pure-bfloat16")


def test_steps_too_small_for_a_bfloat16_number_add_up() -> None:
    # Adam with equal gradients steps by lr each time; below 1 the next bfloat16 number is 1 - 2**-8 = 0.99609
    weight, master_weights = halved(1.0)
    optimizer = adamw(master_weights.parameters, lr=0.0)
    seen = []
    for step in range(4):
        weight.grad = torch.ones_like(weight)
        update(optimizer, lr=1e-3, max_norm=10.0, step=step, master_weights=master_weights)
        seen.append(weight.item())
    assert weight.dtype == torch.bfloat16
    assert seen == [1.0, approx(0.99609, abs=1e-5), approx(0.99609, abs=1e-5), approx(0.99609, abs=1e-5)]
    assert master_weights.parameters["matrix"].item() == approx(0.996, abs=1e-6)


def test_the_norm_is_that_of_float32_and_so_is_clipping() -> None:
    weight, master_weights = halved(*([1.0] * 1000))
    optimizer = adamw(master_weights.parameters, lr=0.0)
    weight.grad = torch.full_like(weight, 0.1)
    value = float(tensor(0.1).bfloat16())  # 0.10009765625, the gradient as bfloat16 has it
    norm = update(optimizer, lr=0.0, max_norm=1.0, step=1, master_weights=master_weights)
    assert norm == approx(value * 1000**0.5, rel=1e-6)  # bfloat16 would be off by up to 0.004 of it
    assert optimizer.state[master_weights.parameters["matrix"]]["exp_avg"][0, 0].item() == approx(
        0.1 / 1000**0.5, rel=1e-5
    )
    assert weight.grad is None


def test_digits_that_bfloat16_lacks_come_back() -> None:
    weight, master_weights = halved(0.1, 0.123456789)
    assert weight[0, 0].item() != approx(0.1, abs=1e-5)
    master_weights.restore_float32()
    assert weight.dtype == torch.float32
    assert weight[0].tolist() == approx([0.1, 0.123456789], abs=1e-8)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_weights_in_float32_are_their_own_masters(precision: str) -> None:
    weight = nn.Parameter(torch.ones(2, 2))
    master_weights = MasterWeights({"matrix": weight}, precision)  # type: ignore[arg-type]
    assert master_weights.parameters["matrix"] is weight
    weight.grad = torch.ones(2, 2)
    update(
        adamw(master_weights.parameters, lr=0.0), lr=0.1, max_norm=10.0, step=1, master_weights=master_weights
    )
    assert weight[0, 0].item() == approx(0.9, abs=1e-6)


def test_both_uses_of_a_tied_weight_stay_one() -> None:
    network = nn.Sequential(nn.Embedding(5, 3), nn.Linear(3, 5, bias=False))
    network[1].weight = network[0].weight
    master_weights = MasterWeights(dict(network.named_parameters()), "pure-bfloat16")
    assert len(master_weights.parameters) == 1
    assert network[1].weight is network[0].weight
    network(tensor([1])).sum().backward()
    master_weights.take_gradients()
    assert master_weights.parameters["0.weight"].grad is not None
