"""The clipped value loss: hand-worked numbers and the direction of its gradient."""

import torch
from pytest import approx
from torch import Tensor, tensor

from fairlead.losses import value


def random(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_the_value_loss_by_hand() -> None:
    values, old, returns = tensor([[1.0, 2.0, 1.0]]), tensor([[1.0, 1.0, 1.9]]), tensor([[3.0, 3.0, 1.0]])
    # clip 0.2.  unmoved: (1 - 3)^2 / 2 = 2
    #            moved by 1 towards 3: clipped to 1.2, so max(1, 3.24) / 2 = 1.62
    #            moved by -0.9 to 1: clipped to 1.7, so max(0, 0.49) / 2 = 0.245
    assert value.clipped_value(values, old, returns, clip=0.2)[0].tolist() == approx(
        [2.0, 1.62, 0.245], abs=1e-6
    )


def test_without_a_clip_the_loss_is_half_the_squared_error() -> None:
    values, old, returns = random(3, 4, seed=0), random(3, 4, seed=1), random(3, 4, seed=2)
    expected = 0.5 * (values - returns) ** 2
    assert (value.clipped_value(values, old, returns, clip=1e6) - expected).abs().max() < 1e-12


def test_values_move_towards_the_return() -> None:
    # fails if values and returns changed places in the gradient, or if the error's sign were wrong
    values = tensor([[1.0, 1.0]], requires_grad=True)
    value.clipped_value(values, tensor([[1.0, 1.0]]), tensor([[2.0, 0.5]]), clip=10.0).sum().backward()
    assert values.grad is not None
    assert values.grad[0].tolist() == approx([-1.0, 0.5], abs=1e-6)
