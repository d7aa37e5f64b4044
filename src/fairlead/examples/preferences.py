"""Comparisons and rankings with their encoded answers, and the scores that a reward model gives them.

B preferences (comparisons or rankings), K answers of the largest one, A heads.  An absent answer has score 0
and rank 0.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from fairlead.data import preferences
from fairlead.data.preferences import Preference
from fairlead.data.records import Messages
from fairlead.encoding.batching import Group, collate, map_micro_batches
from fairlead.encoding.chat_format import Tools
from fairlead.examples.groups import collate_groups
from fairlead.losses import reward
from fairlead.model.scalar_model import ScalarModel


@dataclass(frozen=True)
class EncodedPreference:
    """A comparison or a ranking, ready to train on."""

    record: Preference
    group: Group  # the encoded answers, in the order of `preferences.answers_of`
    weight: float = 1.0  # factor of its loss


@dataclass(frozen=True)
class ScoredPreferences:
    """Scores of the answers of several preferences."""

    items: Sequence[EncodedPreference]
    heads: Tensor  # [B, K, A]
    totals: Tensor  # [B, K]
    present: Tensor  # [B, K] bool

    @property
    def ranks(self) -> Tensor:
        """Rank of each answer: 1 is the best, 0 is absent.  [B, K]"""
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

    def ordered_accuracy(self) -> tuple[Tensor, Tensor]:
        """Fraction of each preference's pairs that are scored in the right order, and whether it has any.

        [B], [B]
        """
        return reward.ordered_accuracy(self.totals, self.ranks)

    def pair_totals(self) -> tuple[list[float], list[float]]:
        """Totals of the better and the worse answer of each pair without a tie, ordered as
        `preferences.pairs_of`.
        """
        better: list[float] = []
        worse: list[float] = []
        for ranks, totals in zip(self.ranks.tolist(), self.totals.tolist(), strict=True):
            positions = range(len(ranks))
            for i, j in ((i, j) for i in positions for j in positions if 0 < ranks[i] < ranks[j]):
                better.append(totals[i])
                worse.append(totals[j])
        return better, worse

    def present_values(self, values: Tensor) -> Tensor:
        """Values of the answers that are present: first answers, then second ones.

        [B, K, ...] -> [answers, ...]
        """
        return values.transpose(0, 1)[self.present.T]


def aspect_values(
    records: Sequence[Preference], aspects: Sequence[str], device: torch.device
) -> tuple[Tensor, Tensor]:
    """Judgement of each aspect from -1 (second is better) to 1, and whether the aspect was judged.

    [B, A], [B, A]

    An aspect that was not judged has value 0.
    """
    judged = [preferences.aspects_of(record) for record in records]
    values = torch.tensor([[row.get(name, 0.0) for name in aspects] for row in judged], device=device)
    return values, torch.tensor([[name in row for name in aspects] for row in judged], device=device)


def score_preferences(model: ScalarModel, items: Sequence[EncodedPreference]) -> ScoredPreferences:
    """Score the answers in one forward pass, with gradients."""
    answers = collate_groups([item.group for item in items], pad_id=model.pad_id, device=model.device)
    heads = answers.grouped(model.aspect_scores(answers.batch))
    totals = model.total(heads).masked_fill(~answers.present, 0.0)
    return ScoredPreferences(items, heads, totals, answers.present)


def micro_preferences(
    model: ScalarModel, items: Sequence[EncodedPreference], micro_tokens: int
) -> list[list[int]]:
    """Partition preferences into micro-batches; no preference is split.  Returns indices."""
    return model.backend.micro_groups([item.group for item in items], micro_tokens)


@torch.no_grad()
def score_all(model: ScalarModel, items: Sequence[EncodedPreference], micro_tokens: int) -> ScoredPreferences:
    """Score the answers over micro-batches, without gradients."""
    largest = max(len(item.group) for item in items)
    heads = torch.zeros(len(items), largest, model.head.out_features, device=model.device)
    totals = torch.zeros(len(items), largest, device=model.device)
    present = torch.zeros(len(items), largest, dtype=torch.bool, device=model.device)
    for index in micro_preferences(model, items, micro_tokens):
        part = score_preferences(model, [items[i] for i in index])
        width = part.present.shape[1]
        heads[index, :width] = part.heads
        totals[index, :width] = part.totals
        present[index, :width] = part.present
    return ScoredPreferences(items, heads, totals, present)


@torch.no_grad()
def score_conversations(
    model: ScalarModel,
    conversations: Sequence[Messages],
    micro_tokens: int,
    tools: Sequence[Tools] | None = None,
) -> list[float]:
    """Score the last answer of each conversation, of which `tools` has the tools."""
    rows = [
        model.encode(messages, max_tokens=model.context, tools=own)
        for messages, own in zip(conversations, tools or [()] * len(conversations), strict=True)
    ]
    batch = collate(rows, pad_id=model.pad_id, device=model.device)
    scores = map_micro_batches(model.scores, batch, micro_tokens, packed=model.backend.packed)
    return [float(score) for score in scores.tolist()]
