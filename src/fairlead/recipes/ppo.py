"""PPO: sample from the policy, score the answers, and move the policy towards better ones without leaving its reference.

arXiv:1707.06347, with the details of arXiv:1909.08593 and arXiv:2403.17031

reads   prompts (data.records.Prompt), a policy, a reward      writes  model or adapter, metrics
run     fairlead train ppo model=sft reward=reward prompts=data/prompts.jsonl name=aligned steps=100

The reward of an answer stands at its last token; every token pays kl_coef * (log pi - log reference).  Answers are sampled at temperature
1, so that the sampler and the trained policy are one distribution.  The reference is the policy with its adapter off, or a frozen copy.
Watch `kl` (nats per answer), `finished_frac`, `response_tokens` and `score` together: a score that rises with length is no good news.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from fairlead.core import seed
from fairlead.core.config import DatasetRef, ModelRef, RewardModelRef
from fairlead.core.errors import DataError, ModelError, require
from fairlead.core.progress import progress
from fairlead.data.reading import read_prompts
from fairlead.losses.policy import is_clipped, ppo_clip
from fairlead.losses.value import clipped_value
from fairlead.model import batch as batches
from fairlead.model import memory
from fairlead.model.adapters import Lora
from fairlead.model.batch import Batch
from fairlead.model.check import check_paths
from fairlead.model.heads import ScalarModel, critic_on_trunk, load_critic, new_reward_model, shares_trunk
from fairlead.model.paths import Precision
from fairlead.model.policy import Policy, load_policy
from fairlead.model.rows import encode_prompts
from fairlead.ops import kl
from fairlead.ops.advantage import gae
from fairlead.ops.masks import masked_mean, masked_sum, masked_whiten
from fairlead.rollout import drafts
from fairlead.rollout.engines import Engine, LocalEngine, answers
from fairlead.rollout.records import Sampling
from fairlead.rollout.rewards import check_judge, is_rule, open_reward
from fairlead.rollout.rows import answered, echo, sampler_gap
from fairlead.store.artifact import Artifact
from fairlead.store.run import Run
from fairlead.train import state as states
from fairlead.train.masters import Masters
from fairlead.train.meter import Meter
from fairlead.train.optim import adamw, update
from fairlead.train.schedule import cosine

KIND = "model"


@dataclass(frozen=True, kw_only=True)
class Config:
    name: str  # of the model that is written
    model: ModelRef  # the policy to start from, and the reference: usually the SFT model
    reward: RewardModelRef  # a reward model, "rule:FILE.py" (a function score(prompt, answer, finished)), or "gold" in the pocket world
    prompts: DatasetRef  # native rows with a prompt
    probe: RewardModelRef = ""  # a second judge that is only measured, never trained on; the same choices as reward
    steps: int = 100  # rounds of sampling and learning
    batch: int = 128  # answers per step
    epochs: int = 4  # passes over a step's answers
    minibatches: int = 1  # optimiser steps per pass
    max_new_tokens: int = 128  # longest answer
    reuse_rollouts: bool = False  # a prompt's answer of the epoch before is the draft of its next one
    lr: float = 1e-4  # of the policy, at its peak; cosine to a tenth.  Suits LoRA; full fine-tuning wants about 1e-6
    critic_lr: float = 1e-4  # of the critic
    warmup: int = 5  # steps of linear warm-up
    max_norm: float = 1.0  # gradients are scaled down to this norm
    clip: float = 0.2  # the policy's ratio is held within 1 - clip .. 1 + clip
    value_clip: float = 0.2  # the critic is held this near to its old values
    gamma: float = 1.0  # discount per token
    lam: float = 0.95  # GAE: 1 trusts returns (high variance), 0 trusts the critic (bias)
    kl_coef: float = 0.05  # price of a nat away from the reference, in units of the reward
    kl_target: float = 0.0  # nats per answer that the adaptive controller aims at; 0 keeps kl_coef fixed
    kl_horizon: int = 10_000  # answers over which the controller may change kl_coef by its own size
    unfinished_penalty: float = 1.0  # taken from the score of an answer that never ended
    lora_rank: int = 16  # 0 trains all weights
    lora_alpha: int = 32  # strength of the adapter: alpha / rank
    base_bits: Literal[4, 32] = 32  # 4: the frozen network under an adapter is kept in 4 bits (QLoRA); needs bitsandbytes
    micro_tokens: int = 1024  # tokens per forward pass, padding included; memory, not results.  0 takes what the memory holds
    precision: Precision = "float32"  # bfloat16: of the matrix products; pure-bfloat16: of all but the optimiser and its float32 copies
    optimizer_bits: Literal[8, 32] = 32  # 8: AdamW's moments take a quarter of the memory; needs bitsandbytes
    gradient_checkpointing: bool = False  # compute layers again in the backward pass: less memory, about a third more time
    checkpoint_every: int = 10  # steps
    seed: int = 0

    def __post_init__(self) -> None:
        require(self.steps > 0, "steps", self.steps, "must be positive")
        require(self.batch > 1, "batch", self.batch, "must be at least 2; advantages are compared with each other")
        require(self.epochs > 0, "epochs", self.epochs, "must be positive")
        require(0 < self.minibatches <= self.batch, "minibatches", self.minibatches, "must lie between 1 and batch")
        require(self.max_new_tokens > 0, "max_new_tokens", self.max_new_tokens, "must be positive")
        require(self.lr > 0, "lr", self.lr, "must be positive")
        require(self.clip > 0, "clip", self.clip, "must be positive")
        require(0 < self.gamma <= 1, "gamma", self.gamma, "must lie in (0, 1]")
        require(0 <= self.lam <= 1, "lam", self.lam, "must lie in [0, 1]")
        require(self.kl_coef >= 0, "kl_coef", self.kl_coef, "must not be negative")
        require(self.kl_target >= 0, "kl_target", self.kl_target, "must not be negative; 0 keeps kl_coef fixed")
        require(self.checkpoint_every > 0, "checkpoint_every", self.checkpoint_every, "must be positive")
        require(self.micro_tokens >= 0, "micro_tokens", self.micro_tokens, "must not be negative; 0 takes what the memory holds")
        require(self.max_norm > 0, "max_norm", self.max_norm, "must be positive")
        require(self.lora_rank >= 0, "lora_rank", self.lora_rank, "must not be negative; 0 trains all weights")
        require(self.base_bits == 32 or self.lora_rank > 0, "base_bits", self.base_bits, "needs an adapter: lora_rank must be above 0")
        require(self.kl_horizon > 0, "kl_horizon", self.kl_horizon, "must be positive")
        require(self.critic_lr > 0, "critic_lr", self.critic_lr, "must be positive")
        require(self.value_clip > 0, "value_clip", self.value_clip, "must be positive")


@dataclass(frozen=True)
class Experience:
    """What one step learns from: N answers as one padded batch."""

    batch: Batch  # N rows: prompt and answer; response_mask selects the answer
    old_logps: Tensor  # [N, T] under the policy that sampled
    old_values: Tensor  # [N, T] of the critic at that time
    advantages: Tensor  # [N, T] whitened
    returns: Tensor  # [N, T]


def main(config: Config, run: Run, *, open_engine: Callable[[Policy], Engine] = LocalEngine) -> Artifact:
    if run.finished:
        return run.finished

    # 1. Policy, reference, reward, critic
    lora = Lora(config.lora_rank, config.lora_alpha, config.seed, config.precision, config.base_bits) if config.lora_rank else None
    policy = load_policy(run.model_path("model"), lora=lora)
    critic = open_critic(run, config, policy, lora)
    engine = open_engine(policy)

    # 2. Prompts
    prompts = [prompt.prompt for prompt in read_prompts(run.data_path("prompts"))]
    if len(prompts) < config.batch:
        raise DataError(
            f"{config.prompts}: has {len(prompts)} prompts, fewer than one step takes. Set batch={len(prompts)} or add prompts."
        )
    encoded_prompts = encode_prompts(policy, prompts, max_new_tokens=config.max_new_tokens, source=config.prompts)
    sampling = Sampling(max_new_tokens=config.max_new_tokens)
    for paths in (policy.paths, critic.paths):
        paths.precision, paths.checkpointing = config.precision, config.gradient_checkpointing
    few = batches.collate([echo(tokens) for tokens in encoded_prompts[: batches.FEW]], pad_id=policy.pad_id, device=policy.device)
    check_paths(run, policy, lambda: policy.token_logps(few), what="policy")
    check_paths(run, critic, lambda: critic.state_values(few), what="critic")
    masters, critic_masters = (Masters(trained.trainable(), config.precision) for trained in (policy, critic))
    policy.keep_reference()  # a copy runs in the way that was chosen for its original
    networks = {id(network): network for network in (*policy.networks(), critic.network)}.values()
    run.event("roles", networks=len(networks))  # in memory, beside a reward model of its own: policy, reference and critic
    every = {id(p): p for network in networks for p in network.parameters()} | {id(p): p for p in critic.trainable().values()}
    expected = memory.measure(
        every.values(),
        lambda: policy.token_logps(few),
        int(few.token_mask.sum()),
        optimizer_bits=config.optimizer_bits,
    )
    micro_tokens = memory.token_budget(run, expected, config.micro_tokens)
    reward = open_reward(
        run.model_path("reward"),
        micro_tokens=micro_tokens,
        policy=policy,
        prepare=lambda judge: check_judge(run, judge, prompts, config.precision),
    )
    probe = open_reward(run.model_path("probe"), micro_tokens=micro_tokens) if config.probe else None

    # 3. Optimisers, and the KL controller's coefficient
    optimizer = adamw(masters.parameters, lr=config.lr, bits=config.optimizer_bits)
    critic_optimizer = adamw(critic_masters.parameters, lr=config.critic_lr, bits=config.optimizer_bits)
    parameters: dict[str, Tensor] = {f"policy.{k}": p for k, p in masters.parameters.items()}
    parameters |= {f"critic.{k}": p for k, p in critic_masters.parameters.items()}
    past = drafts.empty_table(len(prompts), config.max_new_tokens) if config.reuse_rollouts else None
    if past is not None:
        parameters["drafts"] = past
    optimizers = {"optimizer": optimizer, "critic_optimizer": critic_optimizer}
    state = states.State(parameters, optimizers, {"kl_coef": config.kl_coef})
    start = states.restore(run, state)
    masters.write()
    critic_masters.write()

    # 4. Train
    order = batches.step_rows(len(prompts), config.batch, config.steps, run_seed=config.seed, whole=True)
    meter = Meter(run)
    with progress("ppo", config.steps, done=start, quiet=run.quiet) as bar:
        for step in range(start, config.steps):
            # a. Sample answers, and have them scored
            index = order[step]
            step_seed = seed.derive(config.seed, "ppo", step)
            asked = [encoded_prompts[i] for i in index]
            if past is None:
                rollouts = answers(engine, policy, asked, sampling, run_seed=step_seed)
            else:  # a row draws the same numbers in every epoch: only so does its last answer foretell this one
                rows_seed = seed.derive(config.seed, "ppo", "rows")
                rollouts = answers(engine, policy, asked, sampling, run_seed=rows_seed, rows=index, drafts=drafts.read(past, index))
                drafts.keep(past, index, rollouts)
            step_prompts = [prompts[i] for i in index]
            texts, finished = [policy.text(r.tokens) for r in rollouts], [r.finish == "stop" for r in rollouts]
            raw_scores = reward(step_prompts, texts, finished)  # [N]
            scores = raw_scores - config.unfinished_penalty * (1 - torch.tensor(finished, dtype=torch.float32))

            # b. Log-probabilities of the policy and of its reference, and values, over the same tokens
            batch = batches.collate([answered(r) for r in rollouts], pad_id=policy.pad_id, device=policy.device)
            mask = batch.response_mask
            with torch.no_grad():
                packed = policy.paths.packed
                old_logps = batches.in_micro_batches(policy.token_logps, batch, micro_tokens, packed=packed)
                with policy.as_reference():
                    reference_logps = batches.in_micro_batches(policy.token_logps, batch, micro_tokens, packed=packed)
                old_values = batches.in_micro_batches(critic.state_values, batch, micro_tokens, packed=critic.paths.packed)

            # c. Rewards per token: the price of KL everywhere, the score at the end; then advantages
            kl_coef = state.numbers["kl_coef"]
            token_kl = kl.k1(old_logps, reference_logps)  # [N, T]
            token_rewards = -kl_coef * token_kl
            rows = torch.arange(len(batch), device=policy.device)
            token_rewards[rows, batch.lengths - 1] += scores.to(policy.device)
            advantages, returns = gae(token_rewards, old_values, mask, gamma=config.gamma, lam=config.lam)
            experience = Experience(batch, old_logps, old_values, masked_whiten(advantages, mask), returns)

            # d. Several passes of minibatches
            lr_scale = cosine(step, config.steps, peak=1.0, warmup=config.warmup)
            totals = dict.fromkeys(("policy_loss", "value_loss", "clip_frac", "approx_kl", "grad_norm"), 0.0)
            parts = batches.minibatches(range(len(batch)), config.epochs, config.minibatches, run_seed=step_seed)
            for part in parts:
                learned = backward(policy, critic, experience, part, config, micro_tokens)
                grad_norm = update(optimizer, lr=config.lr * lr_scale, max_norm=config.max_norm, step=step + 1, masters=masters)
                critic_lr = config.critic_lr * lr_scale
                update(critic_optimizer, lr=critic_lr, max_norm=config.max_norm, step=step + 1, masters=critic_masters)
                for name, value in (learned | {"grad_norm": grad_norm}).items():
                    totals[name] += value / len(parts)

            # e. Book-keeping
            sequence_kl = float(masked_sum(token_kl, mask).mean())
            metrics = {
                "score": float(raw_scores.mean()),
                "reward": float(scores.mean()) - kl_coef * sequence_kl,
                "kl": sequence_kl,
                "kl_k3": float(masked_sum(kl.k3(old_logps, reference_logps), mask).mean()),
                "kl_coef": kl_coef,
                "entropy": -float(masked_mean(old_logps, mask)),  # estimated from the sampled tokens themselves
                "response_tokens": float(mask.sum(dim=1).float().mean()),
                "finished_frac": sum(finished) / len(finished),
                "explained_variance": explained_variance(old_values, returns, mask),
                "sampler_gap": sampler_gap(rollouts, old_logps, mask),
                "lr": config.lr * lr_scale,
                **totals,
            }
            if past is not None:
                metrics["reused_frac"] = sum(r.reused for r in rollouts) / sum(len(r.tokens) for r in rollouts)
            if probe is not None:
                metrics["gold" if config.probe == "gold" else "probe"] = float(probe(step_prompts, texts, finished).mean())
            if config.kl_target:
                state.numbers["kl_coef"] = kl.adapted_coefficient(
                    kl_coef, sequence_kl, target=config.kl_target, episodes=len(batch), horizon=config.kl_horizon
                )
            run.log(step + 1, **metrics)
            meter.count(int(batch.token_mask.sum()))
            bar.advance(f"score {metrics['score']:.2f}  kl {sequence_kl:.2f}")
            if (step + 1) % config.checkpoint_every == 0 or run.stop:
                meter.flush()
            states.save_if_due(run, step + 1, config.steps, state, every=config.checkpoint_every)
    meter.flush()

    # 5. Save
    masters.give_back()
    last = run.read_metrics()[-1]
    home = run.project.artifacts / KIND / config.name
    kept = ("score", "kl", "entropy", "response_tokens", "finished_frac", "gold", "probe")
    return run.publish(lambda folder: policy.save(folder, home=home), metrics={k: last[k] for k in kept if k in last})


def backward(
    policy: Policy, critic: ScalarModel, experience: Experience, part: Sequence[int], config: Config, micro_tokens: int
) -> dict[str, float]:
    """Gradients of the policy's and the critic's loss over the rows in `part`, each the mean over its response tokens."""
    num_tokens = int(experience.batch.on_cpu.response_mask[list(part)].sum())
    sums = dict.fromkeys(
        ("policy_loss", "value_loss", "clip_frac", "approx_kl"), torch.zeros((), dtype=torch.float64, device=policy.device)
    )
    packed = policy.paths.packed and critic.paths.packed
    for rows in batches.micro_rows(experience.batch, micro_tokens, packed=packed, rows=part):
        micro = experience.batch.rows(rows)
        mask, width = micro.response_mask, micro.tokens.shape[1]
        old_logps = experience.old_logps[rows, :width]
        policy_logps = policy.token_logps(micro)  # [B, T]
        policy_loss = masked_sum(ppo_clip(policy_logps, old_logps, experience.advantages[rows, :width], clip=config.clip), mask)
        (policy_loss.sum() / num_tokens).backward()
        values = critic.state_values(micro)  # [B, T]
        old_values, returns = experience.old_values[rows, :width], experience.returns[rows, :width]
        value_loss = masked_sum(clipped_value(values, old_values, returns, clip=config.value_clip), mask)
        (value_loss.sum() / num_tokens).backward()
        with torch.no_grad():
            sums["policy_loss"] = sums["policy_loss"] + policy_loss.sum()
            sums["value_loss"] = sums["value_loss"] + value_loss.sum()
            sums["clip_frac"] = sums["clip_frac"] + masked_sum(is_clipped(policy_logps, old_logps, clip=config.clip), mask).sum()
            sums["approx_kl"] = sums["approx_kl"] + masked_sum(0.5 * (policy_logps - old_logps).square(), mask).sum()
    return {name: float(value) / num_tokens for name, value in sums.items()}


def open_critic(run: Run, config: Config, policy: Policy, lora: Lora | None) -> ScalarModel:
    """The reward model's network to start from, on the reward's scale; without one, the policy's with a head of zeros.

    Under LoRA it is one more adapter on the policy's own network, unless the reward model has another.
    """
    reference = run.model_path("reward")
    if policy.has_adapter and (is_rule(reference) or shares_trunk(policy, reference)):
        return critic_on_trunk(policy, None if is_rule(reference) else reference, run_seed=config.seed)
    if is_rule(reference):
        critic = new_reward_model(run.model_path("model"), run_seed=config.seed, lora=lora)
        critic.zero_head()
        return critic
    critic = load_critic(reference, lora=lora)
    if critic.tokenizer.get_vocab() != policy.tokenizer.get_vocab():
        raise ModelError(
            f"{config.reward}: has another tokenizer than {config.model}; the critic reads the policy's tokens. Train it on that model."
        )
    return critic


def explained_variance(values: Tensor, returns: Tensor, mask: Tensor) -> float:
    """1 - var(return - value) / var(return): 1 for a perfect critic, 0 for one that knows only the mean, below for a misleading one."""
    target, error = returns[mask], (returns - values)[mask]
    variance = float(target.var())
    return 1 - float(error.var()) / variance if variance > 1e-12 else 0.0
