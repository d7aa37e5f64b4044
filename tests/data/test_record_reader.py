from pathlib import Path
from typing import Any

import pytest

from fairlead.core import jsonl
from fairlead.core.errors import DataError
from fairlead.data.record_reader import (
    read_comparisons,
    read_demonstrations,
    read_prompts,
    read_records,
    read_stepwise,
)
from fairlead.data.record_writer import write_records
from fairlead.data.records import Comparison, Demonstration, Message, Prompt, RecordKind

ASKED = (Message("user", "2 + 2?"),)
FOUR = (Message("assistant", "4"),)
PAIR = Comparison(ASKED, FOUR, (Message("assistant", "5"),), rater="ann")


def row(**columns: Any) -> dict[str, Any]:
    return {"prompt": [{"role": "user", "content": "2 + 2?"}]} | columns


def test_written_records_are_read_back(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    assert write_records(path, [PAIR, PAIR]) == 2
    assert read_comparisons(path) == [PAIR, PAIR]
    assert read_prompts(path) == [Prompt(ASKED), Prompt(ASKED)]
    write_records(path, [Demonstration(ASKED, FOUR), Demonstration((), ASKED + FOUR)])
    assert read_demonstrations(path) == [Demonstration(ASKED, FOUR), Demonstration((), ASKED + FOUR)]


def test_all_bad_rows_are_reported_at_once(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    jsonl.write(path, [row(chosen=[]), [1], *[row() for _ in range(10)], {"prompt": 4}])
    with pytest.raises(DataError) as caught:
        read_records(path, "comparison")
    reported = str(caught.value).splitlines()
    assert reported[0].startswith(f"{path}:1: chosen: []: is not a list of messages")
    assert reported[1].startswith(f"{path}:2: [1]: is a JSON list, not an object")
    assert reported[2].startswith(f"{path}:3: chosen: is missing")
    assert len(reported) == 11
    assert reported[10].startswith("13 of 13 rows cannot be used (first 10 shown).")


def test_a_file_without_rows_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text("\n")
    with pytest.raises(DataError, match="a.jsonl: has no rows. Name a file of comparisons."):
        read_comparisons(tmp_path / "a.jsonl")


def test_kinds_without_a_plural_are_rows(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    jsonl.write(path, [row(completions=["So 5."], labels=[True])])
    assert [one.labels for one in read_stepwise(path)] == [(True,)]
    jsonl.write(path, [row(completions=["So 5.", "Yes."], labels=[True, False], ranks=[1, 2])])
    with pytest.raises(
        DataError, match="a.jsonl: holds rankings, and stepwise rows are needed. Name a file of"
    ):
        read_stepwise(path)


@pytest.mark.parametrize(
    ("columns", "kind", "expected"),
    [
        (
            {"completion": [{"role": "assistant", "content": "4"}]},
            "comparison",
            "holds demonstrations, and comparisons are needed. Name a file of comparisons.",
        ),
        (
            {
                "chosen": [{"role": "assistant", "content": "4"}],
                "rejected": [{"role": "assistant", "content": "5"}],
            },
            "demonstration",
            "holds comparisons, and demonstrations are needed. Take the chosen answers with",
        ),
        (
            {"response": "4", "id": "a"},
            "demonstration",
            "holds prompts, and demonstrations are needed. If response holds the answer, convert",
        ),
        (
            {"prompt": "2 + 2?", "completion": "4"},
            "demonstration",
            "is not in the layout of native rows; its columns are prompt, completion. Convert it with",
        ),
    ],
)
def test_a_file_of_another_kind_is_one_sentence(
    tmp_path: Path, columns: dict[str, Any], kind: RecordKind, expected: str
) -> None:
    path = tmp_path / "a.jsonl"
    jsonl.write(path, [row(**columns) for _ in range(12)])
    with pytest.raises(DataError) as caught:
        read_records(path, kind)
    assert str(caught.value).startswith(f"{path}: {expected}") and "\n" not in str(caught.value)


def test_a_thumb_down_does_not_pass_for_a_demonstration(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    answer = [{"role": "assistant", "content": "5"}]
    jsonl.write(path, [row(completion=answer), row(completion=answer, label=False)])
    with pytest.raises(DataError, match="a.jsonl:2: is a binary row among demonstrations"):
        read_demonstrations(path)
