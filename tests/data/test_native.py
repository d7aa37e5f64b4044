"""Native rows: what is recognised as native, and what the format `plain` reads instead."""

from typing import Any

import pytest

from data.test_formats import ASKED, FIVE, FOUR, SAYS_4, SAYS_5, USER, WHERE, problem
from fairlead.data.importer import FORMATS, first_format
from fairlead.data.records import Comparison

PAIR = {"prompt": [USER], "chosen": [SAYS_4], "rejected": [SAYS_5]}


@pytest.mark.parametrize(
    ("row", "format"),
    [
        (PAIR, "native"),
        (PAIR | {"chosen": "4"}, "plain"),
        (PAIR | {"system": "Be brief."}, "plain"),
        ({"prompt": [USER], "completion": [SAYS_4], "label": True}, "native"),
        ({"prompt": [USER], "completion": [SAYS_4], "label": 1}, "plain"),
        ({"prompt": [USER], "completions": [[SAYS_4], [SAYS_5]], "ranks": [1, 2]}, "native"),
        ({"prompt": [USER], "completions": ["4", "5"], "ranks": [1, 2]}, "plain"),
        ({"prompt": [USER], "completions": ["So 4."], "labels": [True]}, "native"),
    ],
)
def test_native_rows_have_messages_and_labels_of_the_right_type(row: dict[str, Any], format: str) -> None:
    assert first_format(row) == format


def test_scores_beside_a_native_pair_may_not_say_the_opposite() -> None:
    scores = {"score_chosen": 2, "score_rejected": 1}
    assert FORMATS["native"].convert(PAIR | scores, WHERE) == Comparison(ASKED, FOUR, FIVE)
    assert problem("native", PAIR | {"score_chosen": 0, "score_rejected": 1}).startswith(
        "score_rejected: 1: is"
    )
