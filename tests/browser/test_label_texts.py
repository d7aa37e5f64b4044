"""Texts are shown as they were written: prompts, instructions and earlier turns, and with R every text."""

import pytest
from playwright.sync_api import Page, expect

from browser.conftest import Browse, Studio, answer
from browser.labelling import press, start
from fairlead.data.records import Message
from fairlead.labels.items import NewItem
from fairlead.labels.task_kinds import NUM_ANSWERS

pytestmark = pytest.mark.browser

WRITTEN = 'What is __name__ == "__main__"?\n\n    indented  twice\n\tand a tab\n2*3*4 = ? <b>&amp;</b>'
PROMPT = (
    Message("system", "You answer only in *rhymes*."),
    Message("user", "# Not a heading"),
    Message("assistant", "1) _one_\n2) two"),
    Message("user", WRITTEN),
)
KINDS = ["pairwise", "ranking", "rating", "thumbs", "aspects", "demonstration", "edit"]


def item_of(kind: str) -> NewItem:
    low, high = NUM_ANSWERS[kind]  # type: ignore[index]
    count = min(high, max(low, 2))
    return NewItem(prompt=PROMPT, answers=tuple(answer(f"Answer **{n}**.", "m") for n in range(count)))


def shown(page: Page) -> list[str]:
    """The text of each message of the prompt, with its spaces."""
    texts: list[str] = page.locator(".prompt .said").evaluate_all("all => all.map((one) => one.innerText)")
    return texts


@pytest.mark.parametrize("kind", KINDS)
def test_a_prompt_is_shown_as_it_was_written(studio: Studio, browse: Browse, kind: str) -> None:
    page = start(studio, browse, studio.campaign(kind, items=[item_of(kind)]))
    texts = [message.content for message in PROMPT]
    assert shown(page) == texts
    for said in page.locator(".prompt .said").all():
        expect(said).to_be_visible()
    roles = page.locator(".prompt .role")
    expect(roles).to_have_text(["Instructions", "User", "Assistant", "User"])
    expect(roles.last).to_be_visible()
    expect(page.get_by_text("Instructions and 2 earlier turns")).to_be_visible()
    if kind == "demonstration":
        press(page, "Escape")
    press(page, "r")
    assert shown(page) == texts
    for pane in page.locator(".pane .said").all():
        expect(pane).to_contain_text("**")
    press(page, "r")
    assert shown(page) == texts
    expect(page.locator(".pane .said strong")).to_have_count(page.locator(".pane").count())


def test_a_prompt_can_be_formatted_and_r_shows_it_as_written(studio: Studio, browse: Browse) -> None:
    campaign = studio.campaign("pairwise", items=[item_of("pairwise")])
    page = start(studio, browse, campaign)
    toggle = page.get_by_role("button", name="Format")
    toggle.click()
    expect(toggle).to_have_attribute("aria-pressed", "true")
    expect(page.locator(".prompt .said strong").first).to_be_visible()
    press(page, "r")
    assert shown(page) == [message.content for message in PROMPT]
    press(page, "r")
    expect(page.locator(".prompt .said strong").first).to_be_visible()
    toggle.click()
    assert shown(page) == [message.content for message in PROMPT]


def test_plain_prompts_offer_no_formatting(studio: Studio, browse: Browse) -> None:
    page = start(studio, browse, studio.campaign("pairwise", items=1))
    expect(page.locator(".prompt")).to_be_visible()
    expect(page.get_by_role("button", name="Format")).to_have_count(0)


def test_instructions_are_in_sight_by_themselves(studio: Studio, browse: Browse) -> None:
    item = NewItem(prompt=(PROMPT[0], Message("user", "Well?")), answers=(answer("a"), answer("b")))
    page = start(studio, browse, studio.campaign("pairwise", items=[item]))
    expect(page.get_by_text("You answer only in *rhymes*.")).to_be_visible()
    summary = page.locator(".earlier summary")
    expect(summary).to_have_text("Instructions")
    summary.click()
    expect(page.get_by_text("You answer only in *rhymes*.")).to_be_hidden()


def test_r_shows_every_turn_of_a_conversation_as_written(studio: Studio, browse: Browse) -> None:
    page = start(studio, browse, studio.campaign("conversation", items=[NewItem(prompt=PROMPT)]))
    turns = page.locator(".thread .said")
    written = [message.content for message in PROMPT]
    texts = "all => all.map((one) => one.innerText)"
    assert [text for n, text in enumerate(turns.evaluate_all(texts)) if n != 2] == [
        text for n, text in enumerate(written) if n != 2
    ]
    expect(turns.nth(2).locator("em")).to_have_text("one")  # the judged answer is formatted
    press(page, "r")
    assert turns.evaluate_all(texts) == written
    press(page, "r")
    expect(turns.nth(2).locator("em")).to_have_text("one")


def test_each_line_has_its_own_direction(studio: Studio, browse: Browse) -> None:
    item = NewItem(
        prompt=(Message("user", "ما هي عاصمة فرنسا؟\nIn English, please."),),
        answers=(answer("Paris"), answer("Lyon")),
    )
    page = start(studio, browse, studio.campaign("pairwise", items=[item]))
    said = page.locator(".prompt .said")
    assert said.evaluate("node => getComputedStyle(node).unicodeBidi") == "plaintext"
    assert said.evaluate("node => getComputedStyle(node).direction") == "rtl"
