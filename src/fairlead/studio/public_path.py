"""Serves the studio under a path of its public address, such as https://example.org/labels.

Inside the studio every path starts at its root.  `UnderPath` takes the public path off requests, and puts it
in front of redirects; `add_to_links` puts it in front of the links of a page.  A proxy may pass the public
path on or take it off.  Scripts find the public path with `static/root.js`.
"""

import re

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

PATH = re.compile(r"(/[A-Za-z0-9._~-]+)*/?")
REDIRECTS = ("location", "hx-redirect", "hx-location", "hx-push-url", "hx-replace-url")
# Templates escape "<" and ">" in every text and value, so this matches whole tags and nothing else.
TAG = re.compile(r"<[a-z][^<>]*>")
LINK = re.compile(
    r"(\s(?:href|xlink:href|src|action|formaction|hx-get|hx-post|hx-put|hx-patch|hx-delete|data-api"
    r'|data-then|data-refresh|data-url)="(?:[A-Z]+ )?)(?=/(?!/))'
)


class UnderPath:
    def __init__(self, app: ASGIApp, path: str) -> None:
        self._app = app
        self._path = path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_path(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name in REDIRECTS:
                    if name in headers:
                        headers[name] = self._with_path(headers[name])
            await send(message)

        inner = {**scope, "path": self._without_path(scope["path"])}
        if scope.get("raw_path"):
            inner["raw_path"] = self._without_path(scope["raw_path"].decode("ascii")).encode("ascii")
        await self._app(inner, receive, send_with_path)

    def _without_path(self, path: str) -> str:
        if path == self._path:
            return "/"
        return path.removeprefix(self._path) if path.startswith(self._path + "/") else path

    def _with_path(self, url: str) -> str:
        return self._path + url if url.startswith("/") and not url.startswith("//") else url


def add_to_links(html: str, path: str) -> str:
    """Put the path in front of every link of a page that starts at the studio's root."""
    if not path:
        return html
    return TAG.sub(lambda tag: LINK.sub(rf"\g<1>{path}", tag[0]), html)
