"""A real server on this machine that answers as OpenAI-compatible servers do, or as badly as a test wants."""

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Body = dict[str, Any]


@dataclass(frozen=True)
class Sent:
    """What the server sends: a status, a body and headers, after a delay."""

    content: bytes
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    delay_s: float = 0.0
    is_cut: bool = False  # the connection ends in the middle


def text(content: str | None, **choice: Any) -> Sent:
    """A reply with this text."""
    message = {"role": "assistant", "content": content}
    choice = {"message": message, "finish_reason": "stop"} | choice
    return Sent(json.dumps({"choices": [choice]}).encode())


def error(status: int, message: str = "no", **headers: str) -> Sent:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Sent(json.dumps({"error": {"message": message}}).encode(), status, named)


@dataclass
class ChatServer:
    """`respond` gets the body of a request and the number of requests before it."""

    respond: Callable[[Body, int], Sent]
    url: str = ""
    bodies: list[Body] = field(default_factory=list)
    keys: list[str | None] = field(default_factory=list)  # Authorization headers
    busiest: int = 0  # requests at the same time

    @property
    def conversations(self) -> list[list[dict[str, str]]]:
        return [body["messages"] for body in self.bodies]


@contextmanager
def chat_server(respond: Callable[[Body, int], Sent]) -> Iterator[ChatServer]:
    this = ChatServer(respond)
    lock = threading.Lock()
    open_requests = 0

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            nonlocal open_requests
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with lock:
                open_requests += 1
                this.busiest = max(this.busiest, open_requests)
                number = len(this.bodies)
                this.bodies.append(body)
                this.keys.append(self.headers.get("Authorization"))
            try:
                sent = this.respond(body, number) if self.path == "/v1/chat/completions" else error(404)
                time.sleep(sent.delay_s)
            finally:
                with lock:
                    open_requests -= 1
            self.send_response(sent.status)
            for name, value in sent.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(sent.content) + sent.is_cut))
            self.end_headers()
            try:
                self.wfile.write(sent.content)
            except (BrokenPipeError, ConnectionResetError):  # the client has gone
                self.close_connection = True
            self.close_connection = self.close_connection or sent.is_cut

        def log_message(self, *_: Any) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 64

        def handle_error(self, *_: Any) -> None:  # a client may leave at any time
            pass

    server = Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    this.url = f"http://127.0.0.1:{server.server_address[1]}/v1"
    try:
        yield this
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)
