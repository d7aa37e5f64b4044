"""Chatbot Arena and MT-bench: the winner is chosen, and ties stay ties."""

from typing import Any

import pytest

from data.conversions import converted, judged, problem
from data.format_samples import SAMPLES
from data.sample_texts import BAD, GOOD, QUESTION, Row, assistant, user
from data.set_samples import arena
from fairlead.data.records import Comparison, Message


def only(format: str, row: Row | None = None) -> Any:
    (record,) = converted(format, row or SAMPLES[format][0])
    return record


def test_the_winner_of_a_battle_is_chosen_and_the_judge_is_the_rater() -> None:
    comparison = only("chatbot-arena")
    assert comparison.prompt == (Message("user", QUESTION),)
    assert judged("chatbot-arena", arena("model_b")) == [(GOOD, BAD)]
    assert judged("chatbot-arena", arena("model_a")) == [(BAD, GOOD)]
    assert (comparison.rater, comparison.id) == ("arena_user_973", "58210e39")
    assert comparison.metadata["models"] == ["owl-13b", "parrot-7b"]


@pytest.mark.parametrize(("winner", "tie"), [("tie", "good"), ("tie (bothbad)", "bad"), ("both_bad", "bad")])
def test_ties_of_the_arena_stay_ties(winner: str, tie: str) -> None:
    comparison = only("chatbot-arena", arena(winner))
    assert isinstance(comparison, Comparison) and comparison.tie == tie


def test_an_unknown_winner_is_refused() -> None:
    assert problem("chatbot-arena", arena("model_c")).startswith('winner: "model_c": is not a winner')


def test_only_the_judged_turns_are_compared() -> None:
    later = [user("And a soft one?"), assistant("Five.")]
    row = arena()
    row["conversation_a"] = row["conversation_a"] + later
    row["conversation_b"] = row["conversation_b"] + later
    assert judged("chatbot-arena", row) == [(GOOD, BAD)]
    whole = only("chatbot-arena", row | {"turn": 2})
    assert whole.prompt == (Message("user", QUESTION),)
    assert [turn.content for turn in whole.chosen] == [GOOD, "And a soft one?", "Five."]


@pytest.mark.parametrize(("flags", "expected"), [((1, 0, 0), (GOOD, BAD)), ((0, 1, 0), (BAD, GOOD))])
def test_flags_name_the_winner(flags: tuple[int, int, int], expected: tuple[str, str]) -> None:
    names = ("winner_model_a", "winner_model_b", "winner_tie")
    row = SAMPLES["chatbot-arena"][1] | dict(zip(names, flags, strict=True))
    assert judged("chatbot-arena", row) == [expected]


def test_a_tie_and_several_flags_of_a_battle() -> None:
    row = SAMPLES["chatbot-arena"][1] | {"winner_model_a": 0, "winner_tie": 1}
    assert only("chatbot-arena", row).tie == "good"
    assert "does not give one result" in problem("chatbot-arena", row | {"winner_model_b": 1})
