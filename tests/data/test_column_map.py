"""Columns that are renamed or left out on purpose."""

import json
from pathlib import Path

import pytest

from data.test_column_meaning import ASKED, CHAT, FIVE, FOUR, imported
from data.test_importer import lines, rows
from fairlead.core.errors import ConfigError, DataError
from fairlead.data import column_map, importer
from fairlead.data.row_problem import RowProblem


def test_an_ignored_column_is_left_out(tmp_path: Path) -> None:
    columns = column_map.parse([], ["score,rank", "source"])
    row = CHAT | {"score": 3, "rank": 1, "source": "x"}
    out = tmp_path / "out.jsonl"
    report = importer.import_file(rows(row), out, columns=columns)
    assert lines(out) == [CHAT]
    assert report.ignored_columns == ("rank", "score", "source")


def test_an_ignored_column_that_no_row_has_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(
        DataError,
        match="--ignore scores: no row has scores. Did you mean score\\? The columns are messages, score.",
    ):
        imported(tmp_path, CHAT | {"score": 3}, columns=column_map.parse([], ["scores", "score"]))


def test_columns_are_read_under_other_names_and_from_nested_values(tmp_path: Path) -> None:
    row = {"q": "2 + 2?", "choices": [{"message": {"content": "4"}, "stop": "eos"}], "lang": "en"}
    columns = column_map.parse(["prompt=q,completion=choices.0.message.content"], [])
    [written] = imported(tmp_path, row, columns=columns)
    notes = {"choices": row["choices"], "lang": "en"}
    assert written == {"prompt": ASKED, "completion": FOUR, "metadata": notes}


def test_a_mapped_row_may_have_no_column_that_carries_meaning_left(tmp_path: Path) -> None:
    row = {"q": "2 + 2?", "good": "4", "bad": "5"}
    with pytest.raises(DataError, match='does not read bad = "5"'):
        imported(tmp_path, row, columns=column_map.parse(["prompt=q", "completion=good"], []))
    columns = column_map.parse(["prompt=q", "chosen=good", "rejected=bad"], [])
    assert imported(tmp_path, row, columns=columns) == [{"prompt": ASKED, "chosen": FOUR, "rejected": FIVE}]


def test_a_mapped_column_that_no_row_has_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="--map prompt=question: no row has question. The columns are q, a."):
        imported(tmp_path, {"q": "1", "a": "2"}, columns=column_map.parse(["prompt=question"], []))


def test_a_map_does_not_hide_a_column_of_the_row(tmp_path: Path) -> None:
    row = {"prompt": "1?", "q": "2 + 2?", "completion": "4"}
    with pytest.raises(DataError, match="--map fills the column prompt, which the row has already"):
        imported(tmp_path, row, columns=column_map.parse(["prompt=q"], []))
    columns = column_map.parse(["prompt=q"], ["prompt"])
    assert imported(tmp_path, row, columns=columns) == [{"prompt": ASKED, "completion": FOUR}]


