"""What is learned about raters, on features of which the answer is known."""

from random import Random

import pytest
import torch
from pytest import approx
from torch import Tensor

from fairlead.examples.rater_effects import RaterEffects
from fairlead.losses import reward
from fairlead.simulate.raters import SimulatedRater, choose_answer

WIDTH = 20
PANEL = (
    *(SimulatedRater(name=f"careful {k}", careless=0.05, tie_width=0.0) for k in range(6)),
    *(SimulatedRater(name=f"random {k}", careless=0.9, tie_width=0.0) for k in range(3)),
    SimulatedRater(name="adversary", adversary=True, tie_width=0.0),
)
ERRORS = {"careful": 0.025, "random": 0.45, "adversary": 1.0}  # careless people are wrong every second time


class Campaign:
    """Pairs of answers with `WIDTH` features, judged by everybody in turn."""

    def __init__(self, seed: int, num_pairs: int = 700) -> None:
        generator, rng = torch.Generator().manual_seed(seed), Random(seed)
        self.truth = torch.randn(WIDTH, generator=generator)
        first, second = torch.randn(2, num_pairs, WIDTH, generator=generator)
        self.names = [PANEL[i % len(PANEL)].name for i in range(num_pairs)]
        picks = [
            choose_answer(PANEL[i % len(PANEL)], float(a), float(b), rng)
            for i, (a, b) in enumerate(zip(first @ self.truth, second @ self.truth, strict=True))
        ]
        took_first = torch.tensor([pick == "first" for pick in picks])[:, None]
        self.differences = torch.where(took_first, first - second, second - first)  # chosen minus rejected
        self.test = torch.randn(4000, WIDTH, generator=generator)

    def accuracy(self, weights: Tensor) -> float:
        return float(((self.test @ weights > 0) == (self.test @ self.truth > 0)).float().mean())


def fit(campaign: Campaign, how: str) -> tuple[Tensor, RaterEffects]:
    """Weights by gradient descent on the mean loss, as a recipe does it: naive, with the true error rates, or
    learning them.
    """
    weights = torch.zeros(WIDTH, requires_grad=True)
    raters = RaterEffects(sorted(set(campaign.names)), ties=False)
    groups = [{"params": [weights], "lr": 0.05}]
    if how == "aware":
        groups.append({"params": list(raters.trainable().values()), "lr": 0.05})
    optimizer = torch.optim.Adam(groups)
    n = len(campaign.names)
    targets, ones = torch.ones(n), torch.ones(n)
    for _ in range(400):
        errors = (
            torch.tensor([ERRORS[name.split()[0]] for name in campaign.names])
            if how == "oracle"
            else torch.zeros(n)
        )
        sensitivities, errors = (
            raters.for_labels(campaign.names, flip_rate=0.0) if how == "aware" else (ones, errors)
        )
        loss = reward.noisy_label(sensitivities * (campaign.differences @ weights), targets, errors).sum()
        loss = loss + weights.square().sum() / 20 + (raters.negative_log_prior() if how == "aware" else 0.0)
        optimizer.zero_grad()
        (loss / n).backward()
        optimizer.step()
    return weights.detach(), raters


@pytest.mark.slow
def test_knowing_the_raters_recovers_what_bad_ones_cost() -> None:
    gained, lost = [], []
    for seed in range(5):
        campaign = Campaign(seed)
        found = {how: campaign.accuracy(fit(campaign, how)[0]) for how in ("naive", "aware", "oracle")}
        gained.append(found["aware"] - found["naive"])
        lost.append(found["oracle"] - found["naive"])
    assert min(lost) > 0.01
    assert sum(gained) >= 0.8 * sum(lost), (gained, lost)


def test_an_adversary_is_found_and_the_careful_are_not_blamed() -> None:
    _, raters = fit(Campaign(0), "aware")
    table = raters.table({"adversary": 70})
    assert table["adversary"]["error_rate"] > 0.8 and table["adversary"]["n"] == 70
    for name, row in table.items():
        if name.startswith("careful"):
            assert row["error_rate"] < 0.25
        if name.startswith("random"):  # next to nothing of what they say counts
            assert (1 - 2 * row["error_rate"]) * row["sensitivity"] < 0.4


def test_the_unit_of_the_scores_is_fixed() -> None:
    raters = RaterEffects(["a", "b", "c"], ties=False)
    with torch.no_grad():
        raters.log_sensitivity.copy_(torch.tensor([0.0, 1.0, 5.0]))
    assert raters.sensitivities().log().sum().item() == approx(0.0, abs=1e-6)


def test_people_who_are_alike_have_no_parameters() -> None:
    raters = RaterEffects([], ties=False)
    assert raters.trainable() == {} and raters.table({}) == {}
    sensitivities, errors = raters.for_labels(["a", None], flip_rate=0.25)
    assert sensitivities.tolist() == [1, 1] and errors.tolist() == [0.25, 0.25]
    assert set(RaterEffects([], ties=True).trainable()) == {"raters.tie_logit"}


def test_every_label_is_its_raters_own_and_an_unsigned_one_is_the_usual() -> None:
    raters = RaterEffects(["b", "a"], ties=False)
    with torch.no_grad():
        raters.error_logit.copy_(torch.tensor([-1.0, 1.0]))
        raters.log_sensitivity.copy_(torch.tensor([0.5, -0.5]))
    sensitivities, errors = raters.for_labels(["a", None, "b", "a"], flip_rate=0.0)
    assert errors.tolist() == approx(
        [0.731059, 0.1, 0.268941, 0.731059], abs=1e-5
    )  # sigma(1), the prior's middle, sigma(-1)
    assert sensitivities.tolist() == approx([0.606531, 1.0, 1.648721, 0.606531], abs=1e-5)  # e^-0.5, 1, e^0.5
    (errors[1] + sensitivities[1]).backward()
    assert all(
        not p.grad.any() for p in raters.trainable().values() if p.grad is not None
    )  # nobody learns from it


@pytest.mark.parametrize(("logit", "rate"), [(0.0, 1 / 3), (-0.6931472, 0.2)])
def test_how_often_equal_scores_are_called_a_tie(logit: float, rate: float) -> None:
    raters = RaterEffects([], ties=True)
    with torch.no_grad():
        raters.tie_logit.fill_(logit)
    assert raters.tie_rate() == approx(rate, abs=1e-6)  # e^nu / (e^nu + 2)
