"""Advantages and returns of generated tokens.  B rows, T tokens; the mask selects each row's response, one unbroken stretch."""

import torch
from torch import Tensor


def gae(rewards: Tensor, values: Tensor, mask: Tensor, *, gamma: float, lam: float) -> tuple[Tensor, Tensor]:
    """Generalised advantage estimation, eq. 11-16 of arXiv:1506.02438; the episode ends after the last selected token.

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
