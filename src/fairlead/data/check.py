"""Check a file of native rows before training: its contents, its problems, and warnings.

A problem is a row that cannot be used.  A warning is about usable rows that deserve a look.  Lengths are in
characters; the tokenizer of a model is not involved.  Memory grows by some tens of bytes per row.
"""

import hashlib
import json
from array import array
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from fairlead.core.plural import agreeing, counted
from fairlead.data import pair_metadata
from fairlead.data.record_reader import guess_kind, parse_rows
from fairlead.data.record_writer import WriteReport, write_rows
from fairlead.data.records import (
    COLUMNS_BY_KIND,
    Comparison,
    Message,
    Record,
    RecordKind,
    Stepwise,
    prompt_text,
    to_row,
)
from fairlead.data.row_problem import RowProblem

# Problems listed in a report.  All problems are counted.
MAX_PROBLEMS = 1000
# Lines named in a warning.
MAX_LINES = 3
# Warn if a rule that sees only the length is right for at least this share of the pairs.
LENGTH_RULE_FRAC = 0.6
# With fewer pairs, such a share may be chance.
MIN_PAIRS = 50


@dataclass(frozen=True)
class Lengths:
    """Characters per row in one field."""

    median: float
    max: int


@dataclass(frozen=True)
class LongerChosen:
    """How often the longer answer was chosen, without ties."""

    num_longer: int
    num_shorter: int
    num_equal: int

    @property
    def n(self) -> int:
        return self.num_longer + self.num_shorter + self.num_equal

    @property
    def longer_frac(self) -> float | None:
        """None if there are no pairs."""
        return self.num_longer / self.n if self.n else None


@dataclass(frozen=True)
class CheckReport:
    path: Path
    kind: RecordKind | None  # None if no row has a known kind
    num_rows: int
    num_bad: int
    problems: tuple[RowProblem, ...]  # at most MAX_PROBLEMS

    # Counts of good rows.
    num_prompts: int  # different prompts
    num_sharing_prompt: int  # rows whose prompt also occurs in another row
    num_repeated: int  # rows that equal an earlier row in every column
    num_contradictions: int  # comparisons with the opposite choice of an earlier one

    lengths: dict[str, Lengths]  # by field: prompt, chosen, rejected, completion, step
    longer_chosen: LongerChosen | None  # None if the rows are not comparisons
    unused_columns: dict[str, int]  # column that this kind does not have -> number of rows
    warnings: tuple[str, ...]

    @property
    def num_good(self) -> int:
        return self.num_rows - self.num_bad


def check_file(path: Path) -> CheckReport:
    """Read the whole file and report; raises DataError if the file cannot be read or has no rows."""
    kind, rows = guess_kind(path)
    tally = _Tally()
    for result in parse_rows(rows, kind):
        tally.num_rows += 1
        if isinstance(result, RowProblem):
            tally.num_bad += 1
            if len(tally.problems) < MAX_PROBLEMS:
                tally.problems.append(result)
            continue
        assert kind is not None, "a record comes from a row of a known kind"
        (where, row), record = result
        tally.unused.update(
            row.keys()
            - COLUMNS_BY_KIND[kind]
            - (pair_metadata.METADATA_COLUMNS if kind == "comparison" else frozenset())
        )
        _count(tally, record, where.line)
    longer = (
        LongerChosen(tally.num_longer, tally.num_shorter, tally.num_equal) if kind == "comparison" else None
    )
    return CheckReport(
        path=path,
        kind=kind,
        num_rows=tally.num_rows,
        num_bad=tally.num_bad,
        problems=tuple(tally.problems),
        num_prompts=len(tally.prompts),
        num_sharing_prompt=sum(count for count in tally.prompts.values() if count > 1),
        num_repeated=len(tally.repeated),
        num_contradictions=len(tally.contradictions),
        lengths={name: Lengths(median(values), max(values)) for name, values in tally.lengths.items()},
        longer_chosen=longer,
        unused_columns=dict(tally.unused),
        warnings=tuple(_warnings(tally, kind, longer)),
    )


def drop_bad(path: Path, out: Path, refused: Mapping[int, tuple[str, str]] | None = None) -> WriteReport:
    """Copy the good rows unchanged to `out`, and the bad rows with their reasons to `OUT.rejected.jsonl`.

    `refused` are the lines of rows that a model cannot be trained on, each with a column and the reason.
    """
    kind, rows = guess_kind(path)

    def sorted_rows() -> Iterator[dict[str, Any] | RowProblem]:
        for result in parse_rows(rows, kind):
            if isinstance(result, RowProblem):
                yield result
            elif refused and result.row.where.line in refused:
                column, reason = refused[result.row.where.line]
                where = result.row.where
                yield RowProblem(
                    where.path, where.line, column, None, reason.rstrip("."), "", result.row.value
                )
            else:
                yield result.row.value

    return write_rows(sorted_rows(), out, drop=True)


