"""Judgements with their encoded answers, and the scores that a reward model gives these.

B items, K = answers of the largest one, A heads.  An absent answer has score 0 and rank 0.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from fairlead.data import preferences
from fairlead.data.preferences import Preference
from fairlead.data.records import Messages
from fairlead.encoding.batching import Group, collate, map_micro_batches
from fairlead.examples.groups import collate_groups
from fairlead.losses import reward
from fairlead.model.scalar_model import ScalarModel


@dataclass(frozen=True)
class EncodedJudgement:
    record: Preference
    group: Group  # its answers
    weight: float = 1.0  # how much it counts


@dataclass(frozen=True)
class ScoredJudgements:
    """Several items."""

    items: Sequence[EncodedJudgement]
    heads: Tensor  # [B, K, A]
    totals: Tensor  # [B, K]
    present: Tensor  # [B, K] bool

    @property
    def ranks(self) -> Tensor:
        """1 for the best.  [B, K]"""
        width = self.present.shape[1]
        rows = [(*preferences.ranks_of(item.record), *[0] * (width - len(item.group))) for item in self.items]
        return torch.tensor(rows, device=self.present.device)

    @property
    def lengths(self) -> Tensor:
        """Tokens of each answer.  [B, K]"""
        width = self.present.shape[1]
        rows = [
            (*(float(sum(row.trained)) for row in item.group), *[0.0] * (width - len(item.group)))
            for item in self.items
        ]
        return torch.tensor(rows, device=self.present.device)

    def right(self) -> tuple[Tensor, Tensor]:
        """The share of each item's pairs that stand in the right order, and whether it has any.  [B], [B] bool"""
        return reward.ordered_accuracy(self.totals, self.ranks)

    def ordered(self) -> tuple[list[float], list[float]]:
        """Totals of the better and of the worse answer of each pair that is not a tie, in the order of `judgements.pairs_of`."""
        better: list[float] = []
        worse: list[float] = []
        for ranks, totals in zip(self.ranks.tolist(), self.totals.tolist(), strict=True):
            for i, j in (
                (i, j) for i in range(len(ranks)) for j in range(len(ranks)) if 0 < ranks[i] < ranks[j]
            ):
                better.append(totals[i])
                worse.append(totals[j])
        return better, worse

    def answers(self, values: Tensor) -> Tensor:
        """Those of the answers that are there: all first ones, then all second ones, and so on.  [B, K, ...] -> [answers, ...]"""
        return values.transpose(0, 1)[self.present.T]


def aspect_values(
    records: Sequence[Preference], aspects: Sequence[str], device: torch.device
) -> tuple[Tensor, Tensor]:
    """-1 (the second is better) to 1, 0 where nobody judged; and where somebody did.  [B, A], [B, A] bool"""
    given = [preferences.aspects_of(record) for record in records]
    values = torch.tensor([[found.get(name, 0.0) for name in aspects] for found in given], device=device)
    return values, torch.tensor([[name in found for name in aspects] for found in given], device=device)


def encode_judgement(model: ScalarModel, record: Preference, max_tokens: int | None) -> Group:
    return tuple(
        model.encode(record.prompt + answer, max_tokens=max_tokens)
        for answer in preferences.answers_of(record)
    )


def score_judgements(model: ScalarModel, items: Sequence[EncodedJudgement]) -> ScoredJudgements:
    """From one forward pass, ready for a backward one."""
    answers = collate_groups([item.group for item in items], pad_id=model.pad_id, device=model.device)
    heads = answers.grouped(model.aspect_scores(answers.batch))
    return ScoredJudgements(
        items, heads, model.total(heads).masked_fill(~answers.present, 0.0), answers.present
    )


def micro_judgements(
    model: ScalarModel, items: Sequence[EncodedJudgement], micro_tokens: int
) -> list[list[int]]:
    return model.backend.micro_groups([item.group for item in items], micro_tokens)


@torch.no_grad()
def score_all(model: ScalarModel, items: Sequence[EncodedJudgement], micro_tokens: int) -> ScoredJudgements:
    """Over micro-batches, without gradients."""
    most = max(len(item.group) for item in items)
    heads = torch.zeros(len(items), most, model.head.out_features, device=model.device)
    totals = torch.zeros(len(items), most, device=model.device)
    present = torch.zeros(len(items), most, dtype=torch.bool, device=model.device)
    for index in micro_judgements(model, items, micro_tokens):
        part = score_judgements(model, [items[i] for i in index])
        width = part.present.shape[1]
        heads[index, :width], totals[index, :width], present[index, :width] = (
            part.heads,
            part.totals,
            part.present,
        )
    return ScoredJudgements(items, heads, totals, present)


@torch.no_grad()
def score_conversations(
    model: ScalarModel, conversations: Sequence[Messages], micro_tokens: int
) -> list[float]:
    """The total of the last answer of each."""
    rows = [model.encode(messages, max_tokens=model.context) for messages in conversations]
    batch = collate(rows, pad_id=model.pad_id, device=model.device)
    found: list[float] = map_micro_batches(
        model.scores, batch, micro_tokens, packed=model.backend.packed
    ).tolist()
    return found
