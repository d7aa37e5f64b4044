"""Ctrl-C that keeps the work: the first one asks the loop to stop after its step, the second stops at once."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from fairlead.core.errors import Stopped


class StopRequest:
    """True once somebody pressed Ctrl-C (or the process was asked to terminate)."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def __bool__(self) -> bool:
        return self._event.is_set()

    def ask(self) -> None:
        self._event.set()

    def raise_if_asked(self, message: str) -> None:
        """Raises Stopped with the message once somebody asked to stop."""
        if self:
            raise Stopped(message)


@contextmanager
def stop_on_interrupt() -> Iterator[StopRequest]:
    """While the block runs, SIGINT and SIGTERM set the request; a second signal acts as usual."""
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return
    previous = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def first(number: int, frame: FrameType | None) -> None:
        request.ask()
        signal.signal(number, previous[signal.Signals(number)])

    for number in previous:
        signal.signal(number, first)
    try:
        yield request
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
