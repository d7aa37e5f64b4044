"""The losses of the direct methods: numbers by hand, gradients by finite differences, swapped labels, and what the papers promise."""

import math
from collections.abc import Callable

import pytest
import torch
from pytest import approx
from torch import Tensor, tensor

from fairlead.losses import binary, preference, reward, unified
from fairlead.losses.preference import PairLogps, PairTokens

POLICY = PairLogps(tensor([-1.0]), tensor([-3.0]))
REFERENCE = PairLogps(tensor([-1.0]), tensor([-1.0]))  # the margin is (-1 + 1) - (-3 + 1) = 2
TOKENS = PairTokens(tensor([2.0]), tensor([4.0]))
SWAPPED = PairLogps(POLICY.rejected, POLICY.chosen)
EVEN = PairLogps(tensor([-2.0]), tensor([-2.0]))
SAME = PairTokens(tensor([2.0]), tensor([2.0]))


def random(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


# ---------------------------------------------------------------- pairs


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
    assert (conservative - right).abs().max() > 0.1  # conservative DPO is another thing


def test_hinge_by_hand() -> None:
    # margin 2: 1 - 0.25 * 2 = 0.5; 1 - 0.5 * 2 = 0; beyond that nothing; swapped, 1 + 0.5 * 2 = 2
    found = [preference.hinge(POLICY, REFERENCE, beta=beta).item() for beta in (0.25, 0.5, 2.0)]
    assert found == approx([0.5, 0.0, 0.0], abs=1e-6)
    assert preference.hinge(SWAPPED, REFERENCE, beta=0.5).item() == approx(2.0, abs=1e-6)


def test_ipo_by_hand() -> None:
    # per token: 0 / 2 - (-2) / 4 = 0.5.  tau 0.25 aims at 2: (0.5 - 2)^2 = 2.25; tau 1 aims at 0.5, which is reached
    found = [preference.ipo(POLICY, REFERENCE, TOKENS, tau=tau).item() for tau in (0.25, 1.0)]
    assert found == approx([2.25, 0.0], abs=1e-6)


def test_ipo_also_costs_when_it_goes_too_far() -> None:
    far = PairLogps(tensor([-1.0]), tensor([-9.0]))  # per token 2, where 0.5 was aimed at
    assert preference.ipo(far, REFERENCE, TOKENS, tau=1.0).item() == approx(2.25, abs=1e-6)


def test_simpo_by_hand() -> None:
    # means -0.5 and -0.75, times 4: 1.  gamma 0: log(1 + e^-1) = 0.31326; gamma 1: log 2
    found = [preference.simpo(POLICY, TOKENS, beta=4.0, gamma=gamma).item() for gamma in (0.0, 1.0)]
    assert found == approx([0.31326, math.log(2)], abs=1e-5)


def test_orpo_by_hand() -> None:
    # p = 1/2 per token and 1/4 per token: odds 1 and 1/3, log odds ratio ln 3, sigma of it 3/4.  ln 2 + 2 * ln(4/3) = 1.26851
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


def test_a_certain_answer_gives_orpo_no_infinity() -> None:
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


# ---------------------------------------------------------------- binary


def test_kto_by_hand() -> None:
    # r = 2, z = 1, beta = 1.  good: 1 - sigma(1) = 0.26894, times 2; bad: 1 - sigma(-1) = 0.73106, times a half
    losses = binary.kto(
        tensor([2.0, 2.0]),
        tensor([True, False]),
        beta=1.0,
        reference_point=1.0,
        desirable_weight=2.0,
        undesirable_weight=0.5,
    )
    assert losses.tolist() == approx([0.53788, 0.36553], abs=1e-5)


def test_kto_punishes_swapped_labels() -> None:
    settings = dict(beta=0.5, reference_point=0.3, desirable_weight=1.0, undesirable_weight=1.0)
    ratios = tensor([2.0, -2.0])
    right, wrong = (
        binary.kto(ratios, tensor(labels), **settings) for labels in ([True, False], [False, True])
    )
    assert (right < 0.5).all() and (wrong > 0.5).all()


def test_the_reference_point_divides_good_from_bad() -> None:
    ratios, good = tensor([2.0, 0.5, 0.5, 1.0]), tensor([True, True, False, True])
    assert binary.accuracy(ratios, good, reference_point=1.0).tolist() == [1.0, 0.0, 1.0, 0.5]


# ---------------------------------------------------------------- unified


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
    found = unified.squared_error(0.03 * (logps - before), ratings)
    for i in range(50):
        reward = 0.03 * (float(logps[i]) - float(before[i]))
        assert found[i].item() == approx((1 / (1 + math.exp(-reward)) - float(ratings[i])) ** 2, abs=1e-9)


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
def test_scores_pull_to_their_side_of_a_half(loss: Callable[[Tensor, Tensor], Tensor]) -> None:
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
    # prompt 0 has a mean of 0.8: 0.5 +- 0.1.  The others have one score each, moved by the mean of all, 0.6
    found = unified.centred(tensor([0.9, 0.3, 0.7, 0.5]), tensor([0, 1, 0, 2]))
    assert found.tolist() == approx([0.6, 0.2, 0.4, 0.4], abs=1e-6)
    # a mean of 1/3: 1 would become 1.17, which is no score
    assert unified.centred(tensor([1.0, 0.0, 0.0]), tensor([0, 0, 0])).tolist() == approx(
        [1.0, 0.16667, 0.16667], abs=1e-5
    )


# ---------------------------------------------------------------- all

GOOD = torch.arange(24) % 3 > 0
LENGTHS = PairTokens(*(1.0 + torch.arange(24).roll(shift) % 7 for shift in (0, 3)))
LOSSES: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    "robust": lambda x, y, z: preference.robust_dpo(
        PairLogps(x, y), PairLogps(z, z.flip(0)), beta=0.3, flip_rate=0.2
    ),
    "hinge": lambda x, y, z: preference.hinge(PairLogps(x, y), PairLogps(z, z.flip(0)), beta=0.3),
    "ipo": lambda x, y, z: preference.ipo(PairLogps(x, y), PairLogps(z, z.flip(0)), LENGTHS, tau=0.3),
    "simpo": lambda x, y, z: preference.simpo(PairLogps(x, y), LENGTHS, beta=2.0, gamma=0.5),
    "orpo": lambda x, y, z: preference.orpo(
        PairLogps(-x.exp(), -y.exp()), LENGTHS, weight=0.5
    ),  # log-probabilities are negative
    "orpo, rejected": lambda x, y, z: preference.orpo(PairLogps(-y.exp(), -x.exp()), LENGTHS, weight=0.5),
    "nll": lambda x, y, z: preference.chosen_nll(PairLogps(x, y), LENGTHS),
    "kto": lambda x, y, z: binary.kto(
        x - z, GOOD, beta=0.8, reference_point=0.2, desirable_weight=1.5, undesirable_weight=0.7
    ),
    "squared": lambda x, y, z: unified.squared_error(0.8 * (x - z), y.sigmoid()),
    "cross-entropy": lambda x, y, z: unified.cross_entropy(0.8 * (x - z), y.sigmoid()),
    "pairwise": lambda x, y, z: reward.bradley_terry(x, y),
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
def test_one_value_per_item(name: str) -> None:
    x, y, z = random(24, seed=6), random(24, seed=7), random(24, seed=8)
    assert LOSSES[name](x, y, z).shape == (24,)
