"""Rows of a file as items: kinds of rows, grouping of answers, and rows that cannot be used."""

from dataclasses import replace
from typing import Any

import pytest

from fairlead.core.errors import DataError
from fairlead.data.file_source import SourceRow
from fairlead.data.records import RECORD_KINDS, Message, Messages, ToolCall
from fairlead.data.row_problem import RowLocation, RowProblem
from fairlead.labels import items, row_parsing, row_to_items
from fairlead.labels.database import Database
from fairlead.labels.imports import ImportSource
from fairlead.labels.items import CandidateAnswer, NewItem
from fairlead.labels.row_parsing import ParsedRow
from fairlead.labels.task_kinds import TaskKind
from fairlead.store.project import Project
from labels.import_files import (
    TRANSCRIPT,
    all_items,
    answer_texts,
    assistant,
    create_campaign,
    json_lines,
    pair,
    preview,
    run_import,
    upload,
    user,
)

LONG_CALL = ToolCall("find", {"text": "x" * 400_001}, None)


@pytest.mark.parametrize(
    ("row", "kind_of_row", "kind", "expected"),
    [
        ({"prompt": "2?"}, "prompt", "demonstration", ("2?", [])),
        ({"prompt": "2?"}, "prompt", "chat", ("2?", [])),
        ({"instruction": "Add", "input": "2", "output": "4"}, "demonstration", "edit", ("Add\n\n2", ["4"])),
        ({"messages": [*user("2?"), *assistant("4")]}, "demonstration", "rating", ("2?", ["4"])),
        ({"messages": [*user("2?"), *assistant("4")]}, "demonstration", "conversation", ("4", [])),
        ({"messages": [*user("2?"), *assistant("4")]}, "demonstration", "demonstration", ("2?", [])),
        (
            {"conversations": [{"from": "human", "value": "2?"}, {"from": "gpt", "value": "4"}]},
            "demonstration",
            "thumbs",
            ("2?", ["4"]),
        ),
        (
            {"chosen": f"{TRANSCRIPT} 4", "rejected": f"{TRANSCRIPT} 5"},
            "comparison",
            "pairwise",
            ("2?", ["4", "5"]),
        ),
        ({"prompt": "2?", "completions": ["4", "5"]}, "answers", "pairwise", ("2?", ["4", "5"])),
        (
            {"prompt": "2?", "completions": [assistant("4"), assistant("5")], "finished": [True, False]},
            "answers",
            "ranking",
            ("2?", ["4", "5"]),
        ),
        (
            {"prompt": user("2?"), "completions": [assistant("4"), assistant("5")], "ranks": [2, 1]},
            "ranking",
            "ranking",
            ("2?", ["4", "5"]),
        ),
        ({"prompt": "2?", "completion": "4", "score": 0.5}, "rating", "aspects", ("2?", ["4"])),
        ({"prompt": "2?", "completion": "4", "label": True}, "binary", "thumbs", ("2?", ["4"])),
        (
            {"prompt": "2?", "completions": ["One.", "Two."], "labels": [True, False]},
            "stepwise",
            "thumbs",
            ("2?", ["One.\n\nTwo."]),
        ),
    ],
)
def test_every_kind_of_row_becomes_items(
    database: Database,
    project: Project,
    row: dict[str, Any],
    kind_of_row: str,
    kind: str,
    expected: tuple[str, list[str]],
) -> None:
    uploaded = upload(database, project, json_lines(row))
    assert uploaded.row_kind == kind_of_row
    campaign = create_campaign(database, kind)
    assert run_import(database, project, campaign, ImportSource(uploaded.id)).result == {
        "rows": 1,
        "added": 1,
        "duplicates": 0,
        "set_aside": 0,
    }
    (item,) = all_items(database, campaign)
    assert (item.prompt[-1].content, answer_texts(item)) == expected
    assert item.source == "pairs.jsonl"


