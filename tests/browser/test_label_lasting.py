"""Nothing typed or selected is lost: drafts, the outbox, a crashed page, two windows, two people."""

import json
import time
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, Route, expect
from playwright.sync_api import Error as PlaywrightError

from browser.conftest import Browse, Studio
from browser.held_requests import HeldRequests, until
from fairlead.labels import assignments, drafts, leases
from fairlead.labels.campaigns import Campaign
from fairlead.labels.people import Person
from fairlead.studio.auth import COOKIE

pytestmark = pytest.mark.browser

KEPT = """(name) => new Promise((resolve) => {
    const opening = indexedDB.open("fairlead-labels");
    opening.onsuccess = () => {
        const request = opening.result.transaction(name).objectStore(name).getAll();
        request.onsuccess = () => (opening.result.close(), resolve(request.result));
    };
})"""


def opened(studio: Studio, page: Page, campaign: Campaign) -> Page:
    page.goto(f"{studio.url}/c/{campaign.slug}/label")
    expect(page.locator("body[data-ready]")).to_be_attached()
    return page


def begun(studio: Studio, campaign: Campaign, person: Person) -> list[dict[str, object]]:
    with studio.database.read() as connection:
        return [one.body for one in drafts.list_of_rater(connection, campaign.id, person.rater)]


def held(studio: Studio, campaign: Campaign, person: Person) -> int:
    with studio.database.read() as connection:
        return len(assignments.list_leased(connection, campaign, person.rater))


def asked(page: Page, path: str) -> list[float]:
    """When the page asks for it, from now on."""
    times: list[float] = []
    page.on("request", lambda request: times.append(time.monotonic()) if request.url.endswith(path) else None)
    return times


def kept(page: Page, name: str) -> list[dict[str, Any]]:
    """What this browser keeps of drafts, or of the outbox."""
    return list(page.evaluate(KEPT, name))


def test_offline_answers_wait_and_arrive_once(studio: Studio, browse: Browse) -> None:
    campaign = studio.campaign("pairwise", items=4)
    page = opened(studio, browse(studio.person("Ada", campaign)), campaign)  # and so are the next two tasks
    page.context.set_offline(True)
    for key in ("2", "Enter", "7", "Enter"):
        page.keyboard.press(key)
    expect(page.locator("#status-text")).to_have_text("offline, 2 answers queued")
    expect(page.locator(".prompt")).to_be_visible()  # the third, fetched before
    assert studio.judged(campaign) == []
    page.context.set_offline(False)
    made = studio.judged(campaign, wanted=2)
    assert [abs(one.value["preference"]) for one in made] == [2, 2]
    expect(page.locator("#status-text")).to_contain_text("saved")


def test_an_answer_taken_back_offline_never_leaves(studio: Studio, browse: Browse) -> None:
    campaign = studio.campaign("pairwise", items=3)
    page = opened(studio, browse(studio.person("Ada", campaign)), campaign)
    question = page.locator(".prompt .said").inner_text()
    page.context.set_offline(True)
    for key in ("1", "Enter"):
        page.keyboard.press(key)
    expect(page.locator("#status-text")).to_have_text("offline, 1 answer queued")
    page.keyboard.press("u")
    expect(page.locator(".prompt .said")).to_have_text(question)
    expect(page.get_by_role("radio", name="A much better")).to_be_checked()
    page.keyboard.press("8")
    page.keyboard.press("Enter")
    page.context.set_offline(False)
    [made] = studio.judged(campaign, wanted=1)
    assert made.supersedes is None and made.value["preference"] == (-3 if made.order[0] == 0 else 3)


