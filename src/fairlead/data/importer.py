"""Convert rows of a known format to a file of native rows.

`file_source` and `hub_source` read the rows; `formats/` has the formats.  Rows are streamed.  Only an import
of prompts keeps digests of 16 bytes in memory, to write each prompt once.

Nothing that a row says is lost without a word.  Each column is read by the format, or travels in the
metadata of the record, or stops the import until it is left out on purpose (`column_meaning`, `column_map`).
"""

import difflib
import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import chain, islice
from pathlib import Path
from typing import Any, NamedTuple

from fairlead.core.errors import ConfigError, DataError
from fairlead.core.plural import counted, left_out_text
from fairlead.data.column_map import ColumnMap
from fairlead.data.column_meaning import is_note, meaning_of, without_blanks
from fairlead.data.file_source import SourceRow
from fairlead.data.formats import feedback, score_table
from fairlead.data.formats.format import LeftOut
from fairlead.data.formats.registry import FORMATS as FORMATS
from fairlead.data.formats.registry import first_format as first_format
from fairlead.data.kind_conversion import as_kind, can_become
from fairlead.data.kind_names import kind_plural
from fairlead.data.record_reader import ParsedRow
from fairlead.data.record_writer import write_rows
from fairlead.data.records import (
    RECORD_KINDS,
    Prompt,
    Record,
    RecordKind,
    kind_of_record,
    prompt_text,
    to_row,
)
from fairlead.data.row_problem import BadRow, RowProblem, bad_rows_error
from fairlead.data.row_sample import sample_rows
from fairlead.data.unread_columns import lost_columns_error, repeats_text, with_map_option

NUM_SAMPLE = 100  # rows from which the format is guessed


# Columns beside a record that keep their place, because evaluations read them there (`pair_metadata`).
KEPT_COLUMNS = ("tags", "family", "shown_first")


@dataclass(frozen=True)
class ImportReport:
    """What became of the rows.  One row may give several records, so the numbers need not add up."""

    num_read: int
    num_written: int
    num_dropped: int
    num_repeated: int  # repeated prompts, which are written once; 0 for other kinds
    num_other_references: int  # repeated prompts with another reference, which are written
    left_out: Mapping[str, int]  # reason, such as ties -> rows or parts of rows that say nothing
    format: str
    kind: RecordKind
    rejected_path: Path | None  # file of dropped rows with their reasons; None if nothing was dropped
    metadata_columns: tuple[str, ...]  # columns that travel in the metadata
    ignored_columns: tuple[str, ...]  # columns that are not written


def import_file(
    rows: Iterable[SourceRow | RowProblem],
    out: Path,
    *,
    format: str | None = None,
    kind: str | None = None,
    drop: bool = False,
    columns: ColumnMap | None = None,
    num_samples: int | None = None,
    sample: int | None = None,
) -> ImportReport:
    """Write `rows` to `out` as native rows of one kind.

    The format and the kind are guessed from the rows unless they are given.  Bad rows raise a DataError that
    lists the first few, and nothing is written.  With `drop`, bad rows go to `OUT.rejected.jsonl` instead.
    A kind other than the usual one of the format can be asked for where the rows hold it: the chosen answers
    of comparisons are demonstrations, rankings give comparisons, and every kind gives prompts, each once.
    `num_samples`, of a description of the data, and `sample` take so many rows at random.
    """
    tally = Tally()
    rows = _counted(rows, tally)
    if num_samples is not None:
        rows = sample_rows(rows, num_samples, tally.left_out)
    if sample is not None:
        rows = sample_rows(rows, sample, tally.left_out, asked_by="--sample")
    if columns is not None:
        rows = columns.apply(rows)
        tally.partly_read = columns.partly_read
        tally.ignored |= columns.ignored
    parsed_kind = None if kind is None else parse_kind(kind)
    name, rows = choose_format(rows, format)
    native_rows = _native_rows(rows, name, parsed_kind, tally)
    written = write_rows(
        _refuse_if_all_left_out(native_rows, tally), out, drop=drop, num_source_rows=lambda: tally.num_read
    )
    assert tally.kind is not None, "a row was written, so its kind is known"
    return ImportReport(
        num_read=tally.num_read,
        num_written=written.num_written,
        num_dropped=written.num_dropped,
        num_repeated=tally.num_repeated,
        num_other_references=tally.num_other_references,
        left_out=dict(tally.left_out),
        format=name,
        kind=tally.kind,
        rejected_path=written.rejected_path,
        metadata_columns=tuple(sorted(tally.metadata)),
        ignored_columns=tuple(sorted(tally.ignored)),
    )


