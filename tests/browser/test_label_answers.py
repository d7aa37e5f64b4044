"""Undo reaches back over several answers, also after a reload, and the page "My answers" lists them all."""

import pytest
from playwright.sync_api import Page, expect

from browser.conftest import Browse, Studio
from browser.held_requests import until
from browser.labelling import PHONE, another_tab, open_task, press, question, start
from browser.test_axe import problems
from fairlead.labels import leases

pytestmark = pytest.mark.browser

AGAIN = "This is your earlier answer."


def judge_three(studio: Studio, page: Page) -> list[str]:
    """Judges three tasks 1, 2 and 3; returns their questions."""
    questions = []
    for key in "123":
        questions.append(question(page))
        press(page, key, "Enter")
        expect(page.locator(".prompt .said")).not_to_have_text(questions[-1])
    return questions


def test_undo_after_a_reload_reaches_back_over_several_answers(studio: Studio, browse: Browse) -> None:
    campaign = studio.campaign("pairwise", items=5)
    page = start(studio, browse, campaign)
    questions = judge_three(studio, page)
    studio.judged(campaign, wanted=3)
    open_task(studio, page, campaign)
    for key, text in zip("321", reversed(questions), strict=True):
        press(page, "u")
        expect(page.locator(".prompt .said")).to_have_text(text)
        expect(page.locator("#dock .scale input:checked")).to_have_value(key)
        expect(page.get_by_text(AGAIN)).to_be_visible()
    press(page, "u")
    expect(page.locator("#toasts")).to_contain_text("There is no earlier answer to undo.")
    press(page, "8", "Enter", "7", "Enter", "6", "Enter")  # the oldest first
    until(page, lambda: all(one.supersedes for one in studio.judged(campaign, wanted=3)))
    expect(page.locator("#pace")).to_contain_text("3 today")
    expect(page.get_by_text(AGAIN)).to_be_hidden()


def test_undo_reaches_over_answers_of_this_page_and_of_earlier_ones(studio: Studio, browse: Browse) -> None:
    campaign = studio.campaign("pairwise", items=5)
    page = start(studio, browse, campaign)
    first = question(page)
    press(page, "1", "Enter")
    studio.judged(campaign, wanted=1)
    open_task(studio, page, campaign)
    second = question(page)
    press(page, "2", "Enter")
    expect(page.locator(".prompt .said")).not_to_have_text(second)
    press(page, "u")
    expect(page.locator(".prompt .said")).to_have_text(second)
    press(page, "u")
    expect(page.locator(".prompt .said")).to_have_text(first)


def test_a_draft_that_changes_an_earlier_answer_counts_once(studio: Studio, browse: Browse) -> None:
    campaign = studio.campaign("demonstration", items=4)
    page = start(studio, browse, campaign)
    editor = page.get_by_role("textbox", name="Your answer")
    editor.fill("First")
    press(page, "Control+Enter")
    studio.judged(campaign, wanted=1)
    open_task(studio, page, campaign)
    press(page, "Escape", "u")
    expect(editor).to_have_value("First")
    with page.expect_response("**/draft"):
        editor.fill("Second")
    open_task(studio, page, campaign)
    page.get_by_role("button", name="Drafts").click()
    page.get_by_role("dialog", name="Drafts").get_by_role("button", name="Second").click()
    expect(editor).to_have_value("Second")
    press(page, "Control+Enter")
    assert page.locator("#pace").inner_text().startswith("1 today")
    studio.judged(campaign, wanted=1, until=lambda one: one.value == {"text": "Second"})


