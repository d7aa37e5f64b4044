"""Write rows as JSON Lines, CSV or Parquet, as bytes that appear while the rows are read.

Memory is bounded by a batch of rows.  CSV and Parquet have one cell per column: lists and objects are JSON
text.  Parquet needs `pyarrow`, which the extra `hub` installs.
"""

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

from fairlead.core import jsonl
from fairlead.data import text_source

TableFormat = Literal["jsonl", "csv", "parquet"]
TABLE_FORMATS: tuple[TableFormat, ...] = get_args(TableFormat)
ColumnType = Literal["text", "whole", "number", "yes"]
# A spreadsheet runs a cell that begins with one of these as a formula.  The wide forms count in East Asia.
FORMULA_MARKS = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
BYTES_PER_PART = 1 << 16
BYTES_PER_BATCH = 16 << 20  # of text in a row group of a Parquet file
ROWS_PER_BATCH = 5000


def json_lines(rows: Iterable[Mapping[str, Any]]) -> Iterator[bytes]:
    return _joined((jsonl.dumps(row) + "\n").encode("utf-8") for row in rows)


def csv_table(columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> Iterator[bytes]:
    """A table that spreadsheets open: UTF-8 with a mark, every text in quotes, and no cell is a formula."""

    def lines() -> Iterator[bytes]:
        text = io.StringIO()
        writer = csv.writer(text, quoting=csv.QUOTE_NONNUMERIC)
        writer.writerow(columns)
        yield b"\xef\xbb\xbf" + _taken(text)
        for row in rows:
            writer.writerow([_cell(row.get(column)) for column in columns])
            yield _taken(text)

    return _joined(lines())


def parquet_table(columns: Mapping[str, ColumnType], rows: Iterable[Mapping[str, Any]]) -> Iterator[bytes]:
    """Raises DataError without `pyarrow`, before the first row is read."""
    write = text_source.load_arrow_source(Path("table.parquet")).write_parquet
    return _joined(write(columns, _batches(columns, rows)))


def _batches(
    columns: Mapping[str, ColumnType], rows: Iterable[Mapping[str, Any]]
) -> Iterator[dict[str, list[Any]]]:
    """The cells of some rows, by column."""
    batch: dict[str, list[Any]] = {column: [] for column in columns}
    num_rows = num_bytes = 0
    for row in rows:
        for column in columns:
            value = _flat(row.get(column))
            batch[column].append(value)
            num_bytes += len(value) if isinstance(value, str) else 8
        num_rows += 1
        if num_rows == ROWS_PER_BATCH or num_bytes > BYTES_PER_BATCH:
            yield batch
            batch = {column: [] for column in columns}
            num_rows = num_bytes = 0
    if num_rows:
        yield batch


def _flat(value: object) -> Any:
    """Lists and objects as JSON text; other values as they are."""
    return json.dumps(value, ensure_ascii=False) if isinstance(value, list | tuple | dict) else value


def _cell(value: object) -> object:
    value = _flat(value)
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return f"'{value}" if value.lstrip(" ").startswith(FORMULA_MARKS) else value
    return value


def _taken(text: io.StringIO) -> bytes:
    written = text.getvalue().encode("utf-8")
    text.seek(0)
    text.truncate()
    return written


def _joined(parts: Iterable[bytes]) -> Iterator[bytes]:
    """The same bytes in parts that are worth a network packet."""
    waiting = bytearray()
    for part in parts:
        waiting += part
        if len(waiting) >= BYTES_PER_PART:
            yield bytes(waiting)
            waiting.clear()
    if waiting:
        yield bytes(waiting)
