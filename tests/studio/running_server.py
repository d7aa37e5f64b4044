"""The studio's own server on a free port, in a thread."""

import contextlib
import socket
import threading
from collections.abc import Iterator

from fastapi import FastAPI

from fairlead.studio.connections import Bounds
from fairlead.studio.serving import Server
from fairlead.studio.settings import Settings

START_S = 20.0


@contextlib.contextmanager
def running(app: FastAPI, settings: Settings, bounds: Bounds | None = None) -> Iterator[int]:
    """The port of a server for the app."""
    listening = socket.create_server(("127.0.0.1", 0))
    ready = threading.Event()
    server = Server(app, settings, ready.set, bounds)
    thread = threading.Thread(target=server.run, args=([listening],), daemon=True)
    thread.start()
    assert ready.wait(START_S)
    try:
        yield listening.getsockname()[1]
    finally:
        server.should_exit = True
        thread.join(START_S)
        listening.close()
