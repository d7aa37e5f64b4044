"""Best of n: expected score of the best of n answers, and the KL divergence of that choice from the policy.

All scores belong to one prompt.  The estimate averages over all subsets of n of the N sampled answers.  This
is unbiased, and has less variance than an estimate from n answers alone (arXiv:2112.09332, appendix on
rejection sampling).
"""

import math
from collections.abc import Sequence
from itertools import groupby


def expected_value(scores: Sequence[float], n: int, values: Sequence[float] | None = None) -> float:
    """Mean, over all subsets of n answers, of the score of the best answer, or of its entry in `values`.

    The answer of rank i, counted from the lowest score, is the best of C(i - 1, n - 1) of the C(N, n)
    subsets. Answers with equal scores are chosen equally often.
    """
    if not 1 <= n <= len(scores):
        raise ValueError(f"n = {n}: must be between 1 and the number of answers, {len(scores)}")
    worth = scores if values is None else values
    by_score = sorted(range(len(scores)), key=lambda i: scores[i])
    total = 0.0
    rank = 0
    for _, tied in groupby(by_score, key=lambda i: scores[i]):
        group = list(tied)
        # subsets whose best answer is in the group
        num_subsets = math.comb(rank + len(group), n) - math.comb(rank, n)
        total += num_subsets / math.comb(len(scores), n) * sum(worth[i] for i in group) / len(group)
        rank += len(group)
    return total


def kl(n: int) -> float:
    """KL divergence, in nats, of best-of-n sampling from the policy: log n - (n - 1) / n.

    Exact if no two answers have the same score; otherwise an upper bound (arXiv:2401.01879).
    """
    if n < 1:
        raise ValueError(f"n = {n}: must be at least 1")
    return math.log(n) - (n - 1) / n
