"""Bounds on connections: how many one client may hold, and how long a connection may stall.

A client that is slow or gone holds a connection and nothing else.  A client at its limit loses one connection
for each new one: first the one whose request has been incomplete for longest, then the one that has been idle
for longest.  So a flood of connections without requests closes neither a connection that has just been opened
nor those of people who share the network address.  An upload counts as begun again whenever a part of it has
come.  A connection that is answering a request is never closed for another one.

Behind a proxy, all connections come from the proxy.  They are not counted; `RequestsPerSource` counts the
requests of each client that the proxy names.  A proxy is known by its address and by `X-Forwarded-For`.

`limits.BodyLimit` bounds how slowly a body may come.
"""

import asyncio
import socket
import sys
from collections import Counter
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware
from uvicorn.protocols.http.h11_impl import H11Protocol

from fairlead.studio.limits import source_of

FORWARDED = b"x-forwarded-for"
UNCOUNTED = "a proxy"  # the source of connections that count for nobody
TOO_LATE = b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
TOO_MANY = (
    b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 5\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
)


@dataclass(frozen=True, kw_only=True)
class Bounds:
    per_source: int = 256  # connections of one network address; 0 for any number
    in_total: int = 4096  # connections of all addresses
    head_s: float = 15.0  # from the first byte, or from the connection, to the end of the headers
    keep_alive_s: int = 15  # between two requests
    stall_s: float = 30.0  # without reading any of a response
    gone_s: int = 60  # without a sign of life from the client's machine


State = Literal["receiving", "idle", "answering"]
# In the order in which connections are closed for others.  "receiving": the first request, or one that has
# begun, is incomplete; "idle": between requests.
CLOSABLE: tuple[State, ...] = ("receiving", "idle")
PART_BYTES = 64 * 1024  # of a body: who has sent so many more keeps the connection for longer


class Connection(Protocol):
    """What `Connections` counts: a connection of the HTTP protocol, or one without a first request."""

    source: str
    state: State

    def give_up(self) -> None:
        """End the connection at once."""


class _Held:
    """The connections of one source by state, each in the order in which they came into it."""

    def __init__(self) -> None:
        self.by_state: dict[State, dict[Connection, None]] = {
            "receiving": {},
            "idle": {},
            "answering": {},
        }

    def __len__(self) -> int:
        return sum(map(len, self.by_state.values()))

    def close_longest_waiting(self) -> bool:
        for state in CLOSABLE:
            if self.by_state[state]:
                next(iter(self.by_state[state])).give_up()
                return True
        return False


class Connections:
    """The open connections, by the source that holds them.

    Every step takes constant time, except that of a connection beyond `Bounds.in_total`: it looks at each
    source.
    """

    def __init__(self, bounds: Bounds, trusted_proxies: str) -> None:
        self.bounds = bounds
        self._by_source: dict[str, _Held] = {}
        self._num_open = 0
        # It reads lists of addresses and networks as uvicorn does.
        self._proxies = ProxyHeadersMiddleware(_no_app, trusted_proxies).trusted_hosts

    def is_proxy(self, host: str) -> bool:
        return host in self._proxies

    def add(self, connection: Connection) -> bool:
        """Whether there is room for the connection, after closing another one if need be."""
        held = self._by_source.get(connection.source)
        limit = self.bounds.per_source
        if limit and held is not None and len(held) >= limit and not held.close_longest_waiting():
            return False
        if self._num_open >= self.bounds.in_total:
            largest = max(self._by_source.values(), key=len)
            if not largest.close_longest_waiting():
                return False
        self._insert(connection)
        return True

    def sort(self, connection: Connection, source: str, state: State) -> None:
        """Note what has become of a connection."""
        if (source, state) != (connection.source, connection.state):
            self.remove(connection)
            connection.source, connection.state = source, state
            self._insert(connection)

    def renew(self, connection: Connection) -> None:
        """Let a connection count as the newest one in its state."""
        self.remove(connection)
        self._insert(connection)

    def remove(self, connection: Connection) -> None:
        held = self._by_source.get(connection.source)
        if held is None or connection not in held.by_state[connection.state]:
            return
        del held.by_state[connection.state][connection]
        self._num_open -= 1
        if not held:
            del self._by_source[connection.source]

    def _insert(self, connection: Connection) -> None:
        held = self._by_source.setdefault(connection.source, _Held())
        held.by_state[connection.state][connection] = None
        self._num_open += 1


