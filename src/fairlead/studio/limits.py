"""Limits on clients: how often a password may be wrong, and how large a request may be."""

import re
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fairlead.labels.errors import StudioError

MIB = 1024 * 1024
MAX_BODY = 2 * MIB  # of any request that is not an upload
UPLOAD_PATHS = re.compile(r"/(api/v1|new|c/[^/]+)/uploads")
MAX_KEYS = 10_000  # beyond that, the keys with the oldest failures are forgotten


class TooMany(StudioError):
    """Too many failed attempts.  `wait_s` is the time until the next one is allowed."""

    def __init__(self, wait_s: float) -> None:
        super().__init__(f"too many attempts; try again in {_format_wait(wait_s)}.")
        self.wait_s = wait_s


class Limiter:
    """Allows `limit` failures per key within `per_s` seconds.  Counts within this process only."""

    def __init__(self, limit: int, per_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._limit = limit
        self._per_s = per_s
        self._clock = clock
        self._failures: OrderedDict[str, deque[float]] = OrderedDict()
        self._lock = threading.Lock()

    def check(self, key: str) -> None:
        """Raises TooMany when the limit is reached."""
        with self._lock:
            times = self._recent(key)
            if len(times) >= self._limit:
                raise TooMany(times[0] + self._per_s - self._clock())

    def failed(self, key: str) -> None:
        with self._lock:
            times = self._recent(key)
            times.append(self._clock())
            self._failures[key] = times
            self._failures.move_to_end(key)
            if len(self._failures) > MAX_KEYS:
                self._failures.popitem(last=False)

    def succeeded(self, key: str) -> None:
        with self._lock:
            self._failures.pop(key, None)

    def _recent(self, key: str) -> deque[float]:
        times = self._failures.get(key, deque())
        while times and times[0] <= self._clock() - self._per_s:
            times.popleft()
        return times


class BodyLimit:
    """Middleware that refuses a request body over the limit before a route reads it.

    Requests without a length are counted while they are read.  Uploads by leads have a higher limit.
    """

    def __init__(
        self, app: ASGIApp, *, max_body: int = MAX_BODY, uploads: int, is_lead: Callable[[Scope], bool]
    ) -> None:
        self._app = app
        self._max_body = max_body
        self._max_upload = uploads
        self._is_lead = is_lead

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        limit = await self._limit(scope)
        length = Headers(scope=scope).get("content-length", "0")
        if not length.isdigit() or int(length) > limit:
            await self._refuse(limit, scope, receive, send)
            return
        num_read = 0
        has_responded = False

        async def counting_receive() -> Message:
            nonlocal num_read
            message = await receive()
            num_read += len(message.get("body", b""))
            if num_read > limit:
                raise _TooLarge
            return message

        async def noting_send(message: Message) -> None:
            nonlocal has_responded
            has_responded = True
            await send(message)

        try:
            await self._app(scope, counting_receive, noting_send)
        except _TooLarge:
            if not has_responded:
                await self._refuse(limit, scope, receive, send)

    async def _limit(self, scope: Scope) -> int:
        is_upload = scope["method"] == "POST" and UPLOAD_PATHS.fullmatch(scope["path"]) is not None
        if is_upload and await run_in_threadpool(self._is_lead, scope):
            return self._max_upload
        return self._max_body

    async def _refuse(self, limit: int, scope: Scope, receive: Receive, send: Send) -> None:
        message = f"the request is too large; the limit is {limit // MIB} MiB."
        response = JSONResponse({"error": {"message": message}}, 413, headers={"Connection": "close"})
        await response(scope, receive, send)


class _TooLarge(Exception):
    pass


def _format_wait(seconds: float) -> str:
    return f"{max(1, round(seconds))} seconds" if seconds < 90 else f"{round(seconds / 60)} minutes"
