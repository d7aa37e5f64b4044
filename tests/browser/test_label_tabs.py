"""One person in several tabs and browsers: a second answer to a task is said to be one."""

import pytest
from playwright.sync_api import expect

from browser.conftest import Browse, Studio
from browser.labelling import another_tab, open_task, press, question, start

pytestmark = pytest.mark.browser


def test_other_tabs_go_on_when_a_task_was_answered(studio: Studio, browse: Browse) -> None:
    campaign = studio.campaign("pairwise", items=5)
    one = start(studio, browse, campaign)
    two, three = another_tab(studio, one, campaign), another_tab(studio, one, campaign)
    first = question(one)
    assert question(two) == question(three) == first
    press(one, "1", "Enter")
    for page in (two, three):
        expect(page.locator(".prompt .said")).not_to_have_text(first)
        expect(page.locator("#toasts .toast")).to_contain_text(
            "You answered this task (A much better) in another tab"
        )
        expect(page.locator("#pace")).to_contain_text("1 today")
    press(two, "8", "Enter")
    studio.judged(campaign, wanted=2)
    expect(one.locator("#pace")).to_contain_text("2 today")
    expect(three.locator("#pace")).to_contain_text("2 today")


@pytest.mark.parametrize("kind", ["rating", "demonstration"])
def test_work_in_another_tab_stays_and_says_what_it_replaces(
    studio: Studio, browse: Browse, kind: str
) -> None:
    campaign = studio.campaign(kind, items=3)
    one = start(studio, browse, campaign)
    two = another_tab(studio, one, campaign)
    first = question(one)
    if kind == "rating":
        press(two, "6")
        press(one, "2", "Enter")
    else:
        two.get_by_role("textbox", name="Your answer").fill("From the second tab")
        one.get_by_role("textbox", name="Your answer").fill("From the first tab")
        press(one, "Control+Enter")
    notice = two.locator("#toasts .toast")
    expect(notice).to_contain_text("in another tab. Submitting here replaces that.")
    assert question(two) == first
    [before] = studio.judged(campaign, wanted=1)
    press(two, "Control+Enter")
    expect(notice).to_contain_text("Submitted: ")
    [after] = studio.judged(campaign, wanted=1, until=lambda one: one.supersedes is not None)
    assert after.supersedes == before.id
    expect(two.locator("#pace")).to_contain_text("1 today")
    expect(notice).not_to_contain_text("had already answered")  # it was said before


def test_work_in_another_tab_can_be_left(studio: Studio, browse: Browse) -> None:
    campaign = studio.campaign("thumbs", items=3)
    one = start(studio, browse, campaign)
    two = another_tab(studio, one, campaign)
    first = question(one)
    press(two, "2")
    press(one, "s", "1")
    notice = two.locator("#toasts .toast")
    expect(notice).to_contain_text("You skipped this task in another tab. Submitting here replaces that.")
    notice.get_by_role("button", name="Next task").click()
    expect(two.locator(".prompt .said")).not_to_have_text(first)
    expect(notice).to_have_count(0)
    expect(two.locator("#pace")).to_contain_text("0 today")


def test_an_answer_taken_back_in_one_tab_does_not_count_in_another(studio: Studio, browse: Browse) -> None:
    campaign = studio.campaign("pairwise", items=4)
    one = start(studio, browse, campaign)
    two = another_tab(studio, one, campaign)
    one.route("**/judgement", lambda route: route.abort())
    press(one, "1", "Enter")
    expect(two.locator("#pace")).to_contain_text("1 today")
    press(one, "u")
    expect(two.locator("#pace")).to_contain_text("0 today")
    one.unroute("**/judgement")
    press(one, "Enter")
    expect(two.locator("#pace")).to_contain_text("1 today")


def test_another_browser_hears_of_it_when_it_is_looked_at(studio: Studio, browse: Browse) -> None:
    campaign = studio.campaign("pairwise", items=3)
    ada = studio.person("Ada", campaign)
    one, two = (open_task(studio, browse(ada), campaign) for _ in range(2))
    first = question(one)
    assert question(two) == first
    press(one, "1", "Enter")
    studio.judged(campaign, wanted=1)
    two.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    expect(two.locator(".prompt .said")).not_to_have_text(first)
    expect(two.locator("#toasts .toast")).to_contain_text("You answered this task in another browser")


def test_an_answer_that_replaced_one_of_another_browser_says_so(studio: Studio, browse: Browse) -> None:
    campaign = studio.campaign("pairwise", items=3)
    ada = studio.person("Ada", campaign)
    one, two = (open_task(studio, browse(ada), campaign) for _ in range(2))
    first = question(one)
    press(one, "1", "Enter")
    [before] = studio.judged(campaign, wanted=1)
    press(two, "8", "Enter")
    notice = two.locator("#toasts .toast")
    expect(notice).to_contain_text("You had already answered this task in another window or browser.")
    notice.get_by_role("button", name="Open the earlier answer").click()
    expect(two.locator(".prompt .said")).to_have_text(first)
    expect(two.get_by_role("radio", name="A much better")).to_be_checked()
    press(two, "Enter")
    [after] = studio.judged(
        campaign, wanted=1, until=lambda one: one.value["preference"] == before.value["preference"]
    )
    assert after.id != before.id


def test_undo_and_the_answer_after_it_are_not_called_a_second_answer(studio: Studio, browse: Browse) -> None:
    campaign = studio.campaign("pairwise", items=3)
    page = start(studio, browse, campaign)
    press(page, "1", "Enter")
    studio.judged(campaign, wanted=1)
    press(page, "u", "2", "Enter")
    studio.judged(campaign, wanted=1, until=lambda one: one.supersedes is not None)
    expect(page.locator("#status-text")).to_contain_text("saved")
    expect(page.locator("#toasts")).not_to_contain_text("already")
