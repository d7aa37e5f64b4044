"""Scores of a reward model loaded from disk, and checks that the scores are reproducible.

Models are loaded in float32, as they are for use.  A gap is a difference between two scores of the same rows.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

import torch
from torch import Tensor

from fairlead.core.errors import DataError, ModelError
from fairlead.data.records import Comparison
from fairlead.encoding.batching import collate, micro_batches
from fairlead.encoding.chat import Encoded, TooLong
from fairlead.model.scalar_model import ScalarModel

MOST_ROWS = 16  # rows scored alone and together; more rows take time and add no information


RowPair = tuple[Encoded, Encoded]  # both sides of a comparison, as a reward model reads them


@dataclass(frozen=True)
class PairScores:
    chosen: list[float]
    rejected: list[float]

    @property
    def spread(self) -> float:
        """Standard deviation of all scores, at least 1e-6 so that it can be a divisor."""
        return max(float(torch.tensor([self.chosen, self.rejected], dtype=torch.float64).std()), 1e-6)

    @property
    def num_not_finite(self) -> int:
        return int((~torch.tensor([self.chosen, self.rejected]).isfinite()).sum())


@dataclass(frozen=True)
class PreSaveState:
    """State of a trained model in memory, to compare with the saved model."""

    scores: PairScores
    fresh_head: Tensor  # head before training  [1, d]

    def subset(self, ids: Sequence[int]) -> "PreSaveState":
        """The state with the scores of these pairs only."""
        chosen, rejected = ([side[i] for i in ids] for side in (self.scores.chosen, self.scores.rejected))
        return PreSaveState(PairScores(chosen, rejected), self.fresh_head)


def encode_pairs(
    model: ScalarModel, comparisons: Sequence[Comparison], *, max_tokens: int | None, source: str
) -> list[RowPair | None]:
    """Encode prompt and answer of both sides of each pair; None if a side is longer than `max_tokens`."""
    pairs: list[RowPair | None] = []
    for number, comparison in enumerate(comparisons, start=1):
        try:
            chosen, rejected = (
                model.encode(comparison.prompt + answer, max_tokens=max_tokens, tools=comparison.tools)
                for answer in (comparison.chosen, comparison.rejected)
            )
        except TooLong:
            pairs.append(None)
        except (DataError, ModelError) as error:
            raise type(error)(f"{source}: comparison {number}: {error}") from error
        else:
            pairs.append((chosen, rejected))
    return pairs


@torch.no_grad()
def score_pairs(model: ScalarModel, pairs: Sequence[RowPair], micro_tokens: int) -> PairScores:
    rows = list(chain.from_iterable(pairs))
    values = torch.zeros(len(rows))
    for group in micro_batches([len(row) for row in rows], micro_tokens):
        values[group] = _batch_scores(model, [rows[i] for i in group])
    return PairScores(values[0::2].tolist(), values[1::2].tolist())


@torch.no_grad()
def batch_gap(model: ScalarModel, pairs: Sequence[RowPair], micro_tokens: int) -> tuple[float, int]:
    """Score rows alone, in one batch, and in reverse order; returns the largest difference and the number of
    rows.
    """
    by_length = sorted(pairs, key=lambda pair: max(map(len, pair)))
    longest = max(len(row) for row in by_length[-1])
    # Complete pairs, so that some rows share a prompt, and of all lengths, so that some rows are padded.
    num_pairs = max(1, min(MOST_ROWS, micro_tokens // longest, 2 * len(pairs)) // 2)
    selected = [by_length[i * (len(pairs) - 1) // max(1, num_pairs - 1)] for i in range(num_pairs)]
    rows = list(chain.from_iterable(selected))
    alone = torch.cat([_batch_scores(model, [row]) for row in rows])
    forward = _batch_scores(model, rows)
    reverse = _batch_scores(model, rows[::-1]).flip(0)
    gaps = torch.stack([forward - alone, reverse - alone, forward - reverse])
    return float(gaps.abs().max()), len(rows)


def check_head(
    model: ScalarModel, scores: PairScores, trained: PreSaveState | None
) -> dict[str, float] | None:
    """Compare the saved model with the trained one in memory; None if the model was not just trained.

    `gap` is the root mean square difference of the scores, and `moved` the relative change of the head in
    training.
    """
    if trained is None:
        return None
    before, after = (
        torch.tensor([pair_scores.chosen, pair_scores.rejected], dtype=torch.float64)
        for pair_scores in (trained.scores, scores)
    )
    fresh = trained.fresh_head.detach().float().cpu()
    moved = (model.head.weight.detach().float().cpu() - fresh).norm() / fresh.norm().clamp(min=1e-12)
    # Root mean square instead of the maximum: a wrong head moves all scores, rounding in bfloat16 only a few.
    return {"gap": float((after - before).square().mean().sqrt()) / scores.spread, "moved": float(moved)}


def ensemble_scores(members: Sequence[PairScores]) -> PairScores:
    """Mean of the standardised scores of all members, on the scale of the first member."""
    if len(members) == 1:
        return members[0]
    stack = torch.tensor(
        [[member.chosen, member.rejected] for member in members], dtype=torch.float64
    )  # [members, 2, pairs]
    means = stack.flatten(1).mean(dim=1)[:, None, None]
    stds = stack.flatten(1).std(dim=1)[:, None, None]
    pooled = ((stack - means) / stds.clamp(min=1e-12)).mean(dim=0) * stds[0] + means[0]
    return PairScores(pooled[0].tolist(), pooled[1].tolist())


def _batch_scores(model: ScalarModel, rows: Sequence[Encoded]) -> Tensor:
    """Scores of the rows in one forward pass.  [rows], on the CPU"""
    return model.scores(collate(rows, pad_id=model.pad_id, device=model.device)).float().cpu()