class BoundedConnection(H11Protocol):
    """A connection with limits on time.  `bounded_protocol` makes the class that a server uses."""

    all_connections: Connections
    source: str = ""
    state: State = "receiving"
    received_before = b""  # the beginning of the first request, see `first_requests`

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._head_timer: asyncio.TimerHandle | None = None
        self._stall_timer: asyncio.TimerHandle | None = None
        self._is_open = True
        self._is_used = False
        self._part = 0  # bytes since the connection was last renewed
        self.source = source_of(self.client[0]) if self.client else ""
        if not self.all_connections.add(self):
            self._is_open = False
            transport.write(TOO_MANY)
            transport.close()
            return
        self._expect_head()
        if self.received_before:
            self.data_received(self.received_before)

    def connection_lost(self, exc: Exception | None) -> None:
        self._leave()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._has_request:
            if not self._is_used:
                self._is_used = True
                _end_when_gone(self.transport.get_extra_info("socket"), self.all_connections.bounds.gone_s)
            self._stop_expecting_head()
        elif self._head_timer is None:
            self._expect_head()
        self._sort()
        self._part += len(data)
        if self._part >= PART_BYTES and self._is_open:
            self._part = 0
            self.all_connections.renew(self)

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self._has_request:  # the next one came in the same packet
            self._stop_expecting_head()
        self._sort()

    def pause_writing(self) -> None:
        super().pause_writing()
        if self._is_open:
            self._stall_timer = self.loop.call_later(self.all_connections.bounds.stall_s, self.give_up)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._stall_timer is not None:
            self._stall_timer.cancel()

    def give_up(self) -> None:
        """End the connection at once."""
        self._leave()
        self.transport.abort()

    @property
    def _has_request(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _sort(self) -> None:
        """Note the state, and for whom the connection counts.

        A proxy's connections count for nobody: its clients are counted by request.
        """
        if not self._is_open or self.cycle is None:
            return
        host = self.client[0] if self.client else ""
        is_forwarded = self.all_connections.is_proxy(host) and any(
            name == FORWARDED for name, _ in self.headers
        )
        state: State = "idle"
        if self._has_request:
            state = "receiving" if self.cycle.more_body else "answering"
        self.all_connections.sort(self, UNCOUNTED if is_forwarded else source_of(host), state)

    def _leave(self) -> None:
        self._is_open = False
        self.all_connections.remove(self)
        for timer in (self._head_timer, self._stall_timer):
            if timer is not None:
                timer.cancel()

    def _expect_head(self) -> None:
        self._head_timer = self.loop.call_later(self.all_connections.bounds.head_s, self._head_is_late)

    def _stop_expecting_head(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _head_is_late(self) -> None:
        self.transport.write(TOO_LATE)
        self.transport.close()


def bounded_protocol(connections: Connections) -> type[BoundedConnection]:
    class Bounded(BoundedConnection):
        all_connections = connections

    return Bounded


class RequestsPerSource:
    """Middleware that bounds the requests of a client at one time, also behind a proxy.

    It must come after the middleware that reads the client's address from the proxy's headers.
    """

    def __init__(self, app: ASGIApp, limit: int) -> None:
        self._app = app
        self._limit = limit
        self._num_open: Counter[str] = Counter()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not self._limit:
            await self._app(scope, receive, send)
            return
        source = source_of(scope["client"][0]) if scope["client"] else ""
        if self._num_open[source] >= self._limit:
            message = "too many requests at once from your network address. Close some pages and try again."
            refusal = JSONResponse({"error": {"message": message}}, 503, headers={"Retry-After": "5"})
            await refusal(scope, receive, send)
            return
        self._num_open[source] += 1
        try:
            await self._app(scope, receive, send)
        finally:
            self._num_open[source] -= 1
            if not self._num_open[source]:
                del self._num_open[source]


async def _no_app(scope: Any, receive: Any, send: Any) -> None:
    raise AssertionError("only the list of addresses is used")


def _end_when_gone(connected: socket.socket, seconds: int) -> None:
    """Let the system end a connection whose other end no longer answers."""
    connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if sys.platform == "linux":
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, seconds // 2)
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, max(1, seconds // 6))
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3)
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 1000 * seconds)
