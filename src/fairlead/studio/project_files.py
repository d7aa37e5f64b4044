"""What the files of a project say, read as what they are: files that somebody else may have written.

Nothing is followed out of the project, nothing but plain files is opened, and no more of one is read than is named here.
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

MOST_JSON = 1 << 20  # bytes of a configuration, a manifest or a verdict
MOST_TABLE = 16 << 20  # bytes of a file of rows; of a longer one the end is read
MOST_PAGE = 16 << 20  # bytes of an HTML report

LONGEST = 300  # characters of a text that is shown

_HALF = re.compile(r"\\u[dD][89a-fA-F]")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,249}")


def is_name(name: str) -> bool:
    return _NAME.fullmatch(name) is not None


def folder_in(parent: Path, name: str) -> Path:
    """The folder of this name.  Raises NotFound for a name that is none, leads elsewhere, or has no folder."""
    if is_name(name):
        try:
            folder = files.path_inside(parent, name)
        except ProjectError:
            raise NotFound(f"there is no {name!r}.") from None
        if folder.is_dir():
            return folder
    raise NotFound(f"there is no {name[:100]!r}.")


def read_start(path: Path, most: int) -> bytes | None:
    """The file, at most its first `most` bytes; None where there is no plain file."""
    return _read(path, most, from_end=False)[0]


def read_end(path: Path, most: int) -> tuple[bytes | None, bool]:
    """The last `most` bytes, and whether anything stands before them."""
    return _read(path, most, from_end=True)


def _read(path: Path, most: int, *, from_end: bool) -> tuple[bytes | None, bool]:
    try:
        # Neither a link nor something that waits for a writer, such as a pipe.
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None, False
    with open(handle, "rb") as file:
        about = os.fstat(handle)
        if not stat.S_ISREG(about.st_mode):
            return None, False
        cut = about.st_size > most
        if from_end and cut:
            file.seek(about.st_size - most)
        return file.read(most), cut


def read_json(path: Path) -> dict[str, Any] | None:
    """An object; None where there is none, or where it cannot be read."""
    content = read_start(path, MOST_JSON + 1)
    if content is None or len(content) > MOST_JSON:
        return None
    found = _parse(content)
    return found if isinstance(found, dict) else None


def read_rows(path: Path, most: int = MOST_TABLE) -> tuple[list[dict[str, Any]], int, bool]:
    """The finished lines that are objects; how many others there are; and whether only the end of the file was read."""
    content, cut = read_end(path, most)
    if content is None:
        return [], 0, False
    lines = content.split(b"\n")[:-1]  # what comes after the last line break is not finished
    if cut:
        lines = lines[1:]  # and the first is the end of a line
    parsed = [_parse(line) for line in lines if line.strip()]
    rows = [row for row in parsed if isinstance(row, dict)]
    return rows, len(parsed) - len(rows), cut


def read_first_row(path: Path) -> dict[str, Any]:
    """The first line, where it is an object of moderate size; otherwise empty."""
    content = read_start(path, 32 << 10) or b""
    return table(_parse(content.split(b"\n", 1)[0]))


def table(value: object) -> dict[str, Any]:
    """What is a JSON object; otherwise empty."""
    return value if isinstance(value, dict) else {}


def text(value: object) -> str:
    """A value as a short text; a table or a list as JSON."""
    if value is None:
        return ""
    shown = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return shown if len(shown) <= LONGEST else shown[: LONGEST - 1] + "…"


def whole(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 1 << 53 else None


def number(value: object) -> float | None:
    """A number that can be drawn."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return whole(value)


def is_text(content: bytes) -> bool:
    """Whether the JSON in it can be written again: half a character, which JSON can name, is none."""
    try:
        text = content.decode("utf-8")
        if _HALF.search(text):
            json.dumps(json.loads(text), ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        return False
    return True


def _parse(content: bytes) -> Any:
    try:
        return json.loads(content, parse_constant=lambda _: None) if is_text(content) else None
    except (ValueError, RecursionError):
        return None
