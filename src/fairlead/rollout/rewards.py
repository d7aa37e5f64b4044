"""Score sampled answers with a reward model or with a rule in Python: one number per answer."""

import importlib
import math
import re
import runpy
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor

from fairlead.core.errors import ConfigError
from fairlead.core.precision import Precision
from fairlead.data.records import Message, Messages
from fairlead.encoding.batching import NUM_CHECK_ROWS, collate, map_micro_batches
from fairlead.model.ensemble import member_folders
from fairlead.model.policy import Policy
from fairlead.model.reward_model import load_reward_model, load_shared_reward_model, shares_base
from fairlead.model.scalar_model import ScalarModel
from fairlead.ops.combine_rewards import pooled
from fairlead.ops.pool_names import Pool
from fairlead.store.resolve_inputs import RULE
from fairlead.store.run import Run
from fairlead.train.verify_backend import verify_backend

# A rule: the prompt's messages, the response's text, whether the response ended by itself -> a score.
Rule = Callable[[Messages, str, bool], float]
# Prompts, responses, finished -> scores [N] on the CPU.
Reward = Callable[[Sequence[Messages], Sequence[str], Sequence[bool]], Tensor]

# Exceptions that a faulty rule can raise.  They are reported as faults of the rule; any other exception is
# not.
RULE_FAULTS = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    ImportError,
    re.error,
    LookupError,
    NameError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
)


def is_rule(reference: str) -> bool:
    """Whether a reference names a rule, and not a reward model."""
    return reference.startswith(RULE)


def open_reward(
    reference: str,
    *,
    micro_tokens: int,
    policy: Policy | None = None,
    prepare: Callable[[ScalarModel], None] = lambda model: None,
    pool: Pool = "mean",
    pool_lambda: float = 0.0,
) -> Reward:
    """The reward that a reference names: a rule, or the folder of a reward model.

    `prepare` is called once for each loaded reward model.  The members of an ensemble are pooled into one
    score (`ops/combine_rewards.py`).
    """
    members = open_members(reference, micro_tokens=micro_tokens, policy=policy, prepare=prepare)
    if len(members) == 1:
        return members[0]
    return lambda *responses: pooled(score_by_member(members, *responses), pool=pool, penalty=pool_lambda)


def open_members(
    reference: str,
    *,
    micro_tokens: int,
    policy: Policy | None = None,
    prepare: Callable[[ScalarModel], None] = lambda model: None,
    adapter_name: str = "reward",
) -> list[Reward]:
    """The members of an ensemble; of any other reward, a list with this reward.

    A reward model that was trained as an adapter on the policy's base becomes another adapter on the policy's
    network.
    """
    if is_rule(reference):
        return [from_rule(load_rule(reference))]
    members = []
    for number, folder in enumerate(member_folders(reference)):
        if policy is not None and shares_base(policy, folder):
            name = f"{adapter_name}-{number}" if number else adapter_name
            model = load_shared_reward_model(policy, folder, name=name)
        else:
            model = load_reward_model(folder)
        prepare(model)
        members.append(from_model(model, micro_tokens=micro_tokens))
    return members


def score_by_member(
    members: Sequence[Reward], prompts: Sequence[Messages], texts: Sequence[str], finished: Sequence[bool]
) -> Tensor:
    """The score of each member for each response.  [M, N]"""
    return torch.stack([member(prompts, texts, finished) for member in members])


def verify_reward_backend(
    run: Run, model: ScalarModel, prompts: Sequence[Messages], precision: Precision
) -> None:
    """Choose the fastest backend that reproduces the reward model's plain scores, on a few prompts."""
    model.backend.precision = precision
    rows = [model.encode((*prompt, Message("assistant", "Yes."))) for prompt in prompts[:NUM_CHECK_ROWS]]
    batch = collate(rows, pad_id=model.pad_id, device=model.device)
    verify_backend(run, model, lambda: model.scores(batch), what="reward model")


def from_model(model: ScalarModel, *, micro_tokens: int) -> Reward:
    """The model's score, standardised by the scores of its held-out responses: (score - mean) / std.

    A response that was cut off is scored as if it had ended.
    """

    @torch.no_grad()
    def score(prompts: Sequence[Messages], texts: Sequence[str], finished: Sequence[bool]) -> Tensor:
        rows = [
            model.encode((*prompt, Message("assistant", text)), max_tokens=model.context)
            for prompt, text in zip(prompts, texts, strict=True)
        ]
        batch = collate(rows, pad_id=model.pad_id, device=model.device)
        raw = map_micro_batches(model.scores, batch, micro_tokens, packed=model.backend.packed)
        return ((raw - model.scale.mean) / model.scale.std).cpu()

    return score


def from_rule(rule: Rule) -> Reward:
    def score(prompts: Sequence[Messages], texts: Sequence[str], finished: Sequence[bool]) -> Tensor:
        responses = zip(prompts, texts, finished, strict=True)
        return torch.tensor([rule(*response) for response in responses], dtype=torch.float32)

    return score


def load_rule(reference: str) -> Rule:
    """The function `score(prompt, answer, finished) -> float` that `rule:FILE.py` or `rule:MODULE` names.

    The file is run, or the module imported.  An error inside either is a ConfigError that names the rule.
    """
    target = reference.removeprefix(RULE)
    try:
        if Path(target).is_file():
            score = runpy.run_path(target).get("score")
        else:
            score = getattr(importlib.import_module(target), "score", None)
    except (SyntaxError, *RULE_FAULTS) as error:
        raise ConfigError(f"{target}: cannot be loaded: {type(error).__name__}: {error}.") from error
    if not callable(score):
        raise ConfigError(
            f"{target}: defines no function score(prompt, answer, finished). A rule needs this function; "
            "it returns a number."
        )

    def rule(prompt: Messages, answer: str, finished: bool) -> float:
        try:
            value = float(score(prompt, answer, finished))
        except RULE_FAULTS as error:
            raise ConfigError(
                f"{target}: score failed on the answer {answer[:60]!r}: {type(error).__name__}: {error}."
            ) from error
        if not math.isfinite(value):
            raise ConfigError(
                f"{target}: score returned {value} for the answer {answer[:60]!r}; a finite number is needed."
            )
        return value

    return rule
