"""Published sets of preferences and demonstrations, each with a layout of its own."""

from typing import Any

import pytest

from data.conversions import converted, left_out, problem, said
from data.format_samples import BAD, GOOD, QUESTION, SAMPLES, Row, arena, assistant, user
from fairlead.data.records import Binary, Comparison, Demonstration, Message, Prompt


def only(format: str, row: Row | None = None) -> Any:
    (record,) = converted(format, row or SAMPLES[format][0])
    return record


# ---------------------------------------------------------------- Chatbot Arena, MT-bench


def test_the_winner_of_a_battle_is_chosen_and_the_judge_is_the_rater() -> None:
    comparison = only("chatbot-arena")
    assert comparison.prompt == (Message("user", QUESTION),)
    assert said("chatbot-arena", arena("model_b")) == [(GOOD, BAD)]
    assert said("chatbot-arena", arena("model_a")) == [(BAD, GOOD)]
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
    assert said("chatbot-arena", row) == [(GOOD, BAD)]
    whole = only("chatbot-arena", row | {"turn": 2})
    assert whole.prompt == (Message("user", QUESTION),)
    assert [turn.content for turn in whole.chosen] == [GOOD, "And a soft one?", "Five."]


@pytest.mark.parametrize(("flags", "expected"), [((1, 0, 0), (GOOD, BAD)), ((0, 1, 0), (BAD, GOOD))])
def test_flags_name_the_winner(flags: tuple[int, int, int], expected: tuple[str, str]) -> None:
    names = ("winner_model_a", "winner_model_b", "winner_tie")
    row = SAMPLES["chatbot-arena"][1] | dict(zip(names, flags, strict=True))
    assert said("chatbot-arena", row) == [expected]


def test_a_tie_and_several_flags_of_a_battle() -> None:
    row = SAMPLES["chatbot-arena"][1] | {"winner_model_a": 0, "winner_tie": 1}
    assert only("chatbot-arena", row).tie == "good"
    assert "does not give one result" in problem("chatbot-arena", row | {"winner_model_b": 1})


# ---------------------------------------------------------------- WebGPT, SHP, summaries


def test_the_higher_score_of_webgpt_is_chosen() -> None:
    row = SAMPLES["webgpt"][0]
    assert said("webgpt", row) == [(GOOD, BAD)]
    assert said("webgpt", row | {"score_0": -1.0, "score_1": 1.0}) == [(BAD, GOOD)]
    assert left_out("webgpt", row | {"score_0": 0.0, "score_1": 0.0}) == ["ties of the raters"]
    assert only("webgpt").id == "3hlvq0"


def test_label_1_of_shp_prefers_comment_a() -> None:
    row = SAMPLES["shp"][0]
    assert said("shp", row) == [(GOOD, BAD)]
    assert said("shp", row | {"labels": 1, "score_A": 200}) == [(BAD, GOOD)]
    assert problem("shp", row | {"labels": 1}).startswith(
        "labels: 1: prefers comment A, which has fewer votes"
    )
    assert problem("shp", row | {"labels": 2}).startswith("labels: 2: is not true or false")


def test_the_choice_among_summaries_counts_from_0() -> None:
    row = SAMPLES["summarize-feedback"][0]
    assert said("summarize-feedback", row) == [("Boiled an egg too long.", "Eggs.")]
    assert said("summarize-feedback", row | {"choice": 0}) == [("Eggs.", "Boiled an egg too long.")]
    comparison = only("summarize-feedback")
    assert comparison.prompt[0].content == (
        "SUBREDDIT: r/cooking\nTITLE: My egg\nPOST: I boiled an egg for an hour and now it is grey.\nTL;DR:"
    )
    assert comparison.rater == "ikNmucwunMnYJCQpnq6Z"
    assert comparison.metadata["extra"] == {"confidence": 8}
    assert problem("summarize-feedback", row | {"choice": 2}).startswith("choice: 2: does not name an answer")


def test_marks_of_a_summary_go_from_1_to_7() -> None:
    row = SAMPLES["summarize-feedback"][1]
    assert said("summarize-feedback", row) == [("Eggs.", {"overall": 0.0, "accuracy": 1.0, "coverage": 0.5})]
    summary = row["summary"] | {"axes": {"overall": 8}}
    assert "axes.overall: 8: is not a mark" in problem("summarize-feedback", row | {"summary": summary})


