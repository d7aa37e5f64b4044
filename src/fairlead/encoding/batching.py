"""Batches and micro-batches: padded tensors from encoded conversations, and which rows are computed together.

Padding is on the right.  All functions that choose rows return row indices and never change the rows; a
run's order of rows is a function of its seed alone.  How a batch is laid out for the network is decided in
`forward/layout.py`.

B rows, T tokens of the longest row.
"""

import heapq
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from fairlead.core.errors import ConfigError
from fairlead.core.plural import counted
from fairlead.core.seed import derive_rng
from fairlead.encoding.chat import Encoded

NUM_CHECK_ROWS = 4  # rows on which the backends of a network are compared; see train/verify_backend.py
MOST_STEPS = 10_000_000  # of a run: the order of all rows is drawn before the first step

Group = tuple[Encoded, ...]  # answers to one prompt, each preceded by the prompt


@dataclass(frozen=True)
class Batch:
    """Rows of tokens, padded on the right to the longest.  One row, with the prompt 5 9 and the response 2 7:

    tokens         5 9 2 7 .      . is padding
    token_mask     1 1 1 1 0      real tokens
    response_mask  0 0 1 1 0      tokens that carry loss; never the first
    """

    tokens: Tensor  # [B, T] int64
    token_mask: Tensor  # [B, T] bool, True for real tokens
    response_mask: Tensor  # [B, T] bool, True for tokens that carry loss
    # The same batch on the CPU.  Reading masks back from a GPU would wait for all queued work.
    source: "Batch | None" = field(default=None, kw_only=True)

    def __len__(self) -> int:
        return self.tokens.shape[0]

    @property
    def lengths(self) -> Tensor:
        """Real tokens per row.  [B]"""
        return self.token_mask.sum(dim=1)

    @property
    def on_cpu(self) -> "Batch":
        return self if self.source is None else self.source

    @property
    def response_index(self) -> tuple[Tensor, Tensor]:
        """Row and column of each of the N response tokens.  [N], [N]"""
        rows, columns = self.on_cpu.response_mask.nonzero(as_tuple=True)
        return to_device(rows, self.tokens.device), to_device(columns, self.tokens.device)

    def to(self, device: torch.device) -> "Batch":
        if device == self.tokens.device:
            return self
        return Batch(
            to_device(self.tokens, device),
            to_device(self.token_mask, device),
            to_device(self.response_mask, device),
            source=self,
        )

    def rows(self, index: Sequence[int]) -> "Batch":
        """The rows with these indices, cut to the longest of them."""
        batch = self.on_cpu
        row_ids = list(index)
        width = int(batch.lengths[row_ids].max())
        part = Batch(
            batch.tokens[row_ids, :width],
            batch.token_mask[row_ids, :width],
            batch.response_mask[row_ids, :width],
        )
        return part.to(self.tokens.device)


def to_device(tensor: Tensor, device: torch.device) -> Tensor:
    """Copy to a device.  From pinned memory the copy to a GPU is asynchronous."""
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)


def collate(rows: Sequence[Encoded], *, pad_id: int, device: torch.device | None = None) -> Batch:
    """Pad the rows into one batch."""
    width = max(len(row) for row in rows)
    tokens = torch.full((len(rows), width), pad_id, dtype=torch.int64)
    token_mask = torch.zeros((len(rows), width), dtype=torch.bool)
    response_mask = torch.zeros((len(rows), width), dtype=torch.bool)
    for i, row in enumerate(rows):
        tokens[i, : len(row)] = torch.tensor(row.tokens)
        token_mask[i, : len(row)] = True
        response_mask[i, : len(row)] = torch.tensor(row.trained)
    response_mask[:, 0] = False  # the first token has no context, so it has no probability
    batch = Batch(tokens, token_mask, response_mask)
    return batch if device is None else batch.to(device)