@dataclass
class _Tally:
    """Counts that are collected while the rows are streamed."""

    num_rows: int = 0
    num_bad: int = 0
    num_longer: int = 0
    num_shorter: int = 0
    num_equal: int = 0
    problems: list[RowProblem] = field(default_factory=list)
    prompts: Counter[bytes] = field(default_factory=Counter)
    lines: dict[bytes, int] = field(default_factory=dict)  # digest of a row -> first line
    decided: dict[bytes, int] = field(
        default_factory=dict
    )  # digest of (prompt, chosen, rejected) -> first line
    repeated: list[tuple[int, int]] = field(default_factory=list)  # (line, earlier line)
    contradictions: list[tuple[int, int]] = field(default_factory=list)
    lengths: "dict[str, array[int]]" = field(default_factory=dict)
    unused: Counter[str] = field(default_factory=Counter)


def _count(tally: _Tally, record: Record, line: int) -> None:
    row = to_row(record)
    tally.prompts[_digest(prompt_text(record))] += 1
    first = tally.lines.setdefault(_digest(row), line)
    if first != line:
        tally.repeated.append((line, first))
    for name, size in _sizes(record):
        tally.lengths.setdefault(name, array("Q")).append(size)
    if isinstance(record, Comparison) and record.tie is None:
        tally.decided.setdefault(_digest([row["prompt"], row["chosen"], row["rejected"]]), line)
        opposite = tally.decided.get(_digest([row["prompt"], row["rejected"], row["chosen"]]))
        if opposite is not None:
            tally.contradictions.append((line, opposite))
        chosen = _num_chars(record.chosen)
        rejected = _num_chars(record.rejected)
        tally.num_longer += chosen > rejected
        tally.num_shorter += chosen < rejected
        tally.num_equal += chosen == rejected


def _sizes(record: Record) -> Iterator[tuple[str, int]]:
    """Yield (field, characters) for each field of a record that has text.  An empty prompt has no length."""
    for name in ("prompt", "chosen", "rejected", "completion"):
        turns = getattr(record, name, ())
        if turns:
            yield name, _num_chars(turns)
    if isinstance(record, Stepwise):
        yield from (("step", len(step)) for step in record.completions)
        return
    for turns in getattr(record, "completions", ()):
        yield "completion", _num_chars(turns)


def _num_chars(turns: tuple[Message, ...]) -> int:
    return sum(len(turn.content) + len(turn.reasoning or "") for turn in turns)


def _digest(value: object) -> bytes:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode("utf-8")).digest()[:16]


def _warnings(tally: _Tally, kind: RecordKind | None, longer: LongerChosen | None) -> Iterator[str]:
    if tally.repeated:
        lines = _list_lines(tally.repeated, "repeats")
        yield f"{_acting(tally.repeated, 'row', 'repeats')} an earlier row: {lines}."
    if tally.contradictions:
        lines = _list_lines(tally.contradictions, "contradicts")
        yield f"{_acting(tally.contradictions, 'comparison', 'contradicts')} an earlier one: {lines}."
    if tally.unused:
        names = ", ".join(
            f"{name} ({counted(number, 'row')})" for name, number in sorted(tally.unused.items())
        )
        yield f"Columns that a {kind} does not have are ignored: {names}."
    if longer is not None and longer.n >= MIN_PAIRS:
        for word, num_right in (("longer", longer.num_longer), ("shorter", longer.num_shorter)):
            if num_right / longer.n >= LENGTH_RULE_FRAC:
                share = f"{num_right} of {counted(longer.n, 'pair')} ({num_right / longer.n:.0%})"
                yield (
                    f"The {word} answer is chosen in {share}. "
                    "A reward model can reach this accuracy from length alone."
                )


def _acting(pairs: list[tuple[int, int]], noun: str, verb: str) -> str:
    """Example: `2 rows repeat`."""
    return f"{counted(len(pairs), noun)} {agreeing(len(pairs), verb)}"


def _list_lines(pairs: list[tuple[int, int]], verb: str) -> str:
    listed = "; ".join(f"line {line} {verb} line {earlier}" for line, earlier in pairs[:MAX_LINES])
    return listed + ("; …" if len(pairs) > MAX_LINES else "")
