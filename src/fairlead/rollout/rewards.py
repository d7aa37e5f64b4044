"""Score sampled answers with a reward model or with a rule in Python: one number per answer."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from fairlead.core.precision import Precision
from fairlead.data.records import Message, Messages
from fairlead.encoding.batching import NUM_CHECK_ROWS, collate, map_micro_batches
from fairlead.model.ensemble import member_folders
from fairlead.model.policy import Policy
from fairlead.model.reward_model import load_reward_model, load_shared_reward_model, shares_base
from fairlead.model.scalar_model import ScalarModel
from fairlead.ops.combine_rewards import pooled
from fairlead.ops.pool_names import Pool
from fairlead.rollout.records import Answer
from fairlead.rollout.rules import TIMEOUT_S, Rule, load_rule
from fairlead.store.resolve_inputs import RULE
from fairlead.store.run import Run
from fairlead.train.verify_backend import verify_backend

# The answers of a step -> scores [N] on the CPU.
Reward = Callable[[Sequence[Answer]], Tensor]


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
    rule_timeout_s: float = TIMEOUT_S,
) -> Reward:
    """The reward that a reference names: a rule, or the folder of a reward model.

    `prepare` is called once for each loaded reward model.  The members of an ensemble are pooled into one
    score (`ops/combine_rewards.py`).
    """
    members = open_members(
        reference, micro_tokens=micro_tokens, policy=policy, prepare=prepare, rule_timeout_s=rule_timeout_s
    )
    if len(members) == 1:
        return members[0]
    return lambda answers: pooled(score_by_member(members, answers), pool=pool, penalty=pool_lambda)


def open_members(
    reference: str,
    *,
    micro_tokens: int,
    policy: Policy | None = None,
    prepare: Callable[[ScalarModel], None] = lambda model: None,
    adapter_name: str = "reward",
    rule_timeout_s: float = TIMEOUT_S,
) -> list[Reward]:
    """The members of an ensemble; of any other reward, a list with this reward.

    A reward model that was trained as an adapter on the policy's base becomes another adapter on the policy's
    network.
    """
    if is_rule(reference):
        return [from_rule(load_rule(reference.removeprefix(RULE), timeout_s=rule_timeout_s))]
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


def score_by_member(members: Sequence[Reward], answers: Sequence[Answer]) -> Tensor:
    """The score of each member for each answer.  [M, N]"""
    return torch.stack([member(answers) for member in members])


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
    def score(answers: Sequence[Answer]) -> Tensor:
        rows = [
            model.encode((*answer.row.prompt, Message("assistant", answer.text)), max_tokens=model.context)
            for answer in answers
        ]
        batch = collate(rows, pad_id=model.pad_id, device=model.device)
        raw = map_micro_batches(model.scores, batch, micro_tokens, packed=model.backend.packed)
        return ((raw - model.scale.mean) / model.scale.std).cpu()

    return score


def from_rule(rule: Rule) -> Reward:
    return lambda answers: torch.tensor(rule(answers), dtype=torch.float32)
