"""From the rows of a known format to a file of native rows.  Where the rows come from is `sources` and `hub`.

Memory is bounded, but for the sixteen bytes of each prompt that keep a file of prompts free of repetitions.
"""

import difflib
import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import chain, islice
from pathlib import Path
from typing import Any, Protocol

from fairlead.core.errors import ConfigError, DataError
from fairlead.data.file_source import SourceRow
from fairlead.data.formats import alpaca, hh, native, openai, plain, sharegpt
from fairlead.data.record_reader import ParsedRow
from fairlead.data.record_writer import write_rows
from fairlead.data.records import (
    RECORD_KINDS,
    Comparison,
    Demonstration,
    Prompt,
    Record,
    RecordKind,
    kind_of_record,
    prompt_messages,
    prompt_text,
    to_row,
)
from fairlead.data.row_problem import BadRow, RowLocation, RowProblem, bad_rows_error, reject_row

NUM_SAMPLE = 100  # rows that a format is guessed from


class Format(Protocol):
    """What a module in `formats` offers."""

    COLUMNS: frozenset[str]  # the columns it reads

    def recognises(self, row: Mapping[str, Any], /) -> bool: ...

    def convert(self, row: Mapping[str, Any], where: RowLocation, /) -> Record: ...


# The order matters where a row could be read in two ways: the first that recognises it wins.
FORMATS: Mapping[str, Format] = {
    "openai": openai,
    "sharegpt": sharegpt,
    "alpaca": alpaca,
    "native": native,
    "hh": hh,
    "plain": plain,
}


@dataclass(frozen=True)
class ImportReport:
    """num_read = num_written + num_dropped + num_repeated."""

    num_read: int
    num_written: int
    num_dropped: int
    num_repeated: int  # prompts that were there already; 0 for other kinds
    format: str
    kind: RecordKind
    rejected_path: Path | None  # the dropped rows with their reasons; None: nothing was dropped
    unused_columns: tuple[str, ...]  # columns that the format does not read


def import_file(
    rows: Iterable[SourceRow | RowProblem],
    out: Path,
    *,
    format: str | None = None,
    kind: str | None = None,
    drop: bool = False,
) -> ImportReport:
    """Write `rows` to `out` as native rows of one kind; without a format or a kind, the rows' own.

    A bad row is a DataError that lists the first few and counts all, and nothing is written; with `drop` the bad rows are set
    aside in `OUT.rejected.jsonl` instead.  Comparisons can become demonstrations (their chosen answers), and everything can
    become prompts, each of which is then written once.
    """
    tally = _Tally(kind=None if kind is None else known_kind(kind))
    name, rows = choose_format(rows, format)
    written = write_rows(_native_rows(rows, name, tally), out, drop=drop)
    assert tally.kind is not None, "a row was written, so its kind is known"
    return ImportReport(
        num_read=written.num_read + tally.num_repeated,
        num_written=written.num_written,
        num_dropped=written.num_dropped,
        num_repeated=tally.num_repeated,
        format=name,
        kind=tally.kind,
        rejected_path=written.rejected_path,
        unused_columns=tuple(sorted(tally.unused)),
    )


def choose_format(
    rows: Iterable[SourceRow | RowProblem], format: str | None = None
) -> tuple[str, Iterator[SourceRow | RowProblem]]:
    """The named format, or the one that most of the first rows look like; and all the rows, none lost to looking."""
    remaining = iter(rows)
    if format is not None:
        if format not in FORMATS:
            raise ConfigError(f'format = "{format}": unknown. {_suggestion(format, FORMATS)}')
        return format, remaining
    sample = list(islice(remaining, NUM_SAMPLE))
    good = [row for row in sample if isinstance(row, SourceRow)]
    if not good:
        problems = [row for row in sample if isinstance(row, RowProblem)]
        if not problems:
            raise DataError("The source holds no rows, so there is nothing to import.")
        raise bad_rows_error(
            problems,
            len(problems),
            len(problems),
            "No format can be guessed from them; name it with --format.",
        )
    votes = Counter(name for row in good if (name := _first_format(row.value)) is not None)
    if not votes:
        where, row = good[0]
        columns = ", ".join(row) or "no columns"
        raise DataError(
            f"{where}: no known format has {columns}. Rename the columns, or name one of {', '.join(FORMATS)} with --format."
        )
    return votes.most_common(1)[0][0], chain(sample, remaining)


def import_rows(rows: Iterable[SourceRow | RowProblem], format: str) -> Iterator[ParsedRow | RowProblem]:
    """Each row with its record, or what is wrong with it."""
    convert = FORMATS[format].convert
    for row in rows:
        if isinstance(row, RowProblem):
            yield row
            continue
        try:
            yield ParsedRow(row, convert(row.value, row.where))
        except BadRow as error:
            yield replace(error.problem, row=row.value)


def as_kind(record: Record, kind: RecordKind, where: RowLocation) -> Record:
    """The record as another kind, where that means something."""
    given = kind_of_record(record)
    if given == kind:
        return record
    if kind == "prompt":
        return Prompt(prompt_messages(record))
    if kind == "demonstration" and isinstance(record, Comparison):
        if record.tie == "bad":
            reject_row(
                where,
                "tie",
                record.tie,
                "both answers are bad, so neither is worth imitating",
                "Drop the row with --drop.",
            )
        return Demonstration(record.prompt, record.chosen)
    reject_row(
        where,
        "",
        None,
        f"is a {given}, and a {kind} is wanted",
        "Import each kind into its own file with --kind.",
    )


def known_kind(name: str) -> RecordKind:
    for kind in RECORD_KINDS:
        if kind == name:
            return kind
    raise ConfigError(f'kind = "{name}": unknown. {_suggestion(name, RECORD_KINDS)}')


@dataclass
class _Tally:
    """What is learned while the rows stream past."""

    kind: RecordKind | None  # None until the first good row, when nobody named one
    num_repeated: int = 0
    unused: set[str] = field(default_factory=set)


def _native_rows(
    rows: Iterable[SourceRow | RowProblem], format: str, tally: _Tally
) -> Iterator[dict[str, Any] | RowProblem]:
    columns = FORMATS[format].COLUMNS
    seen: set[bytes] = set()
    for parsed in import_rows(rows, format):
        if isinstance(parsed, RowProblem):
            yield parsed
            continue
        where, row = parsed.row
        tally.unused.update(row.keys() - columns)
        tally.kind = tally.kind or kind_of_record(parsed.record)
        try:
            record = as_kind(parsed.record, tally.kind, where)
        except BadRow as error:
            yield replace(error.problem, row=row)
            continue
        if isinstance(record, Prompt):
            digest = hashlib.sha256(prompt_text(record).encode("utf-8")).digest()[:16]
            if digest in seen:
                tally.num_repeated += 1
                continue
            seen.add(digest)
        yield to_row(record)


def _first_format(row: Mapping[str, Any]) -> str | None:
    return next((name for name, format in FORMATS.items() if format.recognises(row)), None)


def _suggestion(name: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, list(known), n=1)
    return f'Did you mean "{near[0]}"?' if near else f"Known are {', '.join(known)}."
