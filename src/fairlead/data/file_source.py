"""Rows of a local file: JSON Lines or a JSON list, optionally compressed with gzip.

A line that is not a JSON object becomes a RowProblem and reading continues, so all bad lines of a file are
reported together.  JSON Lines are streamed; a JSON list is loaded at once.  `parsing` turns rows into
records, and `hub_source` reads data sets of the Hub.
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
    """Yield the rows of the file, without blank lines; raises DataError if the file cannot be read."""
    suffix = "".join(path.suffixes[-2:] if path.suffix == ".gz" else path.suffixes[-1:])
    if suffix.removesuffix(".gz") not in (".jsonl", ".json"):
        raise DataError(
            f"{path}: unknown file type. "
            "Use .jsonl or .json, optionally with .gz, or a Hub data set hf:OWNER/NAME."
        )
    try:
        with closing(_open(path)) as file:
            if suffix.startswith(".jsonl"):
                yield from _lines(file, str(path))
            elif _first_byte(file) == b"[":
                yield from _items(file.read(), str(path))
            else:  # many .json files contain JSON Lines
                yield from _lines(file, str(path))
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such file. Check the path.") from error
    except (OSError, EOFError, zlib.error) as error:  # a folder, no permission, a damaged gzip file
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"{path}: cannot be read: {reason}. Check the file.") from error


def _open(path: Path) -> gzip.GzipFile | io.BufferedReader:
    return gzip.open(path, "rb") if path.suffix == ".gz" else open(path, "rb")


def _first_byte(file: gzip.GzipFile | io.BufferedReader) -> bytes:
    """Peek at the first byte after white space and a byte order mark."""
    beginning = file.read(4096).removeprefix(b"\xef\xbb\xbf").lstrip()
    file.seek(0)
    return beginning[:1]


def _lines(file: gzip.GzipFile | io.BufferedReader, path: str) -> Iterator[SourceRow | RowProblem]:
    for line, raw in enumerate(file, start=1):
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
        try:
            value = json.loads(text, parse_constant=_refuse_constant, parse_float=_finite)
        except (ValueError, RecursionError) as error:
            yield RowProblem(path, line, "", text, f"not valid JSON: {error}", REMEDY, text)
        else:
            yield _row(RowLocation(path, line), value, text)


def _items(raw: bytes, path: str) -> Iterator[SourceRow | RowProblem]:
    """Yield the items of a JSON list with the line on which each begins; raises DataError if the list is
    malformed.
    """
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise DataError(
            f"{path}:{line}: not UTF-8: byte 0x{raw[error.start]:02x}. "
            "Convert the file, for example with iconv."
        ) from error
    decoder = json.JSONDecoder(parse_constant=_refuse_constant, parse_float=_finite)
    line = 1
    counted = 0  # newlines before this position are counted in `line`
    position = _skip_space(text, text.index("[") + 1)
    expects_item = not text.startswith("]", position)  # false for an empty list
    while expects_item:
        line += text.count("\n", counted, position)
        counted = position
        try:
            value, end = decoder.raw_decode(text, position)
        except (ValueError, RecursionError) as error:
            raise DataError(
                f"{path}:{line}: not valid JSON: {error}. Rows from here on cannot be read."
            ) from error
        yield _row(RowLocation(path, line), value, text[position:end])
        end = _skip_space(text, end)
        if text.startswith("]", end):
            position = end
            expects_item = False
        elif text.startswith(",", end):
            position = _skip_space(text, end + 1)
        else:
            _malformed_list(path, text, end, "expected a comma or the end of the list")
    if text[position + 1 :].strip():
        _malformed_list(path, text, position + 1, "text after the end of the list")


def _row(where: RowLocation, value: object, text: str) -> SourceRow | RowProblem:
    if not isinstance(value, dict):
        return RowProblem(
            where.path, where.line, "", value, f"is a JSON {_type_name(value)}, not an object", REMEDY, value
        )
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


def _malformed_list(path: str, text: str, position: int, why: str) -> NoReturn:
    line = text.count("\n", 0, position) + 1
    raise DataError(f"{path}:{line}: not valid JSON: {why}. Rows from here on cannot be read.")


def _skip_space(text: str, position: int) -> int:
    while position < len(text) and text[position] in " \t\r\n":
        position += 1
    return position


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON value")


def _finite(digits: str) -> float:
    value = float(digits)
    if value in (float("inf"), float("-inf")):
        raise ValueError(f"{digits} is out of range")
    return value


def _type_name(value: object) -> str:
    if value is None or isinstance(value, bool):
        return "constant"
    return "list" if isinstance(value, list) else "string" if isinstance(value, str) else "number"
