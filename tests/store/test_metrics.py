from pathlib import Path

import pytest

from fairlead.core.errors import DataError, NonFiniteStep
from fairlead.store.metrics import append_metrics, drop_unfinished_line, read_metrics, rewind_metrics


def test_rows_are_read_back_in_order(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    append_metrics(path, 1, {"loss": 2.5, "num_pairs": 64})
    append_metrics(path, 2, {"loss": 0.1})
    assert path.read_text() == '{"step": 1, "loss": 2.5, "num_pairs": 64}\n{"step": 2, "loss": 0.1}\n'
    assert read_metrics(path) == [{"step": 1, "loss": 2.5, "num_pairs": 64}, {"step": 2, "loss": 0.1}]
    assert read_metrics(tmp_path / "none.jsonl") == []


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_a_value_that_is_no_number_is_refused_and_not_written(tmp_path: Path, value: float) -> None:
    with pytest.raises(NonFiniteStep, match=r"^step 318: loss is -?(nan|inf), "):
        append_metrics(tmp_path / "metrics.jsonl", 318, {"kl": 0.1, "loss": value})
    assert read_metrics(tmp_path / "metrics.jsonl") == []


def test_a_half_written_row_does_not_count(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    for half in (
        "{",
        '{"step": 2',
        '{"step": 2, "loss": 1.0}',
    ):  # the last is whole but for its newline: it may go on
        path.write_text('{"step": 1}\n' + half)
        assert read_metrics(path) == [{"step": 1}]
        rewind_metrics(path, 5)
        assert path.read_text() == '{"step": 1}\n'


def test_rewind_keeps_the_rows_up_to_the_step_byte_for_byte(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    rows = ['{"step":1,  "x":1e0}\n', '{"step": 2}\n', '{"step": 2, "gold": 1}\n', '{"step": 3}\n']
    for step, kept in ((0, 0), (1, 1), (2, 3), (3, 4), (9, 4)):
        path.write_text("".join(rows))
        rewind_metrics(path, step)
        assert path.read_text() == "".join(rows[:kept])
    rewind_metrics(tmp_path / "none.jsonl", 1)
    assert not (tmp_path / "none.jsonl").exists()


@pytest.mark.parametrize("line", ["nonsense", "[]", '{"loss": 1}', '{"step": "1"}', "3"])
def test_a_row_changed_by_hand_is_told_by_its_line(tmp_path: Path, line: str) -> None:
    (tmp_path / "metrics.jsonl").write_text('{"step": 1}\n' + line + '\n{"step": 2}\n')
    with pytest.raises(DataError, match=r"metrics\.jsonl:2: "):
        read_metrics(tmp_path / "metrics.jsonl")


def test_an_unfinished_last_line_is_dropped_from_any_file_of_lines(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    for before, after in (("", ""), ("a", ""), ("a\n", "a\n"), ("a\nb", "a\n")):
        path.write_text(before)
        drop_unfinished_line(path)
        assert path.read_text() == after
    drop_unfinished_line(tmp_path / "none")
    assert not (tmp_path / "none").exists()
