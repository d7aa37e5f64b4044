"""Security headers of every response, and the log line of every request.

The content security policy allows only the studio's own files: no inline scripts or styles, no other sites,
no frames. The log contains the path's pattern instead of the path, because invite links carry a secret in
their path.
"""

import logging
import time

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

CSP = (
    "default-src 'self'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self';"
    " object-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'"
)
HEADERS = {
    "Content-Security-Policy": CSP,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",  # a stricter policy also hides the origin of the studio's own forms
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}
STATIC = "/static/"

log = logging.getLogger("fairlead.studio")


class SafeHeaders:
    def __init__(self, app: ASGIApp, *, https: bool) -> None:
        self._app = app
        self._https = https

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        is_static = scope["path"].startswith(STATIC)
        status = 0

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
                # Static files are revalidated and usually answered with 304; everything else is never cached.
                headers.setdefault("Cache-Control", "no-cache" if is_static else "no-store")
                if self._https:
                    headers.setdefault("Strict-Transport-Security", "max-age=31536000")
            await send(message)

        try:
            await self._app(scope, receive, send_with_headers)
        finally:
            if not is_static:
                duration_ms = 1000 * (time.perf_counter() - started)
                log.info(
                    "%s %s %s %.0f ms", scope["method"], _path_pattern(scope), status or "-", duration_ms
                )


def _path_pattern(scope: Scope) -> str:
    """The path with parameter names in place of their values, for example `/c/{slug}/items`."""
    route = scope.get("route")
    if route is None:
        return "(no such page)"
    placeholders = {str(value): f"{{{name}}}" for name, value in scope.get("path_params", {}).items()}
    if any("/" in value for value in placeholders):
        return str(route.path)
    return "/".join(placeholders.get(segment, segment) for segment in scope["path"].split("/"))
