"""The attacks on the pages for leads, in rows, names, tags, notes and guidelines: no script, no request.

The pages have elements of their own.  The tests search for elements that no page of the studio has.
"""

import json
import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from browser.conftest import Browse, Studio, answer
from browser.test_xss import PER_ITEM, STORED, Watch
from fairlead.data.records import Message
from fairlead.labels import flags, judgements, leases
from fairlead.labels.campaigns import Campaign
from fairlead.labels.items import MAX_SOURCE, MAX_TAG, NewItem
from fairlead.labels.people import LONGEST_NAME, Person

pytestmark = pytest.mark.browser

STRANGE = """() => [...document.querySelectorAll('*')].flatMap(e => [
    ...(/^(style|iframe|object|embed|img|base|video|audio|source|template|portal|marquee|frameset)$/i
      .test(e.tagName) ? [e.tagName] : []),
    ...(/^(script|link)$/i.test(e.tagName)
      && !/^\\/static\\//.test(e.getAttribute('src') ?? e.getAttribute('href')) ? [e.outerHTML] : []),
    ...[...e.attributes].map(a => a.name)
      .filter(name => /^(on|style$|srcset$|srcdoc$|formaction$)/i.test(name)),
    ...(e.matches('a[href], area[href]')
      && !/^(https?|mailto):$/.test(e.protocol ?? 'http:') ? [e.getAttribute('href')] : []),
])"""
GROUPS = [STORED[start : start + PER_ITEM] for start in range(0, len(STORED), PER_ITEM)]
NAMES = [text for text in STORED if text.isprintable() and len(text) <= LONGEST_NAME]
NAME = "<script>window.owned=1</script><img src=x onerror=alert(1)>"
CHIP = "<img src=x onerror=alert(1)>"


def tags_of(texts: list[str]) -> tuple[str, ...]:
    return tuple(text for text in texts if len(text) <= MAX_TAG)


def quiet(watch: Watch) -> list[str]:
    return [*watch.done(), *watch.page.evaluate(STRANGE)]


@pytest.fixture
def owner(studio: Studio) -> Person:
    return studio.person(NAME, owner=True)


def visited(studio: Studio, page: Page, campaign: Campaign, *paths: str) -> None:
    watch = Watch(page, studio.url)
    for path in paths:
        page.goto(f"{studio.url}/c/{campaign.slug}{path}")
        page.wait_for_load_state("load")
        assert quiet(watch) == [], path


def test_the_watch_sees_what_got_onto_a_page(studio: Studio, browse: Browse, owner: Person) -> None:
    page = browse(owner)
    page.goto(f"{studio.url}/campaigns")
    watch = Watch(page, studio.url)
    assert quiet(watch) == []
    page.evaluate(
        """document.querySelector('main')
            .insertAdjacentHTML('beforeend', '<b onx=1></b><a href="javascript:1">x</a><base>')"""
    )
    assert quiet(watch) == ["onx", "javascript:1", "BASE"]


def test_items_their_judgements_and_flags(studio: Studio, browse: Browse, owner: Person) -> None:
    rows = [
        NewItem(
            (Message("user", "\n\n".join(group)),),
            tuple(answer(text, text[:MAX_SOURCE]) for text in group),
            tags=tags_of(group),
            source=group[0][:200],
        )
        for group in GROUPS
    ]
    campaign = studio.campaign("edit", items=rows, name=NAME, options={"chips": [CHIP]}, overlap=2)
    page = browse(owner)
    for n, group in enumerate(GROUPS):
        who = studio.person(NAMES[n % len(NAMES)], campaign)
        with studio.database.write() as connection:
            [task] = leases.lease_items(connection, campaign, who.rater)
            flags.raise_flag(connection, task.id, who.rater, reason="harmful", note="\n".join(group)[:2000])
            value = {"letter": "A", "text": "\n".join(group)}
            judgements.submit(
                connection,
                task.id,
                who.rater,
                judgements.NewJudgement(
                    key=f"key-{task.id}", value=value, note=group[-1][:2000], reasons=[CHIP]
                ),
            )
    with studio.database.read() as connection:
        numbers = [made.item_id for made in judgements.list_current(connection, campaign.id)]
    assert len(set(numbers)) == len(GROUPS)
    visited(
        studio,
        page,
        campaign,
        "",
        "/items",
        "/items?q=script",
        "/people",
        *(f"/items/{number}" for number in numbers),
    )
    page.goto(f"{studio.url}/campaigns")
    assert NAME in page.locator("main").inner_text()
    assert quiet(Watch(page, studio.url)) == []