@pytest.mark.parametrize(
    ("map", "why"),
    [
        ("question", "write COLUMN=SOURCE"),
        ("question=prompt", "question is not a column of Fairlead. Did you mean prompt\\? Choose"),
        ("responce=a", "responce is not a column of Fairlead. Did you mean completion\\? Choose"),
        ("rejcted=a", "Did you mean rejected\\? Choose"),
        ("prompt=a,prompt=b", "prompt is given twice"),
    ],
)
def test_a_map_that_says_nothing_is_refused(map: str, why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        column_map.parse([map], [])


def test_scores_of_any_range_become_scores_from_0_to_1(tmp_path: Path) -> None:
    row = {"prompt": "2 + 2?", "response": "4", "stars": "4"}
    columns = column_map.parse(["score=stars"], [], "1:5")
    assert imported(tmp_path, row, columns=columns) == [{"prompt": ASKED, "completion": FOUR, "score": 0.75}]
    with pytest.raises(DataError, match="in.jsonl:1: score: 4 is not from 1 to 3. Correct --scale."):
        imported(tmp_path, row, columns=column_map.parse(["score=stars"], [], "1:3"))
    with pytest.raises(DataError, match="score: 4.0: is not from 0 to 1. .* --scale 1:5"):
        imported(tmp_path, row, columns=column_map.parse(["score=stars"], []))
    with pytest.raises(ConfigError, match="--scale 5:1: write the lowest and the highest score"):
        column_map.parse([], [], "5:1")


def test_a_star_reads_a_part_of_every_item(tmp_path: Path) -> None:
    answers = [{"text": "5", "place": 2}, {"text": "4", "place": 1}]
    columns = column_map.parse(["prompt=q,completions=answers.*.text,ranks=answers.*.place"], [])
    for value in (answers, json.dumps(answers)):  # tables have text
        [written] = imported(tmp_path, {"q": "2 + 2?", "answers": value}, columns=columns)
        assert (written["completions"], written["ranks"]) == ([FIVE, FOUR], [2, 1])


def test_a_plus_joins_columns_and_passes_over_empty_ones(tmp_path: Path) -> None:
    columns = column_map.parse(["prompt=head + data.body,completion=a"], [])
    row = {"head": "Add.", "data": {"body": "2 + 2?"}, "a": "4"}
    [written] = imported(tmp_path, row, columns=columns)
    assert written["prompt"][0]["content"] == "Add.\n\n2 + 2?"
    first, second = imported(tmp_path, row, row | {"data": {"body": ""}}, columns=columns)
    assert second["prompt"][0]["content"] == "Add."
    literal = column_map.parse(["prompt=a+b,completion=c"], [])  # a column may have such a name
    [written] = imported(tmp_path, {"a+b": "2 + 2?", "c": "4"}, columns=literal)
    assert written == {"prompt": ASKED, "completion": FOUR}


@pytest.mark.parametrize(
    ("map", "expected"),
    [
        ("prompt=qustion", "no row has qustion. Did you mean question\\? The columns are question, data"),
        ("prompt=data.qestion", "no row has data.qestion. Did you mean data.question\\? "),
        ("prompt=question+contxt", "no row has contxt. Did you mean context\\? "),
        ("completion=choices.text", "choices is a list: write a number from 0, or \\* for every item"),
        ("completion=choices.0.txt", "Did you mean choices.0.text\\? "),
        ("completion=zzz", "no row has zzz. The columns are"),
    ],
)
def test_an_error_names_the_nearest_path(tmp_path: Path, map: str, expected: str) -> None:
    row = {"question": "1?", "data": {"question": "2?"}, "context": "c", "choices": [{"text": "4"}]}
    with pytest.raises(DataError, match=expected):
        imported(tmp_path, row, columns=column_map.parse([map], []))


def test_several_columns_are_the_answers_of_one_prompt() -> None:
    columns = column_map.parse(["prompt=q,completions.0=gpt,completions.1=claude"], [])
    [row] = columns.apply(iter(rows({"q": "2 + 2?", "gpt": "4", "claude": "5", "lang": "en"})))
    assert not isinstance(row, RowProblem)
    assert row.value["completions"] == ["4", "5"] and row.value["models"] == ["gpt", "claude"]
    assert row.value["lang"] == "en"


def test_an_answer_that_a_row_lacks_is_left_out() -> None:
    columns = column_map.parse(["prompt=q,completions.0=a,completions.1=b,completions.2=c"], [])
    full = {"q": "1?", "a": "1", "b": "2", "c": "3"}
    _, row = columns.apply(iter(rows(full, {"q": "2?", "a": "1", "b": None, "c": "3"})))
    assert not isinstance(row, RowProblem)
    assert row.value["completions"] == ["1", "3"] and row.value["models"] == ["a", "c"]


def test_kept_columns_are_metadata_whatever_their_names(tmp_path: Path) -> None:
    row = {"prompt": "1?", "q": "2 + 2?", "completion": "4", "teacher_score": 3, "metadata": {"page": 1}}
    columns = column_map.ColumnMap({"prompt": "q"}, kept=frozenset({"prompt", "teacher_score"}))
    [written] = imported(tmp_path, row, columns=columns)
    notes = {"page": 1, "prompt": "1?", "teacher_score": 3}
    assert written == {"prompt": ASKED, "completion": FOUR, "metadata": notes}
