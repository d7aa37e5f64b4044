import gzip
import json
from pathlib import Path

import pytest

from fairlead.core import jsonl
from fairlead.core.errors import DataError


def test_lines_are_numbered_as_an_editor_does_and_blank_ones_are_passed_over(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"x": 1}\n\n  \n[2]', encoding="utf-8")
    assert list(jsonl.read(tmp_path / "a.jsonl")) == [(1, {"x": 1}), (4, [2])]


def test_gzip_is_unpacked(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(b'"one"\n"two"\n'))
    assert list(jsonl.read(tmp_path / "a.jsonl.gz")) == [(1, "one"), (2, "two")]


def test_a_byte_order_mark_is_no_part_of_the_first_line(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(b"\xef\xbb\xbf1\n2\n")
    assert list(jsonl.read(tmp_path / "a.jsonl")) == [(1, 1), (2, 2)]


@pytest.mark.parametrize("line", ["{", "NaN", "[Infinity]", '{"a": -Infinity}', "[" * 100_000])
def test_a_line_that_is_not_json_is_told_by_its_number(tmp_path: Path, line: str) -> None:
    (tmp_path / "a.jsonl").write_text(f"1\n{line}\n")
    with pytest.raises(DataError, match=r"a\.jsonl:2: not valid JSON"):
        list(jsonl.read(tmp_path / "a.jsonl"))


def test_a_byte_that_is_not_utf8_is_told_by_line_and_value(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(b'"one"\n"caf\xe9"\n')
    with pytest.raises(DataError, match=r"a\.jsonl:2: not UTF-8 \(byte 4 is 0xe9\)"):
        list(jsonl.read(tmp_path / "a.jsonl"))


def test_a_file_that_is_not_there_and_a_folder_are_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file"):
        list(jsonl.read(tmp_path / "none.jsonl"))
    with pytest.raises(DataError, match="is a folder"):
        list(jsonl.read(tmp_path))


def test_gzip_that_is_cut_or_changed_or_none_is_told(tmp_path: Path) -> None:
    whole = gzip.compress(json.dumps(list(range(1000))).encode())
    changed = whole[:40] + b"\xff" * 20 + whole[60:]
    for content in (whole[: len(whole) // 2], changed, b"not gzip"):
        (tmp_path / "a.jsonl.gz").write_bytes(content)
        with pytest.raises(DataError, match="not a complete gzip file"):
            list(jsonl.read(tmp_path / "a.jsonl.gz"))


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    rows = [{"text": "über\u2028line"}, {"text": "two\nlines"}]
    assert jsonl.write(tmp_path / "a.jsonl", rows) == 2
    assert [row for _, row in jsonl.read(tmp_path / "a.jsonl")] == rows


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path) -> None:
    jsonl.write(tmp_path / "a.jsonl", [1])
    with pytest.raises(ValueError, match="JSON compliant"):
        jsonl.write(tmp_path / "a.jsonl", [2, float("nan")])
    assert (tmp_path / "a.jsonl").read_text() == "1\n"


def test_append_adds_one_line(tmp_path: Path) -> None:
    jsonl.append(tmp_path / "a.jsonl", {"a": 1})
    jsonl.append(tmp_path / "a.jsonl", {"a": 2})
    assert (tmp_path / "a.jsonl").read_text() == '{"a": 1}\n{"a": 2}\n'
