"""Each kind of task that is not a pair: what is pressed, and what is kept."""

import pytest
from playwright.sync_api import expect

from browser.conftest import Browse, Studio
from browser.labelling import PHONE, press, start

pytestmark = pytest.mark.browser


def test_ranking_with_letters_digits_ties_and_arrows(studio: Studio, browse: Browse) -> None:
    campaign = studio.campaign("ranking", items=1)
    page = start(studio, browse, campaign)
    press(page, "c", "1", "a", "2", "d", "=")  # C, then A and D
    expect(page.locator("#announce")).to_have_text("D is 2nd, tied with A")
    press(page, "Enter")
    expect(page.locator(".missing")).to_have_text("Not ranked yet: B")
    press(page, "b", "1", "ArrowDown")
    expect(page.locator("#announce")).to_have_text("B is 2nd")
    press(page, "Enter")
    [made] = studio.judged(campaign, wanted=1)
    by_letter = {"ABCD"[place]: made.value["ranks"][candidate] for place, candidate in enumerate(made.order)}
    assert by_letter == {"C": 1, "B": 2, "A": 3, "D": 3}


def test_ranking_with_taps(studio: Studio, browse: Browse) -> None:
    campaign = studio.campaign("ranking", items=1)
    page = start(studio, browse, campaign, **PHONE)
    expect(page.locator(".ask")).to_have_text("Tap a letter, then its rank")
    for letter, rank in (("C", 1), ("A", 2), ("B", 2)):
        page.locator(f".token[data-letter={letter}]").tap()
        page.locator(f"[data-place='{rank}'] .rank").tap()
    expect(page.locator("#announce")).to_have_text("B is 2nd")
    page.locator(".token[data-letter=D]").tap()
    expect(page.locator(".ask")).to_have_text("D: tap its rank, or = to tie")
    page.get_by_role("button", name="Tie D with A").tap()
    page.get_by_role("button", name="Submit").tap()
    [made] = studio.judged(campaign, wanted=1)
    by_letter = {"ABCD"[place]: made.value["ranks"][candidate] for place, candidate in enumerate(made.order)}
    assert by_letter == {"C": 1, "B": 2, "A": 3, "D": 3}


def test_enter_submits_after_a_click_elsewhere(studio: Studio, browse: Browse) -> None:
    campaign = studio.campaign("rating", items=2, guidelines="Be fair.")
    page = start(studio, browse, campaign)
    page.get_by_role("button", name="Close").click()
    press(page, "5", "Enter")
    studio.judged(campaign, wanted=1)
    page.locator("#open-guide").click()
    page.locator("#open-guide").click()
    press(page, "3", "Enter")
    assert [one.value for one in studio.judged(campaign, wanted=2)] == [{"score": 5}, {"score": 3}]


def test_an_earlier_answer_can_stay_as_it_was(studio: Studio, browse: Browse) -> None:
    campaign = studio.campaign("rating", items=2)
    page = start(studio, browse, campaign)
    press(page, "5", "Enter")
    studio.judged(campaign, wanted=1)
    press(page, "u")
    expect(page.locator(".notice")).to_contain_text("This is your earlier answer.")
    press(page, "2")
    page.get_by_role("button", name="Keep it as it was").click()
    expect(page.locator(".notice")).to_have_count(0)
    press(page, "7", "Enter")
    assert [one.value for one in studio.judged(campaign, wanted=2)] == [{"score": 5}, {"score": 7}]


def test_ranking_by_dragging(studio: Studio, browse: Browse) -> None:
    campaign = studio.campaign("ranking", items=1)
    page = start(studio, browse, campaign)

    def drag(letter: str, onto: str) -> None:
        source, target = (
            page.locator(f".token[data-letter={letter}]").bounding_box(),
            page.locator(onto).bounding_box(),
        )
        assert source is not None and target is not None
        page.mouse.move(source["x"] + 10, source["y"] + 10)
        page.mouse.down()
        page.mouse.move(source["x"] + 30, source["y"] + 12, steps=3)
        page.mouse.move(target["x"] + 12, target["y"] + target["height"] / 2, steps=5)
        page.mouse.up()

    drag("B", "[data-place='1']")
    drag("A", "[data-place='2']")
    drag("C", ".token[data-letter=A]")
    drag("D", "[data-place='1']")
    expect(page.locator("#announce")).to_have_text("D is 1st")
    press(page, "Enter")
    [made] = studio.judged(campaign, wanted=1)
    assert {"ABCD"[place]: made.value["ranks"][candidate] for place, candidate in enumerate(made.order)} == {
        "D": 1,
        "B": 2,
        "A": 3,
        "C": 3,
    }


def test_a_letter_of_an_answer_is_no_command_but_with_shift(studio: Studio, browse: Browse) -> None:
    page = start(studio, browse, studio.campaign("ranking", items=1))
    press(page, "d")
    expect(page.locator(".token[data-letter=D]")).to_have_attribute("aria-pressed", "true")
    expect(page.locator("mark")).to_have_count(0)
    press(page, "Shift+D")
    assert page.locator("[data-pane=B] mark").count() > 0


