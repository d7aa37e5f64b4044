"""Two answers side by side, judged with keys alone."""

import pytest
from playwright.sync_api import expect

from browser.conftest import Browse, Studio, answer
from browser.held_requests import texts_of_api
from browser.labelling import press, start
from fairlead.data.records import Message
from fairlead.labels import flags
from fairlead.labels.items import NewItem

pytestmark = pytest.mark.browser

OPTIONS = {"aspects": ["helpful", "harmless"], "chips": ["correct", "clearer", "too long"]}


def test_the_whole_flow_with_keys_only(studio: Studio, browse: Browse) -> None:
    campaign = studio.campaign("pairwise", items=3, options=OPTIONS)
    page = start(studio, browse, campaign)
    question = page.locator(".prompt .said").inner_text()
    page.keyboard.press("2")
    expect(page.get_by_role("radio", name="A better", exact=True)).to_be_checked()
    page.keyboard.press("Tab")  # into the first aspect
    page.keyboard.press("a")
    page.keyboard.press("Tab")
    page.keyboard.press("=")
    page.keyboard.press("c")
    page.keyboard.press("1")
    page.keyboard.press("3")
    page.keyboard.press("t")
    page.keyboard.type("Short and right. 1 2 3 s")  # digits and letters are text while typing
    page.keyboard.press("Escape")
    page.keyboard.press("Enter")
    expect(page.locator("#announce")).to_have_text("Submitted: A better.")
    expect(page.locator(".prompt .said")).not_to_have_text(question)
    expect(page.locator("#pace")).to_contain_text("1 today")
    [made] = studio.judged(campaign, wanted=1)
    sign = 1 if made.order[0] == 0 else -1
    assert made.value == {"preference": 2 * sign, "tie": None, "aspects": {"helpful": sign, "harmless": 0}}
    assert made.reasons == ("correct", "too long") and made.note == "Short and right. 1 2 3 s"
    assert (
        made.ui["viewport"] == [1280, 900] and made.ui["render"].startswith("sha256:") and made.active_ms > 0
    )
    for key in ("8", "Enter", "4", "Enter"):
        page.keyboard.press(key)
    expect(page.get_by_role("heading", name="No tasks left")).to_be_visible()
    assert len(studio.judged(campaign, wanted=3)) == 3


def test_arrows_move_and_nothing_is_sent_without_a_choice(studio: Studio, browse: Browse) -> None:
    campaign = studio.campaign("pairwise", items=2)
    page = start(studio, browse, campaign)
    page.keyboard.press("Enter")
    expect(page.locator(".missing")).to_have_text("Choose how A and B compare")
    for _ in range(3):
        page.keyboard.press("ArrowRight")
    expect(page.get_by_role("radio", name="A slightly better")).to_be_checked()
    page.keyboard.press("ArrowLeft")
    expect(page.get_by_role("radio", name="A better", exact=True)).to_be_checked()
    assert studio.judged(campaign) == []


def test_undo_opens_the_last_answer_again_and_the_correction_supersedes(
    studio: Studio, browse: Browse
) -> None:
    campaign = studio.campaign("pairwise", items=3, options=OPTIONS)
    page = start(studio, browse, campaign)
    first = page.locator(".prompt .said").inner_text()
    for key in ("1", "c", "2", "Enter"):
        page.keyboard.press(key)
    [before] = studio.judged(campaign, wanted=1)
    second = page.locator(".prompt .said").inner_text()
    assert second != first
    page.keyboard.press("u")
    expect(page.locator(".prompt .said")).to_have_text(first)
    expect(page.get_by_role("radio", name="A much better")).to_be_checked()
    expect(page.get_by_role("button", name="clearer")).to_have_attribute("aria-pressed", "true")
    page.keyboard.press("8")
    page.keyboard.press("Enter")
    expect(page.locator(".prompt .said")).to_have_text(second)  # the one that had to wait
    [after] = studio.judged(campaign, wanted=1, until=lambda one: one.supersedes is not None)
    assert after.supersedes == before.id and after.value["preference"] == -before.value["preference"]
    assert after.active_ms >= before.active_ms


def test_cannot_be_judged_and_unsafe_are_answers(studio: Studio, browse: Browse) -> None:
    campaign = studio.campaign("pairwise", items=2)
    page = start(studio, browse, campaign)
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    expect(page.locator("#announce")).to_have_text("Submitted: Cannot be judged.")
    page.keyboard.press("x")
    page.keyboard.press("Enter")
    assert [one.value for one in studio.judged(campaign, wanted=2)] == [
        {"cannot": "judge"},
        {"cannot": "unsafe"},
    ]


def test_skip_with_a_reason_parks_what_was_typed(studio: Studio, browse: Browse) -> None:
    campaign = studio.campaign("pairwise", items=2)
    page = start(studio, browse, campaign)
    question = page.locator(".prompt .said").inner_text()
    page.keyboard.press("t")
    page.keyboard.type("Both answers miss the point of the question.")
    page.keyboard.press("Escape")
    page.keyboard.press("s")
    expect(page.get_by_role("dialog", name="Skip this task")).to_be_visible()
    page.keyboard.press("3")
    expect(page.locator(".prompt .said")).not_to_have_text(question)
    page.get_by_role("button", name="Drafts").click()
    page.get_by_role("button", name="Both answers miss the point").click()
    expect(page.locator(".prompt .said")).to_have_text(question)
    expect(page.get_by_role("textbox", name="Note")).to_have_value(
        "Both answers miss the point of the question."
    )
    page.keyboard.press("5")
    page.keyboard.press("Enter")
    [made] = studio.judged(campaign, wanted=1)
    assert made.note == "Both answers miss the point of the question."


