"""Records into encoded rows, split by prompt: what recipes that learn from files begin with."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import torch
from torch import Tensor

from fairlead.core.errors import DataError
from fairlead.data.records import Comparison, Messages, Record
from fairlead.data.split import split_by_prompt
from fairlead.encoding.batching import Batch, collate
from fairlead.encoding.chat import Encoded, TooLong, num_trained_tokens
from fairlead.forward.backend import Backend
from fairlead.losses.preference import PairLogps, PairTokens
from fairlead.model.policy import Policy
from fairlead.train.settings import Data

R = TypeVar("R", bound=Record)
E = TypeVar("E")

Pair = tuple[Encoded, Encoded]  # the chosen and the rejected answer, each with the prompt before it
SingleOrPair = tuple[Encoded] | Pair  # what one row of a mix holds: one answer, or two to one prompt


@dataclass(frozen=True)
class EncodedSplit(Generic[R, E]):
    """Records and their encodings, side by side; no prompt stands on both sides of the split."""

    train: list[R]
    train_rows: list[E]
    held_out: list[R]
    held_out_rows: list[E]
    num_dropped: int  # too long, and left out on request


def encode_and_split(
    records: Sequence[R], encode: Callable[[R], E], settings: Data, *, seed: int, source: str
) -> EncodedSplit[R, E]:
    """Encode every record, then split by prompt; held_out = 0 holds nothing out.

    With too_long = "drop" records that do not fit are left out and counted; any other problem is a DataError that names the record's
    place in `source`.
    """
    encoded: dict[int, E] = {}
    kept: list[R] = []
    for i, record in enumerate(records, start=1):
        try:
            encoded[id(record)] = encode(record)
        except TooLong as error:
            if settings.too_long == "drop":
                continue
            raise DataError(
                f"{source}: record {i}: {error} Set too_long=drop to leave such rows out."
            ) from error
        except DataError as error:
            raise DataError(f"{source}: record {i}: {error}") from error
        kept.append(record)
    if not kept:
        raise DataError(f"{source}: none of its {len(records)} records fits into the model's context.")
    share = settings.held_out
    train, apart = split_by_prompt(kept, held_out=share, seed=seed) if share else (kept, [])
    return EncodedSplit(
        train,
        [encoded[id(r)] for r in train],
        apart,
        [encoded[id(r)] for r in apart],
        len(records) - len(kept),
    )


def encode_prompts(
    policy: Policy, prompts: Sequence[Messages], *, max_new_tokens: int, source: str
) -> list[tuple[int, ...]]:
    """The tokens before each answer; a prompt that leaves no room for `max_new_tokens` is a DataError that names it."""
    encoded = []
    for i, prompt in enumerate(prompts, start=1):
        tokens = policy.encode_prompt(prompt)
        if policy.context is not None and len(tokens) + max_new_tokens > policy.context:
            raise DataError(
                f"{source}: record {i}: the prompt has {len(tokens)} tokens; with {max_new_tokens} new ones it passes the model's "
                f"context of {policy.context}. Lower max_new_tokens or shorten the prompt."
            )
        encoded.append(tokens)
    return encoded


def without_ties(comparisons: Sequence[Comparison], source: str) -> list[Comparison]:
    """The comparisons that are no ties; a file of nothing but ties is a DataError."""
    found = [comparison for comparison in comparisons if comparison.tie is None]
    if not found:
        raise DataError(
            f"{source}: all {len(comparisons)} comparisons are ties; nothing can be learned from them here."
        )
    return found


def micro_answers(backend: Backend, items: Sequence[SingleOrPair], micro_tokens: int) -> list[list[int]]:
    """Groups of items that fit a micro-batch; where rows are padded, single answers and pairs go apart, because a pair is two rows."""
    single = [i for i, item in enumerate(items) if len(item) == 1]
    double = [i for i, item in enumerate(items) if len(item) == 2]
    groups = [single + double] if backend.packed else [group for group in (single, double) if group]
    found: list[list[int]] = []
    for group in groups:
        found += [
            [group[k] for k in part] for part in backend.micro_groups([items[i] for i in group], micro_tokens)
        ]
    return found


def encode_answer(policy: Policy, prompt: Messages, answer: Messages, max_tokens: int | None) -> Encoded:
    """An answer behind its prompt, of which only the answer is trained."""
    return policy.encode(prompt + answer, num_context=len(prompt), max_tokens=max_tokens)


def encode_pair(policy: Policy, comparison: Comparison, max_tokens: int | None) -> Pair:
    """Both answers of a comparison, each behind the prompt."""
    chosen, rejected = (
        encode_answer(policy, comparison.prompt, answer, max_tokens)
        for answer in (comparison.chosen, comparison.rejected)
    )
    return chosen, rejected


def pair_weights(comparisons: Sequence[Comparison], source: str) -> Tensor:
    """The rows' own weights, scaled to a mean of 1, so that only their ratios count.  [pairs]"""
    given = torch.tensor([comparison.weight for comparison in comparisons], dtype=torch.float64)
    if not given.sum() > 0:
        raise DataError(
            f"{source}: every comparison to train on has a weight of 0; nothing can be learned from them."
        )
    return (given / given.mean()).float()


def collate_pairs(pairs: Sequence[Pair], *, pad_id: int, device: torch.device) -> Batch:
    """One batch of 2 x pairs rows: all chosen answers, then all rejected ones; `chosen_and_rejected` takes the results apart."""
    return collate(sides(pairs), pad_id=pad_id, device=device)


def sides(pairs: Sequence[Pair]) -> list[Encoded]:
    """All chosen answers, then all rejected ones."""
    return [chosen for chosen, _ in pairs] + [rejected for _, rejected in pairs]


def chosen_and_rejected(values: Tensor) -> tuple[Tensor, Tensor]:
    """[2 x pairs] -> chosen [pairs], rejected [pairs]"""
    chosen, rejected = values.chunk(2)
    return chosen, rejected


def answer_logps(policy: Policy, rows: Sequence[Encoded]) -> Tensor:
    """Log-probability of each answer, summed over its tokens, from one forward pass.  [rows]"""
    batch = collate(rows, pad_id=policy.pad_id, device=policy.device)
    return policy.token_logps(batch).sum(dim=1)  # token log-probabilities are zero off the response


def pair_logps(policy: Policy, pairs: Sequence[Pair]) -> PairLogps:
    """Log-probabilities of both answers, summed over their tokens, from one forward pass.  [pairs] each"""
    batch = collate_pairs(pairs, pad_id=policy.pad_id, device=policy.device)
    return PairLogps(*chosen_and_rejected(policy.token_logps(batch).sum(dim=1)))


def pair_token_counts(policy: Policy, pairs: Sequence[Pair]) -> PairTokens:
    """How many tokens of both answers have a log-probability.  [pairs] each"""
    counts = torch.tensor(
        [[num_trained_tokens([answer]) for answer in pair] for pair in pairs],
        dtype=torch.float32,
        device=policy.device,
    )
    return PairTokens(*counts.unbind(dim=1))
