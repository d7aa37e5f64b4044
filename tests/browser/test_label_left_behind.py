"""Somebody without a password loses the cookie and joins again: what waits in the browser is not lost."""

import json
from typing import Any

import pytest
from playwright.sync_api import Page, Response, expect

from browser.conftest import Browse, Studio
from browser.held_requests import until
from browser.labelling import open_task, press
from browser.test_axe import problems
from browser.test_label_lasting import KEPT
from fairlead.labels import people
from fairlead.labels.campaigns import Campaign
from fairlead.labels.passwords import hash_password
from fairlead.labels.people import Person
from fairlead.studio.auth import COOKIE

pytestmark = pytest.mark.browser

NOTE = "a reason that took ten minutes"


def log_in(studio: Studio, page: Page, person: Person) -> None:
    page.context.clear_cookies()
    page.context.add_cookies([{"name": COOKIE, "value": studio.session(person), "url": studio.url}])


def answered_offline(studio: Studio, browse: Browse, campaign: Campaign, name: str = "Bea Example") -> Page:
    """An answer of somebody waits in the browser, and the cookie is gone."""
    page = open_task(studio, browse(studio.person(name, campaign)), campaign)
    page.context.set_offline(True)
    press(page, "2", "t")
    page.keyboard.type(NOTE)
    press(page, "Control+Enter")
    expect(page.locator("#status-text")).to_have_text("offline, 1 answer queued")
    until(page, lambda: len(stored(page)) == 1)
    page.context.clear_cookies()
    page.context.set_offline(False)
    return page


def stored(page: Page) -> list[dict[str, Any]]:
    return list(page.evaluate(KEPT, "outbox"))


@pytest.mark.parametrize("place", ["label", "work"])
def test_it_is_shown_and_sent_under_the_new_account(studio: Studio, browse: Browse, place: str) -> None:
    campaign = studio.campaign("pairwise", items=3)
    page = answered_offline(studio, browse, campaign)
    again = studio.person("Bea Example", campaign)
    log_in(studio, page, again)
    if place == "label":
        open_task(studio, page, campaign)
    else:
        page.goto(f"{studio.url}/work")
    expect(page.get_by_text("1 answer of an earlier visit waits in this browser.")).to_be_visible()
    page.get_by_role("button", name="Review").click()
    dialog = page.get_by_role("dialog", name="Answers of an earlier visit")
    expect(dialog).not_to_contain_text(NOTE)  # not before somebody says that it is theirs
    dialog.get_by_role("button", name="Yes, show them").click()
    expect(dialog).to_contain_text(NOTE)
    assert problems(page) == []
    dialog.get_by_role("button", name="Send all").click()
    [made] = studio.judged(campaign, wanted=1)
    assert (made.note, made.rater) == (NOTE, again.rater)
    expect(page.get_by_text("1 answer sent.")).to_be_visible()
    assert stored(page) == []
    page.goto(f"{studio.url}/work")
    page.wait_for_load_state("networkidle")
    expect(page.locator("#left-behind")).to_be_hidden()


def test_another_person_on_the_machine_sees_only_that_something_waits(studio: Studio, browse: Browse) -> None:
    campaign = studio.campaign("pairwise", items=3)
    page = answered_offline(studio, browse, campaign)
    log_in(studio, page, studio.person("Cy Other", campaign))
    seen: list[Response] = []
    page.on("response", lambda got: seen.append(got) if got.url.endswith("/left-behind") else None)
    page.goto(f"{studio.url}/work")
    notice = page.locator("#left-behind")
    expect(notice).to_contain_text("1 answer of an earlier visit waits in this browser.")
    notice.get_by_role("button", name="Review").click()
    dialog = page.get_by_role("dialog", name="Answers of an earlier visit")
    dialog.get_by_label("Your earlier name").fill("Dora")
    dialog.get_by_role("button", name="Show").click()
    expect(dialog.get_by_role("status")).to_contain_text("Nobody of that name left answers here.")
    until(page, lambda: len(seen) == 2)
    for text in (NOTE, "Bea"):
        assert text not in page.content() and not any(text in got.text() for got in seen)
    dialog.get_by_role("button", name="They are not mine").click()
    expect(notice).to_be_hidden()
    open_task(studio, page, campaign)
    expect(page.locator("#toasts")).to_be_empty()
    assert len(stored(page)) == 1  # it waits for whoever gave it
    log_in(studio, page, studio.person("Bea Example", campaign))
    page.goto(f"{studio.url}/work")
    expect(notice).to_be_visible()