@pytest.mark.parametrize("answers", [{"completion": assistant("4")}, {"completions": ["4", "5"]}])
def test_items_keep_the_columns_that_travel_to_exports(
    database: Database, project: Project, answers: dict[str, Any]
) -> None:
    row = {"prompt": user("2?"), "id": 7, "metadata": {"source": "a"}, "tools": [], **answers}
    uploaded = upload(database, project, json_lines(row))
    campaign = create_campaign(database, "thumbs")
    run_import(database, project, campaign, ImportSource(uploaded.id))
    for item in all_items(database, campaign):
        assert item.carried == {"id": "7", "metadata": {"source": "a"}}


def test_several_answers_become_pairs_or_one_item_each(database: Database, project: Project) -> None:
    row = {
        "prompt": "2?",
        "completions": ["a", "b", "c"],
        "models": ["one", "two", None],
        "model": "three",
        "tags": ["sum"],
    }
    origin = ImportSource(upload(database, project, json_lines(row)).id)
    by_kind: dict[tuple[str, str], list[list[str]]] = {}
    for kind, pairs in (("pairwise", "each"), ("pairwise", "all"), ("rating", "each"), ("edit", "each")):
        campaign = create_campaign(database, kind)
        run_import(database, project, campaign, origin, pairs=pairs)
        by_kind[kind, pairs] = [answer_texts(item) for item in all_items(database, campaign)]
    assert by_kind == {
        ("pairwise", "each"): [
            ["a", "b"],
            ["c", "a"],
        ],  # each answer is in one pair; the last is paired with the first
        ("pairwise", "all"): [["a", "b"], ["a", "c"], ["b", "c"]],
        ("rating", "each"): [["a"], ["b"], ["c"]],
        ("edit", "each"): [["a", "b", "c"]],
    }
    assert [answer.source for answer in all_items(database, campaign)[0].answers] == ["one", "two", "three"]
    assert all_items(database, campaign)[0].tags == ("sum",)


def test_feedback_of_a_row_is_stored_with_its_answers(database: Database, project: Project) -> None:
    cases = [
        (pair(1), "pairwise", [{"given": {"place": "chosen"}}, {"given": {"place": "rejected"}}]),
        ({"prompt": "2?", "completion": "4", "score": 0.5}, "rating", [{"given": {"score": 0.5}}]),
        ({"prompt": "2?", "completion": "4", "label": False}, "thumbs", [{"given": {"label": False}}]),
    ]
    for row, kind, expected in cases:
        campaign = create_campaign(database, kind)
        run_import(
            database,
            project,
            campaign,
            ImportSource(upload(database, project, json_lines(row)).id),
            model="base",
        )
        (item,) = all_items(database, campaign)
        assert [answer.params for answer in item.answers] == expected
        assert {answer.source for answer in item.answers} == {"base"}


def test_repeated_and_empty_answers_are_reported_and_the_others_used(
    database: Database, project: Project
) -> None:
    row = {"prompt": "2?", "completions": ["a", "", "a", "b"]}
    uploaded = upload(database, project, json_lines(row, {"prompt": "3?", "completions": ["a", "a"]}))
    previewed = preview(database, project, ImportSource(uploaded.id), "pairwise")
    assert [[answer.messages[0].content for answer in item.answers] for item in previewed.items] == [
        ["a", "b"]
    ]
    assert [(problem.line, problem.field) for problem in previewed.problems] == [
        (1, "completions[1][0].content"),
        (1, "completions[2]"),
        (2, "completions[1]"),
        (2, "completions"),
    ]
    assert [problem.row["prompt"] for problem in previewed.problems] == ["2?", "2?", "3?", "3?"]


def test_a_ranking_with_a_repeated_answer_is_set_aside(database: Database, project: Project) -> None:
    row = {
        "prompt": user("2?"),
        "completions": [assistant("a"), assistant("b"), assistant("a")],
        "ranks": [1, 2, 3],
    }
    for kind, added in (("ranking", 0), ("pairwise", 1)):
        job = run_import(
            database,
            project,
            create_campaign(database, kind),
            ImportSource(upload(database, project, json_lines(row)).id),
        )
        assert job.result == {"rows": 1, "added": added, "duplicates": 0, "set_aside": 1}


