"""Every attack of the corpus in a real Chromium: no script, no dialog, no request to another host.

First tests the rendered HTML alone, without a content security policy; then the pages with their policy.
"""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext, Dialog, Page

from browser.conftest import Browse, Studio, answer
from fairlead.data.records import Message
from fairlead.labels import assignments, judgements
from fairlead.labels.items import NewItem
from fairlead.studio import safe_html
from fairlead.studio.auth import COOKIE
from studio.xss_corpus import ATTACKS, FAMILIES

pytestmark = pytest.mark.browser

HERE = "http://studio.invalid/"
FORBIDDEN = """() => [...document.querySelectorAll('.said *')].flatMap(e => [
    ...(/^(script|style|iframe|object|embed|img|svg|form|input|link|meta|base|video|template)$/i
      .test(e.tagName) ? [e.tagName] : []),
    ...[...e.attributes].map(a => a.name)
      .filter(name => /^on|^(style|src|srcset|srcdoc|id|name|xlink:href|action)$/i.test(name)),
    ...(e.hasAttribute('href') && !/^(https?|mailto):$/.test(e.protocol) ? [e.getAttribute('href')] : []),
])"""
TOUCH = """() => { for (const e of document.querySelectorAll('.said *')) {
    e.dispatchEvent(new MouseEvent('mouseover', {bubbles: true}));
    e.focus?.();
} }"""


class Watch:
    """What a page did that no text may make it do."""

    def __init__(self, page: Page, home: str) -> None:
        self.page, self.home = page, home
        self.happened: list[str] = []
        page.on("dialog", self._dialog)
        page.on("request", lambda request: self._asked(request.url))
        page.on("popup", lambda other: self.happened.append(f"window {other.url}"))
        page.on("framenavigated", lambda frame: self._asked(frame.url))

    def _dialog(self, dialog: Dialog) -> None:
        self.happened.append("dialog")
        dialog.dismiss()

    def _asked(self, url: str) -> None:
        if not url.startswith((self.home, "about:blank", "data:,")):
            self.happened.append(f"request {url[:100]}")

    def done(self) -> list[str]:
        """Everything, when all that can be touched was."""
        self.page.evaluate(TOUCH)
        owned = ["global"] if self.page.evaluate("'owned' in window") else []
        return [*self.happened, *owned, *self.page.evaluate(FORBIDDEN)]


@pytest.fixture(scope="module")
def nobody(browser: Browser) -> Iterator[BrowserContext]:
    context = browser.new_context()
    yield context
    context.close()


def shown(context: BrowserContext, html: str) -> list[str]:
    """What happens on a page that holds this and has no policy."""
    page = context.new_page()
    body = f"<!doctype html><meta charset=utf-8><link rel=icon href=data:,><main class=said>{html}</main>"
    page.route(
        "**/*",
        lambda route: (
            route.fulfill(body=body, content_type="text/html") if route.request.url == HERE else route.abort()
        ),
    )
    watch = Watch(page, HERE)
    page.goto(HERE)
    happened = watch.done()
    page.close()
    return happened


@pytest.mark.parametrize(
    "attack",
    [
        "<script>window.owned=1</script>",
        "<img src=x onerror=alert(1)>",
        "<img src=https://elsewhere.invalid/x>",
    ],
)
def test_the_watch_sees_what_happens_to_who_does_nothing_about_it(
    nobody: BrowserContext, attack: str
) -> None:
    assert shown(nobody, attack) != []


@pytest.mark.parametrize("name", ATTACKS)
def test_no_attack_does_anything_once_it_is_rendered(nobody: BrowserContext, name: str) -> None:
    assert shown(nobody, safe_html.render(ATTACKS[name])) == []


@pytest.mark.parametrize("family", FAMILIES)
def test_no_attack_does_anything_with_the_allow_list_alone(nobody: BrowserContext, family: str) -> None:
    assert shown(nobody, "\n<hr>\n".join(safe_html.clean(text) for text in FAMILIES[family])) == []


def test_no_attack_does_anything_in_the_raw_view(nobody: BrowserContext) -> None:
    assert shown(nobody, "\n".join(safe_html.plain(text) for text in ATTACKS.values())) == []


# ---------------------------------------------------------------- the studio's own pages

# The database takes no NUL and no half of a pair.
STORED = list(
    dict.fromkeys(text.replace("\x00", "").encode("utf-8", "ignore").decode() for text in ATTACKS.values())
)
PER_ITEM = 8


def test_no_attack_does_anything_on_the_labelling_page(studio: Studio, browse: Browse) -> None:
    groups = [STORED[start : start + PER_ITEM] for start in range(0, len(STORED), PER_ITEM)]
    rows = [
        NewItem(prompt=(Message("user", "\n\n".join(group)),), answers=tuple(answer(text) for text in group))
        for group in groups
    ]
    campaign = studio.campaign(
        "ranking", items=rows, name="<script>window.owned=1</script>", guidelines="\n\n".join(STORED)
    )
    ada = studio.person("<img src=x onerror=alert(1)>", campaign)
    page = browse(ada)
    watch = Watch(page, studio.url)
    for _ in rows:
        page.goto(f"{studio.url}/c/{campaign.slug}/label")
        page.locator(".pane .said").first.wait_for()
        assert watch.done() == []
        with studio.database.write() as connection:
            held = assignments.list_leased(connection, campaign, ada.rater)
            judgements.skip(connection, held[0].id, ada.rater, reason="broken")
    page.goto(f"{studio.url}/c/{campaign.slug}/label")
    page.locator("#open-guide").click()
    page.locator("#guide .said").first.wait_for()
    assert watch.done() == []


def test_the_policy_stops_a_script_that_got_in(studio: Studio, nobody: BrowserContext) -> None:
    """The content security policy stops HTML that rendering let through; Chromium logs each violation."""
    campaign = studio.campaign("thumbs", items=1)
    nobody.add_cookies(
        [{"name": COOKIE, "value": studio.session(studio.person("Ada", campaign)), "url": studio.url}]
    )
    page = nobody.new_page()
    page.goto(f"{studio.url}/c/{campaign.slug}/label")
    page.locator(".said").first.wait_for()
    refused = page.evaluate(
        """() => new Promise(done => {
            const seen = [];
            document.addEventListener('securitypolicyviolation', e => {
                seen.push(e.effectiveDirective);
                if (seen.length === 2) done(seen.sort());
            });
            document.querySelector('.said').innerHTML =
                '<img src="https://elsewhere.invalid/x.png"><b onclick="window.owned=1">x</b>';
            document.querySelector('.said b').click();
            setTimeout(() => done(seen.sort()), 3000);
        })"""
    )
    assert refused == ["img-src", "script-src-attr"] and not page.evaluate("'owned' in window")
