"""Answers to one prompt that are judged together: a pair, or all the answers of a ranking.  B groups, K = answers of the largest one."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from fairlead.encoding.batching import Batch, collate, micro_batches, moved
from fairlead.encoding.chat import Encoded
from fairlead.forward.backend import Paths

Group = tuple[Encoded, ...]  # each answer with the prompt before it


@dataclass(frozen=True)
class Answers:
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


def collate_groups(groups: Sequence[Group], *, pad_id: int, device: torch.device) -> Answers:
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
    return Answers(collate(rows, pad_id=pad_id, device=device), moved(places, device), moved(present, device))


def micro_groups(paths: Paths, groups: Sequence[Group], micro_tokens: int) -> list[list[int]]:
    """Numbers of the groups that share a micro-batch, in the way in which the network is run.  A group is never cut."""
    sizes = [group_tokens(group, share_prompts=paths.share_prompts, packed=paths.packed) for group in groups]
    return micro_batches(sizes, micro_tokens, packed=paths.packed)


def group_tokens(group: Group, *, share_prompts: bool, packed: bool = False) -> int:
    """What a group takes of a micro-batch: the prompt once and all answers, or each row at the length of the longest, or as it is."""
    prompt = group[0].trained.index(True)
    total = sum(len(row) for row in group)
    if (share_prompts or packed) and all(
        row.tokens[:prompt] == group[0].tokens[:prompt] for row in group[1:]
    ):
        return total - prompt * (len(group) - 1)
    return total if packed else len(group) * max(len(row) for row in group)
