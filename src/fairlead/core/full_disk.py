"""Say what a disk refuses: no room, a quota, a read-only disk or missing rights.

Libraries report a full disk in their own ways, safetensors for example without an errno or a path.
"""

import errno
import os
import re
import shutil
from pathlib import Path

from fairlead.core.errors import ProjectError

NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
WRITING = "while writing "  # begins the note that `core/files.py` adds to an exception


def disk_errno(error: BaseException) -> int | None:
    """The errno of an error of the file system, also where a library has put it into a text."""
    if isinstance(error, OSError):
        return error.errno
    match = re.search(r"\(os error (\d+)\)", str(error))
    if match:
        return int(match[1])
    if "No space left on device" in str(error) or "database or disk is full" in str(error):
        return errno.ENOSPC
    return None


def refused_path(error: BaseException) -> str | None:
    """The file or folder that could not be written, from the note of `core/files.py` or from the error."""
    for note in getattr(error, "__notes__", []):
        if note.startswith(WRITING):
            return str(note.removeprefix(WRITING))
    filename = getattr(error, "filename", None)
    return None if filename is None else str(filename)


def describe(code: int, path: str | None) -> str:
    """One message about a refusal with this errno."""
    where = path or "The disk"
    reason = os.strerror(code)
    if code in NO_ROOM:
        return (
            f"{where}: {reason}. What was complete before is kept. Free some space, then run the same "
            "command again."
        )
    return f"{where}: {reason}. Choose another path, or change this one."


def require_space(path: Path, needed: int) -> None:
    """Raise ProjectError if the disk has less than `needed` bytes free for `path`."""
    folder = next(parent for parent in path.absolute().parents if parent.exists())
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise ProjectError(
            f"{path}: {os.strerror(errno.ENOSPC)}: {megabytes(needed)} are needed, {megabytes(free)} are "
            "free. What was complete before is kept. Free some space, then run the same command again."
        )


def megabytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB"