def micro_batches(lengths: Sequence[int], max_tokens: int, *, packed: bool = False) -> list[list[int]]:
    """Partition rows into micro-batches of at most `max_tokens` tokens.

    A longer row gets its own micro-batch.

    Padded rows are grouped by length, so that rows * longest <= max_tokens.  Packed rows have no padding, so
    any lengths combine; the result is the smallest number of groups that fit, with sums as equal as
    possible.
    """
    if packed and lengths:
        fewest = min(len(lengths), -(-sum(lengths) // max_tokens))
        candidates = (_even_groups(lengths, count) for count in range(fewest, len(lengths) + 1))
        return next(groups for groups in candidates if _fits(groups, lengths, max_tokens))
    groups: list[list[int]] = []
    for i in sorted(range(len(lengths)), key=lambda i: (lengths[i], i)):
        if groups and (len(groups[-1]) + 1) * lengths[i] <= max_tokens:
            groups[-1].append(i)
        else:
            groups.append([i])
    return groups


def group_tokens(group: Group, *, share_prompts: bool, packed: bool = False) -> int:
    """Tokens that a group takes of a micro-batch.

    Answers that share their prompt count the prompt once.  Otherwise packed rows count their own lengths,
    and padded rows count the length of the longest.
    """
    prompt = group[0].trained.index(True)
    total = sum(len(row) for row in group)
    same_prompt = all(
        row.trained.index(True) == prompt and row.tokens[:prompt] == group[0].tokens[:prompt]
        for row in group[1:]
    )
    if (share_prompts or packed) and same_prompt:
        return total - prompt * (len(group) - 1)
    return total if packed else len(group) * max(len(row) for row in group)


def _even_groups(lengths: Sequence[int], count: int) -> list[list[int]]:
    """Distribute rows over `count` groups: longest first, each to the group with the smallest sum."""
    groups: list[list[int]] = [[] for _ in range(count)]
    heap = [(0, k) for k in range(count)]
    for i in sorted(range(len(lengths)), key=lambda i: (-lengths[i], i)):
        total, k = heap[0]
        groups[k].append(i)
        heapq.heapreplace(heap, (total + lengths[i], k))
    return groups


def _fits(groups: Sequence[Sequence[int]], lengths: Sequence[int], max_tokens: int) -> bool:
    return all(len(group) == 1 or sum(lengths[i] for i in group) <= max_tokens for group in groups)


def group_by_prompt(batch: Batch) -> list[tuple[int, list[int]]]:
    """(prompt length, rows with that prompt) for each distinct prompt.

    The prompt ends at the first trained token.
    """
    rows_of_prompt: dict[tuple[int, ...], list[int]] = {}
    batch = batch.on_cpu
    tokens = batch.tokens.tolist()
    lengths = batch.lengths.tolist()
    trained = batch.response_mask
    starts = torch.where(trained.any(dim=1), trained.int().argmax(dim=1), batch.lengths).tolist()
    for i, start in enumerate(starts):
        rows_of_prompt.setdefault(tuple(tokens[i][: min(start, lengths[i])]), []).append(i)
    return [(len(prompt), rows) for prompt, rows in rows_of_prompt.items()]


def micro_rows(
    batch: Batch, max_tokens: int, *, packed: bool, rows: Sequence[int] | None = None
) -> list[list[int]]:
    """Partition the batch's rows, or the given `rows`, into micro-batches.

    Packed answers to one prompt share the prompt, so as many of them as fit stay together.
    """
    row_ids = range(len(batch)) if rows is None else rows
    lengths = batch.on_cpu.lengths.tolist()
    if not packed:
        groups = micro_batches([lengths[i] for i in row_ids], max_tokens)
        return [[row_ids[k] for k in group] for group in groups]
    pieces: list[list[int]] = []  # rows that share a prompt and fit together
    sizes: list[int] = []  # tokens of each piece
    for start, group in group_by_prompt(batch.on_cpu.rows(row_ids)):
        for position, k in enumerate(group):
            response_tokens = lengths[row_ids[k]] - start
            if position == 0 or sizes[-1] + response_tokens > max_tokens:
                pieces.append([])
                sizes.append(start)
            pieces[-1].append(row_ids[k])
            sizes[-1] += response_tokens
    groups = micro_batches(sizes, max_tokens, packed=True)
    return [[row for k in group for row in pieces[k]] for group in groups]


def map_micro_batches(
    function: Callable[[Batch], Tensor], batch: Batch, max_tokens: int, *, packed: bool = False
) -> Tensor:
    """Apply `function` to micro-batches and reassemble: [b, t] results into [B, T], [b] results into [B]."""
    result: Tensor | None = None
    for index in micro_rows(batch, max_tokens, packed=packed):
        part = function(batch.rows(index))
        if result is None:
            shape = (len(batch),) if part.dim() == 1 else tuple(batch.tokens.shape)
            result = torch.zeros(shape, dtype=part.dtype, device=part.device)
        if part.dim() == 1:
            result[index] = part
        else:
            result[torch.tensor(index), : part.shape[1]] = part
    assert result is not None, "an empty batch"
    return result


def step_rows(
    num_rows: int, batch: int, num_steps: int, *, run_seed: int, drop_last: bool = False
) -> list[list[int]]:
    """Row indices of each optimiser step.  Every epoch takes each row once, in a new order.

    The last step of an epoch may be short; with `drop_last` it is skipped.
    """
    assert num_rows >= (batch if drop_last else 1), "not enough rows for one step"
    if num_steps > MOST_STEPS:
        raise ConfigError(
            f"{counted(num_steps, 'step')}: a run has at most {MOST_STEPS:,}. "
            "Lower steps or epochs, or raise batch."
        )
    end = num_rows - num_rows % batch if drop_last else num_rows
    steps: list[list[int]] = []
    epoch = 0
    while len(steps) < num_steps:
        order = list(range(num_rows))
        derive_rng(run_seed, "order", epoch).shuffle(order)
        steps += [order[start : start + batch] for start in range(0, end, batch)]
        epoch += 1
    return steps[:num_steps]


def replay_rows(
    step_tokens: Sequence[int], row_tokens: Sequence[int], share: float, *, run_seed: int
) -> list[list[int]]:
    """Indices of replay rows to add to each step, so that they make up `share` of all trained tokens.

    `step_tokens` are the trained tokens of each step without replay; `row_tokens` those of each replay row.
    The share holds cumulatively, to within half a row.  Replay rows are taken in shuffled passes.
    """
    steps: list[list[int]] = []
    waiting: list[int] = []  # the rest of the current pass
    owed = 0.0  # tokens still to be replayed
    passes = 0
    for tokens in step_tokens:
        owed += tokens * share / (1 - share)
        taken = []
        while True:
            if not waiting:
                waiting = list(range(len(row_tokens)))
                derive_rng(run_seed, "replay", passes).shuffle(waiting)
                passes += 1
            if owed < row_tokens[waiting[-1]] / 2:
                break
            taken.append(waiting.pop())
            owed -= row_tokens[taken[-1]]
        steps.append(taken)
    return steps


def minibatches(items: Sequence[int], epochs: int, count: int, *, run_seed: int) -> list[list[int]]:
    """Minibatches of PPO: `epochs` passes over one step's rollouts, each shuffled and cut into `count`
    parts.
    """
    size = -(-len(items) // count)
    parts: list[list[int]] = []
    for epoch in range(epochs):
        order = list(items)
        derive_rng(run_seed, "minibatch", epoch).shuffle(order)
        parts += [order[start : start + size] for start in range(0, len(order), size)]
    return parts


def epoch_steps(num_rows: int, batch: int, epochs: int, *, run_seed: int) -> list[list[int]]:
    """Row indices of each optimiser step of whole epochs; see `step_rows`."""
    return step_rows(num_rows, batch, epochs * steps_per_epoch(num_rows, batch), run_seed=run_seed)


def steps_per_epoch(num_rows: int, batch: int) -> int:
    """Optimiser steps that take each row once, counting a last short one."""
    return -(-num_rows // batch)
