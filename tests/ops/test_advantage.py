import torch
from pytest import approx
from torch import Tensor, tensor

from fairlead.ops.advantage import batch_advantages, gae, group_advantages, leave_one_out_advantages


def slow_gae(rewards: Tensor, values: Tensor, mask: Tensor, gamma: float, lam: float) -> Tensor:
    """Eq. 16 as it stands: A_t = sum over l of (gamma lam)^l delta_{t+l}, row by row, from the selected
    stretch only.
    """
    advantages = torch.zeros_like(values)
    for b in range(values.shape[0]):
        places = [t for t in range(values.shape[1]) if mask[b, t]]
        for i, t in enumerate(places):
            for ahead, s in enumerate(places[i:]):
                is_last = s == places[-1]
                delta = rewards[b, s] + (0.0 if is_last else gamma * values[b, s + 1]) - values[b, s]
                advantages[b, t] += (gamma * lam) ** ahead * delta
    return advantages


def test_three_tokens_by_hand() -> None:
    rewards, values = tensor([[0.0, 0.0, 1.0]]), tensor([[0.5, 0.6, 0.7]])
    advantages, returns = gae(rewards, values, torch.ones(1, 3, dtype=torch.bool), gamma=0.9, lam=0.8)
    # delta: 0.9 * 0.6 - 0.5 = 0.04;  0.9 * 0.7 - 0.6 = 0.03;  1 - 0.7 = 0.3 (nothing comes after the end)
    # A_2 = 0.3;  A_1 = 0.03 + 0.72 * 0.3 = 0.246;  A_0 = 0.04 + 0.72 * 0.246 = 0.21712
    assert advantages[0].tolist() == approx([0.21712, 0.246, 0.3], abs=1e-6)
    assert returns[0].tolist() == approx([0.71712, 0.846, 1.0], abs=1e-6)  # A + V


def test_it_is_the_sum_of_the_paper_on_uneven_rows() -> None:
    generator = torch.Generator().manual_seed(0)
    rewards, values = torch.randn(6, 9, generator=generator), torch.randn(6, 9, generator=generator)
    mask = torch.zeros(6, 9, dtype=torch.bool)
    for row, (start, stop) in enumerate(((0, 9), (3, 9), (2, 5), (8, 9), (1, 2), (4, 8))):
        mask[row, start:stop] = True
    for gamma, lam in ((1.0, 0.95), (0.9, 0.5), (1.0, 1.0), (0.7, 0.0)):
        advantages, returns = gae(rewards, values, mask, gamma=gamma, lam=lam)
        expected = slow_gae(rewards, values, mask, gamma, lam)
        assert (advantages - expected).abs().max() < 1e-5  # advantages of order 3
        assert (returns - torch.where(mask, expected + values, 0.0)).abs().max() < 1e-5


def test_lambda_one_is_the_return_less_the_value_and_lambda_zero_is_one_step() -> None:
    rewards, values = tensor([[1.0, 2.0, 4.0]]), tensor([[10.0, 20.0, 30.0]])
    mask = torch.ones(1, 3, dtype=torch.bool)
    # returns 1 + 2 + 4 = 7, 6, 4;  A = 7 - 10, 6 - 20, 4 - 30
    assert gae(rewards, values, mask, gamma=1.0, lam=1.0)[0].tolist() == [[-3.0, -14.0, -26.0]]
    # 1 + 20 - 10, 2 + 30 - 20, 4 - 30
    assert gae(rewards, values, mask, gamma=1.0, lam=0.0)[0].tolist() == [[11.0, 12.0, -26.0]]


def test_a_prompt_before_and_padding_after_change_nothing() -> None:
    rewards, values = tensor([[0.0, 0.0, 1.0]]), tensor([[0.5, 0.6, 0.7]])
    alone, _ = gae(rewards, values, torch.ones(1, 3, dtype=torch.bool), gamma=0.9, lam=0.8)
    junk = torch.full((1, 2), 9.0)
    mask = tensor([[False, False, True, True, True, False, False]])
    among, returns = gae(
        torch.cat([junk, rewards, junk], dim=1),
        torch.cat([junk, values, junk], dim=1),
        mask,
        gamma=0.9,
        lam=0.8,
    )
    assert torch.equal(among[:, 2:5], alone)
    assert among[~mask].tolist() == [0.0] * 4
    assert returns[~mask].tolist() == [0.0] * 4


def test_a_reward_credits_the_tokens_before_it_and_never_those_after() -> None:
    # fails if the sum ran forwards, or if a sign were wrong
    values, mask = torch.zeros(1, 4), torch.ones(1, 4, dtype=torch.bool)
    good, _ = gae(tensor([[0.0, 1.0, 0.0, 0.0]]), values, mask, gamma=0.9, lam=0.9)
    bad, _ = gae(tensor([[0.0, -1.0, 0.0, 0.0]]), values, mask, gamma=0.9, lam=0.9)
    assert 0 < good[0, 0] < good[0, 1] == 1
    assert good[0, 2:].tolist() == [0.0, 0.0]
    assert torch.equal(good, -bad)


def test_scores_of_a_group_by_hand() -> None:
    scores = tensor([[1.0, 2.0, 6.0], [4.0, 4.0, 4.0]])
    # mean 3, deviations -2 -1 3, variance (4 + 1 + 9) / 2 = 7
    assert group_advantages(scores)[0].tolist() == approx([-2 / 7**0.5, -1 / 7**0.5, 3 / 7**0.5], abs=1e-3)
    # 1 - (2 + 6) / 2;  2 - (1 + 6) / 2;  6 - (1 + 2) / 2
    assert leave_one_out_advantages(scores)[0].tolist() == approx([-3, -1.5, 4.5])
    # deviations -2 -1 3 0 0 0, variance 14 / 5
    assert batch_advantages(scores)[0].tolist() == approx(
        [-2 / 2.8**0.5, -1 / 2.8**0.5, 3 / 2.8**0.5], abs=1e-3
    )
    for advantages in (group_advantages, leave_one_out_advantages, batch_advantages):
        assert advantages(scores)[1].tolist() == [0, 0, 0]  # answers that are all alike teach nothing
