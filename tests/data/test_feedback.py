"""Values of exports: only what is understood is read, and from text as from numbers."""

from typing import Any

import pytest

from data.conversions import WHERE
from fairlead.data.formats import feedback
from fairlead.data.formats.format import LeftOut
from fairlead.data.records import Binary, Comparison, Demonstration, Message, Rating
from fairlead.data.row_problem import BadRow

ASKED = (Message("user", "2 + 2?"),)
FOUR = (Message("assistant", "4"),)


@pytest.mark.parametrize("value", [True, 1, 1.0, "1", "true", "Good", "thumbs up", "thumbs_up", "👍", "Up"])
def test_values_that_mean_up(value: Any) -> None:
    assert feedback.as_thumb(value) is True


@pytest.mark.parametrize(
    "value", [False, 0, -1, "0", "-1", "false", "Bad", "thumbs-down", "👎", "not helpful"]
)
def test_values_that_mean_down(value: Any) -> None:
    assert feedback.as_thumb(value) is False


@pytest.mark.parametrize("value", [None, 0.5, 2, "", "perhaps", "not bad", "very good", [1], {"value": 1}])
def test_values_that_are_no_thumbs(value: Any) -> None:
    assert feedback.as_thumb(value) is None


@pytest.mark.parametrize(("value", "expected"), [(3, 3.0), ("3", 3.0), (" 0.5 ", 0.5), (-1, -1.0)])
def test_numbers_are_read_from_text(value: Any, expected: float) -> None:
    assert feedback.read_number({"score": value}, "score", WHERE) == expected


@pytest.mark.parametrize("value", [True, "many", [3], float("nan"), float("inf"), "nan"])
def test_other_values_are_no_numbers(value: Any) -> None:
    with pytest.raises(BadRow, match="score.*is not a number"):
        feedback.read_number({"score": value}, "score", WHERE)


@pytest.mark.parametrize(("value", "expected"), [(1, True), ("0", False), ("True", True), (False, False)])
def test_flags_are_read_from_text(value: Any, expected: bool) -> None:
    assert feedback.read_flag({"safe": value}, "safe", WHERE) is expected


def test_the_highest_score_has_rank_1_and_equal_scores_have_equal_ranks() -> None:
    assert feedback.ranks_of_scores([2.0, 5.0, 2.0, 9.0]) == (3, 2, 3, 1)


def test_records_of_another_kind_are_left_out_with_the_option_that_takes_them() -> None:
    thumb, mark = Binary(ASKED, FOUR, label=True), Rating(ASKED, FOUR, score=0.5)
    reason = LeftOut("judgements of another kind, which --kind rating takes")
    assert feedback.of_kind([thumb, mark], "binary") == [thumb, reason]
    assert feedback.first_kind([mark, thumb], ("comparison", "binary", "rating")) == [reason, thumb]


def test_a_record_carries_its_id_and_notes_that_are_not_empty() -> None:
    record = feedback.carrying(
        Binary(ASKED, FOUR, label=True), 7, {"page": "help", "comment": "", "tags": []}
    )
    assert (record.id, record.metadata) == ("7", {"page": "help"})
    assert feedback.carrying(record, None, {"rater": "ann"}).metadata == {"page": "help", "rater": "ann"}


def test_liked_and_better_answers_are_imitated_once_and_disliked_ones_are_counted() -> None:
    five = (Message("assistant", "5"),)
    outcomes: feedback.Outcomes = [
        Binary(ASKED, FOUR, label=True, id="a", metadata={"page": "help"}),
        Comparison(ASKED, FOUR, five),
        Binary(ASKED, five, label=False),
        Comparison(ASKED, five, FOUR, tie="bad"),
        Rating(ASKED, five, score=1.0),
    ]
    assert feedback.to_imitate(outcomes) == [
        Demonstration(ASKED, FOUR, id="a", metadata={"page": "help"}),
        LeftOut("answers with a thumbs down"),
        LeftOut("judgements that do not say which answer to imitate"),
        LeftOut("judgements that do not say which answer to imitate"),
    ]


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("user_feedback", 1, True),
        ("userFeedback", 0, False),
        ("thumbs_down", 1, False),
        ("thumbs_down", 0, None),
        ("thumbs_up", 0, None),
        ("thumbs_up", "down", False),
        ("harmful", "yes", False),
        ("harmful", "no", None),
        ("not_helpful", True, False),
        ("is_helpful", "no", False),
        ("topic", "yes", None),
        ("topic", "good", True),
    ],
)
def test_a_plain_value_means_what_its_name_says(name: str, value: Any, expected: bool | None) -> None:
    assert feedback.thumb_under(name, value) is expected


@pytest.mark.parametrize("name", ["user_edited", "is_english", "user", "page_score"])
def test_names_with_other_words_are_not_of_thumbs(name: str) -> None:
    assert not feedback.is_name_of_thumb(name)