def test_my_answers_lists_them_and_opens_one(studio: Studio, browse: Browse) -> None:
    campaign = studio.campaign("pairwise", items=5, options={"chips": ["clear"]})
    page = start(studio, browse, campaign)
    questions = judge_three(studio, page)
    before = studio.judged(campaign, wanted=3)
    page.get_by_role("link", name="My answers").click()
    rows = page.locator("tbody tr")
    expect(rows).to_have_count(3)
    for row, text, answer in zip(
        rows.all(),
        reversed(questions),
        ("A slightly better", "A better", "A much better"),
        strict=True,
    ):
        expect(row).to_contain_text(text)
        expect(row).to_contain_text(answer)
    assert problems(page) == []
    rows.nth(2).get_by_role("link", name="Change").click()
    expect(page.locator("body")).to_have_attribute("data-ready", "yes")
    expect(page.locator(".prompt .said")).to_have_text(questions[0])
    expect(page.get_by_role("radio", name="A much better")).to_be_checked()
    assert "task=" not in page.url
    press(page, "8", "Enter")
    made = studio.judged(campaign, wanted=3, until=lambda one: one.supersedes == before[0].id)
    assert len(made) == 3
    expect(page.locator("#toasts")).not_to_contain_text("already")
    expect(page.locator("#pace")).to_contain_text("3 today")


def test_an_answer_is_taken_back_from_the_list(studio: Studio, browse: Browse) -> None:
    campaign = studio.campaign("thumbs", items=3)
    page = start(studio, browse, campaign)
    press(page, "1", "Enter")
    studio.judged(campaign, wanted=1)
    page.get_by_role("link", name="My answers").click()
    page.get_by_role("link", name="Change").click()
    expect(page.get_by_text(AGAIN)).to_be_visible()
    press(page, "s")
    dialog = page.get_by_role("dialog", name="Skip this task")
    expect(dialog).to_contain_text("Your answer is removed")
    press(page, "1")
    until(page, lambda: studio.judged(campaign) == [])
    page.goto(f"{studio.url}/c/{campaign.slug}/answers")
    expect(page.get_by_role("heading", name="No answers yet")).to_be_visible()


def test_the_list_has_pages_and_fits_a_phone(studio: Studio, browse: Browse) -> None:
    campaign = studio.campaign("rating", items=30)
    ada = studio.person("Ada", campaign)
    page = open_task(studio, browse(ada, **PHONE), campaign)
    for n in range(26):
        expect(page.locator(".prompt")).to_be_visible()
        press(page, str(1 + n % 7), "Enter")
        expect(page.locator("#pace")).to_contain_text(f"{n + 1} today")
    studio.judged(campaign, wanted=26, within_s=30)
    page.goto(f"{studio.url}/c/{campaign.slug}/answers")
    expect(page.locator("tbody tr")).to_have_count(25)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.get_by_role("link", name="Older answers").click()
    expect(page.locator("tbody tr")).to_have_count(1)
    expect(page.get_by_text("Page 2 of 2")).to_be_visible()
    page.get_by_role("link", name="Newer answers").click()
    expect(page.locator("tbody tr")).to_have_count(25)


def test_an_answer_can_be_changed_in_a_campaign_that_gives_no_tasks(studio: Studio, browse: Browse) -> None:
    campaign = studio.campaign("thumbs", items=1)
    page = start(studio, browse, campaign)
    first = question(page)
    press(page, "1", "Enter")
    expect(page.get_by_role("heading", name="No tasks left")).to_be_visible()
    studio.judged(campaign, wanted=1)
    other = another_tab(studio, page, campaign)
    expect(other.get_by_role("heading", name="No tasks left")).to_be_visible()
    other.goto(f"{studio.url}/c/{campaign.slug}/answers")
    other.get_by_role("link", name="Change").click()
    expect(other.locator(".prompt .said")).to_have_text(first)
    press(other, "2", "Enter")
    [made] = studio.judged(campaign, wanted=1, until=lambda one: one.value == {"label": False})
    assert made.supersedes is not None


def test_an_address_of_a_task_of_somebody_else_says_so(studio: Studio, browse: Browse) -> None:
    campaign = studio.campaign("thumbs", items=3)
    ben = studio.person("Ben", campaign)
    with studio.database.write() as connection:
        [task] = leases.lease_items(connection, campaign, ben.rater)
    page = start(studio, browse, campaign)
    open_task(studio, page, campaign, path=f"label?task={task.id}")
    expect(page.locator("#toasts")).to_contain_text("You do not have this item any more.")
    expect(page.locator(".prompt")).to_be_visible()
