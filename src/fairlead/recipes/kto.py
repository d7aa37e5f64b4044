"""KTO: fit a policy to answers that were called good or bad, one by one.  arXiv:2402.01306

reads   binary rows (data.records.Binary)      writes  model or adapter, metrics
run     fairlead train kto model=sft binary=data/binary.jsonl name=kto

An answer is worth its log-ratio to the reference less a reference point, which stands for KL(policy || reference).  The paper estimates
that point from the other prompts' answers in the micro-batch.  Here it is a running mean over mismatched answers drawn for the purpose,
so that neither `batch` nor `micro_tokens` changes what it estimates; it is part of the checkpoint.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from fairlead.core.config import DatasetRef, ModelRef
from fairlead.core.errors import DataError, require
from fairlead.core.precision import Precision
from fairlead.core.progress import progress
from fairlead.core.seed import derive_rng
from fairlead.data.record_reader import read_binary
from fairlead.data.records import Binary, prompt_text
from fairlead.encoding import batching
from fairlead.encoding.chat import Encoded, TooLong
from fairlead.examples.pairs import answer_logps, encode_and_split, encode_answer
from fairlead.examples.reference_logps import all_answer_logps, reference_answer_logps
from fairlead.losses import binary
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
POOL = 256  # mismatched answers that the reference point is estimated from, in turns
KEPT = 0.9  # of the running reference point per step: it looks back about ten steps


@dataclass(frozen=True, kw_only=True)
class Config:
    name: str  # of the model that is written
    model: ModelRef  # to start from, and the reference: usually the SFT model
    binary: DatasetRef  # native rows: prompt, completion, label
    beta: float = 0.1  # strength of the pull to the reference; 0.01 to 0.5 in the paper
    desirable_weight: float = 1.0  # of good answers; weight x number should be about the same on both sides
    undesirable_weight: float = 1.0  # of bad answers
    kl_rows: int = 16  # mismatched answers that are looked at per step for the reference point; 0 leaves the point at zero
    epochs: int = 1  # times that every answer is seen
    batch: int = 32  # answers per optimiser step
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
        require(self.beta > 0, "beta", self.beta, "must be positive; it scales the implicit reward")
        require(self.desirable_weight > 0, "desirable_weight", self.desirable_weight, "must be positive")
        require(
            self.undesirable_weight > 0, "undesirable_weight", self.undesirable_weight, "must be positive"
        )
        require(
            self.kl_rows >= 0,
            "kl_rows",
            self.kl_rows,
            "must not be negative; 0 leaves the reference point at zero",
        )
        require(self.epochs > 0, "epochs", self.epochs, "must be positive")
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

    # 2. Data: answers that share a prompt stay on the same side of the split
    longest = config.max_tokens or policy.context
    rows = encode_and_split(
        read_binary(run.data_path("binary")),
        lambda b: encode_answer(policy, b.prompt, b.completion, longest),
        Data(held_out=config.held_out, max_tokens=config.max_tokens, too_long=config.too_long),
        seed=config.seed,
        source=config.binary,
    )
    num_good = sum(row.label for row in rows.train)
    counts = {
        "train": len(rows.train),
        "held_out": len(rows.held_out),
        "desirable": num_good,
        "undesirable": len(rows.train) - num_good,
    }
    run.event("data", **counts, dropped=rows.num_dropped)
    pool = mismatched(policy, rows.train, longest, config) if config.kl_rows else []
    policy.backend.precision, policy.backend.gradient_checkpointing = (
        config.precision,
        config.gradient_checkpointing,
    )
    few = batching.collate(
        rows.train_rows[: batching.NUM_CHECK_ROWS], pad_id=policy.pad_id, device=policy.device
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

    # 3. The reference: what the policy says of every answer before it is trained, computed once
    every = [(row,) for row in (*rows.train_rows, *rows.held_out_rows, *pool)]
    found = reference_answer_logps(
        run, policy, every, micro_tokens, precision=config.precision, base_bits=config.base_bits
    )
    reference, held_out_reference, pool_reference = found.split(
        [len(rows.train), len(rows.held_out), len(pool)]
    )
    good = torch.tensor([row.label for row in rows.train], device=policy.device)

    # 4. Optimiser; the reference point is a number of the checkpoint
    optimizer = adamw(
        master_weights.parameters, lr=config.lr, weight_decay=config.weight_decay, bits=config.optimizer_bits
    )
    state = checkpoint.State(
        master_weights.parameters, {"optimizer": optimizer}, {"reference_point": 0.0}
    )  # policy and reference are equal at first
    start = checkpoint.restore(run, state)
    master_weights.copy_to_weights()

    # 5. Train
    num_steps = config.epochs * batching.steps_per_epoch(len(rows.train), config.batch)
    order = batching.step_rows(len(rows.train), config.batch, num_steps, run_seed=config.seed)
    meter = Meter(run)
    with progress("kto", num_steps, done=start, quiet=run.quiet) as bar:
        for step in range(start, num_steps):
            if pool:
                at = [(step * config.kl_rows + k) % len(pool) for k in range(config.kl_rows)]
                seen = all_answer_logps(policy, [(pool[i],) for i in at], micro_tokens) - pool_reference[at]
                state.numbers["reference_point"] = KEPT * state.numbers["reference_point"] + (
                    1 - KEPT
                ) * float(seen.mean())
            point = max(0.0, state.numbers["reference_point"])  # a KL is not negative; its estimate can be

            items = [rows.train_rows[i] for i in order[step]]
            loss_sum, right, good_sum, bad_sum = torch.zeros(
                4, dtype=torch.float64, device=policy.device
            )  # read once, after the step
            for index in batching.micro_batches(
                [len(item) for item in items], micro_tokens, packed=policy.backend.packed
            ):
                at = [order[step][i] for i in index]
                log_ratios = answer_logps(policy, [items[i] for i in index]) - reference[at]
                loss = losses_of(log_ratios, good[at], point, config)  # [answers]
                (loss.sum() / len(items)).backward()
                with torch.no_grad():
                    loss_sum += loss.sum()
                    right += binary.accuracy(log_ratios, good[at], reference_point=point).sum()
                    good_sum += log_ratios[good[at]].sum()
                    bad_sum += log_ratios[~good[at]].sum()
            lr = cosine(step, num_steps, peak=config.lr, warmup=config.warmup)
            grad_norm = update(
                optimizer, lr=lr, max_norm=config.max_norm, step=step + 1, master_weights=master_weights
            )
            metrics = {
                "loss": float(loss_sum) / len(items),
                "accuracy": float(right) / len(items),
                "reference_point": point,
            }
            good_here = sum(rows.train[i].label for i in order[step])
            if good_here:
                metrics["desirable_logratio"] = float(good_sum) / good_here
            if good_here < len(items):
                metrics["undesirable_logratio"] = float(bad_sum) / (len(items) - good_here)
            metrics |= {"lr": lr, "grad_norm": grad_norm}
            if (step + 1) % config.measure_every == 0 or step + 1 == num_steps:
                losses, hits = measure(
                    policy, rows.held_out, rows.held_out_rows, held_out_reference, point, config, micro_tokens
                )
                metrics["held_out_loss"] = float(losses.mean())
                metrics["held_out_accuracy"] = float(hits.mean())
            run.log(step + 1, **metrics)
            meter.count(sum(len(item) for item in items))
            bar.advance(f"loss {metrics['loss']:.3f}  accuracy {metrics['accuracy']:.2f}")
            checkpoint.save_if_due(run, step + 1, num_steps, state, meter, config.checkpoint_every)
    meter.flush()

    # 6. Evidence and save
    point = max(0.0, state.numbers["reference_point"])
    losses, hits = measure(
        policy, rows.held_out, rows.held_out_rows, held_out_reference, point, config, micro_tokens
    )
    evidence = {
        "held_out_loss": interval.mean(losses.tolist()).as_dict(),
        "accuracy": interval.proportion(float(hits.sum()), len(hits)).as_dict(),
        "reference_point": point,
        **counts,
        "dropped": rows.num_dropped,
    }
    master_weights.restore_float32()
    home = run.project.artifacts / KIND / config.name
    return run.publish(lambda folder: policy.save(folder, final_folder=home), metrics=evidence)


def losses_of(log_ratios: Tensor, good: Tensor, point: float, config: Config) -> Tensor:
    """[answers]"""
    weights = dict(desirable_weight=config.desirable_weight, undesirable_weight=config.undesirable_weight)
    return binary.kto(log_ratios, good, beta=config.beta, reference_point=point, **weights)


@torch.no_grad()
def measure(
    policy: Policy,
    records: Sequence[Binary],
    rows: Sequence[Encoded],
    reference: Tensor,
    point: float,
    config: Config,
    micro_tokens: int,
) -> tuple[Tensor, Tensor]:
    """Loss of each answer, and whether it moved to the right side of the reference point.  [answers], [answers]"""
    log_ratios = all_answer_logps(policy, [(row,) for row in rows], micro_tokens) - reference
    good = torch.tensor([record.label for record in records], device=policy.device)
    return losses_of(log_ratios, good, point, config), binary.accuracy(
        log_ratios, good, reference_point=point
    )


def mismatched(
    policy: Policy, records: Sequence[Binary], max_tokens: int | None, config: Config
) -> list[Encoded]:
    """Prompts with the answers to other prompts: what a policy says of them has nothing to do with their being good or bad."""
    if len({prompt_text(record) for record in records}) < 2:
        raise DataError(
            f"{config.binary}: the reference point needs answers to two prompts or more. Set kl_rows=0 to do without."
        )
    rng = derive_rng(config.seed, "mismatched")
    pool: list[Encoded] = []
    for record in rng.sample(records, min(POOL, len(records))):
        others = [other for other in rng.choices(records, k=8) if prompt_text(other) != prompt_text(record)]
        try:
            pool += [
                encode_answer(policy, record.prompt, other.completion, max_tokens) for other in others[:1]
            ]
        except TooLong:
            continue  # it is there to be one of many
    if not pool:
        raise DataError(
            f"{config.binary}: no answer fits behind another prompt. Set kl_rows=0, or drop the longest rows."
        )
    return pool
