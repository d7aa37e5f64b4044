"""Attention over a row in which many texts stand one after the other: PyTorch's flex attention, arXiv:2412.05496.  C places in the row.

What a place may look at is said by a function of two places and, so that nobody looks where nothing is, by blocks of BLOCK x BLOCK
places: no C x C tensor exists.  On a CUDA device it is compiled.  On a CPU it runs as it is, slowly and without gradients, which PyTorch
does not have there: that is for tests.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor
from torch.nn.attention.flex_attention import BlockMask, flex_attention

from fairlead.forward.span import Span

BLOCK = 128  # places on a block's side, as the kernels have it
# Kernels are made anew for each number type, with and without gradients, for each shape of heads, and once more when lengths vary.
# PyTorch's own limit of 8 is soon met by a policy and a critic together, and past it every call would hold all C x C scores.
MOST_KERNELS = 64


def block_mask(own: Tensor, prompt: Tensor, stretches: Sequence[Span]) -> BlockMask:
    """Which places may look where: at their own segment and at their prompt's, not at what comes after.  [C], [C]

    own     the number of each place's segment, a prompt or an answer
    prompt  the number of the segment of the prompt before it; a prompt's own number in the prompt
    stretches say the same; every place stands in one, and C is a multiple of BLOCK
    """
    count = len(own) // BLOCK
    seen, whole = (torch.zeros(count, count, dtype=torch.bool) for _ in range(2))
    for start, end, others in stretches:
        for first, last in ((start, end), *others):
            seen[start // BLOCK : -(-end // BLOCK), first // BLOCK : -(-last // BLOCK)] = True
            whole[-(-start // BLOCK) : end // BLOCK, -(-first // BLOCK) : last // BLOCK] = True
    whole = whole.tril(-1)  # on the diagonal half of a block comes after
    partly = seen.tril() & ~whole

    def may_look(row: Tensor, head: Tensor, place: Tensor, other: Tensor) -> Tensor:
        return (place >= other) & ((own[other] == own[place]) | (own[other] == prompt[place]))

    return BlockMask.from_kv_blocks(
        *_listed(partly, own.device),
        *_listed(whole, own.device),
        BLOCK_SIZE=BLOCK,
        mask_mod=may_look,
        seq_lengths=(len(own), len(own)),
    )


def attend(query: Tensor, key: Tensor, value: Tensor, mask: BlockMask, *, scale: float) -> Tensor:
    """[1, H, C, D], [1, K, C, D] twice -> [1, C, H, D]"""
    attention = _prepared(query.device.type == "cuda")
    result: Tensor = attention(
        query, key, value, block_mask=mask, scale=scale, enable_gqa=query.shape[1] != key.shape[1]
    )
    return result.transpose(1, 2).contiguous()


@lru_cache(maxsize=2)
def _prepared(compiled: bool) -> Any:
    limits = torch._dynamo.config
    limits.recompile_limit = max(limits.recompile_limit, MOST_KERNELS)
    return torch.compile(flex_attention) if compiled else flex_attention


def _listed(blocks: Tensor, device: torch.device) -> tuple[Tensor, Tensor]:
    """For each row of blocks, how many are True and which, these first.  [n, n] bool -> [1, 1, n], [1, 1, n, n] int32"""
    counts, order = blocks.sum(dim=1), blocks.int().argsort(dim=1, descending=True, stable=True)
    return counts.int().to(device)[None, None], order.int().to(device)[None, None]
