"""From logits to tokens, in small pure functions.  B rows, V vocabulary.

A token is drawn by inverting the cumulative distribution at a uniform number that the caller supplies, one per row and position, so that
a row's sample depends on its own numbers only and not on the rows beside it.
"""

import torch
from torch import Tensor


def sampler_logps(logits: Tensor, *, temperature: float, top_k: int, top_p: float) -> Tensor:
    """Log-probabilities that tokens are drawn from: scaled, cut, renormalised.  [B, V] -> [B, V] float32

    top_k = 0 and top_p = 1 cut nothing.
    """
    scaled = logits.float() / temperature
    if top_k:
        kth = scaled.topk(min(top_k, scaled.shape[-1]), dim=-1).values[:, -1:]
        scaled = scaled.masked_fill(scaled < kth, float("-inf"))
    if top_p < 1.0:
        ordered, index = scaled.sort(dim=-1, descending=True)
        probabilities = ordered.softmax(dim=-1)
        before = probabilities.cumsum(dim=-1) - probabilities  # the mass above a token: the token that crosses top_p is kept
        scaled = scaled.masked_fill((before >= top_p).gather(-1, index.argsort(dim=-1)), float("-inf"))
    return scaled.log_softmax(dim=-1)


def draw(logps: Tensor, uniform: Tensor) -> Tensor:
    """The token at which the cumulative probability passes `uniform`.  [B, V], [B] in [0, 1) -> [B]"""
    cumulative = logps.exp().double().cumsum(dim=-1)
    total = cumulative[:, -1:]  # 1, but for rounding
    # Rounding up must not pass the last token that has any probability.
    target = torch.minimum(uniform.double()[:, None] * total, torch.nextafter(total, torch.zeros_like(total)))
    return torch.searchsorted(cumulative, target, right=True).squeeze(1)


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
