"""A key that an object has twice would lose one of its values without a word."""

from pathlib import Path

import pytest

from fairlead.data import file_source
from fairlead.data.file_source import SourceRow
from fairlead.data.row_problem import RowProblem


@pytest.mark.parametrize(
    ("name", "text", "line"),
    [
        ("a.jsonl", '{"a": 1}\n{"a": 1, "a": 2}\n', 2),
        ("a.jsonl", '{"a": 1}\n{"a": [{"b": "x", "b": "y"}], "c": 1}\n', 2),
        ("a.json", '[{"a": 1},\n{"a": 1, "a": 2}]', 2),
        ("a.json", '{"a": 1,\n "a": 2}', 1),
        ("a.json", '{"data": [{"a": 1},\n{"a": 1, "a": 2}]}', 2),
    ],
)
def test_a_key_with_two_values_is_a_problem_of_its_row(
    tmp_path: Path, name: str, text: str, line: int
) -> None:
    path = tmp_path / name
    path.write_text(text)
    problem = list(file_source.read_file_rows(path))[-1]
    assert isinstance(problem, RowProblem)
    assert problem.line == line and "twice, with different values" in problem.why
    path.write_text(text.replace("2", "1").replace('"y"', '"x"'))  # nothing is lost
    assert all(isinstance(row, SourceRow) for row in file_source.read_file_rows(path))
