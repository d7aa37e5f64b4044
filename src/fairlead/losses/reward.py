"""Reward-model losses.  Returns one value per item, unreduced.

A comparison enters as the logit z of "the chosen answer is better", r_chosen - r_rejected in the simplest
case.  Raters' error rates, margins and sensitivities change z or its probability.

B items (comparisons or rankings), K answers of the largest item, N steps.
"""

import torch
from torch import Tensor
from torch.nn import functional as F


def bradley_terry(chosen: Tensor, rejected: Tensor) -> Tensor:
    """-log sigma(r_chosen - r_rejected), eq. 1 of arXiv:2203.02155.  [B], [B] -> [B]"""
    return -F.logsigmoid(chosen - rejected)


def margin_logits(chosen: Tensor, rejected: Tensor, margins: Tensor, *, scale: float) -> Tensor:
    """r_chosen - r_rejected - scale * margin, eq. 2 of arXiv:2307.09288: larger margins need a larger lead.

    [B]
    """
    return chosen - rejected - scale * margins


def noisy_label(logits: Tensor, targets: Tensor, errors: Tensor) -> Tensor:
    """-t log P - (1 - t) log(1 - P), with P = (1 - e) sigma(z) + e sigma(-z).  [B] each -> [B]

    e (`errors`) is the probability that the label is the opposite of what was meant.  t (`targets`) is 1 for
    a choice, 1 - a with label smoothing a, and (1 + v) / 2 for a judgement v in -1..1.  The mixture is the
    likelihood of flipped labels: the loss is never negative, and a pair that the model is sure was flipped
    has no gradient.  The unbiased loss of arXiv:2403.00409 (rDPO) has the same minimum on infinite data, but
    is unbounded below on a single pair.
    """
    return -targets * _log_mixture(logits, errors) - (1 - targets) * _log_mixture(-logits, errors)


def davidson(logits: Tensor, ties: Tensor, errors: Tensor, tie_logit: Tensor) -> Tensor:
    """Bradley-Terry with ties (Davidson, JASA 65, 1970).  [B], [B] bool, [B], [] -> [B]

    P(chosen), P(tie), P(rejected) = softmax(z / 2, nu, -z / 2), with nu the `tie_logit`.  Without a tie the
    odds stay e^z, so ties do not change the unit of the scores.  A label error swaps the sides; a tie stays
    a tie.
    """
    scores = torch.stack([logits / 2, tie_logit.expand_as(logits), -logits / 2], dim=-1)
    outcomes = scores.log_softmax(dim=-1)  # [B, 3]
    chosen = torch.logaddexp(torch.log1p(-errors) + outcomes[..., 0], torch.log(errors) + outcomes[..., 2])
    return -torch.where(ties, outcomes[..., 1], chosen)


def tie_anchor(first: Tensor, second: Tensor, good: Tensor) -> Tensor:
    """Pull both answers of a tie above zero if they are good, below if they are bad.

    [B], [B], [B] bool -> [B]

    -(log sigma(+-r_first) + log sigma(+-r_second)) / 2
    """
    sign = torch.where(good, 1.0, -1.0)
    return -(F.logsigmoid(sign * first) + F.logsigmoid(sign * second)) / 2


def plackett_luce(scores: Tensor, ranks: Tensor) -> Tensor:
    """-sum_i log( e^r_i / (e^r_i + sum over j ranked below i of e^r_j) ).  [B, K], [B, K] -> [B]

    Without ties this is Plackett-Luce (Applied Statistics 24, 1975): the best is chosen from all answers,
    the next from the rest, and so on.  With two answers it is Bradley-Terry.  Answers of equal rank do not
    compete. Rank 0 marks an absent answer.
    """
    present = ranks > 0
    # [B, i, j]: i is present and j is ranked below i
    below = (ranks[:, None, :] > ranks[:, :, None]) & present[:, :, None]
    rivals = below | torch.eye(ranks.shape[1], dtype=torch.bool, device=ranks.device)
    among = scores[:, None, :].masked_fill(~rivals, -torch.inf).logsumexp(dim=2)  # [B, i]
    return (among - scores).sum(dim=1)


def ranked_pairs(scores: Tensor, ranks: Tensor, *, flip_rate: float = 0.0, smoothing: float = 0.0) -> Tensor:
    """Mean of `noisy_label` over the pairs of an item that are not ties, eq. 1 of arXiv:2203.02155.

    [B, K], [B, K] -> [B].  Rank 0 marks an absent answer.
    """
    ordered = (ranks[:, None, :] > ranks[:, :, None]) & (ranks[:, :, None] > 0)
    logits = (scores[:, :, None] - scores[:, None, :]).masked_fill(~ordered, 0.0)
    targets = torch.full_like(logits, 1 - smoothing)
    losses = noisy_label(logits, targets, torch.full_like(logits, flip_rate))
    return (losses * ordered).sum(dim=(1, 2)) / ordered.sum(dim=(1, 2))


def centring(scores: Tensor, present: Tensor) -> Tensor:
    """(2 * mean score)^2, for a pair (r_chosen + r_rejected)^2: arXiv:2312.09244.

    [B, K], [B, K] bool -> [B]
    """
    return (2 * (scores * present).sum(dim=1) / present.sum(dim=1)).square()


def length_correlation(scores: Tensor, lengths: Tensor, present: Tensor) -> Tensor:
    """Correlation of score and length over all items, after subtracting each item's means.

    [B, K], [B, K], [B, K] bool -> [].  Not a sum over items, so it cannot be computed in micro-batches.
    """
    count = present.sum(dim=1, keepdim=True)
    values, sizes = (
        (x - (x * present).sum(dim=1, keepdim=True) / count) * present for x in (scores, lengths)
    )
    return (values * sizes).sum() / (values.square().sum() * sizes.square().sum() + 1e-12).sqrt()


def step_correctness(scores: Tensor, labels: Tensor) -> Tensor:
    """-y log sigma(r) - (1 - y) log(1 - sigma(r)), with y = 1 for a right step: arXiv:2312.08935.

    [N], [N] bool -> [N]

    The steps may belong to one answer or to several.
    """
    return -torch.where(labels, F.logsigmoid(scores), F.logsigmoid(-scores))


@torch.no_grad()
def accuracy(chosen: Tensor, rejected: Tensor) -> Tensor:
    """1 if the chosen answer scores higher, 0.5 if both score the same.  [B]"""
    return (chosen > rejected).float() + 0.5 * (chosen == rejected).float()


@torch.no_grad()
def ordered_accuracy(scores: Tensor, ranks: Tensor) -> tuple[Tensor, Tensor]:
    """Mean `accuracy` over the pairs of an item that are not ties, and whether it has any.

    [B, K], [B, K] -> [B], [B] bool.  Rank 0 marks an absent answer.
    """
    ordered = (ranks[:, None, :] > ranks[:, :, None]) & (ranks[:, :, None] > 0)
    right = accuracy(scores[:, :, None], scores[:, None, :]) * ordered
    count = ordered.sum(dim=(1, 2))
    return right.sum(dim=(1, 2)) / count.clamp(min=1), count > 0


def _log_mixture(logits: Tensor, errors: Tensor) -> Tensor:
    """log( (1 - e) sigma(z) + e sigma(-z) ), exact for e = 0."""
    return torch.logaddexp(
        torch.log1p(-errors) + F.logsigmoid(logits), torch.log(errors) + F.logsigmoid(-logits)
    )
