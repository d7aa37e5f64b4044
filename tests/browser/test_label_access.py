"""Accessibility: own keys, one hand, right to left, zoom, narrow screens, screen readers; and speed."""

import os
import statistics
from datetime import UTC, datetime, timedelta

import pytest
from playwright.sync_api import expect
from sqlalchemy import update

from browser.conftest import Browse, Studio, answer
from browser.labelling import start
from fairlead.data.records import Message
from fairlead.labels import people
from fairlead.labels.assignments import assignment_table
from fairlead.labels.database import format_time
from fairlead.labels.items import NewItem
from fairlead.labels.task_kinds import TASK_KINDS

pytestmark = pytest.mark.browser

OPTIONS = {"aspects": ["helpful", "harmless", "honest"], "chips": ["correct", "clearer"]}


def test_a_key_is_changed_and_stays_changed(studio: Studio, browse: Browse) -> None:
    campaign = studio.campaign("pairwise", items=3)
    ada = studio.person("Ada", campaign)
    page = browse(ada)
    page.goto(f"{studio.url}/c/{campaign.slug}/label")
    expect(page.locator("body[data-ready]")).to_be_attached()
    page.keyboard.press("?")
    sheet = page.get_by_role("dialog", name="Keyboard shortcuts")
    sheet.get_by_role("button", name="A much better: 1. Change").press("Enter")
    with page.expect_response("**/preferences"):
        page.keyboard.press("s")  # was "skip", which gets the 1
    expect(sheet.get_by_role("status")).to_contain_text("which now uses 1")
    page.keyboard.press("Escape")
    expect(sheet).to_be_hidden()
    page.keyboard.press("s")
    expect(page.get_by_role("radio", name="A much better")).to_be_checked()
    page.reload()
    expect(page.locator("body[data-ready]")).to_be_attached()
    page.keyboard.press("1")
    expect(page.get_by_role("dialog", name="Skip this task")).to_be_visible()
    with studio.database.read() as connection:
        assert people.get_by_id(connection, ada.id).preferences["keys"] == {"1": "s", "skip": "1"}


def test_the_left_hand_does_everything(studio: Studio, browse: Browse) -> None:
    campaign = studio.campaign("pairwise", items=2)
    page = start(studio, browse, campaign)
    page.keyboard.press("?")
    page.get_by_role("radio", name="left hand").check(force=True)
    page.keyboard.press("Escape")
    page.keyboard.press("q")
    expect(page.get_by_role("radio", name="A much better")).to_be_checked()
    page.keyboard.press("Space")
    page.keyboard.press("z")  # undo
    expect(page.get_by_role("radio", name="A much better")).to_be_checked()
    page.keyboard.press("a")
    page.keyboard.press("Space")
    [made] = studio.judged(
        campaign, wanted=1, until=lambda one: one.value["preference"] == (-3 if one.order[0] == 0 else 3)
    )
    assert made.ui["hand"] == "left"


def test_a_layout_without_latin_letters_has_its_keys_by_place(studio: Studio, browse: Browse) -> None:
    page = start(studio, browse, studio.campaign("pairwise", items=1))
    page.evaluate("dispatchEvent(new KeyboardEvent('keydown', {key: 'ы', code: 'KeyS', bubbles: true}))")
    expect(page.get_by_role("dialog", name="Skip this task")).to_be_visible()


def test_right_to_left_text_runs_from_the_right(studio: Studio, browse: Browse) -> None:
    item = NewItem(
        prompt=(Message("user", "ما هي عاصمة فرنسا؟"),),
        answers=(
            answer("عاصمة فرنسا هي باريس.\n\n- نقطة أولى"),
            answer("The capital is Paris.\n\nבעברית: פריז."),
        ),
    )
    page = start(studio, browse, studio.campaign("pairwise", items=[item]))
    assert page.locator(".prompt .said").evaluate("node => getComputedStyle(node).direction") == "rtl"
    arabic, english = (
        page.locator(".pane .said").filter(has_text="باريس"),
        page.locator(".pane .said").filter(has_text="Paris"),
    )
    assert arabic.evaluate("node => getComputedStyle(node).direction") == "rtl"
    assert english.locator("p").evaluate_all("all => all.map(p => getComputedStyle(p).direction)") == [
        "ltr",
        "rtl",
    ]


def test_guidelines_and_previews_are_shown_as_any_other_text(studio: Studio, browse: Browse) -> None:
    text = "First words.\n\nבעברית: פריז.\n\n|a|b|\n|-|-|\n|1|2|\n"
    page = start(studio, browse, studio.campaign("demonstration", items=1, guidelines=text))
    page.get_by_role("textbox", name="Your answer").fill(text)
    for said in (page.locator("#guide .said"), page.locator(".side .said")):
        expect(said.locator("table")).to_have_attribute("tabindex", "0")
        assert said.locator("p").evaluate_all("all => all.map(p => getComputedStyle(p).direction)") == [
            "ltr",
            "rtl",
        ]


def test_no_key_does_two_things(studio: Studio, browse: Browse) -> None:
    page = start(studio, browse, studio.campaign("pairwise", items=1))
    keys = page.evaluate(
        """async () => {
            const { keyBindings } = await import("/static/label/shortcuts.js");
            return ["both", "left", "right"].map((hand) => [...keyBindings({ hand })]);
        }"""
    )
    for hand in keys:
        done: dict[str, list[str]] = {}
        for action, key in hand:
            done.setdefault(key, []).append(action)
        twice = [actions for actions in done.values() if len(actions) > 1]
        assert [
            one for one in twice if one != ["9", "link"]
        ] == []  # there are no nine steps where there are two answers to scroll


