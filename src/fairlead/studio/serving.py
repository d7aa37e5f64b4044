"""The app behind a port.  The log has no address of a page and no query: both can carry secrets."""

import socket
from collections.abc import Callable
from types import FrameType

import uvicorn
from fastapi import FastAPI

from fairlead.studio.settings import Settings

PATIENCE_S = 5  # for requests that are being answered when somebody asks to stop


class Server(uvicorn.Server):
    """`ready` is called when people can come; the first Ctrl-C lets what was begun end, the second does not."""

    def __init__(self, app: FastAPI, settings: Settings, ready: Callable[[], None]) -> None:
        config = uvicorn.Config(
            app,
            access_log=False,
            log_config=None,
            server_header=False,
            proxy_headers=True,
            forwarded_allow_ips=settings.trusted_proxies,
            timeout_graceful_shutdown=PATIENCE_S,
            lifespan="on",
            ws="none",
        )
        super().__init__(config)
        self._app, self._ready = app, ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._ready()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Streams of events have no end of their own, so they are ended first."""
        self._app.state.live.close()
        self.force_exit = self.should_exit
        self.should_exit = True
