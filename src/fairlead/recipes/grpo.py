"""GRPO: sample several answers to each prompt, and move the policy towards those that score better than their siblings.  No critic.

arXiv:2402.03300 (GRPO), with the baselines of arXiv:2402.14740 (RLOO) and arXiv:2501.03262 (REINFORCE++) as a choice

reads   prompts (data.records.Prompt), a policy, rewards      writes  model or adapter, metrics
run     fairlead train grpo model=sft reward=reward prompts=data/prompts.jsonl name=aligned steps=100

Every token of an answer has the answer's advantage, and the loss is the mean over all tokens of a step (arXiv:2503.14476), so that long
answers are not discounted.  The price of KL stands in the loss, not in the reward.  Watch `kl`, `finished_frac`, `response_tokens` and
`score` together; prompts whose answers all score the same teach nothing, and `equal_frac` counts them.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor

from fairlead.core.config import DatasetRef, ModelRef, RewardModelRef
from fairlead.core.errors import DataError, require
from fairlead.core.precision import Precision
from fairlead.core.progress import progress
from fairlead.core.seed import derive_seed
from fairlead.data.record_reader import read_prompts
from fairlead.encoding import batching
from fairlead.encoding.batching import Batch
from fairlead.examples.pairs import encode_prompts
from fairlead.losses.policy import is_clipped, ppo_clip
from fairlead.model.adapters import Lora
from fairlead.model.policy import Policy, load_policy
from fairlead.ops import advantage, kl
from fairlead.ops.masks import masked_mean, masked_sum
from fairlead.ops.pool_names import Pool
from fairlead.rollout.engine import Engine, LocalEngine, sample_rollouts
from fairlead.rollout.records import SampleRequest, SamplingParams
from fairlead.rollout.reward_mix import Terms, open_reward_mix, terms_of
from fairlead.rollout.rewards import open_reward
from fairlead.rollout.training_rows import sampler_gap, training_row, trial_row
from fairlead.store.artifact import Artifact
from fairlead.store.run import Run
from fairlead.train import checkpoint, diagnostics, guard, memory
from fairlead.train.admission_gate import check_admission
from fairlead.train.knobs import check_updates
from fairlead.train.master_weights import MasterWeights
from fairlead.train.meter import Meter
from fairlead.train.optim import adamw, update
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
    group: int = 8  # answers to each prompt
    baseline: Literal["group", "leave-one-out", "batch"] = (
        "group"  # GRPO, RLOO, REINFORCE++: what an answer's score is compared with
    )
    epochs: int = 1  # passes over a step's answers
    minibatches: int = 1  # optimiser steps per pass
    max_new_tokens: int = 128  # longest answer
    lr: float = 1e-4  # at its peak; cosine to a tenth.  Suits LoRA; full fine-tuning wants about 1e-6
    warmup: int = 5  # steps of linear warm-up
    max_norm: float = 1.0  # gradients are scaled down to this norm
    clip: float = 0.2  # the policy's ratio is held within 1 - clip .. 1 + clip
    kl_coef: float = 0.04  # price of a nat away from the reference, in the loss; 0 runs without a reference
    unfinished_penalty: float = 1.0  # taken from the score of an answer that never ended
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
            self.group > 1, "group", self.group, "must be at least 2; answers are compared with each other"
        )
        require(
            self.batch > 0 and self.batch % self.group == 0,
            "batch",
            self.batch,
            f"must be a multiple of group = {self.group}",
        )
        require(self.epochs > 0, "epochs", self.epochs, "must be positive")
        most = self.batch // self.group
        require(
            0 < self.minibatches <= most,
            "minibatches",
            self.minibatches,
            f"must lie between 1 and batch / group = {most}",
        )
        require(self.max_new_tokens > 0, "max_new_tokens", self.max_new_tokens, "must be positive")
        require(self.clip > 0, "clip", self.clip, "must be positive")
        require(
            self.kl_coef >= 0, "kl_coef", self.kl_coef, "must not be negative; 0 runs without a reference"
        )
        measures_kl = self.kl_coef > 0 or not self.kl_budget
        require(
            measures_kl,
            "kl_budget",
            self.kl_budget,
            "needs a kl_coef above 0: without a reference KL is not measured",
        )
        assert self.terms and self.limits  # which refuse what cannot be

    @property
    def terms(self) -> Terms:
        return terms_of(self)

    @property
    def limits(self) -> guard.Limits:
        return guard.limits_of(self)


@dataclass(frozen=True)
class Experience:
    """What one step learns from: N answers, in groups to the same prompt, as one padded batch."""

    batch: Batch  # N rows: prompt and answer; response_mask selects the answer
    advantages: Tensor  # [N]
    old_logps: Tensor | None  # [N, T] under the policy that sampled; None while that is the policy itself
    reference_logps: Tensor | None  # [N, T]; None without a price of KL


def main(config: Config, run: Run, *, open_engine: Callable[[Policy], Engine] = LocalEngine) -> Artifact:
    if run.finished:
        return run.finished

    # 1. Policy, reference
    check_admission(run, config.terms.fields, trust=config.trust)
    lora = (
        Lora(config.lora_rank, config.lora_alpha, config.seed, config.precision, config.base_bits)
        if config.lora_rank
        else None
    )
    policy = load_policy(run.model_path("model"), lora=lora)
    policy.backend.precision, policy.backend.gradient_checkpointing = (
        config.precision,
        config.gradient_checkpointing,
    )
    engine = open_engine(policy)

    # 2. Prompts, rewards
    num_prompts = config.batch // config.group
    prompts = [prompt.prompt for prompt in read_prompts(run.data_path("prompts"))]
    if len(prompts) < num_prompts:
        raise DataError(
            f"{config.prompts}: has {len(prompts)} prompts; a step takes {num_prompts}. Lower batch, raise group, or add prompts."
        )
    encoded_prompts = encode_prompts(
        policy, prompts, max_new_tokens=config.max_new_tokens, source=config.prompts
    )
    sampling = SamplingParams(max_new_tokens=config.max_new_tokens)
    few = batching.collate(
        [trial_row(tokens) for tokens in encoded_prompts[: batching.NUM_CHECK_ROWS]],
        pad_id=policy.pad_id,
        device=policy.device,
    )
    verify_backend(run, policy, lambda: policy.token_logps(few), what="policy")
    master_weights = MasterWeights(policy.trainable(), config.precision)
    if config.kl_coef:
        policy.keep_reference()
    every = (p for network in policy.networks() for p in network.parameters())
    tokens = int(few.token_mask.sum())
    expected = memory.measure(
        every, lambda: policy.token_logps(few), tokens, optimizer_bits=config.optimizer_bits
    )
    micro_tokens = memory.token_budget(run, expected, config.micro_tokens)
    reward_mix = open_reward_mix(
        run,
        config.terms,
        policy=policy,
        micro_tokens=micro_tokens,
        prompts=prompts,
        precision=config.precision,
    )
    probe = open_reward(run.model_path("probe"), micro_tokens=micro_tokens) if config.probe else None

    # 3. Optimiser, and the numbers that move: KL's price, constraints' multipliers, what the guard remembers
    optimizer = adamw(master_weights.parameters, lr=config.lr, bits=config.optimizer_bits)
    state = checkpoint.State(master_weights.parameters, {"optimizer": optimizer}, {"kl_coef": config.kl_coef})
    numbers = state.numbers
    start = checkpoint.restore(run, state)
    guard.tidy(run, start)
    master_weights.copy_to_weights()

    # 4. Train
    rounds = config.limits.rounds(config.steps)
    order = batching.step_rows(len(prompts), num_prompts, rounds, run_seed=config.seed, drop_last=True)
    # Then the policy that learns is the one that sampled.  A guard asks for its log-probabilities before it learns.
    once = config.epochs * config.minibatches == 1 and not config.limits.watching
    meter = Meter(run)
    breach = ""
    with progress("grpo", rounds, done=start, quiet=run.quiet) as bar:
        for step in range(start, rounds):
            over = step == config.steps  # then what the last step left is measured, and learns no more
            # a. Sample a group of answers to each prompt, and have them scored
            index = [i for i in order[step] for _ in range(config.group)]
            step_seed = derive_seed(config.seed, "grpo", step)
            request = SampleRequest(
                prompts=[encoded_prompts[i] for i in index], params=sampling, seed=step_seed
            )
            rollouts = sample_rollouts(engine, policy, request)
            step_prompts = [prompts[i] for i in index]
            texts, finished = (
                [policy.text(r.tokens) for r in rollouts],
                [r.finished for r in rollouts],
            )
            scored = reward_mix.score(step_prompts, texts, finished)
            penalties = config.unfinished_penalty * (1 - torch.tensor(finished, dtype=torch.float32))
            scores = reward_mix.total(scored, numbers) - penalties  # [N]
            grouped = scores.view(num_prompts, config.group)  # [P, G]

            # b. Advantages, and log-probabilities over the same tokens, but those that the step computes anyway
            batch = batching.collate(
                [training_row(r) for r in rollouts], pad_id=policy.pad_id, device=policy.device
            )
            mask, packed = batch.response_mask, policy.backend.packed
            old_logps = reference_logps = None
            with torch.no_grad():
                if not once:
                    old_logps = batching.map_micro_batches(
                        policy.token_logps, batch, micro_tokens, packed=packed
                    )
                if config.kl_coef:
                    with policy.as_reference():
                        reference_logps = batching.map_micro_batches(
                            policy.token_logps, batch, micro_tokens, packed=packed
                        )
            advantages = advantage.GROUP_ADVANTAGES[config.baseline](grouped).flatten()  # [N]
            experience = Experience(batch, advantages.to(policy.device), old_logps, reference_logps)

            # c. Whether the guard lets these weights learn; or the run begins again from the best step
            measure = float(
                (reward_mix.total(scored, {}) - penalties).mean()
            )  # no multiplier in it, for those move
            if probe is not None:
                measure = float(probe(step_prompts, texts, finished).mean())
            sequence_kl = None
            if old_logps is not None and reference_logps is not None:
                sequence_kl = float(masked_sum(kl.k1(old_logps, reference_logps), mask).mean())
            kl_coef = numbers["kl_coef"]
            breach = guard.act(
                run, config.limits, state, step=step, kl=sequence_kl, measure=measure, over=over
            )

            # d. Passes of minibatches of whole groups
            lr = cosine(step, config.steps, peak=config.lr, warmup=config.warmup)
            parts = batching.minibatches(
                range(num_prompts), config.epochs, config.minibatches, run_seed=step_seed
            )
            learns = not (breach or over)
            totals = {"lr": lr} if learns else {}
            for number, part in enumerate(parts if learns else []):
                rows = [group * config.group + i for group in part for i in range(config.group)]
                learned, logps = backward(policy, experience, rows, config, micro_tokens, kl_coef=kl_coef)
                learned["grad_norm"] = update(
                    optimizer, lr=lr, max_norm=config.max_norm, step=step + 1, master_weights=master_weights
                )
                ratio = learned.pop("ratio")
                if number == 0 and old_logps is not None:
                    totals["ratio"] = ratio  # before any step: it should be 1
                for name, value in learned.items():
                    totals[name] = totals.get(name, 0.0) + value / len(parts)
            if breach:
                master_weights.copy_to_weights()
            sampled_logps = logps if old_logps is None else old_logps  # [N, T]

            # e. Book-keeping
            metrics = {
                "score": float(scored.main.mean()),
                "reward": float(scores.mean()),
                "equal_frac": float((grouped.std(dim=1) < 1e-6).float().mean()),
                "entropy": -float(
                    masked_mean(sampled_logps, mask)
                ),  # estimated from the sampled tokens themselves
                "response_tokens": float(mask.sum(dim=1).float().mean()),
                "finished_frac": sum(finished) / len(finished),
                "sampler_gap": sampler_gap(rollouts, sampled_logps, mask),
                **totals,
                **reward_mix.metrics(scored, numbers),
            }
            if scored.spread is not None:
                metrics["score_std"] = float(scored.spread.mean())
            if reference_logps is not None:
                metrics["kl_coef"] = kl_coef
                metrics["kl"] = float(masked_sum(kl.k1(sampled_logps, reference_logps), mask).mean())
                metrics["kl_k3"] = float(masked_sum(kl.k3(sampled_logps, reference_logps), mask).mean())
            if probe is not None:
                metrics["probe"] = measure
            run.log(step + 1, **metrics)
            meter.count(int(batch.token_mask.sum()))
            bar.advance(f"score {metrics['score']:.2f}")
            if over or (breach and config.on_breach == "stop"):
                break
            breach = ""
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


def backward(
    policy: Policy,
    experience: Experience,
    rows: Sequence[int],
    config: Config,
    micro_tokens: int,
    *,
    kl_coef: float,
) -> tuple[dict[str, float], Tensor]:
    """Gradients of the loss over some rows, the mean over their answers' tokens.

    Returns measurements, and the policy's log-probabilities as they were met, [N, T].
    """
    batch = experience.batch
    num_tokens = int(batch.on_cpu.response_mask[list(rows)].sum())
    nothing = torch.zeros((), dtype=torch.float64, device=policy.device)
    sums = dict.fromkeys(("policy_loss", "kl_loss", "ratio", "clip_frac", "approx_kl"), nothing)
    found = torch.zeros(batch.tokens.shape, device=policy.device)
    for part in batching.micro_rows(batch, micro_tokens, packed=policy.backend.packed, rows=rows):
        micro = batch.rows(part)
        mask, width = micro.response_mask, micro.tokens.shape[1]
        policy_logps = policy.token_logps(micro)  # [B, T]
        old_logps = (
            policy_logps.detach() if experience.old_logps is None else experience.old_logps[part, :width]
        )
        policy_loss = masked_sum(
            ppo_clip(policy_logps, old_logps, experience.advantages[part, None], clip=config.clip), mask
        ).sum()
        kl_loss = nothing
        if experience.reference_logps is not None:
            kl_loss = (
                kl_coef
                * masked_sum(kl.k3(policy_logps, experience.reference_logps[part, :width]), mask).sum()
            )
        ((policy_loss + kl_loss) / num_tokens).backward()
        with torch.no_grad():
            found[part, :width] = policy_logps
            sums["policy_loss"] = sums["policy_loss"] + policy_loss.detach()
            sums["kl_loss"] = sums["kl_loss"] + kl_loss.detach()
            sums["ratio"] = sums["ratio"] + masked_sum((policy_logps - old_logps).exp(), mask).sum()
            sums["clip_frac"] = (
                sums["clip_frac"]
                + masked_sum(is_clipped(policy_logps, old_logps, clip=config.clip), mask).sum()
            )
            sums["approx_kl"] = (
                sums["approx_kl"] + masked_sum(0.5 * (policy_logps - old_logps).square(), mask).sum()
            )
    return {name: float(value) / num_tokens for name, value in sums.items()}, found
