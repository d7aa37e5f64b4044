"""Rows of a local file: JSON Lines, a JSON list or object, CSV, TSV, Parquet or Arrow.

`text_source` unpacks and decodes text.  A line that is not a JSON object becomes a RowProblem and reading
continues, so all bad lines of a file are reported together.  Rows are streamed: memory is bounded by the
longest row, and by MAX_OBJECT_BYTES for a JSON object that holds the rows.

`sources` finds the files of a folder, `parsing` turns rows into records, and `hub_source` reads data sets of
the Hub.
"""

import codecs
import json
import re
import zlib
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import IO, Any, NamedTuple, NoReturn

from fairlead.core.errors import DataError
from fairlead.data import table_source, text_source
from fairlead.data.repeated_keys import RepeatedKeys
from fairlead.data.row_problem import RowLocation, RowProblem
from fairlead.data.text_source import CHUNK_BYTES, COMPRESSED

REMEDY = "Each line must be one JSON object."
SUFFIXES = (".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".parquet", ".arrow")
MAX_ROW_BYTES = 64 * 2**20  # a longer row is a damaged file, or no rows at all
MAX_OBJECT_BYTES = 32 * 2**20  # a shorter JSON object with all rows inside is read at once
MAX_DEPTH = 100  # of lists and objects inside each other
# Keys under which an object holds the rows of a file.
ROW_KEYS = ("data", "rows", "examples", "instances", "items", "conversations", "train")


class SourceRow(NamedTuple):
    where: RowLocation
    value: dict[str, Any]


def read_file_rows(path: Path) -> Iterator[SourceRow | RowProblem]:
    """Yield the rows of the file, without blank lines; raises DataError if the file cannot be read."""
    suffix = row_suffix(path)
    if path.suffix == ".txt":
        raise DataError(
            f"{path}: is plain text, which has no rows. Name it .csv if it holds a table. "
            "Train on it with `fairlead train pretrain`, "
            "whose documents may be a .txt file."
        )
    if suffix is None:
        raise DataError(
            f"{path}: unknown file type. Use {', '.join(SUFFIXES)}, text also with .gz or .zst; "
            "or a Hub data set hf:OWNER/NAME."
        )
    try:
        if suffix in (".parquet", ".arrow"):
            yield from _table_rows(path, suffix)
        else:
            yield from _text_rows(path, suffix)
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such file. Check the path.") from error
    except (OSError, EOFError, zlib.error) as error:  # a folder, no permission, a damaged gzip file
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"{path}: cannot be read: {reason}. Check the file.") from error


def row_suffix(path: Path) -> str | None:
    """The suffix that says how rows are written, without the compression; None for other files."""
    name = path.name.lower()
    compression = next((end for end in COMPRESSED if name.endswith(end)), "")
    suffix = Path(name.removesuffix(compression)).suffix
    is_known = suffix in (SUFFIXES[:-2] if compression else SUFFIXES)
    return suffix if is_known else None


def _table_rows(path: Path, suffix: str) -> Iterator[SourceRow]:
    if not path.is_file():
        open(path, "rb").close()  # raises the error that says why
    text_source.refuse_stand_in(path)
    arrow_source = text_source.load_arrow_source(path)
    read = arrow_source.read_parquet if suffix == ".parquet" else arrow_source.read_arrow
    for number, row in read(path):
        yield SourceRow(RowLocation(str(path), number), row)


def _text_rows(path: Path, suffix: str) -> Iterator[SourceRow | RowProblem]:
    beginning = text_source.beginning_of(path)
    with closing(text_source.open_text(path)) as file:
        if suffix in (".csv", ".tsv"):
            table = table_source.read_table(file, str(path), "," if suffix == ".csv" else "\t")
            for row in table:
                yield (
                    row if isinstance(row, RowProblem) else SourceRow(RowLocation(str(path), row[0]), row[1])
                )
        elif re.match(rb"\[\s*(\{|$)" if suffix == ".jsonl" else rb"\[", beginning):
            yield from _items(file, str(path))
        elif (rows := _object_rows(path, beginning)) is not None:
            yield from rows
        else:  # many .json files contain JSON Lines
            yield from _lines(file, str(path))


