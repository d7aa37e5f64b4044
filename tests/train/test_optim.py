import math
from typing import Literal

import pytest
import torch
from pytest import approx
from torch import nn, tensor

from fairlead.core.errors import ModelError, NonFiniteStep
from fairlead.model import quantize
from fairlead.train.optim import adamw, clip_gradients, muon, take_step, update


def two_parameters() -> dict[str, nn.Parameter]:
    return {"matrix": nn.Parameter(tensor([[1.0, -2.0]])), "bias": nn.Parameter(tensor([0.5]))}


def with_gradients(parameters: dict[str, nn.Parameter], matrix: list[float], bias: float) -> None:
    parameters["matrix"].grad = tensor([matrix])
    parameters["bias"].grad = tensor([bias])


def test_the_first_step_by_hand() -> None:
    # the first step of Adam is lr * sign(gradient); the decay takes lr * 0.1 of a matrix and nothing of a
    # bias
    parameters = two_parameters()
    optimizer = adamw(parameters, lr=1.0, weight_decay=0.1)
    with_gradients(parameters, [3.0, -4.0], 0.0001)
    norm = update(optimizer, lr=0.01, max_norm=100.0, step=1)
    assert norm == approx(5.0, abs=1e-6)  # of 3, -4, 0.0001
    assert parameters["matrix"][0].tolist() == approx([1.0 - 0.001 - 0.01, -2.0 + 0.002 + 0.01], abs=1e-6)
    assert parameters["bias"].tolist() == approx([0.5 - 0.01], abs=1e-5)
    assert parameters["matrix"].grad is None  # cleared for the next step


def test_gradients_over_the_limit_are_scaled_down_together() -> None:
    parameters = two_parameters()
    optimizer = adamw(parameters, lr=0.01)
    with_gradients(parameters, [3.0, 0.0], 4.0)
    assert update(optimizer, lr=0.01, max_norm=1.0, step=1) == approx(5.0, abs=1e-5)  # the norm before
    # exp_avg is a tenth of the scaled gradient: 3 / 5 and 4 / 5
    assert optimizer.state[parameters["matrix"]]["exp_avg"][0].tolist() == approx([0.06, 0.0], abs=1e-6)
    assert optimizer.state[parameters["bias"]]["exp_avg"].tolist() == approx([0.08], abs=1e-6)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_gradient_that_is_no_number_touches_nothing(bad: float) -> None:
    parameters = two_parameters()
    optimizer = adamw(parameters, lr=0.01)
    with_gradients(parameters, [1.0, 1.0], 1.0)
    update(optimizer, lr=0.01, max_norm=1.0, step=1)
    before = {name: p.detach().clone() for name, p in parameters.items()}
    moments = {name: optimizer.state[p]["exp_avg"].clone() for name, p in parameters.items()}
    with_gradients(parameters, [1.0, bad], 1.0)
    with pytest.raises(
        NonFiniteStep, match="step 318: the gradient norm is (nan|inf). The weights are unchanged"
    ):
        update(optimizer, lr=0.01, max_norm=1.0, step=318)
    assert all(torch.equal(p, before[name]) for name, p in parameters.items())
    assert all(torch.equal(optimizer.state[p]["exp_avg"], moments[name]) for name, p in parameters.items())


def test_vectors_alone_or_matrices_alone_can_be_trained() -> None:
    for name in ("matrix", "bias"):
        parameters = {name: two_parameters()[name]}
        assert len(adamw(parameters, lr=0.1, weight_decay=0.1).param_groups) == 1


def test_muon_moves_a_matrix_by_the_same_amount_in_every_direction() -> None:
    # arXiv:2502.16982: the gradient's singular values all become about 1, and the step is 0.2 * sqrt(larger
    # side) of them
    torch.manual_seed(0)
    matrix = nn.Parameter(torch.randn(8, 4))
    before = matrix.detach().clone()
    optimizers = muon({"block.weight": matrix, "norm.weight": nn.Parameter(torch.ones(4))}, lr=0.1)
    u, _, v = torch.linalg.svd(torch.randn(8, 4), full_matrices=False)
    matrix.grad = u @ torch.diag(tensor([1.0, 0.5, 0.2, 0.1])) @ v
    update(optimizers["muon"], lr=0.1, max_norm=100.0, step=1)
    moved = torch.linalg.svdvals(matrix.detach() - before) / (0.1 * 0.2 * math.sqrt(8))
    assert moved.min() > 0.6 and moved.max() < 1.3


def test_muon_leaves_embeddings_heads_and_vectors_to_adamw() -> None:
    parameters = {
        name: nn.Parameter(torch.ones(3, 3))
        for name in ("model.embed_tokens.weight", "lm_head.weight", "layers.0.q_proj.weight")
    }
    parameters["norm.weight"] = nn.Parameter(torch.ones(3))
    optimizers = muon(parameters, lr=0.1)
    assert [id(p) for g in optimizers["muon"].param_groups for p in g["params"]] == [
        id(parameters["layers.0.q_proj.weight"])
    ]
    assert sum(len(g["params"]) for g in optimizers["adamw"].param_groups) == 3


def trained(bits: Literal[8, 32]) -> tuple[float, torch.optim.Optimizer]:
    """The loss of a regression on 16,384 weights after 60 steps, from about 1."""
    generator = torch.Generator().manual_seed(0)
    target, x = (torch.randn(shape, generator=generator) for shape in ((128, 128), (512, 128)))
    weight = nn.Parameter(torch.zeros(128, 128))
    optimizer = adamw({"weight": weight, "bias": nn.Parameter(torch.zeros(128))}, lr=0.0, bits=bits)
    for step in range(60):
        loss = (x @ (weight - target)).square().mean() / 128
        loss.backward()
        update(optimizer, lr=0.02, max_norm=1e9, step=step)
    return float(loss.detach()), optimizer


def test_eight_bits_are_a_quarter_of_the_memory_and_train_as_well() -> None:
    (exact, full), (near, eighth) = trained(32), trained(8)
    assert 0.01 < exact < 0.5
    assert near == approx(exact, rel=0.05)
    assert near != exact
    (full_state,), (state,) = full.state.values(), eighth.state.values()
    moments = sum(full_state[name].nbytes for name in ("exp_avg", "exp_avg_sq"))
    assert moments == 2 * 4 * 128 * 128
    held = sum(state[name].nbytes for name in ("state1", "state2", "absmax1", "absmax2"))
    assert held / moments == approx(0.25, abs=0.005)  # a byte for four, and a float32 for each block of 256


def test_what_is_not_installed_is_named_with_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quantize, "_library", None)
    with pytest.raises(
        ModelError, match=r"optim.bits = 8 needs bitsandbytes, .* pip install 'fairlead\[lowbit\]'"
    ):
        adamw(two_parameters(), lr=0.1, bits=8)


def test_in_two_halves_it_is_the_same_update() -> None:
    found = []
    for halves in (False, True):
        parameters = two_parameters()
        optimizer = adamw(parameters, lr=0.5)
        with_gradients(parameters, [3.0, -4.0], 1.0)
        if halves:
            before = {name: p.detach().clone() for name, p in parameters.items()}
            norm = clip_gradients(optimizer, max_norm=1.0, step=1)
            assert all(
                torch.equal(p, before[name]) for name, p in parameters.items()
            )  # nothing has moved yet
            take_step(optimizer, lr=0.01)
        else:
            norm = update(optimizer, lr=0.01, max_norm=1.0, step=1)
        found.append((norm, [p.tolist() for p in parameters.values()]))
    assert found[0] == found[1]
