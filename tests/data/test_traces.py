"""Feedback of products: a thumb is read as it was given, and nothing else is taken for one."""

import copy
import json
from typing import Any

import pytest

from data.conversions import converted, left_out, problem, said
from data.format_samples import (
    BAD,
    GOOD,
    QUESTION,
    SAMPLES,
    Row,
    assistant,
    langfuse,
    langfuse_score,
    langsmith,
    langsmith_feedback,
    mlflow,
    mlflow_expectation,
    mlflow_feedback,
    open_webui,
    opik,
    opik_score,
    user,
)
from fairlead.data.records import Comparison, Message


def scored(tool: str, value: Any, name: str | None = None) -> Row:
    """A trace with one piece of feedback."""
    named = {} if name is None else {"name": name}
    if tool == "langsmith":
        return langsmith([langsmith_feedback(value, **({} if name is None else {"key": name}))])
    if tool == "langfuse":
        return langfuse(langfuse_score(value, **named))
    return opik(opik_score(value, **named)) if tool == "opik" else mlflow(mlflow_feedback(value, **named))


TOOLS = ("langfuse", "langsmith", "opik", "mlflow")


@pytest.mark.parametrize("tool", TOOLS)
@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (1, True),
        (0, False),
        (-1, False),
        (True, True),
        (False, False),
        ("thumbs up", True),
        ("bad", False),
        (1.0, True),
    ],
)
def test_thumbs_keep_their_direction(tool: str, value: Any, expected: bool) -> None:
    assert said(tool, scored(tool, value)) == [(GOOD, expected)]


@pytest.mark.parametrize("tool", TOOLS)
def test_a_name_that_means_down_turns_1_into_a_thumbs_down(tool: str) -> None:
    assert said(tool, scored(tool, 1, "thumbs_down")) == [(GOOD, False)]
    assert said(tool, scored(tool, 0, "thumbs_down")) == []
    assert said(tool, scored(tool, 0, "thumbs_up")) == []
    assert said(tool, scored(tool, 1, "thumbs_up")) == [(GOOD, True)]


@pytest.mark.parametrize("tool", TOOLS)
@pytest.mark.parametrize(("value", "name"), [(0.7, None), (4, None), (1, "latency_ok"), (True, "is_english")])
def test_other_scores_are_no_thumbs(tool: str, value: Any, name: str | None) -> None:
    row = scored(tool, value, name)
    assert said(tool, row) == []
    (reason,) = left_out(tool, row)
    assert reason.startswith("scores that are not read as thumbs: ")


@pytest.mark.parametrize(
    ("tool", "row"),
    [
        ("langfuse", langfuse(langfuse_score(1, source="EVAL"))),
        ("langsmith", langsmith([langsmith_feedback(1, feedback_source={"type": "model"})])),
        ("opik", opik(opik_score(1, source="online_scoring"))),
        ("mlflow", mlflow(mlflow_feedback(True, source="LLM_JUDGE"))),
        ("langfuse", langfuse()),
        ("langsmith", langsmith()),
        ("opik", opik()),
        ("mlflow", mlflow()),
    ],
)
def test_judges_are_not_people(tool: str, row: Row) -> None:
    assert left_out(tool, row) == ["traces without people's feedback"]


@pytest.mark.parametrize(
    ("tool", "row", "rater"),
    [
        (
            "langfuse",
            langfuse(langfuse_score(BAD, "output", dataType="CORRECTION", source="ANNOTATION")),
            "u-9",
        ),
        ("langsmith", langsmith([langsmith_feedback(None, correction={"answer": BAD})]), "u-9"),
        ("mlflow", mlflow(mlflow_expectation(BAD)), "ann@example.org"),
    ],
)
def test_an_edited_answer_beats_the_original(tool: str, row: Row, rater: str) -> None:
    assert said(tool, row, "comparison") == [(BAD, GOOD)]
    (record,) = converted(tool, row, "comparison")
    assert isinstance(record, Comparison) and record.rater == rater
    assert left_out(tool, row) == ["judgements of another kind, which --kind comparison takes"]


