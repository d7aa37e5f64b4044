"""Sums, means and whitening over the entries that a mask selects.  B rows, T tokens; True selects."""

import torch
from torch import Tensor


def masked_sum(values: Tensor, mask: Tensor) -> Tensor:
    """Sum of each row.  Entries outside the mask may be anything, including NaN.  [B, T] -> [B]"""
    return torch.where(mask, values, torch.zeros_like(values)).sum(dim=-1)


def masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    """Mean over all selected entries.  The mask must select at least one entry.  [B, T] -> []"""
    count = mask.sum()
    assert count > 0, "the mask selects nothing"
    return torch.where(mask, values, torch.zeros_like(values)).sum() / count


def masked_whiten(values: Tensor, mask: Tensor, *, shift_mean: bool = True) -> Tensor:
    """Scale the selected entries to mean 0 and variance 1; zero elsewhere.  [B, T] -> [B, T]

    With `shift_mean=False` the mean is kept and only the scale changes.
    """
    mean = masked_mean(values, mask)
    variance = masked_mean((values - mean).square(), mask)
    # 1e-8: equal values become zero instead of infinite.
    whitened = (values - mean) * torch.rsqrt(variance + 1e-8)
    if not shift_mean:
        whitened = whitened + mean
    return torch.where(mask, whitened, torch.zeros_like(whitened))
