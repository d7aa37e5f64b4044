"""The home of who labels: their campaigns, what is left, and the way on."""

import re

import pytest
from playwright.sync_api import Locator, Page, expect

from browser.conftest import Browse, Studio
from fairlead.labels import campaigns, judgements, leases, members
from fairlead.labels.campaigns import Campaign
from fairlead.labels.people import Person
from labels.build import hold_longer

pytestmark = pytest.mark.browser


def judge(studio: Studio, campaign: Campaign, who: Person) -> None:
    with studio.database.write() as connection:
        task, *_ = leases.lease_items(connection, campaign, who.rater)
        hold_longer(connection, task.id)
        judgements.submit(
            connection,
            task.id,
            who.rater,
            judgements.NewJudgement(key=f"key-{task.id}", value={"choice": 2}, active_ms=12_000),
        )


def card(page: Page, campaign: Campaign) -> Locator:
    return page.get_by_role("article").filter(has=page.get_by_role("heading", name=campaign.name, exact=True))


def test_it_shows_the_campaigns_and_what_is_left(studio: Studio, browse: Browse) -> None:
    fresh, begun = studio.campaign("pairwise", items=3, overlap=2), studio.campaign("pairwise", items=5)
    ada, ben = studio.person("Ada", fresh), studio.person("Ben", begun)
    studio.campaign("pairwise", name="Of somebody else")
    with studio.database.write() as connection:
        members.join(connection, ada, begun.id, "labeller", by="system")
        campaigns.write_guidelines(connection, begun, "Another text.", by="system")
        campaigns.mark_guidelines_read(connection, begun, ada.rater, 1)
    judge(studio, begun, ada)
    judge(studio, begun, ben)
    page = browse(ada)
    page.goto(studio.url)
    expect(page).to_have_url(f"{studio.url}/work")
    expect(page.get_by_role("article")).to_have_count(2)
    expect(card(page, fresh)).to_contain_text(
        re.compile(r"0 today\s+0 by you in total\s+3 left for you\s+0 of 6 by everyone")
    )
    expect(card(page, begun)).to_contain_text(
        re.compile(
            r"1 today\s+1 by you in total\s+12 s per answer today\s+3 left for you\s+2 of 5 by everyone"
        )
    )
    expect(card(page, begun).get_by_role("progressbar")).to_have_attribute("value", "2")
    expect(card(page, begun)).to_contain_text("guidelines v2, changed since you read them")
    expect(card(page, fresh)).not_to_contain_text("changed")


def test_starting_and_going_on(studio: Studio, browse: Browse) -> None:
    campaign = studio.campaign("pairwise", items=2)
    page = browse(studio.person("Ada", campaign))
    page.goto(f"{studio.url}/work")
    page.get_by_role("link", name=f"Start {campaign.name}").press("Enter")
    expect(page.locator("body[data-ready]")).to_be_attached()
    question = page.locator(".prompt .said").inner_text()
    page.goto(f"{studio.url}/work")
    page.get_by_role("link", name=f"Resume {campaign.name}").press("Enter")
    expect(page.locator(".prompt .said")).to_have_text(question)
    for _ in range(2):
        page.keyboard.press("1")
        page.keyboard.press("Enter")
    studio.judged(campaign, wanted=2)
    page.goto(f"{studio.url}/work")
    expect(card(page, campaign)).to_contain_text("all done")
    expect(card(page, campaign).get_by_role("link", name=re.compile("Start|Resume"))).to_have_count(0)
    expect(card(page, campaign).get_by_role("link", name="My answers")).to_be_visible()


def test_what_cannot_go_on_says_why(studio: Studio, browse: Browse) -> None:
    paused, closed, draft = (
        studio.campaign("thumbs"),
        studio.campaign("thumbs"),
        studio.campaign("thumbs", opened=False),
    )
    ada = studio.person("Ada", paused)
    with studio.database.write() as connection:
        for one in (closed, draft):
            members.join(connection, ada, one.id, "labeller", by="system")
        members.set_paused(connection, paused.id, ada.rater, paused=True, by="system")
        campaigns.set_state(connection, closed, "closed", by="system")
    page = browse(ada)
    page.goto(f"{studio.url}/work")
    expect(card(page, paused)).to_contain_text("you are paused")
    expect(card(page, closed)).to_contain_text("closed")
    expect(page.get_by_role("article")).to_have_count(2)
    expect(page.locator("article a")).to_have_count(0)


def test_nobody_has_asked_for_anything_yet(studio: Studio, browse: Browse) -> None:
    page = browse(studio.person("New"))
    page.goto(f"{studio.url}/work")
    expect(page.get_by_role("heading", name="Nothing to label yet")).to_be_visible()


def test_a_goal_for_the_day_stands_beside_what_is_done(studio: Studio, browse: Browse) -> None:
    campaign = studio.campaign("pairwise", items=2)
    page = browse(studio.person("Ada", campaign))
    page.goto(f"{studio.url}/me")
    page.get_by_label("Daily goal").fill("1200")
    with page.expect_event("load"):  # it comes again as it is now
        page.get_by_role("region", name="Preferences").get_by_role("button", name="Save").click()
    page.goto(f"{studio.url}/c/{campaign.slug}/label")
    expect(page.locator("body[data-ready]")).to_be_attached()
    expect(page.locator("#pace")).to_have_text("0 / 1,200 today")
    page.keyboard.press("1")
    page.keyboard.press("Enter")
    expect(page.locator("#pace")).to_contain_text("1 / 1,200 today")
