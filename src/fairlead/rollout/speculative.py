"""Speculative reuse of rollouts: an earlier policy's response serves as a draft of the present policy's
response.

Every row draws its token t by inverting the cumulative distribution at the row's own uniform number u_t
(`rollout/sampling.py`).  One forward pass over a prompt and its draft gives the token that the present policy
draws at each u_t, as long as the draft agrees so far:

draft     4 7 7 2 5        drawn by an earlier policy with the same u_0 u_1 ...
drawn     4 7 3 9 9 1      drawn by the present policy, each token after the draft's tokens before it
response  4 7 3            two tokens are reused, 3 is drawn by the present policy, and sampling continues

The response is the one that sampling with these numbers gives without a draft, up to rounding where u_t meets
a boundary of the distribution.  It is distributed exactly under any policy that does not depend on the
numbers.  A policy trained on the responses of an earlier epoch does depend on them, so within one step the
responses are no independent sample given the weights.  This holds for every method that reuses rollouts
(arXiv:2509.23232 too), and is not corrected here.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from fairlead.rollout.records import Rollout

NO_TOKEN = -1  # fills a table where a response has no token


def num_accepted(drawn: Tensor, drafts: Tensor) -> Tensor:
    """Length of the longest common prefix of each draft and the tokens drawn along it.

    [n, W], [n, W] padded with NO_TOKEN -> [n]
    """
    return (drawn == drafts).long().cumprod(dim=1).sum(dim=1)


def empty_draft_table(num_rows: int, max_length: int) -> Tensor:
    """Room for one response of up to `max_length` tokens per row.  [num_rows, max_length]"""
    return torch.full((num_rows, max_length), NO_TOKEN, dtype=torch.int32)


def read_drafts(table: Tensor, rows: Sequence[int]) -> list[list[int]]:
    """The responses stored for these rows; an empty list where none is stored."""
    return [[token for token in row if token != NO_TOKEN] for row in table[list(rows)].tolist()]


def store_drafts(table: Tensor, rows: Sequence[int], rollouts: Sequence[Rollout]) -> None:
    """Replace the rows' responses in the table."""
    for row, rollout in zip(rows, rollouts, strict=True):
        table[row] = NO_TOKEN
        table[row, : len(rollout.tokens)] = torch.tensor(rollout.tokens, dtype=table.dtype)
