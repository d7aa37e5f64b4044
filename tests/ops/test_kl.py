import math

import torch
from pytest import approx
from torch import tensor

from fairlead.ops import kl

POLICY = tensor([0.5, 0.3, 0.2])
REFERENCE = tensor([0.2, 0.5, 0.3])
# KL(policy || reference) = 0.5 ln 2.5 + 0.3 ln 0.6 + 0.2 ln (2/3)
EXACT = 0.5 * math.log(2.5) + 0.3 * math.log(0.6) + 0.2 * math.log(2 / 3)


def test_the_exact_divergence_by_hand() -> None:
    assert approx(0.2238, abs=1e-4) == EXACT  # 0.45815 - 0.15325 - 0.08109


def test_both_estimators_are_unbiased_under_the_policy() -> None:
    for estimate in (kl.k1, kl.k3):
        mean = float((POLICY * estimate(POLICY.log(), REFERENCE.log())).sum())
        assert mean == approx(EXACT, abs=1e-6), estimate


def test_they_are_not_estimators_of_the_reverse_divergence() -> None:
    reverse = float((REFERENCE * (REFERENCE / POLICY).log()).sum())
    for estimate in (kl.k1, kl.k3):
        swapped = float((POLICY * estimate(REFERENCE.log(), POLICY.log())).sum())
        assert abs(swapped - EXACT) > 0.01, estimate
        assert float((REFERENCE * estimate(REFERENCE.log(), POLICY.log())).sum()) == approx(reverse, abs=1e-6)


def test_k1_by_hand() -> None:
    # ln 0.5 - ln 0.2 = ln 2.5 = 0.9163;  ln 0.3 - ln 0.5 = -0.5108: negative for a single token
    assert kl.k1(POLICY.log(), REFERENCE.log()).tolist() == approx([0.9163, -0.5108, -0.4055], abs=1e-4)


def test_k3_by_hand() -> None:
    # ref/pi - 1 - ln(ref/pi): 0.4 - 1 + 0.9163 = 0.3163;  5/3 - 1 - 0.5108 = 0.1559;  1.5 - 1 - 0.4055 =
    # 0.0945
    assert kl.k3(POLICY.log(), REFERENCE.log()).tolist() == approx([0.3163, 0.1559, 0.0945], abs=1e-4)


def test_k3_is_never_negative_and_zero_where_both_agree() -> None:
    differences = torch.linspace(-8, 8, 1001)
    values = kl.k3(torch.zeros_like(differences), differences)
    assert float(values.min()) >= 0
    assert kl.k3(POLICY.log(), POLICY.log()).tolist() == [0.0, 0.0, 0.0]


def test_k3_keeps_small_differences() -> None:
    # x = 1e-3: e^x - 1 - x = x^2 / 2 + x^3 / 6 = 5.0017e-7, which e^x - 1 - x in float32 rounds by a tenth
    assert float(kl.k3(tensor(0.0), tensor(1e-3))) == approx(5.0017e-7, abs=1e-9)


def test_the_controller_by_hand() -> None:
    # kl 3.3 for a target of 3 is a tenth too much: 0.05 * (1 + 0.1 * 100 / 1000) = 0.0505
    assert kl.adapt_coefficient(0.05, 3.3, target=3.0, episodes=100, horizon=1000) == approx(
        0.0505, abs=1e-12
    )
    # twice the target: the error is held at 0.2, so 0.05 * (1 + 0.2 * 0.1) = 0.051
    assert kl.adapt_coefficient(0.05, 6.0, target=3.0, episodes=100, horizon=1000) == approx(0.051, abs=1e-12)
    # nothing at all: held at -0.2, so 0.05 * (1 - 0.02) = 0.049
    assert kl.adapt_coefficient(0.05, 0.0, target=3.0, episodes=100, horizon=1000) == approx(0.049, abs=1e-12)


def test_the_controller_rests_at_its_target() -> None:
    assert kl.adapt_coefficient(0.05, 3.0, target=3.0, episodes=100, horizon=1000) == 0.05


def test_a_trace_of_the_controller_with_the_papers_constants() -> None:
    """Sentiment in arXiv:1909.08593: begins at 0.15, target 6 nats, horizon 10,000, 512 answers a step; so a
    step moves it by 0.2 * 0.0512.

    kl 0: x (1 - 0.01024) = 0.148464.  kl 6.6, a tenth too much: x (1 + 0.1 * 0.0512) = 0.149224.
    kl 20, far too much: x (1 + 0.01024) = 0.150752.  kl 6: as it was.  kl 5.4: x (1 - 0.00512) = 0.149980.
    """
    coefficient = 0.15
    for measured, expected in (
        (0.0, 0.148464),
        (6.6, 0.149224),
        (20.0, 0.150752),
        (6.0, 0.150752),
        (5.4, 0.149980),
    ):
        coefficient = kl.adapt_coefficient(coefficient, measured, target=6.0, episodes=512, horizon=10_000)
        assert coefficient == approx(expected, abs=1e-6)
