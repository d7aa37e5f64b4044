"""Requests to a real server that is slow, rude, broken or away."""

import email.utils
import json
import signal
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

import chat_server
from chat_server import Body, ChatServer, Sent
from fairlead.core import chat_client
from fairlead.core.chat_client import Endpoint, Reply, RequestLimits, complete_all
from fairlead.core.errors import ConfigError, EndpointError, Stopped
from fairlead.core.interrupt import StopRequest, stop_on_interrupt

KEY = "sk-very-secret-123"
LIMITS = RequestLimits(timeout_s=5.0, patience_s=5.0, first_pause_s=0.01)


def body(text: str = "Hello?") -> Body:
    return {"model": "m", "messages": [{"role": "user", "content": text}]}


def ask(
    server: ChatServer,
    *texts: str,
    limits: RequestLimits = LIMITS,
    stop: StopRequest | None = None,
    key: str | None = KEY,
) -> list[Reply]:
    return complete_all(
        Endpoint("judge", server.url, key),
        [body(text) for text in texts or ("Hello?",)],
        limits=limits,
        stop=StopRequest() if stop is None else stop,
        on_reply=lambda number, reply: None,
    )


def first_then(first: Sent, count: int = 1) -> Callable[[Body, int], Sent]:
    return lambda _, number: first if number < count else chat_server.text("fine")


def test_replies_come_in_the_order_of_the_requests_and_few_at_a_time() -> None:
    def respond(body: Body, number: int) -> Sent:
        content = body["messages"][0]["content"]
        return Sent(chat_server.text(f"re {content}").content, delay_s=0.05 if number % 2 else 0.0)

    with chat_server.chat_server(respond) as server:
        texts = [str(number) for number in range(20)]
        limits = RequestLimits(concurrent=3, first_pause_s=0.01)
        assert ask(server, *texts, limits=limits) == [Reply(f"re {text}") for text in texts]
        assert 1 < server.busiest <= 3
        assert set(server.keys) == {f"Bearer {KEY}"}


def test_without_a_key_no_header_is_sent() -> None:
    with chat_server.chat_server(lambda *_: chat_server.text("hi")) as server:
        assert ask(server, key=None) == [Reply("hi")]
        assert server.keys == [None]


def test_retry_after_is_honoured_by_all_requests() -> None:
    with chat_server.chat_server(first_then(chat_server.error(429, Retry_After="0.5"))) as server:
        began_at = time.monotonic()
        assert ask(server) == [Reply("fine")]
        assert time.monotonic() - began_at >= 0.5
        assert len(server.bodies) == 2


@pytest.mark.parametrize(
    ("header", "low", "high"),
    [("2", 2, 2), ("0", 0, 0), ("-3", 0, 0), ("nan", 0, 0), ("1e999", 0, 0), ("soon", 0, 0), ("", 0, 0)],
)
def test_retry_after_is_seconds(header: str, low: float, high: float) -> None:
    assert low <= chat_client._retry_after(header) <= high


def test_retry_after_may_be_a_date() -> None:
    header = email.utils.formatdate(time.time() + 3600, usegmt=True)
    assert 3000 <= chat_client._retry_after(header) <= 3600


def test_a_longer_wait_than_the_patience_ends_at_once() -> None:
    with chat_server.chat_server(lambda *_: chat_server.error(429, Retry_After="3600")) as server:
        began_at = time.monotonic()
        with pytest.raises(EndpointError, match=r"status 429: no, and asks to wait for 3600 s\. Replies so"):
            ask(server)
        assert time.monotonic() - began_at < 2


