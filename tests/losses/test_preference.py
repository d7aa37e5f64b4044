"""Pairwise losses: hand-worked numbers, swapped labels, and identities from the papers."""

import math
from collections.abc import Callable

import pytest
import torch
from pytest import approx
from torch import Tensor, tensor

from fairlead.losses import preference
from fairlead.losses.preference import PairLogps, PairTokens

EVEN = PairLogps(tensor([-2.0]), tensor([-2.0]))


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


def test_dpo_punishes_swapped_policy_and_reference() -> None:
    good = PairLogps(tensor([-1.0]), tensor([-3.0]))
    assert preference.dpo(good, EVEN, beta=0.5) < math.log(2) < preference.dpo(EVEN, good, beta=0.5)


def test_dpo_starts_at_log_two_and_separates_the_answers() -> None:
    chosen, rejected = tensor([-2.0], requires_grad=True), tensor([-2.0], requires_grad=True)
    loss = preference.dpo(PairLogps(chosen, rejected), EVEN, beta=0.4)
    assert loss.item() == approx(math.log(2), abs=1e-6)
    loss.sum().backward()
    # d/dx of -ln sigma(0.4 x) at 0 = -0.4 * (1 - sigma(0)) = -0.2
    assert chosen.grad is not None and rejected.grad is not None
    assert [chosen.grad.item(), rejected.grad.item()] == approx([-0.2, 0.2], abs=1e-6)


def test_a_margin_within_rounding_counts_as_half() -> None:
    assert preference.accuracy(tensor([0.5, -0.5, 1e-6, -1e-6, 0.0])).tolist() == [1.0, 0.0, 0.5, 0.5, 0.5]


POLICY = PairLogps(tensor([-1.0]), tensor([-3.0]))


REFERENCE = PairLogps(tensor([-1.0]), tensor([-1.0]))  # the margin is (-1 + 1) - (-3 + 1) = 2


TOKENS = PairTokens(tensor([2.0]), tensor([4.0]))


SWAPPED = PairLogps(POLICY.rejected, POLICY.chosen)


SAME = PairTokens(tensor([2.0]), tensor([2.0]))


def random(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_robust_dpo_by_hand() -> None:
    # beta 0.5 -> logit 1.  (0.9 * 0.31326 - 0.1 * 1.31326) / (1 - 0.2) = 0.15061 / 0.8 = 0.18826
    assert preference.robust_dpo(POLICY, REFERENCE, beta=0.5, flip_rate=0.1).item() == approx(
        0.18826, abs=1e-5
    )


def test_robust_dpo_over_swapped_labels_is_plain_dpo_over_true_ones() -> None:
    rate = 0.3
    policy, reference = (
        PairLogps(random(9, seed=1), random(9, seed=2)),
        PairLogps(random(9, seed=3), random(9, seed=4)),
    )
    right = preference.robust_dpo(policy, reference, beta=0.7, flip_rate=rate)
    flipped = preference.robust_dpo(
        PairLogps(*policy[::-1]), PairLogps(*reference[::-1]), beta=0.7, flip_rate=rate
    )
    expected = (1 - rate) * right + rate * flipped
    assert (expected - preference.dpo(policy, reference, beta=0.7)).abs().max() < 1e-12
    conservative = preference.dpo(policy, reference, beta=0.7, flip_rate=rate)
    assert (conservative - right).abs().max() > 0.1  # conservative DPO differs


def test_hinge_by_hand() -> None:
    # margin 2: 1 - 0.25 * 2 = 0.5; 1 - 0.5 * 2 = 0; below zero, 0; swapped, 1 + 0.5 * 2 = 2
    losses = [preference.hinge(POLICY, REFERENCE, beta=beta).item() for beta in (0.25, 0.5, 2.0)]
    assert losses == approx([0.5, 0.0, 0.0], abs=1e-6)
    assert preference.hinge(SWAPPED, REFERENCE, beta=0.5).item() == approx(2.0, abs=1e-6)


def test_ipo_by_hand() -> None:
    # margin per token: 0 / 2 - (-2) / 4 = 0.5.  The target is 1 / (2 tau): for tau 0.25 it is 2, and
    # (0.5 - 2)^2 = 2.25; for tau 1 it is 0.5, which is reached.
    losses = [preference.ipo(POLICY, REFERENCE, TOKENS, tau=tau).item() for tau in (0.25, 1.0)]
    assert losses == approx([2.25, 0.0], abs=1e-6)


def test_ipo_penalises_a_margin_above_its_target() -> None:
    far = PairLogps(tensor([-1.0]), tensor([-9.0]))  # per token 2, where 0.5 was aimed at
    assert preference.ipo(far, REFERENCE, TOKENS, tau=1.0).item() == approx(2.25, abs=1e-6)


def test_simpo_by_hand() -> None:
    # means -0.5 and -0.75, times 4: 1.  gamma 0: log(1 + e^-1) = 0.31326; gamma 1: log 2
    losses = [preference.simpo(POLICY, TOKENS, beta=4.0, gamma=gamma).item() for gamma in (0.0, 1.0)]
    assert losses == approx([0.31326, math.log(2)], abs=1e-5)


def test_orpo_by_hand() -> None:
    # p = 1/2 and 1/4 per token: odds 1 and 1/3, log odds ratio ln 3, sigma(ln 3) = 3/4.
    # ln 2 + 2 * ln(4/3) = 1.26851
    policy = PairLogps(tensor([2 * math.log(1 / 2)]), tensor([3 * math.log(1 / 4)]))
    tokens = PairTokens(tensor([2.0]), tensor([3.0]))
    assert preference.log_odds_ratio(policy, tokens).item() == approx(math.log(3), abs=1e-6)
    assert preference.orpo(policy, tokens, weight=2.0).item() == approx(1.26851, abs=1e-5)
    assert preference.chosen_nll(policy, tokens).item() == approx(math.log(2), abs=1e-6)


def test_log1mexp_at_both_ends() -> None:
    x = tensor([-1e-5, -math.log(2), -5.0, -100.0], dtype=torch.float64)
    # 1 - e^-x = x - x^2/2 near 0;  1/2;  1 - 0.0067379;  1
    expected = [math.log(1e-5 - 5e-11), -math.log(2), math.log(1 - math.exp(-5)), 0.0]
    assert preference.log1mexp(x).tolist() == approx(expected, abs=1e-9)


def test_orpo_is_finite_for_a_certain_answer() -> None:
    chosen, rejected = tensor([0.0], requires_grad=True), tensor([-200.0], requires_grad=True)
    loss = preference.orpo(PairLogps(chosen, rejected), SAME, weight=1.0)
    loss.sum().backward()
    assert chosen.grad is not None and rejected.grad is not None
    assert all(math.isfinite(value) for value in (loss.item(), chosen.grad.item(), rejected.grad.item()))


PAIRWISE: dict[str, Callable[[PairLogps], Tensor]] = {
    "robust": lambda pair: preference.robust_dpo(pair, EVEN, beta=0.5, flip_rate=0.2),
    "hinge": lambda pair: preference.hinge(pair, EVEN, beta=0.5),
    "ipo": lambda pair: preference.ipo(pair, EVEN, SAME, tau=0.3),
    "simpo": lambda pair: preference.simpo(pair, SAME, beta=2.0, gamma=0.5),
    "orpo": lambda pair: preference.orpo(pair, SAME, weight=0.5),
}


@pytest.mark.parametrize("name", PAIRWISE)
def test_swapped_labels_cost_more(name: str) -> None:
    loss = PAIRWISE[name]
    assert loss(POLICY) < loss(EVEN) < loss(SWAPPED)
