"""Every loss: numbers by hand, gradients by finite differences, and what happens when somebody swaps a sign or a label."""

import math
from collections.abc import Callable

import pytest
import torch
from pytest import approx
from torch import Tensor, tensor

from fairlead.losses import policy, preference, reward, sft, value
from fairlead.losses.preference import PairLogps

EVEN = PairLogps(tensor([-2.0]), tensor([-2.0]))


def random(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


# ---------------------------------------------------------------- sft


def test_likelihood_by_hand() -> None:
    # a token of probability 1/4 costs ln 4; a position without loss has log-probability zero and costs nothing
    losses = sft.negative_log_likelihood(tensor([[0.0, math.log(0.25), math.log(0.5)]]))
    assert losses[0].tolist() == approx([0.0, math.log(4), math.log(2)], abs=1e-6)


def test_likelihood_is_a_price_for_unlikely_tokens() -> None:
    likely, unlikely = tensor([[-0.1]]), tensor([[-3.0]])
    assert 0 < sft.negative_log_likelihood(likely) < sft.negative_log_likelihood(unlikely)


# ---------------------------------------------------------------- reward


def test_bradley_terry_by_hand() -> None:
    # differences 0, 1 and -2: ln 2, ln(1 + e^-1) = 0.3133, ln(1 + e^2) = 2.1269
    losses = reward.bradley_terry(tensor([5.0, 1.0, -1.0]), tensor([5.0, 0.0, 1.0]))
    assert losses.tolist() == approx([math.log(2), 0.3133, 2.1269], abs=1e-4)


def test_bradley_terry_punishes_swapped_labels() -> None:
    high, low = tensor([2.0]), tensor([-1.0])
    assert reward.bradley_terry(high, low) < math.log(2) < reward.bradley_terry(low, high)


def test_bradley_terry_does_not_see_a_common_shift_and_survives_large_scores() -> None:
    assert reward.bradley_terry(tensor([3.0]), tensor([1.0])) == reward.bradley_terry(
        tensor([103.0]), tensor([101.0])
    )
    assert reward.bradley_terry(tensor([-500.0]), tensor([500.0])).item() == 1000.0  # not infinity


def test_accuracy_counts_a_tie_as_half() -> None:
    assert reward.accuracy(tensor([2.0, 1.0, 1.0]), tensor([1.0, 1.0, 2.0])).tolist() == [1.0, 0.5, 0.0]


# ---------------------------------------------------------------- preference


def test_dpo_by_hand() -> None:
    chosen, reference = PairLogps(tensor([-1.0]), tensor([-3.0])), PairLogps(tensor([-1.0]), tensor([-1.0]))
    # margin = (-1 + 1) - (-3 + 1) = 2;  beta 0.5 -> logit 1;  loss = log(1 + e^-1) = 0.3133
    assert preference.preference_margin(chosen, reference).item() == 2.0
    assert preference.dpo(chosen, reference, beta=0.5).item() == approx(0.3133, abs=1e-4)


def test_dpo_with_a_flip_rate_by_hand() -> None:
    chosen, reference = PairLogps(tensor([-1.0]), tensor([-3.0])), PairLogps(tensor([-1.0]), tensor([-1.0]))
    # 0.9 * 0.3133 + 0.1 * log(1 + e^1) = 0.28194 + 0.13133 = 0.4133
    assert preference.dpo(chosen, reference, beta=0.5, flip_rate=0.1).item() == approx(0.4133, abs=1e-4)


def test_dpo_punishes_swapped_labels() -> None:
    good, bad = PairLogps(tensor([-1.0]), tensor([-3.0])), PairLogps(tensor([-3.0]), tensor([-1.0]))
    assert preference.dpo(good, EVEN, beta=0.5) < math.log(2) < preference.dpo(bad, EVEN, beta=0.5)


def test_dpo_punishes_policy_and_reference_in_each_others_place() -> None:
    good = PairLogps(tensor([-1.0]), tensor([-3.0]))
    assert preference.dpo(good, EVEN, beta=0.5) < math.log(2) < preference.dpo(EVEN, good, beta=0.5)


def test_dpo_begins_at_log_two_and_pushes_apart() -> None:
    chosen, rejected = tensor([-2.0], requires_grad=True), tensor([-2.0], requires_grad=True)
    loss = preference.dpo(PairLogps(chosen, rejected), EVEN, beta=0.4)
    assert loss.item() == approx(math.log(2), abs=1e-6)
    loss.sum().backward()
    # d/dx of -ln sigma(0.4 x) at 0 = -0.4 * (1 - sigma(0)) = -0.2
    assert chosen.grad is not None and rejected.grad is not None
    assert [chosen.grad.item(), rejected.grad.item()] == approx([-0.2, 0.2], abs=1e-6)


# ---------------------------------------------------------------- policy


def test_the_clipped_loss_by_hand() -> None:
    ratios = tensor([[1.0, 1.5, 0.5, 1.5, 0.5]])
    advantages = tensor([[2.0, 2.0, 2.0, -2.0, -2.0]])
    # clip 0.2.  A > 0: -2 * 1; -2 * min(1.5, 1.2) = -2.4; -2 * min(0.5, 0.8) = -1.0
    #            A < 0: 2 * max(1.5, 1.2) = 3.0; 2 * max(0.5, 0.8) = 1.6
    losses = policy.ppo_clip(ratios.log(), torch.zeros(1, 5), advantages, clip=0.2)
    assert losses[0].tolist() == approx([-2.0, -2.4, -1.0, 3.0, 1.6], abs=1e-6)


def test_there_is_nothing_to_gain_beyond_the_clip() -> None:
    logps = tensor([[1.5, 0.5, 1.5, 0.5]]).log().requires_grad_()
    policy.ppo_clip(logps, torch.zeros(1, 4), tensor([[2.0, 2.0, -2.0, -2.0]]), clip=0.2).sum().backward()
    # going further up a good one and further down a bad one earns nothing; coming back does.  d/dlogp = -A * ratio
    assert logps.grad is not None
    assert logps.grad[0].tolist() == approx([0.0, -1.0, 3.0, 0.0], abs=1e-6)


def test_good_tokens_become_likelier_and_bad_ones_rarer() -> None:
    # fails if the advantage's sign were lost, or if old and new log-probabilities changed places
    logps = tensor([[-1.0, -1.0]], requires_grad=True)
    policy.ppo_clip(logps, tensor([[-1.0, -1.0]]), tensor([[1.0, -1.0]]), clip=0.2).sum().backward()
    assert logps.grad is not None
    step = -logps.grad[0]
    assert step[0] > 0 > step[1]


def test_clipped_tokens_are_counted() -> None:
    ratios = tensor([[1.0, 1.19, 1.21, 0.81, 0.79]])
    assert policy.is_clipped(ratios.log(), torch.zeros(1, 5), clip=0.2).tolist() == [
        [0.0, 0.0, 1.0, 0.0, 1.0]
    ]


# ---------------------------------------------------------------- value


def test_the_value_loss_by_hand() -> None:
    values, old, returns = tensor([[1.0, 2.0, 1.0]]), tensor([[1.0, 1.0, 1.9]]), tensor([[3.0, 3.0, 1.0]])
    # clip 0.2.  unmoved: (1 - 3)^2 / 2 = 2
    #            moved by 1 towards 3: held at 1.2, so max(1, 3.24) / 2 = 1.62
    #            moved by -0.9 onto 1: held at 1.7, so max(0, 0.49) / 2 = 0.245
    assert value.clipped_value(values, old, returns, clip=0.2)[0].tolist() == approx(
        [2.0, 1.62, 0.245], abs=1e-6
    )


def test_without_a_clip_it_is_half_the_squared_error() -> None:
    values, old, returns = random(3, 4, seed=0), random(3, 4, seed=1), random(3, 4, seed=2)
    expected = 0.5 * (values - returns) ** 2
    assert (value.clipped_value(values, old, returns, clip=1e6) - expected).abs().max() < 1e-12


def test_the_critic_is_drawn_towards_the_return() -> None:
    # fails if values and returns changed places in the gradient, or if the error's sign were wrong
    values = tensor([[1.0, 1.0]], requires_grad=True)
    value.clipped_value(values, tensor([[1.0, 1.0]]), tensor([[2.0, 0.5]]), clip=10.0).sum().backward()
    assert values.grad is not None
    assert values.grad[0].tolist() == approx([-1.0, 0.5], abs=1e-6)


# ---------------------------------------------------------------- all


LOSSES: dict[str, Callable[..., Tensor]] = {
    "sft": lambda x, y, z: sft.negative_log_likelihood(x),
    "bradley_terry": lambda x, y, z: reward.bradley_terry(x, y),
    "dpo": lambda x, y, z: preference.dpo(PairLogps(x, y), PairLogps(z, z.flip(0)), beta=0.3),
    "conservative dpo": lambda x, y, z: preference.dpo(
        PairLogps(x, y), PairLogps(z, z.flip(0)), beta=0.3, flip_rate=0.2
    ),
    "ppo_clip": lambda x, y, z: policy.ppo_clip(x, y.detach(), z, clip=0.2),
    "clipped_value": lambda x, y, z: value.clipped_value(x, y.detach(), z, clip=0.2),
}


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
        assert x.grad[i].item() == approx(((up - down) / (2 * step)).item(), abs=1e-7), (
            name,
            i,
        )  # of order 1


@pytest.mark.parametrize("name", LOSSES)
def test_one_value_per_item_and_no_item_looks_at_another(name: str) -> None:
    x, y, z = random(6, seed=6), random(6, seed=7), random(6, seed=8)
    together = LOSSES[name](x, y, z)
    assert together.shape == (6,)
    if "dpo" not in name:  # whose reference pairs are made from two rows above
        alone = torch.cat([LOSSES[name](x[i : i + 1], y[i : i + 1], z[i : i + 1]) for i in range(6)])
        assert torch.equal(together, alone)


def test_a_margin_of_rounding_is_half_a_preference() -> None:
    assert preference.accuracy(tensor([0.5, -0.5, 1e-6, -1e-6, 0.0])).tolist() == [1.0, 0.0, 0.5, 0.5, 0.5]
