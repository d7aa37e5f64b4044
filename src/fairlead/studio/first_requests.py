"""Waits for the first request of a connection, before the connection costs the server more than its socket.

The HTTP protocol takes a quarter of a millisecond of Python to set up and to end a connection.  A client that
opens thousands per second, and completes no request, would leave no time for anybody else.  Here a connection
is a socket and a few bytes until its first request is complete, or so long that it has to be read in parts.
The protocol then gets what has come.

It parses no HTTP: it looks for the end of the headers and for the length of the body.  Requests of which that
says nothing go on to the protocol, which answers them or refuses them.
"""

import asyncio
import contextlib
import errno
import re
import socket
import time
from collections.abc import Callable
from typing import Any

from fairlead.studio.connections import TOO_LATE, TOO_MANY, BoundedConnection, Connections, State
from fairlead.studio.limits import BODY_S, source_of

ACCEPTED_AT_ONCE = 16  # new connections, before requests on others go on
MAX_FIRST = 64 * 1024  # bytes kept of a request; also what the protocol takes without pausing
LOOK_S = 0.2  # how often those that are late are looked for
NO_FILES = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
END_OF_HEAD = re.compile(rb"\n\r?\n")
BODY_LENGTH = re.compile(rb"\ncontent-length:[ \t]*(\d{1,18})[ \t]*\r?\n", re.IGNORECASE)
EXPECTS = re.compile(rb"\nexpect:", re.IGNORECASE)  # the client waits before it sends the body


class FirstRequest:
    """What has come of a request."""

    def __init__(self) -> None:
        self.received = b""
        self.has_head = False
        self._num_needed = MAX_FIRST  # bytes with which the protocol can begin

    def add(self, part: bytes) -> bool:
        """Whether the protocol can begin: the request is complete, or has to be read in parts."""
        begin = max(0, len(self.received) - 3)  # the end of the headers may have come in two parts
        self.received += part
        if not self.has_head and (end := END_OF_HEAD.search(self.received, begin)):
            self.has_head = True
            head = self.received[: end.end()]
            length = BODY_LENGTH.search(head)
            is_whole = length is None or EXPECTS.search(head) is not None
            self._num_needed = min(
                MAX_FIRST, end.end() + (0 if is_whole or length is None else int(length[1]))
            )
        return len(self.received) >= self._num_needed


class NewConnection:
    """A connection whose first request is incomplete."""

    def __init__(self, connected: socket.socket, source: str, first_requests: "FirstRequests") -> None:
        self.socket = connected
        self.source = source
        self.state: State = "receiving"
        self.request = FirstRequest()
        self.since = time.monotonic()  # since when the headers, or then the body, are waited for
        self._first_requests = first_requests

    def give_up(self) -> None:
        self._first_requests.end(self)


class FirstRequests:
    """Accepts connections, and calls `make_protocol` for each whose first request is complete."""

    def __init__(self, connections: Connections, make_protocol: Callable[[], BoundedConnection]) -> None:
        self._loop = asyncio.get_running_loop()
        self._connections = connections
        self._make_protocol = make_protocol
        self._waiting: dict[NewConnection, None] = {}
        self._begun: set[asyncio.Task[Any]] = set()
        self._look_timer = self._loop.call_later(LOOK_S, self._look)

    def listen(self, listening: socket.socket) -> None:
        """Take the connections of a socket on which asyncio listens."""
        self._loop.remove_reader(listening.fileno())
        self._loop.add_reader(listening.fileno(), self._accept, listening)

    def close(self) -> None:
        self._look_timer.cancel()
        for new in list(self._waiting):
            self.end(new)

    def end(self, new: NewConnection) -> None:
        """End the connection at once."""
        self._forget(new)
        new.socket.close()

    def _accept(self, listening: socket.socket) -> None:
        for _ in range(ACCEPTED_AT_ONCE):
            try:
                connected, address = listening.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                if error.errno not in NO_FILES:
                    raise
                self._loop.remove_reader(listening.fileno())
                self._loop.call_later(1.0, self._listen_again, listening)
                return
            connected.setblocking(False)
            self._add(NewConnection(connected, source_of(address[0]), self))

    def _listen_again(self, listening: socket.socket) -> None:
        if listening.fileno() >= 0:  # the server has not been stopped meanwhile
            self._loop.add_reader(listening.fileno(), self._accept, listening)

    def _add(self, new: NewConnection) -> None:
        if not self._connections.add(new):
            with contextlib.suppress(OSError):
                new.socket.send(TOO_MANY)
            new.socket.close()
            return
        self._waiting[new] = None
        self._loop.add_reader(new.socket.fileno(), self._receive, new)
        self._receive(new)

    def _receive(self, new: NewConnection) -> None:
        request = new.request
        try:
            part = new.socket.recv(MAX_FIRST - len(request.received))
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            part = b""
        if not part:
            self.end(new)
            return
        had_head = request.has_head
        if request.add(part):
            self._forget(new)
            task = self._loop.create_task(self._begin(new))
            self._begun.add(task)
            task.add_done_callback(self._begun.discard)
        elif request.has_head and not had_head:
            new.since = time.monotonic()

    async def _begin(self, new: NewConnection) -> None:
        def make() -> BoundedConnection:
            protocol = self._make_protocol()
            protocol.received_before = new.request.received
            return protocol

        try:
            await self._loop.connect_accepted_socket(make, new.socket)
        except OSError:  # the client is gone
            new.socket.close()

    def _forget(self, new: NewConnection) -> None:
        if self._waiting.pop(new, new) is None:
            self._connections.remove(new)
            self._loop.remove_reader(new.socket.fileno())

    def _look(self) -> None:
        now, head_s = time.monotonic(), self._connections.bounds.head_s
        for new in list(self._waiting):
            if now - new.since > (BODY_S if new.request.has_head else head_s):
                with contextlib.suppress(OSError):
                    new.socket.send(TOO_LATE)
                self.end(new)
        self._look_timer = self._loop.call_later(LOOK_S, self._look)
