"""Alternating: SFT steps on demonstrations and DPO steps on comparisons, in turn.  ALRIGHT, arXiv:2410.15483

reads   demonstrations, comparisons      writes  model or adapter, metrics
run     fairlead train alternate name=both model=base steps=400
        demonstrations=data/demonstrations.jsonl comparisons=data/comparisons.jsonl

SFT followed by DPO forgets part of the demonstrations; alternating does not.  One optimiser makes both kinds
of steps, and the reference of DPO is the model that training starts from.  The paper draws the kind of each
step at random.  Here the kinds are spread evenly in the configured proportion, and the first step is a DPO
step.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import torch

from fairlead.core.config import DatasetRef, ModelRef
from fairlead.core.errors import require
from fairlead.core.progress import progress
from fairlead.data.record_reader import read_comparisons, read_demonstrations
from fairlead.encoding.batching import NUM_CHECK_ROWS, collate, micro_batches, step_rows
from fairlead.encoding.chat import Encoded, num_trained_tokens
from fairlead.examples.pairs import (
    Pair,
    encode_and_split,
    encode_pair,
    pair_logps,
    pair_weights,
    sides,
    without_ties,
)
from fairlead.examples.reference_logps import all_answer_logps, all_pair_logps, reference_pair_logps
from fairlead.losses import preference, sft
from fairlead.losses.preference import PairLogps
from fairlead.model.policy import Policy, load_policy
from fairlead.stats import interval
from fairlead.store.artifact import Artifact
from fairlead.store.run import Run
from fairlead.train import checkpoint
from fairlead.train.meter import Meter
from fairlead.train.metric_sums import MetricSums
from fairlead.train.schedule import learning_rate
from fairlead.train.settings import Adapter, Checkpoints, Data, Hardware, Optim
from fairlead.train.setup import Prepared, lora, optimizer_step, prepare, publish_policy, resume

KIND = "model"


@dataclass(frozen=True, kw_only=True)
class Config:
    name: str  # name of the model that is written
    model: ModelRef  # model to start from, and the reference of the DPO steps
    demonstrations: DatasetRef  # native rows: prompt and completion, or messages
    comparisons: DatasetRef  # native rows: prompt, chosen, rejected
    steps: int  # optimiser steps of both kinds together
    sft_share: float = 0.5  # share of the steps that are SFT steps
    beta: float = 0.1  # strength of the pull to the reference in DPO steps
    batch: int = 32  # rows per optimiser step, all of one kind
    seed: int = 0  # seed of the split, the order of rows and the adapter
    optim: Optim = Optim(lr=5e-5)  # suits LoRA; full fine-tuning of a large model wants about 5e-7
    adapter: Adapter = Adapter()
    hardware: Hardware = Hardware()
    data: Data = Data()
    checkpoints: Checkpoints = Checkpoints()

    def __post_init__(self) -> None:
        why = "is a share between 0 and 1; `sft` and `dpo` are the ends"
        require(0 < self.sft_share < 1, "sft_share", self.sft_share, why)
        require(self.beta > 0, "beta", self.beta, "must be positive; it scales the implicit reward")
        require(self.steps > 0, "steps", self.steps, "must be positive")
        require(self.batch > 0, "batch", self.batch, "must be positive")
        num_sft = sum(sft_turns(self.steps, self.sft_share))
        why = (
            f"leaves one of the two kinds without a step in steps = {self.steps}; "
            "raise steps, or use `sft` or `dpo` alone"
        )
        require(0 < num_sft < self.steps, "sft_share", self.sft_share, why)
        self.data.require_held_out()


def main(config: Config, run: Run) -> Artifact:
    if run.finished:
        return run.finished

    # 1. Model
    policy = load_policy(run.model_path("model"), lora=lora(config))

    # 2. Data: a prompt is on one side of the split in both files
    max_tokens = config.data.max_tokens or policy.context
    demonstrations = encode_and_split(
        read_demonstrations(run.data_path("demonstrations")),
        lambda d: policy.encode(d.messages, num_context=d.num_prompt_messages, max_tokens=max_tokens),
        config.data,
        seed=config.seed,
        source=config.demonstrations,
    )
    comparisons = encode_and_split(
        without_ties(read_comparisons(run.data_path("comparisons")), config.comparisons),
        lambda comparison: encode_pair(policy, comparison, max_tokens),
        config.data,
        seed=config.seed,
        source=config.comparisons,
    )
    counts = {
        "demonstrations": len(demonstrations.train),
        "held_out_demonstrations": len(demonstrations.held_out),
        "comparisons": len(comparisons.train),
        "held_out_comparisons": len(comparisons.held_out),
        "dropped": demonstrations.num_dropped + comparisons.num_dropped,
    }
    run.event("data", **counts)

    # 3. Backend check, master weights, memory budget, optimiser
    prepared = prepare(run, policy, sides(comparisons.train_rows[:NUM_CHECK_ROWS]), config)

    # 4. Reference log-probabilities of all pairs, before the policy moves
    reference = reference_pair_logps(
        run,
        policy,
        comparisons.train_rows + comparisons.held_out_rows,
        prepared.micro_tokens,
        precision=config.hardware.precision,
        base_bits=config.adapter.base_bits,
    )
    weights = pair_weights(comparisons.train, config.comparisons).to(policy.device)

    # 5. Train: each kind has its own order of rows
    start = resume(run, prepared)
    is_sft_step = sft_turns(config.steps, config.sft_share)
    sft_order = step_rows(len(demonstrations.train), config.batch, config.steps, run_seed=config.seed)
    dpo_order = step_rows(len(comparisons.train), config.batch, config.steps, run_seed=config.seed)
    meter = Meter(run)
    with progress("alternate", config.steps, done=start, quiet=run.quiet) as bar:
        for step in range(start, config.steps):
            num_sft_steps = sum(is_sft_step[:step])
            sums = MetricSums(policy.device)
            if is_sft_step[step]:
                examples = [demonstrations.train_rows[i] for i in sft_order[num_sft_steps]]
                num_tokens = num_trained_tokens(examples)
                lengths = [len(row) for row in examples]
                for micro in micro_batches(lengths, prepared.micro_tokens, packed=policy.backend.packed):
                    batch = collate([examples[i] for i in micro], pad_id=policy.pad_id, device=policy.device)
                    nll = sft.negative_log_likelihood(policy.token_logps(batch))  # [B, T]
                    (nll.sum() / num_tokens).backward()
                    sums.add(sft_loss=nll)
                metrics = sums.means(num_tokens)
                meter.count(sum(lengths))
            else:
                pair_ids = dpo_order[step - num_sft_steps]
                pairs = [comparisons.train_rows[i] for i in pair_ids]
                for micro in policy.backend.micro_groups(pairs, prepared.micro_tokens):
                    row_ids = [pair_ids[i] for i in micro]
                    policy_logps = pair_logps(policy, [pairs[i] for i in micro])
                    reference_logps = reference.select(row_ids)
                    loss = preference.dpo(policy_logps, reference_logps, beta=config.beta)  # [pairs]
                    loss = weights[row_ids] * loss
                    (loss.sum() / len(pairs)).backward()
                    margin = preference.preference_margin(policy_logps, reference_logps)
                    sums.add(dpo_loss=loss, margin=margin, accuracy=preference.accuracy(margin))
                metrics = sums.means(len(pairs))
                meter.count(sum(len(row) for pair in pairs for row in pair))
            lr = learning_rate(config.optim, step, config.steps)
            grad_norm = optimizer_step(prepared, config.optim, lr=lr, step=step + 1)
            metrics |= {"lr": lr, "grad_norm": grad_norm}
            if (step + 1) % config.data.measure_every == 0 or step + 1 == config.steps:
                nlls, losses, hits = measure(
                    policy,
                    demonstrations.held_out_rows,
                    comparisons.held_out_rows,
                    reference,
                    config,
                    prepared,
                )
                metrics["held_out_sft_loss"] = sum(nlls) / len(nlls)
                metrics["held_out_dpo_loss"] = sum(losses) / len(losses)
                metrics["held_out_accuracy"] = sum(hits) / len(hits)
            run.log(step + 1, **metrics)
            kind = "sft" if is_sft_step[step] else "dpo"
            bar.advance(f"{kind} loss {metrics[f'{kind}_loss']:.3f}")
            checkpoint.save_if_due(
                run, step + 1, config.steps, prepared.state, meter, config.checkpoints.every
            )
    meter.flush()

    # 6. Evidence and save
    nlls, losses, hits = measure(
        policy, demonstrations.held_out_rows, comparisons.held_out_rows, reference, config, prepared
    )
    evidence = {
        "held_out_sft_loss": interval.mean(nlls).as_dict(),
        "held_out_dpo_loss": interval.mean(losses).as_dict(),
        "accuracy": interval.proportion(sum(hits), len(hits)).as_dict(),
        **counts,
    }
    return publish_policy(run, policy, prepared, metrics=evidence)


def sft_turns(steps: int, share: float) -> list[bool]:
    """Which steps are SFT steps: after each step, `share` of the steps so far, rounded down."""
    exact = Fraction(str(share))  # in floating point 0.29 * 100 is a little less than 29
    return [int((step + 1) * exact) > int(step * exact) for step in range(steps)]


@torch.no_grad()
def measure(
    policy: Policy,
    rows: Sequence[Encoded],
    pairs: Sequence[Pair],
    reference: PairLogps,
    config: Config,
    prepared: Prepared,
) -> tuple[list[float], list[float], list[float]]:
    """For each held-out demonstration its loss per token; for each held-out pair its loss, and whether the
    chosen response leads.
    """
    logps = all_answer_logps(policy, [(row,) for row in rows], prepared.micro_tokens).tolist()
    nlls = [-logp / num_trained_tokens([row]) for logp, row in zip(logps, rows, strict=True)]
    policy_logps = all_pair_logps(policy, pairs, prepared.micro_tokens)
    reference_logps = reference.select(slice(-len(pairs), None))
    losses = preference.dpo(policy_logps, reference_logps, beta=config.beta)
    hits = preference.accuracy(preference.preference_margin(policy_logps, reference_logps))
    return nlls, losses.tolist(), hits.tolist()
