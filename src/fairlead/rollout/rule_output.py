"""Keep stdout and stderr open while a user's rule runs.

What the rule prints goes to stderr, so that it does not mix with the output of a command, such as its JSON.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, NoReturn

DESCRIPTORS = {"stdout": 1, "stderr": 2}


class OutputClosed(Exception):
    """The rule closed stdout or stderr, which the messages of the command need."""


@contextmanager
def output_kept() -> Iterator[None]:
    """Open again what the block closed, and raise OutputClosed unless the block raises for itself."""
    streams = {name: getattr(sys, name) for name in DESCRIPTORS}
    copies = {name: copy for name, number in DESCRIPTORS.items() if (copy := _copy(number)) is not None}
    sys.stdout = sys.stderr = _Unclosable(sys.stderr)
    closed: list[str] = []
    try:
        yield
    finally:
        for name, stream in streams.items():
            if name in copies and not _is_open(DESCRIPTORS[name]):
                os.dup2(copies[name], DESCRIPTORS[name])
                closed.append(name)
            if stream is not None and stream.closed:
                closed.append(name)
                opened = os.fdopen(DESCRIPTORS[name], "w", encoding=stream.encoding, closefd=False)
                if getattr(sys, f"__{name}__") is stream:
                    setattr(sys, f"__{name}__", opened)
                setattr(sys, name, opened)
            else:
                setattr(sys, name, stream)
        for copy in copies.values():
            os.close(copy)
    if closed:
        raise OutputClosed(f"closed {closed[0]}, which fairlead writes to")


class _Unclosable:
    """A stream that is used as before, but not closed."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def close(self) -> NoReturn:
        raise OutputClosed("closes a stream that fairlead writes to")

    detach = close


def _copy(descriptor: int) -> int | None:
    try:
        return os.dup(descriptor)
    except OSError:  # the command was started without it
        return None


def _is_open(descriptor: int) -> bool:
    with suppress(OSError):
        os.fstat(descriptor)
        return True
    return False
