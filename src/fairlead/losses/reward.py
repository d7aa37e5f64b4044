"""Reward-model losses.  B = pairs; scores are the model's scalar for each answer.  Returns [B], unreduced."""

import torch
from torch import Tensor
from torch.nn import functional as F


def bradley_terry(chosen: Tensor, rejected: Tensor) -> Tensor:
    """-log sigma(r_chosen - r_rejected): [B], [B] -> [B].  Eq. 1 of arXiv:2203.02155."""
    return -F.logsigmoid(chosen - rejected)


@torch.no_grad()
def accuracy(chosen: Tensor, rejected: Tensor) -> Tensor:
    """1 where the chosen answer scores higher, a half where both score the same.  [B]"""
    return (chosen > rejected).float() + 0.5 * (chosen == rejected).float()
