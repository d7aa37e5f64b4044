"""DPO: fit a policy to preference pairs without a reward model.  arXiv:2305.18290

reads   comparisons (data.records.Comparison)      writes  model or adapter, metrics
run     fairlead train dpo model=sft comparisons=data/comparisons.jsonl name=dpo beta=0.2

The reference is the model that training starts from: the same network with its adapter off, or a frozen copy when all weights train.
Watch `chosen_logps`: when the log-probability of chosen answers falls along with the rejected ones, the policy unlearns both.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Literal

import torch

from fairlead.core import digest
from fairlead.core.config import DatasetRef, ModelRef
from fairlead.core.errors import require
from fairlead.core.progress import progress
from fairlead.data.reading import read_comparisons
from fairlead.data.records import Comparison
from fairlead.losses import preference
from fairlead.losses.preference import PairLogps
from fairlead.model import batch as batches
from fairlead.model import memory
from fairlead.model.adapters import Lora
from fairlead.model.check import check_paths
from fairlead.model.paths import Precision
from fairlead.model.policy import Policy, load_policy
from fairlead.model.rows import Pair, collate_pairs, decided, encode_and_split, halves, micro_pairs
from fairlead.stats import interval
from fairlead.store.artifact import Artifact
from fairlead.store.run import Run
from fairlead.train import state as states
from fairlead.train.cache import cached
from fairlead.train.masters import Masters
from fairlead.train.meter import Meter
from fairlead.train.optim import adamw, update
from fairlead.train.schedule import cosine

KIND = "model"


@dataclass(frozen=True, kw_only=True)
class Config:
    name: str  # of the model that is written
    model: ModelRef  # to start from, and the reference: usually the SFT model
    comparisons: DatasetRef  # native rows: prompt, chosen, rejected
    beta: float = 0.1  # strength of the pull to the reference; 0.05 to 0.5 in the paper
    flip_rate: float = 0.0  # assumed share of swapped labels (conservative DPO)
    epochs: int = 1  # times that every pair is seen
    batch: int = 32  # pairs per optimiser step
    lr: float = 5e-5  # at its peak; cosine to a tenth.  Suits LoRA; full fine-tuning of a large model wants about 5e-7
    warmup: int = 10  # steps of linear warm-up
    weight_decay: float = 0.0
    max_norm: float = 1.0  # gradients are scaled down to this norm
    lora_rank: int = 16  # 0 trains all weights
    lora_alpha: int = 32  # strength of the adapter: alpha / rank
    base_bits: Literal[4, 32] = 32  # 4: the frozen network under an adapter is kept in 4 bits (QLoRA); needs bitsandbytes
    held_out: float = 0.1  # share of the prompts kept for measuring
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
        require(self.beta > 0, "beta", self.beta, "must be positive; it scales the implicit reward")
        require(0 <= self.flip_rate < 0.5, "flip_rate", self.flip_rate, "is a share from 0 to below a half")
        require(self.epochs > 0, "epochs", self.epochs, "must be positive")
        require(self.batch > 0, "batch", self.batch, "must be positive")
        require(self.lr > 0, "lr", self.lr, "must be positive")
        require(0 < self.held_out < 1, "held_out", self.held_out, "is a share between 0 and 1")
        require(self.checkpoint_every > 0, "checkpoint_every", self.checkpoint_every, "must be positive")
        require(self.micro_tokens >= 0, "micro_tokens", self.micro_tokens, "must not be negative; 0 takes what the memory holds")
        require(self.max_norm > 0, "max_norm", self.max_norm, "must be positive")
        require(self.measure_every > 0, "measure_every", self.measure_every, "must be positive")
        require(self.lora_rank >= 0, "lora_rank", self.lora_rank, "must not be negative; 0 trains all weights")
        require(self.base_bits == 32 or self.lora_rank > 0, "base_bits", self.base_bits, "needs an adapter: lora_rank must be above 0")


def main(config: Config, run: Run) -> Artifact:
    if run.finished:
        return run.finished

    # 1. Model: the reference is what it is now
    lora = Lora(config.lora_rank, config.lora_alpha, config.seed, config.precision, config.base_bits) if config.lora_rank else None
    policy = load_policy(run.model_path("model"), lora=lora)

    # 2. Data: pairs that share a prompt stay on the same side of the split
    comparisons = read_comparisons(run.data_path("comparisons"))
    longest = config.max_tokens or policy.context
    rows = encode_and_split(
        decided(comparisons, config.comparisons),
        lambda c: encode_pair(policy, c, longest),
        too_long=config.too_long,
        held_out=config.held_out,
        seed=config.seed,
        source=config.comparisons,
    )
    counts = {"train": len(rows.train), "held_out": len(rows.held_out), "ties": sum(c.tie is not None for c in comparisons)}
    run.event("data", **counts, dropped=rows.num_dropped)
    policy.paths.precision, policy.paths.checkpointing = config.precision, config.gradient_checkpointing
    few = collate_pairs(rows.train_rows[: batches.FEW], pad_id=policy.pad_id, device=policy.device)
    check_paths(run, policy, lambda: policy.token_logps(few), what="policy")
    masters = Masters(policy.trainable(), config.precision)  # before the reference is computed, so that it is what training starts from
    expected = memory.measure(
        policy.network.parameters(), lambda: policy.token_logps(few), int(few.token_mask.sum()), optimizer_bits=config.optimizer_bits
    )
    micro_tokens = memory.token_budget(run, expected, config.micro_tokens)

    # 3. The reference: what the policy says of every answer before it is trained, computed once
    reference = references(run, policy, rows.train_rows + rows.held_out_rows, config, micro_tokens)

    # 4. Optimiser
    optimizer = adamw(masters.parameters, lr=config.lr, weight_decay=config.weight_decay, bits=config.optimizer_bits)
    state = states.State(masters.parameters, {"optimizer": optimizer})
    start = states.restore(run, state)
    masters.write()

    # 5. Train
    num_steps = config.epochs * batches.steps_per_epoch(len(rows.train), config.batch)
    order = batches.step_rows(len(rows.train), config.batch, num_steps, run_seed=config.seed)
    meter = Meter(run)
    with progress("dpo", num_steps, done=start, quiet=run.quiet) as bar:
        for step in range(start, num_steps):
            items = [rows.train_rows[i] for i in order[step]]
            nothing = torch.zeros(
                (), dtype=torch.float64, device=policy.device
            )  # there, so that nothing waits for it between micro-batches
            sums = dict.fromkeys(("loss", "accuracy", "margin", "chosen_logps", "rejected_logps"), nothing)
            for index in micro_pairs(policy.paths, items, micro_tokens):
                micro = [items[i] for i in index]
                policy_logps = pair_logps(policy, micro)
                reference_logps = PairLogps(*(logps[[order[step][i] for i in index]] for logps in reference))
                loss = preference.dpo(policy_logps, reference_logps, beta=config.beta, flip_rate=config.flip_rate)  # [pairs]
                (loss.sum() / len(items)).backward()
                with torch.no_grad():
                    margin = preference.preference_margin(policy_logps, reference_logps)
                    sums["loss"] = sums["loss"] + loss.sum()
                    sums["margin"] = sums["margin"] + margin.sum()
                    sums["accuracy"] = sums["accuracy"] + preference.accuracy(margin).sum()
                    sums["chosen_logps"] = sums["chosen_logps"] + policy_logps.chosen.sum()
                    sums["rejected_logps"] = sums["rejected_logps"] + policy_logps.rejected.sum()
            lr = cosine(step, num_steps, peak=config.lr, warmup=config.warmup)
            grad_norm = update(optimizer, lr=lr, max_norm=config.max_norm, step=step + 1, masters=masters)
            metrics = {name: float(total) / len(items) for name, total in sums.items()} | {"lr": lr, "grad_norm": grad_norm}
            if (step + 1) % config.measure_every == 0 or step + 1 == num_steps:
                losses, margins = held_out_losses(policy, rows.held_out_rows, reference, config, micro_tokens)
                metrics["held_out_loss"] = float(torch.tensor(losses).mean())
                metrics["held_out_accuracy"] = float(preference.accuracy(torch.tensor(margins)).mean())
            run.log(step + 1, **metrics)
            meter.count(sum(len(side) for item in items for side in item))
            bar.advance(f"loss {metrics['loss']:.3f}  accuracy {metrics['accuracy']:.2f}")
            if (step + 1) % config.checkpoint_every == 0 or run.stop:
                meter.flush()
            states.save_if_due(run, step + 1, num_steps, state, every=config.checkpoint_every)
    meter.flush()

    # 6. Evidence and save
    losses, margins = held_out_losses(policy, rows.held_out_rows, reference, config, micro_tokens)
    evidence = {
        "held_out_loss": interval.mean(losses).as_dict(),
        "accuracy": interval.proportion(float(preference.accuracy(torch.tensor(margins)).sum()), len(margins)).as_dict(),
        **counts,
        "dropped": rows.num_dropped,
    }
    masters.give_back()
    home = run.project.artifacts / KIND / config.name
    return run.publish(lambda folder: policy.save(folder, home=home), metrics=evidence)


def encode_pair(policy: Policy, comparison: Comparison, max_tokens: int | None) -> Pair:
    num_context = len(comparison.prompt)
    return (
        policy.encode(comparison.prompt + comparison.chosen, num_context=num_context, max_tokens=max_tokens),
        policy.encode(comparison.prompt + comparison.rejected, num_context=num_context, max_tokens=max_tokens),
    )


def references(run: Run, policy: Policy, pairs: Sequence[Pair], config: Config, micro_tokens: int) -> PairLogps:
    """What the policy says of every pair now; read from the project's cache where it was computed before.  [pairs] each"""
    rows = digest.of_json([asdict(row) for pair in pairs for row in pair])
    depends_on = dict(model=run.inputs["model"].digest, precision=config.precision, base_bits=config.base_bits, rows=rows)
    found = cached(run, "reference", depends_on, lambda: all_pair_logps(policy, pairs, micro_tokens)._asdict())
    return PairLogps(**{side: logps.to(policy.device) for side, logps in found.items()})


