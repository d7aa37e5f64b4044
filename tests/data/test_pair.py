"""Two conversations as one comparison, and the scores beside them."""

from typing import Any

import pytest

from data.test_formats import ASKED, FIVE, FOUR, WHERE
from fairlead.data.formats import pair
from fairlead.data.records import Comparison
from fairlead.data.row_problem import BadRow


@pytest.mark.parametrize(
    "row", [{}, {"score_chosen": 2, "score_rejected": 1}, {"chosen-rating": "5", "rejected-rating": "5"}]
)
def test_shared_turns_are_the_prompt(row: dict[str, Any]) -> None:
    assert pair.compare_conversations(ASKED + FOUR, ASKED + FIVE, row, WHERE) == Comparison(ASKED, FOUR, FIVE)


def test_scores_may_not_say_the_opposite() -> None:
    with pytest.raises(BadRow, match="rejected_rating: 4.0: is higher than chosen_rating, which is 3.0"):
        pair.check_scores({"chosen_rating": "3", "rejected_rating": "4"}, WHERE)
