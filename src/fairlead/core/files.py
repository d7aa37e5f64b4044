"""Files that are complete or absent: write beside, fsync, rename.  Nothing here knows what is in them."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO

from fairlead.core.errors import ProjectError


@contextmanager
def atomic_file(path: Path) -> Iterator[IO[bytes]]:
    """A binary file that replaces `path` when the block ends without an exception."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = _beside(path)
    try:
        with open(temporary, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        _sync(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    with atomic_file(path) as file:
        file.write(text.encode("utf-8"))


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """A folder to fill, which takes the name `path` when the block ends without an exception; `path` must not exist."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = _beside(path)
    shutil.rmtree(temporary, ignore_errors=True)  # left by a process of the same id that was killed
    temporary.mkdir()
    try:
        yield temporary
        for file in sorted(temporary.rglob("*")):
            if file.exists():  # not so for a link to nothing
                _sync(file)
        _sync(temporary)
        os.rename(temporary, path)
        _sync(path.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def remove_leftovers(folder: Path) -> None:
    """Delete what a killed process left half-written in `folder`.  Only for a folder that one process writes to."""
    if folder.is_dir():
        for leftover in folder.glob(".*.part-*"):
            shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink()


def path_inside(folder: Path, name: str) -> Path:
    """`folder/name`, refusing a name that would leave the folder (absolute, `..`, a link that points out)."""
    relative = PurePosixPath(name)
    try:
        escapes = relative.is_absolute() or ".." in relative.parts
        escapes = escapes or not (folder / relative).resolve().is_relative_to(folder.resolve())
    except (ValueError, RuntimeError, OSError):  # a zero byte, links in a circle
        escapes = True
    if escapes:
        raise ProjectError(f"{folder}: the name {name!r} leads out of the folder. Refused.")
    return folder / relative


def _beside(path: Path) -> Path:
    return path.with_name(f".{path.name}.part-{os.getpid()}")


def _sync(path: Path) -> None:
    """Make it durable; of a folder these are its entries, so that a rename in it has reached the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
