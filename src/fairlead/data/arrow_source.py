"""Rows of Parquet files and of Arrow files, such as `save_to_disk` of the library datasets writes.

This module imports `pyarrow`, which the extra `hub` installs.  Rows are read and written in batches.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import pyarrow as arrow
import pyarrow.compute as compute
import pyarrow.parquet as parquet

from fairlead.core.byte_sink import ByteSink
from fairlead.core.errors import DataError
from fairlead.data.json_values import json_value

ROWS_PER_BATCH = 256
BUFFER_BYTES = 1 << 20
MAX_BATCH_BYTES = 64 << 20  # of rows that are Python objects at once, and of one row
BYTES_PER_NUMBER = 8


def read_parquet(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield (row number, row), numbered from 1.

    A text that many rows share is stored once, in a dictionary.  It is copied for the rows of a batch only.
    """
    try:
        with _opened(path) as file:
            yield from _rows(file.iter_batches(batch_size=_rows_per_batch(file, ROWS_PER_BATCH)))
    except (arrow.ArrowException, ValueError) as error:
        raise _unreadable(path, "Parquet", error) from error


def parquet_size(path: Path, *, max_bytes: int) -> tuple[int, int]:
    """The number of rows, and the bytes of all values, counted until they are more than `max_bytes`.

    Texts that rows share count for each row: a file of a megabyte can hold a terabyte of them.
    """
    try:
        with _opened(path) as file:
            meta = file.metadata
            hidden = _shared_columns(file) + _columns_of_differences(file)
            chunks = [
                meta.row_group(group).column(column)
                for group in range(meta.num_row_groups)
                for column in range(meta.num_columns)
            ]
            num_bytes = sum(
                max(chunk.total_uncompressed_size, BYTES_PER_NUMBER * chunk.num_values) for chunk in chunks
            )
            if num_bytes <= max_bytes and hidden:
                batches = file.iter_batches(batch_size=_rows_per_batch(file, 65536), columns=hidden)
                for batch in batches:
                    num_bytes += sum(map(_num_bytes, batch.columns))
                    if num_bytes > max_bytes:
                        break
            return meta.num_rows, num_bytes
    except (arrow.ArrowException, ValueError) as error:
        raise _unreadable(path, "Parquet", error) from error


def _opened(path: Path) -> Any:
    """The file, whose shared texts stay in their dictionaries."""
    with parquet.ParquetFile(path) as file:
        shared = _shared_columns(file)
    # Without a buffer of fixed size, the compressed bytes of all row groups would be read ahead.
    return parquet.ParquetFile(path, pre_buffer=False, buffer_size=BUFFER_BYTES, read_dictionary=shared)


def _shared_columns(file: Any) -> list[str]:
    """Columns of texts of which a value may be stored once for many rows."""
    return [
        file.schema.column(column).path
        for column in range(file.metadata.num_columns)
        if file.schema.column(column).physical_type == "BYTE_ARRAY"
        and file.schema.column(column).logical_type.type in ("STRING", "NONE", "JSON", "ENUM")
        and any("DICTIONARY" in encoding for encoding in _encodings(file, column))
    ]


def _columns_of_differences(file: Any) -> list[str]:
    """Columns that store how values differ from those before, which may hide long texts as well."""
    return [
        file.schema.column(column).path
        for column in range(file.metadata.num_columns)
        if "DELTA_BYTE_ARRAY" in _encodings(file, column)
    ]


