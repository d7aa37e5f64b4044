"""Guidelines open by themselves when they are new or changed, can be required, and cover nothing."""

import re
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from browser.conftest import Browse, Studio
from browser.held_requests import HeldRequests
from browser.labelling import SIZES, open_task, press, start
from fairlead.labels import campaigns
from fairlead.labels.campaigns import Campaign

pytestmark = pytest.mark.browser


def rewrite(studio: Studio, campaign: Campaign, text: str) -> None:
    with studio.database.write() as connection:
        campaigns.write_guidelines(connection, campaign, text, by="system")


def require_reading(studio: Studio, campaign: Campaign) -> None:
    with studio.database.write() as connection:
        campaigns.change(connection, campaign, by="system", read_first=True)


def read_version(studio: Studio, campaign: Campaign, rater: str) -> int:
    with studio.database.read() as connection:
        return campaigns.last_version_read(connection, campaign.id, rater)


def guide(page: Page) -> Any:
    return page.get_by_role("complementary", name="Guidelines")


@pytest.mark.parametrize("size", SIZES)
def test_they_open_the_first_time_and_after_a_change(studio: Studio, browse: Browse, size: str) -> None:
    campaign = studio.campaign("pairwise", items=6, guidelines="# Rules\n\nBe kind.\n")
    ada = studio.person("Ada", campaign)
    settings: Any = SIZES[size]
    page = browse(ada, **settings)
    open_task(studio, page, campaign)
    expect(guide(page).get_by_text("Be kind.")).to_be_in_viewport()
    expect(page.locator("#guide-badge")).to_have_text("v1", timeout=6000)  # open for long enough to be read
    assert read_version(studio, campaign, ada.rater) == 1
    open_task(studio, page, campaign)
    expect(guide(page)).to_be_hidden()
    rewrite(studio, campaign, "# Rules\n\nBe kind.\n\nNever guess.\n")
    for _ in range(3):  # tasks that were fetched before the change come first
        press(page, "1", "Enter")
    expect(guide(page).locator(".guide-changes ins")).to_have_text("Never guess.")
    page.keyboard.press("Escape")
    expect(guide(page)).to_be_hidden()
    press(page, "1", "Enter")
    expect(page.locator("#pace")).to_have_text(re.compile("^4 today"))
    expect(guide(page)).to_be_hidden()  # who closes them does not want them again


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kind", ["pairwise", "ranking", "rating", "demonstration"])
def test_they_cover_no_control(studio: Studio, browse: Browse, kind: str, size: str) -> None:
    long = "# Rules\n\n" + "\n".join(f"{n}. Weigh this, too." for n in range(60))
    settings: Any = SIZES[size]
    page = start(studio, browse, studio.campaign(kind, items=1, guidelines=long), **settings)
    expect(guide(page).locator(".said")).to_be_visible()
    covered = page.evaluate(
        """() => [...document.querySelectorAll("#dock :is(label.step, button)")]
            .filter((node) => node.checkVisibility())
            .filter((node) => {
                const { left, top, width, height } = node.getBoundingClientRect();
                return document.elementFromPoint(left + width / 2, top + height / 2)?.closest("#guide");
            })
            .map((node) => node.innerText)"""
    )
    assert covered == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


@pytest.mark.parametrize("size", SIZES)
def test_the_first_judgement_takes_three_clicks(studio: Studio, browse: Browse, size: str) -> None:
    campaign = studio.campaign("pairwise", items=2)
    settings: Any = SIZES[size]
    page = browse(studio.person("Ada", campaign), **settings)
    page.goto(studio.url)
    page.get_by_role("link", name=f"Start {campaign.name}").click()
    page.locator("#dock .scale label.step").nth(1).click()
    page.get_by_role("button", name="Submit").click()
    studio.judged(campaign, wanted=1)


