"""Losses on single answers that were labelled good or bad.  B answers; returns [B], unreduced."""

import torch
from torch import Tensor


def kto(
    log_ratios: Tensor,
    desirable: Tensor,
    *,
    beta: float,
    reference_point: float,
    desirable_weight: float,
    undesirable_weight: float,
) -> Tensor:
    """KTO, eq. 7 of arXiv:2402.01306: w * (1 - sigma(s * beta * (log_ratio - z))).  [B]

    s is 1 for desirable answers and -1 for others.  `log_ratios` are log pi(y|x) - log ref(y|x), summed over
    response tokens.  z is `reference_point`, the caller's estimate of KL(pi || ref) in nats, without
    gradient.
    """
    sign = torch.where(desirable, 1.0, -1.0)
    weight = torch.where(desirable, desirable_weight, undesirable_weight)
    return weight * torch.sigmoid(-sign * beta * (log_ratios - reference_point))


@torch.no_grad()
def accuracy(log_ratios: Tensor, desirable: Tensor, *, reference_point: float, tie: float = 1e-3) -> Tensor:
    """1 if a good answer is above the reference point or a bad one below; 0.5 within `tie` nats.  [B]"""
    lead = torch.where(desirable, 1.0, -1.0) * (log_ratios - reference_point)
    return (lead > tie).float() + 0.5 * (lead.abs() <= tie).float()
