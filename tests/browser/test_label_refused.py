"""Rejected answers are kept until the rater resends or discards them."""

import json
import re

import pytest
from playwright.sync_api import Page, expect

from browser.conftest import Browse, Studio
from browser.test_axe import problems
from fairlead.labels import members
from fairlead.labels.campaigns import Campaign
from fairlead.labels.people import Person

pytestmark = pytest.mark.browser

TEXT = "An answer over which somebody thought.\n\nعربي"


def refused(studio: Studio, browse: Browse) -> tuple[Campaign, Person, Page]:
    """Somebody writes an answer and is taken out of the campaign before sending it."""
    campaign = studio.campaign("demonstration", items=2)
    ada = studio.person("Ada", campaign)
    page = browse(ada)
    page.goto(f"{studio.url}/c/{campaign.slug}/label")
    expect(page.locator("body[data-ready]")).to_be_attached()
    expect(page.get_by_role("button", name="Rejected")).to_be_hidden()
    page.keyboard.insert_text(TEXT)
    expect(page.locator("#status-text")).to_contain_text("saved")
    with studio.database.write() as connection:
        members.remove(connection, campaign.id, ada.rater, by="system")
    page.keyboard.press("Control+Enter")
    expect(page.get_by_role("alert").get_by_text("1 answer was rejected")).to_be_visible()
    return campaign, ada, page


def back(studio: Studio, campaign: Campaign, ada: Person) -> None:
    with studio.database.write() as connection:
        members.join(connection, ada, campaign.id, "labeller", by="system")


def test_it_is_read_copied_and_sent_again_by_keyboard(studio: Studio, browse: Browse) -> None:
    campaign, ada, page = refused(studio, browse)
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.get_by_role("button", name="Rejected 1").press("Enter")
    dialog = page.get_by_role("dialog", name="Rejected answers")
    text = dialog.get_by_role("textbox", name=re.compile("^Answer to item .*, your text$"))
    expect(text).to_be_focused()
    assert TEXT in text.input_value()
    expect(dialog.locator(".notice.fault")).not_to_be_empty()
    assert problems(page) == []
    page.keyboard.press("Tab")
    expect(dialog.get_by_role("button", name="Try again")).to_be_focused()
    page.keyboard.press("Enter")
    expect(dialog.get_by_role("status")).to_have_text("Rejected again.")
    dialog.get_by_role("button", name="Copy").press("Enter")
    expect(dialog.get_by_role("status")).to_have_text("Copied.")
    assert TEXT in page.evaluate("navigator.clipboard.readText()")
    back(studio, campaign, ada)
    dialog.get_by_role("button", name="Try again").press("Enter")
    expect(dialog).to_be_hidden()
    expect(page.get_by_role("button", name="Rejected")).to_be_hidden()
    [made] = studio.judged(campaign, wanted=1)
    assert made.value == {"text": TEXT}


def test_who_was_taken_out_finds_it_on_the_list_of_work(studio: Studio, browse: Browse) -> None:
    campaign, ada, page = refused(studio, browse)
    page.goto(f"{studio.url}/work")
    expect(page.get_by_role("alert")).to_contain_text(
        "1 answer was rejected. Your work is saved in this browser."
    )
    assert problems(page) == []
    page.get_by_role("button", name="Review").press("Enter")
    dialog = page.get_by_role("dialog", name="Rejected answers")
    assert TEXT in dialog.get_by_role("textbox").input_value()
    expect(dialog.get_by_role("button", name="Open the task")).to_have_count(0)
    back(studio, campaign, ada)
    dialog.get_by_role("button", name="Try again").click()
    expect(page.locator("#refused")).to_be_hidden()
    studio.judged(campaign, wanted=1)


def test_it_is_discarded_on_purpose_only(studio: Studio, browse: Browse) -> None:
    _, _, page = refused(studio, browse)
    page.reload()  # also when the page could not be opened again, as here
    page.goto(f"{studio.url}/work")
    button = page.get_by_role("button", name="Review")
    button.click()
    dialog = page.get_by_role("dialog", name="Rejected answers")
    dialog.get_by_role("button", name="Discard").press("Enter")
    expect(dialog.get_by_role("status")).to_have_text("Press again to discard this answer permanently.")
    page.keyboard.press("Tab")  # away from it: not meant
    expect(dialog.get_by_role("button", name="Discard", exact=True)).to_be_visible()
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    page.reload()
    button.click()
    for name in ("Discard", "Discard permanently"):
        dialog.get_by_role("button", name=name, exact=True).press("Enter")
    expect(dialog).to_be_hidden()
    expect(page.locator("#refused")).to_be_hidden()
    page.reload()
    expect(page.locator("#refused")).to_be_hidden()


def test_the_task_is_opened_mended_and_sent(studio: Studio, browse: Browse) -> None:
    campaign = studio.campaign("demonstration", items=2)
    page = browse(studio.person("Ada", campaign))
    page.goto(f"{studio.url}/c/{campaign.slug}/label")
    expect(page.locator("body[data-ready]")).to_be_attached()
    said = {"error": {"message": "value.text: has too many characters"}}
    page.route(
        "**/judgement",
        lambda route: route.fulfill(status=422, body=json.dumps(said), content_type="application/json"),
        times=1,
    )
    page.keyboard.insert_text("Far too long")
    page.keyboard.press("Control+Enter")
    page.get_by_role("button", name="Review").click()
    dialog = page.get_by_role("dialog", name="Rejected answers")
    expect(dialog.get_by_text("value.text: has too many characters")).to_be_visible()
    dialog.get_by_role("button", name="Open the task").click()
    editor = page.get_by_role("textbox", name="Your answer")
    expect(editor).to_have_value("Far too long")
    editor.fill("Short")
    page.keyboard.press("Control+Enter")
    [made] = studio.judged(campaign, wanted=1)
    assert made.value == {"text": "Short"}
    expect(page.get_by_role("button", name="Rejected")).to_be_hidden()


def test_somebody_else_on_the_same_machine_sees_nothing_of_it(studio: Studio, browse: Browse) -> None:
    _, _, page = refused(studio, browse)
    grace = studio.session(studio.person("Grace"))
    [cookie] = [one for one in page.context.cookies() if one["value"]]
    page.context.add_cookies([{"name": cookie["name"], "value": grace, "url": studio.url}])
    page.goto(f"{studio.url}/work")
    page.wait_for_timeout(500)
    expect(page.locator("#refused")).to_be_hidden()