def _object_rows(path: Path, beginning: bytes) -> Iterator[SourceRow | RowProblem] | None:
    """The rows inside a file that is one JSON object; None if the file is no such object.

    The object may hold the rows under one of ROW_KEYS, or be a single row itself.
    """
    if not beginning.startswith(b"{"):
        return None
    with closing(text_source.open_text(path)) as file:
        first = file.readline(MAX_ROW_BYTES + 1)
        is_whole = _is_json(first)
        if is_whole and file.read(CHUNK_BYTES).strip():
            return None  # further lines follow
        second = b"" if is_whole else file.readline(MAX_ROW_BYTES + 1)
        if second.startswith(b"{") and _is_json(second):
            return None  # lines, of which the first is damaged
        text = first if is_whole else first + second + file.read(MAX_OBJECT_BYTES + 1)
    if len(text) > MAX_OBJECT_BYTES:
        return _streamed_object_rows(path)
    repeated = RepeatedKeys()
    try:
        value = repeated.decoder().decode(text.decode("utf-8-sig"))
    except (ValueError, RecursionError):
        return None  # reported line by line
    keys = [key for key, rows in value.items() if _is_row_list(rows)]
    if not set(keys) & set(ROW_KEYS):
        keys = []  # one row, with a list of objects in a column
    if len(keys) > 1:
        raise _several_lists_error(path, keys)
    if not keys:
        source = text.decode("utf-8-sig").strip()
        return iter([_row(RowLocation(str(path), 1), value, source, repeated.repeated)])
    if repeated.repeated is not None:
        return _streamed_object_rows(path)  # item by item, so that the row with the key is known
    rows = [item["row"] if _is_wrapped(item) else item for item in value[keys[0]]]
    return (
        _row(RowLocation(str(path), number), row, json.dumps(row)) for number, row in enumerate(rows, start=1)
    )


def _streamed_object_rows(path: Path) -> Iterator[SourceRow | RowProblem]:
    """The rows of an object that is too long to be read at once."""
    keys: list[str] = []
    with closing(text_source.open_text(path)) as file:
        text = _ListText(file, str(path))
        text.position = text.position_of("{") + 1
        while text.next_char() != "}":
            key, _ = text.decode()
            if not isinstance(key, str) or text.next_char() != ":":
                text.fail("expected a key and a colon")
            text.position += 1
            if text.next_char() == "[" and key in ROW_KEYS:
                keys.append(key)
                if len(keys) > 1:
                    raise _several_lists_error(path, keys)
                yield from _list_items(text)
            else:
                text.decode()
            if text.next_char() == ",":
                text.position += 1
    if not keys:
        raise DataError(
            f"{path}: is one JSON object of more than {MAX_OBJECT_BYTES // 2**20} MiB, without rows under "
            f"{', '.join(ROW_KEYS)}. Write one row per line (JSON Lines) instead."
        )


def _several_lists_error(path: Path, keys: list[str]) -> DataError:
    return DataError(
        f"{path}: holds rows under {' and '.join(keys)}. "
        "Write the rows that you mean into a file of their own."
    )


def _is_row_list(value: object) -> bool:
    """Whether the value is a list of rows, rather than the turns of one conversation."""
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(item, dict) and not item.keys() & {"from", "role"} for item in value)
    )


def _is_wrapped(item: dict[str, Any]) -> bool:
    """Whether the row is wrapped as the Hub's server of data sets does."""
    return "row_idx" in item and isinstance(item.get("row"), dict)


def _is_json(raw: bytes) -> bool:
    try:
        json.loads(raw.decode("utf-8-sig"))
    except (ValueError, RecursionError):
        return False
    return True


def _lines(file: IO[bytes], path: str) -> Iterator[SourceRow | RowProblem]:
    for line, raw in enumerate(iter(lambda: file.readline(MAX_ROW_BYTES + 1), b""), start=1):
        if len(raw) > MAX_ROW_BYTES:
            raise DataError(
                f"{path}:{line}: is longer than {MAX_ROW_BYTES // 2**20} MiB. Write one row per line."
            )
        try:
            text = raw.decode("utf-8-sig" if line == 1 else "utf-8").strip()
        except UnicodeDecodeError as error:
            why = f"not UTF-8: byte {error.start} is 0x{raw[error.start]:02x}"
            escaped = raw.decode("utf-8", errors="backslashreplace").rstrip("\r\n")
            remedy = "Convert the file, for example with iconv."
            yield RowProblem(path, line, "", escaped, why, remedy, escaped)
            continue
        if not text:
            continue
        keys = RepeatedKeys()
        try:
            value = keys.decoder().decode(text)
        except (ValueError, RecursionError) as error:
            yield RowProblem(path, line, "", text, f"not valid JSON: {error}", REMEDY, text)
        else:
            yield _row(RowLocation(path, line), value, text, keys.repeated)


def _items(file: IO[bytes], path: str) -> Iterator[SourceRow | RowProblem]:
    """The items of a JSON list, each with the line on which it begins."""
    text = _ListText(file, path)
    text.position = text.position_of("[")
    yield from _list_items(text)
    line = text.line
    if text.next_char():
        text.fail("text after the end of the list", line)