def test_an_earlier_name_is_enough(studio: Studio, browse: Browse) -> None:
    campaign = studio.campaign("pairwise", items=3)
    page = answered_offline(studio, browse, campaign)
    log_in(studio, page, studio.person("B. E.", campaign))
    page.goto(f"{studio.url}/work")
    page.get_by_role("button", name="Review").click()
    dialog = page.get_by_role("dialog", name="Answers of an earlier visit")
    dialog.get_by_label("Your earlier name").fill("bea example")
    dialog.get_by_role("button", name="Show").click()
    expect(dialog).to_contain_text(NOTE)
    dialog.get_by_role("button", name="Send all").click()
    [made] = studio.judged(campaign, wanted=1)
    assert made.note == NOTE


def test_a_draft_that_was_never_sent_opens_again(studio: Studio, browse: Browse) -> None:
    campaign = studio.campaign("demonstration", items=1)
    page = open_task(studio, browse(studio.person("Bea", campaign)), campaign)
    page.get_by_role("textbox", name="Your answer").fill("Half an answer, an hour old.")
    expect(page.locator("#status-text")).to_contain_text("saved")
    log_in(studio, page, studio.person("Bea", campaign))
    page.goto(f"{studio.url}/work")
    page.get_by_role("button", name="Review").click()
    dialog = page.get_by_role("dialog", name="Answers of an earlier visit")
    dialog.get_by_role("button", name="Yes, show them").click()
    expect(dialog).to_contain_text("Half an answer")
    dialog.get_by_role("button", name="Send all").click()
    expect(page.locator("#left-behind")).to_contain_text("1 other is in your drafts")
    open_task(studio, page, campaign)
    expect(page.get_by_role("textbox", name="Your answer")).to_have_value("Half an answer, an hour old.")


def test_what_the_server_does_not_take_is_kept_with_the_reason(studio: Studio, browse: Browse) -> None:
    campaign = studio.campaign("pairwise", items=1, overlap=2)
    page = answered_offline(studio, browse, campaign)
    log_in(studio, page, studio.person("Bea Example", campaign))
    open_task(studio, page, campaign)
    press(page, "8", "Enter")  # the same item once more
    studio.judged(campaign, wanted=1)
    page.goto(f"{studio.url}/work")
    page.locator("#left-behind").get_by_role("button", name="Review").click()
    dialog = page.get_by_role("dialog", name="Answers of an earlier visit")
    dialog.get_by_role("button", name="Yes, show them").click()
    dialog.get_by_role("button", name="Send all").click()
    expect(page.locator("#refused")).to_contain_text("1 answer was rejected")
    [kept] = stored(page)
    assert "again since then" in kept["refused"] and NOTE in json.dumps(kept)


def test_a_session_that_ends_meanwhile_loses_nothing(studio: Studio, browse: Browse) -> None:
    campaign = studio.campaign("pairwise", items=3)
    page = answered_offline(studio, browse, campaign)
    again = studio.person("Bea Example", campaign)
    log_in(studio, page, again)
    page.goto(f"{studio.url}/work")
    page.locator("#left-behind").get_by_role("button", name="Review").click()
    dialog = page.get_by_role("dialog", name="Answers of an earlier visit")
    dialog.get_by_role("button", name="Yes, show them").click()
    page.context.clear_cookies()
    dialog.get_by_role("button", name="Send all").click()
    expect(dialog.get_by_role("status")).to_have_text("You are logged out. Log in and try again.")
    expect(dialog.get_by_role("button", name="Send all")).to_be_enabled()
    [kept] = stored(page)
    assert "refused" not in kept and NOTE in json.dumps(kept)


def test_an_account_with_a_password_is_asked_to_log_in(studio: Studio, browse: Browse) -> None:
    campaign = studio.campaign("pairwise", items=3)
    bea = studio.person("Bea", campaign)
    with studio.database.write() as connection:
        password = hash_password("correct horse battery", forbidden=())
        people.change(connection, bea, email="bea@example.org", password=password)
    page = open_task(studio, browse(bea), campaign)
    page.context.set_offline(True)
    press(page, "2", "Enter")
    expect(page.locator("#status-text")).to_have_text("offline, 1 answer queued")
    page.context.clear_cookies()
    page.context.set_offline(False)
    log_in(studio, page, studio.person("Bea", campaign))
    page.goto(f"{studio.url}/work")
    page.locator("#left-behind").get_by_role("button", name="Review").click()
    dialog = page.get_by_role("dialog", name="Answers of an earlier visit")
    expect(dialog).to_contain_text("They belong to an account with a password.")
    expect(dialog.get_by_role("button", name="Send all")).to_have_count(0)
