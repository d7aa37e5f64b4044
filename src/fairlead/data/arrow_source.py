"""Rows of Parquet files and of Arrow files, such as `save_to_disk` of the library datasets writes.

This module imports `pyarrow`, which the extra `hub` installs.  Rows are read and written in batches.
"""

import io
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import pyarrow as arrow
import pyarrow.parquet as parquet

from fairlead.core.errors import DataError
from fairlead.data.json_values import json_value

ROWS_PER_BATCH = 256
BUFFER_BYTES = 1 << 20


def read_parquet(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield (row number, row), numbered from 1."""
    try:
        # Without a buffer of fixed size, the compressed bytes of all row groups would be read ahead.
        with parquet.ParquetFile(path, pre_buffer=False, buffer_size=BUFFER_BYTES) as file:
            yield from _rows(file.iter_batches(batch_size=ROWS_PER_BATCH))
    except (arrow.ArrowException, ValueError) as error:
        raise _unreadable(path, "Parquet", error) from error


def parquet_size(path: Path) -> tuple[int, int]:
    """The number of rows, and the bytes of all columns without compression, as the file states them."""
    try:
        with parquet.ParquetFile(path) as file:
            groups = range(file.metadata.num_row_groups)
            num_bytes = sum(file.metadata.row_group(group).total_byte_size for group in groups)
            return file.metadata.num_rows, num_bytes
    except (arrow.ArrowException, ValueError) as error:
        raise _unreadable(path, "Parquet", error) from error


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
    sink = _Sink()
    with parquet.ParquetWriter(sink, schema, compression="zstd") as writer:
        for batch in batches:
            writer.write_table(arrow.table(dict(batch), schema=schema))
            yield sink.taken()
    yield sink.taken()


class _Sink(io.RawIOBase):
    """A file that keeps only what nobody has taken yet."""

    def __init__(self) -> None:
        self.waiting = bytearray()
        self.position = 0

    def writable(self) -> bool:
        return True

    def write(self, content: Any) -> int:
        self.waiting += content
        self.position += len(content)
        return len(content)

    def tell(self) -> int:
        return self.position

    def taken(self) -> bytes:
        content = bytes(self.waiting)
        self.waiting.clear()
        return content


def _rows(batches: Iterator[Any]) -> Iterator[tuple[int, dict[str, Any]]]:
    number = 0
    for batch in batches:
        for start in range(0, batch.num_rows, ROWS_PER_BATCH):
            for row in batch.slice(start, ROWS_PER_BATCH).to_pylist():
                number += 1
                yield number, json_value(row)


def _unreadable(path: Path, kind: str, error: Exception) -> DataError:
    reason = str(error).splitlines()[0].rstrip(".") if str(error) else type(error).__name__
    return DataError(f"{path}: cannot be read as {kind}: {reason}. Copy or download the file again.")
