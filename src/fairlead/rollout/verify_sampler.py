"""Compare the methods of sampling with a plain forward pass, and choose the fastest that agrees.

A method draws a few tokens after the first prompts and says how likely each token was.  The network's own
modules then read each row at once, without a cache, a batch or padding, and say the same.  Where a method
misunderstands a model's cache, mask or state, they differ by tenths of a nat, and other words are sampled.
"""

from collections.abc import Sequence
from typing import NamedTuple, get_args

import torch
from torch import Tensor

from fairlead.core.errors import ModelError
from fairlead.model.check_network import FAULTS, reason
from fairlead.model.policy import Policy
from fairlead.rollout.records import Rollout, SampleRequest, SamplingParams
from fairlead.rollout.sampler import Method, sample
from fairlead.train.verify_backend import PADDED, in_float32

# Nats, for a token of a log-probability of up to 10; more for less likely tokens.  Rounding in float32 causes
# 1e-6 to 1e-5 in the small models of benchmarks/architectures.py, a wrong cache or mask 5e-3 to 5.
TOLERANCE = 2e-4
LIMIT = 1e-2  # the method that agrees best is used, with a warning, up to here: large models round more
NUM_PROMPTS = 3
NUM_TOKENS = 8  # drawn after each prompt
MAX_PROMPT = 512  # tokens; the logits of a whole row are in memory at once


class Verified(NamedTuple):
    method: Method
    rejected: tuple[str, ...]  # one sentence per faster method


@torch.no_grad()
def choose_method(policy: Policy, prompts: Sequence[Sequence[int]], *, in_slots: bool = True) -> Verified:
    """The fastest method whose log-probabilities equal those of a plain forward pass, in float32; if none
    does, the nearest.

    Without `in_slots` the rows to sample are too long for slots, or the architecture does not allow them.

    Raises ModelError if none comes near.
    """
    network = policy.network
    request = SampleRequest(
        prompts=_trial_prompts(prompts),
        params=SamplingParams(max_new_tokens=NUM_TOKENS),
        seed=0,
    )
    rejected: list[str] = []
    gaps: dict[Method, float] = {}
    for method in get_args(Method)[0 if in_slots else 1 :]:
        try:
            with in_float32(network):
                rollouts = sample(
                    network, request, stop_ids=policy.stop_ids, pad_id=policy.pad_id, method=method
                )
                gap = _gap(policy, rollouts)
        except FAULTS as error:
            rejected.append(f"sampling ({method}) fails: {reason(error)}")
            continue
        if gap <= TOLERANCE:  # False for NaN
            return Verified(method, tuple(rejected))
        rejected.append(f"sampling ({method}) differs from a plain forward pass by {gap:.1e} nats")
        gaps[method] = gap
    best = min(gaps, key=lambda method: gaps[method], default=None)
    if best is not None and gaps[best] <= LIMIT:
        return Verified(best, tuple(rejected))
    raise ModelError(
        f"{policy.reference or 'model'}: no method samples from this {network.config.model_type} model what "
        f"the model itself computes: {'; '.join(rejected)}. At most {LIMIT} nats are accepted. "
        "docs/reference/models.md lists the architectures that can be sampled."
    )


def _trial_prompts(prompts: Sequence[Sequence[int]]) -> list[tuple[int, ...]]:
    """The first distinct prompts, and half of the first: rows of different lengths need padding."""
    distinct = list(dict.fromkeys(tuple(prompt[-MAX_PROMPT:]) for prompt in prompts[: 8 * NUM_PROMPTS]))
    first = distinct[0]
    return [*distinct[:NUM_PROMPTS], first[len(first) // 2 :]]


def _gap(policy: Policy, rollouts: Sequence[Rollout]) -> float:
    """The largest difference of a token's log-probability, scaled for tokens below exp(-10)."""
    gaps = []
    for rollout in rollouts:
        plain = _plain_logps(policy, rollout)
        sampled = torch.tensor(rollout.logps, device=plain.device)
        gaps.append(((plain - sampled).abs() / (plain.abs() / 10).clamp_min(1)).max())
    return float(torch.stack(gaps).max())


def _plain_logps(policy: Policy, rollout: Rollout) -> Tensor:
    """The response's log-probabilities by one pass of the network's own modules over one row.  [T]"""
    backend = policy.backend
    fused = backend.fused_modules
    backend.fused_modules = PADDED["fused_modules"]
    try:
        network = policy.network
        row = torch.tensor([[*rollout.prompt_tokens, *rollout.tokens]], device=policy.device)
        logits = network(input_ids=row, use_cache=False).logits[0, len(rollout.prompt_tokens) - 1 : -1]
    finally:
        backend.fused_modules = fused
        policy.network  # noqa: B018  installs the modules again
    chosen = row[0, len(rollout.prompt_tokens) :, None]
    logps: Tensor = logits.float().log_softmax(dim=-1).gather(1, chosen).squeeze(1)
    return logps
