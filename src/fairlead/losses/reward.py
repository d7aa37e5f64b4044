"""Reward-model losses.  B = items (comparisons or rankings), K = answers of an item.  Returns one value per item, unreduced.

A comparison enters as the logit z of "the chosen answer is better": r_chosen - r_rejected in the plain case.  What a rater's error
rate, a margin or a sensitivity does to z or to its probability is said at each function.
"""

import torch
from torch import Tensor
from torch.nn import functional as F


def bradley_terry(chosen: Tensor, rejected: Tensor) -> Tensor:
    """-log sigma(r_chosen - r_rejected): [B], [B] -> [B].  Eq. 1 of arXiv:2203.02155."""
    return -F.logsigmoid(chosen - rejected)


def margin_logits(chosen: Tensor, rejected: Tensor, margins: Tensor, *, scale: float) -> Tensor:
    """r_chosen - r_rejected - scale * margin: what is much better has to be ahead by more.  Eq. 2 of arXiv:2307.09288.  [B] each"""
    return chosen - rejected - scale * margins


def noisy_label(logits: Tensor, targets: Tensor, errors: Tensor) -> Tensor:
    """-t log P - (1 - t) log(1 - P), with P = (1 - e) sigma(z) + e sigma(-z).  [B] each -> [B]

    e is the probability that the label says the opposite of what was meant.  t is how sure the label itself is: 1 for a choice,
    1 - a under label smoothing, (1 + v) / 2 for a judgement v in -1..1.  The mixture is the likelihood of flipped labels: it is never
    negative, and a pair that the model is sure was flipped stops pulling.  The unbiased loss of arXiv:2403.00409 (rDPO) has the same
    minimum on endless data, but falls without bound on the single pair.
    """
    return -targets * _log_mixture(logits, errors) - (1 - targets) * _log_mixture(-logits, errors)


def davidson(logits: Tensor, ties: Tensor, errors: Tensor, tie_logit: Tensor) -> Tensor:
    """Bradley-Terry with ties (Davidson, JASA 65, 1970).  `ties` is True where neither was better.  [B], [B], [B], [] -> [B]

    P(chosen), P(tie), P(rejected) = softmax(z / 2, nu, -z / 2), where nu is how readily people call a tie.  Where somebody decided, the
    odds stay e^z, so that ties do not change the unit of the scores.  A label's error swaps the sides and leaves a tie a tie.
    """
    outcomes = torch.stack([logits / 2, tie_logit.expand_as(logits), -logits / 2], dim=-1).log_softmax(
        dim=-1
    )  # [B, 3]
    chosen = torch.logaddexp(torch.log1p(-errors) + outcomes[..., 0], torch.log(errors) + outcomes[..., 2])
    return -torch.where(ties, outcomes[..., 1], chosen)


def tie_anchor(first: Tensor, second: Tensor, good: Tensor) -> Tensor:
    """-(log sigma(+-r_first) + log sigma(+-r_second)) / 2: both answers of a good tie above zero, of a bad one below.  [B] each -> [B]"""
    sign = torch.where(good, 1.0, -1.0)
    return -(F.logsigmoid(sign * first) + F.logsigmoid(sign * second)) / 2


def plackett_luce(scores: Tensor, ranks: Tensor) -> Tensor:
    """-sum_i log( e^r_i / (e^r_i + sum over j ranked below i of e^r_j) ).  [B, K], [B, K] -> [B]

    Without ties this is Plackett-Luce (Applied Statistics 24, 1975): the best is chosen from all, the next from the rest, and so on; with
    two answers it is Bradley-Terry.  Answers of equal rank do not compete with each other, so a tie says nothing about its own members.
    A rank of 0 marks an absent answer.
    """
    present = ranks > 0
    below = (ranks[:, None, :] > ranks[:, :, None]) & present[
        :, :, None
    ]  # [B, i, j]: i is present, j is ranked below it
    rivals = below | torch.eye(ranks.shape[1], dtype=torch.bool, device=ranks.device)
    among = scores[:, None, :].masked_fill(~rivals, -torch.inf).logsumexp(dim=2)  # [B, i]
    return (among - scores).sum(dim=1)


def ranked_pairs(scores: Tensor, ranks: Tensor, *, flip_rate: float = 0.0, smoothing: float = 0.0) -> Tensor:
    """Mean of `noisy_label` over the pairs of a ranking that are not ties: eq. 1 of arXiv:2203.02155.  Rank 0: absent.  [B, K] x 2 -> [B]"""
    ordered = (ranks[:, None, :] > ranks[:, :, None]) & (ranks[:, :, None] > 0)
    logits = (scores[:, :, None] - scores[:, None, :]).masked_fill(~ordered, 0.0)
    each = noisy_label(logits, torch.full_like(logits, 1 - smoothing), torch.full_like(logits, flip_rate))
    return (each * ordered).sum(dim=(1, 2)) / ordered.sum(dim=(1, 2))


def centring(scores: Tensor, present: Tensor) -> Tensor:
    """(2 * mean of an item's scores)^2, which is (r_chosen + r_rejected)^2 for a pair: arXiv:2312.09244.  [B, K], [B, K] bool -> [B]"""
    return (2 * (scores * present).sum(dim=1) / present.sum(dim=1)).square()


def length_correlation(scores: Tensor, lengths: Tensor, present: Tensor) -> Tensor:
    """Correlation of score and length among the answers to one prompt, over all B items: the mean of each item is taken off first.

    [B, K], [B, K], [B, K] bool -> [].  A number about the whole step: it is no sum over items.
    """
    count = present.sum(dim=1, keepdim=True)
    values, sizes = (
        (x - (x * present).sum(dim=1, keepdim=True) / count) * present for x in (scores, lengths)
    )
    return (values * sizes).sum() / (values.square().sum() * sizes.square().sum() + 1e-12).sqrt()


def step_correctness(scores: Tensor, labels: Tensor) -> Tensor:
    """-y log sigma(r) - (1 - y) log(1 - sigma(r)), y being 1 for a right step: arXiv:2312.08935.  [N], [N] bool -> [N]

    N steps, of one answer or of several; each is an item of its own.
    """
    return -torch.where(labels, F.logsigmoid(scores), F.logsigmoid(-scores))


@torch.no_grad()
def accuracy(chosen: Tensor, rejected: Tensor) -> Tensor:
    """1 where the chosen answer scores higher, a half where both score the same.  [B]"""
    return (chosen > rejected).float() + 0.5 * (chosen == rejected).float()


@torch.no_grad()
def ordered_accuracy(scores: Tensor, ranks: Tensor) -> tuple[Tensor, Tensor]:
    """Mean `accuracy` over the pairs of an item that are not ties, and whether it has any.  Rank 0: absent.  [B, K] x 2 -> [B], [B] bool"""
    ordered = (ranks[:, None, :] > ranks[:, :, None]) & (ranks[:, :, None] > 0)
    right = accuracy(scores[:, :, None], scores[:, None, :]) * ordered
    count = ordered.sum(dim=(1, 2))
    return right.sum(dim=(1, 2)) / count.clamp(min=1), count > 0


def _log_mixture(logits: Tensor, errors: Tensor) -> Tensor:
    """log( (1 - e) sigma(z) + e sigma(-z) ), exact also where e is 0."""
    return torch.logaddexp(
        torch.log1p(-errors) + F.logsigmoid(logits), torch.log(errors) + F.logsigmoid(-logits)
    )
