"""Waits for what a page does, and holds its requests back.

A handler of Playwright's runs only while the test waits for the page, so what a handler has noted may come
later than what the page shows.  Tests therefore wait for it, and never read a list at once.
"""

import time
from collections.abc import Callable

from playwright.sync_api import Page, Route


def until(page: Page, holds: Callable[[], bool], otherwise: str = "it never came to be so") -> None:
    """Waits until it is so, at most ten seconds."""
    end = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < end, otherwise
        page.wait_for_timeout(20)


class HeldRequests:
    """Requests of a page to a path, which wait until they are let go."""

    def __init__(self, page: Page, path: str) -> None:
        self._page = page
        self._routes: list[Route] = []
        page.route(path, self._routes.append)

    def __len__(self) -> int:
        return len(self._routes)

    def wait_for(self, num: int) -> None:
        until(self._page, lambda: len(self) >= num, f"the page sent fewer than {num} requests")

    def __getitem__(self, index: int) -> Route:
        """The request of this number, from 0; waits for it."""
        self.wait_for(index + 1)
        return self._routes[index]
