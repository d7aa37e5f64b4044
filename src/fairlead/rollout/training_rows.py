"""Rollouts as rows to train on."""

from collections.abc import Sequence

import torch
from torch import Tensor

from fairlead.encoding.chat import Encoded
from fairlead.rollout.records import Rollout


def answered(rollout: Rollout) -> Encoded:
    """The prompt and the sampled answer as one row; every sampled token is trained."""
    trained = (False,) * len(rollout.prompt_tokens) + (True,) * len(rollout.tokens)
    return Encoded(rollout.prompt_tokens + rollout.tokens, trained)


def echo(prompt: tuple[int, ...]) -> Encoded:
    """Rows to try a network on before there are answers: the end of the prompt once more, as its answer."""
    answer = prompt[-8:]
    return Encoded(prompt + answer, (False,) * len(prompt) + (True,) * len(answer))


def sampler_gap(rollouts: Sequence[Rollout], old_logps: Tensor, mask: Tensor) -> float:
    """The largest difference between a token's log-probability when it was sampled and when it is trained; rounding, or a fault."""
    sampled = torch.tensor([logp for rollout in rollouts for logp in rollout.logps])
    return float((old_logps[mask].cpu() - sampled).abs().max())