@pytest.mark.parametrize("kind", [kind for kind in TASK_KINDS if kind != "chat"])
def test_no_width_makes_the_page_scroll_sideways(studio: Studio, browse: Browse, kind: str) -> None:
    options = OPTIONS if kind != "aspects" else {"aspects": OPTIONS["aspects"]}
    page = start(studio, browse, studio.campaign(kind, items=1, options=options))
    # 320 x 256 is a screen of 1280 x 1024 at 400 %.
    for width, height in ((320, 256), (320, 740), (768, 1024), (2560, 1300)):
        page.set_viewport_size({"width": width, "height": height})
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        clipped = page.evaluate(
            """() => [...document.querySelectorAll("button, label, .said")]
                .filter((node) => node.checkVisibility() && node.getClientRects().length)
                .filter((node) => {
                    const { left, right } = node.getBoundingClientRect();
                    return right > innerWidth + 1 || left < -1;
                })
                .map((node) => node.textContent)"""
        )
        assert clipped == [], width


def test_at_400_percent_everything_is_reached_and_nothing_covers_the_text(
    studio: Studio, browse: Browse
) -> None:
    campaign = studio.campaign("pairwise", items=2, options=OPTIONS)
    page = start(studio, browse, campaign, viewport={"width": 320, "height": 256})
    page.locator("[data-pane=B] .said").scroll_into_view_if_needed()
    covered = page.locator("[data-pane=B] .said p").evaluate(
        """(paragraph) => {
            const { left, top } = paragraph.getBoundingClientRect();
            return !paragraph.contains(document.elementFromPoint(left + 5, top + 8));
        }"""
    )
    assert not covered
    page.get_by_role("radio", name="B better", exact=True).check(force=True)
    page.get_by_role("button", name="Submit").click()
    studio.judged(campaign, wanted=1)


def test_a_voice_hears_what_happened_and_groups_have_names(studio: Studio, browse: Browse) -> None:
    page = start(studio, browse, studio.campaign("pairwise", items=2, options=OPTIONS))
    for group in ("Which answer is better?", "helpful", "harmless", "honest"):
        expect(page.get_by_role("radiogroup", name=group)).to_be_visible()
    page.get_by_role("radiogroup", name="helpful").get_by_role("radio", name="helpful: A").check(force=True)
    region = page.get_by_role("status")
    expect(region).to_have_attribute("aria-live", "polite")
    page.keyboard.press("7")
    page.keyboard.press("Control+Enter")
    expect(region).to_have_text("Submitted: B better.")


def test_only_time_at_work_counts(studio: Studio, browse: Browse) -> None:
    campaign = studio.campaign("pairwise", items=1)
    page = browse(studio.person("Ada", campaign))
    page.clock.install()
    page.goto(f"{studio.url}/c/{campaign.slug}/label")
    expect(page.locator("body[data-ready]")).to_be_attached()
    with studio.database.write() as connection:  # the server's clock bounds what the page's clock says
        began = format_time(datetime.now(UTC) - timedelta(minutes=11))
        connection.execute(update(assignment_table).values(leased_at=began))
    page.keyboard.press("1")
    page.clock.run_for(10_000)
    page.clock.run_for(600_000)  # nobody touches it: 30 s of this count
    page.keyboard.press("2")
    page.clock.run_for(5_000)
    page.locator("[data-pane=A]").hover()
    page.clock.run_for(4_000)
    page.keyboard.press("Enter")
    page.clock.run_for(2_000)
    [made] = studio.judged(campaign, wanted=1)
    assert 36_000 <= made.active_ms <= 43_000  # 30 s after the first key, then 9 s; and what starting took
    assert made.dwell_ms["A"] >= 3_500


WATCH_PAINTS = """() => {
    window.paints = [];
    addEventListener("keydown", (event) => {
        const pressed = event.timeStamp;
        requestAnimationFrame(() => {
            const { port1, port2 } = new MessageChannel();
            port1.onmessage = () => window.paints.push([event.key, performance.now() - pressed]);
            port2.postMessage(0);
        });
    }, { capture: true });
}"""


def test_from_key_to_paint_within_50_ms(studio: Studio, browse: Browse) -> None:
    words = "The area of a circle is **pi** times the square of its radius. " * 40
    items = [
        NewItem(
            prompt=(Message("user", f"Circle {n}?"),), answers=(answer(words + str(n)), answer(words[:900]))
        )
        for n in range(26)
    ]
    page = start(studio, browse, studio.campaign("pairwise", items=items, options=OPTIONS))
    page.evaluate(WATCH_PAINTS)
    devtools = page.context.new_cdp_session(page)
    devtools.send("Performance.enable", {"timeDomain": "threadTicks"})

    def worked_ms() -> float:
        """Time of the page's main thread on a processor: script, style, layout, paint."""
        metrics = {one["name"]: one["value"] for one in devtools.send("Performance.getMetrics")["metrics"]}
        return 1000 * float(metrics["TaskDuration"])

    worked = []
    for n in range(24):
        before = page.locator(".prompt .said").inner_text()
        for key in (str(1 + n % 8), "Enter"):
            began = worked_ms()
            page.keyboard.press(key)
            page.wait_for_timeout(100)
            worked.append(worked_ms() - began)
        expect(page.locator(".prompt .said")).not_to_have_text(before)  # another task is there
    # Work of the processor counts on every machine, the time on the clock on a quiet one only.
    assert percentile_95(worked) <= 50, worked
    if os.getloadavg()[0] < (os.cpu_count() or 1):
        paints = [ms for _, ms in page.evaluate("window.paints")]
        assert len(paints) == 48 and statistics.median(paints) <= 50, paints


def percentile_95(values: list[float]) -> float:
    return statistics.quantiles(values, n=20, method="inclusive")[-1]
