"""GRPO: sample several responses to each prompt, and move the policy towards those that score better than the
others.  No critic.

arXiv:2402.03300 (GRPO), with the baselines of arXiv:2402.14740 (RLOO) and arXiv:2501.03262 (REINFORCE++)

reads   prompts (data.records.Prompt), a policy, rewards      writes  model or adapter, metrics
run     fairlead train grpo model=sft reward=reward prompts=data/prompts.jsonl name=aligned steps=100

Every token of a response has the response's advantage.  The loss is the mean over all tokens of a step
(arXiv:2503.14476), so that long responses are not discounted.  The KL term is part of the loss, not of the
reward.  A step's metrics describe the weights before its update.
Watch `kl`, `finished_frac`, `response_tokens` and `score` together.  A prompt whose responses all score the
same teaches nothing; `equal_frac` counts such prompts.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch

from fairlead.core.errors import require, require_positive
from fairlead.core.progress import progress
from fairlead.core.seed import derive_seed
from fairlead.encoding.batching import map_micro_batches, micro_rows, minibatches, step_rows
from fairlead.losses.policy import ppo_clip, update_metrics
from fairlead.model.policy import Policy
from fairlead.ops import kl
from fairlead.ops.advantage import GROUP_ADVANTAGES
from fairlead.ops.masked_sums import masked_sum
from fairlead.rollout import rl_metrics, rl_setup
from fairlead.rollout.engine import Engine, LocalEngine
from fairlead.store.artifact import Artifact
from fairlead.store.run import Run
from fairlead.train.metric_sums import MetricSums
from fairlead.train.schedule import learning_rate
from fairlead.train.settings import Optim, SamplingSettings

KIND = "model"


@dataclass(frozen=True, kw_only=True)
class Config(SamplingSettings):
    group: int = 8  # responses to each prompt
    # what a score is compared with: group is GRPO, leave-one-out is RLOO, batch is REINFORCE++
    baseline: Literal["group", "leave-one-out", "batch"] = "group"
    epochs: int = 1  # passes over the responses of a step
    # no gradient once the policy's ratio leaves 1 - clip .. 1 + clip in the advantage's direction
    clip: float = 0.2
    kl_coef: float = 0.04  # weight of the KL from the reference in the loss; 0 runs without a reference
    optim: Optim = Optim(lr=1e-4, warmup=5)  # suits LoRA; full fine-tuning of a large model wants about 1e-6

    def __post_init__(self) -> None:
        require_positive(self, "steps", "epochs", "max_new_tokens", "clip")
        require(self.group > 1, "group", self.group, "must be at least 2; responses are compared")
        whole_groups = self.batch > 0 and self.batch % self.group == 0
        require(whole_groups, "batch", self.batch, f"must be a multiple of group = {self.group}")
        why = f"must lie between 1 and batch / group = {self.num_prompts}"
        require(0 < self.minibatches <= self.num_prompts, "minibatches", self.minibatches, why)
        gap = self.max_sampler_gap
        require(gap >= 0, "max_sampler_gap", gap, "must not be negative")
        require(self.kl_coef >= 0, "kl_coef", self.kl_coef, "must not be negative; 0 drops the reference")
        measures_kl = self.kl_coef > 0 or not self.guard.kl_budget
        why = "needs a kl_coef above 0: KL is not measured without a reference"
        require(measures_kl, "kl_budget", self.guard.kl_budget, why)
        can_raise = self.guard.on_breach == "stop" or self.kl_coef > 0
        require(can_raise, "on_breach", self.guard.on_breach, "needs a kl_coef above 0, which it raises")

    @property
    def num_prompts(self) -> int:
        """Prompts per step."""
        return self.batch // self.group


def main(config: Config, run: Run, *, open_engine: Callable[[Policy], Engine] = LocalEngine) -> Artifact:
    if run.finished:
        return run.finished

    # 1. Policy, reference, prompts, rewards, optimiser, checkpoint
    actor = rl_setup.prepare_actor(run, config, open_engine, prompts_per_step=config.num_prompts)
    policy, rewards, packed = actor.policy, actor.rewards, actor.policy.backend.packed
    numbers = actor.state.numbers  # saved in checkpoints: kl_coef and the constraints' multipliers
    # With one update per step, the policy that is trained is the one that sampled.  The guard needs its
    # log-probabilities before the update.
    is_on_policy = config.epochs * config.minibatches == 1 and not config.guard.is_active

    # 2. Train.  An active guard measures once more after the last step
    num_measurements = config.guard.num_measurements(config.steps)
    order = step_rows(
        len(actor.prompts), config.num_prompts, num_measurements, run_seed=config.seed, drop_last=True
    )
    breach = ""
    with progress("grpo", num_measurements, done=actor.start, quiet=run.quiet) as bar:
        for step in range(actor.start, num_measurements):
            # a. Sample a group of responses to each prompt of the step, and score them
            step_seed = derive_seed(config.seed, "grpo", step)
            prompt_ids = [prompt_id for prompt_id in order[step] for _ in range(config.group)]
            responses = actor.prompts.sample(prompt_ids, seed=step_seed)
            scores = rewards.score(responses.answers)
            sequence_rewards = rewards.total(scores, numbers) - scores.penalty  # [N]
            rl_setup.require_trainable(sequence_rewards, step=step + 1)

            # b. Advantages: each score is compared with those of its group.  P prompts, G responses each
            grouped = sequence_rewards.view(config.num_prompts, config.group)  # [P, G]
            advantages = GROUP_ADVANTAGES[config.baseline](grouped).flatten().to(policy.device)  # [N]

            # c. Log-probabilities under policy and reference, unless the update computes them anyway
            batch, mask = responses.batch, responses.batch.response_mask
            old_logps = reference_logps = kl_estimate = None
            with torch.no_grad():
                if not is_on_policy:
                    old_logps = map_micro_batches(
                        policy.token_logps, batch, actor.micro_tokens, packed=packed
                    )  # [N, T]
                if config.kl_coef:
                    with policy.as_reference():
                        reference_logps = map_micro_batches(
                            policy.token_logps, batch, actor.micro_tokens, packed=packed
                        )

            # d. The guard may roll back the weights before the update
            if old_logps is not None and reference_logps is not None:
                kl_estimate = float(masked_sum(kl.k1(old_logps, reference_logps), mask).mean())
            kl_coef = numbers["kl_coef"]
            breach = rl_setup.check_guard(
                run, actor, config, step=step, kl=kl_estimate, quality=rewards.quality(scores)
            )

            # e. Update the policy in several epochs of minibatches of whole groups
            trains = not breach and step < config.steps
            lr = learning_rate(config.optim, step, config.steps)
            parts = minibatches(
                range(config.num_prompts), config.epochs, config.minibatches, run_seed=step_seed
            )
            updates: list[dict[str, float]] = []
            # [N, T] before the last update
            update_logps = torch.zeros(batch.tokens.shape, device=policy.device)
            for groups in parts if trains else []:
                minibatch = [group * config.group + i for group in groups for i in range(config.group)]
                num_tokens = int(batch.on_cpu.response_mask[minibatch].sum())
                sums = MetricSums(policy.device)
                for row_ids in micro_rows(batch, actor.micro_tokens, packed=packed, rows=minibatch):
                    micro = batch.rows(row_ids)
                    micro_mask = micro.response_mask
                    cut = (row_ids, slice(micro.tokens.shape[1]))  # these rows, as wide as the micro-batch
                    policy_logps = policy.token_logps(micro)  # [B, T]
                    micro_old_logps = policy_logps.detach() if old_logps is None else old_logps[cut]
                    policy_loss = masked_sum(
                        ppo_clip(policy_logps, micro_old_logps, advantages[row_ids, None], clip=config.clip),
                        micro_mask,
                    )  # [B]
                    micro_kl = torch.zeros_like(policy_loss)
                    if reference_logps is not None:
                        micro_kl = masked_sum(kl.k3(policy_logps, reference_logps[cut]), micro_mask)  # [B]
                    kl_loss = kl_coef * micro_kl.sum()
                    ((policy_loss.sum() + kl_loss) / num_tokens).backward()
                    sums.add(policy_loss=policy_loss, kl_loss=kl_loss)
                    sums.add(**update_metrics(policy_logps, micro_old_logps, micro_mask, clip=config.clip))
                    update_logps[cut] = policy_logps.detach()
                update = sums.means(num_tokens)
                update["grad_norm"] = actor.policy_updater.clip(step=step + 1)
                actor.policy_updater.step(lr=lr)
                updates.append(update)

            # f. Log, adapt the multipliers, save
            sampled_logps = update_logps if old_logps is None else old_logps  # [N, T] before the first update
            metrics = rewards.metrics(scores, numbers) | rl_metrics.response_metrics(responses, sampled_logps)
            metrics["reward"] = float(sequence_rewards.mean())
            metrics["equal_frac"] = float((grouped.std(dim=1) < 1e-6).float().mean())
            if reference_logps is not None:
                metrics |= rl_metrics.kl_metrics(sampled_logps, reference_logps, mask, kl_coef=kl_coef)
            if trains:
                metrics |= {"lr": lr} | rl_metrics.average_updates(updates)
                if is_on_policy:
                    del metrics["ratio"]  # 1 by construction
            rl_setup.log_step(run, actor, batch, metrics, step=step + 1)
            bar.advance(f"score {metrics['score']:.2f}")
            if step == config.steps or (breach and config.guard.on_breach == "stop"):
                break
            numbers.update(rewards.next_multipliers(scores, numbers))
            breach = ""
            rl_setup.save_if_due(run, actor, config, step=step + 1)

    # 3. Publish the last weights, or the best ones
    return rl_setup.publish_policy(run, actor, config, breach=breach)
