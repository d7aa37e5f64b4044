import json
from typing import Any

import pytest

from fairlead.data.parsing import parse_row
from fairlead.data.records import (
    Binary,
    Comparison,
    Demonstration,
    Message,
    Prompt,
    Ranking,
    Rating,
    RecordKind,
    Stepwise,
)
from fairlead.data.row_problem import BadRow, RowLocation

WHERE = RowLocation("rows.jsonl", 7)


def user(content: str) -> dict[str, Any]:
    return {"role": "user", "content": content}


def assistant(content: str) -> dict[str, Any]:
    return {"role": "assistant", "content": content}


def system(content: str) -> dict[str, Any]:
    return {"role": "system", "content": content}


def tool(content: str) -> dict[str, Any]:
    return {"role": "tool", "content": content}


CALL = {"id": "call_1", "type": "function", "function": {"name": "add", "arguments": '{"a": 2, "b": 2}'}}
CALLED = {"role": "assistant", "content": None, "tool_calls": [CALL]}
ADD = {"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}}
ASKED = [user("2 + 2?")]
COMPARISON = {"prompt": ASKED, "chosen": [assistant("4")], "rejected": [assistant("5")]}
DEMONSTRATION = {"prompt": ASKED, "completion": [assistant("4")]}


def problem(kind: RecordKind, row: dict[str, Any]) -> str:
    with pytest.raises(BadRow) as caught:
        parse_row(kind, row, WHERE)
    text = str(caught.value)
    assert text.startswith("rows.jsonl:7: ") and "\n" not in text
    return text.removeprefix("rows.jsonl:7: ")


def test_every_kind_is_parsed() -> None:
    asked, four, five = (
        (Message("user", "2 + 2?"),),
        (Message("assistant", "4"),),
        (Message("assistant", "5"),),
    )
    aspects = {"helpful": 1, "kind": None}
    optional = {"margin": 3, "aspects": aspects, "rater": "ann", "weight": 0, "confidence": 0.5}
    assert parse_row("comparison", COMPARISON | optional, WHERE) == Comparison(
        asked, four, five, margin=3.0, aspects={"helpful": 1.0}, rater="ann", weight=0.0, confidence=0.5
    )
    assert parse_row("demonstration", DEMONSTRATION, WHERE) == Demonstration(asked, four)
    conversation = {"messages": [system("Be brief."), *ASKED, assistant("4")]}
    assert parse_row("demonstration", conversation, WHERE) == Demonstration(
        (), (Message("system", "Be brief."), *asked, *four)
    )
    ranking = {"prompt": ASKED, "completions": [[assistant("4")], [assistant("5")]], "ranks": [0, 1]}
    assert parse_row("ranking", ranking, WHERE) == Ranking(asked, (four, five), (0, 1))
    assert parse_row("rating", DEMONSTRATION | {"score": 1}, WHERE) == Rating(asked, four, 1.0)
    assert parse_row("rating", DEMONSTRATION | {"aspects": aspects}, WHERE) == Rating(
        asked, four, None, {"helpful": 1.0}
    )
    assert parse_row("binary", DEMONSTRATION | {"label": False}, WHERE) == Binary(asked, four, False)
    prompt = {"prompt": ASKED, "reference": "4", "tags": ["sum"]}
    assert parse_row("prompt", prompt, WHERE) == Prompt(asked, "4", ("sum",))


def test_null_counts_as_absent() -> None:
    nulls = dict.fromkeys(("margin", "tie", "aspects", "rater", "weight", "confidence"))
    assert parse_row("comparison", COMPARISON | nulls, WHERE) == parse_row("comparison", COMPARISON, WHERE)
    assert parse_row("prompt", {"prompt": ASKED, "tags": None, "reference": None}, WHERE) == Prompt(
        (Message("user", "2 + 2?"),)
    )
    assert "chosen: is missing" in problem("comparison", COMPARISON | {"chosen": None})


def test_an_empty_system_message_is_allowed_since_it_switches_off_a_default_one() -> None:
    record = parse_row("prompt", {"prompt": [system(""), *ASKED]}, WHERE)
    assert record.prompt[0] == Message("system", "")


def test_a_system_message_of_null_is_none() -> None:
    record = parse_row("prompt", {"prompt": [system("") | {"content": None}, *ASKED]}, WHERE)
    assert [turn.role for turn in record.prompt] == ["user"]
    assert "has no turns" in problem("prompt", {"prompt": [{"role": "system", "content": None}]})


@pytest.mark.parametrize("column", ["prompt", "chosen", "rejected"])
def test_a_missing_column_is_named_with_what_is_there(column: str) -> None:
    row = {name: value for name, value in COMPARISON.items() if name != column}
    assert problem("comparison", row) == f"{column}: is missing. The row has {', '.join(sorted(row))}."


def test_an_empty_row_has_nothing() -> None:
    assert problem("prompt", {}) == "prompt: is missing. The row has no columns."


def test_equal_answers_are_a_problem_even_when_white_space_differs() -> None:
    text = problem("comparison", COMPARISON | {"rejected": [assistant(" 4\n")]})
    assert text == 'chosen: "4": chosen and rejected are equal. Mark it a tie, or drop it with --drop.'


def test_equal_answers_marked_as_a_tie_are_fine() -> None:
    record = parse_row("comparison", COMPARISON | {"rejected": [assistant("4")], "tie": "good"}, WHERE)
    assert isinstance(record, Comparison) and record.tie == "good"


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ([assistant("Hi")], 'prompt[0].role: "assistant": wrong role order: expected user'),
        ([user("a"), user("b")], 'prompt[1].role: "user": wrong role order: expected assistant'),
        ([user("a"), system("b")], 'prompt[1].role: "system": wrong role order: expected assistant'),
        (
            [system("a"), system("b"), user("c")],
            'prompt[1].role: "system": wrong role order: expected user',
        ),
        ([user("a"), assistant("b")], 'prompt[1].role: "assistant": must end with user'),
        ([system("a")], 'prompt[0].role: "system": must end with user'),
        ([user("  ")], 'prompt[0].content: "  ": the user\'s turn is empty'),
        ([], "prompt: []: is not a list of messages"),
        ("2 + 2?", 'prompt: "2 + 2?": is a string, not a list of messages'),
        (["2 + 2?"], 'prompt[0]: "2 + 2?": is not a message'),
        ([{"role": "critic", "content": "a"}], 'prompt[0].role: "critic": is not a role'),
        ([{"content": "a"}], "prompt[0].role: is not a role"),
        ([{"role": "user", "content": 4}], "prompt[0].content: 4: is not a string"),
        (
            [user("a"), assistant("b") | {"weight": 0.5}, user("c")],
            "prompt[1].weight: 0.5: the weight of a message is 0 or 1",
        ),
        ([user("a") | {"train": True}], "prompt[0].train: true: a user message is never trained"),
        ([user("a") | {"train": 1}], "prompt[0].train: 1: is not true or false"),
        (
            [user("a"), assistant("b") | {"train": True, "weight": 0}, user("c")],
            "prompt[1].train: true: contradicts weight 0",
        ),
        ([user("a") | {"images": ["a.png"]}], 'prompt[0].images: ["a.png"]: messages with images'),
        ([user("a") | {"tool_calls": [CALL]}], "prompt[0].tool_calls: "),
        (
            [user("a") | {"reasoning_content": "Hm."}],
            'prompt[0].reasoning_content: "Hm.": a user message has',
        ),
        ([user("a") | {"name": 1}], "prompt[0].name: 1: is not a string"),
        ([user("a"), CALLED, user("b")], 'prompt[2].role: "user": wrong role order: expected tool'),
        ([user("a"), tool("4")], 'prompt[1].role: "tool": wrong role order: expected assistant'),
        ([user("a"), CALLED, tool("4"), user("b")], 'prompt[3].role: "user": wrong role order: expected '),
        (
            [user("a"), CALLED, tool("4") | {"tool_call_id": "call_9"}],
            'prompt[2].tool_call_id: "call_9": names no call of the assistant\'s turn before it, which made ',
        ),
        (
            [user("a"), {"role": "assistant", "tool_calls": [1]}],
            "prompt[1].tool_calls[0]: 1: is not a tool call",
        ),
        ([user("a"), {"role": "assistant", "tool_calls": 1}], "prompt[1].tool_calls: 1: is not a list"),
        (
            [user("a"), {"role": "assistant", "tool_calls": [{"arguments": {}}]}],
            "prompt[1].tool_calls[0].name: is not the name of a tool",
        ),
        (
            [user("a"), {"role": "assistant", "tool_calls": [{"name": "add", "arguments": "2, 2"}]}],
            'prompt[1].tool_calls[0].arguments: "2, 2": is not a JSON object',
        ),
        (
            [user("a"), {"role": "assistant", "tool_calls": [{"name": "add", "id": 7}]}],
            "prompt[1].tool_calls[0].id: 7: is not a string",
        ),
    ],
)
def test_bad_prompts(prompt: object, expected: str) -> None:
    assert problem("prompt", {"prompt": prompt}).startswith(expected)


