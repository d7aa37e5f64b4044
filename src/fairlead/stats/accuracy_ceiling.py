"""How right a model can be about labels on which people themselves disagree.

If people choose the better answer of a pair with probability p, two of them agree with probability p^2 + (1 - p)^2, and who always says
what most people say is right with probability max(p, 1 - p).  Were all pairs equally hard, an agreement of a would mean a ceiling of
(1 + sqrt(2 a - 1)) / 2; where some are easier than others the true ceiling lies between a and that number (Jensen's inequality), so
accuracy / ceiling is rather too low than too high.
"""

import math
from collections.abc import Hashable, Sequence
from itertools import combinations
from typing import NamedTuple

from fairlead.stats import interval
from fairlead.stats.interval import Interval


class Vote(NamedTuple):
    """One person's choice between two answers."""

    pair: Hashable  # the same whichever answer was chosen
    prompt: Hashable
    rater: str
    choice: Hashable


class AccuracyCeiling(NamedTuple):
    agreement: Interval  # of two different people on the same pair; n counts pairs of answers
    accuracy: Interval  # that the labels allow


def accuracy_ceiling(votes: Sequence[Vote]) -> AccuracyCeiling | None:
    """None where no pair was judged by two different people.  A rater who meets a pair again counts once, with the first choice."""
    by_pair: dict[Hashable, dict[str, Vote]] = {}
    for vote in votes:
        by_pair.setdefault(vote.pair, {}).setdefault(vote.rater, vote)
    agreements, prompts = [], []
    for judged in by_pair.values():
        same = [one.choice == two.choice for one, two in combinations(judged.values(), 2)]
        if same:
            agreements.append(sum(same) / len(same))
            prompts.append(next(iter(judged.values())).prompt)
    if not agreements:
        return None
    agreement = interval.clustered_proportion(agreements, prompts)
    value, low, high = (ceiling_from_agreement(end) for end in agreement[:3])
    return AccuracyCeiling(agreement, Interval(value, low, high, agreement.n))


def ceiling_from_agreement(agreement: float) -> float:
    """The accuracy that an agreement allows if all pairs are equally hard; at an agreement of a half or less, a half."""
    return (1 + math.sqrt(max(0.0, 2 * agreement - 1))) / 2
