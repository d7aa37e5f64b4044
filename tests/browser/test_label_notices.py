"""One notice at a time, never on the answer form, and each undoes the answer that it names."""

import json
from typing import Any

import pytest
from playwright.sync_api import Page, Route, expect

from browser.conftest import Browse, Studio
from browser.labelling import SIZES, press, start

pytestmark = pytest.mark.browser

OPTIONS = {"aspects": ["helpful", "harmless"], "chips": ["correct", "clearer", "too long"]}
COVERED = """() => {
    const covered = [];
    for (const control of document.querySelectorAll("#dock :is(label.step, button, textarea)")) {
        const { left, top, width, height } = control.getBoundingClientRect();
        for (let x = 1; x < 10; x++) for (let y = 1; y < 10; y++) {
            const hit = document.elementFromPoint(left + width * x / 10, top + height * y / 10);
            if (hit?.closest("#toasts")) covered.push(control.innerText);
        }
    }
    return [...new Set(covered)];
}"""
ANSWERS: dict[str, list[str]] = {
    "pairwise": ["1"],
    "rating": ["2"],
    "thumbs": ["1"],
    "ranking": ["a", "1", "b", "2", "c", "3", "d", "4"],
    "conversation": ["3"],
}


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kind", ANSWERS)
def test_a_notice_covers_no_control(studio: Studio, browse: Browse, kind: str, size: str) -> None:
    options = OPTIONS if kind in ("pairwise", "ranking") else {"chips": OPTIONS["chips"]}
    settings: Any = SIZES[size]
    page = start(studio, browse, studio.campaign(kind, items=3, options=options), **settings)
    for _ in range(2):
        press(page, *ANSWERS[kind], "Enter")
        notice = page.locator("#toasts .toast")
        expect(notice).to_have_count(1)
        expect(notice).to_contain_text("Submitted: ")
        expect(notice).to_be_in_viewport(ratio=1)
        notice.evaluate("node => Promise.all(node.getAnimations().map((one) => one.finished))")
        assert page.evaluate(COVERED) == []


def test_a_notice_covers_no_control_on_a_low_screen(studio: Studio, browse: Browse) -> None:
    campaign = studio.campaign("pairwise", items=3, options=OPTIONS)
    page = start(studio, browse, campaign, viewport={"width": 740, "height": 360})
    press(page, "1", "Enter")
    expect(page.locator("#toasts .toast")).to_be_in_viewport(ratio=1)
    assert page.evaluate(COVERED) == []
    page.evaluate("scrollTo(0, document.body.scrollHeight)")
    assert page.evaluate(COVERED) == []


def notices(page: Page) -> list[str]:
    return page.locator("#toasts .toast > span").all_inner_texts()


def refuse(route: Route, message: str) -> None:
    body = json.dumps({"error": {"message": message}})
    route.fulfill(status=422, body=body, content_type="application/json")


def test_there_is_one_notice_and_it_undoes_its_own_answer(studio: Studio, browse: Browse) -> None:
    campaign = studio.campaign("pairwise", items=4)
    page = start(studio, browse, campaign)
    press(page, "1", "Enter")
    second = page.locator(".prompt .said").inner_text()
    press(page, "8", "Enter")
    assert notices(page) == ["Submitted: B much better"]
    press(page, "f", "1")  # a flag of the third task, whose notice undoes nothing
    expect(page.locator("#toasts .toast > span")).to_have_text(["Flagged for review."])
    press(page, "u")
    expect(page.locator(".prompt .said")).to_have_text(second)
    press(page, "8", "Enter")
    page.locator("#toasts").get_by_role("button", name="Undo").click()
    expect(page.locator(".prompt .said")).to_have_text(second)
    expect(page.get_by_role("radio", name="B much better")).to_be_checked()
    assert notices(page) == []  # it named an answer that has been taken back


def test_a_notice_that_must_be_dealt_with_comes_back(studio: Studio, browse: Browse) -> None:
    campaign = studio.campaign("pairwise", items=4)
    page = browse(studio.person("Ada", campaign))
    page.clock.install()
    page.goto(f"{studio.url}/c/{campaign.slug}/label")
    expect(page.locator("body[data-ready]")).to_be_attached()
    page.route("**/judgement", lambda route: refuse(route, "is odd"), times=1)
    press(page, "1", "Enter")
    expect(page.get_by_role("alert")).to_contain_text("1 answer was rejected")
    press(page, "2", "Enter")
    assert notices(page) == ["Submitted: A better"]
    page.clock.run_for(6000)
    expect(page.locator("#toasts .toast")).to_contain_text("1 answer was rejected")
    page.locator("#toasts").get_by_role("button", name="Close").click()
    assert notices(page) == []


def test_what_must_be_dealt_with_is_not_hidden_by_another_fault(studio: Studio, browse: Browse) -> None:
    campaign = studio.campaign("demonstration", items=4)
    page = start(studio, browse, campaign)
    page.route("**/judgement", lambda route: refuse(route, "is odd"))
    page.route("**/draft", lambda route: refuse(route, "is too long"))
    page.keyboard.insert_text("Something")
    expect(page.get_by_role("alert")).to_contain_text("is too long")
    press(page, "Control+Enter")
    expect(page.get_by_role("alert")).to_contain_text("is odd")
    with page.expect_response("**/draft"):
        page.keyboard.insert_text("Something else")
    expect(page.locator("#announce")).to_have_text("is too long")
    expect(page.get_by_role("alert")).to_contain_text("is odd")


def test_nothing_is_called_saved_while_it_is_only_in_the_browser(studio: Studio, browse: Browse) -> None:
    campaign = studio.campaign("pairwise", items=4)
    page = start(studio, browse, campaign)
    cookies = page.context.cookies()
    page.context.clear_cookies()
    press(page, "2", "Enter")
    expect(page.locator("#toasts .toast")).to_contain_text("You are logged out.")
    press(page, "2", "Enter")
    assert notices(page) == ["Kept in this browser: A better"]
    expect(page.locator("#announce")).to_have_text("Kept in this browser: A better.")
    page.context.add_cookies([{**cookie} for cookie in cookies])  # type: ignore[typeddict-item]
    page.reload()
    studio.judged(campaign, wanted=2)


def test_a_notice_stays_while_it_has_the_focus(studio: Studio, browse: Browse) -> None:
    campaign = studio.campaign("pairwise", items=4)
    page = browse(studio.person("Ada", campaign))
    page.clock.install()
    page.goto(f"{studio.url}/c/{campaign.slug}/label")
    expect(page.locator("body[data-ready]")).to_be_attached()
    press(page, "1", "Enter")
    undo = page.locator("#toasts").get_by_role("button", name="Undo")
    undo.focus()
    page.clock.run_for(9000)
    expect(undo).to_be_visible()
    page.locator("#stage").focus()
    page.clock.run_for(5000)
    expect(undo).to_be_hidden()
