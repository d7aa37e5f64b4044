"""Rater effects: each rater's sensitivity and error rate, and the rate of ties, learned together with the
scores.

    P(a > b | rater k) = (1 - 2 e_k) sigma(s_k (r_a - r_b)) + e_k

s_k > 0 is the sensitivity: how clearly rater k sees a difference between scores.  e_k in 0..1 is the error
rate: how often the label is the opposite of what the rater saw.  At e_k = 0.5, or with s_k = 0, a label
carries no information and its pair has no gradient.  Above 0.5 the rater is an adversary, and rejected
answers are pulled up.

The likelihood leaves two things open, which are fixed here.  The unit of the scores: doubling all
sensitivities and halving all scores changes nothing, so the geometric mean of the sensitivities is 1.  The
sign: flipping all scores and all raters changes nothing either, so a prior on the error rates assumes honest
raters until labels say otherwise.

A label without a rater gets the values that the priors give an unknown person: s = 1 and the usual error
rate.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

USUAL_ERROR = 0.1  # centre of the prior on error rates, and their initial value
ERROR_SPREAD = 2.0  # standard deviation of the prior on log(e / (1 - e)); e = 0.95 is 2.6 of them away
SENSITIVITY_SPREAD = 0.5  # standard deviation of the prior on log s
USUAL_TIES = math.log(0.5)  # initially, a pair of equal scores is a tie in one case of five


class RaterEffects(nn.Module):
    """Parameters of the raters.

    Without `names` all raters are alike.  `ties` makes the tie rate trainable.
    """

    def __init__(self, names: Sequence[str], *, ties: bool) -> None:
        super().__init__()
        self.rater_ids = {name: k for k, name in enumerate(names)}
        self.log_sensitivity = nn.Parameter(torch.zeros(len(names)), requires_grad=bool(names))
        self.error_logit = nn.Parameter(
            torch.full((len(names),), _logit(USUAL_ERROR)), requires_grad=bool(names)
        )
        self.tie_logit = nn.Parameter(torch.tensor(USUAL_TIES), requires_grad=ties)

    def trainable(self) -> dict[str, nn.Parameter]:
        """Name -> trainable parameter."""
        return {f"raters.{name}": p for name, p in self.named_parameters() if p.requires_grad}

    def sensitivities(self) -> Tensor:
        """s_k, with a geometric mean of 1.  [raters]"""
        return (self.log_sensitivity - self.log_sensitivity.mean()).exp()

    def errors(self) -> Tensor:
        """e_k.  [raters]"""
        return self.error_logit.sigmoid()

    def for_labels(self, names: Sequence[str | None], *, flip_rate: float) -> tuple[Tensor, Tensor]:
        """Sensitivity and error rate of the rater of each label.  [B], [B]

        Without known raters every label gets 1 and `flip_rate`.  With known raters, a label without a rater
        gets 1 and the usual error rate.
        """
        device = self.tie_logit.device
        if not self.rater_ids:
            ones = torch.ones(len(names), device=device)
            return ones, torch.full((len(names),), flip_rate, device=device)
        unnamed = len(self.rater_ids)
        index = torch.tensor([self.rater_ids[name] if name else unnamed for name in names], device=device)
        usual = torch.tensor([1.0, USUAL_ERROR], device=device)
        sensitivities = torch.cat([self.sensitivities(), usual[:1]])[index]
        return sensitivities, torch.cat([self.errors(), usual[1:]])[index]

    def negative_log_prior(self) -> Tensor:
        """Negative log of the priors, up to a constant.  Enters the loss once for all labels together.  []"""
        errors = (self.error_logit - _logit(USUAL_ERROR)) / ERROR_SPREAD
        return (errors.square().sum() + (self.log_sensitivity / SENSITIVITY_SPREAD).square().sum()) / 2

    def tie_rate(self) -> float:
        """Probability that two answers with equal scores are a tie."""
        odds = float(self.tie_logit.detach().exp())
        return odds / (odds + 2)

    def table(self, counts: dict[str, int]) -> dict[str, dict[str, float]]:
        """Rater -> sensitivity, error rate and number of labels, for the report."""
        sensitivities, errors = self.sensitivities().tolist(), self.errors().tolist()
        return {
            name: {"sensitivity": sensitivities[k], "error_rate": errors[k], "n": counts.get(name, 0)}
            for name, k in self.rater_ids.items()
        }


def _logit(share: float) -> float:
    return math.log(share / (1 - share))