@pytest.mark.parametrize(
    ("completion", "expected"),
    [
        ([user("4")], 'completion[0].role: "user": wrong role order: expected assistant'),
        (
            [system("4"), assistant("4")],
            'completion[0].role: "system": wrong role order: expected assistant',
        ),
        ([assistant("")], 'completion[0].content: "": the answer is empty'),
        ([assistant("\n")], 'completion[0].content: "\\n": the answer is empty'),
        ([assistant("4"), user("Sure?")], 'completion[1].role: "user": must end with assistant'),
        ([CALLED, tool("4")], 'completion[1].role: "tool": must end with assistant'),
        (
            [assistant("") | {"reasoning_content": "Hm."}],
            'completion[0].content: "": the answer is empty; reasoning alone is not an answer',
        ),
        (
            [assistant("4") | {"weight": 0}],
            "completion: no turn of the assistant is trained: each has train false or weight 0",
        ),
    ],
)
def test_bad_answers(completion: object, expected: str) -> None:
    assert problem("demonstration", {"prompt": ASKED, "completion": completion}).startswith(expected + ". ")


@pytest.mark.parametrize(
    ("kind", "row", "expected"),
    [
        ("demonstration", {"messages": [assistant("4")]}, 'messages[0].role: "assistant": wrong role order'),
        ("demonstration", {"messages": ASKED}, 'messages[0].role: "user": must end with assistant'),
        (
            "demonstration",
            {"messages": ASKED, "prompt": ASKED},
            "messages: is present together with prompt or completion",
        ),
        ("comparison", COMPARISON | {"tie": "both"}, 'tie: "both": must be "good" or "bad"'),
        ("comparison", COMPARISON | {"tie": []}, 'tie: []: must be "good" or "bad"'),
        (
            "comparison",
            COMPARISON | {"margin": 3.5},
            "margin: 3.5: is out of range. Write a number from 0 to 3.",
        ),
        ("comparison", COMPARISON | {"margin": "2"}, 'margin: "2": is not a number'),
        ("comparison", COMPARISON | {"margin": True}, "margin: true: is not a number"),
        ("comparison", COMPARISON | {"margin": float("nan")}, "margin: NaN: is out of range"),
        (
            "comparison",
            COMPARISON | {"weight": -1},
            "weight: -1: is out of range. Write a number not below 0.",
        ),
        ("comparison", COMPARISON | {"weight": float("inf")}, "weight: Infinity: is out of range"),
        ("comparison", COMPARISON | {"confidence": 2}, "confidence: 2: is out of range"),
        ("comparison", COMPARISON | {"aspects": [1]}, "aspects: [1]: is not an object"),
        (
            "comparison",
            COMPARISON | {"aspects": {"helpful": -2}},
            "aspects.helpful: -2: is out of range. Write a number from -1 to 1.",
        ),
        ("comparison", COMPARISON | {"rater": 7}, "rater: 7: is not a string"),
        ("comparison", COMPARISON | {"rater": " "}, 'rater: " ": is empty'),
        ("rating", DEMONSTRATION, "score: is missing, and aspects is missing too"),
        (
            "rating",
            DEMONSTRATION | {"aspects": {"kind": None}},
            "score: is missing, and aspects is missing too",
        ),
        ("rating", DEMONSTRATION | {"score": 7}, "score: 7: is out of range. Write a number from 0 to 1."),
        ("binary", DEMONSTRATION | {"label": 1}, "label: 1: is not true or false"),
        ("binary", DEMONSTRATION, "label: is missing"),
        ("prompt", {"prompt": ASKED, "tags": "sum"}, 'tags: "sum": is not a list of strings'),
        ("prompt", {"prompt": ASKED, "tags": [1]}, "tags: [1]: is not a list of strings"),
        ("prompt", {"prompt": ASKED, "id": [1]}, "id: [1]: is neither text nor a whole number"),
        ("prompt", {"prompt": ASKED, "id": True}, "id: true: is neither text nor a whole number"),
        ("prompt", {"prompt": ASKED, "tools": {}}, "tools: {}: is not a list of tools"),
        ("prompt", {"prompt": ASKED, "tools": ["add"]}, 'tools[0]: "add": is not a tool with a name'),
        ("prompt", {"prompt": ASKED, "tools": [{"function": {}}]}, "tools[0]: "),
        (
            "comparison",
            COMPARISON | {"rejected": [assistant("5") | {"train": False}]},
            "rejected[0].train: false: the last turn of an answer that is judged",
        ),
        ("ranking", {"prompt": ASKED, "completions": [[assistant("4")]], "ranks": [1]}, "completions: "),
        (
            "ranking",
            {"prompt": ASKED, "completions": "4", "ranks": [1]},
            'completions: "4": is not a list of two or more answers',
        ),
    ],
)
def test_bad_columns(kind: RecordKind, row: dict[str, Any], expected: str) -> None:
    assert problem(kind, row).startswith(expected)


