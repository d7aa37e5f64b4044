import math

import pytest
import torch
from pytest import approx
from torch import nn, tensor

from fairlead.core.errors import NonFiniteStep
from fairlead.train.optim import adamw, update


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
