"""Where tests write: in memory where that can be; a disk takes milliseconds for each flush and removal.

A process that is killed loses nothing there that it would not lose on a disk.
"""

import os
from pathlib import Path

MEMORY = Path("/dev/shm")
MIN_FREE = 4 * 1024**3  # bytes; a whole run of the suite needs less than half of it


def in_memory() -> Path | None:
    """A file system in memory with space, on which programs may run; None if this machine has none."""
    try:
        found = os.statvfs(MEMORY)
    except OSError:
        return None
    enough = found.f_bavail * found.f_frsize >= MIN_FREE
    usable = os.access(MEMORY, os.W_OK | os.X_OK) and not found.f_flag & os.ST_NOEXEC
    return MEMORY if enough and usable else None