def test_every_kind_of_row_has_task_kinds() -> None:
    assert set(row_to_items.KINDS_OF_ROW) == {*RECORD_KINDS, "answers"}


# ---------------------------------------------------------------- parsing


def source_row(line: int, value: dict[str, Any]) -> SourceRow:
    return SourceRow(RowLocation("rows.jsonl", line), value)


PROBLEM = RowProblem("rows.jsonl", 9, "", None, "is not valid JSON", "Repair the row.")


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"completions": ["a"]}, True),
        ({"completions": []}, True),
        ({"completions": ["a", "b"], "ranks": [1, 2]}, False),
        ({"completions": ["a"], "labels": [True]}, False),
        ({"completions": "a"}, False),
        ({"completion": "a"}, False),
    ],
)
def test_rows_with_unjudged_answers_are_recognised(row: dict[str, Any], expected: bool) -> None:
    assert row_parsing.is_answers(row) == expected


def test_the_format_is_chosen_from_the_first_rows_and_no_row_is_lost() -> None:
    answers = [source_row(n, {"prompt": "2?", "completions": ["4"]}) for n in range(2)]
    native = [source_row(n, pair(n)) for n in range(2)]
    cases: list[tuple[list[SourceRow | RowProblem], str]] = [
        ([*answers, native[0], PROBLEM], "answers"),
        ([*native, answers[0], PROBLEM], "native"),
        ([*native, *answers], "native"),  # answers need a majority
    ]
    for rows, expected in cases:
        format, all_rows = row_parsing.choose_format(rows)
        assert (format, list(all_rows)) == (expected, rows)


@pytest.mark.parametrize(
    ("row", "field"),
    [
        ({"prompt": "2?", "completions": []}, "completions"),
        ({"prompt": "2?", "completions": ["4", "5"], "finished": [True]}, "finished"),
        ({"prompt": "2?", "completions": ["4"], "models": "base"}, "models"),
        ({"prompt": "2?", "completions": [" "]}, "completions[0][0].content"),
        ({"prompt": "2?", "completions": [user("4")]}, "completions[0][0].role"),
        ({"completions": ["4"]}, "prompt"),
    ],
)
def test_rows_of_answers_that_cannot_be_parsed(row: dict[str, Any], field: str) -> None:
    [problem] = row_parsing.parse_rows([source_row(7, row)], "answers")
    assert isinstance(problem, RowProblem)
    assert (problem.line, problem.field, problem.row) == (7, field, row)


def test_problems_of_the_file_pass_through() -> None:
    assert list(row_parsing.parse_rows([PROBLEM], "native")) == [PROBLEM]
    assert row_to_items.to_items(PROBLEM, "pairwise") == ([], [PROBLEM])


def test_the_source_of_an_answer() -> None:
    """In this order: `models` of the row, `model` of the row, and the model of the whole file."""
    rows = [
        source_row(1, {"prompt": "2?", "completions": ["4", "5"], "models": ["one", None], "model": "row"}),
        source_row(2, {"prompt": "2?", "completions": ["4"]}),
    ]
    parsed = list(row_parsing.parse_rows(rows, "answers", model="file"))
    sources = [[answer.source for answer in row.answers] for row in parsed if not isinstance(row, RowProblem)]
    assert sources == [["one", "row"], ["file"]]


# ---------------------------------------------------------------- grouping


@pytest.mark.parametrize(
    ("row", "kind", "why"),
    [
        ({"prompt": "2?", "completions": ["4"]}, "pairwise", "an item of kind pairwise needs two"),
        ({"prompt": "2?", "completions": ["4"]}, "ranking", "kind ranking takes 2 to 8"),
        ({"prompt": "2?", "completions": list("123456789")}, "edit", "kind edit takes 1 to 8"),
        ({"prompt": user("2?")}, "rating", "has no answer; an item of kind rating needs one"),
        ({"prompt": user("2?")}, "conversation", "is not a complete conversation"),
    ],
)
def test_rows_that_do_not_suit_the_task_kind(row: dict[str, Any], kind: TaskKind, why: str) -> None:
    [parsed] = row_parsing.parse_rows([source_row(3, row)], "native")
    assert not isinstance(parsed, RowProblem)
    new_items, [problem] = row_to_items.to_items(parsed, kind)
    assert new_items == [] and (problem.line, problem.row) == (3, row)
    assert why in problem.why