def test_answers_taken_back_one_by_one_offline_are_all_kept(studio: Studio, browse: Browse) -> None:
    campaign = studio.campaign("pairwise", items=3)
    page = opened(studio, browse(studio.person("Ada", campaign)), campaign)
    question = page.locator(".prompt .said").inner_text()
    page.context.set_offline(True)
    for key in ("1", "Enter", "8", "Enter"):
        page.keyboard.press(key)
    expect(page.locator("#status-text")).to_have_text("offline, 2 answers queued")
    page.keyboard.press("u")
    expect(page.get_by_role("radio", name="B much better")).to_be_checked()
    page.keyboard.press("u")
    expect(page.locator(".prompt .said")).to_have_text(question)
    expect(page.get_by_role("radio", name="A much better")).to_be_checked()
    assert kept(page, "outbox") == [] and sorted(one["value"]["choice"] for one in kept(page, "drafts")) == [
        1,
        8,
    ]
    page.keyboard.press("u")
    expect(page.get_by_text("Earlier answers cannot be undone")).to_be_visible()
    for _ in range(2):
        page.keyboard.press("Enter")
    page.context.set_offline(False)
    assert [one.supersedes for one in studio.judged(campaign, wanted=2)] == [None, None]


def test_an_answer_of_an_earlier_page_is_not_taken_back_unseen(studio: Studio, browse: Browse) -> None:
    campaign = studio.campaign("pairwise", items=3)
    page = opened(studio, browse(studio.person("Ada", campaign)), campaign)
    page.route("**/judgement", lambda route: route.abort())
    for key in ("1", "Enter", "8", "Enter"):
        page.keyboard.press(key)
    expect(page.locator("#status-text")).to_have_text("offline, 2 answers queued")
    opened(studio, page, campaign)
    expect(page.locator("#status-text")).to_have_text("offline, 2 answers queued")
    page.keyboard.press("u")
    expect(page.get_by_text("Earlier answers cannot be undone")).to_be_visible()
    assert len(kept(page, "outbox")) == 2
    page.unroute("**/judgement")
    studio.judged(campaign, wanted=2)


def test_a_draft_survives_the_death_of_the_page(studio: Studio, browser: Browser) -> None:
    campaign = studio.campaign("demonstration", items=1)
    ada = studio.person("Ada", campaign)
    context = browser.new_context()
    context.add_cookies([{"name": COOKIE, "value": studio.session(ada), "url": studio.url}])
    page = opened(studio, context.new_page(), campaign)
    page.route("**/draft", lambda route: route.abort())  # the server never hears of it
    page.keyboard.type("A thought that took a while.")
    until(
        page,
        lambda: any(
            one["value"].get("text") == "A thought that took a while." for one in kept(page, "drafts")
        ),
    )
    with pytest.raises(PlaywrightError):
        page.goto("chrome://crash", timeout=5000)
    assert begun(studio, campaign, ada) == []
    again = opened(studio, context.new_page(), campaign)
    expect(again.get_by_role("textbox", name="Your answer")).to_have_value("A thought that took a while.")
    context.close()


def test_a_draft_is_on_the_server_within_a_second_and_on_another_machine(
    studio: Studio, browse: Browse
) -> None:
    campaign = studio.campaign("demonstration", items=1)
    ada = studio.person("Ada", campaign)
    page = opened(studio, browse(ada), campaign)
    with page.expect_response("**/draft", timeout=1500):
        page.keyboard.type("Begun here")
    expect(page.locator("#status-text")).to_contain_text("saved")
    [draft] = begun(studio, campaign, ada)
    assert draft["value"] == {"text": "Begun here"}
    elsewhere = opened(studio, browse(ada), campaign)
    expect(elsewhere.get_by_role("textbox", name="Your answer")).to_have_value("Begun here")


def test_a_draft_that_does_not_arrive_is_sent_again_at_growing_intervals(
    studio: Studio, browse: Browse
) -> None:
    campaign = studio.campaign("demonstration", items=1)
    ada = studio.person("Ada", campaign)
    page = opened(studio, browse(ada), campaign)
    times = asked(page, "/draft")
    page.route("**/draft", lambda route: route.abort())
    page.keyboard.type("Begun")
    until(page, lambda: len(times) == 4)
    assert times[3] - times[2] >= 1.8  # after 0.5 and 1 s, 2 s
    page.unroute("**/draft")
    page.evaluate("dispatchEvent(new Event('online'))")
    until(page, lambda: [one["value"] for one in begun(studio, campaign, ada)] == [{"text": "Begun"}])


