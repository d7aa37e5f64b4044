"""Limits on clients: how often a password may be wrong, and how large a request may be."""

import asyncio
import functools
import ipaddress
import re
import time
from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import Connection
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fairlead.core.plural import counted
from fairlead.labels import attempts
from fairlead.labels.database import Database
from fairlead.labels.errors import StudioError

MIB = 1024 * 1024
MAX_BODY = 2 * MIB  # of any request that is not an upload
BODY_S = 30.0  # for the body of a request, and in addition:
SLOWEST_BYTES_PER_S = 20_000  # a body that comes more slowly is given up
UPLOAD_PATHS = re.compile(r"/(api/v1|new|c/[^/]+)/uploads")


class TooMany(StudioError):
    """Too many failed attempts.  `wait_s` is the time until the next one is allowed."""

    def __init__(self, wait_s: float) -> None:
        super().__init__(f"too many attempts; try again in {_format_wait(wait_s)}.")
        self.wait_s = wait_s


@dataclass(frozen=True)
class Limiter:
    """Allows `limit` failures per key within `per_s` seconds, over all processes of the server."""

    database: Database
    purpose: str  # what is counted; the same key may be counted for several purposes
    limit: int
    per_s: float = 900.0

    def check(self, key: str, *, now: str) -> None:
        """Raises TooMany when the limit is reached."""
        with self.database.read() as connection:
            self._check(connection, key, now)

    def begin(self, key: str, *, now: str) -> int:
        """Count an attempt as failed before its outcome is known.  Raises TooMany when the limit is reached.

        Attempts that run at the same time are counted too.  After a success call `succeeded` or `forgive`.
        """
        self.check(key, now=now)  # a flood of attempts is refused without a write
        with self.database.write() as connection:
            attempts.take_turns(connection)
            self._check(connection, key, now)
            return attempts.add(connection, self._key(key), at=now)

    def succeeded(self, connection: Connection, key: str) -> None:
        """Forget all failures of the key."""
        attempts.forget(connection, self._key(key))

    def _check(self, connection: Connection, key: str, now: str) -> None:
        wait_s = attempts.wait_s(connection, self._key(key), limit=self.limit, per_s=self.per_s, at=now)
        if wait_s is not None:
            raise TooMany(wait_s)

    def _key(self, key: str) -> str:
        return f"{self.purpose}: {key}"


@functools.lru_cache(maxsize=4096)
def source_of(host: str) -> str:
    """The part of a network address that one client holds: of IPv6, the first 64 bits."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.ip_network((address, 64), strict=False))


class BodyLimit:
    """Middleware that refuses a request body over the limit before a route reads it, or one that is too slow.

    Requests without a length are counted while they are read.  Uploads by leads have a higher limit.
    A lead's second upload at the same time is refused before it is read: to read, unpack and digest a large
    file takes time from everybody's saves.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        max_body: int = MAX_BODY,
        body_s: float = BODY_S,
        uploads: int,
        lead_of: Callable[[Scope], str | None],
    ) -> None:
        self._app = app
        self._max_body = max_body
        self._body_s = body_s
        self._max_upload = uploads
        self._lead_of = lead_of
        self._uploading: set[str] = set()  # leads

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        lead = await self._uploading_lead(scope)
        limit = self._max_body if lead is None else self._max_upload
        length = Headers(scope=scope).get("content-length", "0")
        if not length.isdigit() or int(length) > limit:
            await self._refuse(limit, scope, receive, send)
            return
        if lead is None:
            await self._read(limit, scope, receive, send)
        elif lead in self._uploading:
            message = "your last upload is still being read. Send this one again when it has ended."
            headers = {"Retry-After": "5", "Connection": "close"}
            await JSONResponse({"error": {"message": message}}, 429, headers)(scope, receive, send)
        else:
            self._uploading.add(lead)
            try:
                await self._read(limit, scope, receive, send)
            finally:
                self._uploading.discard(lead)

    async def _read(self, limit: int, scope: Scope, receive: Receive, send: Send) -> None:
        num_read = 0
        is_read = False
        has_responded = False
        began = time.monotonic()

        async def counting_receive() -> Message:
            nonlocal num_read, is_read
            if is_read:  # what follows is the end of the connection, for which streams wait without a limit
                return await receive()
            left_s = began + self._body_s + num_read / SLOWEST_BYTES_PER_S - time.monotonic()
            try:
                message = await asyncio.wait_for(receive(), max(0.0, left_s))
            except TimeoutError:
                raise _TooSlow from None
            num_read += len(message.get("body", b""))
            if num_read > limit:
                raise _TooLarge
            is_read = not message.get("more_body", False)
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
        except _TooSlow:
            if not has_responded:
                message = "the request came too slowly, so it was given up. Send it again."
                body = {"error": {"message": message}}
                await JSONResponse(body, 408, headers={"Connection": "close"})(scope, receive, send)

    async def _uploading_lead(self, scope: Scope) -> str | None:
        is_upload = scope["method"] == "POST" and UPLOAD_PATHS.fullmatch(scope["path"]) is not None
        return await run_in_threadpool(self._lead_of, scope) if is_upload else None

    async def _refuse(self, limit: int, scope: Scope, receive: Receive, send: Send) -> None:
        message = f"the request is too large; the limit is {limit // MIB} MiB."
        response = JSONResponse({"error": {"message": message}}, 413, headers={"Connection": "close"})
        await response(scope, receive, send)


class _TooLarge(Exception):
    pass


class _TooSlow(Exception):
    pass


def _format_wait(seconds: float) -> str:
    return (
        counted(max(1, round(seconds)), "second") if seconds < 90 else counted(round(seconds / 60), "minute")
    )
