"""Connections that are slow, silent or too many, with real sockets."""

import asyncio
import contextlib
import re
import socket
import threading
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field, replace

import httpx
import pytest
from fastapi import FastAPI, Request
from fastapi.responses import Response, StreamingResponse

from fairlead.studio.connections import PART_BYTES, Bounds
from fairlead.studio.settings import Settings
from studio.running_server import running

pytestmark = pytest.mark.slow  # they wait for limits of time

SOON_S = 10.0  # for what should happen within a second, on a busy machine
HEAD = b"GET /quick HTTP/1.1\r\nHost: localhost\r\n"
QUICK = HEAD + b"\r\n"
SLOW_BODY = b"POST /body HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\nx"
BOUNDS = Bounds(per_source=4, head_s=0.5, keep_alive_s=1, stall_s=0.5)


@dataclass
class Served:
    port: int
    release: threading.Event = field(default_factory=threading.Event)
    num_begun: int = 0  # requests for /wait and /body
    num_read: int = 0  # bytes of bodies
    large_ended: threading.Event = field(default_factory=threading.Event)  # read to its end, or let go

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def connect(self, content: bytes = b"", address: str = "127.0.0.1") -> socket.socket:
        client = socket.create_connection(
            ("127.0.0.1", self.port), timeout=SOON_S, source_address=(address, 0)
        )
        client.sendall(content)
        return client

    def wait_until_begun(self, number: int) -> None:
        end = time.monotonic() + SOON_S
        while self.num_begun < number:
            assert time.monotonic() < end, f"only {self.num_begun} of {number} requests have begun"
            time.sleep(0.01)

    def wait_until_read(self, number: int) -> None:
        end = time.monotonic() + SOON_S
        while self.num_read < number:
            assert time.monotonic() < end, f"only {self.num_read} of {number} bytes have been read"
            time.sleep(0.01)


@contextlib.contextmanager
def serving(bounds: Bounds, trusted_proxies: str = "127.0.0.1") -> Iterator[Served]:
    app = FastAPI()
    settings = Settings(database="unused.db", trusted_proxies=trusted_proxies)

    @app.get("/quick")
    def quick() -> str:
        return "quick"

    @app.get("/wait")
    async def wait() -> str:
        served.num_begun += 1
        while not served.release.is_set():
            await asyncio.sleep(0.01)
        return "waited"

    @app.get("/large")
    def large() -> Response:
        async def parts() -> AsyncIterator[bytes]:
            for _ in range(100):
                yield bytes(1_000_000)
            served.large_ended.set()

        return StreamingResponse(parts())

    @app.post("/body")
    async def body(request: Request) -> int:
        served.num_begun += 1
        async for part in request.stream():
            served.num_read += len(part)
        return served.num_read

    with running(app, settings, bounds) as port:
        served = Served(port)
        try:
            yield served
        finally:
            served.release.set()


def answer(client: socket.socket) -> bytes:
    """A whole response."""
    received = b""
    while True:
        received += client.recv(1000)
        head, separator, body = received.partition(b"\r\n\r\n")
        length = re.search(rb"(?i)content-length: (\d+)", head)
        if separator and length and len(body) >= int(length[1]):
            return received


def is_closed(client: socket.socket, within_s: float = SOON_S) -> bool:
    """Whether the server ends the connection in time.  What it sends before is dropped."""
    client.settimeout(within_s)
    try:
        while client.recv(65_536):
            pass
    except TimeoutError:
        return False
    except ConnectionError:
        return True
    return True


def test_a_slow_or_silent_head_ends_the_connection() -> None:
    with serving(BOUNDS) as served, served.connect() as silent, served.connect(HEAD) as slow:
        began = time.monotonic()
        with contextlib.suppress(ConnectionError):
            while time.monotonic() < began + SOON_S:
                slow.sendall(b"X-Slow: 1\r\n")
                time.sleep(0.05)
        assert time.monotonic() < began + SOON_S, "a head that never ends was received without a limit"
        assert is_closed(silent) and is_closed(slow)


def test_a_second_head_is_bounded_too() -> None:
    with serving(BOUNDS) as served, served.connect(QUICK) as client:
        assert b"200 OK" in answer(client)
        client.sendall(HEAD)
        assert is_closed(client)


def test_an_idle_connection_is_closed_and_a_used_one_is_kept() -> None:
    bounds = replace(BOUNDS, keep_alive_s=3)
    with serving(bounds) as served, served.connect(QUICK) as client:
        for _ in range(3):
            time.sleep(0.6)  # longer than a head may take, shorter than a pause may be
            assert b"200 OK" in answer(client)
            client.sendall(QUICK)
        assert is_closed(client)


