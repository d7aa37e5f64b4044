"""Pairwise preference losses on a policy.  B pairs; returns [B], unreduced.

Log-probabilities are summed over response tokens.  `dpo`, `robust_dpo`, `hinge` and `ipo` compare the policy
with a reference; `simpo` and `orpo` need none.
"""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F


class PairLogps(NamedTuple):
    """Summed log-probabilities of both answers: PairLogps(tensor([-1.0]), tensor([-3.0])) for one pair."""

    chosen: Tensor  # [B]  log p(chosen | prompt)
    rejected: Tensor  # [B]

    def select(self, rows: list[int] | slice) -> "PairLogps":
        return PairLogps(self.chosen[rows], self.rejected[rows])


class PairTokens(NamedTuple):
    """Numbers of tokens whose log-probabilities were summed."""

    chosen: Tensor  # [B]
    rejected: Tensor  # [B]

    def select(self, rows: list[int] | slice) -> "PairTokens":
        return PairTokens(self.chosen[rows], self.rejected[rows])


def preference_margin(policy: PairLogps, reference: PairLogps) -> Tensor:
    """By how many nats the policy prefers the chosen response more than the reference does.  [B]"""
    return (policy.chosen - reference.chosen) - (policy.rejected - reference.rejected)


def mean_logps(policy: PairLogps, tokens: PairTokens) -> PairLogps:
    """Log-probabilities per token.  [B] each"""
    return PairLogps(policy.chosen / tokens.chosen, policy.rejected / tokens.rejected)


@torch.no_grad()
def accuracy(margin: Tensor, *, tie: float = 1e-3) -> Tensor:
    """1 if the margin is positive, 0.5 if it is within `tie` nats, which is rounding.  [B]"""
    return (margin > tie).float() + 0.5 * (margin.abs() <= tie).float()


def dpo(policy: PairLogps, reference: PairLogps, *, beta: float, flip_rate: float = 0.0) -> Tensor:
    """DPO, eq. 7 of arXiv:2305.18290.  [B]

    With `flip_rate` > 0 conservative DPO: the assumed share of swapped labels.
    """
    logit = beta * preference_margin(policy, reference)
    return -(1 - flip_rate) * F.logsigmoid(logit) - flip_rate * F.logsigmoid(-logit)


def robust_dpo(policy: PairLogps, reference: PairLogps, *, beta: float, flip_rate: float) -> Tensor:
    """Robust DPO, arXiv:2403.00409: [(1 - e) L(c, r) - e L(r, c)] / (1 - 2e) with e = `flip_rate`.  [B]

    Its mean over labels with a swapped share e equals the mean of DPO over the true labels.  It has no lower
    bound.
    """
    logit = beta * preference_margin(policy, reference)
    return (-(1 - flip_rate) * F.logsigmoid(logit) + flip_rate * F.logsigmoid(-logit)) / (1 - 2 * flip_rate)


def hinge(policy: PairLogps, reference: PairLogps, *, beta: float) -> Tensor:
    """SLiC's calibration loss (arXiv:2305.10425) on log-ratios (arXiv:2309.06657): max(0, 1 - beta * margin).

    [B]
    """
    return F.relu(1 - beta * preference_margin(policy, reference))


def ipo(policy: PairLogps, reference: PairLogps, tokens: PairTokens, *, tau: float) -> Tensor:
    """IPO, eq. 17 of arXiv:2310.12036: (m - 1 / (2 tau))^2, with m the margin of log-ratios per token.  [B]

    The paper writes sums over tokens.  Its authors ran means per token, as TRL does.
    """
    margin = preference_margin(mean_logps(policy, tokens), mean_logps(reference, tokens))
    return (margin - 1 / (2 * tau)).square()


def simpo(policy: PairLogps, tokens: PairTokens, *, beta: float, gamma: float) -> Tensor:
    """SimPO, eq. 6 of arXiv:2405.14734: -log sigma(beta * (mean logp chosen - mean logp rejected) - gamma).

    [B]
    """
    mean = mean_logps(policy, tokens)
    return -F.logsigmoid(beta * (mean.chosen - mean.rejected) - gamma)


def log_odds_ratio(policy: PairLogps, tokens: PairTokens) -> Tensor:
    """log of odds(chosen) / odds(rejected), eq. 4 of arXiv:2403.07691.  [B]

    odds = p / (1 - p), with p = exp(log p(response) / tokens).
    """
    mean = mean_logps(policy, tokens)
    return (mean.chosen - log1mexp(mean.chosen)) - (mean.rejected - log1mexp(mean.rejected))


def orpo(policy: PairLogps, tokens: PairTokens, *, weight: float) -> Tensor:
    """ORPO, eqs. 6 and 7 of arXiv:2403.07691: -log p(chosen) / tokens - weight * log sigma(log odds ratio).

    [B]
    """
    return chosen_nll(policy, tokens) - weight * F.logsigmoid(log_odds_ratio(policy, tokens))


def chosen_nll(policy: PairLogps, tokens: PairTokens) -> Tensor:
    """-log p(chosen) / tokens, the term that eq. 1 of arXiv:2404.19733 adds to DPO.  [B]"""
    return -policy.chosen / tokens.chosen


def log1mexp(x: Tensor) -> Tensor:
    """log(1 - exp(x)) for x < 0, without cancellation.  A probability that rounds to 1 counts as 1 - 1e-7."""
    x = x.clamp(max=-1e-7)
    near = x > -0.6931  # exp(x) is above a half
    # The branch that is not taken gets a harmless input: `where` would otherwise propagate its infinite
    # gradient.
    return torch.where(near, torch.log(-torch.expm1(x)), torch.log1p(-torch.exp(x.masked_fill(near, -1.0))))
