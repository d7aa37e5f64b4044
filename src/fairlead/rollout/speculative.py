"""Answers of an earlier policy as drafts of the present one's: how much of them it would have drawn itself.

Every row draws its token t by inverting the cumulative distribution at its own uniform number u_t (`rollout/sampling.py`).  One forward
pass over a prompt and its draft gives the token that the present policy draws at each u_t, as long as the draft was right up to there:

draft     4 7 7 2 5        drawn with the same u_0 u_1 ... from an earlier policy
drawn     4 7 3 9 9 1      by the present policy, each after the draft's tokens before it
answer    4 7 3            two tokens are reused; 3 is the present policy's own, and sampling goes on behind it

So an answer is token for token what sampling with these numbers gives without a draft (up to rounding where u_t meets a boundary of the
distribution), and exactly distributed under any policy that does not depend on the numbers.  A policy that was trained on the answers of
an earlier epoch does depend on them: within one step, answers are then no independent sample given the weights.  That holds for every
way of reusing rollouts (arXiv:2509.23232 too), and it is not corrected here.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from fairlead.rollout.records import Rollout

NOTHING = -1  # in a table, where an answer has no token


def num_agreed(drawn: Tensor, drafts: Tensor) -> Tensor:
    """How many of a draft's first tokens the present policy draws too.  [n, W], [n, W] padded with NOTHING -> [n]"""
    return (drawn == drafts).long().cumprod(dim=1).sum(dim=1)


def empty_table(num_rows: int, longest: int) -> Tensor:
    """Room for one answer per row, of up to `longest` tokens.  [num_rows, longest]"""
    return torch.full((num_rows, longest), NOTHING, dtype=torch.int32)


def read(table: Tensor, rows: Sequence[int]) -> list[list[int]]:
    """The answers that were kept for these rows; empty where there is none."""
    return [[token for token in row if token != NOTHING] for row in table[list(rows)].tolist()]


def keep(table: Tensor, rows: Sequence[int], rollouts: Sequence[Rollout]) -> None:
    """Write the rows' newest answers into the table."""
    for row, rollout in zip(rows, rollouts, strict=True):
        table[row] = NOTHING
        table[row, : len(rollout.tokens)] = torch.tensor(rollout.tokens, dtype=table.dtype)
