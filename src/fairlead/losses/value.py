"""Losses of a critic.  B rows, T tokens.  Returns [B, T], unreduced."""

import torch
from torch import Tensor


def clipped_value(values: Tensor, old_values: Tensor, returns: Tensor, *, clip: float) -> Tensor:
    """Half the larger squared error of the value and of the value clipped to `clip` around the old one.

    [B, T]

    Clipping keeps the critic close to the values from which advantages were computed: arXiv:2005.12729,
    section 3.
    """
    clipped = old_values + torch.clamp(values - old_values, -clip, clip)
    return 0.5 * torch.maximum((values - returns).square(), (clipped - returns).square())
