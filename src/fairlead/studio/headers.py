"""What every answer says to the browser, and what the log says about every request.

The content security policy allows nothing but the studio's own files: no inline script or style, no other site, no frame.  The log has
the pattern of an address and not the address: links that invite carry a secret in their path.
"""

import logging
import time

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

CSP = (
    "default-src 'self'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; object-src 'none'; "
    "frame-ancestors 'none'; base-uri 'none'; form-action 'self'"
)
HEADERS = {
    "Content-Security-Policy": CSP,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",  # a stricter one hides the origin of the studio's own forms too
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}
STATIC = "/static/"

log = logging.getLogger("fairlead.studio")


class SafeHeaders:
    def __init__(self, app: ASGIApp, *, https: bool) -> None:
        self._app, self._https = app, https

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, status = time.perf_counter(), 0

        async def with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
                # Own files are asked for again and answered with 304; what people see is kept nowhere.
                headers.setdefault(
                    "Cache-Control", "no-cache" if scope["path"].startswith(STATIC) else "no-store"
                )
                if self._https:
                    headers.setdefault("Strict-Transport-Security", "max-age=31536000")
            await send(message)

        try:
            await self._app(scope, receive, with_headers)
        finally:
            if not scope["path"].startswith(STATIC):
                log.info(
                    "%s %s %s %.0f ms",
                    scope["method"],
                    _pattern(scope),
                    status or "-",
                    1000 * (time.perf_counter() - began),
                )


def _pattern(scope: Scope) -> str:
    """The address with the name of each part in place of the part."""
    route = scope.get("route")
    if route is None:
        return "(no such page)"
    named = {str(value): f"{{{name}}}" for name, value in scope.get("path_params", {}).items()}
    if any("/" in value for value in named):
        return str(route.path)
    return "/".join(named.get(part, part) for part in scope["path"].split("/"))
