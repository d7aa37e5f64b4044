"""How the rows of a batch lie in the tensors that the network reads.  B rows of T tokens; R x C is what the network sees.

plain   a row is a row; causal attention needs no mask, and what stands after a row's end is never looked at
tree    rows with the same prompt become one: the prompt once, then every answer, with positions that restart after the prompt and a
        mask that hides the answers from each other

    two rows                 one tree                    may look at
    P P A A                  P P A A B B B               A: P P A        (itself and before)
    P P B B B      positions 0 1 2 3 2 3 4               B: P P - - B

Whatever the layout, `at` says where each token of the batch went, so that results come back in the batch's own rows.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from fairlead.model.batch import Batch

ABSENT = -1  # segment of padding
SHARE_FROM = 0.05  # share of a batch's tokens that a tree must save; below it its mask costs more


@dataclass(frozen=True)
class Layout:
    tokens: Tensor  # [R, C] int64
    positions: Tensor | None  # [R, C] int64; None: 0, 1, 2, ... in every row
    mask: Tensor | None  # [R, 1, C, C] bool, True where a query (third axis) may look at a key (fourth); [R, C] real tokens; None: causal
    at: Tensor  # [B, T] int64: the place of each token of the batch in the flattened [R * C]; 0 for padding

    @property
    def before(self) -> Tensor:
        """The place whose hidden state speaks about each token: that of the token before it.  [B, T]; column 0 means nothing"""
        return torch.cat([torch.zeros_like(self.at[:, :1]), self.at[:, :-1]], dim=1)


def plain(batch: Batch) -> Layout:
    rows, width = batch.tokens.shape
    at = torch.arange(rows * width, device=batch.tokens.device).view(rows, width)
    return Layout(batch.tokens, None, None, at.where(batch.token_mask, torch.zeros_like(at)))


def padded(batch: Batch) -> Layout:
    """The plain layout with the mask of real tokens, which causal attention to the left of the padding does not need."""
    return replace(plain(batch), mask=batch.token_mask)


def tree(batch: Batch, *, pad_id: int) -> Layout:
    """Rows whose prompts are equal share them.  Where that would save too few tokens, this is the plain layout."""
    groups = shared_prompts(batch)
    if saved_share(batch, groups) < SHARE_FROM:
        return plain(batch)
    device, lengths = batch.tokens.device, batch.lengths.tolist()
    width = max(start + sum(lengths[i] - start for i in rows) for start, rows in groups)
    tokens = torch.full((len(groups), width), pad_id, dtype=torch.int64, device=device)
    positions = torch.zeros((len(groups), width), dtype=torch.int64, device=device)
    segments = torch.full((len(groups), width), ABSENT, dtype=torch.int64, device=device)
    at = torch.zeros_like(batch.tokens)
    for r, (start, rows) in enumerate(groups):
        tokens[r, :start] = batch.tokens[rows[0], :start]
        positions[r, :start] = torch.arange(start, device=device)
        segments[r, :start] = 0
        column = start
        for answer, i in enumerate(rows, start=1):
            end = column + lengths[i] - start
            tokens[r, column:end] = batch.tokens[i, start : lengths[i]]
            positions[r, column:end] = torch.arange(start, lengths[i], device=device)
            segments[r, column:end] = answer
            at[i, :start] = torch.arange(r * width, r * width + start, device=device)
            at[i, start : lengths[i]] = torch.arange(r * width + column, r * width + end, device=device)
            column = end
    query, key = segments[:, :, None], segments[:, None, :]
    visible = ((key == 0) & (query != ABSENT)) | (key == query)
    mask = (visible & torch.ones(width, width, dtype=torch.bool, device=device).tril())[:, None]
    return Layout(tokens, positions, mask, at)


def shared_prompts(batch: Batch) -> list[tuple[int, list[int]]]:
    """(tokens before the first trained one, the rows that begin with the same ones), for every different prompt."""
    found: dict[tuple[int, ...], list[int]] = {}
    tokens, lengths = batch.tokens.tolist(), batch.lengths.tolist()
    trained = batch.response_mask
    starts = torch.where(trained.any(dim=1), trained.int().argmax(dim=1), batch.lengths).tolist()
    for i, start in enumerate(starts):
        found.setdefault(tuple(tokens[i][: min(start, lengths[i])]), []).append(i)
    return [(len(prompt), rows) for prompt, rows in found.items()]


def saved_share(batch: Batch, groups: list[tuple[int, list[int]]]) -> float:
    """The share of the batch's tokens that a tree layout of these groups does not compute again."""
    return sum(start * (len(rows) - 1) for start, rows in groups) / int(batch.lengths.sum())