def test_an_edit_that_changes_nothing_is_counted() -> None:
    assert left_out("mlflow", mlflow(mlflow_expectation(GOOD))) == ["edits that change nothing"]


@pytest.mark.parametrize("tool", TOOLS)
def test_ids_people_and_comments_travel(tool: str) -> None:
    (record,) = converted(tool, scored(tool, 1))
    assert record.id in ("trace-1", "run-1", "t-1", "tr-1")
    assert record.metadata is not None and record.metadata["comment"] == "fine"
    assert record.metadata["rater"] in ("u-9", "ann", "ann@example.org")


# ---------------------------------------------------------------- inputs and outputs


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (QUESTION, [QUESTION]),
        ({"question": QUESTION}, [QUESTION]),
        ({"anything": QUESTION}, [QUESTION]),
        ({"args": [QUESTION], "kwargs": {}}, [QUESTION]),
        ({"args": [], "kwargs": {"query": QUESTION}}, [QUESTION]),
        ([user("Hi"), assistant("Hello."), user(QUESTION)], ["Hi", "Hello.", QUESTION]),
        ({"messages": [user(QUESTION)], "model": "owl", "temperature": 0.2}, [QUESTION]),
        (
            {"question": QUESTION, "chat_history": [user("Hi"), assistant("Hello.")]},
            ["Hi", "Hello.", QUESTION],
        ),
        ({"input": QUESTION, "system_prompt": "Be brief."}, ["Be brief.", QUESTION]),
        (json.dumps({"messages": [user(QUESTION)]}), [QUESTION]),
        ([{"type": "human", "data": {"content": QUESTION}}], [QUESTION]),
        ([{"role": "user", "content": [{"type": "input_text", "text": QUESTION}]}], [QUESTION]),
    ],
)
def test_a_question_is_found_in_the_input(given: Any, expected: list[str]) -> None:
    (record,) = converted("opik", opik(opik_score(1)) | {"input": given})
    assert [turn.content for turn in record.prompt] == expected


@pytest.mark.parametrize(
    "given",
    [
        GOOD,
        {"answer": GOOD},
        {"anything": GOOD},
        assistant(GOOD),
        {
            "choices": [{"index": 0, "message": assistant(GOOD), "finish_reason": "stop"}],
            "usage": {"total": 3},
        },
        {"messages": [user(QUESTION), assistant(GOOD)]},
        [user(QUESTION), assistant(GOOD)],
        {"output": {"content": GOOD, "role": "assistant"}},
        {"generations": [[{"text": GOOD}]]},
        json.dumps({"output": GOOD}),
    ],
)
def test_an_answer_is_found_in_the_output(given: Any) -> None:
    assert said("opik", opik(opik_score(1)) | {"output": given}) == [(GOOD, True)]


@pytest.mark.parametrize(
    ("column", "value", "expected"),
    [
        ("input", {"a": 1, "b": "x"}, "has no part that is known to be the question"),
        ("input", {"question": QUESTION, "context": "At sea level."}, "is not read, and would be lost"),
        ("input", [user(QUESTION), assistant(GOOD)], "must end with user"),
        ("input", 7, "is not a question"),
        ("output", {"a": 1, "b": "x"}, "has no part that is known to be the answer"),
        ("output", [user(QUESTION)], "has no answer after the last question"),
        ("output", 7, "has no part that is known to be the answer"),
    ],
)
def test_inputs_and_outputs_that_are_not_understood_are_refused(
    column: str, value: Any, expected: str
) -> None:
    assert expected in problem("opik", opik(opik_score(1)) | {column: value})


def test_traces_without_an_answer_are_counted() -> None:
    assert left_out("opik", opik(opik_score(1)) | {"output": None}) == ["traces without an answer"]
    assert left_out("langsmith", langsmith([langsmith_feedback(1)], error="timeout")) == ["runs that failed"]
    assert left_out("langsmith", langsmith([langsmith_feedback(1)], run_type="tool")) == [
        "runs of the type tool"
    ]


