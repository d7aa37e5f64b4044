"""The reward of a reinforcement-learning run: a main reward, weighted extra rewards, and rewards that are
constrained by a floor.

Each is a reward model, an ensemble, a rule or a judge behind an endpoint, on its own scale.  The constraints'
multipliers change during the run, so the recipe keeps them with the numbers of its checkpoints and passes
them in.  The KL term belongs to the recipe.  N responses.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from fairlead.core.precision import Precision
from fairlead.model.policy import Policy
from fairlead.model.scalar_model import ScalarModel
from fairlead.ops.combine_rewards import disagreement, lagrangian, update_multiplier
from fairlead.ops.pool_names import Pool
from fairlead.rollout.judge_file import is_llm
from fairlead.rollout.llm_judge import llm_reward, open_llm_judge
from fairlead.rollout.readable import PromptTrial, Reward, announced
from fairlead.rollout.records import Answer
from fairlead.rollout.rewards import (
    DEFAULT_SCORING,
    needs_reference,
    open_members,
    open_reward,
    pooled_scores,
    score_by_member,
    verify_reward_backend,
)
from fairlead.store.run import Run
from fairlead.train.settings import Rewards, Scoring


class MixedScores(NamedTuple):
    """The scores of N responses by every reward of a run."""

    main: Tensor  # [N] of the main reward, pooled over its members
    spread: Tensor | None  # [N] standard deviation over the members; None with one member
    extra: dict[str, Tensor]  # reference -> [N]
    constrained: dict[str, Tensor]  # reference -> [N]
    probe: Tensor | None  # [N] of the probe, which is never trained on
    penalty: Tensor  # [N] unfinished_penalty of a response that did not end by itself, else 0
    unreadable: Tensor  # [N] bool: some judge could not read the response


@dataclass(frozen=True)
class RewardMix:
    """All rewards of a run, each as the list of its members, by role."""

    settings: Rewards
    members: dict[str, list[Reward]]
    probe: Reward | None = None
    scoring: Scoring = DEFAULT_SCORING

    def score(self, answers: Sequence[Answer]) -> MixedScores:
        settings = self.settings
        by_member = {role: score_by_member(members, answers) for role, members in self.members.items()}
        finished = torch.tensor([answer.finished for answer in answers], dtype=torch.float32)
        judged = {
            role: pooled_scores(
                scores, pool=settings.pool, penalty=settings.pool_lambda, scoring=self.scoring
            )
            for role, scores in by_member.items()
        }
        scores = {role: role_scores.values for role, role_scores in judged.items()}
        probe = None if self.probe is None else self.probe(answers)
        unreadable = [role_scores.unreadable for role_scores in (*judged.values(), probe) if role_scores]
        members = by_member["reward"].values
        return MixedScores(
            main=scores["reward"],
            spread=disagreement(members) if len(members) > 1 else None,
            extra={ref: scores[f"extra_rewards.{ref}"] for ref in settings.extra},
            constrained={ref: scores[f"constraints.{ref}"] for ref in settings.constraints},
            probe=None if probe is None else probe.values,
            penalty=settings.unfinished_penalty * (1 - finished),
            unreadable=torch.stack(unreadable).any(dim=0),
        )

    def total(self, scores: MixedScores, multipliers: Mapping[str, float]) -> Tensor:
        """The weighted sum of main and extra rewards, then the Lagrangian of the constraints; without the
        penalty.  [N]

        `multipliers` holds a constraint's multiplier under `multiplier.REFERENCE`; a missing multiplier is 0,
        its value at the start.
        """
        total = scores.main
        for ref, weight in self.settings.extra.items():
            total = total + weight * scores.extra[ref]
        if not scores.constrained:
            return total
        floors = torch.tensor(list(self.settings.constraints.values()))
        values = torch.tensor([multiplier(multipliers, ref) for ref in self.settings.constraints])
        return lagrangian(total, torch.stack(list(scores.constrained.values())), floors, values)

    def quality(self, scores: MixedScores) -> float:
        """The figure by which the guard compares steps: the mean score of the probe.

        Without a probe, the mean total reward, without multipliers: they change during the run, and steps
        would not be comparable.
        """
        if scores.probe is not None:
            return float(scores.probe.mean())
        return float((self.total(scores, {}) - scores.penalty).mean())

    def next_multipliers(self, scores: MixedScores, multipliers: Mapping[str, float]) -> dict[str, float]:
        """All multipliers after one step of dual ascent, as `multiplier.REFERENCE`."""
        return {
            f"multiplier.{ref}": update_multiplier(
                multiplier(multipliers, ref),
                float(scores.constrained[ref].mean()),
                floor=floor,
                lr=self.settings.constraint_lr,
            )
            for ref, floor in self.settings.constraints.items()
        }

    def metrics(self, scores: MixedScores, multipliers: Mapping[str, float]) -> dict[str, float]:
        """The mean of every score, and the multipliers that this step used."""
        by_reference = scores.extra | scores.constrained
        metrics = {"score": float(scores.main.mean())}
        metrics |= {f"score.{ref}": float(values.mean()) for ref, values in by_reference.items()}
        metrics |= {f"multiplier.{ref}": multiplier(multipliers, ref) for ref in scores.constrained}
        if scores.spread is not None:
            metrics["score_std"] = float(scores.spread.mean())
        if scores.unreadable.any():
            metrics["unreadable_frac"] = float(scores.unreadable.float().mean())
        if scores.probe is not None:
            metrics["probe"] = float(scores.probe.mean())
        return metrics


def multiplier(multipliers: Mapping[str, float], ref: str) -> float:
    """A constraint's multiplier; 0 at the start of a run."""
    return multipliers.get(f"multiplier.{ref}", 0.0)


