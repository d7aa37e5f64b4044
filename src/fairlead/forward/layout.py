"""Layouts: how the rows of a batch are arranged in the tensors that the network reads.

plain   each row stays a row; causal attention needs no mask, because padding is to the right of all tokens
padded  the plain layout with a padding mask, as other libraries run a network
tree    rows with the same prompt become one row: the prompt once, then every answer; positions restart after
        the prompt, and a mask hides the answers from each other
packed  all trees behind each other in one row, hidden from each other; only the end of the row is padded

    two rows                 one tree                    A and B attend to
    P P A A                  P P A A B B B               A: P P A        (itself and earlier places)
    P P B B B      positions 0 1 2 3 2 3 4               B: P P . . B

Every layout returns the place of each batch token in `token_index`, so results can be read in the batch's
own rows. Layouts are built on the CPU and copied as whole tensors: on a GPU the many small operations would
take longer than the network.

B rows of T tokens in the batch; R rows of C places in the layout; H hidden size.
"""

from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.attention.flex_attention import BlockMask

from fairlead.encoding.batching import Batch, group_by_prompt, to_device
from fairlead.forward import flex_attention, matmul_attention
from fairlead.forward.span import Span

PADDING_SEGMENT = -1
ROUND_TO = flex_attention.BLOCK  # places of a packed row: few distinct lengths, so few kernels are compiled
MIN_SAVED_FRAC = 0.05  # tokens that a tree must save; below this, its mask costs more than it saves


@dataclass(frozen=True)
class Layout:
    """What the network reads, and where each batch token is in it.

    The tree in the module docstring: tokens [[P P A A B B B]], positions [[0 1 2 3 2 3 4]],
    token_index [[0 1 2 3 .], [0 1 4 5 6]].
    """

    tokens: Tensor  # [R, C] int64
    positions: Tensor | None  # [R, C] int64; None: 0, 1, 2, ... in every row
    # None: causal attention.  [R, C] bool: True for real tokens.  [R, 1, C, C] bool: True where a query (dim
    # 2) may attend to a key (dim 3).  A BlockMask or SpanMask expresses the same for packed rows.
    mask: Tensor | BlockMask | None
    token_index: Tensor  # [B, T] int64: place of each batch token in the flattened [R * C]; 0 for padding

    @property
    def previous_index(self) -> Tensor:
        """The place before each token, whose hidden state predicts the token.

        [B, T]; column 0 is meaningless.
        """
        first = torch.zeros_like(self.token_index[:, :1])
        return torch.cat([first, self.token_index[:, :-1]], dim=1)


class _Places(NamedTuple):
    """Segments written into one flat sequence of C places, on the CPU.  See `flex_attention.block_mask`."""

    tokens: Tensor  # [C] int64
    positions: Tensor  # [C] int64
    segment: Tensor  # [C] int32
    prompt_segment: Tensor  # [C] int32
    token_index: Tensor  # [B, T] int64
    spans: list[Span]


def plain(batch: Batch) -> Layout:
    """Each row stays a row, with causal attention."""
    rows, width = batch.tokens.shape
    index = torch.arange(rows * width, device=batch.tokens.device).view(rows, width)
    return Layout(batch.tokens, None, None, index.where(batch.token_mask, torch.zeros_like(index)))


def padded(batch: Batch) -> Layout:
    """The plain layout with a padding mask, which causal attention does not need."""
    return replace(plain(batch), mask=batch.token_mask)


def tree(batch: Batch, *, pad_id: int) -> Layout:
    """Rows with equal prompts share one row.  Falls back to the plain layout if that saves too few tokens."""
    groups = group_by_prompt(batch)
    if saved_frac(batch, groups) < MIN_SAVED_FRAC:
        return plain(batch)
    width = max(tree_sizes(batch, groups))
    starts = [row * width for row in range(len(groups))]
    places = _write_groups(batch, groups, starts, len(groups) * width, pad_id)
    shape = (len(groups), width)
    device = batch.tokens.device
    segment = to_device(places.segment, device).view(shape)
    prompt_segment = to_device(places.prompt_segment, device).view(shape)
    return Layout(
        to_device(places.tokens, device).view(shape),
        to_device(places.positions, device).view(shape),
        dense_mask(segment, prompt_segment),
        to_device(places.token_index, device),
    )


