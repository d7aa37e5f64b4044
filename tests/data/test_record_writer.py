"""Writing native rows: atomic files, rejected rows, file names."""

from pathlib import Path
from typing import Any

import pytest

from fairlead.core import jsonl
from fairlead.core.errors import DataError
from fairlead.data import importer, record_writer
from fairlead.data.file_source import SourceRow
from fairlead.data.record_writer import WriteReport, write_records, write_rows
from fairlead.data.records import Comparison, Demonstration, Message, Record
from fairlead.data.row_problem import RowLocation, RowProblem

PAIR = {"prompt": "2 + 2?", "chosen": "4", "rejected": "5"}


def rows(*values: dict[str, Any]) -> list[SourceRow | RowProblem]:
    return [SourceRow(RowLocation("in.jsonl", line), value) for line, value in enumerate(values, start=1)]


def test_an_import_refuses_an_output_that_is_not_plain_json_lines(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="Choose a name that ends in .jsonl"):
        importer.import_file(rows(PAIR), tmp_path / "out.jsonl.gz")


def test_records_are_written_as_native_rows(tmp_path: Path) -> None:
    prompt = (Message("user", "2 + 2?"),)
    four, five = (Message("assistant", "4"),), (Message("assistant", "5"),)
    path = tmp_path / "rows.jsonl"
    records: list[Record] = [Comparison(prompt, four, five, rater="ann"), Demonstration(prompt, four)]
    assert write_records(path, records) == 2
    user = {"role": "user", "content": "2 + 2?"}
    says_4 = {"role": "assistant", "content": "4"}
    says_5 = {"role": "assistant", "content": "5"}
    assert [row for _, row in jsonl.read(path)] == [
        {"prompt": [user], "chosen": [says_4], "rejected": [says_5], "rater": "ann"},
        {"prompt": [user], "completion": [says_4]},
    ]


def bad_row(line: int) -> RowProblem:
    return RowProblem("in.jsonl", line, "chosen", "", "is empty", "Write an answer.", {"chosen": ""})


def test_good_rows_are_written_and_bad_rows_set_aside_with_their_reasons(tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    report = write_rows([{"n": 1}, bad_row(2), {"n": 3}], out, drop=True)
    assert report == WriteReport(3, 2, 1, tmp_path / "out.rejected.jsonl")
    assert [row for _, row in jsonl.read(out)] == [{"n": 1}, {"n": 3}]
    assert [row for _, row in jsonl.read(tmp_path / "out.rejected.jsonl")] == [
        {
            "where": "in.jsonl:2",
            "field": "chosen",
            "reason": "is empty. Write an answer.",
            "row": {"chosen": ""},
        }
    ]


def test_without_drop_a_bad_row_stops_the_import_and_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"in.jsonl:2: chosen.* is empty.*\n.*1 of 2 rows"):
        write_rows([{"n": 1}, bad_row(2)], tmp_path / "out.jsonl", drop=False)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("source", "message"), [([], "the source has no rows"), ([bad_row(1)], "because no row is left")]
)
def test_an_import_without_good_rows_writes_no_file(
    tmp_path: Path, source: list[dict[str, Any] | RowProblem], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        write_rows(source, tmp_path / "out.jsonl", drop=True)
    assert list(tmp_path.iterdir()) == []


def test_an_import_without_bad_rows_removes_the_rejected_rows_of_an_earlier_import(tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    rejected = record_writer.rejected_rows_path(out)
    write_rows([{"n": 1}, bad_row(2)], out, drop=True)
    assert rejected.exists()
    assert write_rows([{"n": 1}], out, drop=True) == WriteReport(1, 1, 0, None)
    assert not rejected.exists()


@pytest.mark.parametrize("name", ["rows.json", "rows.jsonl.gz", "rows"])
def test_the_output_must_be_plain_json_lines(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError, match=f"{name}: rows are written as plain JSON Lines"):
        record_writer.require_jsonl_name(tmp_path / name)
