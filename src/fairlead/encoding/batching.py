"""Padded batches from encoded conversations, and micro-batches of like lengths.  B rows, T tokens; padding is on the right."""

import heapq
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from fairlead.core.seed import derive_rng
from fairlead.encoding.chat import Encoded

NUM_CHECK_ROWS = 4  # rows that are enough to see whether two ways of running a network agree


Group = tuple[Encoded, ...]  # answers to one prompt, each preceded by the prompt


@dataclass(frozen=True)
class Batch:
    """Rows of tokens, padded on the right to the longest.

    tokens         5 9 2 7 .      5 9 is a prompt, 2 7 the response, . padding
    token_mask     1 1 1 1 0      real tokens
    response_mask  0 0 1 1 0      tokens that carry loss; never the first
    """

    tokens: Tensor  # [B, T] int64
    token_mask: Tensor  # [B, T] bool
    response_mask: Tensor  # [B, T] bool
    source: "Batch | None" = field(
        default=None, kw_only=True
    )  # the same on the CPU: reading back would wait for all that is under way

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
        """Row and column of every token of the responses, N in all.  [N], [N]"""
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
        """These rows only, cut to the longest of them."""
        whole, chosen = self.on_cpu, list(index)
        width = int(whole.lengths[chosen].max())
        part = Batch(
            whole.tokens[chosen, :width],
            whole.token_mask[chosen, :width],
            whole.response_mask[chosen, :width],
        )
        return part.to(self.tokens.device)


def to_device(tensor: Tensor, device: torch.device) -> Tensor:
    """To a GPU without waiting for it: from pinned memory the copy takes its place in the queue."""
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)


def collate(rows: Sequence[Encoded], *, pad_id: int, device: torch.device | None = None) -> Batch:
    """One batch of all the rows."""
    width = max(len(row) for row in rows)
    tokens = torch.full((len(rows), width), pad_id, dtype=torch.int64)
    token_mask = torch.zeros((len(rows), width), dtype=torch.bool)
    response_mask = torch.zeros((len(rows), width), dtype=torch.bool)
    for i, row in enumerate(rows):
        tokens[i, : len(row)] = torch.tensor(row.tokens)
        token_mask[i, : len(row)] = True
        response_mask[i, : len(row)] = torch.tensor(row.trained)
    response_mask[:, 0] = False  # nothing stands before the first token, so it has no probability
    made = Batch(tokens, token_mask, response_mask)
    return made if device is None else made.to(device)


def micro_batches(lengths: Sequence[int], max_tokens: int, *, packed: bool = False) -> list[list[int]]:
    """Groups of row numbers, like lengths together, so that rows x longest <= max_tokens (a longer row stands alone).

    Packed rows have no padding, so that any lengths go together: groups of about equal sums, as few as fit.
    """
    if packed and lengths:
        fewest = min(len(lengths), -(-sum(lengths) // max_tokens))
        tried = (_even_groups(lengths, count) for count in range(fewest, len(lengths) + 1))
        return next(found for found in tried if _fits(found, lengths, max_tokens))
    groups: list[list[int]] = []
    for i in sorted(range(len(lengths)), key=lambda i: (lengths[i], i)):
        if groups and (len(groups[-1]) + 1) * lengths[i] <= max_tokens:
            groups[-1].append(i)
        else:
            groups.append([i])
    return groups


def group_tokens(group: Group, *, share_prompts: bool, packed: bool = False) -> int:
    """What a group takes of a micro-batch: the prompt once and all answers, or each row at the length of the longest, or as it is."""
    prompt = group[0].trained.index(True)
    total = sum(len(row) for row in group)
    if (share_prompts or packed) and all(
        row.tokens[:prompt] == group[0].tokens[:prompt] for row in group[1:]
    ):
        return total - prompt * (len(group) - 1)
    return total if packed else len(group) * max(len(row) for row in group)


def _even_groups(lengths: Sequence[int], count: int) -> list[list[int]]:
    """So many groups of row numbers: each row, the longest first, to the group that has least."""
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
    """(tokens before the first trained one, the rows that begin with the same ones), for every different prompt."""
    found: dict[tuple[int, ...], list[int]] = {}
    batch = batch.on_cpu
    tokens, lengths = batch.tokens.tolist(), batch.lengths.tolist()
    trained = batch.response_mask
    starts = torch.where(trained.any(dim=1), trained.int().argmax(dim=1), batch.lengths).tolist()
    for i, start in enumerate(starts):
        found.setdefault(tuple(tokens[i][: min(start, lengths[i])]), []).append(i)
    return [(len(prompt), rows) for prompt, rows in found.items()]


def micro_rows(
    batch: Batch, max_tokens: int, *, packed: bool, rows: Sequence[int] | None = None
) -> list[list[int]]:
    """The batch's rows, or some of them, in micro-batches.  Packed answers to one prompt share it and stay together, as many as fit."""
    chosen = range(len(batch)) if rows is None else rows
    lengths = batch.on_cpu.lengths.tolist()
    if not packed:
        return [
            [chosen[k] for k in group] for group in micro_batches([lengths[i] for i in chosen], max_tokens)
        ]
    pieces: list[list[int]] = []
    sizes: list[int] = []
    for start, group in group_by_prompt(batch.on_cpu.rows(chosen)):
        for number, k in enumerate(group):
            own = lengths[chosen[k]] - start
            if number == 0 or sizes[-1] + own > max_tokens:
                pieces.append([])
                sizes.append(start)
            pieces[-1].append(chosen[k])
            sizes[-1] += own
    return [
        [row for k in group for row in pieces[k]] for group in micro_batches(sizes, max_tokens, packed=True)
    ]


def map_micro_batches(
    function: Callable[[Batch], Tensor], batch: Batch, max_tokens: int, *, packed: bool = False
) -> Tensor:
    """`function` over micro-batches, put together again: [b, t] results into [B, T], [b] results into [B]."""
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
    """Which rows each step takes: every row once per epoch, in an order of the epoch's own; an epoch's last step may be short.

    With `drop_last` the rows that do not fill a step wait for another epoch.
    """
    assert num_rows >= (batch if drop_last else 1), "not enough rows for one step"
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
    """Which rows of other data each step takes besides its own, so that they make up `share` of the trained tokens.

    `step_tokens` are the trained tokens of each step without them, `row_tokens` those of each of the other rows.  The share is met
    over the steps so far, up to half a row; the rows come in shuffled passes.
    """
    steps: list[list[int]] = []
    waiting: list[int] = []
    owed, passes = 0.0, 0
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
    """The items of each optimiser step over one step's answers: `epochs` passes, each a new shuffle cut into `count` parts."""
    size = -(-len(items) // count)
    parts: list[list[int]] = []
    for epoch in range(epochs):
        order = list(items)
        derive_rng(run_seed, "minibatch", epoch).shuffle(order)
        parts += [order[start : start + size] for start in range(0, len(order), size)]
    return parts


def steps_per_epoch(num_rows: int, batch: int) -> int:
    return -(-num_rows // batch)
