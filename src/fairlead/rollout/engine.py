"""The `Engine` protocol that recipes sample through, the engine of this process, and checks of what an engine
returns.

An engine in another process is not trusted: a wrong token would be trained on, and an id outside the
vocabulary would crash a kernel. `sample_rollouts` therefore checks every rollout.  It cannot detect that an
engine holds outdated weights; PPO's `sampler_gap` shows that, and `max_sampler_gap` stops the run.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from fairlead.core.errors import DataError
from fairlead.core.plural import counted
from fairlead.model.policy import Policy
from fairlead.rollout.records import Decode, Rollout, SampleRequest
from fairlead.rollout.sampler import Method, allows_slots, sample
from fairlead.rollout.verify_sampler import choose_method

MIN_LOGP = -3e38  # the lowest log-probability that float32 can hold


class Engine(Protocol):
    def sample(self, request: SampleRequest) -> list[Rollout]:
        """One rollout per prompt, in the order of the prompts, from the policy's present weights.

        The same seed and row id must give the same response, and different row ids must use independent
        random numbers. An engine may ignore the drafts; they must not change the responses.
        """


@dataclass
class LocalEngine:
    """Samples from the policy's own network.

    The first request decides how: by the fastest method that agrees with a plain forward pass on its first
    prompts.  Raises ModelError if no method does.
    """

    policy: Policy
    # The method chosen for rows that slots can hold (True), and for others (False).
    methods: dict[bool, Method] = field(default_factory=dict, init=False)

    def sample(self, request: SampleRequest) -> list[Rollout]:
        policy = self.policy
        if not request.prompts:
            return []
        longest = max(map(len, request.prompts)) + request.params.max_new_tokens
        in_slots = allows_slots(policy.network, longest)
        if in_slots not in self.methods:
            self.methods[in_slots], rejected = choose_method(policy, request.prompts, in_slots=in_slots)
            if rejected:
                _warn_of_method(self.methods[in_slots], rejected)
        with policy.backend.autocast(policy.device):  # the precision that the responses are trained in
            return sample(
                policy.network,
                request,
                stop_ids=policy.stop_ids,
                pad_id=policy.pad_id,
                decode=raw_decoder(policy),
                method=self.methods[in_slots],
            )


def _warn_of_method(method: Method, rejected: Sequence[str]) -> None:
    slow = ", which is slow" if method == "uncached" else ""
    print(
        f"warning: {'; '.join(rejected)}. Sampling ({method}) is used{slow}.",
        file=sys.stderr,
        flush=True,
    )


def sample_rollouts(engine: Engine, policy: Policy, request: SampleRequest) -> list[Rollout]:
    """The engine's rollouts, checked.  Raises DataError."""
    rollouts = engine.sample(request)
    vocab_size = int(policy.network.config.get_text_config().vocab_size)
    check_rollouts(
        rollouts, request, stop_ids=policy.stop_ids, vocab_size=vocab_size, decode=raw_decoder(policy)
    )
    return rollouts


def raw_decoder(policy: Policy) -> Decode:
    """Decodes tokens with all white space kept: stop strings are searched in this text."""
    return lambda tokens: str(policy.tokenizer.decode(list(tokens), skip_special_tokens=True))


def check_rollouts(
    rollouts: Sequence[Rollout],
    request: SampleRequest,
    *,
    stop_ids: frozenset[int],
    vocab_size: int,
    decode: Decode,
) -> None:
    """Raise DataError unless each rollout is a possible response to its prompt under the request's
    parameters.

    `vocab_size` is the number of tokens that the network can embed.
    """
    if len(rollouts) != len(request.prompts):
        raise DataError(
            f"The engine returned {counted(len(rollouts), 'rollout')} "
            f"for {counted(len(request.prompts), 'prompt')}."
        )
    for index, (rollout, prompt) in enumerate(zip(rollouts, request.prompts, strict=True)):
        fault = (
            _prompt_fault(rollout, prompt)
            or _token_fault(rollout, vocab_size, request.params.max_new_tokens)
            or _ending_fault(rollout, request, stop_ids, decode)
        )
        if fault:
            raise DataError(
                f"Rollout {index} of the engine: {fault}. Nothing was trained on it; check the engine."
            )


def _prompt_fault(rollout: Rollout, prompt: Sequence[int]) -> str | None:
    if rollout.prompt_tokens != tuple(prompt):
        return f"its prompt is {_abridged(rollout.prompt_tokens)}, but {_abridged(prompt)} was requested"
    return None


def _token_fault(rollout: Rollout, vocab_size: int, max_new_tokens: int) -> str | None:
    tokens, logps = rollout.tokens, rollout.logps
    if not 0 < len(tokens) <= max_new_tokens:
        return f"it has {counted(len(tokens), 'token')}; 1 to {max_new_tokens} were requested"
    for position, token in enumerate(tokens):
        if type(token) is not int or not 0 <= token < vocab_size:
            return f"token {position} is {token!r:.40}; token ids are 0 to {vocab_size - 1}"
    if len(logps) != len(tokens):
        return f"it has {len(logps)} log-probabilities for {counted(len(tokens), 'token')}"
    for position, logp in enumerate(logps):
        if type(logp) not in (int, float) or not MIN_LOGP <= logp <= 0:
            return f"the log-probability of token {position} is {logp!r:.40}; it must be finite and at most 0"
    if type(rollout.num_reused) is not int or not 0 <= rollout.num_reused <= len(tokens):
        return f"num_reused = {rollout.num_reused!r:.40} for {counted(len(tokens), 'token')}"
    return None


def _ending_fault(
    rollout: Rollout, request: SampleRequest, stop_ids: frozenset[int], decode: Decode
) -> str | None:
    stop_strings = request.params.stop

    def is_stopped(tokens: Sequence[int]) -> bool:
        if not stop_ids.isdisjoint(tokens):
            return True
        return bool(stop_strings) and any(stop in decode(tokens) for stop in stop_strings)

    tokens = rollout.tokens
    if is_stopped(tokens[:-1]):
        return "it continues after a stop token or a stop string"
    finish_reason = "stop" if is_stopped(tokens) else "length"
    if rollout.finish_reason != finish_reason:
        return (
            f"finish_reason = {rollout.finish_reason!r:.40}, but the last token, {tokens[-1]}, "
            f"means {finish_reason!r}"
        )
    if finish_reason == "length" and len(tokens) < request.params.max_new_tokens:
        return f"it was cut off after {len(tokens)} of {counted(request.params.max_new_tokens, 'token')}"
    return None


def _abridged(tokens: Sequence[int]) -> str:
    ellipsis = ", ..." if len(tokens) > 8 else ""
    return f"[{', '.join(map(str, tokens[:8]))}{ellipsis}] ({counted(len(tokens), 'token')})"