def packed(batch: Batch, *, pad_id: int, blocks: bool, share: bool = True) -> Layout:
    """All trees in one row, padded to a multiple of ROUND_TO.

    Attention is described by blocks (`blocks=True`, for a GPU) or by spans (for a CPU).
    With `share=False` every row keeps its own copy of the prompt.
    """
    groups = group_by_prompt(batch)
    if not share:
        groups = [(start, [i]) for start, rows in groups for i in rows]
    sizes = tree_sizes(batch, groups)
    num_tokens = sum(sizes)
    width = -(-num_tokens // ROUND_TO) * ROUND_TO
    starts = [sum(sizes[:g]) for g in range(len(sizes))]
    places = _write_groups(batch, groups, starts, width, pad_id)
    device = batch.tokens.device
    # Padding attends to itself only.
    spans = [*places.spans, Span(num_tokens, width)] if num_tokens < width else places.spans
    mask: Tensor | BlockMask
    if blocks:
        segment = to_device(places.segment, device)
        mask = flex_attention.block_mask(segment, to_device(places.prompt_segment, device), spans)
    else:
        mask = matmul_attention.span_mask(spans, width)
    return Layout(
        to_device(places.tokens, device)[None],
        to_device(places.positions, device)[None],
        mask,
        to_device(places.token_index, device),
    )


def dense_mask(segment: Tensor, prompt_segment: Tensor) -> Tensor:
    """The rule of `flex_attention.block_mask` for all pairs of places.

    [R, C], [R, C] -> [R, 1, C, C] bool
    """
    key_segment = segment[:, None, :]
    same_segment = key_segment == segment[:, :, None]
    return (same_segment | (key_segment == prompt_segment[:, :, None])).tril()[:, None]


def to_layout(values: Tensor, batch: Batch, layout: Layout) -> Tensor:
    """Move values of the batch's tokens to their places in the layout; zero elsewhere.

    [B, T, H] -> [R, C, H]
    """
    result = values.new_zeros(layout.tokens.numel(), values.shape[-1])
    result[layout.token_index[batch.token_mask]] = values[batch.token_mask]
    return result.view(*layout.tokens.shape, -1)


def saved_frac(batch: Batch, groups: list[tuple[int, list[int]]]) -> float:
    """Fraction of the batch's tokens that sharing prompts saves."""
    return sum(start * (len(rows) - 1) for start, rows in groups) / int(batch.on_cpu.lengths.sum())


def tree_sizes(batch: Batch, groups: list[tuple[int, list[int]]]) -> list[int]:
    """Tokens of each group laid out as a tree."""
    lengths = batch.on_cpu.lengths.tolist()
    return [start + sum(lengths[i] - start for i in rows) for start, rows in groups]


def _write_groups(
    batch: Batch, groups: list[tuple[int, list[int]]], starts: list[int], num_places: int, pad_id: int
) -> _Places:
    """Write each group from its start on: the prompt, then the answers."""
    batch = batch.on_cpu
    lengths = batch.lengths.tolist()
    tokens = torch.full((num_places,), pad_id, dtype=torch.int64)
    positions = torch.zeros(num_places, dtype=torch.int64)
    segments = torch.full((num_places,), PADDING_SEGMENT, dtype=torch.int32)
    prompt_segments = torch.full((num_places,), PADDING_SEGMENT, dtype=torch.int32)
    token_index = torch.zeros_like(batch.tokens)
    spans: list[Span] = []
    segment = 0
    for (prompt_length, rows), first in zip(groups, starts, strict=True):
        prompt_end = first + prompt_length
        prompt_segment = segment
        tokens[first:prompt_end] = batch.tokens[rows[0], :prompt_length]
        positions[first:prompt_end] = torch.arange(prompt_length)
        segments[first:prompt_end] = prompt_segment
        prompt_segments[first:prompt_end] = prompt_segment
        token_index[rows, :prompt_length] = torch.arange(first, prompt_end)
        begin = prompt_end
        for answer, i in enumerate(rows):
            segment += 1
            end = begin + lengths[i] - prompt_length
            tokens[begin:end] = batch.tokens[i, prompt_length : lengths[i]]
            positions[begin:end] = torch.arange(prompt_length, lengths[i])
            segments[begin:end] = segment
            prompt_segments[begin:end] = prompt_segment
            token_index[i, prompt_length : lengths[i]] = torch.arange(begin, end)
            if answer == 0:  # the prompt and its first answer are one causal text
                spans.append(Span(first, end))
            elif end > begin:
                spans.append(Span(begin, end, ((first, prompt_end),)))
            begin = end
        segment += 1
    return _Places(tokens, positions, segments, prompt_segments, token_index, spans)