def _rows_per_batch(file: Any, most: int) -> int:
    """Fewer rows where only decoding shows how long values are.  None is longer than its chunk."""
    hidden = set(_columns_of_differences(file))
    groups = range(file.metadata.num_row_groups)
    longest = max(
        (
            file.metadata.row_group(group).column(column).total_uncompressed_size
            for column in range(file.metadata.num_columns)
            if file.schema.column(column).path in hidden
            for group in groups
        ),
        default=1,
    )
    return max(1, min(most, MAX_BATCH_BYTES // max(longest, 1)))


def _encodings(file: Any, column: int) -> set[str]:
    groups = range(file.metadata.num_row_groups)
    return {name for group in groups for name in file.metadata.row_group(group).column(column).encodings}


def _num_bytes(values: Any) -> int:
    """The bytes of an array when each row has a copy of what it shares with others."""
    kind = values.type
    if arrow.types.is_dictionary(kind):
        lengths = compute.fill_null(compute.binary_length(values.dictionary), 0)
        total = compute.sum(compute.cast(lengths.take(values.indices.drop_null()), arrow.int64()))
        return int(total.as_py() or 0)
    if arrow.types.is_list(kind) or arrow.types.is_large_list(kind):
        return _num_bytes(values.flatten())
    if arrow.types.is_struct(kind):
        return sum(map(_num_bytes, values.flatten()))
    return int(values.nbytes)


def read_arrow(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield (row number, row) of an Arrow file, in the format of streams or of files."""
    try:
        with arrow.memory_map(str(path)) as source:
            try:
                batches = iter(arrow.ipc.open_stream(source))
            except arrow.ArrowInvalid:
                source.seek(0)
                file = arrow.ipc.open_file(source)
                batches = (file.get_batch(index) for index in range(file.num_record_batches))
            yield from _rows(batches)
    except (arrow.ArrowException, ValueError) as error:
        raise _unreadable(path, "Arrow", error) from error


def saved_files(folder: Path) -> list[Path]:
    """The Arrow files of a folder that `save_to_disk` wrote, in the order of their rows."""
    state = json.loads((folder / "state.json").read_text(encoding="utf-8"))
    if state.get("_indices_files") or state.get("_indices_data_files"):
        raise DataError(
            f"{folder}: selects its rows by a table of indices. "
            "Save the data set again with a newer version of datasets, or write it with to_parquet."
        )
    return [folder / Path(entry["filename"]).name for entry in state["_data_files"]]


def open_zst(path: Path) -> IO[bytes]:
    return arrow.input_stream(str(path), compression="zstd")  # type: ignore[no-any-return]


def unpack_zst(packed: IO[bytes]) -> IO[bytes]:
    return arrow.input_stream(packed, compression="zstd")  # type: ignore[no-any-return]


def write_parquet(columns: Mapping[str, str], batches: Iterable[Mapping[str, list[Any]]]) -> Iterator[bytes]:
    """The bytes of a Parquet file, of which each batch becomes a row group.

    `columns` maps names to text, whole, number or yes.
    """
    types = {"text": arrow.string(), "whole": arrow.int64(), "number": arrow.float64(), "yes": arrow.bool_()}
    schema = arrow.schema([(name, types[kind]) for name, kind in columns.items()])
    sink = ByteSink()
    with parquet.ParquetWriter(sink, schema, compression="zstd") as writer:
        for batch in batches:
            writer.write_table(arrow.table(dict(batch), schema=schema))
            yield sink.taken()
    yield sink.taken()


def _rows(batches: Iterator[Any]) -> Iterator[tuple[int, dict[str, Any]]]:
    number = 0
    for batch in batches:
        for start in range(0, batch.num_rows, ROWS_PER_BATCH):
            for part in _small(batch.slice(start, ROWS_PER_BATCH), number):
                for row in part.to_pylist():
                    number += 1
                    yield number, json_value(row)


def _small(batch: Any, number: int) -> Iterator[Any]:
    """Parts of the batch that fit into memory as Python objects."""
    if sum(map(_num_bytes, batch.columns)) <= MAX_BATCH_BYTES:
        yield batch
    elif batch.num_rows == 1:
        raise ValueError(f"row {number + 1} has more than {MAX_BATCH_BYTES >> 20} MiB")
    else:
        half = batch.num_rows // 2
        yield from _small(batch.slice(0, half), number)
        yield from _small(batch.slice(half), number + half)


def _unreadable(path: Path, kind: str, error: Exception) -> DataError:
    reason = str(error).splitlines()[0].rstrip(".") if str(error) else type(error).__name__
    return DataError(f"{path}: cannot be read as {kind}: {reason}. Copy or download the file again.")
