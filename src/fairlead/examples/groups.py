"""Groups of answers to one prompt as the rows of one batch: a pair, or all answers of a ranking.

B groups, K answers of the largest group.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from fairlead.encoding.batching import Batch, Group, collate, to_device
from fairlead.encoding.chat import Encoded


@dataclass(frozen=True)
class GroupedAnswers:
    """The answers of several groups as rows: all first answers, then all second answers, and so on.

    groups (a b) (c d e)      rows a c b d e      row_index 0 2 .      . is absent: index 0, meaningless
                                                            1 3 4
    """

    batch: Batch
    row_index: Tensor  # [B, K] int64, the row of each answer
    present: Tensor  # [B, K] bool, False where the group has fewer answers

    def grouped(self, values: Tensor) -> Tensor:
        """Arrange one value per row by group; zero for absent answers.  [rows, ...] -> [B, K, ...]"""
        result = values[self.row_index]
        absent = ~self.present
        return result.masked_fill(absent.view(*absent.shape, *[1] * (result.dim() - 2)), 0.0)


def collate_groups(groups: Sequence[Group], *, pad_id: int, device: torch.device) -> GroupedAnswers:
    """Pad the answers of all groups into one batch."""
    largest = max(len(group) for group in groups)
    rows: list[Encoded] = []
    row_index = torch.zeros(len(groups), largest, dtype=torch.int64)
    present = torch.zeros(len(groups), largest, dtype=torch.bool)
    for k in range(largest):
        for b, group in enumerate(groups):
            if k < len(group):
                row_index[b, k] = len(rows)
                present[b, k] = True
                rows.append(group[k])
    batch = collate(rows, pad_id=pad_id, device=device)
    return GroupedAnswers(batch, to_device(row_index, device), to_device(present, device))
