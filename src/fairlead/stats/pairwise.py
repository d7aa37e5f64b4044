"""Verdicts of a judge that sees two answers at once, in both orders.

A judge may favour the answer that it reads first.  A verdict counts only if it is the same in both orders;
verdicts that disagree are a tie, and their share is the position bias.
"""

from collections.abc import Hashable, Sequence
from typing import Any, Literal, NamedTuple

from fairlead.stats import interval
from fairlead.stats.interval import Interval, WinRate

Preference = Literal["a", "b", "tie"]


class BothOrders(NamedTuple):
    """What the judge preferred: BothOrders("a", "b") took the answer that it read first in both orders."""

    a_first: Preference  # when A's answer was shown first
    b_first: Preference


class PositionBias(NamedTuple):
    share: Interval  # of pairs whose orders disagree
    first: int  # pairs in which the answer shown first was preferred in both orders
    second: int
    tie_in_one: int  # pairs with a preference in one order and a tie in the other

    def as_dict(self) -> dict[str, Any]:
        counts = {"first": self.first, "second": self.second, "tie_in_one": self.tie_in_one}
        return self.share.as_dict() | counts


def outcome(verdict: BothOrders) -> Preference:
    """The verdict of both orders, or a tie where they disagree."""
    return verdict.a_first if verdict.a_first == verdict.b_first else "tie"


def win_rate(outcomes: Sequence[Preference], prompts: Sequence[Hashable]) -> WinRate:
    """Share of pairs that A wins; a tie counts half.  Pairs of the same prompt are dependent."""
    points = {"a": 1.0, "tie": 0.5, "b": 0.0}
    scores = [points[preference] for preference in outcomes]
    return interval.clustered_win_rate(scores, [1.0 - score for score in scores], prompts)


def position_bias(verdicts: Sequence[BothOrders], prompts: Sequence[Hashable]) -> PositionBias:
    """How often the orders disagree, with Wilson's interval.  Pairs of the same prompt are dependent."""
    differing = [verdict for verdict in verdicts if verdict.a_first != verdict.b_first]
    first = differing.count(BothOrders("a", "b"))
    second = differing.count(BothOrders("b", "a"))
    disagree = [float(verdict.a_first != verdict.b_first) for verdict in verdicts]
    share = interval.clustered_proportion(disagree, prompts)
    return PositionBias(share, first, second, len(differing) - first - second)


def win_rate_range(rate: WinRate, num_unknown: int) -> tuple[float, float]:
    """The win rate if all pairs without a verdict had been lost, and if they had been won."""
    n = rate.interval.n
    points = rate.wins + rate.ties / 2
    return points / (n + num_unknown), (points + num_unknown) / (n + num_unknown)
