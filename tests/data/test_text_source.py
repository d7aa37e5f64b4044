"""Text in other encodings, with other ends of lines, and compressed."""

import gzip
import json
from pathlib import Path

import pytest

from fairlead.core.errors import DataError
from fairlead.data import file_source
from fairlead.data.file_source import SourceRow
from fairlead.data.row_problem import RowProblem

ROWS = [{"prompt": "Wo?\u2028Hier? 😀", "completion": f"Zürich {number}"} for number in range(3)]


def rows(path: Path, content: bytes) -> list[SourceRow | RowProblem]:
    path.write_bytes(content)
    return list(file_source.read_file_rows(path))


def values(path: Path, content: bytes) -> list[object]:
    return [row.value for row in rows(path, content) if isinstance(row, SourceRow)]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32", "utf-8-sig"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_every_encoding_with_a_mark_and_every_end_of_line_reads_the_same(
    tmp_path: Path, encoding: str, end: str
) -> None:
    lines = end.join(json.dumps(row, ensure_ascii=False) for row in ROWS)
    table = end.join(["prompt;completion", *(";".join(row.values()) for row in ROWS)])
    whole = json.dumps(ROWS, ensure_ascii=False, indent=1).replace("\n", end)
    assert values(tmp_path / "a.jsonl", lines.encode(encoding)) == ROWS
    assert values(tmp_path / "a.csv", table.encode(encoding)) == ROWS
    assert values(tmp_path / "a.json", whole.encode(encoding)) == ROWS
    assert values(tmp_path / "a.jsonl.gz", gzip.compress(lines.encode(encoding), mtime=0)) == ROWS


def test_lines_with_old_ends_keep_their_numbers(tmp_path: Path) -> None:
    first, second = rows(tmp_path / "a.csv", b"a,b\r1,2\r3,4\r")
    assert isinstance(first, SourceRow) and isinstance(second, SourceRow)
    assert (first.where.line, second.where.line) == (2, 3)


def test_a_long_file_is_decoded_in_parts(tmp_path: Path) -> None:
    many = [{"a": "é😀" * (number % 977)} for number in range(3000)]
    text = "".join(json.dumps(row, ensure_ascii=False) + "\r" for row in many)
    assert values(tmp_path / "a.jsonl", text.encode("utf-16")) == many


def test_a_carriage_return_inside_a_cell_stays(tmp_path: Path) -> None:
    assert values(tmp_path / "a.csv", b'a,b\n"x\ry",2\n') == [{"a": "x\ry", "b": "2"}]


def test_text_that_ends_within_a_character_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="begins as utf-16 text, but a part of it is not: .* Save the file"):
        rows(tmp_path / "a.csv", "a,b\n1,2\n".encode("utf-16")[:-1])
