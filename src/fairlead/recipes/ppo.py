"""PPO: sample from the policy, score the answers, and move the policy towards better ones without leaving its reference.

arXiv:1707.06347, with the details of arXiv:1909.08593 and arXiv:2403.17031

reads   prompts (data.records.Prompt), a policy, rewards      writes  model or adapter, metrics
run     fairlead train ppo model=sft reward=reward prompts=data/prompts.jsonl name=aligned steps=100

The reward of an answer stands at its last token; every token pays kl_coef * (log pi - log reference).  Answers are sampled at temperature
1, so that the sampler and the trained policy are one distribution.  The reference is the policy with its adapter off, or a frozen copy.
Watch `kl` (nats per answer), `finished_frac`, `response_tokens` and `score` together: a score that rises with length is no good news.
What a step measures is true of the weights that it begins with; the guard decides before they learn.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import torch
from torch import Tensor

from fairlead.core.config import DatasetRef, ModelRef, RewardModelRef
from fairlead.core.errors import DataError, require
from fairlead.core.precision import Precision
from fairlead.core.progress import progress
from fairlead.core.seed import derive_rng, derive_seed
from fairlead.data.record_reader import read_prompts
from fairlead.encoding import batching
from fairlead.encoding.batching import Batch
from fairlead.encoding.chat import Encoded
from fairlead.examples.pairs import encode_prompts
from fairlead.examples.replay import read_mix
from fairlead.losses.policy import is_clipped, ppo_clip
from fairlead.losses.sft import negative_log_likelihood
from fairlead.losses.value import clipped_value
from fairlead.model.adapters import Lora
from fairlead.model.critic import open_critic
from fairlead.model.policy import Policy, load_policy
from fairlead.model.scalar_model import ScalarModel
from fairlead.ops import kl
from fairlead.ops.advantage import explained_variance, gae
from fairlead.ops.masks import masked_mean, masked_sum, masked_whiten
from fairlead.ops.pool_names import Pool
from fairlead.rollout import speculative
from fairlead.rollout.engine import Engine, LocalEngine, sample_rollouts
from fairlead.rollout.records import Rollout, SampleRequest, SamplingParams
from fairlead.rollout.reward_mix import Terms, open_reward_mix, terms_of
from fairlead.rollout.rewards import is_rule, open_reward
from fairlead.rollout.training_rows import sampler_gap, training_row, trial_row
from fairlead.store.artifact import Artifact
from fairlead.store.run import Run
from fairlead.train import checkpoint, diagnostics, guard, memory
from fairlead.train.admission_gate import check_admission
from fairlead.train.knobs import check_updates
from fairlead.train.master_weights import MasterWeights
from fairlead.train.meter import Meter
from fairlead.train.optim import adamw, clip_gradients, take_step
from fairlead.train.schedule import cosine
from fairlead.train.verify_backend import verify_backend

KIND = "model"


@dataclass(frozen=True, kw_only=True)
class Config:
    name: str  # of the model that is written
    model: ModelRef  # the policy to start from, and the reference: usually the SFT model
    reward: RewardModelRef  # a reward model, or a function score(prompt, answer, finished): "rule:FILE.py" or "rule:MODULE"
    prompts: DatasetRef  # native rows with a prompt
    probe: RewardModelRef = (
        ""  # a second judge that is only measured, never trained on; the same choices as reward
    )
    extra_rewards: dict[RewardModelRef, float] = field(
        default_factory=dict
    )  # added to the reward, each times its weight
    constraints: dict[RewardModelRef, float] = field(
        default_factory=dict
    )  # rewards whose mean is to stay at or above a floor
    constraint_lr: float = 0.1  # how fast a constraint's multiplier moves, per step and unit of its score
    trust: str = ""  # reward models to use although their admission report refuses them, with commas between
    pool: Pool = "mean"  # an ensemble's score: mean, worst (the lowest member), mean-variance (mean - pool_lambda * variance)
    pool_lambda: float = 0.5  # price of the members' variance
    steps: int = 100  # rounds of sampling and learning
    batch: int = 128  # answers per step
    epochs: int = 4  # passes over a step's answers
    minibatches: int = 1  # optimiser steps per pass
    max_new_tokens: int = 128  # longest answer
    reuse_rollouts: bool = False  # a prompt's answer of the epoch before is the draft of its next one
    lr: float = (
        1e-4  # of the policy, at its peak; cosine to a tenth.  Suits LoRA; full fine-tuning wants about 1e-6
    )
    critic_lr: float = 1e-4  # of the critic
    critic_warmup: int = 0  # first steps in which only the critic learns
    warmup: int = 5  # steps of linear warm-up
    max_norm: float = 1.0  # gradients are scaled down to this norm
    clip: float = 0.2  # the policy's ratio is held within 1 - clip .. 1 + clip
    value_clip: float = 0.2  # the critic is held this near to its old values
    gamma: float = 1.0  # discount per token
    lam: float = 0.95  # GAE: 1 trusts returns (high variance), 0 trusts the critic (bias)
    kl_coef: float = 0.05  # price of a nat away from the reference, in units of the reward
    kl_penalty: Literal["k1", "k3"] = (
        "k1"  # the estimate that a token pays by: log pi - log reference, or the one that is never negative
    )
    kl_target: float = 0.0  # nats per answer that the adaptive controller aims at; 0 keeps kl_coef fixed
    kl_horizon: int = 10_000  # answers over which the controller may change kl_coef by its own size
    unfinished_penalty: float = 1.0  # taken from the score of an answer that never ended
    centre_reward: bool = False  # the mean score of the first step becomes 0
    score_clip: float = 0.0  # scores are held within -score_clip .. score_clip, after centring; 0 leaves them
    whiten_rewards: bool = False  # scale the rewards of a step's tokens to variance 1; their mean stays
    ptx: DatasetRef = ""  # demonstrations or text whose likelihood is kept up in every update (PPO-ptx)
    ptx_coef: float = 0.1  # weight of that loss, per token, beside the policy's, per token
    ptx_batch: int = 32  # rows of it in each optimiser step
    kl_budget: float = 0.0  # nats per answer; a step over it goes back to the best step.  0: no budget
    probe_drop: float = (
        0.0  # so far may the probe lie below its best, in units of the probe.  0: any distance
    )
    patience: int = (
        3  # steps in a row that the probe may lie lower, before the run goes back to the best step
    )
    on_breach: guard.Breach = "stop"  # continue: learn on from the best step, with twice the kl_coef
    keep: guard.Keep = "last"  # best: the model that is written is that of the best step by the probe
    lora_rank: int = 16  # 0 trains all weights
    lora_alpha: int = 32  # strength of the adapter: alpha / rank
    base_bits: Literal[4, 32] = (
        32  # 4: the frozen network under an adapter is kept in 4 bits (QLoRA); needs bitsandbytes
    )
    micro_tokens: int = (
        1024  # tokens per forward pass, padding included; memory, not results.  0 takes what the memory holds
    )
    precision: Precision = "float32"  # bfloat16: of the matrix products; pure-bfloat16: of all but the optimiser and its float32 copies
    optimizer_bits: Literal[8, 32] = 32  # 8: AdamW's moments take a quarter of the memory; needs bitsandbytes
    gradient_checkpointing: bool = (
        False  # compute layers again in the backward pass: less memory, about a third more time
    )
    checkpoint_every: int = 10  # steps
    seed: int = 0

    def __post_init__(self) -> None:
        check_updates(self)
        require(self.steps > 0, "steps", self.steps, "must be positive")
        require(
            self.batch > 1, "batch", self.batch, "must be at least 2; advantages are compared with each other"
        )
        require(self.epochs > 0, "epochs", self.epochs, "must be positive")
        require(
            0 < self.minibatches <= self.batch,
            "minibatches",
            self.minibatches,
            "must lie between 1 and batch",
        )
        require(self.max_new_tokens > 0, "max_new_tokens", self.max_new_tokens, "must be positive")
        require(self.clip > 0, "clip", self.clip, "must be positive")
        require(0 < self.gamma <= 1, "gamma", self.gamma, "must lie in (0, 1]")
        require(0 <= self.lam <= 1, "lam", self.lam, "must lie in [0, 1]")
        require(self.kl_coef >= 0, "kl_coef", self.kl_coef, "must not be negative")
        require(
            self.kl_target >= 0, "kl_target", self.kl_target, "must not be negative; 0 keeps kl_coef fixed"
        )
        require(self.kl_horizon > 0, "kl_horizon", self.kl_horizon, "must be positive")
        require(self.critic_lr > 0, "critic_lr", self.critic_lr, "must be positive")
        require(self.value_clip > 0, "value_clip", self.value_clip, "must be positive")
        require(
            0 <= self.critic_warmup < self.steps,
            "critic_warmup",
            self.critic_warmup,
            "must lie between 0 and steps - 1",
        )
        require(
            self.score_clip >= 0,
            "score_clip",
            self.score_clip,
            "must not be negative; 0 leaves scores as they are",
        )
        require(
            self.ptx_coef > 0, "ptx_coef", self.ptx_coef, "must be positive; leave ptx empty to go without"
        )
        require(self.ptx_batch > 0, "ptx_batch", self.ptx_batch, "must be positive")
        assert self.terms and self.limits  # which refuse what cannot be

    @property
    def terms(self) -> Terms:
        return terms_of(self)

    @property
    def limits(self) -> guard.Limits:
        return guard.limits_of(self)


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

    # 1. Policy, reference, critic
    check_admission(run, config.terms.fields, trust=config.trust)
    lora = (
        Lora(config.lora_rank, config.lora_alpha, config.seed, config.precision, config.base_bits)
        if config.lora_rank
        else None
    )
    policy = load_policy(run.model_path("model"), lora=lora)
    judge = run.model_path("reward")
    critic = open_critic(policy, None if is_rule(judge) else judge, lora=lora, run_seed=config.seed)
    engine = open_engine(policy)

    # 2. Prompts, rewards
    prompts = [prompt.prompt for prompt in read_prompts(run.data_path("prompts"))]
    if len(prompts) < config.batch:
        raise DataError(
            f"{config.prompts}: has {len(prompts)} prompts, fewer than one step takes. Set batch={len(prompts)} or add prompts."
        )
    encoded_prompts = encode_prompts(
        policy, prompts, max_new_tokens=config.max_new_tokens, source=config.prompts
    )
    ptx_rows = (
        read_mix(policy, run.data_path("ptx", rows="demonstrations"), source=config.ptx) if config.ptx else []
    )
    for backend in (policy.backend, critic.backend):
        backend.precision, backend.gradient_checkpointing = config.precision, config.gradient_checkpointing
    few = batching.collate(
        [trial_row(tokens) for tokens in encoded_prompts[: batching.NUM_CHECK_ROWS]],
        pad_id=policy.pad_id,
        device=policy.device,
    )
    verify_backend(run, policy, lambda: policy.token_logps(few), what="policy")
    verify_backend(run, critic, lambda: critic.state_values(few), what="critic")
    master_weights, critic_master_weights = (
        MasterWeights(model.trainable(), config.precision) for model in (policy, critic)
    )
    policy.keep_reference()  # a copy runs in the way that was chosen for its original
    micro_tokens = token_budget(run, policy, critic, few, config)
    reward_mix = open_reward_mix(
        run,
        config.terms,
        policy=policy,
        micro_tokens=micro_tokens,
        prompts=prompts,
        precision=config.precision,
    )
    probe = open_reward(run.model_path("probe"), micro_tokens=micro_tokens) if config.probe else None

    # 3. Optimisers, and the numbers that move: KL's price, constraints' multipliers, what the guard remembers
    optimizer = adamw(master_weights.parameters, lr=config.lr, bits=config.optimizer_bits)
    critic_optimizer = adamw(
        critic_master_weights.parameters, lr=config.critic_lr, bits=config.optimizer_bits
    )
    parameters: dict[str, Tensor] = {f"policy.{k}": p for k, p in master_weights.parameters.items()}
    parameters |= {f"critic.{k}": p for k, p in critic_master_weights.parameters.items()}
    past = (
        speculative.empty_draft_table(len(prompts), config.max_new_tokens) if config.reuse_rollouts else None
    )
    if past is not None:
        parameters["drafts"] = past
    state = checkpoint.State(
        parameters,
        {"optimizer": optimizer, "critic_optimizer": critic_optimizer},
        {"kl_coef": config.kl_coef},
    )
    numbers, start = state.numbers, checkpoint.restore(run, state)
    guard.tidy(run, start)
    for trained in (master_weights, critic_master_weights):
        trained.copy_to_weights()

    # 4. Train
    rounds = config.limits.rounds(config.steps)
    order = batching.step_rows(len(prompts), config.batch, rounds, run_seed=config.seed, drop_last=True)
    meter, breach = Meter(run), ""
    with progress("ppo", rounds, done=start, quiet=run.quiet) as bar:
        for step in range(start, rounds):
            over = step == config.steps  # then what the last step left is measured, and learns no more
            # a. Sample answers, and have them scored
            index = order[step]
            rollouts = sample(engine, policy, encoded_prompts, index, past, config, step)
            step_prompts = [prompts[i] for i in index]
            texts, finished = (
                [policy.text(r.tokens) for r in rollouts],
                [r.finished for r in rollouts],
            )
            scored = reward_mix.score(step_prompts, texts, finished)
            penalties = config.unfinished_penalty * (1 - torch.tensor(finished, dtype=torch.float32))
            scores = shaped(reward_mix.total(scored, numbers), numbers, config) - penalties  # [N]

            # b. Log-probabilities of the policy and of its reference, and values, over the same tokens
            batch = batching.collate(
                [training_row(r) for r in rollouts], pad_id=policy.pad_id, device=policy.device
            )
            mask = batch.response_mask
            with torch.no_grad():
                packed = policy.backend.packed
                old_logps = batching.map_micro_batches(policy.token_logps, batch, micro_tokens, packed=packed)
                with policy.as_reference():
                    reference_logps = batching.map_micro_batches(
                        policy.token_logps, batch, micro_tokens, packed=packed
                    )
                old_values = batching.map_micro_batches(
                    critic.state_values, batch, micro_tokens, packed=critic.backend.packed
                )

            # c. Rewards per token: the price of KL everywhere, the score at the end; then advantages
            kl_coef = numbers["kl_coef"]
            token_kl, token_k3 = (
                kl.k1(old_logps, reference_logps),
                kl.k3(old_logps, reference_logps),
            )  # [N, T]
            price = token_kl if config.kl_penalty == "k1" else token_k3
            token_rewards = -kl_coef * price
            rows = torch.arange(len(batch), device=policy.device)
            token_rewards[rows, batch.lengths - 1] += scores.to(policy.device)
            if config.whiten_rewards:
                token_rewards = masked_whiten(token_rewards, mask, shift_mean=False)
            advantages, returns = gae(token_rewards, old_values, mask, gamma=config.gamma, lam=config.lam)
            experience = Experience(batch, old_logps, old_values, masked_whiten(advantages, mask), returns)

            # d. What is true of the weights so far, and whether the guard lets them learn from here
            sequence_kl = float(masked_sum(token_kl, mask).mean())
            metrics = {
                "score": float(scored.main.mean()),
                "reward": float(scores.mean()) - kl_coef * float(masked_sum(price, mask).mean()),
                "kl": sequence_kl,
                "kl_k3": float(masked_sum(token_k3, mask).mean()),
                "kl_coef": kl_coef,
                "entropy": -float(
                    masked_mean(old_logps, mask)
                ),  # estimated from the sampled tokens themselves
                "response_tokens": float(mask.sum(dim=1).float().mean()),
                "finished_frac": sum(finished) / len(finished),
                "explained_variance": explained_variance(old_values, returns, mask),
                "sampler_gap": sampler_gap(rollouts, old_logps, mask),
                **reward_mix.metrics(scored, numbers),
            }
            if scored.spread is not None:
                metrics["score_std"] = float(scored.spread.mean())
            if past is not None:
                metrics["reused_frac"] = sum(r.num_reused for r in rollouts) / sum(
                    len(r.tokens) for r in rollouts
                )
            measure = float(
                (reward_mix.total(scored, {}) - penalties).mean()
            )  # no price or multiplier in it, for those move
            if probe is not None:
                measure = float(probe(step_prompts, texts, finished).mean())
                metrics["probe"] = measure
            breach = guard.act(
                run, config.limits, state, step=step, kl=sequence_kl, measure=measure, over=over
            )

            # e. Learn, in several passes of minibatches; or begin again from the best step
            lr_scale = cosine(
                max(0, step - config.critic_warmup),
                config.steps - config.critic_warmup,
                peak=1.0,
                warmup=config.warmup,
            )
            critic_scale = cosine(step, config.steps, peak=1.0, warmup=config.warmup)
            policy_learns = step >= config.critic_warmup
            step_seed = derive_seed(config.seed, "ppo", step)
            parts = batching.minibatches(
                range(len(batch)), config.epochs, config.minibatches, run_seed=step_seed
            )
            learns = not (breach or over)
            totals = {"lr": config.lr * lr_scale if policy_learns else 0.0} if learns else {}
            for number, part in enumerate(parts if learns else []):
                learned = backward(policy, critic, experience, part, config, micro_tokens, policy_learns)
                if ptx_rows and policy_learns:
                    chosen = derive_rng(step_seed, "ptx", number).sample(
                        ptx_rows, min(config.ptx_batch, len(ptx_rows))
                    )
                    learned["ptx_loss"] = ptx_backward(policy, chosen, config, micro_tokens)
                if policy_learns:
                    learned["grad_norm"] = clip_gradients(
                        optimizer, max_norm=config.max_norm, step=step + 1, master_weights=master_weights
                    )
                clip_gradients(
                    critic_optimizer,
                    max_norm=config.max_norm,
                    step=step + 1,
                    master_weights=critic_master_weights,
                )
                if policy_learns:  # now that both norms are known to be numbers
                    take_step(optimizer, lr=config.lr * lr_scale, master_weights=master_weights)
                take_step(
                    critic_optimizer, lr=config.critic_lr * critic_scale, master_weights=critic_master_weights
                )
                if "ratio" in learned:
                    metrics.setdefault(
                        "ratio", learned.pop("ratio")
                    )  # of the first part, before any step: it should be 1
                for name, value in learned.items():
                    totals[name] = totals.get(name, 0.0) + value / len(parts)
            for trained in (master_weights, critic_master_weights) if breach else ():
                trained.copy_to_weights()

            # f. Books and controllers
            run.log(step + 1, **metrics, **totals)
            meter.count(int(batch.token_mask.sum()))
            bar.advance(f"score {metrics['score']:.2f}  kl {sequence_kl:.2f}")
            if over or (breach and config.on_breach == "stop"):
                break
            breach = ""
            if config.kl_target and policy_learns:
                numbers["kl_coef"] = kl.adapt_coefficient(
                    numbers["kl_coef"],
                    sequence_kl,
                    target=config.kl_target,
                    episodes=len(batch),
                    horizon=config.kl_horizon,
                )
            numbers.update(reward_mix.next_multipliers(scored, numbers))
            checkpoint.save_if_due(run, step + 1, config.steps, state, meter, config.checkpoint_every)
    meter.flush()

    # 5. Save
    diagnostics.report(run)
    measured = guard.publish_best(run, config.limits, state, num_steps=config.steps, stopped=breach)
    master_weights.restore_float32()
    home = run.project.artifacts / KIND / config.name
    kept = ("score", "kl", "entropy", "response_tokens", "finished_frac", "probe", "published")
    return run.publish(
        lambda folder: policy.save(folder, final_folder=home),
        metrics={k: measured[k] for k in kept if k in measured},
    )


def sample(
    engine: Engine,
    policy: Policy,
    prompts: Sequence[tuple[int, ...]],
    index: Sequence[int],
    past: Tensor | None,
    config: Config,
    step: int,
) -> list[Rollout]:
    """An answer to each of the step's prompts; `past` holds their last answers, where these are to be drafts."""
    request = SampleRequest(
        prompts=[prompts[i] for i in index],
        params=SamplingParams(max_new_tokens=config.max_new_tokens),
        seed=derive_seed(config.seed, "ppo", step),
    )
    if past is None:
        return sample_rollouts(engine, policy, request)
    # A row draws the same numbers in every epoch: only so does its last answer foretell this one.
    request = replace(
        request,
        seed=derive_seed(config.seed, "ppo", "rows"),
        row_ids=index,
        drafts=speculative.read_drafts(past, index),
    )
    rollouts = sample_rollouts(engine, policy, request)
    speculative.store_drafts(past, index, rollouts)
    return rollouts


