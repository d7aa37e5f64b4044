"""Sampling answers from a causal language model: slots that are filled again as soon as their answer ends.

A prompt is read once for all of its samples; every slot holds one answer at its own length; a finished answer's slot goes to the next
prompt.  What comes back are records: tokens, their log-probabilities under the distribution they were drawn from, and why the answer
ended.  It does not score and does not train.  Models whose attention cannot be told by a mask are sampled in padded batches instead.
"""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel

from fairlead.core.seed import derive_seed
from fairlead.encoding.batching import micro_batches
from fairlead.forward import decoder
from fairlead.ops.logprobs import CHUNK_LOGITS
from fairlead.rollout import graphs, padded
from fairlead.rollout.in_flight import KEEP, Job
from fairlead.rollout.records import Rollout, Sampling, Text
from fairlead.rollout.slots import Slots

PREFILL_TOKENS = 4096  # of prompts that are read in one forward pass, padding included
REFILL = (
    0.125  # share of the slots that must be free before new prompts are read, while others are still at work
)


@torch.no_grad()
def sample(
    network: PreTrainedModel,
    prompts: Sequence[Sequence[int]],
    settings: Sampling,
    *,
    stop_ids: frozenset[int],
    pad_id: int,
    run_seed: int,
    rows: Sequence[int] | None = None,
    slots: int = 128,
    limits: Sequence[int] | None = None,
    drafts: Sequence[Sequence[int]] | None = None,
    text: Text | None = None,
) -> list[Rollout]:
    """One answer per prompt, in the prompts' order; a prompt that occurs n times gets n answers of its own.

    `rows` are the rows' numbers, 0, 1, ... unless told: a row draws its uniform numbers from the seed and its own number, whatever is
    sampled beside it.  `limits` are lengths per row, where they differ from `max_new_tokens`; `text` turns tokens into text, for stop
    strings.  `drafts` are earlier answers, empty where there is none.  They change nothing but the time that it takes, and those of the
    same row number and seed save some (`rollout/speculative.py`); padded batches make no use of them.
    """
    if not prompts:
        return []
    assert text is not None or not settings.stop, "stop strings need `text`"
    job = Job(
        prompts,
        settings,
        row_seeds=[
            derive_seed(run_seed, "sample", row) for row in (range(len(prompts)) if rows is None else rows)
        ],
        limits=limits if limits is not None else [settings.max_new_tokens] * len(prompts),
        drafts=drafts if drafts is not None else [()] * len(prompts),
        stop_ids=stop_ids,
        text=text,
        device=next(network.parameters()).device,
    )
    if decoder.supports_tree_mask(network, job.capacity) and decoder.output_head(network) is not None:
        _in_slots(network, job, pad_id=pad_id, count=min(slots, len(prompts)))
    else:
        padded.run(network, job, pad_id=pad_id, count=slots)
    return job.rollouts()


def _in_slots(network: PreTrainedModel, job: Job, *, pad_id: int, count: int) -> None:
    device = job.tokens.device
    slots = Slots(count, capacity=job.capacity, device=device)
    step = graphs.stepper(network, slots, slots.cache(decoder.num_layers(network)))
    # Like lengths are read together, and equal prompts stand next to each other.
    waiting = sorted(range(len(job.prompts)), key=lambda i: (-len(job.text_of(i)), job.text_of(i), i))
    owner = torch.full((count,), -1, device=device)  # the row whose answer each slot holds; -1: free
    current = torch.zeros(count, dtype=torch.int64, device=device)  # its newest token, not yet in the cache
    while True:
        free = (owner < 0).nonzero().squeeze(1)
        if waiting and (len(free) >= REFILL * len(owner) or len(free) == len(owner)):
            rows, waiting = waiting[: len(free)], waiting[len(free) :]
            for group in _readings(job, rows):
                filled, free = free[: len(group)], free[len(group) :]
                chosen, ended = _read_prompts(network, job, slots, filled, group, pad_id)
                current[filled] = chosen
                owner[filled] = torch.where(ended, -1, torch.tensor(group, device=device))
                slots.lengths[filled[ended]] = 0
            continue
        busy = (owner >= 0).nonzero().squeeze(1)
        if len(busy) == 0:
            return
        if not waiting and len(busy) <= KEEP * len(owner):
            slots.keep(busy)
            owner, current, busy = owner[busy], current[busy], torch.arange(len(busy), device=device)
        logits = step(current)
        slots.lengths[busy] += 1
        chosen, ended = job.draw(owner[busy], logits[busy])
        current[busy] = chosen
        owner[busy[ended]] = -1
        slots.lengths[busy[ended]] = 0


def _readings(job: Job, rows: list[int]) -> Iterator[list[int]]:
    """The rows in groups whose different prompts and drafts are read together."""
    of_text: dict[tuple[int, ...], list[int]] = {}
    for i in rows:
        of_text.setdefault(job.text_of(i), []).append(i)
    texts = list(of_text)
    for group in micro_batches([len(text) for text in texts], PREFILL_TOKENS):
        yield [i for k in group for i in of_text[texts[k]]]


def _read_prompts(
    network: PreTrainedModel, job: Job, slots: Slots, into: Tensor, rows: list[int], pad_id: int
) -> tuple[Tensor, Tensor]:
    """Read each different prompt with its draft once, copy it into the slots of its rows, and draw what follows each token of the drafts.

    Returns every row's newest token, and whether it was its last.
    """
    device = into.device
    texts = list(dict.fromkeys(job.text_of(i) for i in rows))
    number = {text: k for k, text in enumerate(texts)}
    source = torch.tensor([number[job.text_of(i)] for i in rows], device=device)
    tokens = torch.full((len(texts), max(map(len, texts))), pad_id, device=device)
    for k, text in enumerate(texts):
        tokens[k, : len(text)] = torch.tensor(text, device=device)
    starts = torch.tensor([len(job.prompts[i]) for i in rows], device=device)
    counts = torch.tensor([len(job.drafts[i]) + 1 for i in rows], device=device)  # what each row draws
    row = torch.arange(len(rows), device=device).repeat_interleave(
        counts
    )  # [N] for each token that is drawn: whose it is
    place = (
        torch.arange(len(row), device=device) - (counts.cumsum(0) - counts)[row]
    )  # [N] and where in the answer
    cache = DynamicCache()
    hidden = decoder.prefill(network, tokens, cache, source[row], starts[row] - 1 + place)  # [N, H]
    owner = torch.tensor(rows, device=device)
    size = max(1, CHUNK_LOGITS // network.config.get_text_config().vocab_size)
    parts = [
        job.pick(owner[whose], places, decoder.output_logits(network, h))
        for whose, places, h in zip(row.split(size), place.split(size), hidden.split(size), strict=True)
    ]
    drawn, logps = (torch.cat(each) for each in zip(*parts, strict=True))
    newest, ended = job.begin(owner, drawn, logps)
    slots.fill(into, source, cache, starts + job.lengths[owner] - 1)
    return newest, ended