def _list_items(text: "_ListText") -> Iterator[SourceRow | RowProblem]:
    """The items of the list that begins at the position, which moves behind the list."""
    text.position += 1
    expects_item = text.next_char() != "]"  # false for an empty list
    while expects_item:
        where = RowLocation(text.path, text.line)
        value, source = text.decode()
        row = value["row"] if isinstance(value, dict) and _is_wrapped(value) else value
        yield _row(where, row, source, text.keys.repeated)
        following = text.next_char()
        if following == ",":
            text.position += 1
            text.next_char()
        elif following == "]":
            expects_item = False
        else:
            text.fail("expected a comma or the end of the list")
    text.position += 1


class _ListText:
    """The text of a list, read as it is needed."""

    def __init__(self, file: IO[bytes], path: str) -> None:
        self.file = file
        self.path = path
        self.text = ""
        self.position = 0
        self.ended = False
        self.counted = 0  # newlines before this position are counted in `newlines`
        self.newlines = 0
        self.decode_bytes = codecs.getincrementaldecoder("utf-8-sig")()
        self.keys = RepeatedKeys()
        self.decoder = self.keys.decoder()

    @property
    def line(self) -> int:
        self.newlines += self.text.count("\n", self.counted, self.position)
        self.counted = self.position
        return self.newlines + 1

    def more(self) -> bool:
        """Read another part of the file; False at its end."""
        if self.ended:
            return False
        # At least as much as the item has so far: an item is decoded again for each part.
        raw = self.file.read(max(CHUNK_BYTES, len(self.text) - self.position))
        self.ended = not raw
        if self.position > CHUNK_BYTES:
            self.newlines = self.line - 1
            self.text = self.text[self.position :]
            self.position = self.counted = 0
        try:
            self.text += self.decode_bytes.decode(raw, final=self.ended)
        except UnicodeDecodeError as error:
            line = self.newlines + self.text.count("\n", self.counted) + 1
            line += error.object[: error.start].count(b"\n")
            raise DataError(
                f"{self.path}:{line}: not UTF-8: byte 0x{error.object[error.start]:02x}. "
                "Convert the file, for example with iconv."
            ) from error
        return not self.ended

    def position_of(self, char: str) -> int:
        while char not in self.text and self.more():
            pass
        return self.text.index(char)

    def next_char(self) -> str:
        """The next character that is not white space, to which the position moves; empty at the end."""
        while True:
            self.position = _skip_space(self.text, self.position)
            if self.position < len(self.text):
                return self.text[self.position]
            if not self.more():
                return ""

    def decode(self) -> tuple[Any, str]:
        """The value at the position and its text; the position moves behind it."""
        while True:
            self.keys.repeated = None
            try:
                value, end = self.decoder.raw_decode(self.text, self.position)
            except json.JSONDecodeError as error:
                # A text that ends too early fails at its end, or at the beginning of a string.
                is_cut_off = error.msg.startswith("Unterminated") or error.pos >= len(self.text) - 8
                if is_cut_off and len(self.text) - self.position <= MAX_ROW_BYTES and self.more():
                    continue
                self.fail(error.msg)
            except (ValueError, RecursionError) as error:
                self.fail(str(error))
            if end == len(self.text) and self.more():
                continue  # a number may go on
            source = self.text[self.position : end]
            self.position = end
            return value, source

    def fail(self, why: str, line: int | None = None) -> NoReturn:
        raise DataError(
            f"{self.path}:{line or self.line}: not valid JSON: {why}. Rows from here on cannot be read."
        )


def _row(where: RowLocation, value: object, text: str, repeated: str | None = None) -> SourceRow | RowProblem:
    if repeated is not None:
        why = f'has the key "{repeated}" twice, with different values'
        return RowProblem(
            where.path, where.line, "", None, why, "Keep one of them, or drop the row with --drop.", text
        )
    if not isinstance(value, dict):
        return RowProblem(
            where.path, where.line, "", value, f"is a JSON {_type_name(value)}, not an object", REMEDY, value
        )
    if text.count("[") + text.count("{") > MAX_DEPTH and _is_deeper(value, MAX_DEPTH):
        why = f"is nested deeper than {MAX_DEPTH} levels"
        return RowProblem(where.path, where.line, "", None, why, "Drop the row with --drop.", text)
    if re.search(r"\\u[dD][89a-fA-F]", text) and not _can_be_written(value):
        why = "contains half a surrogate pair, which is not a valid character"
        return RowProblem(where.path, where.line, "", text, why, "Correct the text.", text)
    return SourceRow(where, value)


def _can_be_written(value: object) -> bool:
    try:
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _is_deeper(value: object, levels: int) -> bool:
    children = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return bool(children) and (levels == 0 or any(_is_deeper(child, levels - 1) for child in children))


def _skip_space(text: str, position: int) -> int:
    while position < len(text) and text[position] in " \t\r\n":
        position += 1
    return position


def _type_name(value: object) -> str:
    if value is None or isinstance(value, bool):
        return "constant"
    return "list" if isinstance(value, list) else "string" if isinstance(value, str) else "number"