def shaped(scores: Tensor, numbers: dict[str, float], config: Config) -> Tensor:
    """Centred on what the first step scored, and held within the clip.  [N] -> [N]"""
    if config.centre_reward:
        scores = scores - numbers.setdefault("centre", float(scores.mean()))
    return scores.clamp(-config.score_clip, config.score_clip) if config.score_clip else scores


def backward(
    policy: Policy,
    critic: ScalarModel,
    experience: Experience,
    part: Sequence[int],
    config: Config,
    micro_tokens: int,
    policy_learns: bool = True,
) -> dict[str, float]:
    """Gradients of the policy's and the critic's loss over the rows in `part`, each the mean over its response tokens."""
    num_tokens = int(experience.batch.on_cpu.response_mask[list(part)].sum())
    names = (
        ("policy_loss", "value_loss", "ratio", "clip_frac", "approx_kl") if policy_learns else ("value_loss",)
    )
    sums = dict.fromkeys(names, torch.zeros((), dtype=torch.float64, device=policy.device))
    packed = policy.backend.packed and critic.backend.packed
    for rows in batching.micro_rows(experience.batch, micro_tokens, packed=packed, rows=part):
        micro = experience.batch.rows(rows)
        mask, width = micro.response_mask, micro.tokens.shape[1]
        if policy_learns:
            old_logps = experience.old_logps[rows, :width]
            policy_logps = policy.token_logps(micro)  # [B, T]
            policy_loss = masked_sum(
                ppo_clip(policy_logps, old_logps, experience.advantages[rows, :width], clip=config.clip), mask
            )
            (policy_loss.sum() / num_tokens).backward()
            with torch.no_grad():
                sums["policy_loss"] = sums["policy_loss"] + policy_loss.sum()
                sums["ratio"] = sums["ratio"] + masked_sum((policy_logps - old_logps).exp(), mask).sum()
                sums["clip_frac"] = (
                    sums["clip_frac"]
                    + masked_sum(is_clipped(policy_logps, old_logps, clip=config.clip), mask).sum()
                )
                sums["approx_kl"] = (
                    sums["approx_kl"] + masked_sum(0.5 * (policy_logps - old_logps).square(), mask).sum()
                )
        values = critic.state_values(micro)  # [B, T]
        old_values, returns = experience.old_values[rows, :width], experience.returns[rows, :width]
        value_loss = masked_sum(clipped_value(values, old_values, returns, clip=config.value_clip), mask)
        (value_loss.sum() / num_tokens).backward()
        sums["value_loss"] = sums["value_loss"] + value_loss.detach().sum()
    return {name: float(value) / num_tokens for name, value in sums.items()}


