"""Encode the prompts that a policy answers, with room for the answer.

Prompts that leave no room are refused together, left out, or cut as `too_long.shortened_prompt` cuts them.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace

from fairlead.core.errors import DataError
from fairlead.core.plural import agreeing, counted
from fairlead.core.spelling import KEYS, Spelling, capitalised
from fairlead.data.records import Messages, Prompt
from fairlead.encoding.chat import Encoded
from fairlead.encoding.record_rows import encode_whole_prompt
from fairlead.encoding.worker_pool import encode_records
from fairlead.examples.row_cache import cached_rows
from fairlead.examples.too_long import Fitted, FittedRecords, shortened_prompt
from fairlead.model.policy import Policy
from fairlead.store.run import Run
from fairlead.train.settings import LongPrompts

DROPPED = "prompts too long"  # keys of `left_out`
CUT = "prompts cut to fit"
MAX_LISTED = 5  # long prompts that an error names


@dataclass(frozen=True)
class FittedPrompts:
    """The prompts that are answered, in the order of the file."""

    originals: list[Prompt]  # as read from the file
    records: list[Prompt]  # as they are answered: perhaps shorter
    numbers: list[int]  # positions in the file, from 1
    encoded: list[tuple[int, ...]]
    left_out: dict[str, int]  # DROPPED and CUT -> number of prompts


def fit_prompts(
    policy: Policy,
    records: Sequence[Prompt],
    choice: LongPrompts,
    *,
    max_new_tokens: int,
    source: str,
    spelling: Spelling = KEYS,
    run: Run | None = None,
) -> FittedPrompts:
    """Encode every prompt.  Raises DataError about all long ones if `choice` is `error`, or if none fits.

    `spelling` is how the command takes the settings that the error names.
    """
    limit = None if policy.context is None else policy.context - max_new_tokens
    encoded: dict[int, tuple[int, ...]] = {}
    answered = list(records)
    long: dict[int, int] = {}  # index -> tokens
    for i, tokens in enumerate(_encode_all(policy, records, source, run)):
        if limit is not None and len(tokens) > limit:
            long[i] = len(tokens)
        else:
            encoded[i] = tokens
    counts: Counter[str] = Counter()
    if long:
        assert limit is not None, "a prompt is longer than a limit"
        if choice == "error":
            listed = [f"record {i + 1} has {counted(n, 'token')}" for i, n in list(long.items())[:MAX_LISTED]]
            more = f", and {len(long) - MAX_LISTED:,} more" if len(long) > MAX_LISTED else ""
            raise DataError(
                f"{source}: {counted(len(long), 'prompt')} of {len(records):,} "
                f"{agreeing(len(long), 'leaves')} no room for {counted(max_new_tokens, 'new token')} in the "
                f"model's context of {policy.context}: {', '.join(listed)}{more}. "
                f"{_remedies(policy, records, long, limit, source, spelling)}"
            )
        for i in long:
            where = f"{source}: record {i + 1}, cut to {counted(limit, 'token')}"
            shorter = None if choice == "drop" else _cut(policy, records[i], limit, where)
            counts[DROPPED if shorter is None else CUT] += 1
            if shorter is not None:
                answered[i], encoded[i] = shorter, _encode(policy, shorter, where)
    if not encoded:
        raise DataError(
            f"{source}: none of its {counted(len(records), 'prompt')} leaves room for "
            f"{counted(max_new_tokens, 'new token')} in the model's context of {policy.context}. "
            f"Lower {spelling.name('max_new_tokens')}."
        )
    ids = sorted(encoded)
    return FittedPrompts(
        [records[i] for i in ids],
        [answered[i] for i in ids],
        [i + 1 for i in ids],
        [encoded[i] for i in ids],
        dict(counts),
    )


def _encode_all(
    policy: Policy, records: Sequence[Prompt], source: str, run: Run | None
) -> list[tuple[int, ...]]:
    """The tokens of all prompts, long or not.  The cache of the run keeps them."""
    encoder = policy.encoder

    def fit() -> FittedRecords[Prompt, Encoded]:
        fitted = []
        with closing(encode_records(encoder, encode_whole_prompt, records, None)) as outcomes:
            for i, (record, row) in enumerate(zip(records, outcomes, strict=True), start=1):
                if isinstance(row, DataError):
                    raise DataError(f"{source}: record {i}: {row}") from row
                fitted.append(Fitted(record, record, row))
        return FittedRecords(fitted, {})

    result = fit() if run is None else cached_rows(run, policy.chat, records, {"encode": "prompt"}, fit)
    return [fitted.rows.tokens for fitted in result.fitted]


def _encode(policy: Policy, record: Prompt, where: str) -> tuple[int, ...]:
    try:
        return policy.encode_prompt(record.prompt, tools=record.tools)
    except DataError as error:
        raise DataError(f"{where}: {error}") from error


def _cut(policy: Policy, record: Prompt, limit: int, where: str) -> Prompt | None:
    def excess(turns: Messages) -> int:
        return len(_encode(policy, replace(record, prompt=turns), where)) - limit

    turns = shortened_prompt(policy.tokenizer, record.prompt, excess) if limit > 0 else None
    return None if turns is None else replace(record, prompt=turns)


def _remedies(
    policy: Policy,
    records: Sequence[Prompt],
    long: Mapping[int, int],
    limit: int,
    source: str,
    spelling: Spelling,
) -> str:
    """The choices that keep prompts, and how many each would keep."""
    num_fitting = len(records) - len(long)
    num_cut = 0
    for i in long:
        try:
            num_cut += _cut(policy, records[i], limit, source) is not None
        except DataError:  # the run says so when the choice is made
            continue
    choices = {"drop": num_fitting, "truncate-prompt": num_fitting + num_cut if num_cut else 0}
    shown = [
        f"{spelling.setting('too_long', choice)} to keep {number:,}"
        for choice, number in choices.items()
        if number
    ]
    lower = f"lower {spelling.name('max_new_tokens')}."
    if not shown:
        return capitalised(lower)
    return f"{spelling.verb} {', '.join(shown)} of the prompts, or {lower}"
