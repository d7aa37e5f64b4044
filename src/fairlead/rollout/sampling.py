"""Turn logits into tokens with small pure functions.  B rows, V vocabulary.

A token is drawn by inverting the cumulative distribution at a uniform number that the caller supplies, one
per row and position.  A row's sample therefore depends on its own numbers only, and not on the rows beside
it.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

BLOCK = 128  # tokens summed at once, before the cumulative sum over blocks


def sampler_logps(
    logits: Tensor, *, temperature: float, top_k: int, top_p: float, min_p: float = 0.0
) -> Tensor:
    """Log-probabilities that tokens are drawn from: scaled, truncated, renormalised.  [B, V] -> [B, V]
    float32

    top_k = 0, top_p = 1 and min_p = 0 truncate nothing.  min_p keeps tokens with at least this share of the
    most likely token's probability (arXiv:2407.01082).
    """
    scaled = logits.float() / temperature
    if top_k:
        kth = scaled.topk(min(top_k, scaled.shape[-1]), dim=-1).values[:, -1:]
        scaled = scaled.masked_fill(scaled < kth, float("-inf"))
    if top_p < 1.0:
        ordered, index = scaled.sort(dim=-1, descending=True)
        probabilities = ordered.softmax(dim=-1)
        # The mass above each token.  The token that crosses top_p is kept.
        mass_above = probabilities.cumsum(dim=-1) - probabilities
        dropped = (mass_above >= top_p).gather(-1, index.argsort(dim=-1))
        scaled = scaled.masked_fill(dropped, float("-inf"))
    if min_p > 0.0:
        threshold = scaled.amax(dim=-1, keepdim=True) + torch.log(torch.tensor(min_p))
        scaled = scaled.masked_fill(scaled < threshold, float("-inf"))
    return scaled.log_softmax(dim=-1)


def draw(logps: Tensor, uniform: Tensor) -> Tensor:
    """The token at which the cumulative probability passes `uniform`.  [B, V], [B] in [0, 1) -> [B]

    Sums over blocks of tokens first and then inside one block, both in double precision: the same inverse as
    over all tokens at once, at a small part of the cost.
    """
    num_rows, vocab_size = logps.shape
    probabilities = logps.exp()
    if vocab_size % BLOCK:
        probabilities = F.pad(probabilities, (0, BLOCK - vocab_size % BLOCK))
    blocks = probabilities.view(num_rows, -1, BLOCK)
    block_cdf = blocks.sum(dim=2, dtype=torch.float64).cumsum(dim=1)
    block, remainder = _invert(block_cdf, uniform.double() * block_cdf[:, -1])
    token_cdf = blocks[torch.arange(num_rows, device=logps.device), block].double().cumsum(dim=1)
    token, _ = _invert(token_cdf, remainder)
    return block * BLOCK + token


def _invert(cdf: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """The entry at which the cumulative sum passes the target, and the target less the sum before the entry.

    [B, n], [B] -> [B], [B]
    """
    total = cdf[:, -1]
    # Rounding up must not pass the last entry with a probability above 0.
    target = torch.minimum(target, torch.nextafter(total, torch.zeros_like(total)))
    entry = torch.searchsorted(cdf, target[:, None], right=True)
    sum_before = torch.where(entry > 0, cdf.gather(1, (entry - 1).clamp_min(0)), torch.zeros_like(cdf[:, :1]))
    return entry.squeeze(1), target - sum_before.squeeze(1)


def greedy(logps: Tensor) -> Tensor:
    """The most likely token.  [B, V] -> [B]"""
    return logps.argmax(dim=-1)


def uniforms(row_seeds: list[int], count: int) -> Tensor:
    """`count` uniform numbers for each row, from the row's own seed.  [B, count] float64"""
    rows = []
    for row_seed in row_seeds:
        generator = torch.Generator().manual_seed(row_seed)
        rows.append(torch.rand(count, generator=generator, dtype=torch.float64))
    return torch.stack(rows)
