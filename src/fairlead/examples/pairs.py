"""Preference pairs and single answers: encode records, split them by prompt, batch them, compute
log-probabilities.

This module does not read files (`data/record_reader.py`) and does not compute losses
(`losses/preference.py`).
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

import torch
from torch import Tensor

from fairlead.core.errors import DataError
from fairlead.core.plural import counted
from fairlead.data.records import Comparison, Messages, Record
from fairlead.data.split import split_by_prompt, without_trained_prompts
from fairlead.encoding.batching import collate
from fairlead.encoding.chat import Encoded, num_trained_tokens
from fairlead.encoding.chat_format import ChatFormat, Tools
from fairlead.encoding.record_rows import Answer, Pair, SingleOrPair
from fairlead.encoding.worker_pool import encode_records
from fairlead.examples.row_cache import cached_rows
from fairlead.examples.too_long import (
    DROPPED,
    FittedRecords,
    HasTokenizer,
    RowEncoder,
    leaves,
    refused_records,
)
from fairlead.forward.backend import Backend
from fairlead.losses.preference import PairLogps, PairTokens
from fairlead.model.policy import Policy
from fairlead.store.run import Run
from fairlead.train.settings import Data, LongRows

R = TypeVar("R", bound=Record)
E = TypeVar("E")
C = TypeVar("C", bound="Encoder", covariant=True)

# Why a held-out record is left out: its prompt differs from a training prompt in case or spaces only.
REPEATED = "rows held out with a training prompt"


@dataclass(frozen=True)
class EncodedSplit(Generic[R, E]):
    """Records and their encodings, split by prompt.  `train_rows[i]` is the encoding of `train[i]`.

    No prompt is on both sides of the split.
    """

    train: list[R]
    train_rows: list[E]
    held_out: list[R]
    held_out_rows: list[E]
    num_dropped: int  # records that were too long and are left out
    left_out: Mapping[str, int] = field(default_factory=dict)  # reason -> records that were dropped or cut


class SplitSettings(Protocol):
    """The part of a `Config` that says which rows are trained on."""

    @property
    def data(self) -> Data: ...
    @property
    def seed(self) -> int: ...


class Encoder(Protocol):
    """What encodes the records of a model, in any process."""

    @property
    def chat(self) -> ChatFormat: ...

    @property
    def settings(self) -> list[str | int | None]:
        """What the rows depend on beside the chat format."""


class HasEncoder(HasTokenizer, Protocol[C]):
    """A policy or a scalar model."""

    @property
    def encoder(self) -> C: ...

    @property
    def context(self) -> int | None: ...


def encode_and_split(
    model: HasEncoder[C],
    records: Sequence[R],
    encode: Callable[[C, R, int | None], E],
    config: SplitSettings,
    *,
    source: str,
    run: Run | None = None,
) -> EncodedSplit[R, E]:
    """Encode every record, then split by prompt.  held_out=0 keeps all records for training.

    `encode` gets the model's encoder, a record, and the largest number of tokens.  Worker processes run it
    if there are many records, and the cache of `run` keeps the rows.  Records that do not fit are refused,
    dropped or cut as `data.too_long` says (`too_long.py`).  Any other problem raises a DataError with the
    record's position in `source`.
    """
    settings = config.data
    result = fit_records(
        model,
        records,
        encode,
        settings.max_tokens or model.context,
        settings.too_long,
        source=source,
        run=run,
    )
    if not result.fitted:
        raise DataError(
            f"{source}: none of its {counted(len(records), 'record')} fits into the model's context. "
            "Use shorter rows or a model with a longer context."
        )
    # Rows of a prompt stay together although each may have lost another part of it.
    of_original = {id(fitted.original): fitted for fitted in result.fitted}
    originals = [fitted.original for fitted in result.fitted]
    share = settings.held_out
    sides = split_by_prompt(originals, held_out=share, seed=config.seed) if share else (originals, [])
    fresh = without_trained_prompts(sides[0], sides[1], source=source)
    train, test = ([of_original[id(original)] for original in side] for side in (sides[0], fresh))
    left_out = dict(result.left_out)
    if num_repeated := len(sides[1]) - len(fresh):
        left_out[REPEATED] = num_repeated
    return EncodedSplit(
        [fitted.record for fitted in train],
        [fitted.rows for fitted in train],
        [fitted.record for fitted in test],
        [fitted.rows for fitted in test],
        num_dropped=result.left_out.get(DROPPED, 0),
        left_out=left_out,
    )


def fit_records(
    model: HasEncoder[C],
    records: Sequence[R],
    encode: Callable[[C, R, int | None], E],
    max_tokens: int | None,
    choice: LongRows,
    *,
    source: str,
    run: Run | None,
) -> FittedRecords[R, E]:
    """Encode every record with the cores that there are, or take the rows from the cache of the run."""
    encoder = model.encoder

    def fit() -> FittedRecords[R, E]:
        rows: RowEncoder[R, E] = RowEncoder(
            model, lambda record, longest: encode(encoder, record, longest), max_tokens
        )
        with closing(encode_records(encoder, encode, records, max_tokens)) as outcomes:
            return rows.fit_records(records, choice, source=source, outcomes=outcomes)

    if run is None:
        return fit()
    settings = {
        "encode": f"{encode.__module__}.{encode.__qualname__}",
        "encoder": encoder.settings,
        "max_tokens": max_tokens,
        "too_long": choice,
    }
    return cached_rows(run, encoder.chat, records, settings, fit)


def encode_prompts(
    policy: Policy,
    prompts: Sequence[Messages],
    *,
    max_new_tokens: int,
    source: str,
    tools: Sequence[Tools] = (),
) -> list[tuple[int, ...]]:
    """Token ids of each prompt; `tools` are those of each prompt.

    Raises DataError for prompts that the chat template refuses, and for a prompt that leaves no room for
    `max_new_tokens`.
    """
    encoded = []
    refused: dict[int, DataError] = {}
    for i, prompt in enumerate(prompts, start=1):
        try:
            tokens = policy.encode_prompt(prompt, tools=tools[i - 1] if tools else ())
        except DataError as error:
            refused[i - 1] = error
            continue
        if policy.context is not None and len(tokens) + max_new_tokens > policy.context:
            raise DataError(
                f"{source}: record {i}: the prompt has "
                f"{counted(len(tokens), 'token')}. With {max_new_tokens} new "
                "tokens it "
                f"exceeds the model's context of {policy.context}. Lower max_new_tokens or shorten the "
                "prompt."
            )
        encoded.append(tokens)
    if refused:
        raise refused_records(refused, len(prompts), source)
    return encoded


def flatten_rows(split: EncodedSplit[R, Answer]) -> EncodedSplit[R, Encoded]:
    """A split with one row for each entry: a record of several rows is there several times."""
    return EncodedSplit(
        [record for record, rows in zip(split.train, split.train_rows, strict=True) for _ in rows],
        [row for rows in split.train_rows for row in rows],
        [record for record, rows in zip(split.held_out, split.held_out_rows, strict=True) for _ in rows],
        [row for rows in split.held_out_rows for row in rows],
        split.num_dropped,
        split.left_out,
    )


def without_ties(comparisons: Sequence[Comparison], source: str) -> list[Comparison]:
    """Drop ties.  Raises DataError if nothing else is left."""
    decided = [comparison for comparison in comparisons if comparison.tie is None]
    if not decided:
        raise DataError(
            f"{source}: all {len(comparisons)} comparisons are ties; this method cannot learn from ties. "
            "Add comparisons with a preference."
        )
    return decided


def pair_weights(comparisons: Sequence[Comparison], source: str) -> Tensor:
    """Weights of the comparisons, scaled to a mean of 1 so that only their ratios count.  [pairs]"""
    weights = torch.tensor([comparison.weight for comparison in comparisons], dtype=torch.float64)
    if not weights.sum() > 0:
        raise DataError(
            f"{source}: every comparison to train on has weight 0, so there is nothing to learn. "
            "Give some rows a positive weight."
        )
    return (weights / weights.mean()).float()


def micro_answers(backend: Backend, items: Sequence[SingleOrPair], micro_tokens: int) -> list[list[int]]:
    """Partition examples into micro-batches.  Returns indices.

    Padded rows keep examples of different numbers of rows apart: a pair is two rows, for example.
    """
    rows = [tuple(leaves(item)) for item in items]
    of_size: dict[int, list[int]] = {}
    for i, group in enumerate(rows):
        of_size.setdefault(len(group), []).append(i)
    sets = [of_size[size] for size in sorted(of_size)]
    if backend.packed:
        sets = [[i for indices in sets for i in indices]]
    groups: list[list[int]] = []
    for indices in sets:
        parts = backend.micro_groups([rows[i] for i in indices], micro_tokens)
        groups += [[indices[k] for k in part] for part in parts]
    return groups


def sides(pairs: Sequence[Pair]) -> list[Answer]:
    """All chosen answers, then all rejected ones."""
    return [chosen for chosen, _ in pairs] + [rejected for _, rejected in pairs]


def answer_logps(policy: Policy, answers: Sequence[Answer]) -> Tensor:
    """Log-probability of each answer, summed over its rows and their tokens.  One forward pass.  [answers]

    With gradients.
    """
    rows = [row for answer in answers for row in answer]
    batch = collate(rows, pad_id=policy.pad_id, device=policy.device)
    logps = policy.token_logps(batch).sum(dim=1)  # token log-probabilities are zero off the response
    if len(rows) == len(answers):
        return logps
    return torch.stack([part.sum() for part in logps.split([len(answer) for answer in answers])])


def pair_logps(policy: Policy, pairs: Sequence[Pair]) -> PairLogps:
    """Summed log-probabilities of both answers.  One forward pass with gradients.  [pairs] each"""
    return PairLogps(*answer_logps(policy, sides(pairs)).chunk(2))


def pair_token_counts(policy: Policy, pairs: Sequence[Pair]) -> PairTokens:
    """Number of response tokens of both answers.  [pairs] each"""
    counts = torch.tensor(
        [[num_trained_tokens(answer) for answer in pair] for pair in pairs],
        dtype=torch.float32,
        device=policy.device,
    )
    return PairTokens(*counts.unbind(dim=1))
