"""Deliveries over real connections: to public addresses only, bounded, without redirects."""

import contextlib
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from fairlead.labels import webhook_delivery, webhooks
from fairlead.labels.database import Database
from fairlead.labels.webhook_delivery import DeliveryFailed
from fairlead.labels.webhooks import Webhook

OWNER = "r-0000000001"
URL = "https://example.org/fairlead"
TIMEOUT_S = 20.0


def create(database: Database, url: str) -> Webhook:
    with database.write() as connection:
        return webhooks.create(connection, url, by=OWNER)


def state(database: Database, webhook: Webhook) -> Webhook:
    with database.read() as connection:
        return webhooks.get(connection, webhook.id)


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("93.184.216.34", True),
        ("2606:2800:220:1::1", True),
        ("127.0.0.1", False),
        ("10.1.2.3", False),
        ("172.16.0.1", False),
        ("192.168.0.1", False),
        ("169.254.169.254", False),
        ("100.64.0.1", False),
        ("0.0.0.0", False),
        ("224.0.0.1", False),
        ("::1", False),
        ("fe80::1%eth0", False),
        ("fd00::1", False),
        ("::ffff:127.0.0.1", False),
        ("64:ff9b::a9fe:a9fe", False),
        ("2002:7f00:1::", False),
    ],
)
def test_which_addresses_are_public(address: str, public: bool) -> None:
    assert webhook_delivery.is_public(address) == public


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "localhost", "a.localhost", "a.internal", "10.0.0.1"])
def test_private_hosts_are_refused_at_once(host: str) -> None:
    problem = webhook_delivery.why_private(f"http://{host}:99/x")
    assert problem is not None and "--private-webhooks" in problem
    assert webhook_delivery.why_private(URL) is None


@pytest.fixture
def listen() -> Iterator[Callable[..., str]]:
    """Starts a real server on this machine, whose answer is a function of the handler."""
    servers: list[ThreadingHTTPServer] = []

    def start(
        answer: Callable[[BaseHTTPRequestHandler, bytes], None], certificate: Path | None = None
    ) -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                answer(self, self.rfile.read(int(self.headers["Content-Length"])))

            def log_message(self, format: str, *args: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            server.socket = context.wrap_socket(server.socket, server_side=True)
        servers.append(server)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        scheme = "http" if certificate is None else "https"
        return f"{scheme}://localhost:{server.server_port}/hook?x=1"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def test_a_real_server_gets_the_event(database: Database, listen: Callable[..., str]) -> None:
    received: list[tuple[str, dict[str, str], bytes]] = []

    def answer(handler: BaseHTTPRequestHandler, body: bytes) -> None:
        received.append((handler.path, dict(handler.headers), body))
        handler.send_response(204)
        handler.end_headers()

    webhook = create(database, listen(answer))
    webhook_delivery.deliver_due(database, webhook_delivery.sender(allow_private=True))
    [(path, headers, body)] = received
    assert path == "/hook?x=1" and headers["Host"].startswith("localhost:")
    timestamp = int(headers["Fairlead-Signature"].split(",")[0].removeprefix("t="))
    at = datetime.fromtimestamp(timestamp, UTC)
    assert headers["Fairlead-Signature"] == webhook_delivery.sign(webhook.secret, body, at)
    assert state(database, webhook).last_result == "204"


def test_a_name_that_leads_to_this_machine_is_refused(database: Database, listen: Callable[..., str]) -> None:
    received: list[bytes] = []
    webhook = create(database, listen(lambda _, body: received.append(body)))
    webhook_delivery.deliver_due(database, webhook_delivery.sender(allow_private=False))
    assert received == []
    assert "is not a public address" in str(state(database, webhook).last_result)


def test_a_redirect_is_not_followed(listen: Callable[..., str]) -> None:
    received: list[bytes] = []
    secret_place = listen(lambda _, body: received.append(body))

    def redirect(handler: BaseHTTPRequestHandler, body: bytes) -> None:
        handler.send_response(307)
        handler.send_header("Location", secret_place)
        handler.end_headers()

    assert webhook_delivery.sender(allow_private=True)(listen(redirect), b"{}", {}) == 307
    assert received == []


@pytest.fixture
def certificate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A certificate of localhost with its key, which this process trusts."""
    path = tmp_path / "localhost.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    command += ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    subprocess.run([*command, "-keyout", path, "-out", f"{path}.crt"], check=True, capture_output=True)
    path.write_bytes(path.read_bytes() + Path(f"{path}.crt").read_bytes())
    monkeypatch.setenv("SSL_CERT_FILE", str(path))
    return path


def no_content(handler: BaseHTTPRequestHandler, body: bytes) -> None:
    handler.send_response(204)
    handler.end_headers()


def drip(handler: BaseHTTPRequestHandler, body: bytes) -> None:
    with contextlib.suppress(OSError):
        handler.wfile.write(b"HTTP/1.1 200 OK\r\n")
        for _ in range(100):
            handler.wfile.write(b"X: 1\r\n")
            handler.wfile.flush()
            time.sleep(0.1)


@pytest.mark.parametrize("is_secure", [False, True])
def test_a_receiver_that_drips_is_left(
    listen: Callable[..., str], certificate: Path, monkeypatch: pytest.MonkeyPatch, is_secure: bool
) -> None:
    send = webhook_delivery.sender(allow_private=True)
    secured = certificate if is_secure else None
    assert send(listen(no_content, secured), b"{}", {}) == 204
    monkeypatch.setattr(webhook_delivery, "DELIVERY_S", 0.5)
    began = time.monotonic()
    with pytest.raises(DeliveryFailed, match="did not take the delivery"):
        send(listen(drip, secured), b"{}", {})
    assert time.monotonic() - began < 5


def test_nobody_there_is_said() -> None:
    with pytest.raises(DeliveryFailed, match="localhost did not take the delivery"):
        webhook_delivery.sender(allow_private=True)("http://localhost:9/", b"{}", {})
    with pytest.raises(DeliveryFailed, match="cannot be found"):
        webhook_delivery.sender(allow_private=True)("http://nowhere.invalid/", b"{}", {})


def test_the_thread_delivers_and_stops(database: Database, listen: Callable[..., str]) -> None:
    arrived = threading.Event()

    def answer(handler: BaseHTTPRequestHandler, body: bytes) -> None:
        handler.send_response(200)
        handler.end_headers()
        arrived.set()

    create(database, listen(answer))
    thread = webhook_delivery.DeliveryThread(database, allow_private=True)
    thread.start()
    assert arrived.wait(TIMEOUT_S)
    thread.stop()
