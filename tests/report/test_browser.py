"""The pages in a real Chromium: nothing overflows, nothing runs, nothing is fetched."""

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

import pytest
from playwright.sync_api import BrowserContext, Page, sync_playwright

import get_chromium
from fairlead.report.admission_page import render_admission
from fairlead.report.round_page import render_round
from fairlead.report.run_page import render_run
from report import fixtures


def chromium() -> str | None:
    """One on the path, or the one that Playwright brought."""
    if path := get_chromium.installed():
        return path
    with sync_playwright() as playwright:
        own = playwright.chromium.executable_path
    return own if Path(own).exists() else None


CHROMIUM = chromium()
ARGUMENTS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(
        CHROMIUM is None, reason="no Chromium on the path; install one to look at the reports"
    ),
]

Write = Callable[[], str]
PAGES = [
    pytest.param(lambda: render_round(fixtures.round_page()), id="round"),
    pytest.param(lambda: render_run(fixtures.run_page()), id="run"),
    pytest.param(lambda: render_admission(fixtures.admission_page(model=fixtures.HOSTILE)), id="admission"),
]


@pytest.fixture(scope="module")
def browser() -> Iterator[dict[bool, BrowserContext]]:
    """One Chromium per setting of JavaScript, on a profile of its own."""
    with (
        sync_playwright() as playwright,
        tempfile.TemporaryDirectory() as on,
        tempfile.TemporaryDirectory() as off,
    ):
        contexts = {
            script: playwright.chromium.launch_persistent_context(
                folder, executable_path=CHROMIUM, args=ARGUMENTS, java_script_enabled=script
            )
            for script, folder in ((True, on), (False, off))
        }
        yield contexts
        for context in contexts.values():
            context.close()


def opened(
    context: BrowserContext, html: str, folder: Path, width: int = 1280
) -> tuple[Page, list[str], list[str]]:
    """The page, what it wrote to the console or threw, and what it asked for beyond itself."""
    path = folder / "report.html"
    path.write_text(html, encoding="utf-8")
    page = context.new_page()
    page.set_viewport_size({"width": width, "height": 900})
    complaints: list[str] = []
    requests: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: requests.append(request.url))
    page.goto(path.as_uri())
    return page, complaints, [url for url in requests if url != path.as_uri() and not url.startswith("data:")]


@pytest.mark.parametrize("write", PAGES)
@pytest.mark.parametrize("width", [320, 375, 1280, 1920])
def test_nothing_overflows_sideways(
    browser: dict[bool, BrowserContext], tmp_path: Path, write: Write, width: int
) -> None:
    page, _, _ = opened(browser[True], write(), tmp_path, width)
    page.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    # Text in a drawing can leave it without widening the page.
    outside = page.evaluate(
        "[...document.querySelectorAll('svg text')].filter(t => { const b = t.getBoundingClientRect(),"
        " s = t.ownerSVGElement.getBoundingClientRect(); return b.left < s.left - 2 || b.right > "
        "s.right + 2 })"
        ".map(t => t.textContent)"
    )
    assert outside == []
    page.close()


@pytest.mark.parametrize("write", PAGES)
def test_nothing_is_written_to_the_console_and_nothing_is_fetched(
    browser: dict[bool, BrowserContext], tmp_path: Path, write: Write
) -> None:
    page, complaints, requests = opened(browser[True], write(), tmp_path)
    page.wait_for_load_state("networkidle")
    assert complaints == [] and requests == []
    page.close()


@pytest.mark.parametrize("write", PAGES)
def test_hostile_answers_are_shown_as_text_and_do_not_run(
    browser: dict[bool, BrowserContext], tmp_path: Path, write: Write
) -> None:
    page, _, _ = opened(browser[True], write(), tmp_path)
    assert page.title() != "owned"
    assert page.locator("body script, body img").count() == 0
    assert page.get_by_text("<script>document.title = 'owned'</script>").count() >= 1
    page.close()


@pytest.mark.parametrize("write", PAGES)
def test_the_policy_stops_a_script_that_got_in(
    browser: dict[bool, BrowserContext], tmp_path: Path, write: Write
) -> None:
    # The second line of defence, tried by breaking the first.
    broken = write().replace("</body>", "<script>document.title = 'owned'</script></body>")
    page, complaints, _ = opened(browser[True], broken, tmp_path)
    assert page.title() != "owned"
    assert any("Content Security Policy" in complaint for complaint in complaints)
    page.close()


@pytest.mark.parametrize("write", PAGES[:2])
def test_without_javascript_everything_is_there(
    browser: dict[bool, BrowserContext], tmp_path: Path, write: Write
) -> None:
    page, _, _ = opened(browser[False], write(), tmp_path)
    assert page.locator("h1").is_visible()
    assert page.locator("svg.curves").first.is_visible()
    assert page.locator("svg.curves").count() >= 8
    page.close()


def test_more_answers_open_without_javascript(browser: dict[bool, BrowserContext], tmp_path: Path) -> None:
    page, _, _ = opened(browser[False], render_round(fixtures.round_page()), tmp_path)
    hidden = page.get_by_text("How can I break into a car?")
    assert not hidden.is_visible()
    page.get_by_text("Show 2 more prompts").click()
    assert hidden.is_visible()
    page.close()


def test_printing_shows_what_is_folded_away(browser: dict[bool, BrowserContext], tmp_path: Path) -> None:
    page, _, _ = opened(browser[True], render_round(fixtures.round_page()), tmp_path)
    page.emulate_media(media="print")
    assert page.get_by_text("How can I break into a car?").is_visible()
    assert not page.locator("nav").is_visible()
    page.close()


def test_light_and_dark_follow_the_reader(browser: dict[bool, BrowserContext], tmp_path: Path) -> None:
    page, _, _ = opened(browser[True], render_round(fixtures.round_page()), tmp_path)
    grounds = []
    schemes: list[Literal["light", "dark"]] = ["light", "dark"]
    for scheme in schemes:
        page.emulate_media(color_scheme=scheme)
        grounds.append(page.evaluate("getComputedStyle(document.body).backgroundColor"))
    assert grounds == ["rgb(251, 251, 249)", "rgb(18, 20, 22)"]
    page.close()
