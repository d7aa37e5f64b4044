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
        "rows.pkl": "unknown file type",
        "rows.xlsx.gz": "unknown file type",
        "rows.parquet.gz": "unknown file type",
    }
    for name, reason in reasons.items():
        with pytest.raises(DataError, match=reason) as caught:
            list(file_source.read_file_rows(tmp_path / name))
        assert str(caught.value).startswith(f"{tmp_path / name}: ")


@pytest.mark.parametrize(
    "content",
    [
        b'{"data": [{"a": 1}, {"a": 2}]}',
        b'{\n "rows": [\n  {"row_idx": 0, "row": {"a": 1}},\n  {"row_idx": 1, "row": {"a": 2}}]\n}',
        b'{"version": "1", "conversations":\n [{"a": 1}, {"a": 2}]}',
    ],
)
def test_an_object_may_hold_the_rows(tmp_path: Path, content: bytes) -> None:
    path = write(tmp_path / "a.json", content)
    assert [row.value for row in file_source.read_file_rows(path) if isinstance(row, SourceRow)] == [
        {"a": 1},
        {"a": 2},
    ]


def test_an_object_with_two_lists_of_rows_is_not_guessed_at(tmp_path: Path) -> None:
    path = write(tmp_path / "a.json", b'{"train": [{"a": 1}], "test": [{"a": 2}]}')
    with pytest.raises(DataError, match="holds rows under train and test. Write the rows that you mean"):
        list(file_source.read_file_rows(path))


def test_an_object_may_be_the_only_row(tmp_path: Path) -> None:
    row = {"conversations": [{"from": "human", "value": "a"}], "id": 1}
    path = write(tmp_path / "a.json", json.dumps(row, indent=1).encode())
    assert [row.value for row in file_source.read_file_rows(path) if isinstance(row, SourceRow)] == [row]


def test_a_list_is_read_from_a_file_that_is_called_json_lines(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", b'[\n{"a": 1},\n{"a": 2}]')
    assert [row.where.line for row in file_source.read_file_rows(path) if isinstance(row, SourceRow)] == [
        2,
        3,
    ]


def test_a_list_longer_than_a_part_of_the_file_is_read_whole(tmp_path: Path) -> None:
    values = [{"a": "é" * (number % 7) * 40_000, "n": number} for number in range(60)]
    path = write(tmp_path / "a.json", json.dumps(values, ensure_ascii=False, indent=1).encode())
    rows = [row for row in file_source.read_file_rows(path) if isinstance(row, SourceRow)]
    assert [row.value for row in rows] == values
    assert [row.where.line for row in rows] == [2 + 4 * number for number in range(60)]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ('{"a": 1}\n'.encode("utf-16-le"), "contains NUL bytes"),
        (b"PK\x03\x04abc", "is a zip archive or a spreadsheet. Unpack it"),
        (b"\x80\x04\x95abc", "is a Python pickle, which could run any code"),
        (gzip.compress(b"{}", mtime=0), "is compressed with gzip. Give it a name that ends in .gz"),
        (b"\0\0\0\0", "contains NUL bytes"),
        (
            b"<!DOCTYPE html><html>404</html>\n",
            "is a web page, perhaps of an error. Download the file again.",
        ),
        (b"version https://git-lfs.github.com/spec/v1\n", "is a Git LFS pointer"),
    ],
)
def test_a_file_that_is_no_text_is_named_for_what_it_is(
    tmp_path: Path, content: bytes, expected: str
) -> None:
    (tmp_path / "a.jsonl").write_bytes(content)
    with pytest.raises(DataError) as caught:
        list(file_source.read_file_rows(tmp_path / "a.jsonl"))
    assert str(caught.value).startswith(f"{tmp_path / 'a.jsonl'}: {expected}")


@pytest.mark.parametrize("name", ["a.parquet", "a.arrow", "a.jsonl.gz", "a.jsonl.zst"])
@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (
            b"version https://git-lfs.github.com/spec/v1\n",
            "is a Git LFS pointer, not the file. Fetch it with",
        ),
        (b"<!doctype html>", "is a web page, perhaps of an error. Download the file again."),
        (b"", "is empty. Copy or download the file again."),
    ],
)
def test_what_a_download_left_in_place_of_bytes_is_named(
    tmp_path: Path, name: str, content: bytes, expected: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=expected):
        list(file_source.read_file_rows(tmp_path / name))


def test_a_row_of_any_length_does_not_fill_the_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_source, "MAX_ROW_BYTES", 1000)
    path = write(tmp_path / "a.jsonl", b'{"a": 1}\n{"a": "' + b"x" * 2000 + b'"}\n')
    with pytest.raises(DataError, match="a.jsonl:2: is longer than 0 MiB. Write one row per line."):
        list(file_source.read_file_rows(path))


def test_a_bomb_of_one_endless_line_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl.gz"
    with gzip.open(path, "wb", compresslevel=1) as file:
        for _ in range(70):
            file.write(b" " * 2**20)
    with pytest.raises(DataError, match="a.jsonl.gz:1: is longer than 64 MiB"):
        list(file_source.read_file_rows(path))


def test_a_row_that_is_nested_too_deep_is_a_bad_row(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", b'{"a": ' + b"[" * 150 + b"1" + b"]" * 150 + b"}\n")
    assert the_problem(path).startswith("1: is nested deeper than 100 levels")


def test_text_compressed_with_zstd_is_read(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow", reason="the extra `hub` is not installed")
    path = tmp_path / "a.jsonl.zst"
    path.write_bytes(pyarrow.compress(b'{"a": 1}\n{"a": 2}\n', codec="zstd", asbytes=True))
    assert [row.value for row in file_source.read_file_rows(path) if isinstance(row, SourceRow)] == [
        {"a": 1},
        {"a": 2},
    ]
    path.write_bytes(b"\x28\xb5\x2f\xfdnothing")
    with pytest.raises(DataError, match="cannot be read"):
        list(file_source.read_file_rows(path))


def long_object(path: Path, **values: object) -> Path:
    """A JSON object that is too long to be read at once."""
    padding = {"padding": "x" * file_source.MAX_OBJECT_BYTES}
    return write(path, json.dumps(padding | values, indent=1).encode())


def test_rows_inside_a_long_object_are_streamed(tmp_path: Path) -> None:
    values = [{"a": number} for number in range(5)]
    path = long_object(tmp_path / "a.json", version=[1, 2], data=values, license={"name": "none"})
    assert [row.value for row in file_source.read_file_rows(path) if isinstance(row, SourceRow)] == values
    wrapped = [{"row_idx": number, "row": value} for number, value in enumerate(values)]
    path = long_object(tmp_path / "b.json", rows=wrapped)
    assert [row.value for row in file_source.read_file_rows(path) if isinstance(row, SourceRow)] == values


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"data": [{"a": 1}], "rows": [{"a": 2}]}, "holds rows under data and rows"),
        ({"entries": [{"a": 1}]}, "one JSON object of more than 32 MiB, without rows under data, rows"),
    ],
)
def test_a_long_object_with_no_or_several_lists_of_rows_is_refused(
    tmp_path: Path, values: dict[str, object], expected: str
) -> None:
    path = long_object(tmp_path / "a.json", **values)
    with pytest.raises(DataError, match=expected):
        list(file_source.read_file_rows(path))


def test_a_long_object_that_is_cut_off_is_refused(tmp_path: Path) -> None:
    path = long_object(tmp_path / "a.json", data=[{"a": 1}])
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(DataError, match="not valid JSON: .* Rows from here on cannot be read"):
        list(file_source.read_file_rows(path))
