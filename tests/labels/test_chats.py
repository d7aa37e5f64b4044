"""Live chats: models that answer, turns, stored answers, choices, and the comparisons they become."""

from typing import Any

import pytest
from sqlalchemy import Connection

from fairlead.data.records import Message
from fairlead.labels import chats, events, items
from fairlead.labels.assignments import Assignment
from fairlead.labels.campaigns import Campaign
from fairlead.labels.chats import Answerer, ChatTurn
from fairlead.labels.database import Database
from fairlead.labels.errors import Conflict, Invalid, NotFound
from fairlead.labels.items import NewItem
from labels.build import ANN, LEAD, lease, open_campaign

ANSWERERS = (Answerer("model:a", {"temperature": 0.5}), Answerer("model:b", {"temperature": 1.0}))


def open_chat(connection: Connection, *answerers: Answerer) -> tuple[Campaign, Assignment]:
    campaign = open_campaign(connection, kind="chat", num_items=2)
    if answerers:
        chats.set_answerers(connection, campaign, answerers, by=LEAD)
    return campaign, lease(connection, campaign, ANN)[0]


def store_answers(connection: Connection, turn: ChatTurn, *texts: str) -> None:
    for place, text in enumerate(texts):
        chats.store_answer(connection, turn.id, place, text=text, finished=True)


def add_turn(
    connection: Connection, campaign: Campaign, assignment: Assignment, n: int, choice: int
) -> ChatTurn:
    """Add a turn with two complete answers and a choice."""
    turn = chats.send_message(connection, campaign, assignment, n=n, message=f"Message {n}")
    store_answers(connection, turn, f"A{n}", f"B{n}")
    return chats.choose_answer(connection, campaign, assignment, n=n, choice=choice, seen={"A": 2, "B": 2})


# ---------------------------------------------------------------- answerers


def test_setting_answerers_replaces_the_earlier_ones(database: Database) -> None:
    with database.write() as connection:
        campaign = open_campaign(connection, kind="chat")
        other = open_campaign(connection, kind="chat")
        assert chats.list_answerers(connection, campaign.id) == []
        chats.set_answerers(connection, campaign, ANSWERERS, by=LEAD)
        chats.set_answerers(connection, campaign, ANSWERERS[::-1], by=LEAD)
        assert chats.list_answerers(connection, campaign.id) == list(ANSWERERS[::-1])
        assert chats.list_answerers(connection, other.id) == []
        recorded = events.list_latest(connection, verbs=["chat.answerers"])
    assert [(event.actor, event.body) for event in recorded] == [(LEAD, {"count": 2})] * 2


def test_a_campaign_has_one_to_eight_answerers(database: Database) -> None:
    with database.write() as connection:
        campaign = open_campaign(connection, kind="chat")
        for number in (0, chats.MAX_ANSWERERS + 1):
            with pytest.raises(Invalid) as raised:
                chats.set_answerers(connection, campaign, ANSWERERS[:1] * number, by=LEAD)
            assert raised.value.field == "answerers"
        chats.set_answerers(connection, campaign, ANSWERERS[:1] * chats.MAX_ANSWERERS, by=LEAD)
        assert len(chats.list_answerers(connection, campaign.id)) == chats.MAX_ANSWERERS


def test_only_chat_campaigns_have_conversations(database: Database) -> None:
    with database.write() as connection:
        campaign = open_campaign(connection)
        [assignment] = lease(connection, campaign, ANN)
        with pytest.raises(Conflict, match="not a live chat"):
            chats.set_answerers(connection, campaign, ANSWERERS, by=LEAD)
        with pytest.raises(Conflict, match="not a live chat"):
            chats.send_message(connection, campaign, assignment, n=0, message="Hello")
        with pytest.raises(Conflict, match="not a live chat"):
            chats.choose_answer(connection, campaign, assignment, n=0, choice=1, seen={})


# ---------------------------------------------------------------- messages


