"""Combine several scores of one answer: members of an ensemble, steps of an answer, constrained rewards.

M members, N answers, T tokens.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from fairlead.ops.pool_names import Pool, StepPool


def pooled(scores: Tensor, *, pool: Pool, penalty: float) -> Tensor:
    """Pool an ensemble, arXiv:2310.02743: the mean, the worst, or mean - penalty * variance.

    [M, N] -> [N]
    """
    match pool:
        case "mean":
            return scores.mean(dim=0)
        case "worst":
            return scores.amin(dim=0)
        case "mean-variance":
            return scores.mean(dim=0) - penalty * scores.var(dim=0, correction=0)


def pooled_steps(scores: Tensor, is_end: Tensor, *, pool: StepPool) -> Tensor:
    """Pool the step probabilities sigma(score) of each answer into a number in 0..1.

    [N, T], [N, T] bool -> [N]

    Only the scores at the ends of steps count.  The product is from arXiv:2305.20050, the minimum from
    arXiv:2312.08935.  An answer without steps gets 0.
    """
    right = scores.sigmoid()
    match pool:
        case "minimum":
            result = right.masked_fill(~is_end, torch.inf).amin(dim=1)
        case "product":
            result = F.logsigmoid(scores).masked_fill(~is_end, 0.0).sum(dim=1).exp()
        case "mean":
            result = (right * is_end).sum(dim=1) / is_end.sum(dim=1)
        case "last":
            last = is_end.shape[1] - 1 - is_end.flip(1).int().argmax(dim=1)
            result = right.gather(1, last[:, None]).squeeze(1)
    return torch.where(is_end.any(dim=1), result, torch.zeros_like(result))


def disagreement(scores: Tensor) -> Tensor:
    """Standard deviation over the members, with divisor M.  [M, N] -> [N]"""
    return scores.std(dim=0, correction=0)


def lagrangian(score: Tensor, bounded: Tensor, floors: Tensor, multipliers: Tensor) -> Tensor:
    """(score + sum of multiplier * (bounded - floor)) / (1 + sum of multipliers).

    [N], [C, N], [C], [C] -> [N]

    The Lagrangian of arXiv:2310.12773 for rewards with a lower bound.  The division keeps the scale of the
    result.
    """
    excess = (multipliers[:, None] * (bounded - floors[:, None])).sum(dim=0)
    return (score + excess) / (1 + multipliers.sum())


def update_multiplier(multiplier: float, mean_score: float, *, floor: float, lr: float) -> float:
    """Dual ascent: raise the multiplier while the mean is below the floor, lower it otherwise; never below
    0.
    """
    return max(0.0, multiplier + lr * (floor - mean_score))
