"""Refuses requests for a host name that is not the studio's, so that no other site can pose as the studio.

A site can let its own name lead to the address of a studio in a private network, and then read the studio
from a visitor's browser.  Addresses in numbers cannot be abused like this, so they are always allowed.
"""

import ipaddress
import re
import socket
from html import escape
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from fairlead.studio.settings import Settings

HOST = re.compile(r"(?P<name>\[[0-9a-f:.]+\]|[a-z0-9_.-]+)(:\d+)?")


class AllowedHosts:
    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self._app = app
        self._allowed = allowed_names(settings)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            host = Headers(scope=scope).get("host", "")
            if not is_allowed(host, self._allowed):
                await _refusal(scope["path"], host.lower())(scope, receive, send)
                return
        await self._app(scope, receive, send)


def allowed_names(settings: Settings) -> frozenset[str]:
    names = {"localhost", socket.gethostname().lower(), settings.host.lower(), *settings.allowed_hosts}
    names.add(f"{socket.gethostname().lower()}.local")
    if settings.public_url is not None:
        names.add(urlsplit(settings.public_url).hostname or "")
    return frozenset(names)


def is_allowed(host: str, names: frozenset[str]) -> bool:
    """`host` is a Host header.  A request without one comes from no browser."""
    if not host:
        return True
    parsed = HOST.fullmatch(host.lower())
    if parsed is None:
        return False
    name = parsed["name"].rstrip(".").strip("[]")
    if name in names or name.endswith(".localhost"):
        return True
    parts = name.split(".")
    if any("*." + ".".join(parts[n:]) in names for n in range(1, len(parts))):
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _refusal(path: str, host: str) -> Response:
    address = host[:200]
    name = address.partition(":")[0]  # names in brackets are addresses in numbers, which are not refused
    message = (
        f"this studio does not serve the host {name!r}. If the host is right, start the studio with "
        f"--public-url https://{address} or with --allowed-hosts {name}."
    )
    if "/api/" in path:
        return JSONResponse({"error": {"message": message}}, 400)
    return HTMLResponse(f"<!doctype html><title>Fairlead</title><p>T{escape(message[1:])}</p>", 400)
