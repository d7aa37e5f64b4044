"""CSV and TSV files."""

from pathlib import Path

import pytest

from fairlead.core.errors import DataError
from fairlead.data import file_source
from fairlead.data.file_source import SourceRow
from fairlead.data.row_problem import RowProblem


def read(path: Path, content: bytes) -> list[SourceRow | RowProblem]:
    path.write_bytes(content)
    return list(file_source.read_file_rows(path))


def values(path: Path, content: bytes) -> list[object]:
    return [row.value for row in read(path, content) if isinstance(row, SourceRow)]


@pytest.mark.parametrize(
    "content",
    [
        b'prompt,completion\r\n"2, 2?",4\r\n\r\n3?,\r\n',
        b'\xef\xbb\xbfprompt;completion\n"2, 2?";4\n3?;\n',
        b"prompt\tcompletion\n2, 2?\t4\n3?\t \n",
    ],
)
def test_cells_are_text_and_empty_ones_are_null(tmp_path: Path, content: bytes) -> None:
    assert values(tmp_path / "a.csv", content) == [
        {"prompt": "2, 2?", "completion": "4"},
        {"prompt": "3?", "completion": None},
    ]


def test_a_cell_may_have_several_lines(tmp_path: Path) -> None:
    (row,) = read(tmp_path / "a.csv", b'prompt,completion\n"a\nb","say ""c"""\n')
    assert isinstance(row, SourceRow)
    assert (row.where.line, row.value) == (3, {"prompt": "a\nb", "completion": 'say "c"'})


def test_a_column_without_a_name_gets_one(tmp_path: Path) -> None:
    assert values(tmp_path / "a.csv", b",a\n0,x\n") == [{"unnamed_1": "0", "a": "x"}]


def test_a_tsv_file_may_begin_with_data(tmp_path: Path) -> None:
    text = b"Is 2 even?\tyes\tTwo is divisible by two.\nIs 3?\tno\tIt is not.\n"
    assert values(tmp_path / "a.tsv", text) == [
        {"column_1": "Is 2 even?", "column_2": "yes", "column_3": "Two is divisible by two."},
        {"column_1": "Is 3?", "column_2": "no", "column_3": "It is not."},
    ]


def test_quotes_in_a_tsv_file_count_around_whole_cells(tmp_path: Path) -> None:
    text = b'question\tanswer\n"Who?" he said.\t"say ""c"""\n'
    assert values(tmp_path / "a.tsv", text) == [{"question": '"Who?" he said.', "answer": 'say "c"'}]


def test_a_row_with_another_number_of_cells_is_a_bad_row(tmp_path: Path) -> None:
    first, second = read(tmp_path / "a.csv", b"a,b\n1\n1,2\n")
    assert isinstance(first, RowProblem) and isinstance(second, SourceRow)
    assert str(first).startswith(f"{tmp_path / 'a.csv'}:2: has 1 cell where the first row has 2")


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"a,a\n1,2\n", "a.csv:1: two columns have the name a"),
        (b'a,b\n1,"2" 3\n', "a.csv:2: cannot be read as a table"),
        (b"a,b\n1,\xe9\n", "not UTF-8: byte 0xe9"),
    ],
)
def test_what_is_no_table_is_refused(tmp_path: Path, content: bytes, expected: str) -> None:
    with pytest.raises(DataError, match=expected):
        read(tmp_path / "a.csv", content)


@pytest.mark.parametrize(
    ("name", "head"),
    [
        ("a.csv", b"prompt|completion\n"),
        ("a.tsv", b"prompt|completion\n"),
        ("a.csv", b"sep=|\r\nprompt|completion\n"),
        ("a.csv", b'\xef\xbb\xbf"sep=|"\nprompt|completion\n'),
    ],
)
def test_other_separators_are_read(tmp_path: Path, name: str, head: bytes) -> None:
    (row,) = read(tmp_path / name, head + b"2, 2?|4; four\n")
    assert isinstance(row, SourceRow)
    assert row.value == {"prompt": "2, 2?", "completion": "4; four"}
    assert row.where.line == 1 + head.count(b"\n")