def test_a_message_creates_a_turn_with_answers_of_two_models(database: Database) -> None:
    with database.write() as connection:
        campaign, assignment = open_chat(connection, *ANSWERERS)
        turn = chats.send_message(connection, campaign, assignment, n=0, message="Hello")
        assert (turn.n, turn.message, turn.choice, turn.continues, turn.seen) == (0, "Hello", None, None, {})
        assert [(answer.place, answer.text, answer.finished) for answer in turn.answers] == [
            (0, None, None),
            (1, None, None),
        ]
        temperatures = {answer.source: answer.params["temperature"] for answer in turn.answers}
        assert temperatures == {"model:a": 0.5, "model:b": 1.0}
        assert chats.list_turns(connection, assignment.id) == [turn]
        assert chats.get_turn(connection, assignment.id, 0) == turn
        with pytest.raises(NotFound):
            chats.get_turn(connection, assignment.id, 1)


def test_a_single_model_answers_twice_with_different_seeds(database: Database) -> None:
    with database.write() as connection:
        campaign, assignment = open_chat(connection, ANSWERERS[0])
        turn = chats.send_message(connection, campaign, assignment, n=0, message="Hello")
    first, second = turn.answers
    assert first.source == second.source == "model:a"
    assert first.params["seed"] != second.params["seed"]


def test_a_message_needs_an_answerer(database: Database) -> None:
    with database.write() as connection:
        campaign, assignment = open_chat(connection)
        with pytest.raises(Conflict, match="No model answers"):
            chats.send_message(connection, campaign, assignment, n=0, message="Hello")


def test_sending_a_message_again_returns_the_stored_turn(database: Database) -> None:
    with database.write() as connection:
        campaign, assignment = open_chat(connection, *ANSWERERS)
        turn = chats.send_message(connection, campaign, assignment, n=0, message="Hello")
        before = events.last_seq(connection)
        assert chats.send_message(connection, campaign, assignment, n=0, message="Hello") == turn
        with pytest.raises(Conflict, match="already sent with another message"):
            chats.send_message(connection, campaign, assignment, n=0, message="Goodbye")
        assert events.last_seq(connection) == before
        assert chats.list_turns(connection, assignment.id) == [turn]


def test_the_next_message_waits_for_a_choice_and_its_answer(database: Database) -> None:
    with database.write() as connection:
        campaign, assignment = open_chat(connection, *ANSWERERS)
        with pytest.raises(Conflict, match="The next turn is 0"):
            chats.send_message(connection, campaign, assignment, n=1, message="Too early")
        turn = chats.send_message(connection, campaign, assignment, n=0, message="Hello")
        store_answers(connection, turn, "Only A is complete")
        with pytest.raises(Conflict, match="Choose an answer"):
            chats.send_message(connection, campaign, assignment, n=1, message="No choice")
        chats.choose_answer(connection, campaign, assignment, n=0, choice=8, seen={})
        with pytest.raises(Conflict, match="wait until the answer is complete"):
            chats.send_message(connection, campaign, assignment, n=1, message="B is not complete")
        chats.choose_answer(connection, campaign, assignment, n=0, choice=1, seen={})
        assert chats.send_message(connection, campaign, assignment, n=1, message="Next").n == 1


@pytest.mark.parametrize("message", ["", " \n", "x" * (chats.LONGEST_MESSAGE + 1), "a\x00b", "a\ud800b"])
def test_invalid_messages_are_rejected(database: Database, message: str) -> None:
    with database.write() as connection:
        campaign, assignment = open_chat(connection, *ANSWERERS)
        with pytest.raises(Invalid) as raised:
            chats.send_message(connection, campaign, assignment, n=0, message=message)
        assert raised.value.field == "message"
        assert chats.list_turns(connection, assignment.id) == []


def test_a_conversation_has_a_maximum_length(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chats, "MAX_TURNS", 2)
    with database.write() as connection:
        campaign, assignment = open_chat(connection, *ANSWERERS)
        for n in range(2):
            add_turn(connection, campaign, assignment, n, choice=1)
        with pytest.raises(Conflict, match="at most 2 turns"):
            chats.send_message(connection, campaign, assignment, n=2, message="Too long")


def test_events_of_a_chat_contain_no_texts_and_no_models(database: Database) -> None:
    with database.write() as connection:
        campaign, assignment = open_chat(connection, *ANSWERERS)
        add_turn(connection, campaign, assignment, 0, choice=6)
        recorded = events.list_after(connection, 0, campaign_id=campaign.id)
        [choice] = [event for event in recorded if event.verb == "chat.choice"]
    assert choice.body == {"turn": 0, "choice": 6, "item": assignment.item.id}
    written = str([vars(event) for event in recorded])
    assert "Message 0" not in written and "model:" not in written and assignment.id not in written