def ptx_backward(policy: Policy, rows: Sequence[Encoded], config: Config, micro_tokens: int) -> float:
    """Gradients of ptx_coef * the mean negative log-likelihood of the rows' tokens (eq. 2 of arXiv:2203.02155); returns that mean."""
    batch = batching.collate(rows, pad_id=policy.pad_id, device=policy.device)
    num_tokens = int(batch.on_cpu.response_mask.sum())
    total = torch.zeros((), dtype=torch.float64, device=policy.device)
    for index in batching.micro_rows(batch, micro_tokens, packed=policy.backend.packed):
        losses = negative_log_likelihood(policy.token_logps(batch.rows(index)))  # [B, T]
        (config.ptx_coef * losses.sum() / num_tokens).backward()
        total = total + losses.detach().sum()
    return float(total) / num_tokens


def token_budget(run: Run, policy: Policy, critic: ScalarModel, few: Batch, config: Config) -> int:
    """Tokens of a micro-batch; says how many networks policy, reference and critic are in memory, beside reward models of their own."""
    networks = {id(network): network for network in (*policy.networks(), critic.network)}.values()
    run.event("roles", networks=len(networks))
    every = {id(p): p for network in networks for p in network.parameters()} | {
        id(p): p for p in critic.trainable().values()
    }
    tokens = int(few.token_mask.sum())
    expected = memory.measure(
        every.values(), lambda: policy.token_logps(few), tokens, optimizer_bits=config.optimizer_bits
    )
    return memory.token_budget(run, expected, config.micro_tokens)