def test_the_dashboard_as_it_changes(studio: Studio, browse: Browse, owner: Person) -> None:
    """Parts of it are replaced by what the server sends."""
    rows = [
        NewItem((Message("user", f"Question {n}"),), tags=tags_of(group)) for n, group in enumerate(GROUPS)
    ]
    campaign = studio.campaign("demonstration", items=rows, name=NAME)
    page = browse(owner)
    watch = Watch(page, studio.url)
    page.goto(f"{studio.url}/c/{campaign.slug}")
    expect(page.locator("#live-state")).to_contain_text("Live")
    for n, name in enumerate(NAMES[:12]):
        who = studio.person(name, campaign)
        with studio.database.write() as connection:
            [task] = leases.lease_items(connection, campaign, who.rater)
            flags.raise_flag(
                connection,
                task.id,
                who.rater,
                reason="harmful",
                note="\n".join(GROUPS[n % len(GROUPS)])[:2000],
            )
            judgements.submit(
                connection,
                task.id,
                who.rater,
                judgements.NewJudgement(
                    key=f"key-{task.id}", value={"text": "\n".join(GROUPS[n % len(GROUPS)])}
                ),
            )
    expect(page.locator(".recent li")).to_have_count(12, timeout=20_000)
    assert quiet(watch) == []


def test_guidelines_settings_and_a_snapshot_with_its_datasheet(
    studio: Studio, browse: Browse, owner: Person
) -> None:
    campaign = studio.campaign(
        "thumbs", items=3, name=NAME, guidelines="\n\n".join(STORED), options={"chips": [CHIP]}, overlap=2
    )
    for name in NAMES[:2]:
        who = studio.person(name, campaign)
        with studio.database.write() as connection:
            [task] = leases.lease_items(connection, campaign, who.rater)
            judgements.submit(
                connection,
                task.id,
                who.rater,
                judgements.NewJudgement(
                    key=f"key-{task.id}", value={"label": True}, note=NAME, reasons=[CHIP]
                ),
            )
    page = browse(owner)
    page.goto(f"{studio.url}/c/{campaign.slug}/guidelines")
    page.get_by_label("Guidelines (Markdown)").fill("\n\n".join(reversed(STORED)))
    expect(page.locator("#shown p").first).to_be_visible()
    watch = Watch(page, studio.url)
    assert quiet(watch) == []
    page.get_by_role("button", name="Save as a new version").click()
    expect(page.locator(".diff .added").first).to_be_visible()
    assert quiet(watch) == []
    page.goto(f"{studio.url}/c/{campaign.slug}/snapshots")
    expect(page.locator("#counts .value").first).to_have_text("2")
    page.get_by_role("button", name="Create snapshot").click()
    page.get_by_role("link", name=re.compile("-1$")).first.click(timeout=20_000)
    expect(page.locator(".sheet")).to_contain_text("window.owned")
    assert quiet(watch) == []
    visited(studio, page, campaign, "/settings", "/snapshots", "/add", "/guidelines?version=1")


def test_rows_in_the_wizard(studio: Studio, browse: Browse, owner: Person, tmp_path: Path) -> None:
    page = browse(owner)
    watch = Watch(page, studio.url)
    for first in range(0, len(GROUPS), 5):
        groups = GROUPS[first : first + 5]
        rows = [{"prompt": "\n\n".join(group), "completions": group, "model": group[0]} for group in groups]
        path = tmp_path / f"{first}-<img src=x onerror=alert(1)>.jsonl"
        bad = {"prompt": NAME, "completions": NAME, NAME: NAME}
        path.write_text("".join(json.dumps(row) + "\n" for row in [*rows, bad]))
        page.goto(f"{studio.url}/new")
        page.get_by_label("File of rows").set_input_files(path)
        page.get_by_role("button", name="Upload and look").click()
        expect(page.locator("#rows .item").first).to_be_visible()
        page.get_by_text("Put answers in order").click()
        expect(page.locator("#rows .item")).to_have_count(len(groups))
        assert page.locator("#rows .said").count() > len(rows)
        assert quiet(watch) == []
    page.get_by_role("button", name="Next").click()
    page.get_by_label("Guidelines (Markdown)").fill("\n\n".join(STORED))
    expect(page.locator("#shown p").first).to_be_visible()
    page.get_by_label("Name", exact=True).fill(NAME)
    page.get_by_label("Who should label").fill(" ".join(STORED)[:900])
    page.get_by_role("button", name="Save as draft").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Items")
    assert NAME in page.locator("main .kicker").inner_text()
    assert quiet(watch) == []