def choose_format(
    rows: Iterable[SourceRow | RowProblem], format: str | None = None
) -> tuple[str, Iterator[SourceRow | RowProblem]]:
    """The given format, or the one that recognises most of the first rows; and an iterator over all rows."""
    remaining = iter(rows)
    if format is not None:
        if format not in FORMATS:
            raise ConfigError(f'format = "{format}": unknown. {_suggestion(format, FORMATS)}')
        sample = list(islice(remaining, NUM_SAMPLE))
        _require_readable(sample, format)
        return format, chain(sample, remaining)
    sample = list(islice(remaining, NUM_SAMPLE))
    good = [row for row in sample if isinstance(row, SourceRow)]
    if not good:
        problems = [row for row in sample if isinstance(row, RowProblem)]
        if not problems:
            raise DataError("The source has no rows, so there is nothing to import.")
        raise bad_rows_error(
            problems[:1],
            len(problems),
            len(problems),
            "None of them is a row, so there is nothing to import. Check that this is the file you meant.",
        )
    votes = Counter(name for row in good if (name := first_format(row.value)) is not None)
    if not votes:
        where, row = good[0]
        if score_table.is_score_alone(row):
            raise DataError(f"{where}: {score_table.REFUSAL}")
        columns = ", ".join(row) or "none"
        raise DataError(
            f"{where}: no format has these columns: {columns}. "
            "Say what they hold with --map, for example --map prompt=COLUMN,completion=COLUMN, "
            "or name a format with --format; docs/reference/import-formats.md lists them."
        )
    return votes.most_common(1)[0][0], chain(sample, remaining)


def _require_readable(sample: list[SourceRow | RowProblem], format: str) -> None:
    """One sentence, in place of a problem per row, if the named format reads none of the first rows."""
    rows = [row for row in sample if isinstance(row, SourceRow)]
    rules = FORMATS[format]
    if not rows or rules.gather is not None or any(rules.recognises(row.value) for row in rows):
        return
    problems = [next(convert_row(row, format), None) for row in rows]
    if not all(isinstance(problem, RowProblem) for problem in problems):
        return
    likely = first_format(rows[0].value)
    remedy = f"They look like {likely}; leave out --format." if likely else "Describe the columns with --map."
    raise DataError(
        f"{rows[0].where.path}: the format {format} reads none of the first {counted(len(rows), 'row')}, "
        f"whose columns are {', '.join(rows[0].value) or 'none'}. {remedy}"
    )


@dataclass
class Tally:
    """What an import counts while the rows are streamed."""

    kind: RecordKind | None = None  # None until the first good row sets it
    num_read: int = 0
    num_repeated: int = 0
    num_other_references: int = 0
    left_out: Counter[str] = field(default_factory=Counter)
    metadata: set[str] = field(default_factory=set)  # columns that travel
    ignored: set[str] = field(default_factory=set)  # columns that do not
    partly_read: frozenset[str] = frozenset()  # columns that travel although their names carry meaning


class LeftOutRow(NamedTuple):
    row: SourceRow
    reason: str


