"""Live chat in a real browser: two answers stream, and the conversation continues from the better one."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from browser.conftest import Browse, Studio
from browser.held_requests import HeldRequests
from fairlead.data.records import Message
from fairlead.labels import chats
from fairlead.labels.campaigns import Campaign
from fairlead.labels.chats import Answerer
from fairlead.labels.items import NewItem
from fairlead.store.project import PROJECT_FILE, create_project
from fairlead.studio.chat_backends import ChatBackends
from studio.endpoint import Endpoint, endpoint

pytestmark = pytest.mark.browser


@pytest.fixture
def server(studio: Studio, tmp_path: Path) -> Iterator[Endpoint]:
    with endpoint() as made:
        folder = create_project(tmp_path / "project").root
        with open(folder / PROJECT_FILE, "a") as file:
            file.write(f'\n[studio.endpoints.here]\nurl = "{made.url}"\n')
        made.replies = {"red": ["I am ", "**red**."], "blue": ["I am ", "*blue*."]}
        usual, studio.chat_streams._backends = studio.chat_streams._backends, ChatBackends(folder)
        yield made
        studio.chat_streams._backends = usual


def talk(studio: Studio, browse: Browse) -> tuple[Campaign, Page]:
    campaign = studio.campaign(
        "chat", items=[NewItem((Message("system", "Be kind."), Message("user", "Ask about ships.")))]
    )
    with studio.database.write() as connection:
        chats.set_answerers(
            connection,
            campaign,
            [Answerer(f"endpoint:here/{name}", {}) for name in ("red", "blue")],
            by="system",
        )
    page = browse(studio.person("Ada", campaign))
    page.goto(f"{studio.url}/c/{campaign.slug}/label")
    expect(page.get_by_label("Your message")).to_have_value("Ask about ships.")
    return campaign, page


def turns(studio: Studio, campaign: Campaign) -> list[chats.ChatTurn]:
    [made] = studio.judged(campaign, wanted=1)
    with studio.database.read() as connection:
        return chats.list_turns(connection, made.assignment_id)


def test_a_conversation_by_keyboard(studio: Studio, browse: Browse, server: Endpoint) -> None:
    campaign, page = talk(studio, browse)
    message = page.get_by_label("Your message")
    message.fill("What is a **ship**?")
    message.press("Enter")
    a, b = page.get_by_label("Answer A", exact=True), page.get_by_label("Answer B", exact=True)
    expect(page.locator(".thread .said")).to_have_text(["Be kind.", "What is a **ship**?"])  # as written
    expect(page.locator(".pane :is(strong, em)")).to_have_count(2)  # both answers are formatted
    chosen = b.locator(".said").inner_text()
    page.keyboard.press("8")
    expect(page.get_by_role("radio", name="B much better")).to_be_checked()
    page.keyboard.press("e")
    message.fill("And a boat?")
    message.press("Enter")
    expect(page.locator(".thread .assistant")).to_have_count(1)
    expect(page.locator(".thread .assistant .said")).to_have_text(chosen)
    expect(a.locator(":is(strong, em)")).to_be_visible()
    page.keyboard.press("4")
    page.keyboard.press("Enter")
    expect(page.get_by_text("Submitted: 2 of 2 turns judged").first).to_be_visible()
    assert [(one.message, one.choice) for one in turns(studio, campaign)] == [
        ("What is a **ship**?", 8),
        ("And a boat?", 4),
    ]
    assert [len(body["messages"]) for body in server.asked] == [2, 2, 4, 4]


def test_the_scale_works_while_the_answers_are_being_written(
    studio: Studio, browse: Browse, server: Endpoint
) -> None:
    _, page = talk(studio, browse)
    server.gate.clear()
    message = page.get_by_label("Your message")
    message.press("Enter")
    expect(page.locator(".pane .said.raw")).to_have_text(["I am ", "I am "])
    page.get_by_role("radio", name="A better").check()
    page.get_by_role("button", name="Submit").click(force=True)
    expect(page.locator("#dock").get_by_text("The chosen answer is still being written")).to_be_visible()
    message.fill("Go on")
    expect(page.locator(".composer").get_by_text("The chosen answer is still being written")).to_be_visible()
    expect(page.get_by_role("button", name="Send")).to_be_disabled()
    server.gate.set()
    expect(page.get_by_role("button", name="Send")).to_be_enabled()
    expect(page.get_by_role("radio", name="A better")).to_be_checked()


def test_a_single_turn_is_judged_at_once(studio: Studio, browse: Browse, server: Endpoint) -> None:
    campaign, page = talk(studio, browse)
    page.get_by_label("Your message").press("Enter")
    expect(page.locator(".pane :is(strong, em)")).to_have_count(2)
    held = HeldRequests(page, "**/choice")
    page.keyboard.press("8")
    page.keyboard.press("Enter")
    expect(page.get_by_text("Submitted: 1 of 1 turn judged").first).to_be_visible()
    assert studio.judged(campaign) == []
    held[0].continue_()  # the judgement has waited for it
    assert [one.choice for one in turns(studio, campaign)] == [8]
    assert len(held) == 1


def test_a_conversation_is_there_again_after_a_reload(
    studio: Studio, browse: Browse, server: Endpoint
) -> None:
    _, page = talk(studio, browse)
    page.get_by_label("Your message").press("Enter")
    expect(page.locator(".pane :is(strong, em)")).to_have_count(2)
    with page.expect_response("**/choice"):
        page.get_by_role("radio", name="B slightly better").check()
    page.reload()
    expect(page.locator(".pane :is(strong, em)")).to_have_count(2)
    expect(page.get_by_role("radio", name="B slightly better")).to_be_checked()
    assert len(server.asked) == 2


def test_an_answer_that_does_not_come_can_be_asked_for_again(
    studio: Studio, browse: Browse, server: Endpoint
) -> None:
    _, page = talk(studio, browse)
    server.status = 503
    page.get_by_label("Your message").press("Enter")
    expect(page.get_by_role("button", name="Try again")).to_have_count(2)
    server.status = 200
    page.get_by_role("button", name="Try again").first.click()
    expect(page.locator(".pane :is(strong, em)")).to_have_count(2)


def test_one_answer_is_asked_for_again_while_the_other_is_written(
    studio: Studio, browse: Browse, server: Endpoint
) -> None:
    server.replies = {"red": ["I am ", "**red**."], "blue": []}  # an answer without words is none
    _, page = talk(studio, browse)
    server.gate.clear()
    page.get_by_label("Your message").press("Enter")
    expect(page.locator(".pane .said.raw", has_text="I am")).to_be_visible()
    server.replies["blue"] = ["I am ", "*blue*."]
    with page.expect_event(
        "requestfailed", lambda request: request.url.endswith("/stream")
    ):  # two would each tell the same
        page.get_by_role("button", name="Try again").click()
    expect(page.locator(".pane .said.raw")).to_have_text(["I am ", "I am "])
    page.get_by_role("radio", name="A better").check()
    server.gate.set()
    expect(page.locator(".pane :is(strong, em)")).to_have_count(2)


def test_a_choice_made_offline_arrives_before_its_judgement(
    studio: Studio, browse: Browse, server: Endpoint
) -> None:
    campaign, page = talk(studio, browse)
    message = page.get_by_label("Your message")
    message.press("Enter")
    expect(page.locator(".pane :is(strong, em)")).to_have_count(2)
    with page.expect_response("**/choice"):
        page.keyboard.press("1")
    message.fill("And a boat?")
    message.press("Enter")
    expect(page.locator(".thread .assistant")).to_have_count(1)
    expect(page.locator(".pane :is(strong, em)")).to_have_count(2)
    page.context.set_offline(True)
    for key in ("3", "7", "6"):
        page.keyboard.press(key)
    expect(page.locator(".composer")).to_contain_text("Saving your choice")
    page.keyboard.press("Enter")
    expect(page.locator("#status-text")).to_have_text("offline, 1 answer queued")
    page.context.set_offline(False)
    assert [one.choice for one in turns(studio, campaign)] == [1, 6]


def test_a_choice_that_did_not_arrive_is_sent_again(studio: Studio, browse: Browse, server: Endpoint) -> None:
    _, page = talk(studio, browse)
    message = page.get_by_label("Your message")
    message.press("Enter")
    expect(page.locator(".pane :is(strong, em)")).to_have_count(2)
    page.route("**/choice", lambda route: route.abort())
    page.keyboard.press("7")
    message.fill("And a boat?")
    expect(page.locator(".composer")).to_contain_text("Saving your choice")
    page.unroute("**/choice")
    expect(page.get_by_role("button", name="Send")).to_be_enabled()
    expect(page.get_by_role("radio", name="B better")).to_be_checked()
    message.press("Enter")
    expect(page.locator(".thread .assistant")).to_have_count(1)


def test_a_message_waits_for_the_choice_before_it(studio: Studio, browse: Browse, server: Endpoint) -> None:
    _, page = talk(studio, browse)
    message = page.get_by_label("Your message")
    message.press("Enter")
    expect(page.locator(".pane :is(strong, em)")).to_have_count(2)
    held = HeldRequests(page, "**/choice")
    page.keyboard.press("7")
    message.fill("And a boat?")
    message.press("Enter")
    expect(page.locator(".composer")).to_contain_text("Saving your choice")
    held[0].continue_()
    expect(page.locator(".thread .assistant")).to_have_count(1)
    expect(message).to_have_value("")
    expect(page.locator(".pane :is(strong, em)")).to_have_count(2)
    page.keyboard.press("2")
    message.fill("And a")
    message.press("Enter")
    message.press_sequentially(" ship?")  # not done yet after all
    held[1].continue_()
    expect(page.get_by_role("button", name="Send")).to_be_enabled()
    expect(message).to_have_value("And a ship?")
    expect(page.locator(".thread .assistant")).to_have_count(1)


def test_a_choice_that_did_not_arrive_is_there_when_the_page_comes_again(
    studio: Studio, browse: Browse, server: Endpoint
) -> None:
    _, page = talk(studio, browse)
    page.get_by_label("Your message").press("Enter")
    expect(page.locator(".pane :is(strong, em)")).to_have_count(2)
    page.route("**/choice", lambda route: route.abort())
    page.keyboard.press("7")
    expect(page.locator(".composer")).to_contain_text("Saving your choice")
    page.route("**/chat", lambda route: route.abort())
    page.reload()
    page.get_by_label("Your message").press_sequentially("And")  # before the conversation is there
    page.unroute("**/chat")
    page.reload()
    expect(page.get_by_role("radio", name="B better")).to_be_checked()
    page.unroute("**/choice")
    page.reload()
    page.get_by_label("Your message").fill("And a boat?")
    expect(page.get_by_role("button", name="Send")).to_be_enabled()
    page.reload()
    expect(page.get_by_role("radio", name="B better")).to_be_checked()


def test_the_end_of_the_scale_is_chosen_once(studio: Studio, browse: Browse, server: Endpoint) -> None:
    _, page = talk(studio, browse)
    page.get_by_label("Your message").press("Enter")
    expect(page.locator(".pane :is(strong, em)")).to_have_count(2)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if request.url.endswith("/choice") else None)
    with page.expect_response("**/choice"):
        page.keyboard.press("1")
    for _ in range(5):
        page.keyboard.press("ArrowLeft")
    with page.expect_response("**/choice"):
        page.keyboard.press("ArrowRight")
    expect(page.get_by_role("radio", name="A better")).to_be_checked()
    assert len(asked) == 2


def test_the_first_message_is_kept_as_any_other(studio: Studio, browse: Browse, server: Endpoint) -> None:
    _, page = talk(studio, browse)
    message = page.get_by_label("Your message")
    message.fill("What I would rather ask")
    page.keyboard.press("Escape")
    page.keyboard.press("?")
    page.keyboard.press("Escape")
    expect(message).to_have_value("What I would rather ask")
    page.reload()
    expect(message).to_have_value("What I would rather ask")


def test_a_message_that_was_not_sent_is_said_to_be_so(
    studio: Studio, browse: Browse, server: Endpoint
) -> None:
    campaign, page = talk(studio, browse)
    message = page.get_by_label("Your message")
    message.press("Enter")
    expect(page.locator(".pane :is(strong, em)")).to_have_count(2)
    with page.expect_response("**/choice"):
        page.keyboard.press("1")
    page.route("**/chat", lambda route: route.abort(), times=1)  # what was said so far cannot be had
    message.fill("And a boat?")
    message.press("Enter")
    expect(page.locator(".composer")).to_contain_text("Not sent: no connection")
    message.fill("And a raft?")
    message.press("Enter")
    expect(page.locator(".thread .user").last).to_contain_text("And a raft?")
    expect(page.locator(".thread .assistant")).to_have_count(1)


def test_answers_are_shown_as_they_were_written(studio: Studio, browse: Browse, server: Endpoint) -> None:
    _, page = talk(studio, browse)
    page.get_by_label("Your message").press("Enter")
    expect(page.locator(".pane :is(strong, em)")).to_have_count(2)
    page.keyboard.press("r")
    assert sorted(page.locator(".pane .said").all_inner_texts()) == ["I am **red**.", "I am *blue*."]
    page.keyboard.press("r")
    expect(page.locator(".pane :is(strong, em)")).to_have_count(2)


def test_nothing_on_the_page_names_a_model(studio: Studio, browse: Browse, server: Endpoint) -> None:
    server.replies = {"red": ["One."], "blue": ["Two."]}
    _, page = talk(studio, browse)
    page.get_by_label("Your message").press("Enter")
    expect(page.locator(".pane .said")).to_have_count(2)
    expect(page.locator(".pane-body[aria-busy]")).to_have_count(0)
    assert not {"red", "blue", "endpoint"} & set(page.content().lower().split('"'))


def test_it_fits_on_a_phone(studio: Studio, browse: Browse, server: Endpoint) -> None:
    _, page = talk(studio, browse)
    page.set_viewport_size({"width": 320, "height": 640})
    page.get_by_label("Your message").press("Enter")
    expect(page.locator(".pane :is(strong, em)")).to_have_count(2)
    assert page.evaluate("document.documentElement.scrollWidth") <= 320
