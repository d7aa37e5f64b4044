"""What several scores of one answer come to: an ensemble's members pooled, the steps of an answer pooled, rewards held above a floor.

M members, N answers, T tokens.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from fairlead.ops.pool_names import Pool, StepPool


def pooled(scores: Tensor, *, pool: Pool, penalty: float) -> Tensor:
    """One score for each answer, arXiv:2310.02743: the mean, the worst, or mean - penalty * variance.  [M, N] -> [N]"""
    match pool:
        case "mean":
            return scores.mean(dim=0)
        case "worst":
            return scores.amin(dim=0)
        case "mean-variance":
            return scores.mean(dim=0) - penalty * scores.var(dim=0, correction=0)


def pooled_steps(scores: Tensor, is_end: Tensor, *, pool: StepPool) -> Tensor:
    """sigma(score) is the probability that a step is right; here are those of a whole answer as one.  [N, T], [N, T] bool -> [N]

    Only the scores at the ends of steps count.  The product is arXiv:2305.20050's, the minimum arXiv:2312.08935's.  An answer without a
    step has nothing right in it: 0.
    """
    right = scores.sigmoid()
    match pool:
        case "minimum":
            found = right.masked_fill(~is_end, torch.inf).amin(dim=1)
        case "product":
            found = F.logsigmoid(scores).masked_fill(~is_end, 0.0).sum(dim=1).exp()
        case "mean":
            found = (right * is_end).sum(dim=1) / is_end.sum(dim=1)
        case "last":
            at = is_end.shape[1] - 1 - is_end.flip(1).int().argmax(dim=1)
            found = right.gather(1, at[:, None]).squeeze(1)
    return torch.where(is_end.any(dim=1), found, torch.zeros_like(found))


def disagreement(scores: Tensor) -> Tensor:
    """The standard deviation over the members (divided by M).  [M, N] -> [N]"""
    return scores.std(dim=0, correction=0)


def lagrangian(score: Tensor, bounded: Tensor, floors: Tensor, multipliers: Tensor) -> Tensor:
    """(score + sum of multiplier * (bounded - floor)) / (1 + sum of multipliers).  [N], [C, N], [C], [C] -> [N]

    The Lagrangian of arXiv:2310.12773 for rewards that must not fall below a floor; the division keeps the size of the whole.
    """
    excess = (multipliers[:, None] * (bounded - floors[:, None])).sum(dim=0)
    return (score + excess) / (1 + multipliers.sum())


def update_multiplier(multiplier: float, mean_score: float, *, floor: float, lr: float) -> float:
    """Dual ascent: up while the mean lies below the floor, down while it lies above, never below 0."""
    return max(0.0, multiplier + lr * (floor - mean_score))
