"""Sampling in padded batches, for models whose caches and masks are their own: rows of like length together, padding on the left."""

import torch
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel

from fairlead.rollout.in_flight import KEEP, Job


def run(network: PreTrainedModel, job: Job, *, pad_id: int, count: int) -> None:
    """Draw all of the job's answers, `count` rows at a time."""
    order = sorted(range(len(job.prompts)), key=lambda i: (len(job.prompts[i]), i))
    for start in range(0, len(order), count):
        _batch(network, job, order[start : start + count], pad_id)


def _batch(network: PreTrainedModel, job: Job, rows: list[int], pad_id: int) -> None:
    device = job.tokens.device
    width = max(len(job.prompts[i]) for i in rows)
    tokens = torch.full((len(rows), width), pad_id, device=device)
    mask = torch.zeros((len(rows), width + int(job.limits[rows].max())), dtype=torch.int64, device=device)
    for k, i in enumerate(rows):  # padding on the left, so that every row's next token is in the same column
        prompt = job.prompts[i]
        tokens[k, width - len(prompt) :] = torch.tensor(list(prompt), device=device)
        mask[k, width - len(prompt) : width] = 1
    positions = (mask[:, :width].cumsum(dim=1) - 1).clamp_min(0)
    cache = DynamicCache(config=network.config)
    owner: Tensor = torch.tensor(rows, device=device)
    alive = torch.ones(len(rows), dtype=torch.bool, device=device)
    while True:
        logits = network(
            input_ids=tokens,
            attention_mask=mask[:, :width],
            position_ids=positions,
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        ).logits[:, -1]
        tokens = torch.full((len(owner), 1), pad_id, device=device)
        chosen, ended = job.draw(owner[alive], logits[alive])
        tokens[alive, 0] = chosen
        alive[alive.clone()] = ~ended
        if not bool(alive.any()):
            return
        mask[:, width] = 1
        width, positions = width + 1, positions[:, -1:] + 1
        # Not every kind of cache can drop rows.
        if int(alive.sum()) <= KEEP * len(owner) and all(
            hasattr(layer, "batch_select_indices") for layer in cache.layers
        ):
            kept = alive.nonzero().squeeze(1)
            cache.batch_select_indices(kept)
            owner, tokens, positions, mask, alive = (
                owner[kept],
                tokens[kept],
                positions[kept],
                mask[kept],
                alive[kept],
            )