def open_reward_mix(
    run: Run,
    settings: Rewards,
    *,
    scoring: Scoring,
    policy: Policy,
    micro_tokens: int,
    trial: PromptTrial,
    precision: Precision,
) -> RewardMix:
    """Open all rewards of the run and its probe, and verify the backends of the reward models.

    `trial` learns which prompts they can read.  Reward models that were trained on the policy's base become
    adapters on the policy's network; the probe stays on its own.
    """

    members = {}
    for number, role in enumerate(settings.roles):
        if needs_reference(run.model_path(role)):
            trial.require_references(judge_name(run, role))
        if is_llm(run.model_path(role)):
            opened = [_open_llm_reward(run, role, trial, scoring)]
        else:
            opened = open_members(
                run.model_path(role),
                micro_tokens=micro_tokens,
                policy=policy,
                prepare=try_and_verify(run, role, trial, precision),
                adapter_name=f"reward-of-{number}" if number else "reward",
                scoring=scoring,
            )
        members[role] = [announced(run, judge_name(run, role), member, scoring) for member in opened]
    probe = None
    if "probe" in run.inputs:
        probe = open_judge(run, "probe", trial=trial, micro_tokens=micro_tokens, scoring=scoring)
    return RewardMix(settings, members, probe, scoring)


def judge_name(run: Run, role: str) -> str:
    """What messages call a judge: `reward = rm`, or `constraints.harmless`."""
    ref = run.inputs[role].ref
    return role if role.endswith(ref) else f"{role} = {ref}"


def open_judge(
    run: Run,
    role: str,
    *,
    trial: PromptTrial,
    micro_tokens: int,
    scoring: Scoring,
    pool: Pool = "mean",
    pool_lambda: float = 0.0,
) -> Reward:
    """The reward in one role of a run, in float32 and on networks of its own.

    `trial` learns which prompts it can read.
    """
    if needs_reference(run.model_path(role)):
        trial.require_references(judge_name(run, role))
    if is_llm(run.model_path(role)):
        reward = _open_llm_reward(run, role, trial, scoring)
    else:
        reward = open_reward(
            run.model_path(role),
            micro_tokens=micro_tokens,
            prepare=try_and_verify(run, role, trial, "float32"),
            pool=pool,
            pool_lambda=pool_lambda,
            scoring=scoring,
        )
    return announced(run, judge_name(run, role), reward, scoring)


def _open_llm_reward(run: Run, role: str, trial: PromptTrial, scoring: Scoring) -> Reward:
    """A judge behind an endpoint, which is tried on the first prompts."""
    judge = open_llm_judge(run, role, name=judge_name(run, role))
    judge.require_readable_scores(trial.rows)
    return llm_reward(judge, scoring)


def try_and_verify(
    run: Run, role: str, trial: PromptTrial, precision: Precision
) -> Callable[[ScalarModel], None]:
    """Tries the prompts against a reward model, and verifies its backend on those that it can read."""

    def prepare(model: ScalarModel) -> None:
        verify_reward_backend(run, model, trial.try_model(judge_name(run, role), model), precision)

    return prepare