# ---------------------------------------------------------------- safety


def test_the_more_helpful_answer_is_chosen_and_safety_is_an_aspect() -> None:
    row = SAMPLES["safe-rlhf"][0]
    comparison = only("safe-rlhf")
    assert said("safe-rlhf", row) == [(GOOD, BAD)]
    assert comparison.aspects == {"helpful": 1.0, "safe": -1.0}
    assert comparison.metadata["is_safe"] == [False, True]
    turned = only("safe-rlhf", row | {"better_response_id": 0})
    assert turned.chosen[0].content == BAD and turned.aspects == {"helpful": 1.0, "safe": 1.0}


@pytest.mark.parametrize("is_safe", [True, False])
def test_a_safe_answer_is_a_good_one(is_safe: bool) -> None:
    record = only("beavertails", SAMPLES["beavertails"][0] | {"is_safe": is_safe})
    assert isinstance(record, Binary) and record.label is is_safe
    assert record.metadata == {"harms": ["violence"]}


# ---------------------------------------------------------------- several answers, conversations


def test_right_answers_rank_above_wrong_ones() -> None:
    assert said("reward-bench-2", SAMPLES["reward-bench-2"][0]) == [{GOOD: 1, BAD: 2, "Eggs fly.": 2}]


def test_pairs_of_input_and_output_are_turns() -> None:
    record = only("capybara")
    assert [turn.content for turn in record.messages] == [QUESTION, GOOD, "And a soft one?", "Five minutes."]
    assert [turn.role for turn in record.messages] == ["user", "assistant"] * 2


def test_texts_alternate_between_user_and_assistant() -> None:
    assert only("lima") == Demonstration((), (Message("user", QUESTION), Message("assistant", GOOD)))
    question = {"conversations": [QUESTION]}
    assert left_out("lima", question) == ["questions without an answer; --kind prompt takes them"]
    assert converted("lima", question, "prompt") == [Prompt((Message("user", QUESTION),))]
    assert converted("lima", SAMPLES["lima"][0], "prompt") == [Prompt((Message("user", QUESTION),))]


# ---------------------------------------------------------------- distilabel


def test_ratings_of_generations_make_a_ranking() -> None:
    rated, pair, single = SAMPLES["distilabel"]
    assert said("distilabel", rated) == [{BAD: 2, GOOD: 1}]
    assert said("distilabel", pair) == [(GOOD, BAD)]
    assert said("distilabel", pair, "ranking") == [{GOOD: 1, BAD: 2}]
    assert said("distilabel", single) == [f"{QUESTION} / {GOOD}"]


def test_generations_without_ratings_are_counted() -> None:
    rated = SAMPLES["distilabel"][0]
    three = rated | {"generations": [BAD, GOOD, "Eggs fly."], "ratings": [2, 5, None]}
    assert said("distilabel", three) == [{BAD: 2, GOOD: 1}]
    assert left_out("distilabel", three) == ["generations without a text or a rating"]
    assert left_out("distilabel", rated | {"ratings": None}) == ["prompts whose generations have no ratings"]
    assert left_out("distilabel", rated | {"ratings": [3, 3]}) == [
        "prompts whose generations have equal ratings"
    ]
    assert "has 1 ratings for 2 generations" in problem("distilabel", rated | {"ratings": [3]})


def test_a_pair_that_contradicts_its_ratings_is_refused() -> None:
    pair = SAMPLES["distilabel"][1]
    assert "lower rating than rejected" in problem("distilabel", pair | {"chosen_rating": 0})
    assert left_out("distilabel", pair | {"chosen_rating": 1}) == ["pairs of answers with equal ratings"]
    assert left_out("distilabel", pair | {"status": "tie"}) == ["ties of the judge"]
    conversations = pair | {
        "chosen": [user(QUESTION), assistant(GOOD)],
        "rejected": [user(QUESTION), assistant(BAD)],
    }
    assert said("distilabel", conversations) == [(GOOD, BAD)]
