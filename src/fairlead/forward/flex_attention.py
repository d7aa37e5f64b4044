"""Attention over packed rows on a GPU: PyTorch's FlexAttention, arXiv:2412.05496.

A function of two places decides which pairs attend, and a block mask skips blocks without such pairs, so no
C x C tensor exists.  On a CUDA device FlexAttention is compiled.  On a CPU it runs slowly and without
gradients, which is enough for tests.

C places of the packed row, H query heads, K key heads, D size of a head.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor
from torch.nn.attention.flex_attention import BlockMask, flex_attention

from fairlead.forward.span import Span

BLOCK = 128  # places per side of a block, as in FlexAttention's kernels
# A kernel is compiled for each dtype, with and without gradients, for each shape of heads, and for dynamic
# lengths. A policy and a critic together exceed PyTorch's default limit of 8, after which every call would
# hold C x C scores.
MAX_KERNELS = 64


def block_mask(segment: Tensor, prompt_segment: Tensor, spans: Sequence[Span]) -> BlockMask:
    """A place attends to earlier places of its own segment and of its prompt's segment.  [C], [C]

    segment         number of the segment (a prompt or an answer) of each place
    prompt_segment  number of the prompt's segment; within a prompt, its own number
    spans           the same structure as spans that cover every place; C is a multiple of BLOCK
    """
    count = len(segment) // BLOCK
    touched = torch.zeros(count, count, dtype=torch.bool)  # blocks with at least one attending pair
    full = torch.zeros(count, count, dtype=torch.bool)  # blocks in which every pair attends
    for start, end, visible in spans:
        for first, last in ((start, end), *visible):
            touched[start // BLOCK : -(-end // BLOCK), first // BLOCK : -(-last // BLOCK)] = True
            full[-(-start // BLOCK) : end // BLOCK, -(-first // BLOCK) : last // BLOCK] = True
    full = full.tril(-1)  # blocks on the diagonal are only half visible: attention is causal
    partial = touched.tril() & ~full

    def may_attend(row: Tensor, head: Tensor, place: Tensor, other: Tensor) -> Tensor:
        same_segment = segment[other] == segment[place]
        return (place >= other) & (same_segment | (segment[other] == prompt_segment[place]))

    return BlockMask.from_kv_blocks(
        *_block_lists(partial, segment.device),
        *_block_lists(full, segment.device),
        BLOCK_SIZE=BLOCK,
        mask_mod=may_attend,
        seq_lengths=(len(segment), len(segment)),
    )


def attend(query: Tensor, key: Tensor, value: Tensor, mask: BlockMask, *, scale: float) -> Tensor:
    """softmax(scale * q k) v where the mask allows.

    [1, H, C, D], [1, K, C, D], [1, K, C, D] -> [1, C, H, D]
    """
    attention = _flex_attention(query.device.type == "cuda")
    grouped = query.shape[1] != key.shape[1]
    result: Tensor = attention(query, key, value, block_mask=mask, scale=scale, enable_gqa=grouped)
    return result.transpose(1, 2).contiguous()


@lru_cache(maxsize=2)
def _flex_attention(compiled: bool) -> Any:
    limits = torch._dynamo.config
    limits.recompile_limit = max(limits.recompile_limit, MAX_KERNELS)
    return torch.compile(flex_attention) if compiled else flex_attention


def _block_lists(blocks: Tensor, device: torch.device) -> tuple[Tensor, Tensor]:
    """For each row of blocks: how many are True, and the columns, True ones first.

    [n, n] -> [1, 1, n], [1, 1, n, n]
    """
    counts = blocks.sum(dim=1)
    order = blocks.int().argsort(dim=1, descending=True, stable=True)
    return counts.int().to(device)[None, None], order.int().to(device)[None, None]
