"""Estimators of KL(policy || reference) from samples of the policy: http://joschu.net/blog/kl-approx.html

Arguments and results have one shape, [B, T] or [B].  Arguments are log-probabilities of the sampled tokens
under each model, in nats.
"""

import torch
from torch import Tensor


def k1(policy_logps: Tensor, reference_logps: Tensor) -> Tensor:
    """log(pi/ref): unbiased, with high variance; negative for many single tokens."""
    return policy_logps - reference_logps


def k3(policy_logps: Tensor, reference_logps: Tensor) -> Tensor:
    """ref/pi - 1 - log(ref/pi): unbiased, never negative, with lower variance."""
    log_ratio = reference_logps - policy_logps
    return torch.expm1(log_ratio) - log_ratio


def adapt_coefficient(coefficient: float, kl: float, *, target: float, episodes: int, horizon: int) -> float:
    """Proportional controller of arXiv:1909.08593, section 2.2.

    beta *= 1 + clip(kl / target - 1, -0.2, 0.2) * episodes / horizon

    `kl` is the mean over sequences and `target` > 0, both in nats.
    """
    error = min(max(kl / target - 1, -0.2), 0.2)
    return coefficient * (1 + error * episodes / horizon)
