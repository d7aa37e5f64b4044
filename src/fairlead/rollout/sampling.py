"""From logits to tokens, in small pure functions.  B rows, V vocabulary.

A token is drawn by inverting the cumulative distribution at a uniform number that the caller supplies, one per row and position, so that
a row's sample depends on its own numbers only and not on the rows beside it.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

BLOCK = 128  # tokens that are added up before the cumulative sum runs over blocks


def sampler_logps(
    logits: Tensor, *, temperature: float, top_k: int, top_p: float, min_p: float = 0.0
) -> Tensor:
    """Log-probabilities that tokens are drawn from: scaled, cut, renormalised.  [B, V] -> [B, V] float32

    top_k = 0, top_p = 1 and min_p = 0 cut nothing.  min_p keeps tokens with at least that share of the likeliest one's probability
    (arXiv:2407.01082).
    """
    scaled = logits.float() / temperature
    if top_k:
        kth = scaled.topk(min(top_k, scaled.shape[-1]), dim=-1).values[:, -1:]
        scaled = scaled.masked_fill(scaled < kth, float("-inf"))
    if top_p < 1.0:
        ordered, index = scaled.sort(dim=-1, descending=True)
        probabilities = ordered.softmax(dim=-1)
        before = (
            probabilities.cumsum(dim=-1) - probabilities
        )  # the mass above a token: the token that crosses top_p is kept
        scaled = scaled.masked_fill((before >= top_p).gather(-1, index.argsort(dim=-1)), float("-inf"))
    if min_p > 0.0:
        scaled = scaled.masked_fill(
            scaled < scaled.amax(dim=-1, keepdim=True) + torch.log(torch.tensor(min_p)), float("-inf")
        )
    return scaled.log_softmax(dim=-1)


def draw(logps: Tensor, uniform: Tensor) -> Tensor:
    """The token at which the cumulative probability passes `uniform`.  [B, V], [B] in [0, 1) -> [B]

    The sum runs over blocks of tokens first and then inside one block, in double precision both times: the same inverse as over all
    tokens at once, at a small part of its cost.
    """
    rows, size = logps.shape
    probabilities = logps.exp()
    if size % BLOCK:
        probabilities = F.pad(probabilities, (0, BLOCK - size % BLOCK))
    blocks = probabilities.view(rows, -1, BLOCK)
    cumulative = blocks.sum(dim=2, dtype=torch.float64).cumsum(dim=1)
    block, left = _invert(cumulative, uniform.double() * cumulative[:, -1])
    inside = blocks[torch.arange(rows, device=logps.device), block].double().cumsum(dim=1)
    token, _ = _invert(inside, left)
    return block * BLOCK + token


def _invert(cumulative: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Where the cumulative sum passes the target, and how much of the target is left there.  [B, n], [B] -> [B], [B]"""
    total = cumulative[:, -1]
    # Rounding up must not pass the last entry that adds anything.
    target = torch.minimum(target, torch.nextafter(total, torch.zeros_like(total)))
    found = torch.searchsorted(cumulative, target[:, None], right=True)
    before = torch.where(
        found > 0, cumulative.gather(1, (found - 1).clamp_min(0)), torch.zeros_like(cumulative[:, :1])
    )
    return found.squeeze(1), target - before.squeeze(1)


def greedy(logps: Tensor) -> Tensor:
    """The likeliest token.  [B, V] -> [B]"""
    return logps.argmax(dim=-1)


def uniforms(row_seeds: list[int], count: int) -> Tensor:
    """`count` uniform numbers for each row, from the row's own seed.  [B, count] float64"""
    rows = []
    for row_seed in row_seeds:
        generator = torch.Generator().manual_seed(row_seed)
        rows.append(torch.rand(count, generator=generator, dtype=torch.float64))
    return torch.stack(rows)
