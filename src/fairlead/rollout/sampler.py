"""Sample responses from a causal language model with continuous batching.

A prompt is prefilled once for all of its samples.  Every slot holds one response at its own length, and a
finished response's slot goes to the next prompt.  Models whose attention cannot be given by a mask are
sampled in padded batches instead (`padded.py`), and models with a cache of their own kind without a cache
(`uncached.py`).  `verify_sampler.py` chooses among the methods.  This module neither scores nor trains.
"""

from collections.abc import Iterator, Sequence
from typing import Literal

import torch
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel

from fairlead.encoding.batching import micro_batches
from fairlead.forward import decoder
from fairlead.ops.logprobs import CHUNK_LOGITS
from fairlead.rollout import graphs, padded, uncached
from fairlead.rollout.in_flight import SHRINK_AT, RowsInFlight
from fairlead.rollout.records import Decode, Rollout, SampleRequest
from fairlead.rollout.slots import Slots

PREFILL_TOKENS = 4096  # tokens that one prefill reads, padding included
# While responses are running, new prompts are prefilled only when this share of the slots is free: one
# prefill then fills many slots.
REFILL_AT = 0.125
Method = Literal["slots", "padded", "uncached"]  # fastest first
FREE = -1  # the row of a slot that holds no response


@torch.no_grad()
def sample(
    network: PreTrainedModel,
    request: SampleRequest,
    *,
    stop_ids: frozenset[int],
    pad_id: int,
    decode: Decode | None = None,
    max_lengths: Sequence[int] | None = None,
    num_slots: int = 128,
    method: Method | None = None,
) -> list[Rollout]:
    """One rollout per prompt, in the order of the prompts.

    A row's random numbers come from the seed and the row's id, so a response does not depend on the rows
    sampled beside it. `decode` is needed for stop strings only.  `max_lengths` limits each row by itself,
    instead of `max_new_tokens`.  Drafts of the same seed and row id save time (`speculative.py`); only slots
    use them.  Without a `method`, the fastest that the architecture allows is used, unverified.
    """
    if not request.prompts:
        return []
    assert decode is not None or not request.params.stop, "stop strings need `decode`"
    rows = RowsInFlight(
        request,
        [request.params.max_new_tokens] * len(request.prompts) if max_lengths is None else max_lengths,
        stop_ids=stop_ids,
        decode=decode,
        device=next(network.parameters()).device,
    )
    if method == "uncached":
        uncached.sample_uncached(network, rows, pad_id=pad_id)
    elif method != "padded" and allows_slots(network, rows.capacity):
        _sample_in_slots(network, rows, pad_id=pad_id, num_slots=min(num_slots, len(request.prompts)))
    else:
        padded.sample_padded(network, rows, pad_id=pad_id, batch_size=num_slots)
    return rows.rollouts()


def allows_slots(network: PreTrainedModel, capacity: int) -> bool:
    """Whether the architecture can be sampled in slots that hold `capacity` tokens."""
    return decoder.supports_tree_mask(network, capacity) and decoder.output_head(network) is not None


