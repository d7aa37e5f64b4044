"""PRM800K: ratings of each alternative become labels."""

import copy

import pytest

from data.conversions import converted, judged, left_out, problem
from data.set_samples import prm800k


def test_the_chosen_steps_are_one_row_and_each_alternative_is_another() -> None:
    first, second = "2 + 3 = 5.", "5 + 4 = 9."
    assert judged("prm800k", prm800k()) == [
        [("2 + 3 = 6.", False)],
        [(first, True), ("5 + 4 = 8.", False)],
        [(first, True), ("Now we add 4.", True)],
        [(first, True), (second, True)],
    ]
    records = converted("prm800k", prm800k())
    assert [record.metadata["ratings"] for record in records if record.metadata] == [
        [-1],
        [1, -1],
        [1, 0],
        [1, 1],
    ]
    assert all(record.metadata and record.metadata["rater"] == "d8aa7923" for record in records)


def test_the_labels_end_where_the_labeller_found_an_error() -> None:
    row = copy.deepcopy(prm800k())
    row["label"]["steps"][1] |= {"human_completion": None}
    row["label"] |= {"finish_reason": "found_error"}
    assert judged("prm800k", row) == [
        [("2 + 3 = 6.", False)],
        [("2 + 3 = 5.", True), ("5 + 4 = 8.", False)],
        [("2 + 3 = 5.", True), ("Now we add 4.", True)],
    ]


@pytest.mark.parametrize(
    ("reason", "expected"),
    [("bad_problem", "problems that the labeller found faulty"), ("give_up", "problems given up")],
)
def test_problems_without_a_judgement_are_counted(reason: str, expected: str) -> None:
    row = prm800k()
    row["label"] |= {"finish_reason": reason}
    assert left_out("prm800k", row) == [expected]


def test_a_rating_of_another_scale_is_refused() -> None:
    row = copy.deepcopy(prm800k())
    row["label"]["steps"][0]["completions"][0]["rating"] = 5
    assert problem("prm800k", row).startswith("label.steps[0].completions[0].rating: 5: is not a rating")
