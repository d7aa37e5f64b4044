"""Gradients of the losses against finite differences, and shapes: one value per item.

The losses of reward models have the same checks in `test_reward.py`.
"""

from collections.abc import Callable

import pytest
import torch
from pytest import approx
from torch import Tensor

from fairlead.losses import binary, policy, preference, reward, sft, unified, value
from fairlead.losses.preference import PairLogps, PairTokens

GOOD = torch.arange(24) % 3 > 0
LENGTHS = PairTokens(*(1.0 + torch.arange(24).roll(shift) % 7 for shift in (0, 3)))
Loss = Callable[[Tensor, Tensor, Tensor], Tensor]
# Losses of any number of items, in which item i depends on row i of the inputs only.
ROW_BY_ROW: dict[str, Loss] = {
    "sft": lambda x, y, z: sft.negative_log_likelihood(x),
    "bradley_terry": lambda x, y, z: reward.bradley_terry(x, y),
    "ppo_clip": lambda x, y, z: policy.ppo_clip(x, y.detach(), z, clip=0.2),
    "clipped_value": lambda x, y, z: value.clipped_value(x, y.detach(), z, clip=0.2),
}
# Losses with a reference, which is built from two rows of the inputs.
WITH_REFERENCE: dict[str, Loss] = {
    "dpo": lambda x, y, z: preference.dpo(PairLogps(x, y), PairLogps(z, z.flip(0)), beta=0.3),
    "conservative dpo": lambda x, y, z: preference.dpo(
        PairLogps(x, y), PairLogps(z, z.flip(0)), beta=0.3, flip_rate=0.2
    ),
}
# Losses of exactly 24 items.
LOSSES: dict[str, Loss] = {
    **ROW_BY_ROW,
    **WITH_REFERENCE,
    "robust": lambda x, y, z: preference.robust_dpo(
        PairLogps(x, y), PairLogps(z, z.flip(0)), beta=0.3, flip_rate=0.2
    ),
    "hinge": lambda x, y, z: preference.hinge(PairLogps(x, y), PairLogps(z, z.flip(0)), beta=0.3),
    "ipo": lambda x, y, z: preference.ipo(PairLogps(x, y), PairLogps(z, z.flip(0)), LENGTHS, tau=0.3),
    "simpo": lambda x, y, z: preference.simpo(PairLogps(x, y), LENGTHS, beta=2.0, gamma=0.5),
    # Log-probabilities are negative.
    "orpo": lambda x, y, z: preference.orpo(PairLogps(-x.exp(), -y.exp()), LENGTHS, weight=0.5),
    "orpo, rejected": lambda x, y, z: preference.orpo(PairLogps(-y.exp(), -x.exp()), LENGTHS, weight=0.5),
    "nll": lambda x, y, z: preference.chosen_nll(PairLogps(x, y), LENGTHS),
    "kto": lambda x, y, z: binary.kto(
        x - z, GOOD, beta=0.8, reference_point=0.2, desirable_weight=1.5, undesirable_weight=0.7
    ),
    "squared": lambda x, y, z: unified.squared_error(0.8 * (x - z), y.sigmoid()),
    "cross-entropy": lambda x, y, z: unified.cross_entropy(0.8 * (x - z), y.sigmoid()),
}


def random(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("name", LOSSES)
def test_gradients_equal_finite_differences(name: str) -> None:
    x, y, z = random(24, seed=3), random(24, seed=4), random(24, seed=5)
    x.requires_grad_()
    LOSSES[name](x, y, z).sum().backward()
    assert x.grad is not None and float(x.grad.abs().max()) > 0.1
    step = 1e-6
    for i in range(24):
        moved = x.detach().clone()
        moved[i] += step
        up = LOSSES[name](moved, y, z).sum()
        moved[i] -= 2 * step
        down = LOSSES[name](moved, y, z).sum()
        expected = ((up - down) / (2 * step)).item()  # of order 1
        assert x.grad[i].item() == approx(expected, abs=1e-7), (name, i)


@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_returns_one_value_per_item(name: str) -> None:
    x, y, z = random(24, seed=6), random(24, seed=7), random(24, seed=8)
    assert LOSSES[name](x, y, z).shape == (24,)


@pytest.mark.parametrize("name", [*ROW_BY_ROW, *WITH_REFERENCE])
def test_the_number_of_items_is_free(name: str) -> None:
    x, y, z = random(6, seed=6), random(6, seed=7), random(6, seed=8)
    assert LOSSES[name](x, y, z).shape == (6,)


@pytest.mark.parametrize("name", ROW_BY_ROW)
def test_an_item_does_not_depend_on_the_others(name: str) -> None:
    x, y, z = random(6, seed=6), random(6, seed=7), random(6, seed=8)
    together = ROW_BY_ROW[name](x, y, z)
    alone = torch.cat([ROW_BY_ROW[name](x[i : i + 1], y[i : i + 1], z[i : i + 1]) for i in range(6)])
    assert torch.equal(together, alone)
