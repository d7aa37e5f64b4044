"""Reads files of a project as untrusted input.

No link leads out of the project, only regular files are opened, and every read has a size limit.
"""

import json
import math
import os
import re
import stat
from pathlib import Path
from typing import Any

from fairlead.core import files
from fairlead.core.errors import ProjectError
from fairlead.labels.errors import NotFound

MAX_JSON = 1 << 20  # bytes of a configuration, a manifest or a verdict
MAX_ROWS = 16 << 20  # bytes of a file of rows; of a longer file the end is read
MAX_PAGE = 16 << 20  # bytes of an HTML report
MAX_FIRST_ROW = 32 << 10  # bytes

LONGEST_TEXT = 300  # characters of a value that is shown

_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,249}")


def is_name(name: str) -> bool:
    return _NAME.fullmatch(name) is not None


def folder_in(parent: Path, name: str) -> Path:
    """The folder of this name.

    Raises NotFound for an invalid name, a link out of `parent`, and a missing folder.
    """
    if is_name(name):
        try:
            folder = files.path_inside(parent, name)
        except ProjectError:
            raise NotFound(f"there is no {name!r}.") from None
        if folder.is_dir():
            return folder
    raise NotFound(f"there is no {name[:100]!r}.")


def read_start(path: Path, max_bytes: int) -> bytes | None:
    """The first `max_bytes` of a file; None when there is no regular file."""
    return _read(path, max_bytes, from_end=False)[0]


def read_end(path: Path, max_bytes: int) -> tuple[bytes | None, bool]:
    """The last `max_bytes` of a file, and whether the file has more before them."""
    return _read(path, max_bytes, from_end=True)


def _read(path: Path, max_bytes: int, *, from_end: bool) -> tuple[bytes | None, bool]:
    try:
        # Neither follow a link nor wait for the writer of a pipe.
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None, False
    try:
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode):
            return None, False
        is_cut = status.st_size > max_bytes
        with open(handle, "rb", closefd=False) as file:  # raises for a folder, which is refused above
            if from_end and is_cut:
                file.seek(status.st_size - max_bytes)
            return file.read(max_bytes), is_cut
    finally:
        os.close(handle)


def read_json(path: Path) -> dict[str, Any] | None:
    """A JSON object; None when the file is missing, too large or not an object."""
    content = read_start(path, MAX_JSON + 1)
    if content is None or len(content) > MAX_JSON:
        return None
    value = _parse(content)
    return value if isinstance(value, dict) else None


def read_rows(path: Path, max_bytes: int = MAX_ROWS) -> tuple[list[dict[str, Any]], int, bool]:
    """Read a JSON Lines file.

    Returns (rows, number of lines that are not objects, whether only the end was read).
    """
    content, is_cut = read_end(path, max_bytes)
    if content is None:
        return [], 0, False
    lines = content.split(b"\n")[:-1]  # text after the last line break is still being written
    if is_cut:
        lines = lines[1:]  # the first line is incomplete
    values = [_parse(line) for line in lines if line.strip()]
    rows = [value for value in values if isinstance(value, dict)]
    return rows, len(values) - len(rows), is_cut


def read_first_row(path: Path) -> dict[str, Any]:
    """The first line of a JSON Lines file; empty when it is too long or not an object."""
    content = read_start(path, MAX_FIRST_ROW) or b""
    return table(_parse(content.split(b"\n", 1)[0]))


def table(value: object) -> dict[str, Any]:
    """A JSON object as it is; anything else as an empty object."""
    return value if isinstance(value, dict) else {}


def text(value: object) -> str:
    """A JSON value as a short text."""
    if value is None:
        return ""
    full = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return full if len(full) <= LONGEST_TEXT else full[: LONGEST_TEXT - 1] + "…"


def whole(value: object) -> int | None:
    """A whole number that a browser can represent exactly, otherwise None."""
    return value if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 1 << 53 else None


def number(value: object) -> float | None:
    """A finite number, otherwise None."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return whole(value)


def is_text(content: bytes) -> bool:
    """Whether the JSON is valid UTF-8 and can be encoded again.

    JSON can name half of a surrogate pair (`\\ud800`), which is not a character and cannot be sent to a
    browser.
    """
    try:
        decoded = content.decode("utf-8")
        if _SURROGATE.search(decoded):
            json.dumps(json.loads(decoded), ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        return False
    return True


def _parse(content: bytes) -> Any:
    """The JSON value, with NaN and infinities as None; None for invalid JSON."""
    try:
        return json.loads(content, parse_constant=lambda _: None) if is_text(content) else None
    except (ValueError, RecursionError):
        return None
