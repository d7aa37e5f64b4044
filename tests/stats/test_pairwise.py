"""Verdicts in both orders, by hand."""

import pytest

from fairlead.stats import interval, pairwise
from fairlead.stats.pairwise import BothOrders


@pytest.mark.parametrize(
    ("a_first", "b_first", "outcome"),
    [
        ("a", "a", "a"),
        ("b", "b", "b"),
        ("tie", "tie", "tie"),
        ("a", "b", "tie"),
        ("b", "a", "tie"),
        ("a", "tie", "tie"),
        ("tie", "b", "tie"),
    ],
)
def test_only_equal_verdicts_count(a_first: str, b_first: str, outcome: str) -> None:
    assert pairwise.outcome(BothOrders(a_first, b_first)) == outcome  # type: ignore[arg-type]


def test_the_win_rate_counts_ties_half() -> None:
    rate = pairwise.win_rate(["a", "a", "a", "a", "a", "a", "tie", "tie", "b", "b"], range(10))
    assert (rate.wins, rate.ties, rate.losses) == (6, 2, 2)
    assert rate == interval.win_rate([1] * 6 + [0] * 4, [0] * 6 + [0] * 2 + [1] * 2)
    assert rate.interval.value == pytest.approx(0.7)
    # 7 of 14 if 4 more were lost, and 11 of 14 if they were won
    assert pairwise.win_rate_range(rate, 4) == (7 / 14, 11 / 14)


def test_position_bias_is_the_share_of_pairs_whose_orders_disagree() -> None:
    verdicts = [BothOrders("a", "a")] * 5 + [BothOrders("a", "b")] * 3 + [BothOrders("b", "a")]
    bias = pairwise.position_bias([*verdicts, BothOrders("tie", "b")], range(10))
    assert (bias.first, bias.second, bias.tie_in_one) == (3, 1, 1)
    assert bias.share == interval.proportion(5, 10)
    assert bias.as_dict()["value"] == 0.5 and bias.as_dict()["first"] == 3


def test_a_judge_that_always_takes_the_first_answer_decides_nothing() -> None:
    verdicts = [BothOrders("a", "b")] * 20
    assert pairwise.position_bias(verdicts, range(20)).share.value == 1.0
    assert pairwise.win_rate([pairwise.outcome(verdict) for verdict in verdicts], range(20)).ties == 20
