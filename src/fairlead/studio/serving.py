"""Runs the app with uvicorn.  uvicorn's access log is off, because paths and queries can carry secrets."""

import resource
import socket
import sys
from collections.abc import Callable
from types import FrameType

import uvicorn
from fastapi import FastAPI

from fairlead.studio.connections import (
    BoundedConnection,
    Bounds,
    Connections,
    RequestsPerSource,
    bounded_protocol,
)
from fairlead.studio.first_requests import FirstRequests
from fairlead.studio.settings import Settings

RESERVED_FILES = 256
WAITING = 2048  # new connections that wait in the system
SWITCH_S = 0.001  # for how long one thread may keep the others from running Python
SHUTDOWN_S = 5  # for requests in progress when the server is asked to stop


class Server(uvicorn.Server):
    """Calls `ready` when the server accepts requests.

    The second Ctrl-C stops without waiting for requests.
    """

    def __init__(
        self, app: FastAPI, settings: Settings, ready: Callable[[], None], bounds: Bounds | None = None
    ) -> None:
        bounds = bounds or Bounds(per_source=settings.connections_per_source, in_total=_most_connections())
        connections = Connections(bounds, settings.trusted_proxies)
        config = uvicorn.Config(
            RequestsPerSource(app, bounds.per_source),
            http=bounded_protocol(connections),
            timeout_keep_alive=bounds.keep_alive_s,
            backlog=WAITING,
            loop="asyncio",
            access_log=False,
            log_config=None,
            server_header=False,
            proxy_headers=True,
            forwarded_allow_ips=settings.trusted_proxies,
            timeout_graceful_shutdown=SHUTDOWN_S,
            lifespan="on",
            ws="none",
        )
        super().__init__(config)
        self._connections = connections
        self._first_requests: FirstRequests | None = None
        self._app = app
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        _build_routes(self._app)
        # A save gives up the interpreter at each of its queries, and asks for it again.
        self._switch_s = sys.getswitchinterval()
        sys.setswitchinterval(SWITCH_S)
        await super().startup(sockets)
        self._first_requests = FirstRequests(self._connections, self._make_protocol)
        for listening in sockets or ():
            self._first_requests.listen(listening)
        if self.started:
            self._ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        if self._first_requests is not None:
            self._first_requests.close()
        await super().shutdown(sockets)
        sys.setswitchinterval(self._switch_s)

    def _make_protocol(self) -> BoundedConnection:
        make: type[BoundedConnection] = self.config.http_protocol_class  # type: ignore[assignment]
        return make(self.config, self.server_state, self.lifespan.state)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Close the event streams first: they never end by themselves."""
        self._app.state.live.close()
        self.force_exit = self.should_exit
        self.should_exit = True


def _build_routes(app: FastAPI) -> None:
    """FastAPI builds what it needs for a route when a path is first compared with it.

    That takes half a second, in which the first requests would wait, and many times as long under load.
    """
    nowhere = {"type": "http", "method": "GET", "path": "/-", "root_path": "", "headers": []}
    for route in app.routes:
        route.matches(nowhere)


def _most_connections() -> int:
    """As many as there may be open files, with some left for the database and for files that are sent."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = Bounds.in_total + RESERVED_FILES
    if soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return max(64, soft - RESERVED_FILES)
