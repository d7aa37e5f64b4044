"""Native files into records, for recipes.  All the bad rows of a file are reported together, before anything is trained.

Files in other formats are converted first, by `importer`.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from itertools import chain, islice
from pathlib import Path
from typing import NamedTuple, cast

from fairlead.core.errors import DataError
from fairlead.data import sources
from fairlead.data.parsing import parse_row
from fairlead.data.problem import MAX_SHOWN, BadRow, Problem, bad_rows
from fairlead.data.records import (
    Binary,
    Comparison,
    Demonstration,
    Kind,
    Prompt,
    Ranking,
    Rating,
    Record,
    Stepwise,
    kind_of,
)
from fairlead.data.sources import SourceRow

NUM_SAMPLE = 100  # rows that a file's kind is guessed from


class Parsed(NamedTuple):
    row: SourceRow
    record: Record


def read_demonstrations(path: Path) -> list[Demonstration]:
    return cast(list[Demonstration], read(path, "demonstration"))


def read_comparisons(path: Path) -> list[Comparison]:
    return cast(list[Comparison], read(path, "comparison"))


def read_binary(path: Path) -> list[Binary]:
    return cast(list[Binary], read(path, "binary"))


def read_ratings(path: Path) -> list[Rating]:
    return cast(list[Rating], read(path, "rating"))


def read_rankings(path: Path) -> list[Ranking]:
    return cast(list[Ranking], read(path, "ranking"))


def read_stepwise(path: Path) -> list[Stepwise]:
    return cast(list[Stepwise], read(path, "stepwise"))


def read_prompts(path: Path) -> list[Prompt]:
    """The prompts of any native file whose rows have one, repetitions included."""
    return cast(list[Prompt], read(path, "prompt"))


def read(path: Path, kind: Kind) -> list[Record]:
    """Every row of a native file; any bad row, or none at all, is a DataError."""
    records: list[Record] = []
    problems: list[Problem] = []  # the first few
    num_bad = 0
    for result in parse(sources.read(path), kind):
        if isinstance(result, Parsed):
            records.append(result.record)
            continue
        num_bad += 1
        if len(problems) < MAX_SHOWN:
            problems.append(result)
    if num_bad:
        remedy = f"Set them aside with `fairlead data check {path} --drop`, or convert the file with `fairlead data import`."
        raise bad_rows(problems, num_bad, num_bad + len(records), remedy)
    if not records:
        raise DataError(f"{path}: holds no rows. A file of {_several(kind)} is expected.")
    return records


def parse(rows: Iterator[SourceRow | Problem], kind: Kind | None) -> Iterator[Parsed | Problem]:
    """Each row with its record, or what is wrong with it; with no kind, every row is wrong."""
    for row in rows:
        if isinstance(row, Problem):
            yield row
            continue
        try:
            yield Parsed(row, _record(row, kind))
        except BadRow as error:
            yield replace(error.problem, row=row.value)


def guess_kind(path: Path) -> tuple[Kind | None, Iterator[SourceRow | Problem]]:
    """The kind of most of the first rows, None when no row tells; and all the rows, none lost to looking."""
    rows = sources.read(path)
    sample = list(islice(rows, NUM_SAMPLE))
    if not sample:
        raise DataError(f"{path}: holds no rows.")
    votes = Counter(
        kind for row in sample if isinstance(row, SourceRow) and (kind := kind_of(row.value)) is not None
    )
    return (votes.most_common(1)[0][0] if votes else None), chain(sample, rows)


def _several(kind: Kind) -> str:
    """The kind's name for many rows."""
    return f"{kind} rows" if kind in ("binary", "stepwise") else f"{kind}s"


def _record(row: SourceRow, kind: Kind | None) -> Record:
    where, value = row
    own = kind_of(value)
    if kind is None:
        columns = ", ".join(value) or "none"
        raise BadRow(
            Problem(
                *where,
                "",
                None,
                f"no kind of row has these columns: {columns}",
                "Use `fairlead data import`.",
            )
        )
    record = parse_row(kind, value, where)
    # Any row with a prompt can serve as a prompt, but a rating, say, must not pass for a demonstration.
    if own != kind and kind != "prompt":
        raise BadRow(
            Problem(
                *where, "", None, f"is a {own} among {_several(kind)}", "Keep each kind in a file of its own."
            )
        )
    return record
