"""Encode rollouts as rows to train on."""

from collections.abc import Sequence

import torch
from torch import Tensor

from fairlead.encoding.chat import Encoded
from fairlead.rollout.records import Rollout


def training_row(rollout: Rollout) -> Encoded:
    """The prompt and the sampled response as one row; every sampled token carries loss."""
    trained = (False,) * len(rollout.prompt_tokens) + (True,) * len(rollout.tokens)
    return Encoded(rollout.prompt_tokens + rollout.tokens, trained)


def trial_row(prompt: tuple[int, ...]) -> Encoded:
    """A row to verify a backend with before anything is sampled: the last tokens of the prompt stand in for a
    response.
    """
    response = prompt[-8:]
    return Encoded(prompt + response, (False,) * len(prompt) + (True,) * len(response))


def sampler_gap(rollouts: Sequence[Rollout], old_logps: Tensor, response_mask: Tensor) -> float:
    """The largest difference between a token's log-probability in sampling and in training.

    A large value means that the sampler and the trained policy are not the same distribution.  [N, T], [N, T]
    """
    sampler_logps = torch.tensor([logp for rollout in rollouts for logp in rollout.logps])
    return float((old_logps[response_mask].cpu() - sampler_logps).abs().max())
