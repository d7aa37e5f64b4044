"""The studio in a browser, under a path of its public address and behind nginx."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from browser.conftest import Browse, Studio
from browser.held_requests import until
from fairlead.labels.database import Database
from studio.proxied import PATH, proxied

pytestmark = pytest.mark.browser


@pytest.fixture
def studio(database: Database, database_url: str, tmp_path: Path) -> Iterator[Studio]:
    with proxied("nginx", database, database_url, tmp_path) as made:
        yield Studio(made.url, database, made.app.state.chat_streams, made.project)


def test_labelling_and_live_figures_work_under_a_path(studio: Studio, browse: Browse) -> None:
    campaign = studio.campaign("pairwise", items=3)
    lead = browse(studio.person("Olga", owner=True))
    lead.goto(f"{studio.url}/")
    lead.get_by_role("link", name=campaign.name).first.click()
    expect(lead).to_have_url(f"{studio.url}/c/{campaign.slug}")
    expect(lead.get_by_text("Live", exact=True)).to_be_visible()
    requested: list[str] = []
    labeller = browse(studio.person("Ada", campaign))
    labeller.on("request", lambda request: requested.append(request.url))
    labeller.goto(f"{studio.url}/c/{campaign.slug}/label")
    expect(labeller.locator("body[data-ready]")).to_be_attached()
    labeller.keyboard.press("2")
    labeller.keyboard.press("Enter")
    expect(labeller.locator("#announce")).to_have_text("Submitted: A better.")
    assert len(studio.judged(campaign, wanted=1)) == 1
    until(labeller, lambda: any(url.endswith("/judgement") for url in requested))
    assert all(url.startswith(f"{studio.url}/") for url in requested), requested
    expect(lead.locator("main")).to_contain_text("33 %")  # the event came through the stream


def test_logging_in_again_leads_back_to_the_page(studio: Studio, browse: Browse) -> None:
    campaign = studio.campaign("pairwise", items=1)
    page = browse(studio.person("Olga", owner=True))
    page.goto(f"{studio.url}/c/{campaign.slug}/settings")
    page.context.clear_cookies()
    page.get_by_label("Name", exact=True).fill("Another name")  # a form sends only what has changed
    page.get_by_role("button", name="Save").first.click()
    page.wait_for_url(f"{studio.url}/login?next=*")
    assert page.locator("input[name=next]").get_attribute("value") == f"/c/{campaign.slug}/settings"
    assert PATH in page.url
