"""Losses on scores: hand-worked numbers, swapped scores, and the paper's formula."""

import math
from collections.abc import Callable

import pytest
import torch
from pytest import approx
from torch import Tensor, tensor

from fairlead.losses import preference, reward, unified
from fairlead.losses.preference import PairLogps


def random(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_the_squared_error_by_hand() -> None:
    # sigma(ln 3) = 3/4: (3/4 - 1)^2 = 1/16; (3/4 - 1/4)^2 = 1/4; at the neutral score it begins at 0
    rewards = tensor([math.log(3), math.log(3), 0.0])
    assert unified.squared_error(rewards, tensor([1.0, 0.25, 0.5])).tolist() == approx(
        [0.0625, 0.25, 0.0], abs=1e-6
    )


def test_the_cross_entropy_by_hand() -> None:
    # -ln(3/4) = 0.28768; 0.25 * 0.28768 + 0.75 * ln 4 = 1.11164
    rewards = tensor([math.log(3), math.log(3)])
    assert unified.cross_entropy(rewards, tensor([1.0, 0.25])).tolist() == approx(
        [0.28768, 1.11164], abs=1e-5
    )


def test_the_papers_code_gives_the_same_numbers() -> None:
    # its formula, one answer at a time: (sigmoid(beta * (logp - logp_ref)) - rating)^2
    logps, before = 40 * random(50, seed=1) - 100, 40 * random(50, seed=2) - 100
    ratings = torch.rand(50, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    losses = unified.squared_error(0.03 * (logps - before), ratings)
    for i in range(50):
        reward = 0.03 * (float(logps[i]) - float(before[i]))
        assert losses[i].item() == approx((1 / (1 + math.exp(-reward)) - float(ratings[i])) ** 2, abs=1e-9)


def test_the_pairwise_form_is_dpo() -> None:
    policy, before = (
        PairLogps(random(9, seed=1), random(9, seed=2)),
        PairLogps(random(9, seed=3), random(9, seed=4)),
    )
    chosen, rejected = (0.4 * (x - y) for x, y in zip(policy, before, strict=True))
    assert (
        reward.bradley_terry(chosen, rejected) - preference.dpo(policy, before, beta=0.4)
    ).abs().max() < 1e-12


@pytest.mark.parametrize("loss", [unified.squared_error, unified.cross_entropy])
def test_gradients_point_to_the_side_of_the_score(loss: Callable[[Tensor, Tensor], Tensor]) -> None:
    rewards = torch.zeros(3, requires_grad=True)
    loss(rewards, tensor([0.9, 0.5, 0.1])).sum().backward()
    assert rewards.grad is not None
    up, still, down = (-rewards.grad).tolist()
    assert up > 0.1 and still == approx(0, abs=1e-7) and down == approx(-up, abs=1e-6)


@pytest.mark.parametrize("loss", [unified.squared_error, unified.cross_entropy])
def test_swapped_scores_cost_more(loss: Callable[[Tensor, Tensor], Tensor]) -> None:
    rewards = tensor([1.5, -1.5])
    assert (loss(rewards, tensor([1.0, 0.0])) < loss(rewards, tensor([0.0, 1.0]))).all()


def test_centred_scores_by_hand() -> None:
    # prompt 0 has a mean of 0.8: 0.5 +- 0.1.  The others have one score each
    # and are shifted by the overall mean, 0.6.
    losses = unified.centred(tensor([0.9, 0.3, 0.7, 0.5]), tensor([0, 1, 0, 2]))
    assert losses.tolist() == approx([0.6, 0.2, 0.4, 0.4], abs=1e-6)
    # a mean of 1/3: 1 would become 1.17, which is not a score
    assert unified.centred(tensor([1.0, 0.0, 0.0]), tensor([0, 0, 0])).tolist() == approx(
        [1.0, 0.16667, 0.16667], abs=1e-5
    )
