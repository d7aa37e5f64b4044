"""Scores of a reward model that is read from its folder, and whether they can be relied on as numbers.

Everything here is done in float32, as the model is read for use.  A gap is a difference between scores of the same rows.
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
from fairlead.examples.pairs import Pair
from fairlead.model.scalar_model import ScalarModel

MOST_ROWS = 16  # that are scored alone and together; more take time and tell nothing new


@dataclass(frozen=True)
class PairScores:
    chosen: list[float]
    rejected: list[float]

    @property
    def spread(self) -> float:
        """The standard deviation of all of them; never 0, so that it can divide."""
        return max(float(torch.tensor([self.chosen, self.rejected], dtype=torch.float64).std()), 1e-6)

    @property
    def num_not_finite(self) -> int:
        return int((~torch.tensor([self.chosen, self.rejected]).isfinite()).sum())


@dataclass(frozen=True)
class PreSaveState:
    """What training knows of the model that it saves: the scores that it gave in memory, and the head that it began with."""

    scores: PairScores
    fresh_head: Tensor  # [1, d]


def encode_pairs(
    model: ScalarModel, comparisons: Sequence[Comparison], *, max_tokens: int | None, source: str
) -> list[Pair | None]:
    """Both answers of each pair, each with the prompt before it; None where one of them is longer than `max_tokens`."""
    pairs: list[Pair | None] = []
    for i, one in enumerate(comparisons, start=1):
        try:
            chosen, rejected = (
                model.encode(one.prompt + side, max_tokens=max_tokens) for side in (one.chosen, one.rejected)
            )
        except TooLong:
            pairs.append(None)
        except (DataError, ModelError) as error:
            raise type(error)(f"{source}: comparison {i}: {error}") from error
        else:
            pairs.append((chosen, rejected))
    return pairs


@torch.no_grad()
def score_pairs(model: ScalarModel, pairs: Sequence[Pair], micro_tokens: int) -> PairScores:
    rows = list(chain.from_iterable(pairs))
    values = torch.zeros(len(rows))
    for group in micro_batches([len(row) for row in rows], micro_tokens):
        values[group] = _together(model, [rows[i] for i in group])
    return PairScores(values[0::2].tolist(), values[1::2].tolist())


@torch.no_grad()
def batch_gap(model: ScalarModel, pairs: Sequence[Pair], micro_tokens: int) -> tuple[float, int]:
    """Rows of all lengths scored alone, together, and together in the opposite order: largest difference, and how many rows."""
    by_length = sorted(pairs, key=lambda pair: max(map(len, pair)))
    longest = max(len(row) for row in by_length[-1])
    count = max(
        1, min(MOST_ROWS, micro_tokens // longest, 2 * len(pairs)) // 2
    )  # pairs, so that some rows share a prompt
    spread_out = [by_length[i * (len(pairs) - 1) // max(1, count - 1)] for i in range(count)]
    rows = list(chain.from_iterable(spread_out))
    alone = torch.cat([_together(model, [row]) for row in rows])
    forwards, backwards = _together(model, rows), _together(model, rows[::-1]).flip(0)
    return float(torch.stack([forwards - alone, backwards - alone, forwards - backwards]).abs().max()), len(
        rows
    )


def check_head(
    model: ScalarModel, scores: PairScores, trained: PreSaveState | None
) -> dict[str, float] | None:
    """Of a model that was just trained: how far what was read back is from what was in memory, and how far its head has moved."""
    if trained is None:
        return None
    before, after = (
        torch.tensor([one.chosen, one.rejected], dtype=torch.float64) for one in (trained.scores, scores)
    )
    fresh = trained.fresh_head.detach().float().cpu()
    moved = (model.head.weight.detach().float().cpu() - fresh).norm() / fresh.norm().clamp(min=1e-12)
    # Root mean square: another head moves all scores, while rounding in bfloat16 moves a single one far now and then.
    return {"gap": float((after - before).square().mean().sqrt()) / scores.spread, "moved": float(moved)}


def ensemble_scores(members: Sequence[PairScores]) -> PairScores:
    """What an ensemble says: the mean of its members, each on its own scale, in the first one's units."""
    if len(members) == 1:
        return members[0]
    stack = torch.tensor(
        [[one.chosen, one.rejected] for one in members], dtype=torch.float64
    )  # [members, 2, pairs]
    means, stds = (getattr(stack.flatten(1), name)(dim=1)[:, None, None] for name in ("mean", "std"))
    pooled = ((stack - means) / stds.clamp(min=1e-12)).mean(dim=0) * stds[0] + means[0]
    return PairScores(pooled[0].tolist(), pooled[1].tolist())


def _together(model: ScalarModel, rows: Sequence[Encoded]) -> Tensor:
    """[rows], on the CPU"""
    return model.scores(collate(rows, pad_id=model.pad_id, device=model.device)).float().cpu()
