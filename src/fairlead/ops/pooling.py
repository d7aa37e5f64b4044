"""What several scores of one answer come to: an ensemble's members pooled, and rewards held above a floor.  M members, N answers."""

from typing import Literal

from torch import Tensor

Pool = Literal["mean", "worst", "mean-variance"]


def pooled(scores: Tensor, *, pool: Pool, penalty: float) -> Tensor:
    """One score for each answer, arXiv:2310.02743: the mean, the worst, or mean - penalty * variance.  [M, N] -> [N]"""
    match pool:
        case "mean":
            return scores.mean(dim=0)
        case "worst":
            return scores.amin(dim=0)
        case "mean-variance":
            return scores.mean(dim=0) - penalty * scores.var(dim=0, correction=0)


def disagreement(scores: Tensor) -> Tensor:
    """The standard deviation over the members (divided by M).  [M, N] -> [N]"""
    return scores.std(dim=0, correction=0)


def lagrangian(score: Tensor, bounded: Tensor, floors: Tensor, multipliers: Tensor) -> Tensor:
    """(score + sum of multiplier * (bounded - floor)) / (1 + sum of multipliers).  [N], [C, N], [C], [C] -> [N]

    The Lagrangian of arXiv:2310.12773 for rewards that must not fall below a floor; the division keeps the size of the whole.
    """
    excess = (multipliers[:, None] * (bounded - floors[:, None])).sum(dim=0)
    return (score + excess) / (1 + multipliers.sum())


def raised_multiplier(multiplier: float, mean_score: float, *, floor: float, lr: float) -> float:
    """Dual ascent: up while the mean lies below the floor, down while it lies above, never below 0."""
    return max(0.0, multiplier + lr * (floor - mean_score))
