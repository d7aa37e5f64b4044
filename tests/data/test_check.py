import json
from pathlib import Path
from typing import Any

import pytest

from fairlead.core import jsonl
from fairlead.core.errors import DataError
from fairlead.data import check
from fairlead.data.check import Lengths, check_file, drop_bad
from fairlead.data.records import Comparison, Demonstration, Message, Ranking, Stepwise, to_row


def pair(prompt: str, chosen: str, rejected: str, **optional: Any) -> dict[str, Any]:
    asked, good, bad = (
        (Message("user", prompt),),
        (Message("assistant", chosen),),
        (Message("assistant", rejected),),
    )
    return to_row(Comparison(asked, good, bad)) | optional


def write(path: Path, *rows: Any) -> Path:
    jsonl.write(path, rows)
    return path


def test_a_clean_file_by_hand(tmp_path: Path) -> None:
    rows = [
        pair("aa", "b", "ccc"),
        pair("aa", "dddd", "e"),
        pair("aaaaaa", "ff", "gg"),
        pair("x", "h", "ij", tie="good"),
    ]
    report = check_file(write(tmp_path / "a.jsonl", *rows))
    assert (report.kind, report.num_rows, report.num_bad, report.num_good) == ("comparison", 4, 0, 4)
    assert (report.num_prompts, report.num_sharing_prompt) == (3, 2)
    # Sorted: prompts 1 2 2 6, chosen 1 1 2 4, rejected 1 2 2 3.
    assert report.lengths == {
        "prompt": Lengths(2.0, 6),
        "chosen": Lengths(1.5, 4),
        "rejected": Lengths(2.0, 3),
    }
    longer = report.longer_chosen
    assert longer is not None
    assert (longer.num_longer, longer.num_shorter, longer.num_equal, longer.n) == (1, 1, 1, 3)
    assert longer.longer_frac == pytest.approx(1 / 3, abs=1e-12)
    assert report.warnings == ()


def test_bad_rows_are_listed_by_line_and_left_out_of_the_counts(tmp_path: Path) -> None:
    path = write(
        tmp_path / "a.jsonl",
        pair("a", "b", "c"),
        pair("a", "b", "b"),
        4,
        {"prompt": pair("a", "b", "c")["prompt"]},
    )
    report = check_file(path)
    assert (report.num_rows, report.num_bad, report.num_good, report.num_prompts) == (4, 3, 1, 1)
    assert [(problem.line, problem.field) for problem in report.problems] == [
        (2, "chosen"),
        (3, ""),
        (4, "chosen"),
    ]


def test_kept_problems_are_limited_and_all_are_counted(tmp_path: Path) -> None:
    report = check_file(write(tmp_path / "a.jsonl", *[pair("a", "b", "b")] * (check.MAX_PROBLEMS + 1)))
    assert (len(report.problems), report.num_bad) == (check.MAX_PROBLEMS, check.MAX_PROBLEMS + 1)
    assert report.longer_chosen is not None and report.longer_chosen.longer_frac is None


def test_repeated_rows_are_named(tmp_path: Path) -> None:
    report = check_file(
        write(tmp_path / "a.jsonl", *[pair("a", "b", "c")] * 5, pair("a", "b", "c", rater="ann"))
    )
    assert report.num_repeated == 4
    assert report.warnings == (
        "4 rows repeat an earlier row: line 2 repeats line 1; line 3 repeats line 1; line 4 repeats "
        "line 1; ….",
    )


def test_a_pair_decided_both_ways_is_named(tmp_path: Path) -> None:
    rows = [pair("a", "b", "c"), pair("other", "c", "b"), pair("a", "c", "b"), pair("a", "c", "b", tie="bad")]
    report = check_file(write(tmp_path / "a.jsonl", *rows))
    assert report.num_contradictions == 1
    assert report.warnings == ("1 comparison contradicts an earlier one: line 3 contradicts line 1.",)


