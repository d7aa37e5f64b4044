"""Atomic writes of files and folders, and safe paths below a folder.

A file or folder is written under a temporary name in the same directory, flushed to disk, and
renamed.  Readers see either the complete file or none.  This module knows nothing of file formats.
"""

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO

from fairlead.core.errors import ProjectError
from fairlead.core.full_disk import WRITING


@contextmanager
def atomic_file(path: Path) -> Iterator[IO[bytes]]:
    """Open a binary file that replaces `path` when the block ends without an exception."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = _temporary_path(path)
    try:
        with open(temporary, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        _sync(path.parent)
    finally:
        _note_path(path)
        _remove(temporary)


def write_text(path: Path, text: str) -> None:
    with atomic_file(path) as file:
        file.write(text.encode("utf-8"))


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Yield a temporary folder that is renamed to `path` when the block ends without an exception.

    `path` must not exist.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = _temporary_path(path)
    shutil.rmtree(temporary, ignore_errors=True)  # left by a killed process with the same process id
    temporary.mkdir()
    try:
        yield temporary
        for file in sorted(temporary.rglob("*")):
            if file.exists():  # false for a dangling link
                _sync(file)
        _sync(temporary)
        os.rename(temporary, path)
        _sync(path.parent)
    finally:
        _note_path(path)
        shutil.rmtree(temporary, ignore_errors=True)


def remove_leftovers(folder: Path) -> None:
    """Delete temporary files that a killed process left in `folder`.

    Call this only while no other process writes to the folder.
    """
    if folder.is_dir():
        for leftover in folder.glob(".*.part-*"):
            shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink()


def path_inside(folder: Path, name: str) -> Path:
    """Return `folder/name`; refuse a name that leaves the folder: an absolute path, `..`, or a link that
    points outside.
    """
    relative = PurePosixPath(name)
    try:
        escapes = relative.is_absolute() or ".." in relative.parts
        escapes = escapes or not (folder / relative).resolve().is_relative_to(folder.resolve())
    except (ValueError, RuntimeError, OSError):  # a null byte, a cycle of links
        escapes = True
    if escapes:
        raise ProjectError(
            f"{folder}: the name {name!r} points outside the folder. Use a path inside the folder."
        )
    return folder / relative


def _remove(temporary: Path) -> None:
    if os.path.exists(temporary):  # on a read-only disk, to remove nothing would be another error
        temporary.unlink()


def _note_path(path: Path) -> None:
    """Add the path to the exception that is being raised, if any: libraries do not name it."""
    error = sys.exc_info()[1]
    if error is not None:
        error.add_note(f"{WRITING}{path}")


def _temporary_path(path: Path) -> Path:
    return path.with_name(f".{path.name}.part-{os.getpid()}")


def _sync(path: Path) -> None:
    """Flush a file to disk.  For a folder this flushes its entries, so a rename inside is durable."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