# ---------------------------------------------------------------- answers


def test_a_stored_answer_is_never_overwritten(database: Database) -> None:
    with database.write() as connection:
        campaign, assignment = open_chat(connection, *ANSWERERS)
        turn = chats.send_message(connection, campaign, assignment, n=0, message="Hello")
        chats.store_answer(connection, turn.id, 0, text="First", finished=False)
        chats.store_answer(connection, turn.id, 0, text="Second", finished=True)
        chats.store_answer(connection, turn.id, 1, text="Other", finished=True)
        assert chats.get_stored_answer(connection, turn.id, 0) == ("First", False)
        assert chats.get_stored_answer(connection, turn.id, 1) == ("Other", True)


def test_characters_that_cannot_be_stored_are_replaced_in_answers(database: Database) -> None:
    with database.write() as connection:
        campaign, assignment = open_chat(connection, *ANSWERERS)
        turn = chats.send_message(connection, campaign, assignment, n=0, message="Hello")
        chats.store_answer(connection, turn.id, 0, text="a\x00b\ud800c é", finished=True)
        assert chats.get_stored_answer(connection, turn.id, 0) == ("a\ufffdb?c é", True)


# ---------------------------------------------------------------- choices


@pytest.mark.parametrize(("choice", "continues"), [(1, 0), (2, 0), (3, 0), (6, 1), (7, 1), (8, 1)])
def test_the_conversation_continues_from_the_better_answer(
    database: Database, choice: int, continues: int
) -> None:
    with database.write() as connection:
        campaign, assignment = open_chat(connection, *ANSWERERS)
        turn = add_turn(connection, campaign, assignment, 0, choice=choice)
    assert (turn.choice, turn.continues, turn.seen) == (choice, continues, {"A": 2, "B": 2})


def test_a_tie_continues_from_a_random_answer_that_stays_the_same(database: Database) -> None:
    """With 40 turns, both answers are drawn, except with a probability of 2 ** -39."""
    with database.write() as connection:
        drawn = set()
        for number in range(20):
            campaign, assignment = open_chat(connection, *ANSWERERS)
            good = add_turn(connection, campaign, assignment, 0, choice=4)
            bad = chats.choose_answer(connection, campaign, assignment, n=0, choice=5, seen={})
            assert good.continues == bad.continues, number
            drawn.add(good.continues)
            drawn.add(add_turn(connection, campaign, assignment, 1, choice=4).continues)
    assert drawn == {0, 1}


def test_a_choice_can_be_changed_until_the_next_message(database: Database) -> None:
    with database.write() as connection:
        campaign, assignment = open_chat(connection, *ANSWERERS)
        add_turn(connection, campaign, assignment, 0, choice=1)
        changed = chats.choose_answer(connection, campaign, assignment, n=0, choice=7, seen={"B": 9})
        assert (changed.choice, changed.continues, changed.seen) == (7, 1, {"B": 9})
        chats.send_message(connection, campaign, assignment, n=1, message="Next")
        with pytest.raises(Conflict, match="later message"):
            chats.choose_answer(connection, campaign, assignment, n=0, choice=1, seen={})
        assert chats.get_turn(connection, assignment.id, 0) == changed


@pytest.mark.parametrize("choice", [0, 9, -1])
def test_invalid_choices_are_rejected(database: Database, choice: int) -> None:
    with database.write() as connection:
        campaign, assignment = open_chat(connection, *ANSWERERS)
        with pytest.raises(NotFound):
            chats.choose_answer(connection, campaign, assignment, n=0, choice=choice, seen={})
        chats.send_message(connection, campaign, assignment, n=0, message="Hello")
        with pytest.raises(Invalid) as raised:
            chats.choose_answer(connection, campaign, assignment, n=0, choice=choice, seen={})
        assert raised.value.field == "choice"


def test_a_turn_is_judged_when_the_chosen_answer_is_complete(database: Database) -> None:
    with database.write() as connection:
        campaign, assignment = open_chat(connection, *ANSWERERS)
        add_turn(connection, campaign, assignment, 0, choice=2)
        turn = chats.send_message(connection, campaign, assignment, n=1, message="Next")
        assert chats.count_judged_turns(connection, assignment.id) == 1
        chats.choose_answer(connection, campaign, assignment, n=1, choice=8, seen={})
        store_answers(connection, turn, "A is complete")
        assert chats.count_judged_turns(connection, assignment.id) == 1
        chats.store_answer(connection, turn.id, 1, text="B is complete", finished=True)
        assert chats.count_judged_turns(connection, assignment.id) == 2


