"""Bounds on what one client can ask for: how often passwords may be wrong, and how large a request may be."""

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
SMALL = 2 * MIB  # of any request that uploads nothing
UPLOADS = re.compile(r"/(api/v1|new|c/[^/]+)/uploads")  # where leads send larger ones
MOST_KEYS = 10_000  # those that were quiet for longest are forgotten


class TooMany(StudioError):
    def __init__(self, wait_s: float) -> None:
        super().__init__(f"too many attempts; try again in {_minutes(wait_s)}.")
        self.wait_s = wait_s


class Limiter:
    """At most `limit` failures of one key within `per_s` seconds.  It counts within this process."""

    def __init__(self, limit: int, per_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._limit, self._per_s, self._clock = limit, per_s, clock
        self._failures: OrderedDict[str, deque[float]] = OrderedDict()
        self._lock = threading.Lock()

    def check(self, key: str) -> None:
        """Raises TooMany where the limit is reached."""
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
            if len(self._failures) > MOST_KEYS:
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
    """Refuses a request that is larger than its place allows, before anything has read it; also one that does not say how large it is.
    Uploads are larger, where `is_lead` says that one asks.
    """

    def __init__(
        self, app: ASGIApp, *, small: int = SMALL, uploads: int, is_lead: Callable[[Scope], bool]
    ) -> None:
        self._app, self._small, self._uploads, self._is_lead = app, small, uploads, is_lead

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        upload = scope["method"] == "POST" and UPLOADS.fullmatch(scope["path"]) is not None
        limit = self._uploads if upload and await run_in_threadpool(self._is_lead, scope) else self._small
        length = Headers(scope=scope).get("content-length", "0")
        if not length.isdigit() or int(length) > limit:
            await self._refuse(limit, scope, receive, send)
            return
        read, answering = 0, False

        async def counted() -> Message:
            nonlocal read
            message = await receive()
            read += len(message.get("body", b""))
            if read > limit:
                raise _TooLarge
            return message

        async def noticed(message: Message) -> None:
            nonlocal answering
            answering = True
            await send(message)

        try:
            await self._app(scope, counted, noticed)
        except _TooLarge:
            if not answering:
                await self._refuse(limit, scope, receive, send)

    async def _refuse(self, limit: int, scope: Scope, receive: Receive, send: Send) -> None:
        message = f"this is too large; at most {limit // MIB} MiB are taken."
        await JSONResponse({"error": {"message": message}}, 413, headers={"Connection": "close"})(
            scope, receive, send
        )


class _TooLarge(Exception):
    pass


def _minutes(seconds: float) -> str:
    return f"{max(1, round(seconds))} seconds" if seconds < 90 else f"{round(seconds / 60)} minutes"
