"""Open WebUI: ratings, regenerations and edits."""

import copy
from typing import Any

import pytest

from data.conversions import converted, judged, left_out, problem
from data.sample_texts import BAD, GOOD, QUESTION
from data.tool_samples import open_webui, open_webui_chat
from fairlead.data.records import Binary, Comparison, Message


@pytest.mark.parametrize(("rating", "expected"), [(1, True), (-1, False), ("1", True), ("-1", False)])
def test_a_rating_of_open_webui_is_a_thumb(rating: Any, expected: bool) -> None:
    row = open_webui(rating)
    assert judged("open-webui", row) == [(GOOD, expected)]
    (record,) = converted("open-webui", row)
    assert record.prompt == (Message("user", QUESTION),) and record.id == "fb-1"
    assert record.metadata is not None and record.metadata["rater"] == "u-7"
    assert left_out("open-webui", row) == ["judgements of another kind, which --kind comparison takes"]


def test_a_rating_of_0_is_undecided() -> None:
    assert left_out("open-webui", open_webui(0)) == ["ratings that are neither 1 nor -1"]


def test_a_regenerated_answer_is_compared_in_the_direction_of_the_rating() -> None:
    assert judged("open-webui", open_webui(1), "comparison") == [(GOOD, BAD)]
    assert judged("open-webui", open_webui(-1), "comparison") == [(BAD, GOOD)]
    (record,) = converted("open-webui", open_webui(1), "comparison")
    assert isinstance(record, Comparison) and record.rater == "u-7"


@pytest.mark.parametrize(("rating", "other"), [(1, 1), (-1, -1), (-1, 1)])
def test_a_pair_is_written_once_and_only_if_the_ratings_differ(rating: int, other: int) -> None:
    row = copy.deepcopy(open_webui(rating))
    history = row["snapshot"]["chat"]["chat"]["history"]
    history["messages"]["m2"]["annotation"] = {"rating": other}
    assert judged("open-webui", row, "comparison") == []
    assert len(left_out("open-webui", row, "comparison")) == 1


def test_an_edited_message_beats_its_original() -> None:
    row = open_webui(1, originalContent="Ten minutes.")
    assert judged("open-webui", row, "comparison") == [(GOOD, "Ten minutes."), (GOOD, BAD)]


def test_thinking_and_the_system_message_keep_their_places() -> None:
    row = copy.deepcopy(open_webui(1))
    chat = row["snapshot"]["chat"]["chat"]
    chat["params"] = {"system": "Be brief."}
    chat["history"]["messages"]["m3"]["content"] = (
        '<details type="reasoning" done="true" duration="3">\n<summary>Thought for 3 seconds</summary>\n'
        f"&gt; An egg.\n&gt; Seven.\n</details>\n{GOOD}"
    )
    (record,) = converted("open-webui", row)
    assert record.prompt == (Message("system", "Be brief."), Message("user", QUESTION))
    assert isinstance(record, Binary)
    assert record.completion == (Message("assistant", GOOD, reasoning="An egg.\nSeven."),)


def test_a_snapshot_that_lacks_the_message_or_holds_files_is_refused() -> None:
    row = copy.deepcopy(open_webui(1))
    assert problem("open-webui", row | {"snapshot": None}).startswith("snapshot: has no messages")
    assert "is not a message of the chat" in problem("open-webui", row | {"meta": {"message_id": "m9"}})
    messages = row["snapshot"]["chat"]["chat"]["history"]["messages"]
    messages["m1"]["files"] = [{"type": "image", "url": "x"}]
    assert "has files beside it" in problem("open-webui", row)


@pytest.mark.parametrize(("rating", "expected"), [(1, True), (-1, False)])
def test_ratings_in_an_export_of_chats_are_thumbs(rating: int, expected: bool) -> None:
    row = open_webui_chat(rating)
    assert judged("open-webui-chats", row) == [(GOOD, expected)]
    (record,) = converted("open-webui-chats", row)
    assert record.id == "m3" and record.metadata is not None
    assert (record.metadata["chat_id"], record.metadata["comment"], record.metadata["rater"]) == (
        "c-1",
        "fine",
        "u-7",
    )
    pair = (GOOD, BAD) if expected else (BAD, GOOD)
    assert judged("open-webui-chats", row, "comparison") == [pair]


def test_chats_without_a_rating_are_counted() -> None:
    row = open_webui_chat()
    del row["chat"]["history"]["messages"]["m3"]["annotation"]
    assert left_out("open-webui-chats", row) == ["chats without a rated message"]


def test_an_answer_beside_a_disliked_message_is_not_imitated() -> None:
    assert judged("open-webui", open_webui(1), "demonstration") == [f"{QUESTION} / {GOOD}"]
    assert judged("open-webui", open_webui(-1), "demonstration") == []
    assert left_out("open-webui", open_webui(-1), "demonstration") == ["answers with a thumbs down"]
