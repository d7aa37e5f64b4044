"""Who answers prompts: this process, or somebody else.  Recipes ask an `Engine`, and train on nothing that `check` has not passed.

An engine in another process is not believed: wrong tokens would be trained on, and a token that is none would end the run inside a kernel.
What cannot be seen from one answer, such as weights that are not the policy's, shows in PPO's `sampler_gap`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from fairlead.core.errors import DataError
from fairlead.model.policy import Policy
from fairlead.rollout.records import Rollout, Sampling, Text
from fairlead.rollout.sampler import sample

LEAST = -3e38  # the log-probabilities that float32 can hold


class Engine(Protocol):
    def sample(
        self,
        prompts: Sequence[Sequence[int]],
        settings: Sampling,
        *,
        run_seed: int,
        rows: Sequence[int] | None = None,
        drafts: Sequence[Sequence[int]] | None = None,
    ) -> list[Rollout]:
        """One answer per prompt, in the prompts' order, by the policy as it is now.

        The same seed and row number, 0, 1, ... unless told, give the same answer; different rows must not share their randomness.
        `drafts` are earlier answers, which an engine may use or not; they must not change what it answers.
        """


@dataclass(frozen=True)
class LocalEngine:
    """The policy's own network."""

    policy: Policy

    def sample(
        self,
        prompts: Sequence[Sequence[int]],
        settings: Sampling,
        *,
        run_seed: int,
        rows: Sequence[int] | None = None,
        drafts: Sequence[Sequence[int]] | None = None,
    ) -> list[Rollout]:
        policy = self.policy
        with policy.backend.autocast(policy.device):  # in the precision that the answers are trained in
            return sample(
                policy.network,
                prompts,
                settings,
                stop_ids=policy.stop_ids,
                pad_id=policy.pad_id,
                run_seed=run_seed,
                rows=rows,
                drafts=drafts,
                text=spelling(policy),
            )


def answers(
    engine: Engine,
    policy: Policy,
    prompts: Sequence[Sequence[int]],
    settings: Sampling,
    *,
    run_seed: int,
    rows: Sequence[int] | None = None,
    drafts: Sequence[Sequence[int]] | None = None,
) -> list[Rollout]:
    """What the engine answers, checked.  Raises DataError."""
    rollouts = engine.sample(prompts, settings, run_seed=run_seed, rows=rows, drafts=drafts)
    vocabulary = int(policy.network.config.get_text_config().vocab_size)
    check(rollouts, prompts, settings, stop_ids=policy.stop_ids, vocabulary=vocabulary, text=spelling(policy))
    return rollouts


def spelling(policy: Policy) -> Text:
    """Tokens as they are spelled, white space included: what stop strings are looked for in."""
    return lambda tokens: str(policy.tokenizer.decode(list(tokens), skip_special_tokens=True))


def check(
    rollouts: Sequence[Rollout],
    prompts: Sequence[Sequence[int]],
    settings: Sampling,
    *,
    stop_ids: frozenset[int],
    vocabulary: int,
    text: Text,
) -> None:
    """Raises DataError unless each rollout is an answer to its prompt that these settings could have given.

    `vocabulary` is the number of tokens that the network can read.
    """
    if len(rollouts) != len(prompts):
        raise DataError(f"The engine was asked for {len(prompts)} answers and gave {len(rollouts)}.")
    for i, (rollout, prompt) in enumerate(zip(rollouts, prompts, strict=True)):
        fault = _fault(rollout, prompt, settings, stop_ids, vocabulary, text)
        if fault:
            raise DataError(f"Answer {i} of the engine: {fault}. It is not trained on; look at the engine.")


def _fault(
    rollout: Rollout,
    prompt: Sequence[int],
    settings: Sampling,
    stop_ids: frozenset[int],
    vocabulary: int,
    text: Text,
) -> str | None:
    tokens, logps, longest = rollout.tokens, rollout.logps, settings.max_new_tokens
    if rollout.prompt_tokens != tuple(prompt):
        return f"answers another prompt, {_shown(rollout.prompt_tokens)}, where {_shown(prompt)} was asked"
    if not 0 < len(tokens) <= longest:
        return f"has {len(tokens)} tokens; 1 to {longest} were asked for"
    for place, token in enumerate(tokens):
        if type(token) is not int or not 0 <= token < vocabulary:
            return f"token {place} is {token!r:.40}; tokens are the numbers 0 to {vocabulary - 1}"
    if len(logps) != len(tokens):
        return f"has {len(logps)} log-probabilities for {len(tokens)} tokens"
    for place, logp in enumerate(logps):
        if type(logp) not in (int, float) or not LEAST <= logp <= 0:
            return f"the log-probability of token {place} is {logp!r:.40}; it must be a finite number, 0 or below"

    def ends(some: Sequence[int]) -> bool:
        return not stop_ids.isdisjoint(some) or (
            bool(settings.stop) and any(stop in text(some) for stop in settings.stop)
        )

    if type(rollout.reused) is not int or not 0 <= rollout.reused <= len(tokens):
        return f"says that {rollout.reused!r:.40} of {len(tokens)} tokens were reused"
    if ends(tokens[:-1]):
        return "goes on after a stop token or a stop string"
    finish = "stop" if ends(tokens) else "length"
    if rollout.finish != finish:
        return f"says finish = {rollout.finish!r:.40}, but its last token, {tokens[-1]}, makes it {finish!r}"
    if finish == "length" and len(tokens) < longest:
        return f"was cut off after {len(tokens)} of {longest} tokens"
    return None


def _shown(tokens: Sequence[int]) -> str:
    return f"{list(tokens[:8])}{' and so on' if len(tokens) > 8 else ''} ({len(tokens)} tokens)"