def _sample_in_slots(network: PreTrainedModel, rows: RowsInFlight, *, pad_id: int, num_slots: int) -> None:
    device = rows.tokens.device
    slots = Slots(num_slots, capacity=rows.capacity, device=device)
    decode_step = graphs.make_decode_step(network, slots, slots.cache(decoder.num_layers(network)))
    # Prompts of like length are prefilled together, and equal prompts are neighbours.
    waiting = sorted(
        range(len(rows.prompts)),
        key=lambda row: (-len(rows.prefill_tokens(row)), rows.prefill_tokens(row), row),
    )
    slot_rows = torch.full((num_slots,), FREE, device=device)  # the row whose response each slot holds
    newest = torch.zeros(
        num_slots, dtype=torch.int64, device=device
    )  # each slot's token, not yet in the cache
    while True:
        free = (slot_rows == FREE).nonzero().squeeze(1)
        if waiting and (len(free) >= REFILL_AT * len(slot_rows) or len(free) == len(slot_rows)):
            starting, waiting = waiting[: len(free)], waiting[len(free) :]
            for group in _prefill_groups(rows, starting):
                filled, free = free[: len(group)], free[len(group) :]
                tokens, ended = _prefill(network, rows, group, slots, filled, pad_id)
                newest[filled] = tokens
                slot_rows[filled] = torch.where(ended, FREE, torch.tensor(group, device=device))
                slots.lengths[filled[ended]] = 0
            continue
        busy = (slot_rows != FREE).nonzero().squeeze(1)
        if len(busy) == 0:
            return
        if not waiting and len(busy) <= SHRINK_AT * len(slot_rows):
            slots.keep(busy)
            slot_rows = slot_rows[busy]
            newest = newest[busy]
            busy = torch.arange(len(busy), device=device)
        logits = decode_step(newest)
        slots.lengths[busy] += 1
        tokens, ended = rows.sample_next(slot_rows[busy], logits[busy])
        newest[busy] = tokens
        slot_rows[busy[ended]] = FREE
        slots.lengths[busy[ended]] = 0


def _prefill_groups(rows: RowsInFlight, starting: list[int]) -> Iterator[list[int]]:
    """The rows in groups of which each is prefilled in one forward pass; rows that read the same tokens stay
    together.
    """
    rows_by_text: dict[tuple[int, ...], list[int]] = {}
    for row in starting:
        rows_by_text.setdefault(rows.prefill_tokens(row), []).append(row)
    texts = list(rows_by_text)
    for group in micro_batches([len(text) for text in texts], PREFILL_TOKENS):
        yield [row for index in group for row in rows_by_text[texts[index]]]


def _prefill(
    network: PreTrainedModel,
    rows: RowsInFlight,
    group: list[int],
    slots: Slots,
    filled: Tensor,
    pad_id: int,
) -> tuple[Tensor, Tensor]:
    """Read each distinct prompt with its draft once, copy the cache into the rows' slots, and draw a token
    after each draft token.

    Returns every row's newest token, and whether the row has ended.  N tokens are drawn in all, A of them are
    kept as newest.
    """
    device = filled.device
    texts = list(dict.fromkeys(rows.prefill_tokens(row) for row in group))
    text_index = {text: index for index, text in enumerate(texts)}
    source = torch.tensor([text_index[rows.prefill_tokens(row)] for row in group], device=device)  # [A]
    tokens = torch.full((len(texts), max(map(len, texts))), pad_id, device=device)
    for index, text in enumerate(texts):
        tokens[index, : len(text)] = torch.tensor(text, device=device)
    prompt_lengths = torch.tensor([len(rows.prompts[row]) for row in group], device=device)
    num_drawn = torch.tensor([len(rows.drafts[row]) + 1 for row in group], device=device)  # [A]
    # Of each drawn token: its row within the group, and its position in the response.  [N], [N]
    member = torch.arange(len(group), device=device).repeat_interleave(num_drawn)
    position = torch.arange(len(member), device=device) - (num_drawn.cumsum(0) - num_drawn)[member]
    cache = DynamicCache()
    hidden = decoder.prefill(
        network, tokens, cache, source[member], prompt_lengths[member] - 1 + position
    )  # [N, H]
    group_rows = torch.tensor(group, device=device)
    chunk = max(1, CHUNK_LOGITS // network.config.get_text_config().vocab_size)
    drawn = [
        rows.draw_tokens(
            group_rows[chunk_member], chunk_position, decoder.output_logits(network, chunk_hidden)
        )
        for chunk_member, chunk_position, chunk_hidden in zip(
            member.split(chunk), position.split(chunk), hidden.split(chunk), strict=True
        )
    ]
    drawn_tokens = torch.cat([chunk_tokens for chunk_tokens, _ in drawn])
    drawn_logps = torch.cat([chunk_logps for _, chunk_logps in drawn])
    newest, ended = rows.accept_drafts(group_rows, drawn_tokens, drawn_logps)
    slots.fill(filled, source, cache, prompt_lengths + rows.lengths[group_rows] - 1)
    return newest, ended
