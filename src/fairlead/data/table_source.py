"""Rows of CSV and TSV files.

The first row has the names of the columns.  A TSV file whose first row is data, as in FLAN's files, gets the
names `column_1`, `column_2`, …  Every value is text, or null where the cell is empty.
"""

import codecs
import csv
import re
from collections import Counter
from collections.abc import Iterator
from itertools import chain
from typing import IO, Any

from fairlead.core.errors import DataError
from fairlead.core.plural import counted
from fairlead.data.row_problem import RowProblem

MAX_CELL_CHARS = 16 * 2**20  # longer cells come from a quote that is never closed
MAX_LINE_BYTES = 64 * 2**20
SEPARATOR_LINE = re.compile(rb'(?:\xef\xbb\xbf)?"?sep=([ -~\t])"?\r?\n')  # written by Excel
NAMES_WITHOUT_TAB = re.compile(rb"(?:\xef\xbb\xbf)?\w+(?:[|;,]\w+)+\r?\n")  # a first row of names
MAX_NAME_CHARS = 60  # longer texts in the first row are no names of columns


def read_table(
    file: IO[bytes], path: str, separator: str
) -> Iterator[tuple[int, dict[str, Any]] | RowProblem]:
    """Yield (line, row) for each row.  A row with another number of cells than the head is a problem."""
    csv.field_size_limit(MAX_CELL_CHARS)
    head = file.readline(MAX_LINE_BYTES)
    beginning = [head]
    if match := SEPARATOR_LINE.match(head):
        separator, beginning = match[1].decode(), [b"\n"]  # an empty line keeps the line numbers
    elif separator == "," or NAMES_WITHOUT_TAB.fullmatch(head):
        separator = _separator(head)
    raw_lines = chain(beginning, iter(lambda: file.readline(MAX_LINE_BYTES), b""))
    # TSV files are written with and without quoting, so quotes count only around a whole cell.
    is_quoted = separator != "\t"
    reader = csv.reader(
        codecs.iterdecode(raw_lines, "utf-8-sig"),
        delimiter=separator,
        quoting=csv.QUOTE_MINIMAL if is_quoted else csv.QUOTE_NONE,
        strict=True,
    )
    names: list[str] | None = None
    try:
        for cells in reader:
            if not any(cells):
                continue
            if not is_quoted:
                cells = [_unquoted(cell) for cell in cells]
            if names is None:
                if separator == "\t" and not _is_head(cells):
                    names = [f"column_{number}" for number in range(1, len(cells) + 1)]
                else:
                    names = _names(cells, path)
                    continue
            if len(cells) != len(names):
                yield _uneven(cells, names, path, reader.line_num)
                continue
            yield (
                reader.line_num,
                {name: cell if cell.strip() else None for name, cell in zip(names, cells, strict=True)},
            )
    except csv.Error as error:
        raise DataError(
            f"{path}:{reader.line_num}: cannot be read as a table: {error}. "
            "Check the quotes in this line, and that a quote inside a cell is doubled."
        ) from error
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path}:{reader.line_num + 1}: not UTF-8: byte 0x{error.object[error.start]:02x}. "
            "Convert the file, for example with iconv."
        ) from error


def _separator(head: bytes) -> str:
    """The comma, or the semicolon that spreadsheets write where the comma is the decimal point, or a bar."""
    present = [mark for mark in (",", ";", "\t", "|") if mark.encode() in head]
    return present[0] if present else ","


def _unquoted(cell: str) -> str:
    match = re.fullmatch(r'"((?:[^"]|"")*)"', cell)
    return match[1].replace('""', '"') if match else cell


def _is_head(cells: list[str]) -> bool:
    """Whether the cells are names rather than text."""
    return len(set(cells)) == len(cells) and all(
        len(cell) <= MAX_NAME_CHARS and len(cell.split()) <= 4 and not re.search(r"[?!.]\s*$", cell)
        for cell in cells
    )


def _names(cells: list[str], path: str) -> list[str]:
    names = [cell.strip() or f"unnamed_{number}" for number, cell in enumerate(cells, start=1)]
    repeated = [name for name, number in Counter(names).items() if number > 1]
    if repeated:
        raise DataError(f"{path}:1: two columns have the name {repeated[0]}. Give each column its own name.")
    return names


def _uneven(cells: list[str], names: list[str], path: str, line: int) -> RowProblem:
    why = f"has {counted(len(cells), 'cell')} where the first row has {len(names)}"
    remedy = "Check the quotes and the separator, or drop the row with --drop."
    return RowProblem(path, line, "", None, why, remedy, cells)
