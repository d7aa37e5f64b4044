"""Open-Assistant: rank 0 is the best, and nothing that was deleted or failed its review is read."""

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from data.conversions import converted, judged, left_out, problem
from data.sample_texts import BAD, GOOD, QUESTION, Row
from data.set_samples import table, tree
from fairlead.data.file_source import SourceRow, read_file_rows
from fairlead.data.importer import import_rows
from fairlead.data.record_reader import ParsedRow
from fairlead.data.records import Demonstration, Prompt, Ranking
from fairlead.data.row_problem import RowLocation, RowProblem


def from_table(rows: list[Row], kind: Any = None) -> list[object]:
    source = iter(SourceRow(RowLocation("table.jsonl", line), row) for line, row in enumerate(rows, start=1))
    return [
        result.record if isinstance(result, ParsedRow) else result
        for result in import_rows(source, "open-assistant-table", kind)
    ]


def test_rank_0_is_the_best_answer() -> None:
    assert judged("open-assistant", tree()) == [{BAD: 2, GOOD: 1, "Eggs fly.": 3}]
    (ranking,) = converted("open-assistant", tree())
    assert isinstance(ranking, Ranking) and ranking.id == "q1"
    assert ranking.metadata is not None and ranking.metadata["message_tree_id"] == "q1"


def test_every_best_answer_is_trained_once() -> None:
    first, second = converted("open-assistant", tree(), "demonstration")
    assert isinstance(first, Demonstration) and isinstance(second, Demonstration)
    assert [turn.content for turn in first.completion] == [GOOD, "And a soft one?", "Five."]
    assert [turn.content for turn in second.prompt] == [QUESTION, GOOD, "In a pan?"]
    assert [turn.content for turn in second.completion] == ["In a pot."]


def test_every_question_is_a_prompt() -> None:
    prompts = converted("open-assistant", tree(), "prompt")
    assert [record.prompt[-1].content for record in prompts] == [QUESTION, "And a soft one?", "In a pan?"]
    assert all(isinstance(record, Prompt) for record in prompts)


@pytest.mark.parametrize("column", [{"deleted": True}, {"review_result": False}])
def test_deleted_and_refused_messages_are_not_read(column: Row) -> None:
    row = tree()
    row["prompt"]["replies"][1] |= column  # the best answer
    assert judged("open-assistant", row) == [{BAD: 1, "Eggs fly.": 2}]
    row["prompt"] |= column
    assert left_out("open-assistant", row) == ["trees whose first message was deleted or failed its review"]


def test_trees_that_are_not_ready_are_counted() -> None:
    assert left_out("open-assistant", tree() | {"tree_state": "aborted_low_grade"}) == [
        "trees in the state aborted_low_grade"
    ]


def test_roles_must_alternate() -> None:
    row = tree()
    row["prompt"]["replies"][0]["role"] = "prompter"
    assert problem("open-assistant", row).startswith(
        'prompt.replies[0].role: "prompter": wrong role order: expected assistant'
    )


def test_a_table_in_any_order_gives_the_same_trees() -> None:
    rows = table()
    random.Random(0).shuffle(rows)
    (shuffled,) = from_table(rows)
    assert isinstance(shuffled, Ranking)
    ranks = dict(zip([answer[0].content for answer in shuffled.completions], shuffled.ranks, strict=True))
    assert ranks == {GOOD: 1, BAD: 2, "Eggs fly.": 3}
    assert from_table(table(), "demonstration") == converted("open-assistant", tree(), "demonstration")


def test_text_in_a_table_of_a_csv_file_is_understood() -> None:
    rows = [row | {"deleted": "False", "review_result": "True"} for row in table()]
    rows = [row | {"rank": f"{row['rank']}.0"} if row["rank"] is not None else row for row in rows]
    (ranking,) = from_table(rows)
    assert isinstance(ranking, Ranking) and ranking.ranks == (2, 1, 3)


def test_messages_without_a_way_to_the_first_message_are_problems() -> None:
    rows = table()
    lost = [row for row in rows if row["message_id"] != "a1"]
    results = from_table(lost)
    problems = [result for result in results if isinstance(result, RowProblem)]
    assert len(results) == 5 and [result.value for result in problems] == ["a1", "a1", "q2", "q3"]
    circle = [row | {"parent_id": "q3"} if row["message_id"] == "q2" else row for row in rows]
    circle = [row | {"parent_id": "b1"} if row["message_id"] == "q3" else row for row in circle]
    whys = {result.why for result in from_table(circle) if isinstance(result, RowProblem)}
    assert whys == {"does not lead to the first message of the tree"}


def test_a_tree_that_is_too_deep_is_refused() -> None:
    rows = [
        {
            "message_id": f"m{index}",
            "parent_id": None if index == 0 else f"m{index - 1}",
            "text": "So?",
            "role": ("prompter", "assistant")[index % 2],
            "message_tree_id": "m0",
        }
        for index in range(3000)
    ]
    (result,) = from_table(rows, "demonstration")
    assert isinstance(result, RowProblem) and result.why == "has more than 200 turns"


def test_the_hundred_trees_give_212_rankings(real_data: Callable[[str], Path]) -> None:
    trees = list(read_file_rows(real_data("oasst/en_100_tree.jsonl")))
    rankings = list(import_rows(iter(trees), "open-assistant"))
    assert sum(isinstance(result, ParsedRow) for result in rankings) == 212
    conversations = list(import_rows(iter(trees), "open-assistant", "demonstration"))
    assert len(conversations) >= 100 and all(isinstance(result, ParsedRow) for result in conversations)