def test_rating_one_to_seven(studio: Studio, browse: Browse) -> None:
    campaign = studio.campaign("rating", items=2)
    page = start(studio, browse, campaign)
    press(page, "8")  # there is no such step
    press(page, "6", "ArrowRight", "Enter", "3", "Enter")
    assert [one.value for one in studio.judged(campaign, wanted=2)] == [{"score": 7}, {"score": 3}]


def test_thumbs(studio: Studio, browse: Browse) -> None:
    campaign = studio.campaign("thumbs", items=2)
    page = start(studio, browse, campaign)
    press(page, "1", "Enter", "ArrowDown", "Enter")
    assert [one.value for one in studio.judged(campaign, wanted=2)] == [{"label": True}, {"label": False}]


def test_aspects_row_by_row(studio: Studio, browse: Browse) -> None:
    campaign = studio.campaign("aspects", items=1, options={"aspects": ["helpful", "harmless", "polite"]})
    page = start(studio, browse, campaign)
    press(page, "6", "7", "Enter")
    expect(page.locator(".missing")).to_have_text("Not rated yet: polite")
    press(page, "4", "ArrowUp", "ArrowUp", "5", "Enter")  # back to the first row and change it
    [made] = studio.judged(campaign, wanted=1)
    assert made.value == {"aspects": {"helpful": 5, "harmless": 7, "polite": 4}}


def test_writing_a_demonstration_with_preview_and_gauge(studio: Studio, browse: Browse) -> None:
    campaign = studio.campaign("demonstration", items=2)
    page = start(studio, browse, campaign)
    editor = page.get_by_role("textbox", name="Your answer")
    expect(editor).to_be_focused()
    page.keyboard.type("It is **Paris**.\n\n<script>document.title = 'owned'</script>")
    expect(page.locator(".side strong")).to_have_text("Paris")
    expect(page.locator(".gauge .figures")).to_contain_text("8 words")
    press(page, "Control+Enter")
    expect(editor).to_have_value("")  # the next task
    assert page.title() != "owned"
    [made] = studio.judged(campaign, wanted=1)
    assert made.value == {"text": "It is **Paris**.\n\n<script>document.title = 'owned'</script>"}


def test_editing_an_answer_shows_the_changes(studio: Studio, browse: Browse) -> None:
    campaign = studio.campaign("edit", items=1)
    page = start(studio, browse, campaign)
    press(page, "Enter")
    expect(page.locator(".missing")).to_have_text("Edit the answer")
    press(page, "e", "Control+End", "Backspace")
    page.keyboard.type(", on the Seine.")
    expect(page.locator(".changes ins")).to_contain_text([", on the Seine"])
    press(page, "Escape", "Enter")
    [made] = studio.judged(campaign, wanted=1)
    assert made.value == {
        "candidate": 0,
        "text": "Answer 0.0: the capital of France is **Paris**, on the Seine.",
    }


def test_a_long_answer_written_anew_is_not_compared_word_by_word_at_each_key(
    studio: Studio, browse: Browse
) -> None:
    page = start(studio, browse, studio.campaign("edit", items=1))
    kinds = """import("/static/label/diff.js").then(({ diff }) => {
        const text = (word, num) => Array.from({ length: num }, (_, n) => word + n).join(" ");
        return [300, 600].map((num) => diff(text("old", num), text("new", num)).length);
    })"""
    few, many = page.evaluate(kinds)
    assert few > 100 and many == 2  # all gone, all new
    page.evaluate(
        """() => {
            const observer = new MutationObserver(() => (window.drawn = (window.drawn ?? 0) + 1));
            observer.observe(document.querySelector(".side"), { childList: true });
        }"""
    )
    editor = page.get_by_role("textbox", name="The answer, edited")
    editor.press("Control+End")
    page.evaluate(
        """() => { for (let n = 0; n < 20; n++) document.execCommand("insertText", false, "x"); }"""
    )
    expect(page.locator(".changes ins")).to_contain_text(["x" * 20])
    assert page.evaluate("window.drawn") == 1


def test_any_turn_of_a_conversation_is_judged(studio: Studio, browse: Browse) -> None:
    campaign = studio.campaign("conversation", items=1)
    page = start(studio, browse, campaign)
    press(page, "Enter")
    expect(page.locator(".missing")).to_have_text("Judge at least one answer")
    press(page, "ArrowDown", "7", "ArrowUp", "2")
    expect(page.locator(".ask")).to_have_text("2 of 2 answers judged")
    press(page, "Enter")
    [made] = studio.judged(campaign, wanted=1)
    assert made.value == {"turns": {"1": {"score": 2}, "3": {"score": 7}}}


def test_a_conversation_of_two_points_is_good_or_bad(studio: Studio, browse: Browse) -> None:
    campaign = studio.campaign("conversation", items=1, options={"points": 2})
    page = start(studio, browse, campaign)
    press(page, "2", "1", "Enter")
    [made] = studio.judged(campaign, wanted=1)
    assert made.value == {"turns": {"1": {"label": False}, "3": {"label": True}}}