def import_rows(
    rows: Iterable[SourceRow | RowProblem], format: str, kind: RecordKind | None = None
) -> Iterator[ParsedRow | LeftOutRow | RowProblem]:
    """Convert each row into records, problems and parts that are left out.

    A row can give several records.  Without `kind`, a row becomes what it usually is.
    """
    for row in gathered(iter(rows), format):
        if isinstance(row, RowProblem):
            yield row
        else:
            yield from convert_row(row, format, kind)


def gathered(rows: Iterator[SourceRow | RowProblem], format: str) -> Iterator[SourceRow | RowProblem]:
    """The rows as the format converts them: single messages become trees, for example."""
    gather = FORMATS[format].gather
    return rows if gather is None else gather(rows)


def convert_row(
    row: SourceRow, format: str, kind: RecordKind | None = None
) -> Iterator[ParsedRow | LeftOutRow | RowProblem]:
    rules = FORMATS[format]
    convert = rules.convert if kind is None else rules.readings.get(kind, rules.convert)
    try:
        converted = convert(row.value, row.where)
    except BadRow as error:
        yield replace(with_map_option(error.problem, row.value), row=row.value)
        return
    for record in converted if isinstance(converted, list) else [converted]:
        if isinstance(record, LeftOut):
            yield LeftOutRow(row, record.reason)
        else:
            yield ParsedRow(row, record)


def metadata_of(
    row: SourceRow,
    record: Record,
    format: str,
    kind: RecordKind | None,
    tally: Tally,
    *,
    also_read: frozenset[str] = frozenset(),
) -> dict[str, Any]:
    """The columns that travel with the record; raises DataError for a column that would be lost.

    `also_read` are columns of answers that the caller reads beside a prompt.
    """
    rules = FORMATS[format]
    source_kind = kind_of_record(record)
    read = rules.reads.get(source_kind, frozenset())
    beside = rules.metadata_beside.get(source_kind, frozenset())
    travelling: dict[str, Any] = {}
    lost: dict[str, Any] = {}
    for column, value in without_blanks(row.value).items():
        if (
            rules.reads_every_column
            or column in read
            or column in also_read
            or column in ("id", "metadata")
            or column in KEPT_COLUMNS
        ):
            continue
        if column in rules.metadata | beside or column in tally.partly_read:
            travelling[column] = value
            continue
        meaning = meaning_of(column, value) or ("answer" if feedback.is_verdict(column, value) else None)
        if meaning is not None and repeats_text(column, value, record):
            continue  # the record holds it already: data sets repeat the question or the answer
        if meaning == "answer" and kind == "prompt":
            tally.ignored.add(column)  # only the prompts were asked for
        elif meaning is not None or (
            # A file of which only the prompt was understood may hold answers under any name.
            source_kind == "prompt" and kind != "prompt" and not also_read and not is_note(column, value)
        ):
            lost[column] = value
        else:
            travelling[column] = value
    if lost:
        raise lost_columns_error(row, lost, format, source_kind)
    tally.metadata.update(travelling)
    return travelling


def parse_kind(name: str) -> RecordKind:
    for kind in RECORD_KINDS:
        if kind == name:
            return kind
    raise ConfigError(f'kind = "{name}": unknown. {_suggestion(name, RECORD_KINDS)}')


def carry(row: SourceRow, record: Record, metadata: Mapping[str, Any]) -> Record:
    """The record with the id of its row, and with the columns that travel with it."""
    identity = row.value.get("id")
    if record.id is None and isinstance(identity, str | int) and not isinstance(identity, bool):
        record = replace(record, id=str(identity) or None)
    own = row.value.get("metadata")
    if isinstance(own, dict):
        metadata = {**metadata, **own}
    elif own is not None:
        metadata = {**metadata, "metadata": own}
    return replace(record, metadata={**metadata, **(record.metadata or {})} or None)


def _native_row(row: SourceRow, record: Record) -> dict[str, Any]:
    kept = {name: row.value[name] for name in KEPT_COLUMNS if row.value.get(name) is not None}
    return to_row(record) | ({} if isinstance(record, Prompt) else kept)


