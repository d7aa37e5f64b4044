import gzip
import json
from pathlib import Path

import pytest

from fairlead.core.errors import DataError
from fairlead.data import file_source
from fairlead.data.file_source import SourceRow
from fairlead.data.row_problem import RowLocation, RowProblem


def write(path: Path, content: bytes) -> Path:
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


def the_problem(path: Path) -> str:
    (found,) = (row for row in file_source.read_file_rows(path) if isinstance(row, RowProblem))
    return str(found).removeprefix(f"{path}:")


@pytest.mark.parametrize("name", ["a.jsonl", "a.v2.jsonl.gz", "a.json", "a.json.gz"])
def test_lines_are_read_with_their_numbers_past_blank_ones(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / name, b'\xef\xbb\xbf{"a": 1}\r\n\n{"a": 2}')
    assert list(file_source.read_file_rows(path)) == [
        SourceRow(RowLocation(str(path), 1), {"a": 1}),
        SourceRow(RowLocation(str(path), 3), {"a": 2}),
    ]


@pytest.mark.parametrize("name", ["a.json", "a.json.gz"])
def test_a_list_is_read_with_the_line_that_each_item_begins_on(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / name, b'\xef\xbb\xbf\n [\n {"a":\n 1}, {"a": 2},\n\n{"a": 3} ]\n')
    assert [
        (row.where.line, row.value) for row in file_source.read_file_rows(path) if isinstance(row, SourceRow)
    ] == [
        (3, {"a": 1}),
        (4, {"a": 2}),
        (6, {"a": 3}),
    ]


def test_an_empty_list_and_an_empty_file_have_no_rows(tmp_path: Path) -> None:
    assert list(file_source.read_file_rows(write(tmp_path / "a.json", b"[ ]"))) == []
    assert list(file_source.read_file_rows(write(tmp_path / "b.json", b""))) == []
    assert list(file_source.read_file_rows(write(tmp_path / "c.jsonl", b"\n \n"))) == []


def test_every_bad_line_is_reported_and_the_good_ones_are_read(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", b'{"a": 1}\n{"a": \n[1]\n\xff\xfe\n{"a": NaN}\n{"a": 2}\n')
    rows = list(file_source.read_file_rows(path))
    assert [row.line for row in rows if isinstance(row, RowProblem)] == [2, 3, 4, 5]
    assert [row.where.line for row in rows if isinstance(row, SourceRow)] == [1, 6]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b'{"a": 1', '1: "{\\"a\\": 1": not valid JSON: Expecting'),
        (b"4", "1: 4: is a JSON number, not an object"),
        (b'"a"', '1: "a": is a JSON string, not an object'),
        (b"[]", "1: []: is a JSON list, not an object"),
        (b"null", "1: is a JSON constant, not an object"),
        (b"true", "1: true: is a JSON constant, not an object"),
        (
            b'{"a": "\xe9t\xe9"}',
            '1: "{\\"a\\": \\"\\\\xe9t\\\\xe9\\"}": not UTF-8: byte 7 is 0xe9. Convert the file',
        ),
        (b'{"a": Infinity}', '1: "{\\"a\\": Infinity}": not valid JSON: Infinity is not a JSON value'),
        (b'{"a": 1e999}', '1: "{\\"a\\": 1e999}": not valid JSON: 1e999 is out of range'),
        (b'{"a": "\\ud83d"}', '1: "{\\"a\\": \\"\\\\ud83d\\"}": contains half a surrogate pair'),
        (b"[" * 100_000, '1: "[['),
    ],
)
def test_a_line_that_is_no_object(tmp_path: Path, line: bytes, expected: str) -> None:
    assert the_problem(write(tmp_path / "a.jsonl", line + b"\n")).startswith(expected)


def test_escaped_characters_and_ordinary_numbers_are_read(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", b'{"a": "\\ud83d\\ude00", "b": 1.5}\n')
    assert list(file_source.read_file_rows(path)) == [
        SourceRow(RowLocation(str(path), 1), {"a": "\N{GRINNING FACE}", "b": 1.5})
    ]


def test_an_item_of_a_list_that_is_no_object_is_reported(tmp_path: Path) -> None:
    assert the_problem(write(tmp_path / "a.json", b'[{"a": 1},\n 4]')).startswith(
        "2: 4: is a JSON number, not an object"
    )


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b'[{"a": 1},\n{"a": ]', "2: not valid JSON: Expecting value"),
        (b'[{"a": 1}\n{"a": 2}]', "2: not valid JSON: expected a comma or the end of the list"),
        (b'[{"a": 1}\n', "2: not valid JSON: expected a comma or the end of the list"),
        (b'[{"a": 1}]\n\n x', "1: not valid JSON: text after the end of the list"),
        (b"[]x", "1: not valid JSON: text after the end of the list"),
        (b'[\n{"a": "\xe9"}]', "2: not UTF-8: byte 0xe9"),
    ],
)
def test_a_broken_list_is_refused_whole_since_the_rest_cannot_be_read(
    tmp_path: Path, content: bytes, expected: str
) -> None:
    path = write(tmp_path / "a.json", content)
    with pytest.raises(DataError) as caught:
        list(file_source.read_file_rows(path))
    assert str(caught.value).startswith(f"{path}:{expected}")


def test_a_file_that_is_not_there_or_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "folder.jsonl").mkdir()
    (tmp_path / "torn.jsonl.gz").write_bytes(gzip.compress(b'{"a": 1}\n' * 1000)[:-12])
    (tmp_path / "plain.jsonl.gz").write_bytes(b'{"a": 1}\n')
    damaged = bytearray(gzip.compress(json.dumps({"a": list(range(500))}).encode()))
    damaged[40:60] = b"\xff" * 20
    (tmp_path / "damaged.jsonl.gz").write_bytes(damaged)
    reasons = {
        "absent.jsonl": "no such file",
        "folder.jsonl": "Is a directory",
        "torn.jsonl.gz": "Compressed file ended",
        "plain.jsonl.gz": "Not a gzipped file",
        "damaged.jsonl.gz": "cannot be read: Error",
        "rows.csv": "unknown file type",
        "rows.csv.gz": "unknown file type",
    }
    for name, reason in reasons.items():
        with pytest.raises(DataError, match=reason) as caught:
            list(file_source.read_file_rows(tmp_path / name))
        assert str(caught.value).startswith(f"{tmp_path / name}: ")
