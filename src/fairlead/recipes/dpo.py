"""DPO and its relatives: fit a policy to preference pairs without a reward model.  arXiv:2305.18290

`loss` chooses: dpo, robust (swapped labels), hinge (SLiC), ipo, which compare with a reference; simpo and orpo, which have none.

reads   comparisons (data.records.Comparison)      writes  model or adapter, metrics
run     fairlead train dpo model=sft comparisons=data/comparisons.jsonl name=dpo beta=0.2

The reference is the model that training starts from.  What it says of every pair is computed once, before training, and kept.
Watch `chosen_logps`: when the log-probability of chosen answers falls along with the rejected ones, the policy unlearns both.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from fairlead.core.config import DatasetRef, ModelRef
from fairlead.core.errors import require
from fairlead.core.precision import Precision
from fairlead.core.progress import progress
from fairlead.data.record_reader import read_comparisons
from fairlead.encoding import batching
from fairlead.examples.pairs import (
    Pair,
    collate_pairs,
    encode_and_split,
    encode_pair,
    pair_logps,
    pair_token_counts,
    pair_weights,
    without_ties,
)
from fairlead.examples.reference_logps import all_pair_logps, reference_pair_logps
from fairlead.losses import preference
from fairlead.losses.preference import PairLogps, PairTokens
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
from fairlead.train.verify_backend import verify_backend

KIND = "model"
Loss = Literal["dpo", "robust", "hinge", "ipo", "simpo", "orpo"]
# The knobs that belong to some losses only.  Set for another they would do nothing, so that is an error.
OWN_KNOBS: tuple[tuple[str, tuple[Loss, ...]], ...] = (
    ("beta", ("dpo", "robust", "hinge")),
    ("flip_rate", ("dpo", "robust")),
    ("tau", ("ipo",)),
    ("scale", ("simpo",)),
    ("gamma", ("simpo",)),
    ("odds_weight", ("orpo",)),
    ("nll_weight", ("dpo", "robust", "hinge", "ipo", "simpo")),
)


@dataclass(frozen=True, kw_only=True)
class Config:
    name: str  # of the model that is written
    model: ModelRef  # to start from, and the reference: usually the SFT model
    comparisons: DatasetRef  # native rows: prompt, chosen, rejected
    loss: Loss = "dpo"  # what is minimised; simpo and orpo need no reference
    beta: float = 0.1  # dpo, robust, hinge: strength of the pull to the reference; 0.05 to 0.5 in the paper
    flip_rate: float = 0.0  # dpo, robust: assumed share of swapped labels; with dpo this is conservative DPO
    tau: float = 1.0  # ipo: the margin aimed at is 1 / (2 * tau) nats per token
    scale: float = 2.0  # simpo: beta of the paper, on mean log-probabilities; 2 to 10 there
    gamma: float = (
        1.0  # simpo: the margin aimed at, in units of the scaled means; about half of scale in the paper
    )
    odds_weight: float = 0.1  # orpo: weight of the odds ratio beside the likelihood of the chosen answer
    nll_weight: float = 0.0  # adds this much of the chosen answer's mean negative log-likelihood; 1 in the paper.  orpo has it built in
    epochs: int = 1  # times that every pair is seen
    batch: int = 32  # pairs per optimiser step
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
    too_long: Literal["error", "drop"] = "error"  # what to do with pairs of which one side is longer
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
        require(0 <= self.flip_rate < 0.5, "flip_rate", self.flip_rate, "is a share from 0 to below a half")
        require(self.tau > 0, "tau", self.tau, "must be positive; 1 / (2 * tau) is the margin aimed at")
        require(self.scale > 0, "scale", self.scale, "must be positive")
        require(self.gamma >= 0, "gamma", self.gamma, "must not be negative")
        require(self.odds_weight > 0, "odds_weight", self.odds_weight, "must be positive")
        require(self.nll_weight >= 0, "nll_weight", self.nll_weight, "must not be negative")
        for knob, losses in OWN_KNOBS:
            value, default = getattr(self, knob), getattr(type(self), knob)
            require(
                self.loss in losses or value == default,
                knob,
                value,
                f"belongs to loss={'|'.join(losses)}, not to {self.loss}",
            )
        require(self.epochs > 0, "epochs", self.epochs, "must be positive")
        require(0 < self.held_out < 1, "held_out", self.held_out, "is a share between 0 and 1")


def main(config: Config, run: Run) -> Artifact:
    if run.finished:
        return run.finished

    # 1. Model: the reference is what it is now, where the loss has one
    lora = (
        Lora(config.lora_rank, config.lora_alpha, config.seed, config.precision, config.base_bits)
        if config.lora_rank
        else None
    )
    policy = load_policy(run.model_path("model"), lora=lora)

    # 2. Data: pairs that share a prompt stay on the same side of the split
    comparisons = read_comparisons(run.data_path("comparisons"))
    longest = config.max_tokens or policy.context
    rows = encode_and_split(
        without_ties(comparisons, config.comparisons),
        lambda c: encode_pair(policy, c, longest),
        too_long=config.too_long,
        held_out=config.held_out,
        seed=config.seed,
        source=config.comparisons,
    )
    counts = {
        "train": len(rows.train),
        "held_out": len(rows.held_out),
        "ties": sum(c.tie is not None for c in comparisons),
    }
    run.event("data", **counts, dropped=rows.num_dropped)
    policy.backend.precision, policy.backend.gradient_checkpointing = (
        config.precision,
        config.gradient_checkpointing,
    )
    few = collate_pairs(
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

    # 3. What does not change: the reference's log-probabilities of every answer, where the loss has a reference; lengths and weights
    every_pair = rows.train_rows + rows.held_out_rows
    tokens, reference = pair_token_counts(policy, every_pair), None
    if config.loss not in ("simpo", "orpo"):
        reference = reference_pair_logps(
            run, policy, every_pair, micro_tokens, precision=config.precision, base_bits=config.base_bits
        )
    weights = pair_weights(rows.train, config.comparisons).to(policy.device)

    # 4. Optimiser
    optimizer = adamw(
        master_weights.parameters, lr=config.lr, weight_decay=config.weight_decay, bits=config.optimizer_bits
    )
    state = checkpoint.State(master_weights.parameters, {"optimizer": optimizer})
    start = checkpoint.restore(run, state)
    master_weights.copy_to_weights()

    # 5. Train
    num_steps = config.epochs * batching.steps_per_epoch(len(rows.train), config.batch)
    order = batching.step_rows(len(rows.train), config.batch, num_steps, run_seed=config.seed)
    meter = Meter(run)
    with progress("dpo", num_steps, done=start, quiet=run.quiet) as bar:
        for step in range(start, num_steps):
            items = [rows.train_rows[i] for i in order[step]]
            nothing = torch.zeros(
                (), dtype=torch.float64, device=policy.device
            )  # there, so that nothing waits for it between micro-batches
            sums = dict.fromkeys(("loss", "accuracy", "margin", "chosen_logps", "rejected_logps"), nothing)
            if reference is not None:
                sums |= dict.fromkeys(("chosen_logratio", "rejected_logratio"), nothing)
            for index in policy.backend.micro_groups(items, micro_tokens):
                at = [order[step][i] for i in index]
                policy_logps = pair_logps(policy, [items[i] for i in index])
                reference_logps = (
                    None if reference is None else PairLogps(*(logps[at] for logps in reference))
                )
                lengths = PairTokens(*(counts[at] for counts in tokens))
                loss, margin = loss_and_margin(
                    policy_logps, reference_logps, lengths, config
                )  # [pairs], [pairs]
                loss = weights[at] * loss
                (loss.sum() / len(items)).backward()
                with torch.no_grad():
                    sums["loss"] = sums["loss"] + loss.sum()
                    sums["margin"] = sums["margin"] + margin.sum()
                    sums["accuracy"] = sums["accuracy"] + preference.accuracy(margin).sum()
                    sums["chosen_logps"] = sums["chosen_logps"] + policy_logps.chosen.sum()
                    sums["rejected_logps"] = sums["rejected_logps"] + policy_logps.rejected.sum()
                    if reference_logps is not None:
                        sums["chosen_logratio"] = (
                            sums["chosen_logratio"] + (policy_logps.chosen - reference_logps.chosen).sum()
                        )
                        sums["rejected_logratio"] = (
                            sums["rejected_logratio"]
                            + (policy_logps.rejected - reference_logps.rejected).sum()
                        )
            lr = cosine(step, num_steps, peak=config.lr, warmup=config.warmup)
            grad_norm = update(
                optimizer, lr=lr, max_norm=config.max_norm, step=step + 1, master_weights=master_weights
            )
            metrics = {name: float(total) / len(items) for name, total in sums.items()} | {
                "lr": lr,
                "grad_norm": grad_norm,
            }
            if (step + 1) % config.measure_every == 0 or step + 1 == num_steps:
                losses, margins = held_out_losses(
                    policy, rows.held_out_rows, reference, tokens, config, micro_tokens
                )
                metrics["held_out_loss"] = float(torch.tensor(losses).mean())
                metrics["held_out_accuracy"] = float(preference.accuracy(torch.tensor(margins)).mean())
            run.log(step + 1, **metrics)
            meter.count(sum(len(side) for item in items for side in item))
            bar.advance(f"loss {metrics['loss']:.3f}  accuracy {metrics['accuracy']:.2f}")
            if (step + 1) % config.checkpoint_every == 0 or run.stop:
                meter.flush()
            checkpoint.save_if_due(run, step + 1, num_steps, state, every=config.checkpoint_every)
    meter.flush()

    # 6. Evidence and save
    losses, margins = held_out_losses(policy, rows.held_out_rows, reference, tokens, config, micro_tokens)
    evidence = {
        "held_out_loss": interval.mean(losses).as_dict(),
        "accuracy": interval.proportion(
            float(preference.accuracy(torch.tensor(margins)).sum()), len(margins)
        ).as_dict(),
        **counts,
        "dropped": rows.num_dropped,
    }
    master_weights.restore_float32()
    home = run.project.artifacts / KIND / config.name
    return run.publish(lambda folder: policy.save(folder, final_folder=home), metrics=evidence)


def loss_and_margin(
    policy: PairLogps, reference: PairLogps | None, tokens: PairTokens, config: Config
) -> tuple[Tensor, Tensor]:
    """The loss that is asked for, and what it wants to be above zero: how far the chosen answer leads, in nats.  [pairs], [pairs]"""
    if reference is None:
        mean = preference.mean_logps(policy, tokens)
        lead = mean.chosen - mean.rejected
        if config.loss == "orpo":
            return preference.orpo(policy, tokens, weight=config.odds_weight), lead
        loss = preference.simpo(policy, tokens, beta=config.scale, gamma=config.gamma)
    else:
        lead = preference.preference_margin(policy, reference)
        match config.loss:
            case "robust":
                loss = preference.robust_dpo(policy, reference, beta=config.beta, flip_rate=config.flip_rate)
            case "hinge":
                loss = preference.hinge(policy, reference, beta=config.beta)
            case "ipo":
                loss = preference.ipo(policy, reference, tokens, tau=config.tau)
                lead = preference.preference_margin(
                    preference.mean_logps(policy, tokens), preference.mean_logps(reference, tokens)
                )
            case _:
                loss = preference.dpo(policy, reference, beta=config.beta, flip_rate=config.flip_rate)
    if config.nll_weight:
        loss = loss + config.nll_weight * preference.chosen_nll(policy, tokens)
    return loss, lead


def held_out_losses(
    policy: Policy,
    pairs: Sequence[Pair],
    reference: PairLogps | None,
    tokens: PairTokens,
    config: Config,
    micro_tokens: int,
) -> tuple[list[float], list[float]]:
    """Loss and margin of each held-out pair; their reference log-probabilities and lengths are the last ones."""
    policy_logps = all_pair_logps(policy, pairs, micro_tokens)
    reference_logps = None if reference is None else PairLogps(*(logps[-len(pairs) :] for logps in reference))
    lengths = PairTokens(*(counts[-len(pairs) :] for counts in tokens))
    losses, margins = loss_and_margin(policy_logps, reference_logps, lengths, config)
    return losses.tolist(), margins.tolist()
