"""Sums and means over the items that a mask selects.  Shapes: B rows, T tokens; a mask is True (1) where it selects."""

import torch
from torch import Tensor


def masked_sum(values: Tensor, mask: Tensor) -> Tensor:
    """Per row: [B, T] -> [B].  Entries outside the mask may be anything, NaN included."""
    return torch.where(mask, values, torch.zeros_like(values)).sum(dim=-1)


def masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    """Over everything selected, a scalar.  An empty mask has no mean."""
    count = mask.sum()
    assert count > 0, "the mean of nothing was asked for"
    return torch.where(mask, values, torch.zeros_like(values)).sum() / count


def masked_whiten(values: Tensor, mask: Tensor, *, shift_mean: bool = True) -> Tensor:
    """Mean 0 and variance 1 over the selected entries; zero elsewhere.  [B, T] -> [B, T]

    With `shift_mean=False` the mean stays and only the scale changes.
    """
    mean = masked_mean(values, mask)
    variance = masked_mean((values - mean).square(), mask)
    whitened = (values - mean) * torch.rsqrt(
        variance + 1e-8
    )  # 1e-8: equal values whiten to zero, not to infinity
    if not shift_mean:
        whitened = whitened + mean
    return torch.where(mask, whitened, torch.zeros_like(whitened))