def test_a_campaign_can_require_that_they_are_read(studio: Studio, browse: Browse) -> None:
    campaign = studio.campaign("pairwise", items=3)
    require_reading(studio, campaign)
    ada = studio.person("Ada", campaign)
    page = browse(ada)
    page.goto(f"{studio.url}/c/{campaign.slug}/label")
    expect(page.get_by_role("heading", name="Read the guidelines first")).to_be_visible()
    expect(page.locator("#dock")).to_be_hidden()
    guide(page).get_by_role("button", name="I have read the guidelines").click()
    expect(page.locator(".prompt")).to_be_visible()
    assert read_version(studio, campaign, ada.rater) == 1
    press(page, "1", "Enter")
    studio.judged(campaign, wanted=1)
    rewrite(studio, campaign, "# Other rules\n")
    page.reload()
    expect(page.get_by_role("heading", name="Read the guidelines first")).to_be_visible()
    expect(guide(page).get_by_text("changed since you read v1")).to_be_visible()
    guide(page).get_by_role("button", name="I have read the guidelines").press("Enter")
    expect(page.locator(".prompt")).to_be_visible()


def test_a_lead_requires_it_in_the_settings(studio: Studio, browse: Browse) -> None:
    campaign = studio.campaign("rating", items=1)
    page = browse(studio.person("Olga", owner=True))
    page.goto(f"{studio.url}/c/{campaign.slug}/settings")
    page.get_by_label("Labellers must read the guidelines").check()
    page.get_by_role("region", name="Campaign settings").get_by_role("button", name="Save").click()
    expect(page.get_by_text("Saved", exact=True)).to_be_visible()
    with studio.database.read() as connection:
        assert campaigns.get(connection, campaign.slug).read_first


def test_guidelines_say_what_changed_since_they_were_read(studio: Studio, browse: Browse) -> None:
    campaign = studio.campaign("pairwise", items=2, guidelines="# Rules\n\nBe kind.\n")
    ada = studio.person("Ada", campaign)
    with studio.database.write() as connection:
        campaigns.mark_guidelines_read(connection, campaign, ada.rater, 1)
        campaigns.write_guidelines(connection, campaign, "# Rules\n\nBe kind.\n\nNever guess.\n", by="system")
    page = browse(ada)
    page.goto(f"{studio.url}/c/{campaign.slug}/label")
    expect(page.locator("#guide-badge")).to_have_text("v2, changed")
    drawer = page.get_by_role("complementary", name="Guidelines")
    expect(drawer.get_by_text("changed since you read v1")).to_be_visible()
    expect(drawer.locator(".guide-changes ins")).to_have_text("Never guess.")
    expect(page.locator("#guide-badge")).to_have_text("v2", timeout=6000)  # open for long enough to be read
    page.keyboard.press("Escape")
    expect(drawer).to_be_hidden()
    with studio.database.read() as connection:
        assert campaigns.last_version_read(connection, campaign.id, ada.rater) == 2


def test_guidelines_that_were_closed_before_they_came_are_not_read(studio: Studio, browse: Browse) -> None:
    campaign = studio.campaign("pairwise", items=2)
    page = browse(studio.person("Ada", campaign))
    page.clock.install()
    read: list[str] = []
    held = HeldRequests(page, "**/guide")
    page.on(
        "request", lambda request: read.append(request.url) if request.url.endswith("/guide/read") else None
    )
    with page.expect_request("**/guide"):
        page.goto(f"{studio.url}/c/{campaign.slug}/label")
    expect(page.locator("body[data-ready]")).to_be_attached()
    page.keyboard.press("g")
    with page.expect_response("**/guide") as came:
        held[0].continue_()
    came.value.finished()
    for _ in range(2):
        page.evaluate(
            "fetch('/static/icon.svg').then((answer) => answer.text())"
        )  # what was asked before has been seen by now
        page.clock.run_for(10_000)
    assert read == []
    page.unroute("**/guide")
    page.keyboard.press("g")
    expect(page.locator("#guide .said")).to_be_visible()
    with page.expect_request("**/guide/read"):
        page.clock.run_for(10_000)
