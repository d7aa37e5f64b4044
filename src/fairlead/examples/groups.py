"""Answers to one prompt that are judged together: a pair, or all the answers of a ranking.  B groups, K = answers of the largest one."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from fairlead.encoding.batching import Batch, Group, collate, to_device
from fairlead.encoding.chat import Encoded


@dataclass(frozen=True)
class GroupedAnswers:
    """The answers of several groups as the rows of one batch: all first ones, then all second ones, and so on.

    groups (a b) (c d e)      rows a c b d e      places 0 2 .      . is absent; its place is 0 and means nothing
                                                         1 3 4
    """

    batch: Batch
    places: Tensor  # [B, K] int64: the row of each answer
    present: Tensor  # [B, K] bool

    def grouped(self, values: Tensor) -> Tensor:
        """One value for each row into one for each answer; zero where it is absent.  [rows, ...] -> [B, K, ...]"""
        found = values[self.places]
        absent = ~self.present
        return found.masked_fill(absent.view(*absent.shape, *[1] * (found.dim() - 2)), 0.0)


def collate_groups(groups: Sequence[Group], *, pad_id: int, device: torch.device) -> GroupedAnswers:
    most = max(len(group) for group in groups)
    rows: list[Encoded] = []
    places, present = (
        torch.zeros(len(groups), most, dtype=torch.int64),
        torch.zeros(len(groups), most, dtype=torch.bool),
    )
    for k in range(most):
        for b, group in enumerate(groups):
            if k < len(group):
                places[b, k], present[b, k] = len(rows), True
                rows.append(group[k])
    return GroupedAnswers(
        collate(rows, pad_id=pad_id, device=device), to_device(places, device), to_device(present, device)
    )
