"""Graceful Ctrl-C: the first signal asks the loop to stop after its step, the second one stops at once."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from fairlead.core.errors import Stopped


class StopRequest:
    """A flag that is true after Ctrl-C or a request to terminate."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def __bool__(self) -> bool:
        return self._event.is_set()

    def set(self) -> None:
        self._event.set()

    def raise_if_set(self, message: str) -> None:
        """Raise Stopped with the message if a stop was requested."""
        if self:
            raise Stopped(message)


@contextmanager
def stop_on_interrupt(notice: str = "") -> Iterator[StopRequest]:
    """Let SIGINT and SIGTERM set the yielded flag while the block runs; a second signal acts as usual.

    The first signal prints `notice` on standard error: a step may take minutes.  Outside the main thread no
    handlers can be installed, so the flag is never set by a signal.
    """
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return
    previous = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def handle_first(number: int, frame: FrameType | None) -> None:
        request.set()
        if notice:
            os.write(2, f"{notice}\n".encode())  # a print could interrupt itself
        signal.signal(number, previous[signal.Signals(number)])

    for number in previous:
        signal.signal(number, handle_first)
    try:
        yield request
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
