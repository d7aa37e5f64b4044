"""Alternating: a step on demonstrations, a step on comparisons, and so on.  ALRIGHT, arXiv:2410.15483

reads   demonstrations, comparisons      writes  model or adapter, metrics
run     fairlead train alternate model=base demonstrations=data/demonstrations.jsonl comparisons=data/comparisons.jsonl steps=400 name=both

SFT first and DPO afterwards forgets on the way; taking turns does not.  A demonstration step is an SFT step, a comparison step is a DPO
step, and one optimiser makes both.  The reference of DPO is the model that training starts from.  The paper draws each step's kind at
random with a given chance; here the kinds are spread evenly in that proportion, and the first step is on comparisons.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

import torch

from fairlead.core.config import DatasetRef, ModelRef
from fairlead.core.errors import require
from fairlead.core.precision import Precision
from fairlead.core.progress import progress
from fairlead.data.record_reader import read_comparisons, read_demonstrations
from fairlead.encoding import batching
from fairlead.encoding.chat import Encoded, num_trained_tokens
from fairlead.examples.pairs import (
    Pair,
    collate_pairs,
    encode_and_split,
    encode_pair,
    pair_logps,
    pair_weights,
    without_ties,
)
from fairlead.examples.reference_logps import (
    all_answer_logps,
    all_pair_logps,
    reference_pair_logps,
)
from fairlead.losses import preference, sft
from fairlead.losses.preference import PairLogps
from fairlead.model.adapters import Lora
from fairlead.model.policy import Policy, load_policy
from fairlead.stats import interval
from fairlead.store.artifact import Artifact
from fairlead.store.run import Run
from fairlead.train import checkpoint, memory
from fairlead.train.knobs import check_learning_from_rows
from fairlead.train.master_weights import MasterWeights
from fairlead.train.meter import Meter
from fairlead.train.optim import adamw, update
from fairlead.train.schedule import cosine
from fairlead.train.settings import Data
from fairlead.train.verify_backend import verify_backend

KIND = "model"


@dataclass(frozen=True, kw_only=True)
class Config:
    name: str  # of the model that is written
    model: ModelRef  # to start from, and the reference of the comparison steps
    demonstrations: DatasetRef  # native rows: prompt and completion, or messages
    comparisons: DatasetRef  # native rows: prompt, chosen, rejected
    steps: int  # optimiser steps of both kinds together
    sft_share: float = 0.5  # of the steps that are on demonstrations
    beta: float = 0.1  # strength of the pull to the reference in comparison steps
    batch: int = 32  # rows per optimiser step, all of one kind
    lr: float = 5e-5  # at its peak; cosine to a tenth.  Suits LoRA; full fine-tuning of a large model wants about 5e-7
    warmup: int = 10  # steps of linear warm-up
    weight_decay: float = 0.0
    max_norm: float = 1.0  # gradients are scaled down to this norm
    lora_rank: int = 16  # 0 trains all weights
    lora_alpha: int = 32  # strength of the adapter: alpha / rank
    base_bits: Literal[4, 32] = (
        32  # 4: the frozen network under an adapter is kept in 4 bits (QLoRA); needs bitsandbytes
    )
    held_out: float = 0.1  # share of the prompts kept for measuring
    max_tokens: int = 0  # longest conversation; 0 means the model's own context
    too_long: Literal["error", "drop"] = "error"  # what to do with longer ones; dropped rows are counted
    micro_tokens: int = (
        1024  # tokens per forward pass, padding included; memory, not results.  0 takes what the memory holds
    )
    precision: Precision = "float32"  # bfloat16: of the matrix products; pure-bfloat16: of all but the optimiser and its float32 copies
    optimizer_bits: Literal[8, 32] = 32  # 8: AdamW's moments take a quarter of the memory; needs bitsandbytes
    gradient_checkpointing: bool = (
        False  # compute layers again in the backward pass: less memory, about a third more time
    )
    measure_every: int = 50  # steps between measurements on the held-out part
    checkpoint_every: int = 50  # steps
    seed: int = 0

    def __post_init__(self) -> None:
        check_learning_from_rows(self)
        require(
            0 < self.sft_share < 1,
            "sft_share",
            self.sft_share,
            "is a share between 0 and 1; `sft` and `dpo` are the ends",
        )
        require(self.beta > 0, "beta", self.beta, "must be positive; it scales the implicit reward")
        require(self.steps > 0, "steps", self.steps, "must be positive")
        empty = f"leaves one of the two kinds without a step in steps = {self.steps}; raise steps, or use `sft` or `dpo` alone"
        require(
            0 < sum(sft_turns(self.steps, self.sft_share)) < self.steps, "sft_share", self.sft_share, empty
        )
        require(0 < self.held_out < 1, "held_out", self.held_out, "is a share between 0 and 1")


def main(config: Config, run: Run) -> Artifact:
    if run.finished:
        return run.finished

    # 1. Model: the reference is what it is now
    lora = (
        Lora(config.lora_rank, config.lora_alpha, config.seed, config.precision, config.base_bits)
        if config.lora_rank
        else None
    )
    policy = load_policy(run.model_path("model"), lora=lora)

    # 2. Data: a prompt stands on one side of the split in both files
    longest = config.max_tokens or policy.context
    shown = encode_and_split(
        read_demonstrations(run.data_path("demonstrations")),
        lambda d: policy.encode(d.messages, num_context=d.num_prompt_messages, max_tokens=longest),
        Data(held_out=config.held_out, max_tokens=config.max_tokens, too_long=config.too_long),
        seed=config.seed,
        source=config.demonstrations,
    )
    compared = encode_and_split(
        without_ties(read_comparisons(run.data_path("comparisons")), config.comparisons),
        lambda c: encode_pair(policy, c, longest),
        Data(held_out=config.held_out, max_tokens=config.max_tokens, too_long=config.too_long),
        seed=config.seed,
        source=config.comparisons,
    )
    counts = {"demonstrations": len(shown.train), "held_out_demonstrations": len(shown.held_out)}
    counts |= {"comparisons": len(compared.train), "held_out_comparisons": len(compared.held_out)}
    counts["dropped"] = shown.num_dropped + compared.num_dropped
    run.event("data", **counts)
    policy.backend.precision, policy.backend.gradient_checkpointing = (
        config.precision,
        config.gradient_checkpointing,
    )
    few = collate_pairs(
        compared.train_rows[: batching.NUM_CHECK_ROWS], pad_id=policy.pad_id, device=policy.device
    )
    verify_backend(run, policy, lambda: policy.token_logps(few), what="policy")
    master_weights = MasterWeights(
        policy.trainable(), config.precision
    )  # before the reference is computed, so that it is what training starts from
    expected = memory.measure(
        policy.network.parameters(),
        lambda: policy.token_logps(few),
        int(few.token_mask.sum()),
        optimizer_bits=config.optimizer_bits,
    )
    micro_tokens = memory.token_budget(run, expected, config.micro_tokens)

    # 3. The reference: what the policy says of every pair before it is trained, computed once
    every_pair = compared.train_rows + compared.held_out_rows
    reference = reference_pair_logps(
        run, policy, every_pair, micro_tokens, precision=config.precision, base_bits=config.base_bits
    )
    weights = pair_weights(compared.train, config.comparisons).to(policy.device)

    # 4. Optimiser
    optimizer = adamw(
        master_weights.parameters, lr=config.lr, weight_decay=config.weight_decay, bits=config.optimizer_bits
    )
    state = checkpoint.State(master_weights.parameters, {"optimizer": optimizer})
    start = checkpoint.restore(run, state)
    master_weights.copy_to_weights()

    # 5. Train: each kind has its own order of rows and goes through them at its own pace
    sft_steps = sft_turns(config.steps, config.sft_share)
    sft_order = batching.step_rows(len(shown.train), config.batch, config.steps, run_seed=config.seed)
    dpo_order = batching.step_rows(len(compared.train), config.batch, config.steps, run_seed=config.seed)
    meter = Meter(run)
    with progress("alternate", config.steps, done=start, quiet=run.quiet) as bar:
        for step in range(start, config.steps):
            turn = sum(sft_steps[:step])  # SFT steps before this one
            if sft_steps[step]:
                metrics, num_tokens = sft_step(
                    policy, [shown.train_rows[i] for i in sft_order[turn]], micro_tokens
                )
            else:
                chosen = dpo_order[step - turn]
                before = PairLogps(*(logps[chosen] for logps in reference))
                metrics, num_tokens = dpo_step(
                    policy,
                    [compared.train_rows[i] for i in chosen],
                    before,
                    weights[chosen],
                    config.beta,
                    micro_tokens,
                )
            lr = cosine(step, config.steps, peak=config.lr, warmup=config.warmup)
            grad_norm = update(
                optimizer, lr=lr, max_norm=config.max_norm, step=step + 1, master_weights=master_weights
            )
            metrics |= {"lr": lr, "grad_norm": grad_norm}
            if (step + 1) % config.measure_every == 0 or step + 1 == config.steps:
                nlls, losses, hits = measure(
                    policy, shown.held_out_rows, compared.held_out_rows, reference, config, micro_tokens
                )
                metrics["held_out_sft_loss"] = sum(nlls) / len(nlls)
                metrics["held_out_dpo_loss"] = sum(losses) / len(losses)
                metrics["held_out_accuracy"] = sum(hits) / len(hits)
            run.log(step + 1, **metrics)
            meter.count(num_tokens)
            bar.advance(
                "  ".join(
                    f"{name} {metrics[name]:.3f}" for name in ("sft_loss", "dpo_loss") if name in metrics
                )
            )
            checkpoint.save_if_due(run, step + 1, config.steps, state, meter, config.checkpoint_every)
    meter.flush()

    # 6. Evidence and save
    nlls, losses, hits = measure(
        policy, shown.held_out_rows, compared.held_out_rows, reference, config, micro_tokens
    )
    evidence = {
        "held_out_sft_loss": interval.mean(nlls).as_dict(),
        "held_out_dpo_loss": interval.mean(losses).as_dict(),
        "accuracy": interval.proportion(sum(hits), len(hits)).as_dict(),
        **counts,
    }
    master_weights.restore_float32()
    home = run.project.artifacts / KIND / config.name
    return run.publish(lambda folder: policy.save(folder, final_folder=home), metrics=evidence)


def sft_turns(steps: int, share: float) -> list[bool]:
    """Which steps are on demonstrations: after each step, `share` of the steps so far, rounded down."""
    exact = Fraction(
        str(share)
    )  # the number as it was written: 0.29 * 100 is 29, and in floating point a little less
    return [int((step + 1) * exact) > int(step * exact) for step in range(steps)]


def sft_step(policy: Policy, items: Sequence[Encoded], micro_tokens: int) -> tuple[dict[str, float], int]:
    """Gradients of the mean negative log-likelihood over the trained tokens of all items; what to log, and how many tokens were read."""
    num_tokens = num_trained_tokens(items)
    total = torch.zeros((), dtype=torch.float64, device=policy.device)
    for index in batching.micro_batches(
        [len(item) for item in items], micro_tokens, packed=policy.backend.packed
    ):
        micro = batching.collate([items[i] for i in index], pad_id=policy.pad_id, device=policy.device)
        loss = sft.negative_log_likelihood(policy.token_logps(micro))  # [B, T]
        (loss.sum() / num_tokens).backward()
        total += loss.detach().sum()
    return {"sft_loss": float(total) / num_tokens}, sum(len(item) for item in items)


def dpo_step(
    policy: Policy,
    pairs: Sequence[Pair],
    reference: PairLogps,
    weights: torch.Tensor,
    beta: float,
    micro_tokens: int,
) -> tuple[dict[str, float], int]:
    """Gradients of the mean loss over the pairs; what to log, and how many tokens were read.  reference, weights: [pairs]"""
    total, margins, hits = torch.zeros(3, dtype=torch.float64, device=policy.device)
    for index in policy.backend.micro_groups(pairs, micro_tokens):
        policy_logps = pair_logps(policy, [pairs[i] for i in index])
        reference_logps = PairLogps(*(logps[index] for logps in reference))
        loss = weights[index] * preference.dpo(policy_logps, reference_logps, beta=beta)  # [pairs]
        (loss.sum() / len(pairs)).backward()
        with torch.no_grad():
            margin = preference.preference_margin(policy_logps, reference_logps)
            total += loss.sum()
            margins += margin.sum()
            hits += preference.accuracy(margin).sum()
    metrics = {
        "dpo_loss": float(total) / len(pairs),
        "margin": float(margins) / len(pairs),
        "accuracy": float(hits) / len(pairs),
    }
    return metrics, sum(len(side) for pair in pairs for side in pair)


@torch.no_grad()
def measure(
    policy: Policy,
    rows: Sequence[Encoded],
    pairs: Sequence[Pair],
    reference: PairLogps,
    config: Config,
    micro_tokens: int,
) -> tuple[list[float], list[float], list[float]]:
    """Of each held-out demonstration the loss per token; of each held-out pair the loss, and whether the chosen answer leads."""
    logps = all_answer_logps(policy, [(row,) for row in rows], micro_tokens).tolist()
    nlls = [-logp / num_trained_tokens([row]) for logp, row in zip(logps, rows, strict=True)]
    policy_logps = all_pair_logps(policy, pairs, micro_tokens)
    reference_logps = PairLogps(*(before[-len(pairs) :] for before in reference))
    losses = preference.dpo(policy_logps, reference_logps, beta=config.beta)
    hits = preference.accuracy(preference.preference_margin(policy_logps, reference_logps))
    return nlls, losses.tolist(), hits.tolist()
