"""What the tests of the labelling screen share: opening it, pressing keys, reading the question."""

from playwright.sync_api import Page, expect

from browser.conftest import Browse, Studio
from fairlead.labels.campaigns import Campaign

PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
TABLET = {"viewport": {"width": 820, "height": 1180}}
DESK = {"viewport": {"width": 1440, "height": 900}}
SIZES = {"phone": PHONE, "tablet": TABLET, "desk": DESK}


def open_task(studio: Studio, page: Page, campaign: Campaign, path: str = "label") -> Page:
    page.goto(f"{studio.url}/c/{campaign.slug}/{path}")
    expect(page.locator("body")).to_have_attribute("data-ready", "yes")
    return page


def start(studio: Studio, browse: Browse, campaign: Campaign, **settings: object) -> Page:
    return open_task(studio, browse(studio.person("Ada", campaign), **settings), campaign)


def press(page: Page, *keys: str) -> None:
    for key in keys:
        page.keyboard.press(key)


def question(page: Page) -> str:
    return page.locator(".prompt .said").inner_text()


def another_tab(studio: Studio, page: Page, campaign: Campaign) -> Page:
    """A second tab of the same browser, in which the same person labels."""
    return open_task(studio, page.context.new_page(), campaign)