def _native_rows(
    rows: Iterable[SourceRow | RowProblem], format: str, kind: RecordKind | None, tally: Tally
) -> Iterator[dict[str, Any] | RowProblem]:
    tally.kind = kind
    if kind is not None:
        rows = _refuse_another_kind(rows, format, kind)
    seen: set[bytes] = set()
    for parsed in import_rows(rows, format, kind):
        if isinstance(parsed, RowProblem):
            yield parsed
            continue
        if isinstance(parsed, LeftOutRow):
            tally.left_out[parsed.reason] += 1
            continue
        metadata = metadata_of(parsed.row, parsed.record, format, kind, tally)
        tally.kind = tally.kind or kind_of_record(parsed.record)
        try:
            records = as_kind(
                carry(*parsed, metadata), tally.kind, parsed.row.where, is_asked_for=kind is not None
            )
        except BadRow as error:
            yield replace(error.problem, row=parsed.row.value)
            continue
        if not records:
            tally.left_out["rankings without two different answers of different rank"] += 1
        for record in records:
            if isinstance(record, Prompt) and _is_repeated(record, seen, tally):
                continue
            yield _native_row(parsed.row, record)


def _is_repeated(record: Prompt, seen: set[bytes], tally: Tally) -> bool:
    """Whether an earlier row has the same prompt and reference; counts it, and remembers the row."""
    prompt = prompt_text(record).encode("utf-8")
    keys = [hashlib.sha256(prompt).digest()[:16]]
    if record.reference is not None:
        keys.append(hashlib.sha256(keys[0] + record.reference.encode("utf-8")).digest()[:16])
    if keys[-1] in seen:
        tally.num_repeated += 1
        return True
    if keys[0] in seen:
        tally.num_other_references += 1
    seen.update(keys)
    return False


def _refuse_if_all_left_out(
    rows: Iterator[dict[str, Any] | RowProblem], tally: Tally
) -> Iterator[dict[str, Any] | RowProblem]:
    num = 0
    for num, row in enumerate(rows, start=1):  # noqa: B007
        yield row
    if not num and tally.left_out:
        reasons = left_out_text(dict(tally.left_out.most_common()))
        raise DataError(
            f"Nothing was written, because every row was left out: {reasons}. "
            "Ask for another kind with --kind, or check that this is the file you meant."
        )


def _refuse_another_kind(
    rows: Iterable[SourceRow | RowProblem], format: str, kind: RecordKind
) -> Iterator[SourceRow | RowProblem]:
    """One sentence, in place of a problem per row, if none of the first rows can become the kind."""
    remaining = iter(rows)
    sample = list(islice(remaining, NUM_SAMPLE))
    if FORMATS[format].gather is not None:
        return chain(sample, remaining)
    kinds: Counter[RecordKind] = Counter()
    for parsed in (
        parsed for row in sample if isinstance(row, SourceRow) for parsed in convert_row(row, format, kind)
    ):
        if isinstance(parsed, ParsedRow):
            kinds[kind_of_record(parsed.record)] += 1
            if can_become(parsed.record, kind, parsed.row.where):
                return chain(sample, remaining)
    if kinds:
        actual = kinds.most_common(1)[0][0]
        path = sample[0].where.path if isinstance(sample[0], SourceRow) else sample[0].path
        raise DataError(
            f"{path}: holds {kind_plural(actual)}, which give no {kind_plural(kind)}. "
            f"Leave out --kind, or import a file of {kind_plural(kind)}."
        )
    return chain(sample, remaining)


def _counted(rows: Iterable[SourceRow | RowProblem], tally: Tally) -> Iterator[SourceRow | RowProblem]:
    for row in rows:
        tally.num_read += 1
        yield row


def _suggestion(name: str, options: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, list(options), n=1)
    return f'Did you mean "{near[0]}"?' if near else f"Choose one of {', '.join(options)}."
