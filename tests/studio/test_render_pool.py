"""Slow texts are rendered in worker processes, within a limit of time."""

import time
from collections.abc import Iterator

import pytest

from fairlead.studio import render_pool, safe_html
from fairlead.studio.render_pool import RenderPool

SLOW = "![" * 49_000


@pytest.fixture
def pool() -> Iterator[RenderPool]:
    opened = RenderPool(num_workers=1)
    yield opened
    opened.close()


def test_a_worker_renders_what_this_process_would(pool: RenderPool) -> None:
    for text in ("**bold** <script>", "سلام \ud800 \0", "$a^2$", ""):
        assert pool.submit(text).result.result(60) == safe_html.render_here(text)


def test_a_text_that_takes_too_long_ends_its_worker_alone(pool: RenderPool) -> None:
    assert pool.submit("first").result.result(60)
    pool._limit_s = 0.05
    assert pool.submit(SLOW).result.result(60) is None
    pool._limit_s = 60.0
    assert pool.submit("*next*").result.result(60) == '<p dir="auto"><em>next</em></p>\n'


def test_a_cancelled_text_is_not_rendered(pool: RenderPool) -> None:
    running, waiting = pool.submit(SLOW * 2), pool.submit("never")
    waiting.cancel()
    while not pool._processes:
        time.sleep(0.01)
    running.cancel()
    assert (running.result.result(60), waiting.result.result(60)) == (None, None)
    assert pool.submit("next").result.result(60)


def test_long_texts_leave_this_process(monkeypatch: pytest.MonkeyPatch, pool: RenderPool) -> None:
    monkeypatch.setattr(render_pool, "_shared", pool)
    here: list[int] = []

    def render_here(text: str) -> safe_html.Safe:
        here.append(len(text))
        return safe_html.plain(text)

    monkeypatch.setattr(safe_html, "render_here", render_here)
    long, short = "*a* " * 3_000, "*a* " * 300
    assert safe_html.render(long).startswith('<p dir="auto"><em>a</em>') and here == []
    safe_html.render(short)
    assert here == [len(short)]
    assert safe_html.cached(long) == safe_html.render(long)


def test_without_a_worker_in_time_the_text_is_shown_unformatted(
    monkeypatch: pytest.MonkeyPatch, pool: RenderPool
) -> None:
    monkeypatch.setattr(render_pool, "_shared", pool)
    monkeypatch.setattr(safe_html, "WAIT_S", 0.0)
    text = "*b* " * 3_000
    assert safe_html.render(text) == safe_html.plain(text) and safe_html.cached(text) is None
