"""Rows of a file as items: kinds of rows, grouping of answers, and rows that cannot be used."""

from typing import Any

import pytest

from fairlead.data.records import RECORD_KINDS
from fairlead.labels import row_to_items
from fairlead.labels.database import Database
from fairlead.labels.imports import ImportSource
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
