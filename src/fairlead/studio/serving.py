"""Runs the app with uvicorn.  uvicorn's access log is off, because paths and queries can carry secrets."""

import resource
import socket
from collections.abc import Callable
from types import FrameType

import uvicorn
from fastapi import FastAPI

from fairlead.studio.connections import Bounds, Connections, RequestsPerSource, bounded_protocol
from fairlead.studio.settings import Settings

RESERVED_FILES = 256
ACCEPTED_AT_ONCE = 16  # new connections, before requests on others go on
WAITING = 2048  # new connections that wait in the system
SHUTDOWN_S = 5  # for requests in progress when the server is asked to stop


class Server(uvicorn.Server):
    """Calls `ready` when the server accepts requests.

    The second Ctrl-C stops without waiting for requests.
    """

    def __init__(
        self, app: FastAPI, settings: Settings, ready: Callable[[], None], bounds: Bounds | None = None
    ) -> None:
        bounds = bounds or Bounds(per_source=settings.connections_per_source, in_total=_most_connections())
        config = uvicorn.Config(
            RequestsPerSource(app, bounds.per_source),
            http=bounded_protocol(Connections(bounds, settings.trusted_proxies)),
            timeout_keep_alive=bounds.keep_alive_s,
            backlog=ACCEPTED_AT_ONCE,
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
        self._app = app
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        for listening in sockets or ():
            listening.listen(WAITING)  # asyncio has set it to the number that it accepts at once
        if self.started:
            self._ready()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Close the event streams first: they never end by themselves."""
        self._app.state.live.close()
        self.force_exit = self.should_exit
        self.should_exit = True


def _most_connections() -> int:
    """As many as there may be open files, with some left for the database and for files that are sent."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = Bounds.in_total + RESERVED_FILES
    if soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return max(64, soft - RESERVED_FILES)
