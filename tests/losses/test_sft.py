"""Negative log-likelihood: hand-worked numbers."""

import math

from pytest import approx
from torch import tensor

from fairlead.losses import sft


def test_likelihood_by_hand() -> None:
    # A token of probability 1/4 costs ln 4.  A position without loss has log-probability 0.
    losses = sft.negative_log_likelihood(tensor([[0.0, math.log(0.25), math.log(0.5)]]))
    assert losses[0].tolist() == approx([0.0, math.log(4), math.log(2)], abs=1e-6)


def test_unlikely_tokens_cost_more() -> None:
    likely, unlikely = tensor([[-0.1]]), tensor([[-3.0]])
    assert 0 < sft.negative_log_likelihood(likely) < sft.negative_log_likelihood(unlikely)