@pytest.mark.parametrize(
    ("ranks", "expected"),
    [
        ([1], "ranks: [1]: has 1 rank for 2 completions"),
        ([1, True], "ranks: [1, true]: is not a list of whole numbers"),
        (1, "ranks: 1: is not a list of whole numbers"),
    ],
)
def test_ranks_must_fit_the_completions(ranks: object, expected: str) -> None:
    row = {"prompt": ASKED, "completions": [[assistant("4")], [assistant("5")]], "ranks": ranks}
    assert problem("ranking", row).startswith(expected)


def test_steps_keep_their_text_and_their_order() -> None:
    row = {"prompt": ASKED, "completions": [" 2 + 2 is 4. ", "So 5."], "labels": [True, False]}
    assert parse_row("stepwise", row, WHERE) == Stepwise(
        (Message("user", "2 + 2?"),), (" 2 + 2 is 4. ", "So 5."), (True, False)
    )


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ({"completions": []}, "completions: []: is not a list of steps"),
        ({"completions": "So 5."}, 'completions: "So 5.": is not a list of steps'),
        ({"completions": ["So 5.", [assistant("4")]]}, "completions[1]: "),
        ({"completions": ["So 5.", " \n"]}, 'completions[1]: " \\n": the step is empty'),
        ({"labels": [True]}, "labels: [true]: has 1 label for 2 steps"),
        ({"labels": [True, 1]}, "labels: [true, 1]: is not a list of true and false"),
        ({"labels": True}, "labels: true: is not a list of true and false"),
        ({"labels": None}, "labels: is missing"),
        ({"prompt": []}, "prompt: []: is not a list of messages"),
    ],
)
def test_labels_must_fit_the_steps(columns: dict[str, Any], expected: str) -> None:
    row = {"prompt": ASKED, "completions": ["2 + 2 is 4.", "So 5."], "labels": [True, False]} | columns
    assert problem("stepwise", row).startswith(expected)


