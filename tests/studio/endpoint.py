"""A real server on this machine that speaks as OpenAI-compatible servers do, and can be told to misbehave."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Endpoint:
    """`gate` holds every answer before its last word until it is set."""

    url: str = ""
    asked: list[dict[str, Any]] = field(default_factory=list)  # bodies of the requests
    keys: list[str | None] = field(default_factory=list)  # their Authorization headers
    replies: dict[str, list[str]] = field(default_factory=dict)  # model -> pieces of its answer
    status: int = 200
    broken: str = (
        ""  # "json": no JSON comes; "cut": the connection ends early; "length": the model was cut off
    )
    gate: threading.Event = field(default_factory=threading.Event)


@contextmanager
def endpoint() -> Iterator[Endpoint]:
    this = Endpoint()
    this.gate.set()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            this.asked.append(body)
            this.keys.append(self.headers.get("Authorization"))
            if self.path != "/v1/chat/completions" or this.status != 200:
                said = json.dumps(
                    {"error": {"message": f"no, not with {self.headers.get('Authorization')}"}}
                ).encode()
                self.send_response(this.status if this.status != 200 else 404)
                self.send_header("Content-Length", str(len(said)))
                self.end_headers()
                self.wfile.write(said)
                return
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            self.end_headers()
            pieces = this.replies.get(body["model"], ["Hello ", "there."])
            for n, piece in enumerate(pieces):
                if n == len(pieces) - 1 and not this.gate.wait(20):
                    return
                self.line(
                    "{"
                    if this.broken == "json"
                    else json.dumps({"choices": [{"delta": {"content": piece}, "finish_reason": None}]})
                )
            if this.broken == "cut":
                self.wfile.flush()
                self.connection.shutdown(2)
                return
            self.line(
                json.dumps(
                    {
                        "choices": [
                            {"delta": {}, "finish_reason": "length" if this.broken == "length" else "stop"}
                        ]
                    }
                )
            )
            self.line(json.dumps({"choices": [], "usage": {"total_tokens": 3}}))
            self.line("[DONE]")

        def line(self, data: str) -> None:
            self.wfile.write(f"data: {data}\n\n".encode())
            self.wfile.flush()

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    this.url = f"http://127.0.0.1:{server.server_address[1]}/v1"
    try:
        yield this
    finally:
        this.gate.set()
        server.shutdown()
        server.server_close()
        thread.join(5)