@pytest.mark.parametrize(
    "broken",
    [
        chat_server.error(500),
        chat_server.error(502),
        chat_server.error(503),
        Sent(b"<html>Bad gateway</html>"),
        Sent(b'{"choices": ['),
        Sent(b'{"choices": []}'),
        Sent(b'{"choices": [{"message": null}]}'),
        Sent(b"[1, 2]"),
        Sent(b"[" * 100_000),
        Sent(b'{"error": {"message": "overloaded"}}'),
        Sent(b'{"choices": [', is_cut=True),
    ],
    ids=lambda sent: f"{sent.status}-{sent.content[:20]!r}",
)
def test_a_passing_failure_is_tried_again(broken: Sent) -> None:
    with chat_server.chat_server(first_then(broken, 2)) as server:
        assert ask(server) == [Reply("fine")]
        assert len(server.bodies) == 3


def test_a_server_that_stays_away_ends_with_an_error_that_says_how_to_go_on() -> None:
    with chat_server.chat_server(lambda *_: chat_server.text("hi")) as server:
        pass
    began_at = time.monotonic()
    with pytest.raises(EndpointError) as error:
        ask(server, limits=RequestLimits(patience_s=0.3, first_pause_s=0.01))
    assert time.monotonic() - began_at < 5
    assert "it cannot be reached. Replies so far are kept. Run the same command" in str(error.value)
    assert server.url in str(error.value) and KEY not in str(error.value)


def test_a_server_that_fails_every_request_is_away() -> None:
    limits = RequestLimits(patience_s=0.3, first_pause_s=0.01)
    with (
        chat_server.chat_server(lambda *_: chat_server.error(500)) as server,
        pytest.raises(EndpointError, match="status 500: no"),
    ):
        ask(server, limits=limits)


@pytest.mark.parametrize("status", [500, 403])
def test_a_request_that_fails_alone_has_no_reply_and_ends_nothing(status: int) -> None:
    """An answer of the policy that breaks the server, or a firewall, must not stop a run for good."""

    def respond(body: Body, number: int) -> Sent:
        is_poison = body["messages"][0]["content"] == "poison"
        return chat_server.error(status, "crashed") if is_poison else chat_server.text("fine")

    with chat_server.chat_server(respond) as server:
        fine, poison = ask(server, "hello", "poison")
        assert fine == Reply("fine")
        assert poison.text == "" and f"status {status}: crashed" in poison.problem


def test_a_slow_reply_is_tried_again() -> None:
    with chat_server.chat_server(first_then(Sent(b"{}", delay_s=1.0))) as server:
        assert ask(server, limits=RequestLimits(timeout_s=0.2, first_pause_s=0.01)) == [Reply("fine")]


@pytest.mark.parametrize(
    ("sent", "problem"),
    [
        (chat_server.text("x" * (1 << 20)), "longer than 1,048,576 bytes"),
        (chat_server.text("1", finish_reason="length"), "cut off"),
        (chat_server.text("1", finish_reason="content_filter"), "refused: content_filter"),
        (chat_server.text("", message={"content": None, "refusal": "I cannot."}), "refused: I cannot."),
        (chat_server.text(None), "the reply is empty"),
        (chat_server.text(" \n"), "the reply is empty"),
        (chat_server.error(400, "maximum context length"), "status 400: maximum context length"),
        (chat_server.error(422), "status 422: no"),
    ],
)
def test_a_reply_without_text_says_why_and_is_not_tried_again(sent: Sent, problem: str) -> None:
    with chat_server.chat_server(lambda *_: sent) as server:
        [reply] = ask(server)
        assert reply.text == "" and problem in reply.problem
        assert len(server.bodies) == 1


@pytest.mark.parametrize(
    ("sent", "reason"),
    [
        (chat_server.error(401, f"bad key {KEY}"), "does not accept the API key"),
        (chat_server.error(404, "no model m"), "knows no such address or model"),
        (Sent(b"", 301, {"Location": "https://example.org"}), "answers from another address"),
    ],
)
def test_a_refusal_ends_at_once_with_a_remedy_and_without_the_key(sent: Sent, reason: str) -> None:
    with chat_server.chat_server(lambda *_: sent) as server:
        with pytest.raises(EndpointError) as error:
            ask(server)
        assert reason in str(error.value) and "Correct the address, the model or the key" in str(error.value)
        assert KEY not in str(error.value)
        assert len(server.bodies) <= 2


