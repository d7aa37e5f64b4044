"""Parquet files, Arrow files and the folders of `save_to_disk`."""

from datetime import date
from pathlib import Path
from typing import Any

import pytest

from fairlead.core.errors import DataError
from fairlead.data import file_source
from fairlead.data.file_source import SourceRow

arrow = pytest.importorskip("pyarrow", reason="the extra `hub` is not installed")
arrow_source = pytest.importorskip("fairlead.data.arrow_source", reason="the extra `hub` is not installed")

ROWS = [{"prompt": f"{number}?", "turns": [{"role": "user", "content": "é"}]} for number in range(600)]


def values(path: Path) -> list[Any]:
    return [row.value for row in file_source.read_file_rows(path) if isinstance(row, SourceRow)]


def test_a_parquet_file_is_read_in_its_order(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    arrow.parquet.write_table(arrow.Table.from_pylist(ROWS), path)
    assert values(path) == ROWS


def test_an_arrow_file_of_either_layout_is_read(tmp_path: Path) -> None:
    table = arrow.Table.from_pylist(ROWS)
    with arrow.ipc.new_stream(tmp_path / "stream.arrow", table.schema) as stream:
        stream.write_table(table)
    with arrow.ipc.new_file(tmp_path / "file.arrow", table.schema) as file:
        file.write_table(table)
    assert values(tmp_path / "stream.arrow") == values(tmp_path / "file.arrow") == ROWS


def test_values_that_json_lacks_are_made_ready_for_it(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    row = {"score": float("nan"), "at": date(2024, 5, 1)}
    arrow.parquet.write_table(arrow.Table.from_pylist([row]), path)
    assert values(path) == [{"score": None, "at": "2024-05-01"}]


@pytest.mark.parametrize("name", ["a.parquet", "a.arrow"])
def test_a_damaged_file_is_one_sentence(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"PAR1 nothing of the kind" * 10)
    with pytest.raises(DataError, match=f"{name}: cannot be read as (Parquet|Arrow)") as caught:
        values(tmp_path / name)
    assert "\n" not in str(caught.value)
    with pytest.raises(DataError, match="no such file"):
        values(tmp_path / f"absent.{name}")


def test_the_files_of_a_saved_data_set_are_those_of_its_state(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets", reason="the extra `hub` is not installed")
    datasets.Dataset.from_list(ROWS).save_to_disk(tmp_path / "saved", num_shards=2)
    paths = arrow_source.saved_files(tmp_path / "saved")
    assert [value for path in paths for value in values(path)] == ROWS


SHARED = "a long text " * 10_000  # 120 kB


def test_a_text_that_many_rows_share_counts_for_each(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    indices = arrow.array([0, 1] * 20_000, arrow.int32())
    texts = arrow.DictionaryArray.from_arrays(indices, arrow.array([SHARED, "short"]))
    nested = arrow.ListArray.from_arrays(arrow.array(range(40_001), arrow.int32()), texts)
    arrow.parquet.write_table(arrow.table({"prompt": texts, "answers": nested}), path)
    assert path.stat().st_size < 10**6
    num_rows, num_bytes = arrow_source.parquet_size(path, max_bytes=10**12)
    assert num_rows == 40_000 and 4.8e9 < num_bytes < 4.9e9  # 2 columns x 20,000 x 120 kB
    _, num_bytes = arrow_source.parquet_size(path, max_bytes=10**9)
    assert num_bytes > 10**9  # and no more of the file is read than that takes


def test_long_shared_texts_are_copied_a_few_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.parquet"
    rows = [{"prompt": SHARED, "answers": [{"text": SHARED}], "n": number} for number in range(40)]
    arrow.parquet.write_table(arrow.Table.from_pylist(rows), path)
    monkeypatch.setattr(arrow_source, "MAX_BATCH_BYTES", 3 * 240_100)
    assert values(path) == rows
    monkeypatch.setattr(arrow_source, "MAX_BATCH_BYTES", 200_000)
    with pytest.raises(DataError, match="row 1 has more than"):
        values(path)


def test_texts_that_are_stored_as_differences_are_read_and_counted(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    table = arrow.table({"prompt": [f"{SHARED}{number}" for number in range(300)]})
    arrow.parquet.write_table(
        table, path, use_dictionary=False, column_encoding={"prompt": "DELTA_BYTE_ARRAY"}
    )
    assert path.stat().st_size < 10**6
    _, num_bytes = arrow_source.parquet_size(path, max_bytes=10**12)
    assert num_bytes > 300 * len(SHARED)
    assert values(path) == table.to_pylist()


def test_many_empty_cells_count(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    arrow.parquet.write_table(arrow.table({"n": arrow.nulls(10**6, arrow.int64())}), path)
    assert path.stat().st_size < 10**4
    assert arrow_source.parquet_size(path, max_bytes=10**12)[1] >= 8 * 10**6
