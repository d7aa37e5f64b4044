"""Rows from a file: JSON Lines, or a JSON list; `.gz` of either.  What a row means is decided elsewhere; the Hub is `hub`.

A line that is no JSON object becomes a Problem and reading goes on, so that all the bad lines of a file are reported together.
JSON Lines are read one at a time; a list is loaded whole.
"""

import gzip
import io
import json
import re
import zlib
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

from fairlead.core.errors import DataError
from fairlead.data.row_problem import RowLocation, RowProblem

REMEDY = "Each line must be one JSON object."


class SourceRow(NamedTuple):
    where: RowLocation
    value: dict[str, Any]


def read_file_rows(path: Path) -> Iterator[SourceRow | RowProblem]:
    """Every row of the file in order; blank lines are passed over.  A file that cannot be read at all is a DataError."""
    kind = "".join(path.suffixes[-2:] if path.suffix == ".gz" else path.suffixes[-1:])
    if kind.removesuffix(".gz") not in (".jsonl", ".json"):
        raise DataError(
            f"{path}: cannot tell how to read it. Files are .jsonl or .json, or .gz of these; data sets are hf:OWNER/NAME."
        )
    try:
        with closing(_open(path)) as file:
            if kind.startswith(".jsonl"):
                yield from _lines(file, str(path))
            elif _first_byte(file) == b"[":
                yield from _items(file.read(), str(path))
            else:  # many a .json file holds JSON Lines
                yield from _lines(file, str(path))
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such file. Check the path.") from error
    except (OSError, EOFError, zlib.error) as error:  # a folder, no permission, a damaged gzip file
        raise DataError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}.") from error


def _open(path: Path) -> gzip.GzipFile | io.BufferedReader:
    return gzip.open(path, "rb") if path.suffix == ".gz" else open(path, "rb")


def _first_byte(file: gzip.GzipFile | io.BufferedReader) -> bytes:
    """The first byte that is neither white space nor byte order mark; the file stands at its beginning again."""
    beginning = file.read(4096).removeprefix(b"\xef\xbb\xbf").lstrip()
    file.seek(0)
    return beginning[:1]


def _lines(file: gzip.GzipFile | io.BufferedReader, path: str) -> Iterator[SourceRow | RowProblem]:
    for number, raw in enumerate(file, start=1):
        try:
            text = raw.decode("utf-8-sig" if number == 1 else "utf-8").strip()
        except UnicodeDecodeError as error:
            why = f"not UTF-8: byte {error.start} is 0x{raw[error.start]:02x}"
            shown = raw.decode("utf-8", errors="backslashreplace").rstrip("\r\n")
            yield RowProblem(path, number, "", shown, why, "Convert the file, for example with iconv.", shown)
            continue
        if not text:
            continue
        try:
            value = json.loads(text, parse_constant=_refuse_constant, parse_float=_finite)
        except (ValueError, RecursionError) as error:
            yield RowProblem(path, number, "", text, f"not valid JSON: {error}", REMEDY, text)
        else:
            yield _row(RowLocation(path, number), value, text)


def _items(raw: bytes, path: str) -> Iterator[SourceRow | RowProblem]:
    """The items of a JSON list with the line that each begins on; raises DataError where the list itself is broken."""
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise DataError(
            f"{path}:{line}: not UTF-8: a byte is 0x{raw[error.start]:02x}. Convert the file, for example with iconv."
        ) from error
    decoder = json.JSONDecoder(parse_constant=_refuse_constant, parse_float=_finite)
    line, counted = 1, 0
    at = _skip_space(text, text.index("[") + 1)
    expects_item = not text.startswith("]", at)  # an empty list is a list
    while expects_item:
        line, counted = line + text.count("\n", counted, at), at
        try:
            value, end = decoder.raw_decode(text, at)
        except (ValueError, RecursionError) as error:
            raise DataError(
                f"{path}:{line}: not valid JSON: {error}. Nothing after it can be read."
            ) from error
        yield _row(RowLocation(path, line), value, text[at:end])
        end = _skip_space(text, end)
        if text.startswith("]", end):
            at, expects_item = end, False
        elif text.startswith(",", end):
            at = _skip_space(text, end + 1)
        else:
            _broken(path, text, end, "a comma or the end of the list is expected")
    if text[at + 1 :].strip():
        _broken(path, text, at + 1, "something follows the list")


def _row(where: RowLocation, value: object, text: str) -> SourceRow | RowProblem:
    if not isinstance(value, dict):
        return RowProblem(
            where.path, where.line, "", value, f"is a JSON {_type_name(value)}, not an object", REMEDY, value
        )
    if re.search(r"\\u[dD][89a-fA-F]", text) and not _can_be_written(value):
        why = "holds half a surrogate pair, which is no character"
        return RowProblem(where.path, where.line, "", text, why, "Repair the text.", text)
    return SourceRow(where, value)


def _can_be_written(value: object) -> bool:
    try:
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _broken(path: str, text: str, at: int, why: str) -> NoReturn:
    line = text.count("\n", 0, at) + 1
    raise DataError(f"{path}:{line}: not valid JSON: {why}. Nothing after it can be read.")


def _skip_space(text: str, at: int) -> int:
    while at < len(text) and text[at] in " \t\r\n":
        at += 1
    return at


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON value")


def _finite(digits: str) -> float:
    value = float(digits)
    if value in (float("inf"), float("-inf")):
        raise ValueError(f"{digits} is too large a number")
    return value


def _type_name(value: object) -> str:
    if value is None or isinstance(value, bool):
        return "constant"
    return "list" if isinstance(value, list) else "string" if isinstance(value, str) else "number"
