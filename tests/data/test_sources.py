"""Folders, patterns and lists of data sets."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fairlead.core.errors import DataError
from fairlead.data import sources
from fairlead.data.file_source import SourceRow
from fairlead.data.row_problem import RowLocation, RowProblem


def no_hub(name: str) -> Iterator[SourceRow | RowProblem]:
    raise AssertionError(name)


def values(source: str | Path) -> list[Any]:
    return [row.value for row in sources.open_source(str(source), no_hub).rows if isinstance(row, SourceRow)]


def write(path: Path, *rows: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def test_a_folder_is_read_in_the_order_of_its_files(tmp_path: Path) -> None:
    write(tmp_path / "b.jsonl", {"n": 2})
    write(tmp_path / "a" / "1.jsonl", {"n": 1})
    write(tmp_path / ".hidden.jsonl", {"n": 0})
    (tmp_path / "README.md").write_text("about")
    assert values(tmp_path) == [{"n": 1}, {"n": 2}]
    assert values(tmp_path / "*.jsonl") == [{"n": 2}]
    assert values(tmp_path / "**" / "*.jsonl") == [{"n": 1}, {"n": 2}]


def test_a_file_whose_name_has_brackets_is_no_pattern(tmp_path: Path) -> None:
    assert values(write(tmp_path / "a[1].jsonl", {"n": 1})) == [{"n": 1}]


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ([], "has no file with rows"),
        (["a.jsonl", "b.csv"], "holds files of the types .csv and .jsonl. Name one type with a pattern"),
        (["train.jsonl", "test.jsonl"], "holds files of the splits test and train, which belong apart"),
        (["data/train-0.jsonl", "data/validation-0.jsonl"], "splits train and validation"),
    ],
)
def test_a_folder_that_would_be_guessed_at_is_refused(
    tmp_path: Path, names: list[str], expected: str
) -> None:
    for name in names:
        write(tmp_path / name, {"n": 1})
    with pytest.raises(DataError, match=expected):
        values(tmp_path)


def test_a_pattern_that_no_file_has_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no file has such a name"):
        values(tmp_path / "*.jsonl")


def test_a_saved_data_set_is_read_and_its_splits_are_named(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets", reason="the extra `hub` is not installed")
    rows = [{"n": number} for number in range(5)]
    saved = datasets.Dataset.from_list(rows)
    saved.save_to_disk(tmp_path / "alone", num_shards=2)
    assert values(tmp_path / "alone") == rows
    datasets.DatasetDict({"train": saved, "test": saved}).save_to_disk(tmp_path / "both")
    assert values(tmp_path / "both" / "train") == rows
    with pytest.raises(DataError, match="holds the splits test, train. Name one of them"):
        values(tmp_path / "both")


def info(folder: Path, **entries: Any) -> Path:
    (folder / "dataset_info.json").write_text(json.dumps(entries))
    return folder / "dataset_info.json"


def test_an_entry_of_a_list_of_data_sets_is_read(tmp_path: Path) -> None:
    write(tmp_path / "a.json", {"q": "2 + 2?", "a": "4"})
    mine = {"file_name": "a.json", "columns": {"prompt": "q", "response": "a"}, "num_samples": 7}
    path = info(tmp_path, mine=mine, other={})
    source = sources.open_source(f"{path}:mine", no_hub)
    assert (source.format, source.num_samples, source.is_hub) == ("alpaca", 7, False)
    assert [row.value for row in source.rows if isinstance(row, SourceRow)] == [
        {"instruction": "2 + 2?", "output": "4"}
    ]
    with pytest.raises(DataError, match="lists data sets. Name one of them as .*: mine, other"):
        values(path)
    with pytest.raises(DataError, match="has no data set yours. It has mine, other"):
        values(f"{path}:yours")
    with pytest.raises(DataError, match="other: has neither file_name nor hf_hub_url"):
        values(f"{path}:other")


def test_an_entry_may_name_a_data_set_of_the_hub(tmp_path: Path) -> None:
    def read_hub(name: str) -> Iterator[SourceRow | RowProblem]:
        yield SourceRow(RowLocation(name, 1), {"instruction": name})

    path = info(tmp_path, mine={"hf_hub_url": "owner/name", "subset": "en", "split": "test"})
    source = sources.open_source(f"{path}:mine", read_hub)
    assert source.is_hub
    (row,) = source.rows
    assert isinstance(row, SourceRow) and row.value == {"instruction": "hf:owner/name@en:test"}


def test_an_entry_may_not_lead_out_of_its_folder(tmp_path: Path) -> None:
    write(tmp_path / "a.json", {"n": 1})
    (tmp_path / "list").mkdir()
    with pytest.raises(DataError, match="lies outside the folder"):
        values(f"{info(tmp_path / 'list', mine={'file_name': '../a.json'})}:mine")