def test_a_draft_that_is_refused_is_said_to_be_once(studio: Studio, browse: Browse) -> None:
    campaign = studio.campaign("demonstration", items=1)
    page = opened(studio, browse(studio.person("Ada", campaign)), campaign)
    refused = json.dumps({"error": {"message": "draft: is too large"}})
    times = asked(page, "/draft")
    page.route("**/draft", lambda route: route.fulfill(status=422, body=refused))
    page.keyboard.type("Begun")
    expect(page.get_by_text("draft: is too large")).to_be_visible()
    page.keyboard.type(" and gone on with", delay=80)  # long enough for more than one
    assert len(times) == 1
    assert [one["value"]["text"] for one in kept(page, "drafts")] == ["Begun and gone on with"]
    page.keyboard.press("Control+Enter")
    studio.judged(campaign, wanted=1)


def test_no_draft_comes_after_its_answer(studio: Studio, browse: Browse) -> None:
    campaign = studio.campaign("demonstration", items=2)
    ada = studio.person("Ada", campaign)
    page = opened(studio, browse(ada), campaign)
    answers = asked(page, "/judgement")
    slow = HeldRequests(page, "**/draft")
    page.keyboard.type("Quick")
    until(page, lambda: len(slow) == 1)
    page.keyboard.press("Control+Enter")
    until(page, lambda: len(kept(page, "outbox")) == 1)
    assert answers == []
    slow[0].continue_()
    studio.judged(campaign, wanted=1)
    assert begun(studio, campaign, ada) == []


def test_hiding_the_page_saves_what_was_typed_last(studio: Studio, browse: Browse) -> None:
    campaign = studio.campaign("demonstration", items=1)
    ada = studio.person("Ada", campaign)
    page = opened(studio, browse(ada), campaign)
    page.keyboard.type("Last words")
    page.goto("about:blank")
    until(page, lambda: [one["value"] for one in begun(studio, campaign, ada)] == [{"text": "Last words"}])


# A page that closes sends its outbox once more, and a route may end before its page.
OFFLINE = "() => { window.fetch = () => Promise.reject(new TypeError('offline')) }"


def test_answers_of_a_page_that_was_closed_are_sent_by_the_next_one(studio: Studio, browse: Browse) -> None:
    campaign = studio.campaign("pairwise", items=2)
    page = opened(studio, browse(studio.person("Ada", campaign)), campaign)
    page.evaluate(OFFLINE)
    page.keyboard.press("3")
    page.keyboard.press("Enter")
    expect(page.locator("#status-text")).to_contain_text("offline, 1 answer queued")
    second = page.context.new_page()
    page.close()
    assert studio.judged(campaign) == []
    opened(studio, second, campaign)
    studio.judged(campaign, wanted=1)
    expect(second.locator("#pace")).to_contain_text("1 today")


def test_an_answer_whose_acknowledgement_was_lost_is_kept_once(studio: Studio, browse: Browse) -> None:
    campaign = studio.campaign("pairwise", items=2)
    page = opened(studio, browse(studio.person("Ada", campaign)), campaign)
    lost: list[int] = []

    def lose_the_first(route: Route) -> None:
        answer = route.fetch()
        lost.append(answer.status)
        if len(lost) == 1:
            route.abort()
        else:
            route.fulfill(response=answer)

    page.route("**/judgement", lose_the_first)
    page.keyboard.press("3")
    page.keyboard.press("Enter")
    expect(page.locator("#status-text")).to_contain_text("saved", timeout=8000)
    assert lost == [200, 200]
    studio.judged(campaign, wanted=1)


