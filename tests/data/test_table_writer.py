"""Tables as bytes: quoting, formulas, types, and memory that does not grow with the rows."""

import csv
import io
import tracemalloc
from collections.abc import Iterator
from typing import Any

import pyarrow.parquet as parquet
import pytest

from fairlead.data import table_writer

COLUMNS: dict[str, table_writer.ColumnType] = {
    "id": "whole",
    "text": "text",
    "good": "yes",
    "score": "number",
}


def table(*rows: dict[str, Any]) -> list[list[str]]:
    content = b"".join(table_writer.csv_table(list(COLUMNS), rows)).decode("utf-8-sig")
    return list(csv.reader(io.StringIO(content)))


def test_csv_has_a_line_per_row_and_an_empty_cell_for_what_is_missing() -> None:
    row = {"id": -3, "text": 'a "b",\nc', "good": True, "score": -0.5}
    assert table(row, {"text": ["x", 1], "good": False}) == [
        ["id", "text", "good", "score"],
        ["-3", 'a "b",\nc', "true", "-0.5"],
        ["", '["x", 1]', "false", ""],
    ]


@pytest.mark.parametrize("mark", ["=", "+", "-", "@", "\t", "\r", "\n", "  =", "\uff1d"])
def test_no_text_is_a_formula_in_a_spreadsheet(mark: str) -> None:
    text = f'{mark}HYPERLINK("http://evil.example")'
    _, row = table({"text": text})
    assert row[1] == f"'{text}"
    assert table({"text": "1 + 1 = 2"})[1][1] == "1 + 1 = 2"


def test_parquet_keeps_types_and_texts() -> None:
    rows: list[dict[str, Any]] = [
        {"id": 1, "text": "=1", "good": None, "score": 2},
        {"id": None, "text": {"a": 1}, "good": True},
    ]
    content = b"".join(table_writer.parquet_table(COLUMNS, rows))
    assert parquet.read_table(io.BytesIO(content)).to_pylist() == [
        {"id": 1, "text": "=1", "good": None, "score": 2.0},
        {"id": None, "text": '{"a": 1}', "good": True, "score": None},
    ]
    empty = b"".join(table_writer.parquet_table(COLUMNS, []))
    assert parquet.read_table(io.BytesIO(empty)).column_names == list(COLUMNS)


@pytest.mark.parametrize("format", table_writer.TABLE_FORMATS)
def test_memory_does_not_grow_with_the_number_of_rows(format: str) -> None:
    def rows(count: int) -> Iterator[dict[str, Any]]:
        return ({"id": n, "text": f"{n} {'word ' * 2000}"} for n in range(count))

    def peak(count: int) -> int:
        tracemalloc.start()
        if format == "jsonl":
            parts = table_writer.json_lines(rows(count))
        elif format == "csv":
            parts = table_writer.csv_table(list(COLUMNS), rows(count))
        else:
            parts = table_writer.parquet_table(COLUMNS, rows(count))
        for _ in parts:
            pass
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    assert peak(6000) < 48 * 2**20  # 60 MB of text; a batch of Parquet is 16 MiB