def test_expected_outputs_of_a_data_set_are_demonstrations() -> None:
    for tool in ("langfuse-items", "langsmith-examples"):
        assert said(tool, SAMPLES[tool][0]) == [f"{QUESTION} / {GOOD}"]
    assert left_out("langfuse-items", SAMPLES["langfuse-items"][0] | {"status": "ARCHIVED"}) == [
        "archived items"
    ]


def test_scores_of_a_table_and_averages() -> None:
    assert said("langfuse", langfuse() | {"scores": {"user-feedback": [1, 0]}}) == [
        (GOOD, True),
        (GOOD, False),
    ]
    undecided = langsmith(feedback_stats={"user_score": {"n": 2, "avg": 0.5}})
    assert left_out("langsmith", undecided) == ["scores that are not read as thumbs: user_score"]


def test_an_assessment_that_was_replaced_is_not_read() -> None:
    row = mlflow(mlflow_feedback(False) | {"valid": False}, mlflow_feedback(True))
    assert said("mlflow", row) == [(GOOD, True)]


def test_previews_of_mlflow_are_not_taken_for_answers() -> None:
    row = mlflow(mlflow_feedback(True)) | {"data": {"spans": []}}
    assert left_out("mlflow", row) == ["traces without a whole answer"]
    row["data"] = {"request": json.dumps({"question": QUESTION}), "response": json.dumps(GOOD)}
    assert said("mlflow", row) == [(GOOD, True)]


# ---------------------------------------------------------------- Open WebUI


@pytest.mark.parametrize(("rating", "expected"), [(1, True), (-1, False), ("1", True), ("-1", False)])
def test_a_rating_of_open_webui_is_a_thumb(rating: Any, expected: bool) -> None:
    row = open_webui(rating)
    assert said("open-webui", row) == [(GOOD, expected)]
    (record,) = converted("open-webui", row)
    assert record.prompt == (Message("user", QUESTION),) and record.id == "fb-1"
    assert record.metadata is not None and record.metadata["rater"] == "u-7"
    assert left_out("open-webui", row) == ["judgements of another kind, which --kind comparison takes"]


def test_a_rating_of_0_is_undecided() -> None:
    assert left_out("open-webui", open_webui(0)) == ["ratings that are neither 1 nor -1"]


def test_a_regenerated_answer_is_compared_in_the_direction_of_the_rating() -> None:
    assert said("open-webui", open_webui(1), "comparison") == [(GOOD, BAD)]
    assert said("open-webui", open_webui(-1), "comparison") == [(BAD, GOOD)]
    (record,) = converted("open-webui", open_webui(1), "comparison")
    assert isinstance(record, Comparison) and record.rater == "u-7"


@pytest.mark.parametrize(("rating", "other"), [(1, 1), (-1, -1), (-1, 1)])
def test_a_pair_is_written_once_and_only_if_the_ratings_differ(rating: int, other: int) -> None:
    row = copy.deepcopy(open_webui(rating))
    history = row["snapshot"]["chat"]["chat"]["history"]
    history["messages"]["m2"]["annotation"] = {"rating": other}
    assert said("open-webui", row, "comparison") == []
    assert len(left_out("open-webui", row, "comparison")) == 1


def test_an_edited_message_beats_its_original() -> None:
    row = open_webui(1, originalContent="Ten minutes.")
    assert said("open-webui", row, "comparison") == [(GOOD, "Ten minutes."), (GOOD, BAD)]


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
    assert record.completion == (Message("assistant", GOOD, reasoning="An egg.\nSeven."),)  # type: ignore[union-attr]


def test_a_snapshot_that_lacks_the_message_or_holds_files_is_refused() -> None:
    row = copy.deepcopy(open_webui(1))
    assert problem("open-webui", row | {"snapshot": None}).startswith("snapshot: has no messages")
    assert "is not a message of the chat" in problem("open-webui", row | {"meta": {"message_id": "m9"}})
    messages = row["snapshot"]["chat"]["chat"]["history"]["messages"]
    messages["m1"]["files"] = [{"type": "image", "url": "x"}]
    assert "has files beside it" in problem("open-webui", row)
