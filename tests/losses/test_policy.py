"""The clipped policy loss: hand-worked numbers and the direction of its gradient."""

import torch
from pytest import approx
from torch import tensor

from fairlead.losses import policy


def test_the_clipped_loss_by_hand() -> None:
    ratios = tensor([[1.0, 1.5, 0.5, 1.5, 0.5]])
    advantages = tensor([[2.0, 2.0, 2.0, -2.0, -2.0]])
    # clip 0.2.  A > 0: -2 * 1; -2 * min(1.5, 1.2) = -2.4; -2 * min(0.5, 0.8) = -1.0
    #            A < 0: 2 * max(1.5, 1.2) = 3.0; 2 * max(0.5, 0.8) = 1.6
    losses = policy.ppo_clip(ratios.log(), torch.zeros(1, 5), advantages, clip=0.2)
    assert losses[0].tolist() == approx([-2.0, -2.4, -1.0, 3.0, 1.6], abs=1e-6)


def test_there_is_no_gradient_beyond_the_clip() -> None:
    logps = tensor([[1.5, 0.5, 1.5, 0.5]]).log().requires_grad_()
    policy.ppo_clip(logps, torch.zeros(1, 4), tensor([[2.0, 2.0, -2.0, -2.0]]), clip=0.2).sum().backward()
    # Beyond the clip the gradient is 0; on the way back it is -A * ratio.
    assert logps.grad is not None
    assert logps.grad[0].tolist() == approx([0.0, -1.0, 3.0, 0.0], abs=1e-6)


def test_good_tokens_become_likelier_and_bad_tokens_rarer() -> None:
    # fails if the advantage's sign were lost, or if old and new log-probabilities changed places
    logps = tensor([[-1.0, -1.0]], requires_grad=True)
    policy.ppo_clip(logps, tensor([[-1.0, -1.0]]), tensor([[1.0, -1.0]]), clip=0.2).sum().backward()
    assert logps.grad is not None
    step = -logps.grad[0]
    assert step[0] > 0 > step[1]


def test_clipped_tokens_are_counted() -> None:
    ratios = tensor([[1.0, 1.19, 1.21, 0.81, 0.79]])
    assert policy.is_clipped(ratios.log(), torch.zeros(1, 5), clip=0.2).tolist() == [
        [0.0, 0.0, 1.0, 0.0, 1.0]
    ]
