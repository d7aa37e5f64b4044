"""The server: how many connections it takes, and that it says when it is ready."""

import contextlib
import resource
import socket
import time
from collections.abc import Iterator

import httpx
import pytest

from fairlead.labels.database import Database
from fairlead.studio.app import create_app
from fairlead.studio.serving import RESERVED_FILES
from fairlead.studio.settings import Settings
from studio.running_server import running

ANSWER_S = 20.0
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
    settings = Settings(database=database_url, connections_per_source=100)
    app = create_app(settings, database)
    with running(app, settings) as port, contextlib.ExitStack() as stack:
        stack.callback(app.state.live.close)
        assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] > RESERVED_FILES
        for _ in range(NUM_WAITING):
            stack.enter_context(socket.create_connection(("127.0.0.1", port)))
        began = time.monotonic()
        assert httpx.get(f"http://127.0.0.1:{port}/login", timeout=ANSWER_S).status_code == 200
        assert time.monotonic() - began < ANSWER_S
