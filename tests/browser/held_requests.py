"""Waits for what a page does, holds its requests back, and reads what it was sent.

A handler of Playwright's runs only while the test waits for the page, so what a handler has noted may come
later than what the page shows.  Tests therefore wait for it, and never read a list at once.
"""

import time
from collections.abc import Callable, Iterator

from playwright.sync_api import Page, Response, Route


def until(page: Page, holds: Callable[[], bool], otherwise: str = "it never came to be so") -> None:
    """Waits until it is so, at most ten seconds."""
    end = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < end, otherwise
        page.wait_for_timeout(20)


def texts_of_api(page: Page, show: Callable[[], object]) -> list[str]:
    """What the API has sent to the page while `show` made the page load and hand out an item."""
    answers: list[Response] = []
    page.on("response", lambda answer: answers.append(answer) if "/api/" in answer.url else None)
    with page.expect_response("**/next") as items:
        show()
    return [answer.text() for answer in {*answers, items.value} if answer.ok]


class HeldRequests:
    """Requests of a page to a path, which wait until they are let go."""

    def __init__(self, page: Page, path: str) -> None:
        self._page = page
        self._routes: list[Route] = []
        page.route(path, lambda route: self._routes.append(route))

    def __iter__(self) -> Iterator[Route]:
        return iter(self._routes)

    def __len__(self) -> int:
        return len(self._routes)

    def wait_for(self, num: int) -> None:
        until(self._page, lambda: len(self) >= num, f"the page sent fewer than {num} requests")

    def __getitem__(self, index: int) -> Route:
        """The request of this number, from 0; waits for it."""
        self.wait_for(index + 1)
        return self._routes[index]