def test_an_empty_answer_in_a_ranking_is_named_by_its_place() -> None:
    row = {"prompt": ASKED, "completions": [[assistant("4")], [assistant("")]], "ranks": [1, 2]}
    assert problem("ranking", row).startswith('completions[1][0].content: "": the answer is empty')


def test_an_answer_may_call_tools_several_times_and_end_with_a_call() -> None:
    turns = [CALLED, tool("4"), tool("5"), CALLED, tool("6"), assistant("4"), user("Again?"), CALLED]
    record = parse_row("demonstration", {"prompt": ASKED, "completion": turns}, WHERE)
    assert isinstance(record, Demonstration) and len(record.completion) == 8


def test_answers_that_differ_in_reasoning_or_calls_only_are_not_equal() -> None:
    chosen = {"chosen": [assistant("4") | {"reasoning_content": "2 and 2."}], "rejected": [assistant("4")]}
    assert parse_row("comparison", COMPARISON | chosen, WHERE)
    call = {"chosen": [CALLED], "rejected": [CALLED]}
    assert problem("comparison", COMPARISON | call).startswith('chosen: "": chosen and rejected are equal')


def test_every_kind_carries_tools_id_and_metadata() -> None:
    rows: dict[RecordKind, dict[str, Any]] = {
        "demonstration": {"messages": [*ASKED, assistant("4")]},
        "comparison": COMPARISON,
        "ranking": {"prompt": ASKED, "completions": [[assistant("4")], [assistant("5")]], "ranks": [1, 2]},
        "rating": DEMONSTRATION | {"score": 1},
        "binary": DEMONSTRATION | {"label": True},
        "stepwise": {"prompt": ASKED, "completions": ["4"], "labels": [True]},
        "prompt": {"prompt": ASKED},
    }
    for kind, row in rows.items():
        for columns in (
            {"tools": [ADD], "id": 7, "metadata": {"source": "a"}},
            {"tools": json.dumps([ADD]), "id": "7", "metadata": json.dumps({"source": "a"})},
        ):
            record = parse_row(kind, row | columns, WHERE)
            assert (record.tools, record.id, record.metadata) == ((ADD,), "7", {"source": "a"}), kind
        nothing = parse_row(kind, row | {"tools": [], "id": "", "metadata": {}}, WHERE)
        assert (nothing.tools, nothing.id, nothing.metadata) == ((), None, None), kind


@pytest.mark.parametrize("value", ["some notes", ["a"], "[1"])
def test_metadata_of_another_form_is_kept(value: object) -> None:
    assert parse_row("prompt", {"prompt": ASKED, "metadata": value}, WHERE).metadata == {"metadata": value}
