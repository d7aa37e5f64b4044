"""Pairwise preference losses on a policy.  B = pairs; log-probabilities are summed over response tokens.  Returns [B], unreduced."""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F


class PairLogps(NamedTuple):
    chosen: Tensor  # [B]  log p(chosen | prompt)
    rejected: Tensor  # [B]


def preference_margin(policy: PairLogps, reference: PairLogps) -> Tensor:
    """How much more than the reference the policy prefers the chosen response, in nats.  [B]"""
    return (policy.chosen - reference.chosen) - (policy.rejected - reference.rejected)


@torch.no_grad()
def accuracy(margin: Tensor, *, tie: float = 1e-3) -> Tensor:
    """1 where the policy prefers the chosen response, a half where the margin is within `tie` nats: rounding, not preference.  [B]"""
    return (margin > tie).float() + 0.5 * (margin.abs() <= tie).float()


def dpo(policy: PairLogps, reference: PairLogps, *, beta: float, flip_rate: float = 0.0) -> Tensor:
    """Eq. 7 of arXiv:2305.18290; `flip_rate` is the assumed share of swapped labels (conservative DPO).  [B]"""
    logit = beta * preference_margin(policy, reference)
    return -(1 - flip_rate) * F.logsigmoid(logit) - flip_rate * F.logsigmoid(-logit)
