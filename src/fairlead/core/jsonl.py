"""JSON Lines files: read with line numbers, write atomically, append durably.

NaN and infinity are not valid JSON and are refused in both directions.
"""

import gzip
import json
import os
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from fairlead.core import files
from fairlead.core.errors import DataError


def read(path: Path) -> Iterator[tuple[int, Any]]:
    """Yield (line number, value) for each line that is not blank; raises DataError at the first bad line.

    Files that end in `.gz` are decompressed.
    """
    for number, line in lines(path):
        try:
            yield number, json.loads(line, parse_constant=_refuse_constant)
        except (ValueError, RecursionError) as error:
            raise DataError(
                f"{path}:{number}: not valid JSON: {error}. Each line must be one JSON value."
            ) from error


def lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield (line number, text) for each line that is not blank; raises DataError if a line is not UTF-8."""
    try:
        with gzip.open(path, "rb") if path.suffix == ".gz" else open(path, "rb") as file:
            for number, raw in enumerate(file, start=1):
                try:
                    text = raw.decode("utf-8-sig" if number == 1 else "utf-8")
                except UnicodeDecodeError as error:
                    byte = f"byte {error.start} is 0x{raw[error.start]:02x}"
                    raise DataError(
                        f"{path}:{number}: not UTF-8 ({byte}). Convert the file, for example with iconv."
                    ) from error
                if text.strip():
                    yield number, text
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such file. Check the path.") from error
    except IsADirectoryError as error:
        raise DataError(f"{path}: is a folder. Name a JSON Lines file.") from error
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DataError(
            f"{path}: not a complete gzip file: {error}. Copy or download the file again."
        ) from error


def dumps(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


def write(path: Path, values: Iterable[Any]) -> int:
    """Write all values atomically; returns their number."""
    count = 0
    with files.atomic_file(path) as file:
        for value in values:
            file.write((dumps(value) + "\n").encode("utf-8"))
            count += 1
    return count


def append(path: Path, value: Any) -> None:
    """Append one line.  The line is on disk when this returns."""
    with open(path, "ab") as file:
        file.write((dumps(value) + "\n").encode("utf-8"))
        file.flush()
        os.fsync(file.fileno())


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a JSON value")
