"""Losses on single answers that somebody called good or bad.  B = answers; returns [B], unreduced."""

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
    """w * (1 - sigma(s * beta * (log_ratio - z))), s = 1 for desirable answers and -1 for others: eq. 7 of arXiv:2402.01306.  [B]

    log_ratios  log pi(y|x) - log ref(y|x), summed over response tokens     desirable  True where the answer is a good one
    z is `reference_point`, an estimate of KL(pi || ref) in nats that the caller makes and that carries no gradient.
    """
    sign = torch.where(desirable, 1.0, -1.0)
    weight = torch.where(desirable, desirable_weight, undesirable_weight)
    return weight * torch.sigmoid(-sign * beta * (log_ratios - reference_point))


@torch.no_grad()
def accuracy(log_ratios: Tensor, desirable: Tensor, *, reference_point: float, tie: float = 1e-3) -> Tensor:
    """1 where the policy raised a good answer above the reference point or lowered a bad one below it; a half within `tie` nats.  [B]"""
    lead = torch.where(desirable, 1.0, -1.0) * (log_ratios - reference_point)
    return (lead > tie).float() + 0.5 * (lead.abs() <= tie).float()
