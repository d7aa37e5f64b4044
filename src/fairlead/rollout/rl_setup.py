"""Set up a reinforcement-learning run: networks, prompts, rewards, optimisers, and the state that checkpoints
hold.

The functions return records.  Sampling, losses and the order of events belong to the recipes.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor

from fairlead.core.errors import ModelError, NonFiniteStep
from fairlead.core.seed import derive_seed
from fairlead.encoding.batching import NUM_CHECK_ROWS, Batch, collate
from fairlead.encoding.chat import Encoded
from fairlead.examples.replay import read_mix
from fairlead.model.critic import open_critic
from fairlead.model.policy import Policy
from fairlead.model.scalar_model import ScalarModel
from fairlead.rollout.engine import Engine
from fairlead.rollout.judge_file import is_llm
from fairlead.rollout.prompt_sampler import PromptSampler, load_prompts
from fairlead.rollout.readable import PromptTrial
from fairlead.rollout.reward_mix import RewardMix, open_reward_mix
from fairlead.rollout.rewards import is_rule
from fairlead.rollout.speculative import empty_draft_table
from fairlead.rollout.training_rows import trial_row
from fairlead.store.artifact import Artifact
from fairlead.store.run import Run
from fairlead.train import checkpoint, diagnostics, guard
from fairlead.train.admission_gate import check_admission
from fairlead.train.checkpoint import State
from fairlead.train.master_weights import MasterWeights
from fairlead.train.meter import Meter
from fairlead.train.optim import clip_gradients, take_step
from fairlead.train.settings import Optim, Ptx, SamplingSettings
from fairlead.train.setup import (
    build_optimizer,
    choose_backend,
    lora,
    open_policy,
    publish_model,
    token_budget,
)

PUBLISHED_METRICS = (
    "score",
    "kl",
    "entropy",
    "response_tokens",
    "finished_frac",
    "probe",
    "published",
)


# Nats.  Rounding in float32 causes less than 1e-3.  bfloat16 has 8 bits: a logit of 30 is rounded by up to
# 0.06, in sampling and in training differently, and the metric is the largest difference of all tokens.
MAX_SAMPLER_GAP = {"float32": 0.01, "bfloat16": 0.3, "pure-bfloat16": 0.3}


# Losses square rewards and add the squares up, and float32 ends at 3e38.
LARGEST_REWARD = 1e15


def require_trainable(rewards: Tensor, *, step: int) -> None:
    """Raise NonFiniteStep for rewards [N] that would make a loss or a gradient infinite."""
    largest = float(rewards.abs().max())
    if not largest <= LARGEST_REWARD:
        raise NonFiniteStep(
            f"step {step}: a reward is {float(rewards[rewards.abs().argmax()]):.3g}, so large that gradients "
            f"would not be finite. The weights are unchanged. Give rewards between -{LARGEST_REWARD:g} and "
            f"{LARGEST_REWARD:g}: change the rule, or clip them with score_clip in PPO."
        )


@dataclass(frozen=True)
class Updater:
    """The optimiser of one network, over its float32 master weights."""

    optimizer: torch.optim.Optimizer
    master_weights: MasterWeights
    max_norm: float

    def clip(self, *, step: int) -> float:
        """Clip the gradients; returns their norm before.  Raises NonFiniteStep before any weight moves."""
        return clip_gradients(
            self.optimizer, max_norm=self.max_norm, step=step, master_weights=self.master_weights
        )

    def step(self, *, lr: float) -> None:
        take_step(self.optimizer, lr=lr, master_weights=self.master_weights)


@dataclass(frozen=True, kw_only=True)
class Actor:
    """A policy that is trained on sampled responses, and what its loop needs."""

    policy: Policy
    policy_updater: Updater
    prompts: PromptSampler
    rewards: RewardMix
    micro_tokens: int  # tokens per forward pass
    # What a checkpoint holds.  `state.numbers` has kl_coef, the multipliers, and what the guard remembers.
    state: State
    start: int  # steps that are already done
    max_sampler_gap: float  # nats; the largest sampler_gap of the first step with which the run goes on
    meter: Meter

    @property
    def updaters(self) -> tuple[Updater, ...]:
        return (self.policy_updater,)


@dataclass(frozen=True, kw_only=True)
class ActorCritic(Actor):
    critic: ScalarModel
    critic_updater: Updater
    ptx_rows: list[Encoded]  # rows of the likelihood term; empty without [ptx]

    @property
    def updaters(self) -> tuple[Updater, ...]:
        return (self.policy_updater, self.critic_updater)


def prepare_actor(
    run: Run, config: SamplingSettings, open_engine: Callable[[Policy], Engine], *, prompts_per_step: int
) -> Actor:
    """For GRPO.  Without a KL term (kl_coef = 0) no reference is kept."""
    check_admission(run, config.rewards.roles, trust=config.rewards.trust)
    policy = open_policy(run, config)
    engine = open_engine(policy)
    prompts = _load_prompts(run, engine, policy, config, prompts_per_step)
    batch = _trial_batch(prompts)
    choose_backend(run, policy, lambda: policy.token_logps(batch), config.hardware, what="policy")
    master_weights = MasterWeights(policy.trainable(), config.hardware.precision)
    if config.kl_coef:
        policy.keep_reference()
    parameters = (parameter for network in policy.networks() for parameter in network.parameters())
    num_tokens = int(batch.token_mask.sum())
    micro_tokens = token_budget(run, parameters, lambda: policy.token_logps(batch), num_tokens, config)
    rewards, prompts = _open_rewards(run, config, prompts, micro_tokens, prompts_per_step)
    updater = _updater(master_weights, config.optim)
    state = State(master_weights.parameters, {"optimizer": updater.optimizer}, {"kl_coef": config.kl_coef})
    return Actor(
        policy=policy,
        policy_updater=updater,
        prompts=prompts,
        rewards=rewards,
        micro_tokens=micro_tokens,
        state=state,
        start=_resume(run, state, updater),
        max_sampler_gap=_max_sampler_gap(config),
        meter=Meter(run),
    )


def prepare_actor_critic(
    run: Run,
    config: SamplingSettings,
    open_engine: Callable[[Policy], Engine],
    *,
    critic_start: Literal["reward", "policy"],
    critic_lr: float,
    reuse_rollouts: bool,
    ptx: Ptx,
) -> ActorCritic:
    """For PPO.  The critic starts as the reward model, or as the policy with a head of zeros: when
    `critic_start` says so, or the reward is no reward model.
    """
    check_admission(run, config.rewards.roles, trust=config.rewards.trust)
    policy = open_policy(run, config)
    reward = run.model_path("reward")
    from_policy = critic_start == "policy" or is_llm(reward) or is_rule(reward)
    critic = open_critic(policy, None if from_policy else reward, lora=lora(config), run_seed=config.seed)
    engine = open_engine(policy)
    prompts = _load_prompts(run, engine, policy, config, config.batch)
    if reuse_rollouts:
        prompts = replace(
            prompts,
            drafts=empty_draft_table(len(prompts), config.max_new_tokens),
            draft_seed=derive_seed(config.seed, "ppo", "rows"),
        )
    ptx_rows: list[Encoded] = []
    if ptx.data:
        path = run.data_path("ptx", rows="demonstrations")
        mix = read_mix(policy, path, source=ptx.data, too_long=ptx.too_long, run=run)
        ptx_rows = mix.rows
        run.record_data(mix.left_out, ptx=len(ptx_rows))
    batch = _trial_batch(prompts)
    choose_backend(run, policy, lambda: policy.token_logps(batch), config.hardware, what="policy")
    choose_backend(run, critic, lambda: critic.state_values(batch), config.hardware, what="critic")
    master_weights = MasterWeights(policy.trainable(), config.hardware.precision)
    critic_master_weights = MasterWeights(critic.trainable(), config.hardware.precision)
    policy.keep_reference()  # after the backend is chosen: a frozen copy keeps the backend of its original
    micro_tokens = _shared_token_budget(run, policy, critic, batch, config)
    rewards, prompts = _open_rewards(run, config, prompts, micro_tokens, config.batch)
    updater = _updater(master_weights, config.optim)
    critic_updater = _updater(critic_master_weights, config.optim, lr=critic_lr)
    parameters: dict[str, Tensor] = {f"policy.{name}": p for name, p in master_weights.parameters.items()}
    parameters |= {f"critic.{name}": p for name, p in critic_master_weights.parameters.items()}
    if prompts.drafts is not None:
        parameters["drafts"] = prompts.drafts
    optimizers = {"optimizer": updater.optimizer, "critic_optimizer": critic_updater.optimizer}
    state = State(parameters, optimizers, {"kl_coef": config.kl_coef})
    return ActorCritic(
        policy=policy,
        policy_updater=updater,
        critic=critic,
        critic_updater=critic_updater,
        prompts=prompts,
        ptx_rows=ptx_rows,
        rewards=rewards,
        micro_tokens=micro_tokens,
        state=state,
        start=_resume(run, state, updater, critic_updater),
        max_sampler_gap=_max_sampler_gap(config),
        meter=Meter(run),
    )


def check_guard(
    run: Run, actor: Actor, config: SamplingSettings, *, step: int, kl: float | None, quality: float
) -> str:
    """Let the guard keep the present weights or roll them back; returns the reason of a roll back, or an
    empty string.
    """
    is_last = step == config.steps
    breach = guard.check_step(
        run, config.guard, actor.state, step=step, kl=kl, quality=quality, is_last=is_last
    )
    if breach:
        for updater in actor.updaters:
            updater.master_weights.copy_to_weights()
    return breach


def log_step(run: Run, actor: Actor, batch: Batch, metrics: Mapping[str, float], *, step: int) -> None:
    """Log the metrics of a step, and count its tokens for the cost.

    Raises ModelError after the first step if sampling and training disagree about the same tokens.
    """
    run.log(step, **metrics)
    diagnostics.warn_early(run, step)
    if step == actor.start + 1 and not metrics["sampler_gap"] <= actor.max_sampler_gap:
        raise ModelError(
            f"step {step}: sampler_gap = {metrics['sampler_gap']:.2g} nats: the policy that samples is not "
            f"the one that is trained, so the gradient would be wrong. At most {actor.max_sampler_gap:g} is "
            "accepted (max_sampler_gap). Check the engine and its weights. Nothing was saved after this step."
        )
    actor.meter.count(int(batch.token_mask.sum()))


def save_if_due(run: Run, actor: Actor, config: SamplingSettings, *, step: int) -> None:
    """Save a checkpoint if one is due after `step` steps; raises Stopped when the user asked to stop."""
    checkpoint.save_if_due(run, step, config.steps, actor.state, actor.meter, config.checkpoints.every)


def publish_policy(run: Run, actor: Actor, config: SamplingSettings, *, breach: str) -> Artifact:
    """Publish the last weights, or the best ones after a roll back or with keep = best."""
    actor.meter.flush()
    diagnostics.report(run)
    measured = guard.load_published(run, config.guard, actor.state, num_steps=config.steps, breach=breach)
    actor.policy_updater.master_weights.restore_float32()
    metrics: dict[str, Any] = {name: measured[name] for name in PUBLISHED_METRICS if name in measured}
    return publish_model(run, actor.policy, metrics=metrics)


def _load_prompts(
    run: Run, engine: Engine, policy: Policy, config: SamplingSettings, prompts_per_step: int
) -> PromptSampler:
    return load_prompts(
        run,
        engine,
        policy,
        source=config.prompts,
        prompts_per_step=prompts_per_step,
        max_new_tokens=config.max_new_tokens,
        too_long=config.too_long,
    )


def _trial_batch(prompts: PromptSampler) -> Batch:
    """A few rows to verify backends and to measure memory with."""
    rows = [trial_row(tokens) for tokens in prompts.encoded[:NUM_CHECK_ROWS]]
    return collate(rows, pad_id=prompts.policy.pad_id, device=prompts.policy.device)


def _shared_token_budget(
    run: Run, policy: Policy, critic: ScalarModel, batch: Batch, config: SamplingSettings
) -> int:
    """Tokens per forward pass.  Policy, reference and critic may share a network, whose parameters count
    once.
    """
    networks = {id(network): network for network in (*policy.networks(), critic.network)}.values()
    run.event("roles", networks=len(networks))
    parameters = {id(p): p for network in networks for p in network.parameters()}
    parameters |= {id(p): p for p in critic.trainable().values()}
    num_tokens = int(batch.token_mask.sum())
    return token_budget(run, parameters.values(), lambda: policy.token_logps(batch), num_tokens, config)


def _open_rewards(
    run: Run, config: SamplingSettings, prompts: PromptSampler, micro_tokens: int, prompts_per_step: int
) -> tuple[RewardMix, PromptSampler]:
    """The rewards, and the prompts that all of them can read."""
    trial = PromptTrial(
        prompts.rows,
        max_new_tokens=config.max_new_tokens,
        scoring=config.scoring,
        source=config.prompts,
        numbers=prompts.numbers,
        drops_long=config.too_long == "drop",
    )
    rewards = open_reward_mix(
        run,
        config.rewards,
        scoring=config.scoring,
        policy=prompts.policy,
        micro_tokens=micro_tokens,
        trial=trial,
        precision=config.hardware.precision,
    )
    readable = prompts.subset(trial.finish(run))
    readable.require(prompts_per_step, config.prompts)
    return rewards, readable


def _max_sampler_gap(config: SamplingSettings) -> float:
    return config.max_sampler_gap or MAX_SAMPLER_GAP[config.hardware.precision]


def _updater(master_weights: MasterWeights, optim: Optim, *, lr: float | None = None) -> Updater:
    return Updater(build_optimizer(master_weights, optim, lr=lr), master_weights, optim.max_norm)


def _resume(run: Run, state: State, *updaters: Updater) -> int:
    """Load the run's last checkpoint, if there is one; returns the number of steps that are done."""
    start = checkpoint.restore(run, state)
    guard.remove_later_steps(run, start)
    for updater in updaters:
        updater.master_weights.copy_to_weights()
    return start