def test_unused_columns_are_counted(tmp_path: Path) -> None:
    report = check_file(
        write(tmp_path / "a.jsonl", pair("a", "b", "c", wieght=2), pair("d", "b", "c", wieght=2, note=1))
    )
    assert report.unused_columns == {"wieght": 2, "note": 1}
    assert report.warnings == (
        "Columns that a comparison does not have are ignored: note (1 row), wieght (2 rows).",
    )


@pytest.mark.parametrize(("chosen", "rejected", "word"), [("long", "s", "longer"), ("s", "long", "shorter")])
def test_an_answer_length_that_decides_is_a_warning(
    tmp_path: Path, chosen: str, rejected: str, word: str
) -> None:
    # 30 of 50 is 60 %, where the warning begins; 29 of 50 is below.
    rows = [pair(f"{n}", chosen, rejected) for n in range(30)] + [
        pair(f"{n}", rejected, chosen) for n in range(30, 50)
    ]
    (warning,) = check_file(write(tmp_path / "a.jsonl", *rows)).warnings
    assert warning.startswith(f"The {word} answer is chosen in 30 of 50 pairs (60%)")
    rows[29] = pair("29", rejected, chosen)
    assert check_file(write(tmp_path / "a.jsonl", *rows)).warnings == ()


def test_other_kinds_have_lengths_too(tmp_path: Path) -> None:
    conversation = Demonstration((), (Message("user", "aaa"), Message("assistant", "b")))
    report = check_file(write(tmp_path / "a.jsonl", to_row(conversation)))
    assert (report.kind, report.lengths, report.longer_chosen) == (
        "demonstration",
        {"completion": Lengths(4, 4)},
        None,
    )
    ranking = Ranking(
        (Message("user", "aaa"),), ((Message("assistant", "b"),), (Message("assistant", "cc"),)), (1, 2)
    )
    report = check_file(write(tmp_path / "a.jsonl", to_row(ranking)))
    assert report.lengths == {"prompt": Lengths(3, 3), "completion": Lengths(1.5, 2)}
    steps = Stepwise((Message("user", "aaa"),), ("b", "ccc", "dd"), (True, True, False))
    report = check_file(write(tmp_path / "a.jsonl", to_row(steps)))
    assert (report.kind, report.num_bad, report.unused_columns) == ("stepwise", 0, {})
    assert report.lengths == {"prompt": Lengths(3, 3), "step": Lengths(2, 3)}


def test_a_row_of_another_kind_is_a_problem(tmp_path: Path) -> None:
    rating = {
        "prompt": pair("a", "b", "c")["prompt"],
        "completion": pair("a", "b", "c")["chosen"],
        "score": 1,
    }
    demonstration = {key: value for key, value in rating.items() if key != "score"}
    report = check_file(write(tmp_path / "a.jsonl", demonstration, demonstration, rating))
    assert [str(problem) for problem in report.problems] == [
        f"{tmp_path / 'a.jsonl'}:3: is a rating among demonstrations. Keep each kind in a separate file."
    ]


def test_a_file_whose_rows_tell_no_kind(tmp_path: Path) -> None:
    report = check_file(write(tmp_path / "a.jsonl", {"question": "a"}, {}))
    assert (report.kind, report.num_bad, report.warnings) == (None, 2, ())
    assert "no kind of row has these columns: question. Use `fairlead data import`." in str(
        report.problems[0]
    )


def test_an_empty_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="a.jsonl: has no rows"):
        check_file(write(tmp_path / "a.jsonl"))


def test_dropping_keeps_good_rows_as_they_are_and_the_bad_ones_with_reasons(tmp_path: Path) -> None:
    good, bad = pair("a", "b", "c", id=7), pair("a", "b", "b")
    path, out = write(tmp_path / "a.jsonl", good, bad), tmp_path / "clean.jsonl"
    written = drop_bad(path, out)
    assert (written.num_read, written.num_written, written.num_dropped) == (2, 1, 1)
    assert json.loads(out.read_text()) == good
    assert written.rejected_path == tmp_path / "clean.rejected.jsonl"
    assert json.loads(written.rejected_path.read_text())["row"] == bad