def test_a_reply_never_holds_the_key_and_is_valid_text() -> None:
    sent = Sent(json.dumps({"choices": [{"message": {"content": f"{KEY} \ud800"}}]}).encode())
    with chat_server.chat_server(lambda *_: sent) as server:
        assert ask(server, "half a pair: \ud800") == [Reply("(the key) ?")]
    assert KEY not in repr(Endpoint("judge", server.url, KEY))


def test_replies_are_reported_as_they_arrive_also_before_a_failure() -> None:
    def respond(body: Body, number: int) -> Sent:
        is_last = body["messages"][0]["content"] == "last"
        return chat_server.error(401) if is_last or number >= 3 else chat_server.text("fine")

    seen = []
    with chat_server.chat_server(respond) as server, pytest.raises(EndpointError):
        complete_all(
            Endpoint("judge", server.url),
            [body("1"), body("2"), body("last")],
            limits=RequestLimits(concurrent=1),
            stop=StopRequest(),
            on_reply=lambda number, reply: seen.append(number),
        )
    assert seen == [0, 1]


def test_ctrl_c_ends_quickly_while_the_server_is_silent(monkeypatch: Any) -> None:
    monkeypatch.setattr(chat_client, "STOP_GRACE_S", 0.2)
    with chat_server.chat_server(lambda *_: Sent(b"{}", delay_s=3.0)) as server, stop_on_interrupt() as stop:
        began_at = time.monotonic()
        threading.Thread(target=_interrupt_main, args=(0.3,), daemon=True).start()
        with pytest.raises(Stopped, match="Run the same command to continue"):
            ask(server, limits=RequestLimits(), stop=stop)
        assert time.monotonic() - began_at < 2


def test_ctrl_c_ends_a_pause_at_once() -> None:
    busy = chat_server.error(503, Retry_After="60")
    with chat_server.chat_server(lambda *_: busy) as server, stop_on_interrupt() as stop:
        began_at = time.monotonic()
        threading.Thread(target=_interrupt_main, args=(0.3,), daemon=True).start()
        with pytest.raises(Stopped):
            ask(server, limits=RequestLimits(), stop=stop)
        assert time.monotonic() - began_at < 2


def _interrupt_main(after_s: float) -> None:
    time.sleep(after_s)
    main = threading.main_thread().ident
    assert main is not None
    signal.pthread_kill(main, signal.SIGINT)


@pytest.mark.parametrize(
    ("url", "is_valid"),
    [
        ("http://127.0.0.1:8000/v1", True),
        ("https://api.example.org/v1", True),
        ("ftp://example.org", False),
        ("https://user:secret@example.org/v1", False),
        ("https://example.org/v1?key=secret", False),
        ("http://", False),
        ("http://[::1", False),
        ("http://host:port/v1", False),
        ("example.org/v1", False),
    ],
)
def test_addresses_hold_no_secrets(url: str, is_valid: bool) -> None:
    assert chat_client.is_http_url(url) is is_valid


def test_a_key_comes_from_the_environment_and_is_in_no_error(monkeypatch: Any) -> None:
    monkeypatch.setenv("A_KEY", f" {KEY}\n")
    assert chat_client.key_from_environment("A_KEY", wanted_by="judge") == KEY
    assert chat_client.key_from_environment("", wanted_by="judge") is None
    monkeypatch.setenv("A_KEY", f"{KEY}\nX: y")
    with pytest.raises(ConfigError, match="the value of A_KEY is no API key") as error:
        chat_client.key_from_environment("A_KEY", wanted_by="judge")
    assert KEY not in str(error.value)
    monkeypatch.delenv("A_KEY")
    with pytest.raises(ConfigError, match="A_KEY, for the API key, is not set"):
        chat_client.key_from_environment("A_KEY", wanted_by="judge")
