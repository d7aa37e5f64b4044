"""Requests to an OpenAI-compatible server: `POST URL/chat/completions`.

An API key comes from an environment variable and is stored nowhere.  Texts that a server sends are returned
without it, so it appears in no message either.

`complete_all` sends many requests at once.  A failure that may pass is tried again after growing pauses:
status 429 and 5xx, a broken connection, a time-out, a reply that is not one of such a server.  A server that
stays away ends with EndpointError.  A request that fails again and again while the server answers others has
no reply: its `problem` says why.
"""

import asyncio
import email.utils
import json
import math
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import httpx

from fairlead.core.errors import ConfigError, EndpointError, Stopped
from fairlead.core.interrupt import StopRequest
from fairlead.core.plural import counted

MAX_RESPONSE_BYTES = 1 << 20
MAX_TRIES = (
    4  # failures of one request, before a small one tells whether the request or the server is at fault
)
LONGEST_PAUSE_S = 60.0
STOP_GRACE_S = 5.0  # after Ctrl-C or an error, for replies that are on their way and will be charged for
POLL_S = 0.1
LONGEST_REASON = 200  # characters
SMALL_REQUEST = [{"role": "user", "content": "Reply with the number 1."}]

# Statuses that another try cannot change, and that do not depend on the text of a request.
REFUSALS = {
    401: "does not accept the API key",
    402: "asks for payment",
    403: "does not accept the API key",
    404: "knows no such address or model",
    405: "is no such server",
    407: "needs a proxy",
    410: "knows no such address or model",
}
BUSY = (429, 503, 529)


@dataclass(frozen=True)
class Endpoint:
    name: str  # what messages call it
    url: str  # up to and including /v1
    key: str | None = field(default=None, repr=False)

    @property
    def completions_url(self) -> str:
        return f"{self.url.rstrip('/')}/chat/completions"

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.key}"} if self.key else {}

    def printable(self, text: str) -> str:
        """A text of the server in one line of limited length, without the API key."""
        return " ".join(self.without_key(text).split())[:LONGEST_REASON]

    def without_key(self, text: str) -> str:
        """The text without the API key, as valid UTF-8."""
        text = text.encode("utf-8", errors="replace").decode("utf-8")
        return text.replace(self.key, "(the key)") if self.key else text


@dataclass(frozen=True, kw_only=True)
class RequestLimits:
    concurrent: int = 8  # requests at the same time
    timeout_s: float = 120.0  # for one try
    patience_s: float = 600.0  # without any reply, until the endpoint counts as away
    first_pause_s: float = 1.0  # doubled after each failure of a request


class Reply(NamedTuple):
    text: str
    problem: str = ""  # why there is no text


class _Failure(Exception):
    """A try that failed and may be repeated."""

    def __init__(self, reason: str, *, is_busy: bool = False, retry_after_s: float = 0.0) -> None:
        super().__init__(reason)
        self.reason = reason
        self.is_busy = is_busy  # whatever the request says, the server would not have answered it
        self.retry_after_s = retry_after_s


def is_http_url(url: str) -> bool:
    """Whether this is an http(s) address without user name, password and query, which may hold secrets."""
    try:
        parts = urlsplit(url)
        has_host = bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is no number, half an IPv6 address
        return False
    return parts.scheme in ("http", "https") and has_host and "@" not in parts.netloc and not parts.query


def key_from_environment(variable: str, *, wanted_by: str) -> str | None:
    """The API key in an environment variable; None without a variable.  The key is in no error."""
    if not variable:
        return None
    key = os.environ.get(variable, "").strip()
    if not key:
        raise ConfigError(f"{wanted_by}: the environment variable {variable}, for the API key, is not set.")
    if not (key.isascii() and key.isprintable()):
        raise ConfigError(
            f"{wanted_by}: the value of {variable} is no API key: it has unprintable characters."
        )
    return key


def error_message(endpoint: Endpoint, content: bytes, otherwise: str) -> str:
    """The message in a server's error, in one line and without the API key."""
    try:
        error = json.loads(content)["error"]
        message = str(error["message"] if isinstance(error, dict) else error)
    except (ValueError, LookupError, TypeError, RecursionError):
        message = otherwise or "no message"
    return endpoint.printable(message)


