"""Advantages and returns, per token (GAE) and per answer (GRPO, RLOO, REINFORCE++).

B rows, T tokens, P prompts with G answers each.  A mask selects each row's response, which is contiguous.
"""

import torch
from torch import Tensor


def gae(rewards: Tensor, values: Tensor, mask: Tensor, *, gamma: float, lam: float) -> tuple[Tensor, Tensor]:
    """Generalised advantage estimation, eq. 11-16 of arXiv:1506.02438.

    The episode ends after the last selected token.

    rewards, values, mask [B, T] -> advantages, returns [B, T], zero outside the mask.
    values[t] is the critic's estimate before token t was chosen; delta_t = r_t + gamma * V_{t+1} - V_t.
    """
    inside = mask.to(values.dtype)
    advantages = torch.zeros_like(values)
    advantage = torch.zeros_like(values[:, 0])  # [B]
    next_value = torch.zeros_like(advantage)
    for t in reversed(range(values.shape[1])):
        delta = rewards[:, t] + gamma * next_value - values[:, t]
        advantage = (delta + gamma * lam * advantage) * inside[:, t]
        next_value = values[:, t] * inside[:, t]
        advantages[:, t] = advantage
    returns = (advantages + values) * inside
    return advantages, returns


def explained_variance(values: Tensor, returns: Tensor, mask: Tensor) -> float:
    """1 - var(return - value) / var(return): 1 for a perfect critic, 0 for a constant one, negative for a
    worse one.
    """
    target = returns[mask]
    error = (returns - values)[mask]
    variance = float(target.var())
    return 1 - float(error.var()) / variance if variance > 1e-12 else 0.0


def group_advantages(scores: Tensor) -> Tensor:
    """GRPO: (score - mean) / std within each prompt's answers, arXiv:2402.03300 section 4.1.2.

    [P, G] -> [P, G]

    The standard deviation is that of the sample (G - 1).  If all answers score the same, advantages are 0.
    """
    return (scores - scores.mean(dim=1, keepdim=True)) / (scores.std(dim=1, keepdim=True) + 1e-4)


def leave_one_out_advantages(scores: Tensor) -> Tensor:
    """RLOO: score - mean of the prompt's other answers, arXiv:2402.14740 section 3.  [P, G] -> [P, G]"""
    others = (scores.sum(dim=1, keepdim=True) - scores) / (scores.shape[1] - 1)
    return scores - others


def batch_advantages(scores: Tensor) -> Tensor:
    """REINFORCE++ with a group baseline, arXiv:2501.03262.  [P, G] -> [P, G]

    Score - mean of the prompt's answers, divided by the standard deviation over all prompts.
    """
    centred = scores - scores.mean(dim=1, keepdim=True)
    return centred / (centred.std() + 1e-4)


# Baseline of an answer's score -> function of [P, G] scores.
GROUP_ADVANTAGES = {
    "group": group_advantages,
    "leave-one-out": leave_one_out_advantages,
    "batch": batch_advantages,
}
