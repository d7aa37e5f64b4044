import math

import pytest
import torch
from pytest import approx
from torch import nn, tensor

from fairlead.core.errors import NonFiniteStep
from fairlead.train.optim import adamw, muon, update


def two_parameters() -> dict[str, nn.Parameter]:
    return {"matrix": nn.Parameter(tensor([[1.0, -2.0]])), "bias": nn.Parameter(tensor([0.5]))}


def with_gradients(parameters: dict[str, nn.Parameter], matrix: list[float], bias: float) -> None:
    parameters["matrix"].grad = tensor([matrix])
    parameters["bias"].grad = tensor([bias])


def test_the_first_step_by_hand() -> None:
    # the first step of Adam is lr * sign(gradient); the decay takes lr * 0.1 of a matrix and nothing of a bias
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
    with pytest.raises(NonFiniteStep, match="step 318: the gradient norm is (nan|inf). The weights were not touched"):
        update(optimizer, lr=0.01, max_norm=1.0, step=318)
    assert all(torch.equal(p, before[name]) for name, p in parameters.items())
    assert all(torch.equal(optimizer.state[p]["exp_avg"], moments[name]) for name, p in parameters.items())


def test_vectors_alone_or_matrices_alone_can_be_trained() -> None:
    for name in ("matrix", "bias"):
        parameters = {name: two_parameters()[name]}
        assert len(adamw(parameters, lr=0.1, weight_decay=0.1).param_groups) == 1


def test_muon_moves_a_matrix_by_the_same_amount_in_every_direction() -> None:
    # arXiv:2502.16982: the gradient's singular values all become about 1, and the step is 0.2 * sqrt(larger side) of them
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
        name: nn.Parameter(torch.ones(3, 3)) for name in ("model.embed_tokens.weight", "lm_head.weight", "layers.0.q_proj.weight")
    }
    parameters["norm.weight"] = nn.Parameter(torch.ones(3))
    optimizers = muon(parameters, lr=0.1)
    assert [id(p) for g in optimizers["muon"].param_groups for p in g["params"]] == [id(parameters["layers.0.q_proj.weight"])]
    assert sum(len(g["params"]) for g in optimizers["adamw"].param_groups) == 3
