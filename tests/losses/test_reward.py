"""Losses of reward models: hand-worked numbers, finite differences, and swapped labels."""

import math
from collections.abc import Callable

import pytest
import torch
from pytest import approx
from torch import Tensor, tensor

from fairlead.losses import reward

ZERO = tensor([0.0])
ONE = tensor([1.0])
WEIGHTS = tensor([[4.0, 2.0, 1.0]]).log()  # scores whose exponentials are easy to add


def test_a_margin_by_hand() -> None:
    # 2 - 0.5 - 0.25 * 3 = 0.75;  ln(1 + e^-0.75) = 0.38687, where no margin costs ln(1 + e^-1.5) = 0.20141
    logits = reward.margin_logits(tensor([2.0]), tensor([0.5]), tensor([3.0]), scale=0.25)
    assert logits.item() == approx(0.75, abs=1e-6)
    assert reward.noisy_label(logits, ONE, ZERO).item() == approx(0.38687, abs=1e-5)


def test_a_choice_by_hand() -> None:
    logits = tensor([math.log(3)] * 4)  # sigma = 3/4
    targets, errors = tensor([1.0, 1.0, 0.9, 1.0]), tensor([0.0, 0.2, 0.2, 0.9])
    # -ln 0.75;  P = 0.8 * 0.75 + 0.2 * 0.25 = 0.65;  -0.9 ln 0.65 - 0.1 ln 0.35;
    # adversary: 0.1 * 0.75 + 0.9 * 0.25 = 0.3
    expected = [0.287682, 0.430783, 0.492687, 1.203973]
    assert reward.noisy_label(logits, targets, errors).tolist() == approx(expected, abs=1e-5)


def test_a_choice_without_noise_is_bradley_terry_bit_for_bit() -> None:
    chosen, rejected = torch.randn(2, 500, generator=torch.Generator().manual_seed(0)) * 20
    chosen.requires_grad_()
    plain, general = (
        reward.bradley_terry(chosen, rejected),
        reward.noisy_label(chosen - rejected, torch.ones(500), torch.zeros(500)),
    )
    assert torch.equal(plain, general)
    assert torch.equal(
        torch.autograd.grad(plain.sum(), chosen)[0], torch.autograd.grad(general.sum(), chosen)[0]
    )


def test_a_label_that_is_surely_flipped_stops_pulling() -> None:
    logits = tensor([-8.0], requires_grad=True)
    reward.noisy_label(logits, ONE, tensor([0.2])).backward()
    assert logits.grad is not None and -0.01 < logits.grad.item() < 0  # plain Bradley-Terry pulls with 1


@pytest.mark.parametrize("error", [0.0, 0.3, 0.9])
def test_a_choice_punishes_swapped_labels_unless_the_rater_is_an_adversary(error: float) -> None:
    right, wrong = (reward.noisy_label(tensor([z]), ONE, tensor([error])).item() for z in (2.0, -2.0))
    assert (right < math.log(2) < wrong) == (error < 0.5)


def test_ties_by_hand() -> None:
    # e^(z/2) = 2, e^-(z/2) = 0.5, e^nu = 1.5, sum 4: P = 0.5, 0.375, 0.125.
    # Error 0.1: 0.9 * 0.5 + 0.1 * 0.125 = 0.4625
    logits, nu = tensor([2 * math.log(2)] * 3), tensor(math.log(1.5))
    losses = reward.davidson(logits, tensor([False, True, False]), tensor([0.0, 0.0, 0.1]), nu)
    assert losses.tolist() == approx([math.log(2), 0.980829, 0.771109], abs=1e-5)


def test_ties_draw_together_and_choices_apart() -> None:
    logits = tensor([1.0, 1.0], requires_grad=True)
    reward.davidson(logits, tensor([True, False]), torch.zeros(2), tensor(0.0)).sum().backward()
    assert logits.grad is not None
    assert logits.grad[0] > 0 > logits.grad[1]


