"""Convert rows of a known format to a file of native rows.

`file_source` and `hub_source` read the rows; `formats/` has one module per format.  Rows are streamed.  Only
an import of prompts keeps 16 bytes per prompt in memory, to write each prompt once.
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
    carried,
    kind_of_record,
    prompt_messages,
    prompt_text,
    to_row,
)
from fairlead.data.row_problem import BadRow, RowLocation, RowProblem, bad_rows_error, reject_row

NUM_SAMPLE = 100  # rows from which the format is guessed


class Format(Protocol):
    """The interface of a module in `formats/`."""

    COLUMNS: frozenset[str]  # the columns that it reads

    def recognises(self, row: Mapping[str, Any], /) -> bool: ...

    def convert(self, row: Mapping[str, Any], where: RowLocation, /) -> Record: ...


# If several formats recognise a row, the first one is used.
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
    num_repeated: int  # repeated prompts, which are written once; 0 for other kinds
    format: str
    kind: RecordKind
    rejected_path: Path | None  # file of dropped rows with their reasons; None if nothing was dropped
    unused_columns: tuple[str, ...]  # columns that the format does not read


def import_file(
    rows: Iterable[SourceRow | RowProblem],
    out: Path,
    *,
    format: str | None = None,
    kind: str | None = None,
    drop: bool = False,
) -> ImportReport:
    """Write `rows` to `out` as native rows of one kind.

    The format and the kind are guessed from the rows unless they are given.  Bad rows raise a DataError that
    lists the first few, and nothing is written.  With `drop`, bad rows go to `OUT.rejected.jsonl` instead.
    Comparisons can be imported as demonstrations (their chosen answers).  Every kind can be imported as
    prompts; each is written once.
    """
    tally = _Tally(kind=None if kind is None else parse_kind(kind))
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
    """The given format, or the one that recognises most of the first rows; and an iterator over all rows."""
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
            raise DataError("The source has no rows, so there is nothing to import.")
        raise bad_rows_error(
            problems,
            len(problems),
            len(problems),
            "The format cannot be guessed from them. Name it with --format.",
        )
    votes = Counter(name for row in good if (name := _first_format(row.value)) is not None)
    if not votes:
        where, row = good[0]
        columns = ", ".join(row) or "none"
        raise DataError(
            f"{where}: no format has these columns: {columns}. "
            f"Rename the columns, or name a format with --format: {', '.join(FORMATS)}."
        )
    return votes.most_common(1)[0][0], chain(sample, remaining)


def import_rows(rows: Iterable[SourceRow | RowProblem], format: str) -> Iterator[ParsedRow | RowProblem]:
    """Convert each row into a record or a problem."""
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
    """Convert the record to another kind; raises BadRow if that is not possible."""
    source_kind = kind_of_record(record)
    if source_kind == kind:
        return record
    if kind == "prompt":
        return Prompt(prompt_messages(record), **carried(record))
    if kind == "demonstration" and isinstance(record, Comparison):
        if record.tie == "bad":
            reject_row(
                where,
                "tie",
                record.tie,
                "both answers are bad, so there is none to imitate",
                "Drop the row with --drop.",
            )
        return Demonstration(record.prompt, record.chosen, **carried(record))
    reject_row(
        where,
        "",
        None,
        f"is a {source_kind}, not a {kind}",
        "Import each kind into a separate file with --kind.",
    )


def parse_kind(name: str) -> RecordKind:
    for kind in RECORD_KINDS:
        if kind == name:
            return kind
    raise ConfigError(f'kind = "{name}": unknown. {_suggestion(name, RECORD_KINDS)}')


@dataclass
class _Tally:
    """Results that are collected while the rows are streamed."""

    kind: RecordKind | None  # None until the first good row sets it
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


def _suggestion(name: str, options: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, list(options), n=1)
    return f'Did you mean "{near[0]}"?' if near else f"Choose one of {', '.join(options)}."
