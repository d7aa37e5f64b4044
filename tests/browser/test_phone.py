"""On a phone: tables become cards, the open tab is in sight, and a scale says which end is which."""

import pytest
from playwright.sync_api import FloatRect, Locator, Page, expect

from browser.conftest import RUN, Browse, Studio
from browser.test_axe import judged
from fairlead.data.records import Message
from fairlead.labels import campaigns, chats
from fairlead.labels.items import NewItem

pytestmark = pytest.mark.browser

PHONE = {"viewport": {"width": 360, "height": 740}, "has_touch": True, "is_mobile": True}


def box(one: Locator) -> FloatRect:
    found = one.bounding_box()
    assert found is not None
    return found


def in_sight(page: Page, one: Locator) -> bool:
    place, row = box(one), box(one.locator("xpath=.."))
    return place["x"] >= row["x"] - 1 and place["x"] + place["width"] <= row["x"] + row["width"] + 1


def test_no_table_is_wider_than_the_screen(studio: Studio, browse: Browse) -> None:
    campaign = studio.campaign("pairwise", items=3)
    judged(studio, campaign)
    page = browse(studio.person("Olga Owner", owner=True), **PHONE)
    campaign_url = f"/c/{campaign.slug}"
    campaign_pages = [campaign_url, f"{campaign_url}/people", f"{campaign_url}/items"]
    run_pages = ["/runs", f"/runs/{RUN}", "/lineage/model/helpful", "/artifacts/model/helpful"]
    for path in (*campaign_pages, "/people", *run_pages):
        page.goto(studio.url + path)
        tables = page.locator(".tablebox")
        assert tables.count() > 0, path
        for table in tables.all():
            assert table.evaluate("box => box.scrollWidth <= box.clientWidth"), path
    page.goto(f"{studio.url}/c/{campaign.slug}/people")
    assert box(page.get_by_label("Role of Ada"))["width"] >= 100
    label = page.locator("td[data-label='Role']").first.evaluate(
        "cell => getComputedStyle(cell, '::before').content"
    )
    assert label == '"Role"'


@pytest.mark.parametrize("path", ["/snapshots", "/settings", "/people", "/items"])
def test_the_open_tab_is_in_sight(studio: Studio, browse: Browse, path: str) -> None:
    campaign = studio.campaign("pairwise", items=1)
    page = browse(studio.person("Olga Owner", owner=True), **PHONE)
    page.goto(f"{studio.url}/c/{campaign.slug}{path}")
    for here in page.locator("nav [aria-current]").all():
        assert in_sight(page, here), here.inner_text()


@pytest.mark.parametrize("width", [320, 390, 536, 601])
def test_the_menu_of_a_page_opens_within_the_screen(studio: Studio, browse: Browse, width: int) -> None:
    campaign = studio.campaign("pairwise", items=1)
    size = {"width": width, "height": 740}
    page = browse(studio.person("Olga Owner", owner=True), **PHONE | {"viewport": size})
    page.goto(f"{studio.url}/c/{campaign.slug}/snapshots")
    page.get_by_text("Export everything").click()
    links = page.locator(".actions .menu a")
    expect(links).to_have_count(3)
    for link in links.all():
        place = box(link)
        assert place["x"] >= 0 and place["x"] + place["width"] <= width


def test_the_ends_of_a_scale_stand_below_their_steps(studio: Studio, browse: Browse) -> None:
    campaign = studio.campaign("rating", items=1)
    page = browse(studio.person("Ada", campaign), **PHONE)
    page.goto(f"{studio.url}/c/{campaign.slug}/label")
    low, high = box(page.locator(".end").first), box(page.locator(".end").last)
    first, last = box(page.locator(".ends .step").first), box(page.locator(".ends .step").last)
    assert low["y"] == high["y"] >= first["y"] + first["height"]
    assert abs(low["x"] - first["x"]) < 8 and high["x"] + high["width"] > last["x"]


def test_a_chat_begins_at_the_top(studio: Studio, browse: Browse) -> None:
    campaign = studio.campaign("chat", items=[NewItem((Message("user", "Ask about ships."),))])
    with studio.database.write() as connection:
        chats.set_answerers(connection, campaign, [chats.Answerer("model:helpful", {})], by="system")
    ada = studio.person("Ada", campaign)
    with studio.database.write() as connection:  # guidelines that nobody has read come first
        campaigns.mark_guidelines_read(connection, campaign, ada.rater, 1)
    page = browse(ada, **PHONE)
    page.goto(f"{studio.url}/c/{campaign.slug}/label")
    composer, bar = box(page.locator(".composer")), box(page.locator(".topbar"))
    assert composer["y"] - bar["y"] - bar["height"] <= 20
    expect(page.get_by_text("Suggested message. Edit it as you like.")).to_be_visible()
    page.get_by_label("Your message").fill("Something else")
    assert not page.get_by_text("Suggested message. Edit it as you like.").is_visible()


def test_wide_code_in_rendered_text_is_scrolled_by_keys(studio: Studio, browse: Browse) -> None:
    campaign = studio.campaign(
        "pairwise", items=1, guidelines="| a | b |\n|---|---|\n| 1 | 2 |\n\n```\n" + "wide " * 80 + "\n```\n"
    )
    page = browse(studio.person("Olga Owner", owner=True), **PHONE)
    page.goto(f"{studio.url}/c/{campaign.slug}/guidelines")
    for tag in ("table", "pre"):
        assert page.locator(f".said {tag}").first.get_attribute("tabindex") == "0"


def test_a_lineage_shows_what_it_is_about(studio: Studio, browse: Browse) -> None:
    page = browse(studio.person("Olga Owner", owner=True), **PHONE)
    page.goto(f"{studio.url}/lineage/model/helpful")
    page.wait_for_load_state("load")
    graph, focus = box(page.locator(".lineage-box")), box(page.locator(".lineage-box .node.focus"))
    assert graph["x"] <= focus["x"] and focus["x"] + focus["width"] <= graph["x"] + graph["width"]