# ---------------------------------------------------------------- conversations


def lease_prompt(
    connection: Connection, *prompt: Message, answerers: tuple[Answerer, ...] = ANSWERERS
) -> tuple[Campaign, Assignment]:
    """Lease the only item of a new chat campaign."""
    campaign = open_campaign(connection, kind="chat", num_items=0)
    items.add(connection, campaign, [NewItem(prompt, ())], by=LEAD)
    chats.set_answerers(connection, campaign, answerers, by=LEAD)
    return campaign, lease(connection, campaign, ANN)[0]


def test_the_opening_is_the_last_user_message_of_the_item(database: Database) -> None:
    system, hello, answer = Message("system", "Be kind."), Message("user", "Hi"), Message("assistant", "Yes?")
    with database.write() as connection:
        _, with_opening = lease_prompt(connection, system, hello)
        _, without_opening = lease_prompt(connection, hello, answer)
    assert chats.opening(with_opening) == "Hi"
    assert chats.opening(without_opening) == ""


def test_the_history_follows_the_chosen_answers(database: Database) -> None:
    """The rater may change the suggested opening, so the history does not contain it."""
    with database.write() as connection:
        campaign, assignment = lease_prompt(connection, Message("system", "Be kind."), Message("user", "Hi"))
        add_turn(connection, campaign, assignment, 0, choice=8)
        add_turn(connection, campaign, assignment, 1, choice=1)
        chats.send_message(connection, campaign, assignment, n=2, message="Message 2")
        turns = chats.list_turns(connection, assignment.id)
    expected = [("system", "Be kind."), ("user", "Message 0"), ("assistant", "B0"), ("user", "Message 1")]
    expected += [("assistant", "A1"), ("user", "Message 2")]
    for n, length in ((0, 2), (1, 4), (2, 6)):
        history = chats.history(assignment.item, turns, n)
        assert [(message.role, message.content) for message in history] == expected[:length]


def test_the_history_keeps_an_item_that_ends_with_an_answer(database: Database) -> None:
    with database.write() as connection:
        campaign, assignment = lease_prompt(connection, Message("user", "Hi"), Message("assistant", "Yes?"))
        chats.send_message(connection, campaign, assignment, n=0, message="Well")
        turns = chats.list_turns(connection, assignment.id)
    contents = [message.content for message in chats.history(assignment.item, turns, 0)]
    assert contents == ["Hi", "Yes?", "Well"]


def test_turns_are_listed_by_assignment(database: Database) -> None:
    with database.write() as connection:
        campaign, _ = open_chat(connection, *ANSWERERS)
        first, second = lease(connection, campaign, ANN, count=2)
        turns = [add_turn(connection, campaign, first, n, choice=n + 1) for n in range(2)]
        by_assignment = chats.list_turns_by_assignment(connection, [first.id, second.id])
    assert by_assignment == {first.id: turns, second.id: []}


def test_comparisons_come_from_turns_with_a_choice_and_two_answers(database: Database) -> None:
    with database.write() as connection:
        campaign, assignment = lease_prompt(connection, Message("user", "Hi"))
        add_turn(connection, campaign, assignment, 0, choice=6)
        incomplete = chats.send_message(connection, campaign, assignment, n=1, message="Message 1")
        store_answers(connection, incomplete, "A1")
        chats.choose_answer(connection, campaign, assignment, n=1, choice=1, seen={})
        without_choice = chats.send_message(connection, campaign, assignment, n=2, message="Message 2")
        store_answers(connection, without_choice, "A2", "B2")
        turns = chats.list_turns(connection, assignment.id)
    [comparison] = chats.comparison_turns(assignment.item, turns)
    expected: dict[str, Any] = {
        "prompt": [{"role": "user", "content": "Message 0"}],
        "answers": [
            {"text": text, "source": answer.source, "params": answer.params}
            for text, answer in zip(("A0", "B0"), turns[0].answers, strict=True)
        ],
        "choice": 6,
        "continues": 1,
        "seen": {"A": 2, "B": 2},
    }
    assert comparison == expected
