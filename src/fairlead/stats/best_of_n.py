"""Best of n: what the best of n answers is worth, and how far choosing it moves a policy.  Scores are one prompt's.

All N answers that were sampled serve every n up to N: an estimate from each subset of n, averaged over all subsets, has no bias and
less variance than one from n answers alone (arXiv:2112.09332, appendix on rejection sampling).
"""

import math
from collections.abc import Sequence
from itertools import groupby


def expected_value(scores: Sequence[float], n: int, values: Sequence[float] | None = None) -> float:
    """Mean over all subsets of n answers of the best one's score, or of its entry in `values`.

    The answer of rank i, counted from the lowest, is the best of C(i - 1, n - 1) of the C(N, n) subsets.  Answers of equal score are
    chosen equally often.
    """
    if not 1 <= n <= len(scores):
        raise ValueError(f"n = {n}: must lie between 1 and the number of answers, {len(scores)}")
    judged = scores if values is None else values
    total, rank = 0.0, 0
    for _, tied in groupby(sorted(range(len(scores)), key=lambda i: scores[i]), key=lambda i: scores[i]):
        group = list(tied)
        subsets = math.comb(rank + len(group), n) - math.comb(
            rank, n
        )  # those whose best answer is in the group
        total += subsets / math.comb(len(scores), n) * sum(judged[i] for i in group) / len(group)
        rank += len(group)
    return total


def kl(n: int) -> float:
    """KL of the best of n answers from the policy that they were sampled from, in nats: log n - (n - 1) / n.

    Exact where no two answers can score the same; an upper bound where they can (arXiv:2401.01879).
    """
    if n < 1:
        raise ValueError(f"n = {n}: must be at least 1")
    return math.log(n) - (n - 1) / n
