"""Preference pairs and single answers: encode records, split them by prompt, batch them, compute
log-probabilities.

This module does not read files (`data/record_reader.py`) and does not compute losses
(`losses/preference.py`).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

import torch
from torch import Tensor

from fairlead.core.errors import DataError
from fairlead.data.records import Binary, Comparison, Demonstration, Messages, Rating, Record
from fairlead.data.split import split_by_prompt, without_trained_prompts
from fairlead.encoding import row_proof
from fairlead.encoding.batching import collate
from fairlead.encoding.chat import Encoded, num_trained_tokens
from fairlead.encoding.chat_format import Tools
from fairlead.examples.too_long import DROPPED, HasTokenizer, RowEncoder, leaves, refused_records
from fairlead.forward.backend import Backend
from fairlead.losses.preference import PairLogps, PairTokens
from fairlead.model.policy import Policy
from fairlead.train.settings import Data

R = TypeVar("R", bound=Record)
E = TypeVar("E")
M = TypeVar("M", bound="HasContext")

# The rows of an answer: one, or one for each of its turns where the template asks for it (`encode_rows`).
# The log-probability of the answer is the sum over them: each turn is sampled after its own row's prompt.
Answer = tuple[Encoded, ...]
Pair = tuple[Answer, Answer]  # the chosen and the rejected answer
# Why a held-out record is left out: its prompt differs from a training prompt in case or spaces only.
REPEATED = "rows held out with a training prompt"
SingleOrPair = tuple[Answer] | Pair  # the answers of one training example


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


class HasContext(HasTokenizer, Protocol):
    """A policy or a scalar model."""

    @property
    def context(self) -> int | None: ...


def encode_and_split(
    model: M,
    records: Sequence[R],
    encode: Callable[[M, R, int | None], E],
    config: SplitSettings,
    *,
    source: str,
) -> EncodedSplit[R, E]:
    """Encode every record, then split by prompt.  held_out=0 keeps all records for training.

    `encode` gets the model, a record, and the largest number of tokens.  Records that do not fit are refused,
    dropped or cut as `data.too_long` says (`too_long.py`).  Any other problem raises a DataError with the
    record's position in `source`.
    """
    settings = config.data
    encoder: RowEncoder[R, E] = RowEncoder(
        model, lambda record, longest: encode(model, record, longest), settings.max_tokens or model.context
    )
    result = encoder.fit_records(records, settings.too_long, source=source)
    if not result.fitted:
        raise DataError(
            f"{source}: none of its {len(records)} records fits into the model's context. "
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
                f"{source}: record {i}: the prompt has {len(tokens)} tokens. With {max_new_tokens} new "
                "tokens it "
                f"exceeds the model's context of {policy.context}. Lower max_new_tokens or shorten the "
                "prompt."
            )
        encoded.append(tokens)
    if refused:
        raise refused_records(refused, len(prompts), source)
    return encoded


def encode_answer(
    policy: Policy, prompt: Messages, answer: Messages, max_tokens: int | None, tools: Tools = ()
) -> Answer:
    """Encode a prompt and its answer; only the answer is trained."""
    messages = prompt + answer
    return tuple(policy.encode_rows(messages, num_context=len(prompt), max_tokens=max_tokens, tools=tools))


def encode_response(policy: Policy, record: Binary | Rating, max_tokens: int | None) -> Answer:
    """Encode a prompt with its response, which has a thumb or a score."""
    return encode_answer(policy, record.prompt, record.completion, max_tokens, record.tools)


def encode_demonstration(policy: Policy, record: Demonstration, max_tokens: int | None) -> Answer:
    """Encode a conversation as one or more rows; the assistant's turns after the prompt are trained."""
    rows = policy.encode_rows(
        record.messages,
        num_context=record.num_prompt_messages,
        max_tokens=max_tokens,
        tools=record.tools,
    )
    return tuple(rows)


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


def encode_pair(policy: Policy, comparison: Comparison, max_tokens: int | None) -> Pair:
    """Encode both answers of a comparison, each preceded by the prompt."""
    prompt, tools = comparison.prompt, comparison.tools
    chosen = encode_answer(policy, prompt, comparison.chosen, max_tokens, tools)
    rejected = encode_answer(policy, prompt, comparison.rejected, max_tokens, tools)
    row_proof.check_sides(policy.chat, comparison, chosen, rejected)
    return chosen, rejected


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