def test_a_reader_that_stops_is_let_go() -> None:
    with serving(BOUNDS) as served, served.connect(QUICK.replace(b"quick", b"large")) as client:
        assert client.recv(100).startswith(b"HTTP/1.1 200")
        assert served.large_ended.wait(SOON_S), "the server waits for a reader without a limit"
        received = 0
        with contextlib.suppress(ConnectionError):
            while part := client.recv(1_000_000):
                received += len(part)
        assert received < 100_000_000


@pytest.mark.parametrize("content", [b"", HEAD, SLOW_BODY], ids=["silent", "head", "body"])
def test_connections_that_wait_make_room_for_the_next_request(content: bytes) -> None:
    bounds = Bounds(per_source=4, head_s=60, keep_alive_s=60)
    with serving(bounds) as served, contextlib.ExitStack() as stack:
        waiting = [stack.enter_context(served.connect(content)) for _ in range(4)]
        assert httpx.get(served.url + "/quick", timeout=SOON_S).json() == "quick"
        assert is_closed(waiting[0]), "the one that waited longest goes first"
        assert not is_closed(waiting[3], within_s=0.2)


def test_connections_that_are_answered_are_never_closed_for_others() -> None:
    bounds = Bounds(per_source=4, head_s=60, keep_alive_s=60)
    with serving(bounds) as served, contextlib.ExitStack() as stack:
        answered = [stack.enter_context(served.connect(QUICK.replace(b"quick", b"wait"))) for _ in range(4)]
        served.wait_until_begun(4)
        refused = httpx.get(served.url + "/quick", timeout=SOON_S)
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "5")
        with served.connect(QUICK, "127.0.0.2") as elsewhere:  # another address is not concerned
            assert b"200 OK" in answer(elsewhere)
        served.release.set()
        assert all(b"200 OK" in answer(client) for client in answered)


def test_behind_a_proxy_each_client_has_its_own_limit() -> None:
    bounds = Bounds(per_source=3, head_s=60, keep_alive_s=60)

    def forwarded(path: bytes, client: bytes) -> bytes:
        return QUICK.replace(b"quick", path)[:-2] + b"X-Forwarded-For: " + client + b"\r\n\r\n"

    with serving(bounds) as served, contextlib.ExitStack() as stack:
        of_proxy = []
        for number in range(8):
            client = stack.enter_context(served.connect(forwarded(b"quick", b"10.0.0.%d" % number)))
            assert b"200 OK" in answer(client)
            of_proxy.append(client)
        for client in of_proxy[:3]:
            client.sendall(forwarded(b"wait", b"10.0.0.1"))
        served.wait_until_begun(3)
        of_proxy[3].sendall(forwarded(b"quick", b"10.0.0.1"))
        assert b"503 Service Unavailable" in answer(of_proxy[3])
        of_proxy[4].sendall(forwarded(b"quick", b"10.0.0.2"))
        assert b"200 OK" in answer(of_proxy[4])


def test_who_only_says_to_be_a_proxy_is_counted() -> None:
    bounds = Bounds(per_source=2, head_s=60, keep_alive_s=60)
    head = QUICK[:-2] + b"X-Forwarded-For: 10.0.0.1\r\n\r\n"
    with serving(bounds, trusted_proxies="10.9.9.9") as served, contextlib.ExitStack() as stack:
        clients = []
        for _ in range(3):
            clients.append(stack.enter_context(served.connect(head)))
            assert b"200 OK" in answer(clients[-1])
        assert is_closed(clients[0])


def test_a_flood_without_requests_closes_neither_those_in_use_nor_those_just_opened() -> None:
    bounds = Bounds(per_source=4, head_s=60, keep_alive_s=60)
    with serving(bounds) as served, contextlib.ExitStack() as stack:
        used = stack.enter_context(served.connect(QUICK))
        assert b"200 OK" in answer(used)
        slow = [stack.enter_context(served.connect(SLOW_BODY)) for _ in range(4)]
        assert is_closed(slow[0])
        opened = stack.enter_context(served.connect(HEAD))
        slow += [stack.enter_context(served.connect(SLOW_BODY)) for _ in range(2)]
        assert all(is_closed(client) for client in slow[1:4])
        for client, rest in ((used, QUICK), (opened, b"\r\n")):
            client.sendall(rest)
            assert b"200 OK" in answer(client)


def test_an_upload_that_makes_progress_outlasts_newer_connections() -> None:
    bounds = Bounds(per_source=3, head_s=60, keep_alive_s=60)
    size = 4 * PART_BYTES
    head = SLOW_BODY.partition(b"\r\n\r\n")[0].replace(b"1000", b"%d" % size) + b"\r\n\r\n"
    with serving(bounds) as served, contextlib.ExitStack() as stack:
        upload = stack.enter_context(served.connect(head))
        for number in range(1, 5):
            slow = [stack.enter_context(served.connect(SLOW_BODY)) for _ in range(2)]
            upload.sendall(bytes(PART_BYTES))
            served.wait_until_read(number * PART_BYTES)
        assert not is_closed(slow[1], within_s=0.2)
        assert b"200 OK" in answer(upload)
