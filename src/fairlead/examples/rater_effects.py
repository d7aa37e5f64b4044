"""What is learned about the people who judge, beside the scores: how sensitive and how reliable each is, and how readily all call a tie.

    P(a > b | rater k) = (1 - 2 e_k) sigma(s_k (r_a - r_b)) + e_k

s_k > 0 is the sensitivity: how clearly rater k sees a difference of scores.  e_k in 0..1 is the error rate: how often the label says the
opposite of what was seen.  At a half, or with no sensitivity, a label says nothing and its pair does not pull; above a half the rater
is an adversary, and what it rejects pulls upwards.

Two things the labels cannot tell, so they are fixed here.  The unit of the scores: twice the sensitivities and half the scores are the
same likelihood, so the sensitivities' geometric mean is 1.  Their sign: all scores and all raters turned round are the same likelihood
too, so the error rates have a prior that holds people for honest until their labels say otherwise.

A label that nobody signed is taken as the priors take a person of whom nothing is known: s = 1, and the usual error rate.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

USUAL_ERROR = 0.1  # where the prior of an error rate has its middle, and where learning begins
ERROR_SPREAD = 2.0  # of the prior on log(e / (1 - e)): an adversary with e = 0.95 is 2.6 of them away, some three labels' worth
SENSITIVITY_SPREAD = 0.5  # of the prior on log s
USUAL_TIES = math.log(0.5)  # a pair of equal scores is called a tie in one case of five, to begin with


class RaterEffects(nn.Module):
    """`names`: each rater once, or none where people are taken to be alike.  `ties`: whether ties are learned from."""

    def __init__(self, names: Sequence[str], *, ties: bool) -> None:
        super().__init__()
        self.numbers = {name: k for k, name in enumerate(names)}
        self.log_sensitivity = nn.Parameter(torch.zeros(len(names)), requires_grad=bool(names))
        self.error_logit = nn.Parameter(
            torch.full((len(names),), _logit(USUAL_ERROR)), requires_grad=bool(names)
        )
        self.tie_logit = nn.Parameter(torch.tensor(USUAL_TIES), requires_grad=ties)

    def trainable(self) -> dict[str, nn.Parameter]:
        return {f"raters.{name}": p for name, p in self.named_parameters() if p.requires_grad}

    def sensitivities(self) -> Tensor:
        """s_k; their geometric mean is 1.  [raters]"""
        return (self.log_sensitivity - self.log_sensitivity.mean()).exp()

    def errors(self) -> Tensor:
        """e_k.  [raters]"""
        return self.error_logit.sigmoid()

    def for_labels(self, names: Sequence[str | None], *, flip_rate: float) -> tuple[Tensor, Tensor]:
        """Sensitivity and error rate behind each label; 1 and `flip_rate` where people are taken to be alike.  [B], [B]

        Among raters whom the others know, a label without a name has 1 and the usual error rate.
        """
        device = self.tie_logit.device
        if not self.numbers:
            return torch.ones(len(names), device=device), torch.full((len(names),), flip_rate, device=device)
        unnamed = len(self.numbers)
        index = torch.tensor([self.numbers[name] if name else unnamed for name in names], device=device)
        usual = torch.tensor([1.0, USUAL_ERROR], device=device)
        return torch.cat([self.sensitivities(), usual[:1]])[index], torch.cat([self.errors(), usual[1:]])[
            index
        ]

    def negative_log_prior(self) -> Tensor:
        """Minus the log of the priors, up to a constant: counts once for all labels together.  []"""
        errors = (self.error_logit - _logit(USUAL_ERROR)) / ERROR_SPREAD
        return (errors.square().sum() + (self.log_sensitivity / SENSITIVITY_SPREAD).square().sum()) / 2

    def tie_rate(self) -> float:
        """How often two answers of equal scores are called a tie."""
        odds = float(self.tie_logit.detach().exp())
        return odds / (odds + 2)

    def table(self, counts: dict[str, int]) -> dict[str, dict[str, float]]:
        """For people: rater -> sensitivity, error rate, and how many labels this was learned from."""
        sensitivities, errors = self.sensitivities().tolist(), self.errors().tolist()
        return {
            name: {"sensitivity": sensitivities[k], "error_rate": errors[k], "n": counts.get(name, 0)}
            for name, k in self.numbers.items()
        }


def _logit(share: float) -> float:
    return math.log(share / (1 - share))
