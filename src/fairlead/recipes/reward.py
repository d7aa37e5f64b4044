"""Reward model: one number for an answer, learned from people's comparisons.  Bradley-Terry: arXiv:2203.02155, section 3.5.

reads   comparisons (data.records.Comparison)      writes  reward-model with its admission report, metrics with intervals
run     fairlead train reward model=sft comparisons=data/comparisons.jsonl name=reward

Part of the prompts is held out.  On it the model that was saved is examined (eval.admission): beside baselines that read no meaning, for
its calibration, for what it makes of length; a verdict says whether it may pay a policy.  Ties are left out and counted.  The scores'
mean and spread on held-out answers are stored with the model.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from fairlead.core.config import DatasetRef, ModelRef
from fairlead.core.errors import require
from fairlead.core.progress import progress
from fairlead.data.notes import read_notes
from fairlead.data.reading import read_comparisons
from fairlead.data.records import Comparison
from fairlead.eval import admission
from fairlead.eval.evidence import Pairs
from fairlead.eval.scoring import Scores, Trained
from fairlead.losses import reward
from fairlead.model import batch as batches
from fairlead.model import memory
from fairlead.model.adapters import Lora
from fairlead.model.check import check_paths
from fairlead.model.heads import ScalarModel, new_reward_model
from fairlead.model.paths import Precision
from fairlead.model.rows import Pair, collate_pairs, decided, encode_and_split, halves, micro_pairs
from fairlead.store.artifact import Artifact
from fairlead.store.run import Run
from fairlead.train import state as states
from fairlead.train.masters import Masters
from fairlead.train.meter import Meter
from fairlead.train.optim import adamw, update
from fairlead.train.schedule import cosine

KIND = "reward-model"


@dataclass(frozen=True, kw_only=True)
class Config:
    name: str  # of the reward model that is written
    model: ModelRef  # whose trunk it starts from, usually the SFT model
    comparisons: DatasetRef  # native rows: prompt, chosen, rejected
    epochs: int = 1  # more than one or two overfits: each epoch sees the same choices again
    batch: int = 32  # pairs per optimiser step
    lr: float = 1e-4  # at its peak; cosine to a tenth.  Suits LoRA; full fine-tuning of a large model wants about 1e-5
    warmup: int = 10  # steps of linear warm-up
    weight_decay: float = 0.0
    max_norm: float = 1.0  # gradients are scaled down to this norm
    lora_rank: int = 16  # 0 trains all weights
    lora_alpha: int = 32  # strength of the adapter: alpha / rank
    base_bits: Literal[4, 32] = 32  # 4: the frozen network under an adapter is kept in 4 bits (QLoRA); needs bitsandbytes
    held_out: float = 0.15  # share of the prompts kept for the evidence
    max_tokens: int = 0  # longest conversation; 0 means the model's own context
    too_long: Literal["error", "drop"] = "error"  # what to do with pairs of which one side is longer
    micro_tokens: int = 1024  # tokens per forward pass, padding included; memory, not results.  0 takes what the memory holds
    precision: Precision = "float32"  # bfloat16: of the matrix products; pure-bfloat16: of all but the optimiser and its float32 copies
    optimizer_bits: Literal[8, 32] = 32  # 8: AdamW's moments take a quarter of the memory; needs bitsandbytes
    gradient_checkpointing: bool = False  # compute layers again in the backward pass: less memory, about a third more time
    measure_every: int = 50  # steps between measurements on the held-out part
    checkpoint_every: int = 50  # steps
    seed: int = 0

    def __post_init__(self) -> None:
        require(self.epochs > 0, "epochs", self.epochs, "must be positive")
        require(self.batch > 0, "batch", self.batch, "must be positive")
        require(self.lr > 0, "lr", self.lr, "must be positive")
        require(0 < self.held_out < 1, "held_out", self.held_out, "is a share between 0 and 1; evidence needs some")
        require(self.checkpoint_every > 0, "checkpoint_every", self.checkpoint_every, "must be positive")
        require(self.micro_tokens >= 0, "micro_tokens", self.micro_tokens, "must not be negative; 0 takes what the memory holds")
        require(self.max_norm > 0, "max_norm", self.max_norm, "must be positive")
        require(self.measure_every > 0, "measure_every", self.measure_every, "must be positive")
        require(self.lora_rank >= 0, "lora_rank", self.lora_rank, "must not be negative; 0 trains all weights")
        require(self.base_bits == 32 or self.lora_rank > 0, "base_bits", self.base_bits, "needs an adapter: lora_rank must be above 0")


def main(config: Config, run: Run) -> Artifact:
    if run.finished:
        return run.finished

    # 1. Model: the trunk of a language model and a fresh head
    lora = Lora(config.lora_rank, config.lora_alpha, config.seed, config.precision, config.base_bits) if config.lora_rank else None
    model = new_reward_model(run.model_path("model"), run_seed=config.seed, lora=lora)
    fresh_head = model.head.weight.detach().clone()

    # 2. Data: pairs that share a prompt stay on the same side of the split
    comparisons = read_comparisons(run.data_path("comparisons"))
    longest = config.max_tokens or model.context
    rows = encode_and_split(
        decided(comparisons, config.comparisons),
        lambda c: encode_pair(model, c, longest),
        too_long=config.too_long,
        held_out=config.held_out,
        seed=config.seed,
        source=config.comparisons,
    )
    counts = {"train": len(rows.train), "held_out": len(rows.held_out), "ties": sum(c.tie is not None for c in comparisons)}
    run.event("data", **counts, dropped=rows.num_dropped)
    model.paths.precision, model.paths.checkpointing = config.precision, config.gradient_checkpointing
    few = collate_pairs(rows.train_rows[: batches.FEW], pad_id=model.pad_id, device=model.device)
    check_paths(run, model, lambda: model.scores(few), what="reward model")
    masters = Masters(model.trainable(), config.precision)
    expected = memory.measure(
        model.network.parameters(), lambda: model.scores(few), int(few.token_mask.sum()), optimizer_bits=config.optimizer_bits
    )
    micro_tokens = memory.token_budget(run, expected, config.micro_tokens)

    # 3. Optimiser
    optimizer = adamw(masters.parameters, lr=config.lr, weight_decay=config.weight_decay, bits=config.optimizer_bits)
    state = states.State(masters.parameters, {"optimizer": optimizer})
    start = states.restore(run, state)
    masters.write()

    # 4. Train
    num_steps = config.epochs * batches.steps_per_epoch(len(rows.train), config.batch)
    order = batches.step_rows(len(rows.train), config.batch, num_steps, run_seed=config.seed)
    meter = Meter(run)
    with progress("reward", num_steps, done=start, quiet=run.quiet) as bar:
        for step in range(start, num_steps):
            items = [rows.train_rows[i] for i in order[step]]
            total, right = torch.zeros(2, dtype=torch.float64, device=model.device)  # there, so that nothing waits for them
            for index in micro_pairs(model.paths, items, micro_tokens):
                chosen, rejected = pair_scores(model, [items[i] for i in index])
                loss = reward.bradley_terry(chosen, rejected)  # [pairs]
                (loss.sum() / len(items)).backward()
                total += loss.detach().sum()
                right += reward.accuracy(chosen, rejected).sum()
            lr = cosine(step, num_steps, peak=config.lr, warmup=config.warmup)
            grad_norm = update(optimizer, lr=lr, max_norm=config.max_norm, step=step + 1, masters=masters)
            metrics = {"loss": float(total) / len(items), "accuracy": float(right) / len(items), "lr": lr, "grad_norm": grad_norm}
            if (step + 1) % config.measure_every == 0 or step + 1 == num_steps:
                chosen, rejected = all_scores(model, rows.held_out_rows, micro_tokens)
                metrics["held_out_loss"] = float(reward.bradley_terry(chosen, rejected).mean())
                metrics["held_out_accuracy"] = float(reward.accuracy(chosen, rejected).mean())
            run.log(step + 1, **metrics)
            meter.count(sum(len(side) for item in items for side in item))
            bar.advance(f"loss {metrics['loss']:.3f}  accuracy {metrics['accuracy']:.2f}")
            if (step + 1) % config.checkpoint_every == 0 or run.stop:
                meter.flush()
            states.save_if_due(run, step + 1, num_steps, state, every=config.checkpoint_every)
    meter.flush()

    # 5. Evidence: what the held-out pairs say of the model as it is saved, beside baselines that read no meaning; and the verdict
    chosen, rejected = all_scores(model, rows.held_out_rows, micro_tokens)
    both = torch.cat([chosen, rejected])
    model.set_scale(mean=float(both.mean()), std=max(float(both.std()), 1e-6))
    masters.give_back()
    home, network = run.project.artifacts / KIND / config.name, model.network

    def save(folder: Path) -> None:
        model.save(folder, home=home)
        for parameter in network.parameters():  # what was saved is read back, and the memory may not hold both
            parameter.data = parameter.data.new_empty(0)

    return admission.publish(
        run,
        save,
        Pairs(rows.held_out, rows.train, read_notes(run.data_path("comparisons")), config.seed),
        Trained(Scores(chosen.tolist(), rejected.tolist()), fresh_head),
        counts=counts | {"dropped": rows.num_dropped},
        micro_tokens=micro_tokens,
        source=config.comparisons,
    )


def encode_pair(model: ScalarModel, comparison: Comparison, max_tokens: int | None) -> Pair:
    return (
        model.encode(comparison.prompt + comparison.chosen, max_tokens=max_tokens),
        model.encode(comparison.prompt + comparison.rejected, max_tokens=max_tokens),
    )


def pair_scores(model: ScalarModel, pairs: Sequence[Pair]) -> tuple[Tensor, Tensor]:
    """Scores of the chosen and of the rejected answers, from one forward pass.  [pairs], [pairs]"""
    return halves(model.scores(collate_pairs(pairs, pad_id=model.pad_id, device=model.device)))


@torch.no_grad()
def all_scores(model: ScalarModel, pairs: Sequence[Pair], micro_tokens: int) -> tuple[Tensor, Tensor]:
    """`pair_scores` over micro-batches, without gradients.  [pairs], [pairs]"""
    chosen, rejected = (torch.zeros(len(pairs), device=model.device) for _ in range(2))
    for index in micro_pairs(model.paths, pairs, micro_tokens):
        chosen[index], rejected[index] = pair_scores(model, [pairs[i] for i in index])
    return chosen, rejected