def test_a_late_answer_is_kept_and_said_to_be_late(studio: Studio, browse: Browse) -> None:
    campaign = studio.campaign("pairwise", items=1)
    ada = studio.person("Ada", campaign)
    page = opened(studio, browse(ada), campaign)
    with studio.database.write() as connection:
        [held] = assignments.list_leased(connection, campaign, ada.rater)
        leases.revoke(connection, campaign, held.id, by="system")
    page.keyboard.press("2")
    page.keyboard.press("Enter")
    expect(page.get_by_text("saved and marked as late")).to_be_visible()
    [made] = studio.judged(campaign, wanted=1)
    assert made.late


def test_two_people_never_get_the_same_item(studio: Studio, browse: Browse) -> None:
    campaign = studio.campaign("pairwise", items=1)
    ada, grace = (browse(studio.person(name, campaign)) for name in ("Ada", "Grace"))
    for page in (ada, grace):
        page.goto(f"{studio.url}/c/{campaign.slug}/label", wait_until="commit")
    for page in (ada, grace):
        expect(page.locator("body[data-ready]")).to_be_attached()
    shown = [page.locator(".prompt").is_visible() for page in (ada, grace)]
    assert sorted(shown) == [False, True]
    expect((grace if shown[0] else ada).get_by_role("heading", name="No tasks left")).to_be_visible()


def test_a_closed_page_gives_back_what_nobody_saw(studio: Studio, browse: Browse) -> None:
    campaign = studio.campaign("pairwise", items=3)
    ada = studio.person("Ada", campaign)
    page = opened(studio, browse(ada), campaign)
    assert held(studio, campaign, ada) == 3
    page.goto("about:blank")
    until(page, lambda: held(studio, campaign, ada) == 1)  # the one on the screen


def test_a_session_that_ended_keeps_everything(studio: Studio, browse: Browse) -> None:
    campaign = studio.campaign("pairwise", items=3)
    page = opened(studio, browse(studio.person("Ada", campaign)), campaign)
    cookies = page.context.cookies()
    page.context.clear_cookies()
    page.keyboard.press("2")
    page.keyboard.press("Enter")
    expect(page.locator("#status-text")).to_have_text("logged out, 1 answer queued")
    expect(page.get_by_role("button", name="Log in")).to_be_visible()
    page.context.add_cookies(
        [{"name": one["name"], "value": one["value"], "url": studio.url} for one in cookies]
    )
    studio.judged(campaign, wanted=1)  # by itself
    expect(page.locator("#status-text")).to_contain_text("saved")


def test_who_logged_in_anew_elsewhere_loses_nothing(studio: Studio, browse: Browse) -> None:
    campaign = studio.campaign("pairwise", items=3)
    ada = studio.person("Ada", campaign)
    page = opened(studio, browse(ada), campaign)
    page.context.add_cookies([{"name": COOKIE, "value": studio.session(ada), "url": studio.url}])
    page.keyboard.press("2")
    page.keyboard.press("Enter")
    expect(page.locator("#status-text")).to_have_text("logged out, 1 answer queued")
    assert [one.get("refused") for one in kept(page, "outbox")] == [None]
    page.get_by_role("button", name="Reload").click()
    studio.judged(campaign, wanted=1)


def test_being_handed_nothing_is_said_once(studio: Studio, browse: Browse) -> None:
    campaign = studio.campaign("pairwise", items=1)
    page = browse(studio.person("Ada", campaign))
    page.clock.install()
    refused = json.dumps({"error": {"message": "in this campaign, this is for labellers."}})
    times = asked(page, "/next")
    page.route("**/next", lambda route: route.fulfill(status=403, body=refused))
    opened(studio, page, campaign)
    expect(page.locator("#stage")).to_contain_text("No tasks")
    page.clock.run_for(60_000)
    expect(page.locator(".toast")).to_have_count(0)  # no other has come
    assert len(times) == 1
