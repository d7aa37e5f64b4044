"""What a file of native rows holds and what is wrong with it, before anything is trained on it.

Problems are rows that cannot be used.  Warnings are about rows that can, and should be looked at.  Lengths are in characters;
what a model's tokenizer makes of a row is not looked at here.  Memory grows by some tens of bytes for each row, not by the row.
"""

import hashlib
import json
from array import array
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

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

MAX_PROBLEMS = 1000  # kept in the report; all are counted
MAX_LINES = 3  # lines named in a warning
# A rule that looks at nothing but length is right this often before a warning is due; below MIN_PAIRS it may be by chance.
LENGTH_RULE_FRAC = 0.6
MIN_PAIRS = 50


@dataclass(frozen=True)
class Lengths:
    """Characters in one part of the rows."""

    median: float
    max: int


@dataclass(frozen=True)
class LongerChosen:
    """How often the longer answer was chosen, ties left out."""

    num_longer: int
    num_shorter: int
    num_equal: int

    @property
    def n(self) -> int:
        return self.num_longer + self.num_shorter + self.num_equal

    @property
    def longer_frac(self) -> float | None:
        """None when there is no pair."""
        return self.num_longer / self.n if self.n else None


@dataclass(frozen=True)
class CheckReport:
    path: Path
    kind: RecordKind | None  # None: no row tells
    num_rows: int
    num_bad: int
    problems: tuple[RowProblem, ...]  # at most MAX_PROBLEMS
    num_prompts: int  # different ones, among the good rows
    num_sharing_prompt: int  # good rows whose prompt occurs in another row too
    num_repeated: int  # good rows that an earlier one equals in every column
    num_contradictions: int  # comparisons that an earlier one decides the other way
    lengths: dict[str, Lengths]  # prompt, chosen, rejected, completion, step -> characters
    longer_chosen: LongerChosen | None  # None: not comparisons
    unused_columns: dict[str, int]  # columns that this kind does not have -> rows
    warnings: tuple[str, ...]

    @property
    def num_good(self) -> int:
        return self.num_rows - self.num_bad


def check_file(path: Path) -> CheckReport:
    """Read the whole file and report; a file that cannot be read at all, or has no rows, is a DataError."""
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
        lengths={part: Lengths(median(values), max(values)) for part, values in tally.lengths.items()},
        longer_chosen=longer,
        unused_columns=dict(tally.unused),
        warnings=tuple(_warnings(tally, kind, longer)),
    )


def drop_bad(path: Path, out: Path) -> WriteReport:
    """Copy the good rows as they are to `out`, and the bad ones with their reasons to `OUT.rejected.jsonl`."""
    kind, rows = guess_kind(path)
    as_read = (
        result if isinstance(result, RowProblem) else result.row.value for result in parse_rows(rows, kind)
    )
    return write_rows(as_read, out, drop=True)


@dataclass
class _Tally:
    """What is learned while the rows stream past."""

    num_rows: int = 0
    num_bad: int = 0
    num_longer: int = 0
    num_shorter: int = 0
    num_equal: int = 0
    problems: list[RowProblem] = field(default_factory=list)
    prompts: Counter[bytes] = field(default_factory=Counter)
    lines: dict[bytes, int] = field(default_factory=dict)  # digest of a row -> its first line
    decided: dict[bytes, int] = field(
        default_factory=dict
    )  # digest of (prompt, chosen, rejected) -> its first line
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
    for part, size in _sizes(record):
        tally.lengths.setdefault(part, array("Q")).append(size)
    if isinstance(record, Comparison) and record.tie is None:
        tally.decided.setdefault(_digest([row["prompt"], row["chosen"], row["rejected"]]), line)
        other_way = tally.decided.get(_digest([row["prompt"], row["rejected"], row["chosen"]]))
        if other_way is not None:
            tally.contradictions.append((line, other_way))
        chosen, rejected = _num_chars(record.chosen), _num_chars(record.rejected)
        tally.num_longer += chosen > rejected
        tally.num_shorter += chosen < rejected
        tally.num_equal += chosen == rejected


def _sizes(record: Record) -> Iterator[tuple[str, int]]:
    """The parts of a record, and their characters; an empty prompt has no length."""
    for part in ("prompt", "chosen", "rejected", "completion"):
        turns = getattr(record, part, ())
        if turns:
            yield part, _num_chars(turns)
    if isinstance(record, Stepwise):
        yield from (("step", len(step)) for step in record.completions)
        return
    for turns in getattr(record, "completions", ()):
        yield "completion", _num_chars(turns)


def _num_chars(turns: tuple[Message, ...]) -> int:
    return sum(len(turn.content) for turn in turns)


def _digest(value: object) -> bytes:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode("utf-8")).digest()[:16]


def _warnings(tally: _Tally, kind: RecordKind | None, longer: LongerChosen | None) -> Iterator[str]:
    if tally.repeated:
        yield f"{len(tally.repeated)} rows repeat an earlier one: {_named(tally.repeated, 'repeats')}."
    if tally.contradictions:
        lines = _named(tally.contradictions, "against")
        yield f"{len(tally.contradictions)} comparisons decide an earlier one the other way: {lines}."
    if tally.unused:
        names = ", ".join(f"{name} ({count} rows)" for name, count in sorted(tally.unused.items()))
        yield f"Columns that a {kind} does not have are not used: {names}."
    if longer is not None and longer.n >= MIN_PAIRS:
        for word, num_right in (("longer", longer.num_longer), ("shorter", longer.num_shorter)):
            if num_right / longer.n >= LENGTH_RULE_FRAC:
                yield (
                    f"The {word} answer is chosen in {num_right} of {longer.n} pairs ({num_right / longer.n:.0%}): "
                    f"a reward model can be that good by looking at length alone."
                )


def _named(pairs: list[tuple[int, int]], verb: str) -> str:
    shown = "; ".join(f"line {line} {verb} line {earlier}" for line, earlier in pairs[:MAX_LINES])
    return shown + ("; …" if len(pairs) > MAX_LINES else "")