def pair_logps(policy: Policy, pairs: Sequence[Pair]) -> PairLogps:
    """Log-probabilities of both answers, summed over their tokens, from one forward pass.  [pairs] each"""
    batch = collate_pairs(pairs, pad_id=policy.pad_id, device=policy.device)
    return PairLogps(*halves(policy.token_logps(batch).sum(dim=1)))  # token log-probabilities are zero off the response


@torch.no_grad()
def all_pair_logps(policy: Policy, pairs: Sequence[Pair], micro_tokens: int) -> PairLogps:
    """`pair_logps` over micro-batches, without gradients.  [pairs] each"""
    found = PairLogps(*(torch.zeros(len(pairs), device=policy.device) for _ in range(2)))
    for index in micro_pairs(policy.paths, pairs, micro_tokens):
        part = pair_logps(policy, [pairs[i] for i in index])
        found.chosen[index], found.rejected[index] = part
    return found


def held_out_losses(
    policy: Policy, pairs: Sequence[Pair], reference: PairLogps, config: Config, micro_tokens: int
) -> tuple[list[float], list[float]]:
    """Loss and margin of each held-out pair, whose reference log-probabilities are the last ones."""
    policy_logps = all_pair_logps(policy, pairs, micro_tokens)
    reference_logps = PairLogps(*(logps[-len(pairs) :] for logps in reference))
    losses = preference.dpo(policy_logps, reference_logps, beta=config.beta, flip_rate=config.flip_rate)
    return losses.tolist(), preference.preference_margin(policy_logps, reference_logps).tolist()
