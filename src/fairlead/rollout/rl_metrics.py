"""The metrics that PPO and GRPO log for the responses and the updates of a step.  N responses, T tokens."""

from collections.abc import Mapping, Sequence

from torch import Tensor

from fairlead.ops import kl
from fairlead.ops.masked_sums import masked_mean, masked_sum
from fairlead.rollout.prompt_sampler import Responses
from fairlead.rollout.training_rows import sampler_gap


def response_metrics(responses: Responses, logps: Tensor) -> dict[str, float]:
    """Length, ends and entropy of the responses; `logps` are the policy's, before its update.  [N, T]"""
    mask = responses.batch.response_mask
    return {
        "entropy": -float(masked_mean(logps, mask)),  # an estimate from the sampled tokens
        "response_tokens": float(mask.sum(dim=1).float().mean()),
        "finished_frac": sum(rollout.finished for rollout in responses.rollouts) / len(responses.rollouts),
        "sampler_gap": sampler_gap(responses.rollouts, logps, mask),
    }


def kl_metrics(logps: Tensor, reference_logps: Tensor, mask: Tensor, *, kl_coef: float) -> dict[str, float]:
    """KL(policy || reference) per response, by two estimators, in nats.  [N, T] each"""
    return {
        "kl": float(masked_sum(kl.k1(logps, reference_logps), mask).mean()),
        "kl_k3": float(masked_sum(kl.k3(logps, reference_logps), mask).mean()),
        "kl_coef": kl_coef,
    }


def reused_share(responses: Responses) -> float:
    """The share of response tokens that were taken from drafts."""
    num_tokens = sum(len(rollout.tokens) for rollout in responses.rollouts)
    return sum(rollout.num_reused for rollout in responses.rollouts) / num_tokens


def average_updates(updates: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """The mean over the updates of a step.  `ratio` is that of the first update, where it should be 1."""
    means: dict[str, float] = {}
    for update in updates:
        for name, value in update.items():
            means[name] = means.get(name, 0.0) + value / len(updates)
    if updates and "ratio" in updates[0]:
        means["ratio"] = updates[0]["ratio"]
    return means
