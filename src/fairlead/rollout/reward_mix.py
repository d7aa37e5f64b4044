"""The reward of a reinforcement-learning run: a main reward, weighted extra rewards, and rewards that are constrained by a floor.

Each is a reward model, an ensemble or a rule, on its own scale.  The constraints' multipliers change during the run, so the recipe keeps
them with the numbers of its checkpoints and passes them in.  Penalties and the KL term belong to the recipe.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from fairlead.core.errors import require
from fairlead.core.precision import Precision
from fairlead.data.records import Messages
from fairlead.model.policy import Policy
from fairlead.ops.pool_names import Pool
from fairlead.ops.pooling import disagreement, lagrangian, pooled, update_multiplier
from fairlead.rollout.rewards import Reward, open_members, score_by_member, verify_reward_backend
from fairlead.store.run import Run


@dataclass(frozen=True)
class Terms:
    """How the scores of a run are put together, as its configuration has it."""

    extra_rewards: Mapping[str, float]  # reference -> weight
    constraints: Mapping[str, float]  # reference -> floor
    constraint_lr: float
    pool: Pool
    pool_lambda: float

    def __post_init__(self) -> None:
        require(self.pool_lambda >= 0, "pool_lambda", self.pool_lambda, "must not be negative")
        require(self.constraint_lr > 0, "constraint_lr", self.constraint_lr, "must be positive")

    @property
    def fields(self) -> list[str]:
        """The fields of the configuration that the run is paid by."""
        extra = [f"extra_rewards.{ref}" for ref in self.extra_rewards]
        return ["reward", *extra, *(f"constraints.{ref}" for ref in self.constraints)]


def terms_of(config: Any) -> Terms:
    """What PPO's or GRPO's knobs say of them; what cannot be is refused."""
    return Terms(
        config.extra_rewards, config.constraints, config.constraint_lr, config.pool, config.pool_lambda
    )


class MixedScores(NamedTuple):
    """The scores of N responses by every reward of a run."""

    main: Tensor  # [N] of the main reward, pooled over its members
    spread: Tensor | None  # [N] standard deviation over the members; None with one member
    extra: dict[str, Tensor]  # reference -> [N]
    constrained: dict[str, Tensor]  # reference -> [N]


@dataclass(frozen=True)
class RewardMix:
    """All rewards of a run, each as the list of its members, by role."""

    terms: Terms
    members: dict[str, list[Reward]]

    def score(
        self, prompts: Sequence[Messages], texts: Sequence[str], finished: Sequence[bool]
    ) -> MixedScores:
        by_member = {
            role: score_by_member(members, prompts, texts, finished) for role, members in self.members.items()
        }
        scores = {
            role: member_scores[0]
            if len(member_scores) == 1
            else pooled(member_scores, pool=self.terms.pool, penalty=self.terms.pool_lambda)
            for role, member_scores in by_member.items()
        }
        spread = disagreement(by_member["reward"]) if len(by_member["reward"]) > 1 else None
        extra = {ref: scores[f"extra_rewards.{ref}"] for ref in self.terms.extra_rewards}
        constrained = {ref: scores[f"constraints.{ref}"] for ref in self.terms.constraints}
        return MixedScores(scores["reward"], spread, extra, constrained)

    def total(self, scores: MixedScores, multipliers: Mapping[str, float]) -> Tensor:
        """The weighted sum of main and extra rewards, then the Lagrangian of the constraints.  [N]

        `multipliers` holds a constraint's multiplier under `multiplier.REFERENCE`; a missing multiplier is 0, its value at the start.
        """
        total = scores.main
        for ref, weight in self.terms.extra_rewards.items():
            total = total + weight * scores.extra[ref]
        if not scores.constrained:
            return total
        floors = torch.tensor(list(self.terms.constraints.values()))
        values = torch.tensor([multiplier(multipliers, ref) for ref in self.terms.constraints])
        return lagrangian(total, torch.stack(list(scores.constrained.values())), floors, values)

    def metrics(self, scores: MixedScores, multipliers: Mapping[str, float]) -> dict[str, float]:
        """`score.NAME` of every reward but the main one, and `multiplier.NAME` of every constraint, as this step used it."""
        by_reference = scores.extra | scores.constrained
        means = {f"score.{ref}": float(values.mean()) for ref, values in by_reference.items()}
        return means | {f"multiplier.{ref}": multiplier(multipliers, ref) for ref in scores.constrained}

    def next_multipliers(self, scores: MixedScores, multipliers: Mapping[str, float]) -> dict[str, float]:
        """All multipliers after one step of dual ascent, as `multiplier.REFERENCE`."""
        return {
            f"multiplier.{ref}": update_multiplier(
                multiplier(multipliers, ref),
                float(scores.constrained[ref].mean()),
                floor=floor,
                lr=self.terms.constraint_lr,
            )
            for ref, floor in self.terms.constraints.items()
        }


def multiplier(multipliers: Mapping[str, float], ref: str) -> float:
    """A constraint's multiplier; 0 at the start of a run."""
    return multipliers.get(f"multiplier.{ref}", 0.0)


def open_reward_mix(
    run: Run,
    terms: Terms,
    *,
    policy: Policy,
    micro_tokens: int,
    prompts: Sequence[Messages],
    precision: Precision,
) -> RewardMix:
    """Open all rewards of the run, on the policy's own network where they were trained there, and verify their backends."""
    members = {}
    for number, role in enumerate(terms.fields):
        members[role] = open_members(
            run.model_path(role),
            micro_tokens=micro_tokens,
            policy=policy,
            prepare=lambda model: verify_reward_backend(run, model, prompts, precision),
            adapter_name=f"reward-of-{number}" if number else "reward",
        )
    return RewardMix(terms, members)
