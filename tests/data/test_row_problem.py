import pytest

from fairlead.data.row_problem import BadRow, RowLocation, RowProblem, bad_rows_error, reject_row, shorten


def test_a_problem_is_one_line_with_place_field_value_reason_and_remedy() -> None:
    problem = RowProblem(
        "comparisons.jsonl", 412, "chosen", "Yes.\nNo.", "chosen and rejected are equal", "Mark it a tie."
    )
    assert (
        str(problem)
        == r'comparisons.jsonl:412: chosen: "Yes.\nNo.": chosen and rejected are equal. Mark it a tie.'
    )


def test_a_problem_with_nothing_there_shows_no_value() -> None:
    assert (
        str(RowProblem("a.jsonl", 1, "chosen", None, "is missing", "Add it."))
        == "a.jsonl:1: chosen: is missing. Add it."
    )


def test_a_problem_of_the_whole_row_shows_no_field() -> None:
    assert (
        str(RowProblem("a.jsonl", 1, "", [1], "is a JSON list", "Use objects."))
        == "a.jsonl:1: [1]: is a JSON list. Use objects."
    )


def test_a_long_value_is_cut_to_sixty_characters() -> None:
    assert shorten("x" * 58) == '"' + "x" * 58 + '"'
    assert shorten("x" * 59) == '"' + "x" * 58 + "…"


def test_a_value_that_is_no_json_is_still_shown() -> None:
    assert shorten({1j}) == '"{1j}"'


def test_fail_raises_with_the_problem() -> None:
    with pytest.raises(BadRow, match=r"^a.jsonl:3: score: 2: is out of range. Write less.$") as caught:
        reject_row(RowLocation("a.jsonl", 3), "score", 2, "is out of range", "Write less.")
    assert caught.value.problem.line == 3


def test_many_bad_rows_are_counted_and_the_first_ten_shown() -> None:
    problems = [RowProblem("a.jsonl", line, "", None, "is bad", "Mend it.") for line in range(1, 13)]
    lines = str(bad_rows_error(problems, 12, 40, "Nothing was written.")).splitlines()
    assert len(lines) == 11
    assert lines[9] == "a.jsonl:10: is bad. Mend it."
    assert lines[10] == "12 of 40 rows cannot be used (first 10 shown). Nothing was written."


def test_few_bad_rows_are_all_shown() -> None:
    problem = RowProblem("a.jsonl", 1, "", None, "is bad", "Mend it.")
    assert str(bad_rows_error([problem], 1, 2, "Stop.")).endswith("\n1 of 2 rows cannot be used. Stop.")
