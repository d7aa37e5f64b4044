"""PPO: sample from the policy, score the responses, and move the policy towards better ones without leaving
its reference.

arXiv:1707.06347, with the details of arXiv:1909.08593 and arXiv:2403.17031

reads   prompts (data.records.Prompt), a policy, rewards      writes  model or adapter, metrics
run     fairlead train ppo model=sft reward=reward prompts=data/prompts.jsonl name=aligned steps=100

The reward of a response is paid at its last token; every token pays kl_coef * (log pi - log reference).
Responses are sampled at temperature 1, so that the sampler and the trained policy are the same distribution.
The reference is the policy with its adapter off, or a frozen copy.  A step's metrics describe the weights
before its update. Watch `kl` (nats per response), `finished_frac`, `response_tokens` and `score` together: a
score that rises with length is a warning.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch

from fairlead.core.config import Advanced
from fairlead.core.errors import require, require_positive
from fairlead.core.progress import progress
from fairlead.core.seed import derive_rng, derive_seed
from fairlead.encoding.batching import collate, map_micro_batches, micro_rows, minibatches, step_rows
from fairlead.encoding.chat import Encoded
from fairlead.losses.policy import ppo_clip, update_metrics
from fairlead.losses.value import clipped_value
from fairlead.model.policy import Policy
from fairlead.ops import kl
from fairlead.ops.advantage import explained_variance, gae
from fairlead.ops.masked_sums import masked_sum, masked_whiten
from fairlead.rollout import rl_metrics, rl_setup
from fairlead.rollout.engine import Engine, LocalEngine
from fairlead.store.artifact import Artifact
from fairlead.store.run import Run
from fairlead.train.metric_sums import MetricSums
from fairlead.train.schedule import relative_rate
from fairlead.train.settings import Optim, Ptx, SamplingSettings

KIND = "model"


@dataclass(frozen=True, kw_only=True)
class Config(SamplingSettings):
    epochs: int = 4  # passes over the responses of a step
    # no gradient once the policy's ratio leaves 1 - clip .. 1 + clip in the advantage's direction
    clip: float = 0.2
    kl_coef: float = 0.05  # cost of one nat of KL from the reference, in units of the reward
    # estimate of KL in a token's reward: k1 is log pi - log reference, k3 is never negative
    kl_penalty: Advanced[Literal["k1", "k3"]] = "k1"
    kl_target: float = 0.0  # nats per response that the adaptive controller aims at; 0 keeps kl_coef fixed
    kl_horizon: Advanced[int] = 10_000  # responses within which the controller can change kl_coef by 20 %
    # the network that the critic starts from: reward, or policy with a head of zeros; a rule needs policy and
    # gets it
    critic: Advanced[Literal["reward", "policy"]] = "reward"
    critic_lr: float = 1e-4  # peak learning rate of the critic
    critic_warmup: Advanced[int] = 0  # first steps, in which only the critic is trained
    value_clip: Advanced[float] = 0.2  # values are clipped to this distance from the old values
    gamma: Advanced[float] = 1.0  # discount per token
    lam: Advanced[float] = 0.95  # GAE: 1 uses returns only (high variance), 0 the critic only (bias)
    centre_reward: Advanced[bool] = False  # subtract the mean score of the first step
    score_clip: Advanced[float] = 0.0  # clip scores to -score_clip .. score_clip, after centring; 0 disables
    # scale the token rewards of a step to variance 1, keeping their mean
    whiten_rewards: Advanced[bool] = False
    reuse_rollouts: Advanced[bool] = False  # use a prompt's last response as the draft of its next one
    optim: Optim = Optim(lr=1e-4, warmup=5)  # suits LoRA; full fine-tuning of a large model wants about 1e-6
    ptx: Ptx = Ptx()

    def __post_init__(self) -> None:
        require_positive(
            self, "steps", "epochs", "max_new_tokens", "clip", "kl_horizon", "critic_lr", "value_clip"
        )
        require(self.batch > 1, "batch", self.batch, "must be at least 2; advantages are compared")
        in_batch = 0 < self.minibatches <= self.batch
        require(in_batch, "minibatches", self.minibatches, "must lie between 1 and batch")
        gap = self.max_sampler_gap
        require(gap >= 0, "max_sampler_gap", gap, "must not be negative")
        require(self.kl_coef >= 0, "kl_coef", self.kl_coef, "must not be negative")
        require(
            self.kl_target >= 0, "kl_target", self.kl_target, "must not be negative; 0 keeps kl_coef fixed"
        )
        before_end = 0 <= self.critic_warmup < self.steps
        require(before_end, "critic_warmup", self.critic_warmup, "must lie between 0 and steps - 1")
        require(0 < self.gamma <= 1, "gamma", self.gamma, "must lie in (0, 1]")
        require(0 <= self.lam <= 1, "lam", self.lam, "must lie in [0, 1]")
        require(self.score_clip >= 0, "score_clip", self.score_clip, "must not be negative; 0 disables")
        can_raise = self.guard.on_breach == "stop" or self.kl_coef > 0
        require(can_raise, "on_breach", self.guard.on_breach, "needs a kl_coef above 0, which it raises")


def main(config: Config, run: Run, *, open_engine: Callable[[Policy], Engine] = LocalEngine) -> Artifact:
    if run.finished:
        return run.finished

    # 1. Policy, reference, critic, prompts, rewards, optimisers, checkpoint
    actor = rl_setup.prepare_actor_critic(
        run,
        config,
        open_engine,
        critic_start=config.critic,
        critic_lr=config.critic_lr,
        reuse_rollouts=config.reuse_rollouts,
        ptx=config.ptx,
    )
    policy, critic, rewards = actor.policy, actor.critic, actor.rewards
    # saved in checkpoints: kl_coef, the constraints' multipliers, the centre of the scores
    numbers = actor.state.numbers
    packed = policy.backend.packed and critic.backend.packed

    # 2. Train.  An active guard measures once more after the last step
    num_measurements = config.guard.num_measurements(config.steps)
    order = step_rows(
        len(actor.prompts), config.batch, num_measurements, run_seed=config.seed, drop_last=True
    )
    breach = ""
    with progress("ppo", num_measurements, done=actor.start, quiet=run.quiet) as bar:
        for step in range(actor.start, num_measurements):
            # a. Sample a response to each prompt of the step, and score the responses
            step_seed = derive_seed(config.seed, "ppo", step)
            responses = actor.prompts.sample(order[step], seed=step_seed)
            scores = rewards.score(responses.answers)
            sequence_rewards = rewards.total(scores, numbers)  # [N]
            if config.centre_reward:
                sequence_rewards = sequence_rewards - numbers.setdefault(
                    "centre", float(sequence_rewards.mean())
                )
            if config.score_clip:
                sequence_rewards = sequence_rewards.clamp(-config.score_clip, config.score_clip)
            sequence_rewards = sequence_rewards - scores.penalty
            rl_setup.require_trainable(sequence_rewards, step=step + 1)

            # b. Log-probabilities under policy and reference, and values, of the same tokens
            batch = responses.batch
            mask = batch.response_mask
            with torch.no_grad():
                old_logps = map_micro_batches(
                    policy.token_logps, batch, actor.micro_tokens, packed=policy.backend.packed
                )  # [N, T]
                with policy.as_reference():
                    reference_logps = map_micro_batches(
                        policy.token_logps, batch, actor.micro_tokens, packed=policy.backend.packed
                    )
                old_values = map_micro_batches(
                    critic.state_values, batch, actor.micro_tokens, packed=critic.backend.packed
                )

            # c. Rewards per token: the KL term at every token, the score at the last one; then advantages
            kl_coef = numbers["kl_coef"]
            estimate = kl.k1 if config.kl_penalty == "k1" else kl.k3
            token_kl = estimate(old_logps, reference_logps)  # [N, T]
            token_rewards = -kl_coef * token_kl
            rows = torch.arange(len(batch), device=policy.device)
            token_rewards[rows, batch.lengths - 1] += sequence_rewards.to(policy.device)
            if config.whiten_rewards:
                token_rewards = masked_whiten(token_rewards, mask, shift_mean=False)
            advantages, returns = gae(token_rewards, old_values, mask, gamma=config.gamma, lam=config.lam)
            advantages = masked_whiten(advantages, mask)

            # d. Measure the weights before the update.  The guard may roll them back
            metrics = rewards.metrics(scores, numbers) | rl_metrics.response_metrics(responses, old_logps)
            metrics |= rl_metrics.kl_metrics(old_logps, reference_logps, mask, kl_coef=kl_coef)
            kl_cost = kl_coef * float(masked_sum(token_kl, mask).mean())
            metrics["reward"] = float(sequence_rewards.mean()) - kl_cost
            metrics["equal_frac"] = float(sequence_rewards.std() < 1e-6)
            metrics["explained_variance"] = explained_variance(old_values, returns, mask)
            if config.reuse_rollouts:
                metrics["reused_frac"] = rl_metrics.reused_share(responses)
            breach = rl_setup.check_guard(
                run, actor, config, step=step, kl=metrics["kl"], quality=rewards.quality(scores)
            )

            # e. Update policy and critic in several epochs of minibatches
            trains = not breach and step < config.steps
            trains_policy = step >= config.critic_warmup
            policy_steps = config.steps - config.critic_warmup
            policy_lr = config.optim.lr * relative_rate(
                config.optim, max(0, step - config.critic_warmup), policy_steps
            )
            critic_lr = config.critic_lr * relative_rate(config.optim, step, config.steps)
            parts = minibatches(range(len(batch)), config.epochs, config.minibatches, run_seed=step_seed)
            updates: list[dict[str, float]] = []
            for number, minibatch in enumerate(parts if trains else []):
                num_tokens = int(batch.on_cpu.response_mask[minibatch].sum())
                sums = MetricSums(policy.device)
                # All of the policy's micro-batches, then the critic's: on a shared network the adapters are
                # switched twice per minibatch.
                groups = micro_rows(batch, actor.micro_tokens, packed=packed, rows=minibatch)
                for row_ids in groups if trains_policy else []:
                    micro = batch.rows(row_ids)
                    micro_mask = micro.response_mask
                    cut = (row_ids, slice(micro.tokens.shape[1]))  # these rows, as wide as the micro-batch
                    policy_logps = policy.token_logps(micro)  # [B, T]
                    policy_loss = masked_sum(
                        ppo_clip(policy_logps, old_logps[cut], advantages[cut], clip=config.clip),
                        micro_mask,
                    )  # [B]
                    (policy_loss.sum() / num_tokens).backward()
                    sums.add(policy_loss=policy_loss)
                    sums.add(**update_metrics(policy_logps, old_logps[cut], micro_mask, clip=config.clip))
                for row_ids in groups:
                    micro = batch.rows(row_ids)
                    cut = (row_ids, slice(micro.tokens.shape[1]))
                    values = critic.state_values(micro)  # [B, T]
                    value_loss = masked_sum(
                        clipped_value(values, old_values[cut], returns[cut], clip=config.value_clip),
                        micro.response_mask,
                    )  # [B]
                    (value_loss.sum() / num_tokens).backward()
                    sums.add(value_loss=value_loss)
                update = sums.means(num_tokens)
                if actor.ptx_rows and trains_policy:
                    num_rows = min(config.ptx.batch, len(actor.ptx_rows))
                    ptx_rows = derive_rng(step_seed, "ptx", number).sample(actor.ptx_rows, num_rows)
                    update["ptx_loss"] = ptx_backward(policy, ptx_rows, config.ptx.coef, actor.micro_tokens)
                # Clip both before either moves: a non-finite gradient then leaves both untouched.
                if trains_policy:
                    update["grad_norm"] = actor.policy_updater.clip(step=step + 1)
                actor.critic_updater.clip(step=step + 1)
                if trains_policy:
                    actor.policy_updater.step(lr=policy_lr)
                actor.critic_updater.step(lr=critic_lr)
                updates.append(update)
            if trains:
                metrics["lr"] = policy_lr if trains_policy else 0.0
                metrics |= rl_metrics.average_updates(updates)

            # f. Log, adapt kl_coef and the multipliers, save
            rl_setup.log_step(run, actor, batch, metrics, step=step + 1)
            bar.advance(f"score {metrics['score']:.2f}  kl {metrics['kl']:.2f}")
            if step == config.steps or (breach and config.guard.on_breach == "stop"):
                break
            if config.kl_target and trains_policy:
                numbers["kl_coef"] = kl.adapt_coefficient(
                    numbers["kl_coef"],
                    metrics["kl"],
                    target=config.kl_target,
                    episodes=len(batch),
                    horizon=config.kl_horizon,
                )
            numbers.update(rewards.next_multipliers(scores, numbers))
            breach = ""
            rl_setup.save_if_due(run, actor, config, step=step + 1)

    # 3. Publish the last weights, or the best ones
    return rl_setup.publish_policy(run, actor, config, breach=breach)


def ptx_backward(policy: Policy, rows: Sequence[Encoded], coef: float, micro_tokens: int) -> float:
    """Gradients of coef * the mean negative log-likelihood of the rows' tokens; returns this mean.

    Eq. 2 of arXiv:2203.02155 (PPO-ptx).
    """
    batch = collate(rows, pad_id=policy.pad_id, device=policy.device)
    num_tokens = int(batch.on_cpu.response_mask.sum())
    sums = MetricSums(policy.device)
    for row_ids in micro_rows(batch, micro_tokens, packed=policy.backend.packed):
        losses = -policy.token_logps(batch.rows(row_ids))  # [B, T], zero outside the response
        (coef * losses.sum() / num_tokens).backward()
        sums.add(ptx_loss=losses)
    return sums.means(num_tokens)["ptx_loss"]
