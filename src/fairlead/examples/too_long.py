"""Rows that have more tokens than fit: refuse them with the choices, leave them out, or cut them.

A cut prompt keeps its system message and its newest turns; then the first of these turns loses the beginning
of its text.  A cut answer loses its end.  A policy is trained on no end token there, because the answer goes
on.  A reward model reads the cut answer as if it had ended.

Encoding is the caller's: a function from a record and a limit to rows.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, Protocol, TypeVar, cast

from transformers import PreTrainedTokenizerBase

from fairlead.core.errors import DataError
from fairlead.core.plural import agreeing, counted
from fairlead.data.records import (
    Binary,
    Comparison,
    Demonstration,
    Messages,
    Ranking,
    Rating,
    Record,
    Stepwise,
)
from fairlead.encoding.chat import Encoded, TooLong
from fairlead.model.scalar_model import ScalarModel
from fairlead.train.settings import LongRows

R = TypeVar("R", bound=Record)
E = TypeVar("E")

DROPPED = "rows too long"  # keys of `left_out`
CUT = "rows cut to fit"
# Long rows of which an error counts what each choice would keep; encoding them again takes time.
MAX_COUNTED = 1000


class HasTokenizer(Protocol):
    """A policy or a scalar model."""

    @property
    def tokenizer(self) -> PreTrainedTokenizerBase: ...


@dataclass(frozen=True)
class Fitted(Generic[R, E]):
    """A record that fits."""

    original: R  # as read from the file
    record: R  # as it was encoded: perhaps with a shorter prompt
    rows: E


@dataclass(frozen=True)
class FittedRecords(Generic[R, E]):
    fitted: list[Fitted[R, E]]  # in the order of the records
    left_out: Mapping[str, int]  # DROPPED and CUT -> number of records, where it is not 0


@dataclass(frozen=True)
class RowEncoder(Generic[R, E]):
    """How the records of a run are encoded, and how many tokens fit."""

    model: HasTokenizer
    encode: Callable[[R, int | None], E]  # raises TooLong above the limit; None is no limit
    max_tokens: int | None

    def fit_records(
        self,
        records: Sequence[R],
        choice: LongRows,
        *,
        source: str,
        outcomes: Iterable[E | DataError] | None = None,
    ) -> FittedRecords[R, E]:
        """Encode every record, and treat those that are too long as `choice` says.

        `outcomes` are the rows or the error of each record, if something else encodes them.

        Raises DataError for `error`, and for any other problem of a record, with its position in `source`.
        """
        fitted: dict[int, Fitted[R, E]] = {}
        too_long: dict[int, TooLong] = {}
        refused: dict[int, DataError] = {}
        results = map(self._outcome, records) if outcomes is None else outcomes
        for i, (record, result) in enumerate(zip(records, results, strict=False)):
            if isinstance(result, TooLong):
                too_long[i] = result
            elif isinstance(result, DataError):
                refused[i] = result
                if len(refused) == MAX_COUNTED:
                    break
            else:
                fitted[i] = Fitted(record, record, result)
        if refused:
            raise refused_records(refused, len(records), source)
        if too_long and choice == "error":
            raise self._refusal(records, too_long, source)
        counts: Counter[str] = Counter()
        for i in too_long if choice != "error" else ():
            shorter = self._shortened(records[i], choice, f"{source}: record {i + 1}")
            counts[DROPPED if shorter is None else CUT] += 1
            if shorter is not None:
                fitted[i] = shorter
        return FittedRecords([fitted[i] for i in sorted(fitted)], dict(counts))

    def _outcome(self, record: R) -> E | DataError:
        try:
            return self.encode(record, self.max_tokens)
        except DataError as error:
            return error

    def _shortened(self, record: R, choice: LongRows, where: str) -> Fitted[R, E] | None:
        """The record cut to the limit; None if it is dropped, or if cutting leaves nothing to learn from."""
        assert self.max_tokens is not None, "a record is longer than a limit"
        try:
            if choice == "truncate-prompt":
                return self._with_shorter_prompt(record)
            return self._with_shorter_answer(record) if choice == "truncate-answer" else None
        except DataError as error:
            raise DataError(f"{where}, cut to {self.max_tokens} tokens: {error}") from error

    def _with_shorter_prompt(self, record: R) -> Fitted[R, E] | None:
        turns = shortened_prompt(
            self.model.tokenizer,
            prompt_turns(record),
            lambda turns: self._excess(with_prompt_turns(record, turns)),
        )
        if turns is None:
            return None
        shorter = with_prompt_turns(record, turns)
        return Fitted(record, shorter, self.encode(shorter, self.max_tokens))

    def _with_shorter_answer(self, record: R) -> Fitted[R, E] | None:
        assert self.max_tokens is not None, "a record is longer than a limit"
        if not isinstance(self.model, ScalarModel):
            rows = self.encode(record, None)
            cut = cut_rows(rows, self.max_tokens)
            return None if cut is None else Fitted(record, record, cut)
        shorter = self._with_fewer_steps(record) if isinstance(record, Stepwise) else self._with_texts(record)
        return None if shorter is None else Fitted(record, shorter, self.encode(shorter, self.max_tokens))

    def _with_fewer_steps(self, record: Any) -> Any:
        """The first steps of an answer, with their labels."""
        for n in range(len(record.completions) - 1, 0, -1):
            shorter = replace(record, completions=record.completions[:n], labels=record.labels[:n])
            if self._excess(shorter) <= 0:
                return shorter
        return None

    def _with_texts(self, record: Any) -> Any:
        """The record with shorter texts of its answers.  Answers that become equal cannot be compared."""
        answers = []
        for *before, last in answers_of(record):
            text: str | None = last.content
            while text is not None:
                answer = (*before, replace(last, content=text))
                excess = self._excess(with_one_answer(record, answer))
                if excess <= 0:
                    break
                text = without_end(self.model.tokenizer, text, excess)
            if text is None:
                return None
            answers.append(answer)
        is_tie = isinstance(record, Comparison) and record.tie is not None
        return with_answers(record, answers) if is_tie or len(set(answers)) == len(answers) else None

    def _excess(self, record: R) -> int:
        """Tokens above the limit in the longest row of the record."""
        assert self.max_tokens is not None, "a record is longer than a limit"
        return max(map(len, leaves(self.encode(record, None)))) - self.max_tokens

    def _refusal(self, records: Sequence[R], too_long: Mapping[int, TooLong], source: str) -> DataError:
        """How many records are too long, the first of them, and what each choice would keep."""
        first = min(too_long)
        num_fitting = len(records) - len(too_long)
        counted_rows = sorted(too_long)[:MAX_COUNTED]
        kept = {"drop": num_fitting, "truncate-prompt": num_fitting, "truncate-answer": num_fitting}
        choices: tuple[LongRows, ...] = ("truncate-prompt", "truncate-answer")
        for choice in choices:
            for i in counted_rows:
                kept[choice] += self._keeps(records[i], choice)
        unknown = len(too_long) - len(counted_rows)
        at_least = "at least " if unknown else ""
        return DataError(
            f"{source}: {counted(len(too_long), 'row')} of {len(records)} "
            f"{agreeing(len(too_long), 'has')} more tokens than fit. Record {first + 1}: {too_long[first]} "
            f"Set too_long=drop to keep {counted(kept['drop'], 'row')}, "
            f"too_long=truncate-prompt to keep {at_least}{kept['truncate-prompt']:,}, or "
            f"too_long=truncate-answer to keep {at_least}{kept['truncate-answer']:,}."
        )

    def _keeps(self, record: R, choice: LongRows) -> bool:
        try:
            return self._shortened(record, choice, "") is not None
        except DataError:  # the error of the run says so when the choice is made
            return False


def refused_records(refused: Mapping[int, DataError], num_records: int, source: str) -> DataError:
    """One error for all records that cannot be encoded: the first of them, their number, and what to do."""
    first = min(refused)
    message = f"{source}: record {first + 1}: {refused[first]}"
    if len(refused) == num_records > 1:
        return DataError(f"{message} All {num_records:,} records are refused.")
    number = f"{'at least ' if len(refused) == MAX_COUNTED else ''}{counted(len(refused), 'record')}"
    return DataError(
        f"{message} {number[0].upper()}{number[1:]} of {num_records:,} "
        f"{agreeing(len(refused), 'is')} refused; "
        f"`fairlead data check {source} --model MODEL --drop` sets such rows aside."
    )


# ---------------------------------------------------------------- prompts


def shortened_prompt(
    tokenizer: PreTrainedTokenizerBase, turns: Messages, excess: Callable[[Messages], int]
) -> Messages | None:
    """The newest turns of a prompt that fit, after its system message; None if nothing of it fits.

    `excess` says how many tokens of the whole row are too many with these turns.  Turns are left out from the
    oldest on, up to a user's turn.  Then the first turn loses the beginning of its text.
    """
    system = turns[:1] if turns[0].role == "system" else ()
    starts = [i for i, turn in enumerate(turns) if turn.role == "user"]
    low, high = 1, len(starts)  # the first start whose turns fit is in low .. high; high: none
    while low < high:
        middle = (low + high) // 2
        if excess((*system, *turns[starts[middle] :])) > 0:
            low = middle + 1
        else:
            high = middle
    if low < len(starts):
        return (*system, *turns[starts[low] :])
    user, *rest = turns[starts[-1] :]
    text: str | None = user.content
    while text is not None:
        shorter = (*system, replace(user, content=text), *rest)
        too_many = excess(shorter)
        if too_many <= 0:
            return shorter
        text = without_beginning(tokenizer, text, too_many)
    return None


def prompt_turns(record: Record) -> Messages:
    """The prompt of a record; all messages of a conversation without one."""
    return record.prompt or (record.completion if isinstance(record, Demonstration) else ())


def with_prompt_turns(record: R, turns: Messages) -> R:
    """The record with other turns in place of `prompt_turns`."""
    if isinstance(record, Demonstration) and not record.prompt:
        return replace(record, completion=turns)
    return replace(record, prompt=turns)


def without_beginning(tokenizer: PreTrainedTokenizerBase, text: str, num_tokens: int) -> str | None:
    """The text without its first tokens; None if no text is left."""
    offsets = _offsets(tokenizer, text)
    if num_tokens >= len(offsets):
        return None
    # White space at the ends is often trimmed by templates, so it would not make the text shorter.
    return text[max(1, offsets[num_tokens][0]) :].strip() or None


def without_end(tokenizer: PreTrainedTokenizerBase, text: str, num_tokens: int) -> str | None:
    """The text without its last tokens; None if no text is left."""
    offsets = _offsets(tokenizer, text)
    if num_tokens >= len(offsets):
        return None
    return text[: min(len(text) - 1, offsets[-num_tokens][0])].strip() or None


def _offsets(tokenizer: PreTrainedTokenizerBase, text: str) -> list[tuple[int, int]]:
    encoding = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    offsets: list[tuple[int, int]] = encoding["offset_mapping"]
    return offsets


# ---------------------------------------------------------------- answers


def answers_of(record: Record) -> tuple[Messages, ...]:
    if isinstance(record, Comparison):
        return (record.chosen, record.rejected)
    if isinstance(record, Ranking):
        return record.completions
    assert isinstance(record, Demonstration | Rating | Binary), "a record with answers of messages"
    return (record.completion,)


def with_answers(record: Any, answers: Sequence[Messages]) -> Any:
    """The record with other answers, in the order of `answers_of`."""
    if isinstance(record, Comparison):
        return replace(record, chosen=answers[0], rejected=answers[1])
    if isinstance(record, Ranking):
        return replace(record, completions=tuple(answers))
    return replace(record, completion=answers[0])


def with_one_answer(record: Any, answer: Messages) -> Any:
    """The record with the same answer in each place, to measure the answer.  A comparison becomes a tie."""
    equal = with_answers(record, [answer] * len(answers_of(record)))
    return replace(equal, tie="good") if isinstance(equal, Comparison) else equal


def cut_rows(rows: E, max_tokens: int) -> E | None:
    """Rows without the tokens behind the limit; None if nothing is trained then, or two answers are equal.

    The rows of one answer are its turns: those that then train nothing are left out.
    """
    if isinstance(rows, Encoded):
        cut = Encoded(rows.tokens[:max_tokens], rows.trained[:max_tokens])
        return cast(E, cut) if any(cut.trained[1:]) else None
    parts = [cut_rows(part, max_tokens) for part in cast(Sequence[Any], rows)]
    kept = tuple(part for part in parts if part is not None)
    is_answer = isinstance(cast(Sequence[Any], rows)[0], Encoded)
    if not kept or not is_answer and len(set(kept)) < len(parts):
        return None
    return cast(E, kept)


def leaves(rows: Any) -> list[Encoded]:
    """All rows of a record, whatever their nesting."""
    return [rows] if isinstance(rows, Encoded) else [leaf for part in rows for leaf in leaves(part)]