def test_flag_reaches_the_lead_and_the_task_stays(studio: Studio, browse: Browse) -> None:
    campaign = studio.campaign("pairwise", items=1)
    page = start(studio, browse, campaign)
    page.keyboard.press("f")
    dialog = page.get_by_role("dialog", name="Flag this task")
    dialog.get_by_role("textbox").fill("It names a real person.")
    dialog.get_by_role("button", name="Personal data").click()
    expect(page.get_by_text("Flagged for review.")).to_be_visible()
    expect(page.locator(".prompt")).to_be_visible()
    expect(page.locator("#status-text")).to_contain_text("saved")  # nothing was, before
    with studio.database.read() as connection:
        [raised] = flags.list_flags(connection, campaign.id)
    assert (raised.reason, raised.note) == ("personal data", "It names a real person.")


def test_raw_differences_and_scrolling_apart(studio: Studio, browse: Browse) -> None:
    texts = "The **same** words, then one.", "The **same** words, then two."
    item = NewItem(prompt=(Message("user", "Which?"),), answers=(answer(texts[0]), answer(texts[1])))
    page = start(studio, browse, studio.campaign("pairwise", items=[item]))
    pane = page.locator("[data-pane=A] .pane-body")
    shown = "one" if "one" in pane.inner_text() else "two"
    page.keyboard.press("r")
    expect(pane).to_have_text(f"The **same** words, then {shown}.")
    page.keyboard.press("d")
    expect(pane.locator("mark")).to_have_text([shown])
    page.keyboard.press("d")
    expect(pane.locator("strong")).to_have_text("same")
    page.keyboard.press("l")
    assert pane.evaluate("node => getComputedStyle(node).overflowY") == "auto"


def test_the_better_answer_can_be_made_better_still(studio: Studio, browse: Browse) -> None:
    campaign = studio.campaign("pairwise", items=1)
    page = start(studio, browse, campaign)
    page.keyboard.press("7")
    page.keyboard.press("e")
    editor = page.get_by_role("textbox", name="Answer B, edited")
    expect(editor).to_be_focused()
    editor.fill("Paris.")
    expect(page.locator(".changes del").first).to_be_visible()
    page.keyboard.press("Control+Enter")
    [made] = studio.judged(campaign, wanted=1)
    assert made.value["edit"] == {"candidate": made.order[1], "text": "Paris."}


def test_nothing_on_the_page_says_which_model_wrote_what(studio: Studio, browse: Browse) -> None:
    campaign = studio.campaign("pairwise", items=2)
    page = browse(studio.person("Ada", campaign))
    seen = texts_of_api(page, lambda: page.goto(f"{studio.url}/c/{campaign.slug}/label"))
    expect(page.locator("body[data-ready]")).to_be_attached()
    assert seen and not any("model-" in text for text in (*seen, page.content()))


def test_preferring_one_answer_and_editing_the_other_is_asked_about(studio: Studio, browse: Browse) -> None:
    campaign = studio.campaign("pairwise", items=1)
    page = start(studio, browse, campaign)
    page.keyboard.press("7")
    page.keyboard.press("e")
    editor = page.get_by_role("textbox", name="Answer B, edited")
    editor.fill("Paris.")
    page.keyboard.press("Escape")
    page.keyboard.press("1")
    page.keyboard.press("Control+Enter")
    dialog = page.get_by_role("dialog", name="You prefer A, but you edited B")
    expect(dialog).to_be_visible()
    page.keyboard.press("2")  # go back
    expect(dialog).to_be_hidden()
    expect(editor).to_have_value("Paris.")
    page.keyboard.press("Control+Enter")
    expect(dialog).to_be_visible()
    page.keyboard.press("1")
    [made] = studio.judged(campaign, wanted=1)
    assert made.value["edit"] == {"candidate": made.order[1], "text": "Paris.", "worse": True}
    assert (made.value["preference"] > 0) == (made.order[0] == 0)


def test_an_answer_that_is_taken_back_and_sent_again_counts_once(studio: Studio, browse: Browse) -> None:
    campaign = studio.campaign("pairwise", items=4)
    page = start(studio, browse, campaign)
    pace = page.locator("#pace")
    for number, key in enumerate("12", start=1):
        press(page, key, "Enter")
        expect(pace).to_contain_text(f"{number} today")
    press(page, "u", "3", "Enter")
    expect(pace).to_contain_text("2 today")
    studio.judged(campaign, wanted=2)
    page.reload()
    expect(page.locator("body")).to_have_attribute("data-ready", "yes")
    expect(pace).to_contain_text("2 today")
    press(page, "u", "Enter", "u", "Enter")  # of the page before
    expect(pace).to_contain_text("2 today")
