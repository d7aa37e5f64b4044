"""What a run of reinforcement learning is paid by: one reward, others added to it, and others that must not fall below a floor.

Each is a reward model, an ensemble of them, or a rule; each on its own scale.  The multipliers of the floors move during the run, so they
stand among the numbers of its checkpoints, and are handed in.  Penalties and the price of KL are the recipe's.
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
from fairlead.rollout.rewards import Reward, check_judge, each_score, open_members
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


class Scored(NamedTuple):
    """N answers, judged."""

    score: Tensor  # [N] of the reward, pooled over its members
    spread: Tensor | None  # [N] how far its members disagree; None where there is one
    extra: dict[str, Tensor]  # reference -> [N]
    bounded: dict[str, Tensor]  # reference -> [N]


@dataclass(frozen=True)
class Judges:
    """Each as its members, by field of the configuration."""

    terms: Terms
    members: dict[str, list[Reward]]

    def score(self, prompts: Sequence[Messages], texts: Sequence[str], finished: Sequence[bool]) -> Scored:
        each = {
            field: each_score(members, prompts, texts, finished) for field, members in self.members.items()
        }
        one = {
            field: scores[0]
            if len(scores) == 1
            else pooled(scores, pool=self.terms.pool, penalty=self.terms.pool_lambda)
            for field, scores in each.items()
        }
        spread = disagreement(each["reward"]) if len(each["reward"]) > 1 else None
        extra = {ref: one[f"extra_rewards.{ref}"] for ref in self.terms.extra_rewards}
        return Scored(
            one["reward"], spread, extra, {ref: one[f"constraints.{ref}"] for ref in self.terms.constraints}
        )

    def total(self, scored: Scored, numbers: Mapping[str, float]) -> Tensor:
        """What the answers are worth together: the weighed sum, then the Lagrangian of the constraints.  [N]"""
        total = scored.score
        for ref, weight in self.terms.extra_rewards.items():
            total = total + weight * scored.extra[ref]
        if not scored.bounded:
            return total
        floors = torch.tensor(list(self.terms.constraints.values()))
        multipliers = torch.tensor([multiplier(numbers, ref) for ref in self.terms.constraints])
        return lagrangian(total, torch.stack(list(scored.bounded.values())), floors, multipliers)

    def metrics(self, scored: Scored, numbers: Mapping[str, float]) -> dict[str, float]:
        """`score.NAME` of every reward but the first, and `multiplier.NAME` of every constraint as it stood in this step."""
        found = {
            f"score.{ref}": float(scores.mean()) for ref, scores in (scored.extra | scored.bounded).items()
        }
        return found | {f"multiplier.{ref}": multiplier(numbers, ref) for ref in scored.bounded}

    def raised(self, scored: Scored, numbers: Mapping[str, float]) -> dict[str, float]:
        """The multipliers after a step of dual ascent, by their names among the numbers."""
        return {
            f"multiplier.{ref}": update_multiplier(
                multiplier(numbers, ref),
                float(scored.bounded[ref].mean()),
                floor=floor,
                lr=self.terms.constraint_lr,
            )
            for ref, floor in self.terms.constraints.items()
        }


def multiplier(numbers: Mapping[str, float], ref: str) -> float:
    """Of a constraint; it begins at 0, as if there were none."""
    return numbers.get(f"multiplier.{ref}", 0.0)


def open_judges(
    run: Run,
    terms: Terms,
    *,
    policy: Policy,
    micro_tokens: int,
    prompts: Sequence[Messages],
    precision: Precision,
) -> Judges:
    """All of them, on the policy's own network where they were trained there; each tried on a few of the prompts."""

    def members(number: int, field: str) -> list[Reward]:
        return open_members(
            run.model_path(field),
            micro_tokens=micro_tokens,
            policy=policy,
            prepare=lambda model: check_judge(run, model, prompts, precision),
            name=f"reward-of-{number}" if number else "reward",
        )

    return Judges(terms, {field: members(number, field) for number, field in enumerate(terms.fields)})
