"""Feedback of products: a thumb is read as it was given, and nothing else is taken for one."""

import json
from typing import Any

import pytest

from data.conversions import converted, judged, left_out, problem
from data.format_samples import SAMPLES
from data.sample_texts import BAD, GOOD, QUESTION, Row, assistant, user
from data.tool_samples import (
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
)
from fairlead.data.records import Comparison, Prompt

TOOLS = ("langfuse", "langsmith", "opik", "mlflow")


def scored(tool: str, value: Any, name: str | None = None) -> Row:
    """A trace with one piece of feedback."""
    named = {} if name is None else {"name": name}
    if tool == "langsmith":
        return langsmith([langsmith_feedback(value, **({} if name is None else {"key": name}))])
    if tool == "langfuse":
        return langfuse(langfuse_score(value, **named))
    return opik(opik_score(value, **named)) if tool == "opik" else mlflow(mlflow_feedback(value, **named))


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
    assert judged(tool, scored(tool, value)) == [(GOOD, expected)]


@pytest.mark.parametrize("tool", TOOLS)
def test_a_name_that_means_down_turns_1_into_a_thumbs_down(tool: str) -> None:
    assert judged(tool, scored(tool, 1, "thumbs_down")) == [(GOOD, False)]
    assert judged(tool, scored(tool, 0, "thumbs_down")) == []
    assert judged(tool, scored(tool, 0, "thumbs_up")) == []
    assert judged(tool, scored(tool, 1, "thumbs_up")) == [(GOOD, True)]


@pytest.mark.parametrize("tool", TOOLS)
@pytest.mark.parametrize(
    ("value", "name"), [(0.7, None), (4, None), (1, "latency_ok"), (True, "is_english"), (1, "user_edited")]
)
def test_other_scores_are_no_thumbs(tool: str, value: Any, name: str | None) -> None:
    row = scored(tool, value, name)
    assert judged(tool, row) == []
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
    assert judged(tool, row, "comparison") == [(BAD, GOOD)]
    (record,) = converted(tool, row, "comparison")
    assert isinstance(record, Comparison) and record.rater == rater
    assert left_out(tool, row) == ["judgements of another kind, which --kind comparison takes"]


@pytest.mark.parametrize("tool", TOOLS)
def test_ids_people_and_comments_travel(tool: str) -> None:
    (record,) = converted(tool, scored(tool, 1))
    assert record.id in ("trace-1", "run-1", "t-1", "tr-1")
    assert record.metadata is not None and record.metadata["comment"] == "fine"
    assert record.metadata["rater"] in ("u-9", "ann", "ann@example.org")


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
    assert judged("opik", opik(opik_score(1)) | {"output": given}) == [(GOOD, True)]


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


def test_a_regenerated_answer_is_compared_in_the_direction_of_the_rating() -> None:
    assert judged("open-webui", open_webui(1), "comparison") == [(GOOD, BAD)]
    assert judged("open-webui", open_webui(-1), "comparison") == [(BAD, GOOD)]
    (record,) = converted("open-webui", open_webui(1), "comparison")
    assert isinstance(record, Comparison) and record.rater == "u-7"


@pytest.mark.parametrize("tool", TOOLS)
def test_only_answers_with_a_thumbs_up_are_imitated(tool: str) -> None:
    (imitated,) = judged(tool, scored(tool, 1), "demonstration")
    assert str(imitated).endswith(f"{QUESTION} / {GOOD}")
    assert judged(tool, scored(tool, 0), "demonstration") == []
    assert left_out(tool, scored(tool, 0), "demonstration") == ["answers with a thumbs down"]


@pytest.mark.parametrize("tool", ["langfuse-items", "langsmith-examples", "opik-items"])
def test_items_of_data_sets_are_demonstrations_or_prompts_with_a_reference(tool: str) -> None:
    row = SAMPLES[tool][0]
    assert judged(tool, row) == [f"{QUESTION} / {GOOD}"]
    (prompt,) = converted(tool, row, "prompt")
    assert isinstance(prompt, Prompt) and prompt.reference == GOOD and prompt.id == row["id"]
