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
from fairlead.ops.pool_names import Pool
from fairlead.ops.pooling import pooled
from fairlead.store.resolve_inputs import RULE
from fairlead.store.run import Run
from fairlead.train.verify_backend import verify_backend

# A rule reads the prompt's messages, the answer's text and whether the answer came to its end.
Rule = Callable[[Messages, str, bool], float]
# Prompts, answers, finished -> scores [B] on the CPU.
Reward = Callable[[Sequence[Messages], Sequence[str], Sequence[bool]], Tensor]

# What a faulty rule raises; anything else is not the rule's doing.
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


def from_model(model: ScalarModel, *, micro_tokens: int) -> Reward:
    """The model's score on the scale of its held-out answers: (score - mean) / std.  An answer that was cut off is read as if it ended."""

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
        return torch.tensor(
            [rule(*item) for item in zip(prompts, texts, finished, strict=True)], dtype=torch.float32
        )

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
            f"{target}: defines no function score(prompt, answer, finished). A rule needs one that returns a number."
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


def open_reward(
    reference: str,
    *,
    micro_tokens: int,
    policy: Policy | None = None,
    prepare: Callable[[ScalarModel], None] = lambda model: None,
    pool: Pool = "mean",
    pool_lambda: float = 0.0,
) -> Reward:
    """The judge that a configuration names: a rule, or the folder of a reward model, for which `prepare` is called once.

    The members of an ensemble are pooled into one score (`ops/pooling.py: pooled`).
    """
    members = open_members(reference, micro_tokens=micro_tokens, policy=policy, prepare=prepare)
    return (
        members[0]
        if len(members) == 1
        else lambda *answers: pooled(each_score(members, *answers), pool=pool, penalty=pool_lambda)
    )


def open_members(
    reference: str,
    *,
    micro_tokens: int,
    policy: Policy | None = None,
    prepare: Callable[[ScalarModel], None] = lambda model: None,
    name: str = "reward",
) -> list[Reward]:
    """The members of an ensemble, or the only one of any other judge.  What they say is one row each of `each_score`.

    One that was trained as an adapter on the policy's base becomes one more adapter on the policy's network, called by `name`.
    """
    if is_rule(reference):
        return [from_rule(load_rule(reference))]
    found = []
    for number, member in enumerate(member_folders(reference)):
        if policy is not None and shares_base(policy, member):
            model = load_shared_reward_model(policy, member, name=f"{name}-{number}" if number else name)
        else:
            model = load_reward_model(member)
        prepare(model)
        found.append(from_model(model, micro_tokens=micro_tokens))
    return found


def each_score(
    members: Sequence[Reward], prompts: Sequence[Messages], texts: Sequence[str], finished: Sequence[bool]
) -> Tensor:
    """What each member says of each answer.  [M, N]"""
    return torch.stack([member(prompts, texts, finished) for member in members])


def check_judge(run: Run, judge: ScalarModel, prompts: Sequence[Messages], precision: Precision) -> None:
    """Have a reward model score in the fastest way that gives its plain scores, tried on a few prompts."""
    judge.backend.precision = precision
    rows = [judge.encode((*prompt, Message("assistant", "Yes."))) for prompt in prompts[:NUM_CHECK_ROWS]]
    tried = collate(rows, pad_id=judge.pad_id, device=judge.device)
    verify_backend(run, judge, lambda: judge.scores(tried), what="reward model")


def is_rule(reference: str) -> bool:
    """True where a reference names a rule and no reward model."""
    return reference.startswith(RULE)