def test_good_ties_pull_up_and_bad_ones_down_by_hand() -> None:
    # sigma(ln 3) = 0.75, sigma(0) = 0.5.  good: -(ln 0.75 + ln 0.5) / 2;  bad: -(ln 0.25 + ln 0.5) / 2
    first, second = tensor([math.log(3)] * 2), tensor([0.0, 0.0])
    assert reward.tie_anchor(first, second, tensor([True, False])).tolist() == approx(
        [0.490415, 1.039721], abs=1e-5
    )


def test_rankings_by_hand() -> None:
    # weights 4, 2, 1.  in order: 4/7 * 2/3 = 8/21;  the last two tied: 4/7;
    # the first two tied: 4/5 * 2/3 = 8/15;  third absent: 4/6
    ranks = tensor([[1, 2, 3], [1, 2, 2], [1, 1, 2], [1, 2, 0]])
    losses = reward.plackett_luce(WEIGHTS.expand(4, 3), ranks)
    assert losses.tolist() == approx(
        [math.log(21 / 8), math.log(7 / 4), math.log(15 / 8), math.log(6 / 4)], abs=1e-5
    )


def test_rankings_as_pairs_by_hand() -> None:
    # pairs 4/6, 4/5, 2/3: mean of 0.405465, 0.223144, 0.405465;  with the last two tied, the first two pairs
    losses = reward.ranked_pairs(WEIGHTS.expand(2, 3), tensor([[1, 2, 3], [1, 2, 2]]))
    assert losses.tolist() == approx([0.344691, 0.314304], abs=1e-5)


def test_rankings_of_two_are_bradley_terry() -> None:
    scores = torch.randn(50, 2, generator=torch.Generator().manual_seed(1))
    ranks = tensor([[1, 2]]).expand(50, 2)
    plain = reward.bradley_terry(scores[:, 0], scores[:, 1])
    assert (reward.plackett_luce(scores, ranks) - plain).abs().max() < 1e-6
    assert torch.equal(reward.ranked_pairs(scores, ranks), plain)


@pytest.mark.parametrize("loss", [reward.plackett_luce, reward.ranked_pairs])
def test_a_reversed_ranking_is_punished(loss: Callable[..., Tensor]) -> None:
    assert (
        loss(WEIGHTS, tensor([[1, 2, 3]]))
        < loss(WEIGHTS * 0, tensor([[1, 2, 3]]))
        < loss(WEIGHTS, tensor([[3, 2, 1]]))
    )


def test_plackett_luce_is_a_distribution_over_orders() -> None:
    orders = tensor([[1, 2, 3], [1, 3, 2], [2, 1, 3], [2, 3, 1], [3, 1, 2], [3, 2, 1]])
    assert (-reward.plackett_luce(WEIGHTS.expand(6, 3), orders)).exp().sum().item() == approx(1.0, abs=1e-6)


def test_centring_by_hand() -> None:
    scores, present = (
        tensor([[1.0, 2.0, 0.0], [1.0, 2.0, 3.0]]),
        tensor([[True, True, False], [True, True, True]]),
    )
    assert reward.centring(scores, present).tolist() == approx([9.0, 16.0], abs=1e-6)  # (1 + 2)^2; (2 * 2)^2


def test_the_correlation_with_length_by_hand() -> None:
    # centred: (-1, 1) with (-5, 5), and (2, -2) with (2, -2): (10 + 8) / sqrt((2 + 8) * (50 + 8)) = 0.747409
    scores, lengths = tensor([[1.0, 3.0, 0.0], [5.0, 1.0, 0.0]]), tensor([[10.0, 20.0, 0.0], [7.0, 3.0, 0.0]])
    present = tensor([[True, True, False]] * 2)
    assert reward.length_correlation(scores, lengths, present).item() == approx(0.747409, abs=1e-5)
    assert reward.length_correlation(-scores, lengths, present).item() == approx(-0.747409, abs=1e-5)


