"""Runs the app with uvicorn.  uvicorn's access log is off, because paths and queries can carry secrets."""

import socket
from collections.abc import Callable
from types import FrameType

import uvicorn
from fastapi import FastAPI

from fairlead.studio.settings import Settings

SHUTDOWN_S = 5  # for requests in progress when the server is asked to stop


class Server(uvicorn.Server):
    """Calls `ready` when the server accepts requests.

    The second Ctrl-C stops without waiting for requests.
    """

    def __init__(self, app: FastAPI, settings: Settings, ready: Callable[[], None]) -> None:
        config = uvicorn.Config(
            app,
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
        if self.started:
            self._ready()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Close the event streams first: they never end by themselves."""
        self._app.state.live.close()
        self.force_exit = self.should_exit
        self.should_exit = True
