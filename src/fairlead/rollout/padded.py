"""Sample in padded batches, for models with their own cache and mask: rows of like length together, padding
on the left.
"""

import torch
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel
from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer

from fairlead.rollout.in_flight import SHRINK_AT, RowsInFlight

ATTENTION_LAYERS = (DynamicLayer, DynamicSlidingWindowLayer)


def sample_padded(network: PreTrainedModel, rows: RowsInFlight, *, pad_id: int, batch_size: int) -> None:
    """Draw the responses of all rows, `batch_size` rows at a time."""
    order = sorted(range(len(rows.prompts)), key=lambda row: (len(rows.prompts[row]), row))
    for start in range(0, len(order), batch_size):
        _sample_batch(network, rows, order[start : start + batch_size], pad_id)


def _sample_batch(network: PreTrainedModel, rows: RowsInFlight, batch: list[int], pad_id: int) -> None:
    device = rows.tokens.device
    width = max(len(rows.prompts[row]) for row in batch)
    tokens = torch.full((len(batch), width), pad_id, device=device)
    mask = torch.zeros(
        (len(batch), width + int(rows.max_lengths[batch].max())), dtype=torch.int64, device=device
    )
    # Padding is on the left, so that the next token of every row is in the same column.
    for index, row in enumerate(batch):
        prompt = rows.prompts[row]
        tokens[index, width - len(prompt) :] = torch.tensor(list(prompt), device=device)
        mask[index, width - len(prompt) : width] = 1
    positions = (mask[:, :width].cumsum(dim=1) - 1).clamp_min(0)
    cache = DynamicCache(config=network.config)
    batch_rows: Tensor = torch.tensor(batch, device=device)
    running = torch.ones(len(batch), dtype=torch.bool, device=device)
    while True:
        logits = network(
            input_ids=tokens,
            attention_mask=mask[:, :width],
            position_ids=positions,
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        ).logits[:, -1]
        tokens = torch.full((len(batch_rows), 1), pad_id, device=device)
        newest, ended = rows.sample_next(batch_rows[running], logits[running])
        tokens[running, 0] = newest
        running[running.clone()] = ~ended
        if not bool(running.any()):
            return
        mask[:, width] = 1
        width += 1
        positions = positions[:, -1:] + 1
        # Caches with a state beside keys and values cannot drop rows, or drop those of the keys only.
        can_shrink = all(type(layer) in ATTENTION_LAYERS for layer in cache.layers)
        if can_shrink and int(running.sum()) <= SHRINK_AT * len(batch_rows):
            remaining = running.nonzero().squeeze(1)
            cache.batch_select_indices(remaining)
            batch_rows = batch_rows[remaining]
            tokens = tokens[remaining]
            positions = positions[remaining]
            mask = mask[remaining]
            running = running[remaining]
