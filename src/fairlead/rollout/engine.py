"""Sampling answers from a causal language model with a key-value cache.

Prompts of like length go together; rows that have ended leave the batch.  What comes back are records: tokens, their log-probabilities
under the distribution they were drawn from, and why the answer ended.  It does not score and does not train.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel

from fairlead.core import seed
from fairlead.rollout.sampling import draw, greedy, sampler_logps, uniforms


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """How answers are drawn.  Temperature 0 means the likeliest token."""

    max_new_tokens: int
    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0


@dataclass(frozen=True)
class Rollout:
    """One answer.

    Rollout(prompt_tokens=(5, 9), tokens=(2, 7, 1), logps=(-0.3, -1.2, -0.1), finish="stop"): token 1 ended the answer.
    """

    prompt_tokens: tuple[int, ...]
    tokens: tuple[int, ...]  # of the answer; the end token is the last where finish is "stop"
    logps: tuple[float, ...]  # of each token under the sampler's distribution
    finish: Literal["stop", "length"]


@torch.no_grad()
def sample(
    network: PreTrainedModel,
    prompts: Sequence[Sequence[int]],
    settings: Sampling,
    *,
    stop_ids: frozenset[int],
    pad_id: int,
    run_seed: int,
    first_row: int = 0,
    slots: int = 128,
) -> list[Rollout]:
    """One answer per prompt, in the prompts' order.

    Row `first_row + i` draws its own uniform numbers from the seed, whatever batch it is in.
    """
    found: dict[int, Rollout] = {}
    order = sorted(range(len(prompts)), key=lambda i: (len(prompts[i]), i))
    for start in range(0, len(order), slots):
        index = order[start : start + slots]
        seeds = [seed.derive(run_seed, "sample", first_row + i) for i in index]
        rows = _sample_batch(network, [prompts[i] for i in index], settings, seeds, stop_ids, pad_id)
        found.update(zip(index, rows, strict=True))
    return [found[i] for i in range(len(prompts))]


def _sample_batch(
    network: PreTrainedModel,
    prompts: list[Sequence[int]],
    settings: Sampling,
    row_seeds: list[int],
    stop_ids: frozenset[int],
    pad_id: int,
) -> list[Rollout]:
    device = next(network.parameters()).device
    width = max(len(prompt) for prompt in prompts)
    tokens = torch.full((len(prompts), width), pad_id, device=device)
    mask = torch.zeros((len(prompts), width + settings.max_new_tokens), dtype=torch.int64, device=device)
    for i, prompt in enumerate(prompts):  # padding on the left, so that every row's next token is in the same column
        tokens[i, width - len(prompt) :] = torch.tensor(list(prompt), device=device)
        mask[i, width - len(prompt) : width] = 1
    positions = (mask[:, :width].cumsum(dim=1) - 1).clamp_min(0)
    randoms = uniforms(row_seeds, settings.max_new_tokens).to(device)
    stops = torch.tensor(sorted(stop_ids), device=device)

    cache = DynamicCache(config=network.config)
    alive = torch.arange(len(prompts), device=device)  # which rows are still in the batch
    ended = torch.zeros(len(prompts), dtype=torch.bool, device=device)
    drawn = torch.full((len(prompts), settings.max_new_tokens), pad_id, device=device)
    drawn_logps = torch.zeros((len(prompts), settings.max_new_tokens), device=device)
    lengths = torch.full((len(prompts),), settings.max_new_tokens, device=device)

    step_tokens, step_positions = tokens, positions
    for t in range(settings.max_new_tokens):
        output = network(
            input_ids=step_tokens,
            attention_mask=mask[alive, : width + t],
            position_ids=step_positions,
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        )
        next_tokens, next_logps = _next(output.logits[:, -1], randoms[alive, t], settings)
        drawn[alive, t] = next_tokens
        drawn_logps[alive, t] = next_logps
        now_ended = torch.isin(next_tokens, stops) & ~ended[alive]
        lengths[alive[now_ended]] = t + 1
        ended[alive] |= now_ended
        if bool(ended[alive].all()):
            break
        mask[alive, width + t] = 1
        step_tokens, step_positions = next_tokens[:, None], step_positions[:, -1:] + 1
        keep = ~ended[alive]
        if int(keep.sum()) <= 0.75 * len(alive):  # dropping rows copies the cache, so not for every one of them
            kept = keep.nonzero().squeeze(1)
            cache.batch_select_indices(kept)
            alive, step_tokens, step_positions = alive[kept], step_tokens[kept], step_positions[kept]
    return [
        Rollout(
            tuple(prompt),
            tuple(drawn[i, : int(lengths[i])].tolist()),
            tuple(drawn_logps[i, : int(lengths[i])].tolist()),
            "stop" if bool(ended[i]) else "length",
        )
        for i, prompt in enumerate(prompts)
    ]


def _next(logits: Tensor, uniform: Tensor, settings: Sampling) -> tuple[Tensor, Tensor]:
    """The next token of each row and its log-probability under the sampler.  [B, V], [B] -> [B], [B]"""
    if settings.temperature == 0:
        logps = sampler_logps(logits, temperature=1.0, top_k=0, top_p=1.0)
        chosen = greedy(logps)
    else:
        logps = sampler_logps(logits, temperature=settings.temperature, top_k=settings.top_k, top_p=settings.top_p)
        chosen = draw(logps, uniform)
    return chosen, logps.gather(1, chosen[:, None]).squeeze(1)
