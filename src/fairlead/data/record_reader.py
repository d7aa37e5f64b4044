"""Read native files into records.  All bad rows of a file are reported together, before training starts.

Convert files in other formats first, with `importer`.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain, islice
from pathlib import Path
from typing import NamedTuple, cast

from fairlead.core.errors import DataError
from fairlead.data import file_source
from fairlead.data.file_source import SourceRow
from fairlead.data.kind_names import kind_noun, kind_plural
from fairlead.data.parsing import parse_row
from fairlead.data.records import (
    COLUMNS_BY_KIND,
    Binary,
    Comparison,
    Demonstration,
    Prompt,
    Ranking,
    Rating,
    Record,
    RecordKind,
    Stepwise,
    kind_of_row,
)
from fairlead.data.row_problem import MAX_SHOWN, BadRow, RowProblem, bad_rows_error, reject_row

NUM_SAMPLE = 100  # rows from which the kind of a file is guessed


class ParsedRow(NamedTuple):
    row: SourceRow
    record: Record


def read_demonstrations(path: Path) -> list[Demonstration]:
    return cast(list[Demonstration], read_records(path, "demonstration"))


def read_comparisons(path: Path) -> list[Comparison]:
    return cast(list[Comparison], read_records(path, "comparison"))


def read_binary(path: Path) -> list[Binary]:
    return cast(list[Binary], read_records(path, "binary"))


def read_ratings(path: Path) -> list[Rating]:
    return cast(list[Rating], read_records(path, "rating"))


def read_rankings(path: Path) -> list[Ranking]:
    return cast(list[Ranking], read_records(path, "ranking"))


def read_stepwise(path: Path) -> list[Stepwise]:
    return cast(list[Stepwise], read_records(path, "stepwise"))


def read_prompts(path: Path) -> list[Prompt]:
    """Read the prompts of a native file of any kind, including repeated prompts."""
    return cast(list[Prompt], read_records(path, "prompt"))


def read_records(path: Path, kind: RecordKind) -> list[Record]:
    """Read every row of a native file; raises DataError if a row is bad or the file is empty."""
    records: list[Record] = []
    problems: list[RowProblem] = []  # the first few
    num_bad = 0
    rows = file_source.read_file_rows(path)
    sample = list(islice(rows, NUM_SAMPLE))
    _refuse_another_kind(path, sample, kind)
    for result in parse_rows(chain(sample, rows), kind):
        if isinstance(result, ParsedRow):
            records.append(result.record)
            continue
        num_bad += 1
        if len(problems) < MAX_SHOWN:
            problems.append(result)
    if num_bad:
        remedy = (
            f"Set them aside with `fairlead data check {path} --drop`, "
            "or convert the file with `fairlead data import`."
        )
        raise bad_rows_error(problems, num_bad, num_bad + len(records), remedy)
    if not records:
        raise DataError(f"{path}: has no rows. Name a file of {kind_plural(kind)}.")
    return records


def parse_rows(
    rows: Iterator[SourceRow | RowProblem], kind: RecordKind | None
) -> Iterator[ParsedRow | RowProblem]:
    """Parse each row into a record or a problem.  Without a kind, every row is a problem."""
    for row in rows:
        if isinstance(row, RowProblem):
            yield row
            continue
        try:
            yield ParsedRow(row, _record(row, kind))
        except BadRow as error:
            yield replace(error.problem, row=row.value)


def guess_kind(path: Path) -> tuple[RecordKind | None, Iterator[SourceRow | RowProblem]]:
    """Guess the kind from the first rows; None if no row has a known kind.

    The iterator yields all rows of the file.
    """
    rows = file_source.read_file_rows(path)
    sample = list(islice(rows, NUM_SAMPLE))
    if not sample:
        raise DataError(f"{path}: has no rows. Name a file with data.")
    votes = Counter(
        kind for row in sample if isinstance(row, SourceRow) and (kind := kind_of_row(row.value)) is not None
    )
    return (votes.most_common(1)[0][0] if votes else None), chain(sample, rows)


# (kind of the file, kind that is wanted) -> how to get there.
CONVERSIONS: Mapping[tuple[RecordKind, RecordKind], str] = {
    ("comparison", "demonstration"): "Take the chosen answers",
    ("ranking", "comparison"): "Take every two answers of different rank",
}


def _refuse_another_kind(path: Path, sample: Sequence[SourceRow | RowProblem], kind: RecordKind) -> None:
    """One sentence about a file of another kind or layout, in place of a problem for each row."""
    rows = [row.value for row in sample if isinstance(row, SourceRow)]
    kinds = Counter(kind_of_row(row) for row in rows)
    is_text = all(isinstance(row.get("prompt"), str) for row in rows)
    if not rows or (kind in kinds and not is_text) or (kind == "prompt" and any(kinds) and not is_text):
        return
    actual_kind = kinds.most_common(1)[0][0]
    if actual_kind is None or is_text:
        raise DataError(
            f"{path}: is not in the layout of native rows; its columns are {', '.join(rows[0]) or 'none'}. "
            f"Convert it with `fairlead data import {path} --out data/rows.jsonl`."
        )
    if kind == "prompt":
        return
    remedy = f"Name a file of {kind_plural(kind)}."
    if (actual_kind, kind) in CONVERSIONS:
        command = f"fairlead data import {path} --kind {kind} --out data/{kind}s.jsonl"
        remedy = f"{CONVERSIONS[actual_kind, kind]} with `{command}`."
    elif actual_kind == "prompt" and (unread := [*rows[0].keys() - COLUMNS_BY_KIND["prompt"]]):
        remedy = (
            f"If {' or '.join(sorted(unread))} holds the answer, convert the file with "
            f"`fairlead data import {path} --kind {kind} --out data/{kind}s.jsonl`."
        )
    raise DataError(f"{path}: holds {kind_plural(actual_kind)}, and {kind_plural(kind)} are needed. {remedy}")


def _record(row: SourceRow, kind: RecordKind | None) -> Record:
    where, value = row
    if kind is None:
        columns = ", ".join(value) or "none"
        reject_row(
            where, "", None, f"no kind of row has these columns: {columns}", "Use `fairlead data import`."
        )
    record = parse_row(kind, value, where)
    # Any row with a prompt can serve as a prompt, but a rating must not pass for a demonstration.
    actual_kind = kind_of_row(value)
    if actual_kind != kind and kind != "prompt":
        why = f"is a {kind_noun(actual_kind)} among {kind_plural(kind)}" if actual_kind else "is of no kind"
        reject_row(where, "", None, why, "Keep each kind in a separate file.")
    return record
