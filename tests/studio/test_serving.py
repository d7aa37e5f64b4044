"""The server: how many connections it takes, and that it says when it is ready."""

import resource
import socket
import threading
import time
from collections.abc import Iterator

import httpx
import pytest
from fastapi import FastAPI

from fairlead.labels.database import Database
from fairlead.studio.app import create_app
from fairlead.studio.serving import RESERVED_FILES, Server
from fairlead.studio.settings import Settings

START_S = 20.0
NUM_WAITING = 400


@pytest.fixture
def restored_limit() -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.mark.slow
def test_silent_connections_leave_room_for_requests(
    database: Database, database_url: str, restored_limit: None
) -> None:
    """They come from one address, so the limit for an address keeps most of them out."""
    app: FastAPI = create_app(Settings(database=database_url), database)
    listening = socket.create_server(("127.0.0.1", 0))
    address = listening.getsockname()
    ready = threading.Event()
    server = Server(app, Settings(database=database_url, connections_per_source=100), ready.set)
    thread = threading.Thread(target=server.run, args=([listening],), daemon=True)
    thread.start()
    assert ready.wait(START_S)
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] > RESERVED_FILES
    silent = [socket.create_connection(address) for _ in range(NUM_WAITING)]
    try:
        began = time.monotonic()
        assert httpx.get(f"http://127.0.0.1:{address[1]}/login", timeout=START_S).status_code == 200
        assert time.monotonic() - began < START_S
    finally:
        for client in silent:
            client.close()
        app.state.live.close()
        server.should_exit = True
        thread.join(START_S)
        listening.close()
