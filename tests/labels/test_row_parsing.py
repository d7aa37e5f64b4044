"""Every column of a row travels with its item, or the import stops."""

from typing import Any

import pytest

from fairlead.core.errors import DataError
from fairlead.data.file_source import SourceRow
from fairlead.data.row_problem import RowLocation, RowProblem
from fairlead.labels import row_parsing
from fairlead.labels.row_parsing import ParsedRow

CALL = {"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}}


def parsed(row: dict[str, Any]) -> ParsedRow:
    """The row as an import would read it, whose format is detected."""
    format, rows = row_parsing.choose_format([SourceRow(RowLocation("rows.jsonl", 1), row)])
    [found] = row_parsing.parse_rows(rows, format)
    assert isinstance(found, ParsedRow), found
    return found


ANSWERS = {"prompt": "2?", "completions": ["4", "5"]}
PAIR = {"prompt": "2?", "chosen": "4", "rejected": "5"}


@pytest.mark.parametrize("row", [ANSWERS, PAIR, {"prompt": "2?"}, {"prompt": "2?", "completion": "4"}])
def test_ids_notes_and_tags_travel_whatever_the_rows_hold(row: dict[str, Any]) -> None:
    notes = {"topic": "sums", "difficulty": 3, "metadata": {"page": 7}}
    found = parsed({**row, "id": 17, "tags": "easy, sums", "family": "sum", **notes})
    assert found.carried["id"] == "17"
    assert found.carried["metadata"] == {"topic": "sums", "difficulty": 3, "page": 7}
    assert found.carried["family"] == "sum"
    assert found.tags == ("easy", "sums")


def test_system_messages_and_earlier_turns_of_unjudged_answers_are_read() -> None:
    found = parsed({**ANSWERS, "system": "Be brief.", "history": [["1?", "1"]], "tools": [CALL]})
    assert [turn.content for turn in found.prompt] == ["Be brief.", "1?", "1", "2?"]
    assert found.carried["tools"] == [CALL]


@pytest.mark.parametrize("column", ["context", "instruction", "answer_text", "score_a", "passage"])
def test_a_column_with_meaning_beside_unjudged_answers_stops_the_import(column: str) -> None:
    with pytest.raises(DataError, match=f"does not read {column} = "):
        parsed({**ANSWERS, column: "The council met on Tuesday."})


def test_what_an_earlier_rater_said_of_a_pair_is_kept_apart_from_the_new_judgement() -> None:
    found = parsed({**PAIR, "margin": 2, "rater": "ann", "shown_first": "rejected", "topic": "sums"})
    given = {"margin": 2.0, "rater": "ann", "shown_first": "rejected"}
    assert found.carried == {"metadata": {"given": given, "topic": "sums"}}


def test_columns_name_the_models_of_a_pair() -> None:
    found = parsed({**PAIR, "chosen_model": "big", "rejected_model": "small"})
    assert [answer.source for answer in found.answers] == ["big", "small"]


def test_bad_turns_before_unjudged_answers_are_a_problem_of_the_row() -> None:
    row = {**ANSWERS, "history": [["only a question"]]}
    [problem] = row_parsing.parse_rows([SourceRow(RowLocation("rows.jsonl", 1), row)], "answers")
    assert isinstance(problem, RowProblem) and problem.field == "history[0]"


def test_a_repeated_answer_is_left_out_of_any_number() -> None:
    """In a time that grows with their number, not with its square: all 20,000 would take a minute."""
    answers = [f"answer {n}" for n in range(20_000)]
    row = parsed({"prompt": "Which?", "completions": [*answers, "answer 7"]})
    assert len(row.answers) == 20_000
    assert [problem.why for problem in row.problems] == ["repeats an earlier answer to this prompt"]
