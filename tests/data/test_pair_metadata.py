from pathlib import Path
from typing import Any

from fairlead.core import jsonl
from fairlead.data.check import check_file
from fairlead.data.pair_metadata import PairMetadata, read_pair_metadata
from fairlead.data.record_reader import read_comparisons


def row(word: str, **more: Any) -> dict[str, Any]:
    chosen, rejected = ([{"role": "assistant", "content": content}] for content in (word, "no"))
    return {
        "prompt": [{"role": "user", "content": "Say it."}],
        "chosen": chosen,
        "rejected": rejected,
        **more,
    }


def noted(tmp_path: Path, *rows: dict[str, Any]) -> tuple[list[PairMetadata], int]:
    path = tmp_path / "rows.jsonl"
    jsonl.write(path, rows)
    notes = read_pair_metadata(path)
    return [notes.of(one) for one in read_comparisons(path)], notes.num_ignored


def test_tags_family_and_position_are_read(tmp_path: Path) -> None:
    found, unused = noted(
        tmp_path,
        row("a", tags=["sum", "easy"], family="sum"),
        row("b", shown_first="chosen"),
        row("c", shown_first="rejected"),
        row("d"),
    )
    assert found == [
        PairMetadata(("sum", "easy")),
        PairMetadata((), True),
        PairMetadata((), False),
        PairMetadata(),
    ]
    assert unused == 0


def test_values_of_another_form_are_counted_and_not_used(tmp_path: Path) -> None:
    found, unused = noted(
        tmp_path,
        row("a", tags="sum", family=3),
        row("b", shown_first=True),
        row("c", tags=[1]),
        row("d", tags=None),
    )
    assert found == [PairMetadata()] * 4
    assert unused == 4


def test_two_raters_of_one_pair_have_notes_of_their_own(tmp_path: Path) -> None:
    found, _ = noted(
        tmp_path, row("a", rater="ann", shown_first="chosen"), row("a", rater="bo", shown_first="rejected")
    )
    assert [note.chosen_first for note in found] == [True, False]


def test_rows_that_are_no_comparisons_have_no_notes(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    jsonl.write(path, [{"prompt": [{"role": "user", "content": "Hi"}], "tags": ["x"]}, row("a", tags=["y"])])
    assert list(read_pair_metadata(path).by_pair.values()) == [PairMetadata(("y",))]


def test_these_columns_are_not_called_unused(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    jsonl.write(path, [row("a", tags=["sum"], family="sum", shown_first="chosen", colour="red")])
    assert check_file(path).unused_columns == {"colour": 1}
