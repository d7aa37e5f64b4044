"""Pairwise preference losses on a policy.  B = pairs; log-probabilities are summed over response tokens.  Returns [B], unreduced.

`dpo`, `robust_dpo`, `hinge` and `ipo` look at how far the policy has moved from a reference; `simpo` and `orpo` have none.
"""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F


class PairLogps(NamedTuple):
    chosen: Tensor  # [B]  log p(chosen | prompt)
    rejected: Tensor  # [B]

    def select(self, rows: list[int] | slice) -> "PairLogps":
        return PairLogps(self.chosen[rows], self.rejected[rows])


class PairTokens(NamedTuple):
    chosen: Tensor  # [B]  tokens whose log-probabilities were summed
    rejected: Tensor  # [B]

    def select(self, rows: list[int] | slice) -> "PairTokens":
        return PairTokens(self.chosen[rows], self.rejected[rows])


def preference_margin(policy: PairLogps, reference: PairLogps) -> Tensor:
    """How much more than the reference the policy prefers the chosen response, in nats.  [B]"""
    return (policy.chosen - reference.chosen) - (policy.rejected - reference.rejected)


def mean_logps(policy: PairLogps, tokens: PairTokens) -> PairLogps:
    """Log-probabilities per token.  [B] each"""
    return PairLogps(policy.chosen / tokens.chosen, policy.rejected / tokens.rejected)


@torch.no_grad()
def accuracy(margin: Tensor, *, tie: float = 1e-3) -> Tensor:
    """1 where the policy prefers the chosen response, a half where the margin is within `tie` nats: rounding, not preference.  [B]"""
    return (margin > tie).float() + 0.5 * (margin.abs() <= tie).float()


def dpo(policy: PairLogps, reference: PairLogps, *, beta: float, flip_rate: float = 0.0) -> Tensor:
    """Eq. 7 of arXiv:2305.18290; `flip_rate` is the assumed share of swapped labels (conservative DPO).  [B]"""
    logit = beta * preference_margin(policy, reference)
    return -(1 - flip_rate) * F.logsigmoid(logit) - flip_rate * F.logsigmoid(-logit)


def robust_dpo(policy: PairLogps, reference: PairLogps, *, beta: float, flip_rate: float) -> Tensor:
    """[(1 - e) L(c, r) - e L(r, c)] / (1 - 2e) with e = `flip_rate`: arXiv:2403.00409.  [B]

    Its mean over labels of which a share e was swapped is the mean of plain DPO over the true labels.  It has no lower bound.
    """
    logit = beta * preference_margin(policy, reference)
    return (-(1 - flip_rate) * F.logsigmoid(logit) + flip_rate * F.logsigmoid(-logit)) / (1 - 2 * flip_rate)


def hinge(policy: PairLogps, reference: PairLogps, *, beta: float) -> Tensor:
    """max(0, 1 - beta * margin): the calibration loss of SLiC (arXiv:2305.10425), on log-ratios as in arXiv:2309.06657.  [B]"""
    return F.relu(1 - beta * preference_margin(policy, reference))


def ipo(policy: PairLogps, reference: PairLogps, tokens: PairTokens, *, tau: float) -> Tensor:
    """(m - 1 / (2 tau))^2, m being the margin of log-ratios per token: eq. 17 of arXiv:2310.12036.  [B]

    The paper writes sums over tokens; dividing them by the answer's length is what its authors did, and what TRL does.
    """
    margin = preference_margin(mean_logps(policy, tokens), mean_logps(reference, tokens))
    return (margin - 1 / (2 * tau)).square()


def simpo(policy: PairLogps, tokens: PairTokens, *, beta: float, gamma: float) -> Tensor:
    """-log sigma(beta * (log p_chosen / tokens - log p_rejected / tokens) - gamma): eq. 6 of arXiv:2405.14734.  [B]"""
    mean = mean_logps(policy, tokens)
    return -F.logsigmoid(beta * (mean.chosen - mean.rejected) - gamma)


def log_odds_ratio(policy: PairLogps, tokens: PairTokens) -> Tensor:
    """log of odds(chosen) / odds(rejected), odds = p / (1 - p), p = exp(log p(response) / tokens).  Eq. 4 of arXiv:2403.07691.  [B]"""
    mean = mean_logps(policy, tokens)
    return (mean.chosen - log1mexp(mean.chosen)) - (mean.rejected - log1mexp(mean.rejected))


def orpo(policy: PairLogps, tokens: PairTokens, *, weight: float) -> Tensor:
    """-log p(chosen) / tokens - weight * log sigma(log odds ratio): eqs. 6 and 7 of arXiv:2403.07691.  [B]"""
    return chosen_nll(policy, tokens) - weight * F.logsigmoid(log_odds_ratio(policy, tokens))


def chosen_nll(policy: PairLogps, tokens: PairTokens) -> Tensor:
    """-log p(chosen) / tokens, which is added to DPO's loss in eq. 1 of arXiv:2404.19733.  [B]"""
    return -policy.chosen / tokens.chosen


def log1mexp(x: Tensor) -> Tensor:
    """log(1 - exp(x)) for x < 0, without cancellation at either end.  A probability that rounds to 1 counts as 1 - 1e-7."""
    x = x.clamp(max=-1e-7)
    near = x > -0.6931  # where exp(x) is above a half
    # each branch is given a harmless number where the other is taken: the gradient of `where` would carry its infinity along
    return torch.where(near, torch.log(-torch.expm1(x)), torch.log1p(-torch.exp(x.masked_fill(near, -1.0))))