@pytest.mark.parametrize("prompt", [(), (Message("user", "2?"), Message("assistant", "4"))])
def test_a_task_in_which_raters_write_needs_a_user_message(prompt: Messages) -> None:
    row = ParsedRow(RowLocation("rows.jsonl", 3), {}, "prompt", prompt, ())
    kinds: tuple[TaskKind, ...] = ("chat", "demonstration")
    for kind in kinds:
        new_items, [problem] = row_to_items.to_items(row, kind)
        assert new_items == [] and (problem.line, problem.field) == (3, "prompt")
        assert "does not end with a user message" in problem.why


def test_rows_are_grouped_into_chunks_by_rows_and_items() -> None:
    """A row counts as its number of items, and at least as one.  A row is never split."""
    item = NewItem((Message("user", "2?"),), ())
    rows: list[row_to_items.RowItems] = [([item] * number, []) for number in (1, 0, 1, 5, 2, 1)]
    chunks = list(row_to_items.chunks(rows, 3))
    assert [[len(new_items) for new_items, _ in chunk] for chunk in chunks] == [[1, 0, 1], [5], [2, 1]]
    assert list(row_to_items.chunks(rows[:2], 3)) == [rows[:2]]
    assert list(row_to_items.chunks([], 3)) == []


@pytest.mark.parametrize("kind", ["demonstration", "chat"])
def test_answers_that_are_not_shown_travel_with_the_item(kind: TaskKind) -> None:
    answers = tuple(CandidateAnswer((Message("assistant", text),), "big") for text in ("4", "5"))
    carried = {"id": "7", "metadata": {"topic": "sums"}}
    where = RowLocation("rows.jsonl", 3)
    row = ParsedRow(where, {}, "answers", (Message("user", "2?"),), answers, carried=carried)
    [item], problems = row_to_items.to_items(row, kind)
    kept = [{"text": "4", "model": "big"}, {"text": "5", "model": "big"}]
    assert problems == [] and item.answers == ()
    assert item.carried == {"id": "7", "metadata": {"topic": "sums", "answers": kept}}


def test_long_rows_make_small_chunks() -> None:
    """One chunk is stored in one transaction, for which everybody else waits."""
    row: row_to_items.RowItems = ([NewItem((Message("user", "x" * 60),), ())], [])
    assert [len(chunk) for chunk in row_to_items.chunks([row] * 5, 200, max_chars=100)] == [2, 2, 1]


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"tags": ("t" * 101,)}, "a tag has more than 100 characters"),
        ({"tags": tuple(map(str, range(51)))}, "there are 51 tags"),
        (
            {"answers": (CandidateAnswer((Message("assistant", "4"),), source="m" * 201),)},
            "the name of a model",
        ),
        ({"prompt": (Message("user", "2?"),) * 501}, "a conversation has 501 messages"),
        (
            {"answers": (CandidateAnswer((Message("assistant", "", tool_calls=(LONG_CALL,)),)),)},
            "a text has",
        ),
    ],
)
def test_a_file_has_the_bounds_of_the_api(more: dict[str, Any], why: str) -> None:
    item = replace(NewItem((Message("user", "2?"),), ()), **more)
    assert (items.why_too_long(item) or "").startswith(why)


def test_task_kinds_of_a_kind_of_row() -> None:
    assert row_to_items.task_kinds_of("prompt") == ("demonstration", "chat")
    assert row_to_items.task_kinds_of("comparison")[0] == "pairwise"
    with pytest.raises(DataError, match="Rows of the kind document cannot be judged"):
        row_to_items.task_kinds_of("document")