def complete_all(
    endpoint: Endpoint,
    bodies: Sequence[Mapping[str, Any]],
    *,
    limits: RequestLimits,
    stop: StopRequest,
    on_reply: Callable[[int, Reply], None],
) -> list[Reply]:
    """One reply for each request.  `on_reply` gets the number of the request and its reply as they arrive.

    Raises EndpointError if the endpoint stays away or refuses every request, and Stopped after Ctrl-C.
    """
    return asyncio.run(_Requests(endpoint, limits, stop).run(bodies, on_reply)) if bodies else []


class _Requests:
    """Requests that are asked at the same time, and what is known about the server."""

    def __init__(self, endpoint: Endpoint, limits: RequestLimits, stop: StopRequest) -> None:
        self._endpoint = endpoint
        self._limits = limits
        self._stop = stop
        self._last_reply_at = time.monotonic()
        self._paused_until = 0.0  # as the server asked
        self._has_failed = False  # nothing more is asked

    async def run(
        self, bodies: Sequence[Mapping[str, Any]], on_reply: Callable[[int, Reply], None]
    ) -> list[Reply]:
        free = asyncio.Semaphore(self._limits.concurrent)
        connections = httpx.Limits(max_connections=self._limits.concurrent)
        async with httpx.AsyncClient(
            timeout=self._limits.timeout_s, limits=connections, follow_redirects=False, trust_env=False
        ) as client:

            async def ask(number: int, body: Mapping[str, Any]) -> Reply:
                async with free:
                    if self._has_failed:
                        raise asyncio.CancelledError
                    reply = await self._complete(client, body)
                on_reply(number, reply)
                return reply

            tasks = [asyncio.ensure_future(ask(number, body)) for number, body in enumerate(bodies)]
            try:
                await self._wait(tasks)
            except EndpointError:
                self._has_failed = True
                await asyncio.wait(tasks, timeout=STOP_GRACE_S)
                raise
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
            return [task.result() for task in tasks]

    async def _wait(self, tasks: Sequence["asyncio.Future[Reply]"]) -> None:
        """Until all are done or the first has failed; after Ctrl-C a little longer and no more."""
        stopped_at = None
        waiting: set[asyncio.Future[Reply]] = set(tasks)
        while waiting:
            done, waiting = await asyncio.wait(waiting, timeout=POLL_S, return_when=asyncio.FIRST_EXCEPTION)
            for task in done:
                task.result()
            if self._stop and stopped_at is None:
                stopped_at = time.monotonic()
            if waiting and stopped_at is not None and time.monotonic() - stopped_at > STOP_GRACE_S:
                raise self._stopped()

    async def _complete(self, client: httpx.AsyncClient, body: Mapping[str, Any]) -> Reply:
        began_at = time.monotonic()
        num_failures = 0  # for which the request may be to blame
        pause = self._limits.first_pause_s
        while True:
            try:
                return await self._try(client, body)
            except EndpointError as error:  # a firewall may refuse the text of one request
                if await self._is_alive(client, body):
                    return Reply("", str(error))
                raise
            except _Failure as failure:
                num_failures += not failure.is_busy
                if num_failures >= MAX_TRIES and await self._is_alive(client, body):
                    return Reply("", f"{failure.reason}, {counted(num_failures, 'time')}")
                away_s = time.monotonic() - max(self._last_reply_at, began_at)
                if away_s + (failure.retry_after_s or pause) > self._limits.patience_s:
                    raise self._away(failure, away_s) from None
                self._paused_until = max(self._paused_until, time.monotonic() + failure.retry_after_s)
                wait = failure.retry_after_s or pause
            await self._sleep(wait)
            pause = min(2 * pause, LONGEST_PAUSE_S)

    def _away(self, failure: _Failure, away_s: float) -> EndpointError:
        wish = f", and asks to wait for {failure.retry_after_s:.0f} s" if failure.retry_after_s else ""
        return EndpointError(
            f"{self._endpoint.name} ({self._endpoint.url}) has not answered for {away_s:.0f} s: "
            f"{failure.reason}{wish}. Replies so far are kept. Run the same command once the endpoint "
            "answers."
        )

    async def _is_alive(self, client: httpx.AsyncClient, body: Mapping[str, Any]) -> bool:
        """Whether the server answers another request, in which no text of ours can be at fault."""
        try:
            await self._try(client, {**body, "messages": SMALL_REQUEST})
        except (_Failure, EndpointError):
            return False
        return True

    async def _sleep(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while (left := max(until, self._paused_until) - time.monotonic()) > 0:
            if self._stop or self._has_failed:
                raise self._stopped()
            await asyncio.sleep(min(left, POLL_S))

    def _stopped(self) -> Stopped:
        return Stopped(
            f"Stopped while {self._endpoint.name} was answering. Replies so far are kept. Run the same "
            "command to continue."
        )

    async def _try(self, client: httpx.AsyncClient, body: Mapping[str, Any]) -> Reply:
        """One try.  Raises _Failure if another may succeed."""
        # Escaped, because a text may hold half a surrogate pair.  Compressed replies could not be bounded.
        content = json.dumps(body).encode("ascii")
        headers = {
            "Content-Type": "application/json",
            "Accept-Encoding": "identity",
            **self._endpoint.headers,
        }
        try:
            async with (
                asyncio.timeout(self._limits.timeout_s),
                client.stream(
                    "POST", self._endpoint.completions_url, content=content, headers=headers
                ) as response,
            ):
                received = await _read(response)
        except (TimeoutError, httpx.ReadTimeout, httpx.WriteTimeout):
            raise _Failure(f"no reply within {self._limits.timeout_s:g} s") from None
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout):
            raise _Failure("it cannot be reached", is_busy=True) from None
        except httpx.HTTPError as error:  # its text may hold the header with the key
            raise _Failure(f"the connection broke ({type(error).__name__})") from None
        if received is None:
            return self._replied(Reply("", f"the reply is longer than {MAX_RESPONSE_BYTES:,} bytes"))
        if response.status_code == 200:
            return self._replied(self._parsed(received))
        return self._refused(response, received)

    def _replied(self, reply: Reply) -> Reply:
        self._last_reply_at = time.monotonic()
        return reply

    def _refused(self, response: httpx.Response, received: bytes) -> Reply:
        status = response.status_code
        reason = f"status {status}: {error_message(self._endpoint, received, response.reason_phrase)}"
        if status in (408, 425, 429) or status >= 500:
            retry_after_s = _retry_after(response.headers.get("Retry-After", ""))
            raise _Failure(reason, is_busy=status in BUSY, retry_after_s=retry_after_s)
        if status in REFUSALS or status < 400:
            what = REFUSALS.get(status, "answers from another address; write its final address")
            raise EndpointError(
                f"{self._endpoint.name} ({self._endpoint.url}) {what} ({reason}). Correct the address, the "
                "model or the key, and run the same command again."
            )
        # The server has read this request and does not want it: it is too long, or a filter took it.
        return self._replied(Reply("", reason))

    def _parsed(self, received: bytes) -> Reply:
        """The text of the first choice."""
        try:
            body = json.loads(received)
            if body.get("error"):
                raise _Failure(error_message(self._endpoint, received, "an error"))
            choice = body["choices"][0]
            message = choice["message"]
            text, refusal, finish = (
                message.get("content"),
                message.get("refusal"),
                choice.get("finish_reason"),
            )
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
            shown = self._endpoint.printable(received[:LONGEST_REASON].decode("utf-8", errors="replace"))
            raise _Failure(f"it did not reply as an OpenAI-compatible server does ({shown!r})") from None
        if refusal or finish == "content_filter":
            return Reply("", f"the model refused: {self._endpoint.printable(str(refusal or finish))}")
        if finish == "length":
            return Reply("", "the reply was cut off at its longest length")
        if not isinstance(text, str) or not text.strip():
            return Reply("", "the reply is empty")
        return Reply(self._endpoint.without_key(text))


async def _read(response: httpx.Response) -> bytes | None:
    """The body as it was sent, or None if it is too long."""
    received = bytearray()
    async for part in response.aiter_raw():
        received += part
        if len(received) > MAX_RESPONSE_BYTES:
            return None
    return bytes(received)


def _retry_after(header: str) -> float:
    """Seconds to wait, from a number of seconds or a date; 0 if the header says nothing."""
    try:
        seconds = float(header)
    except ValueError:
        try:
            date = email.utils.parsedate_to_datetime(header)
            seconds = (date.replace(tzinfo=date.tzinfo or UTC) - datetime.now(UTC)).total_seconds()
        except (ValueError, TypeError, OverflowError):
            return 0.0
    return max(0.0, seconds) if math.isfinite(seconds) else 0.0
