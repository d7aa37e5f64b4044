"""Records as another kind."""

import pytest

from data.test_formats import ASKED, FIVE, FOUR, WHERE
from fairlead.data.kind_conversion import as_kind, can_become
from fairlead.data.records import Comparison, Demonstration, Message, Prompt, Ranking
from fairlead.data.row_problem import BadRow

SIX = (Message("assistant", "6"),)


def test_a_ranking_gives_a_comparison_for_every_two_answers_of_different_rank() -> None:
    ranking = Ranking(ASKED, (FIVE, FOUR, SIX), (2, 1, 2), id="a")
    assert as_kind(ranking, "comparison", WHERE) == [
        Comparison(ASKED, FOUR, FIVE, id="a"),
        Comparison(ASKED, FOUR, SIX, id="a"),
    ]


def test_equal_answers_of_different_rank_give_no_comparison() -> None:
    assert as_kind(Ranking(ASKED, (FOUR, FOUR), (1, 2)), "comparison", WHERE) == []


def test_the_chosen_answer_is_a_demonstration_unless_both_are_bad() -> None:
    pair = Comparison(ASKED, FOUR, FIVE)
    assert as_kind(pair, "demonstration", WHERE) == [Demonstration(ASKED, FOUR)]
    assert as_kind(pair, "prompt", WHERE) == [Prompt(ASKED)]
    bad = Comparison(ASKED, FOUR, FIVE, tie="bad")
    with pytest.raises(BadRow, match="both answers are bad"):
        as_kind(bad, "demonstration", WHERE)
    assert can_become(bad, "demonstration", WHERE)  # the kind is right, only this row is not


def test_a_question_with_its_solution_gives_a_demonstration() -> None:
    solved = Prompt(ASKED, reference="4", metadata={"solution": "2 + 2 is 4\n#### 4"})
    (shown,) = as_kind(solved, "demonstration", WHERE)
    assert shown == Demonstration(
        ASKED, (Message("assistant", "2 + 2 is 4\n#### 4"),), metadata=solved.metadata
    )
    assert as_kind(Prompt(ASKED, reference="4"), "demonstration", WHERE) == [Demonstration(ASKED, FOUR)]
    assert not can_become(Prompt(ASKED), "demonstration", WHERE)


def test_an_answer_is_no_judgement() -> None:
    demonstration = Demonstration(ASKED, FOUR)
    assert not can_become(demonstration, "binary", WHERE)
    with pytest.raises(BadRow, match="is a demonstration, not a binary row. .* --kind demonstration --drop"):
        as_kind(demonstration, "binary", WHERE)
