"""Sample without a cache, for models with a cache of their own kind: every step reads the whole rows again.

Rows are padded on the right.  No token sees a later one, so the padding changes nothing and needs no mask.
Time grows with the square of the length.
"""

import torch
from transformers import PreTrainedModel

from fairlead.forward import decoder
from fairlead.rollout.in_flight import RowsInFlight

BATCH_SIZE = 16  # rows of one forward pass, which may hold all logits of its rows


def sample_uncached(network: PreTrainedModel, rows: RowsInFlight, *, pad_id: int) -> None:
    """Draw the responses of all rows."""
    order = sorted(range(len(rows.prompts)), key=lambda row: (len(rows.prompts[row]), row))
    for start in range(0, len(order), BATCH_SIZE):
        _sample_batch(network, rows, order[start : start + BATCH_SIZE], pad_id)


def _sample_batch(network: PreTrainedModel, rows: RowsInFlight, batch: list[int], pad_id: int) -> None:
    device = rows.tokens.device
    texts = {row: list(rows.prompts[row]) for row in batch}
    running = batch
    while running:
        lengths = torch.tensor([len(texts[row]) for row in running], device=device)
        tokens = torch.full((len(running), int(lengths.max())), pad_id, device=device)
        for index, row in enumerate(running):
            tokens[index, : len(texts[row])] = torch.tensor(texts[row], device=device)
        logits = _last_logits(network, tokens, lengths - 1)
        newest, ended = rows.sample_next(torch.tensor(running, device=device), logits)
        for row, token in zip(running, newest.tolist(), strict=True):
            texts[row].append(token)
        running = [row for row, has_ended in zip(running, ended.tolist(), strict=True) if not has_ended]


def _last_logits(network: PreTrainedModel, tokens: torch.Tensor, last: torch.Tensor) -> torch.Tensor:
    """Logits at one place of each row.  [A, T], [A] -> [A, V]"""
    every_row = torch.arange(len(tokens), device=tokens.device)
    if decoder.output_head(network) is None:
        logits: torch.Tensor = network(input_ids=tokens, use_cache=False).logits
        return logits[every_row, last]
    hidden = decoder.base_network(network).base_model(input_ids=tokens, use_cache=False)[0]
    return decoder.output_logits(network, hidden[every_row, last])