def test_the_accuracy_of_a_ranking_by_hand() -> None:
    # one pair of three has equal scores and counts half; a row of nothing but ties has no accuracy
    scores = tensor([[2.0, 2.0, 1.0], [2.0, 2.0, 1.0]])
    credit, is_decided = reward.ordered_accuracy(scores, tensor([[1, 2, 3], [1, 1, 1]]))
    assert credit.tolist() == approx([2.5 / 3, 0.0]) and is_decided.tolist() == [True, False]


def test_steps_by_hand() -> None:
    # sigma(ln 3) = 3/4: right -ln(3/4), wrong -ln(1/4);  sigma(0) = 1/2
    scores = tensor([math.log(3), math.log(3), 0.0])
    losses = reward.step_correctness(scores, tensor([True, False, False]))
    assert losses.tolist() == approx([0.287682, 1.386294, 0.693147], abs=1e-5)


def test_steps_punish_swapped_labels() -> None:
    scores, labels = tensor([2.0, -1.0]), tensor([True, False])
    assert (reward.step_correctness(scores, labels) < math.log(2)).all() and (
        reward.step_correctness(scores, ~labels) > math.log(2)
    ).all()


def test_a_step_far_on_the_wrong_side_still_pulls() -> None:
    scores = tensor([-500.0, 500.0], requires_grad=True)
    reward.step_correctness(scores, tensor([True, False])).sum().backward()
    assert scores.grad is not None and scores.grad.tolist() == approx([-1.0, 1.0], abs=1e-6)


HALF = torch.arange(24) % 2 == 0
RANKS = tensor([[1, 2, 3], [2, 1, 2], [3, 3, 1], [1, 2, 0]] * 2)
PRESENT = RANKS > 0
LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "margin": lambda x, y: reward.noisy_label(
        reward.margin_logits(x, y, y.abs(), scale=0.3), y.sigmoid(), 0.3 * x.sigmoid()
    ),
    "davidson": lambda x, y: reward.davidson(x, HALF.to(x.device), y.sigmoid(), x.mean()),
    "absolute": lambda x, y: reward.tie_anchor(x, y, HALF),
    "plackett_luce": lambda x, y: reward.plackett_luce(x.view(8, 3) * PRESENT, RANKS),
    "ranked_pairs": lambda x, y: reward.ranked_pairs(
        x.view(8, 3) * PRESENT, RANKS, flip_rate=0.1, smoothing=0.05
    ),
    "step_right": lambda x, y: reward.step_correctness(x, HALF),
    "centring": lambda x, y: reward.centring(x.view(8, 3), PRESENT),
    "length_correlation": lambda x, y: reward.length_correlation(
        x.view(8, 3), y.view(8, 3) * 3, PRESENT
    ).square(),
}


@pytest.mark.parametrize("name", LOSSES)
def test_gradients_equal_finite_differences(name: str) -> None:
    x, y = torch.randn(2, 24, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    x.requires_grad_()
    LOSSES[name](x, y).sum().backward()
    assert x.grad is not None and float(x.grad.abs().max()) > 0.01
    step = 1e-6
    for i in range(24):
        moved = x.detach().clone()
        moved[i] += step
        up = LOSSES[name](moved, y).sum()
        moved[i] -= 2 * step
        down = LOSSES[name](moved, y).sum()
        assert x.grad[i].item() == approx(((up - down) / (2 * step)).item(), abs=1e-7), (
            name,
            i,
        )  # of order 1


def test_an_error_rate_of_zero_leaves_no_trace_in_the_gradients() -> None:
    logits = tensor([500.0, -500.0, 0.0], requires_grad=True)
    (
        reward.noisy_label(logits, torch.ones(3), torch.zeros(3))
        + reward.davidson(logits, HALF[:3], torch.zeros(3), tensor(0.0))
    ).sum().backward()
    assert logits.grad is not None and torch.isfinite(logits.grad).all()


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
