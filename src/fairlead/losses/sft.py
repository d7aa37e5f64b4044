"""Supervised fine-tuning.  B rows, T tokens.  Returns [B, T], unreduced."""

from torch import Tensor


def negative_log_likelihood(token_logps: Tensor) -> Tensor:
    """-log p(token): [B, T] -> [B, T]; positions without loss carry a log-probability of zero and so a loss of zero."""
    return -token_logps
