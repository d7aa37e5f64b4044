"""Keys of other keyboards: the number pad with and without NumLock, input methods, other layouts."""

import pytest
from playwright.sync_api import Page, expect

from browser.conftest import Browse, Studio
from browser.labelling import press, start

pytestmark = pytest.mark.browser

PRESS = """(node, [code, key, more]) => node.dispatchEvent(new KeyboardEvent("keydown", {
    code, key, bubbles: true, cancelable: true, ...more,
}))"""


def send(page: Page, code: str, key: str, *, to: str = "body", **more: object) -> bool:
    """A key as the browser reports it.  False if the page used it."""
    return bool(page.locator(to).evaluate(PRESS, [code, key, more]))


def chosen(page: Page) -> list[str]:
    values: list[str] = page.evaluate(
        "[...document.querySelectorAll('#dock .scale input:checked')].map((input) => input.value)"
    )
    return values


@pytest.mark.parametrize(
    ("code", "key"),
    [
        ("Numpad1", "End"),
        ("Numpad2", "ArrowDown"),
        ("Numpad3", "PageDown"),
        ("Numpad5", "Clear"),
        ("Numpad7", "Home"),
        ("Numpad8", "ArrowUp"),
    ],
)
def test_without_num_lock_the_number_pad_has_no_digits(
    studio: Studio, browse: Browse, code: str, key: str
) -> None:
    page = start(studio, browse, studio.campaign("pairwise", items=1))
    send(page, code, key)
    assert chosen(page) == []


def test_without_num_lock_the_arrows_of_the_number_pad_move(studio: Studio, browse: Browse) -> None:
    page = start(studio, browse, studio.campaign("pairwise", items=1))
    press(page, "2")
    send(page, "Numpad6", "ArrowRight")
    assert chosen(page) == ["3"]
    send(page, "Numpad4", "ArrowLeft")
    assert chosen(page) == ["2"]


@pytest.mark.parametrize(("code", "key"), [("Numpad7", "7"), ("Digit7", "è"), ("Digit7", "7")])
def test_digits_of_the_number_pad_and_of_other_layouts_judge(
    studio: Studio, browse: Browse, code: str, key: str
) -> None:
    page = start(studio, browse, studio.campaign("pairwise", items=1))
    send(page, code, key)
    assert chosen(page) == ["7"]


def test_the_whole_flow_works_while_an_input_method_is_on(studio: Studio, browse: Browse) -> None:
    campaign = studio.campaign("pairwise", items=2, options={"chips": ["clear", "kind"]})
    page = start(studio, browse, campaign)
    for code in ("Digit6", "KeyC", "Digit2", "Enter"):
        send(page, code, "Process")
    [made] = studio.judged(campaign, wanted=1)
    assert abs(made.value["preference"]) == 1 and made.reasons == ("kind",)
    send(page, "KeyS", "Process")
    dialog = page.get_by_role("dialog", name="Skip this task")
    expect(dialog).to_be_visible()
    send(page, "Digit2", "Process", to="dialog button >> nth=1")
    expect(dialog).to_be_hidden()


@pytest.mark.parametrize(("code", "key"), [("KeyS", "ｓ"), ("KeyS", "Unidentified"), ("KeyS", "ㄋ")])
def test_letters_that_an_input_method_changed_are_keys(
    studio: Studio, browse: Browse, code: str, key: str
) -> None:
    page = start(studio, browse, studio.campaign("pairwise", items=1))
    send(page, code, key)
    expect(page.get_by_role("dialog", name="Skip this task")).to_be_visible()


def test_a_question_mark_of_an_input_method_shows_the_keys(studio: Studio, browse: Browse) -> None:
    page = start(studio, browse, studio.campaign("thumbs", items=1))
    send(page, "Slash", "Process", shiftKey=True)
    expect(page.get_by_role("dialog", name="Keyboard shortcuts")).to_be_visible()


def test_ranking_works_while_an_input_method_is_on(studio: Studio, browse: Browse) -> None:
    campaign = studio.campaign("ranking", items=1)
    page = start(studio, browse, campaign)
    for letter, digit in zip("ABCD", "1234", strict=True):
        send(page, f"Key{letter}", "Process")
        send(page, f"Numpad{digit}", digit)
    send(page, "Equal", "Process")  # ties D with C
    send(page, "NumpadEnter", "Process")
    [made] = studio.judged(campaign, wanted=1)
    assert sorted(made.value["ranks"]) == [1, 2, 3, 3]


def test_no_key_is_taken_from_somebody_who_composes_text(studio: Studio, browse: Browse) -> None:
    campaign = studio.campaign("demonstration", items=1)
    page = start(studio, browse, campaign)
    editor = page.get_by_role("textbox", name="Your answer")
    editor.fill("かな")
    field = "textarea.editor"
    assert send(page, "Escape", "Process", to=field, keyCode=229)
    assert send(page, "Escape", "Escape", to=field, isComposing=True)
    assert send(page, "Enter", "Process", to=field, keyCode=229, ctrlKey=True)
    assert send(page, "Enter", "Enter", to=field, keyCode=229, ctrlKey=True)  # Safari, as composing ends
    assert send(page, "KeyS", "Process", to=field, keyCode=229)
    expect(editor).to_be_focused()
    assert studio.judged(campaign) == []


def test_a_key_that_an_input_method_took_can_be_chosen(studio: Studio, browse: Browse) -> None:
    page = start(studio, browse, studio.campaign("pairwise", items=1))
    press(page, "?")
    sheet = page.get_by_role("dialog", name="Keyboard shortcuts")
    change = sheet.get_by_role("button", name="A much better: 1. Change")
    change.press("Enter")
    assert send(page, "Lang1", "Process", to='[data-action="1"]')  # tells no key
    send(page, "KeyK", "Process", to='[data-action="1"]')
    expect(sheet.get_by_role("button", name="A much better: K. Change")).to_be_visible()
