"""Supervised fine-tuning.  B rows, T tokens.  Returns [B, T], unreduced."""

from torch import Tensor


def negative_log_likelihood(token_logps: Tensor) -> Tensor:
    """-log p(token).  Positions without loss have log-probability 0 and so loss 0.  [B, T] -> [B, T]"""
    return -token_logps
