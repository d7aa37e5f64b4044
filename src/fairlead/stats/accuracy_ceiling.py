"""The highest accuracy that any model can reach on labels on which raters disagree.

Suppose raters choose the better answer of a pair with probability p.  Two raters agree with probability a =
p^2 + (1 - p)^2.  A model that always predicts the majority choice is right with probability max(p, 1 - p). If
all pairs are equally hard, the ceiling is therefore (1 + sqrt(2 a - 1)) / 2.  If some pairs are easier than
others, the true ceiling lies between a and that number (Jensen's inequality).  The ratio accuracy / ceiling
is then too low rather than too high.
"""

import math
from collections.abc import Hashable, Sequence
from itertools import combinations
from typing import NamedTuple

from fairlead.stats import interval
from fairlead.stats.interval import Interval


class Vote(NamedTuple):
    """One rater's choice between two answers."""

    pair: Hashable  # identifies the pair; does not depend on the choice
    prompt: Hashable
    rater: str
    choice: Hashable


class AccuracyCeiling(NamedTuple):
    agreement: Interval  # of two different raters on the same pair; n counts pairs of answers
    accuracy: Interval  # the ceiling


def accuracy_ceiling(votes: Sequence[Vote]) -> AccuracyCeiling | None:
    """Agreement of the raters and the ceiling that it implies; None if no pair has votes of two raters.

    Of several votes of one rater on a pair, the first counts.
    """
    by_pair: dict[Hashable, dict[str, Vote]] = {}
    for vote in votes:
        by_pair.setdefault(vote.pair, {}).setdefault(vote.rater, vote)
    agreements = []
    prompts = []
    for vote_of_rater in by_pair.values():
        agrees = [vote.choice == other.choice for vote, other in combinations(vote_of_rater.values(), 2)]
        if agrees:
            agreements.append(sum(agrees) / len(agrees))
            prompts.append(next(iter(vote_of_rater.values())).prompt)
    if not agreements:
        return None
    agreement = interval.clustered_proportion(agreements, prompts)
    value, low, high = (ceiling_from_agreement(end) for end in agreement[:3])
    return AccuracyCeiling(agreement, Interval(value, low, high, agreement.n))


def ceiling_from_agreement(agreement: float) -> float:
    """The ceiling if all pairs are equally hard; 0.5 if the agreement is 0.5 or less."""
    return (1 + math.sqrt(max(0.0, 2 * agreement - 1))) / 2
