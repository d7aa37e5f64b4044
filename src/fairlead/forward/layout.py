"""How the rows of a batch lie in the tensors that the network reads.  B rows of T tokens; R x C is what the network sees.

plain   a row is a row; causal attention needs no mask, and what stands after a row's end is never looked at
tree    rows with the same prompt become one: the prompt once, then every answer, with positions that restart after the prompt and a
        mask that hides the answers from each other
packed  all trees one after the other in a single row, hidden from each other too: nothing is padded but its end

    two rows                 one tree                    may look at
    P P A A                  P P A A B B B               A: P P A        (itself and before)
    P P B B B      positions 0 1 2 3 2 3 4               B: P P - - B

Whatever the layout, `at` says where each token of the batch went, so that results come back in the batch's own rows.  A layout is made
on the CPU and moved in whole tensors: a GPU would take longer over many small ones than over the network's layers.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn.attention.flex_attention import BlockMask

from fairlead.encoding.batching import Batch, group_by_prompt, to_device
from fairlead.forward import flex_attention, matmul_attention
from fairlead.forward.span import Span

ABSENT = -1  # segment of padding
ROUND = (
    flex_attention.BLOCK
)  # tokens of a packed row: few lengths, for which kernels and products are prepared
SHARE_FROM = 0.05  # share of a batch's tokens that a tree must save; below it its mask costs more


@dataclass(frozen=True)
class Layout:
    tokens: Tensor  # [R, C] int64
    positions: Tensor | None  # [R, C] int64; None: 0, 1, 2, ... in every row
    # [R, 1, C, C] bool, True where a query (third axis) may look at a key (fourth), or the same as blocks or stretches; [R, C] real tokens;
    # None: causal
    mask: Tensor | BlockMask | None
    token_index: (
        Tensor  # [B, T] int64: the place of each token of the batch in the flattened [R * C]; 0 for padding
    )

    @property
    def previous_index(self) -> Tensor:
        """The place whose hidden state speaks about each token: that of the token before it.  [B, T]; column 0 means nothing"""
        return torch.cat([torch.zeros_like(self.token_index[:, :1]), self.token_index[:, :-1]], dim=1)


def plain(batch: Batch) -> Layout:
    rows, width = batch.tokens.shape
    at = torch.arange(rows * width, device=batch.tokens.device).view(rows, width)
    return Layout(batch.tokens, None, None, at.where(batch.token_mask, torch.zeros_like(at)))


def padded(batch: Batch) -> Layout:
    """The plain layout with the mask of real tokens, which causal attention to the left of the padding does not need."""
    return replace(plain(batch), mask=batch.token_mask)


def tree(batch: Batch, *, pad_id: int) -> Layout:
    """Rows whose prompts are equal share them.  Where that would save too few tokens, this is the plain layout."""
    groups = group_by_prompt(batch)
    if saved_frac(batch, groups) < SHARE_FROM:
        return plain(batch)
    width = max(tree_sizes(batch, groups))
    places = _place(batch, groups, [r * width for r in range(len(groups))], len(groups) * width, pad_id)
    shape, device = (len(groups), width), batch.tokens.device
    tokens, positions, own, prompt, at = (to_device(tensor, device) for tensor in places[:5])
    mask = dense_mask(own.view(shape), prompt.view(shape))
    return Layout(tokens.view(shape), positions.view(shape), mask, at)


def packed(batch: Batch, *, pad_id: int, blocks: bool, share: bool = True) -> Layout:
    """One row of all trees, its length a multiple of ROUND.  What may look at what is told in blocks, for a GPU, or in stretches.

    Without `share` every row keeps a prompt of its own.
    """
    groups = group_by_prompt(batch)
    if not share:
        groups = [(start, [i]) for start, rows in groups for i in rows]
    sizes = tree_sizes(batch, groups)
    width = -(-sum(sizes) // ROUND) * ROUND
    starts = [sum(sizes[:g]) for g in range(len(sizes))]
    *places, stretches = _place(batch, groups, starts, width, pad_id)
    tokens, positions, own, prompt, at = (to_device(tensor, batch.tokens.device) for tensor in places)
    stretches += [Span(sum(sizes), width)] if sum(sizes) < width else []
    mask = (
        flex_attention.block_mask(own, prompt, stretches)
        if blocks
        else matmul_attention.span_mask(stretches, width)
    )
    return Layout(tokens[None], positions[None], mask, at)


def dense_mask(own: Tensor, prompt: Tensor) -> Tensor:
    """What `flex.block_mask` says, as all pairs of places.  [R, C], [R, C] -> [R, 1, C, C] bool"""
    key = own[:, None, :]
    return ((key == own[:, :, None]) | (key == prompt[:, :, None])).tril()[:, None]


def to_layout(values: Tensor, batch: Batch, layout: Layout) -> Tensor:
    """Values of the batch's tokens at their places in the layout, zero elsewhere.  [B, T, H] -> [R, C, H]"""
    placed = values.new_zeros(layout.tokens.numel(), values.shape[-1])
    placed[layout.token_index[batch.token_mask]] = values[batch.token_mask]
    return placed.view(*layout.tokens.shape, -1)


def saved_frac(batch: Batch, groups: list[tuple[int, list[int]]]) -> float:
    """The share of the batch's tokens that a tree layout of these groups does not compute again."""
    return sum(start * (len(rows) - 1) for start, rows in groups) / int(batch.on_cpu.lengths.sum())


def tree_sizes(batch: Batch, groups: list[tuple[int, list[int]]]) -> list[int]:
    """Tokens of each group as a tree."""
    lengths = batch.on_cpu.lengths.tolist()
    return [start + sum(lengths[i] - start for i in rows) for start, rows in groups]


def _place(
    batch: Batch, groups: list[tuple[int, list[int]]], places: list[int], total: int, pad_id: int
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, list[Span]]:
    """Each group from its place on: the prompt, then the answers.  tokens, positions, own, prompt [total], at [B, T]; all on the CPU

    `own` and `prompt` number the segments as `flex.block_mask` wants them.
    """
    batch = batch.on_cpu
    lengths = batch.lengths.tolist()
    tokens = torch.full((total,), pad_id, dtype=torch.int64)
    positions = torch.zeros(total, dtype=torch.int64)
    own, prompt = (torch.full((total,), ABSENT, dtype=torch.int32) for _ in range(2))
    at = torch.zeros_like(batch.tokens)
    stretches: list[Span] = []
    segment = 0
    for (start, rows), first in zip(groups, places, strict=True):
        end, shared = first + start, segment
        tokens[first:end] = batch.tokens[rows[0], :start]
        positions[first:end] = torch.arange(start)
        own[first:end] = prompt[first:end] = shared
        at[rows, :start] = torch.arange(first, end)
        begin = end
        for answer, i in enumerate(rows):
            segment += 1
            stop = begin + lengths[i] - start
            tokens[begin:stop] = batch.tokens[i, start : lengths[i]]
            positions[begin:stop] = torch.arange(start, lengths[i])
            own[begin:stop], prompt[begin:stop] = segment, shared
            if answer == 0:  # one text with its prompt
                stretches.append(Span(first, stop))
            elif stop > begin:
                stretches.append(Span(begin, stop, ((first, end),)))
            at[i, start : lengths[i]] = torch.arange(begin, stop)
            begin = stop
        segment += 1
    return tokens, positions, own, prompt, at, stretches
