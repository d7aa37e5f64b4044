"""Alternating: SFT steps on demonstrations and DPO steps on comparisons, in turn.  ALRIGHT, arXiv:2410.15483

reads   demonstrations, comparisons      writes  model or adapter, metrics
run     fairlead train alternate name=both model=base steps=400
        demonstrations=data/demonstrations.jsonl comparisons=data/comparisons.jsonl

SFT followed by DPO forgets part of the demonstrations; alternating does not.  One optimiser makes both kinds
of steps, and the reference of DPO is the model that training starts from.  The paper draws the kind of each
step at random.  Here the kinds are spread evenly in the configured proportion, and the first step is a DPO
step.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import torch

from fairlead.core.config import DatasetRef, ModelRef
from fairlead.core.errors import require, require_positive
from fairlead.data.record_reader import read_comparisons, read_demonstrations
from fairlead.encoding.batching import NUM_CHECK_ROWS, collate, micro_batches, step_rows
from fairlead.encoding.chat import Encoded, num_trained_tokens
from fairlead.encoding.record_rows import Pair, encode_demonstration, encode_pair
from fairlead.examples.pairs import (
    encode_and_split,
    flatten_rows,
    micro_answers,
    pair_logps,
    pair_weights,
    without_ties,
)
from fairlead.examples.reference_logps import all_answer_logps, all_pair_logps, reference_pair_logps
from fairlead.examples.too_long import leaves
from fairlead.losses import preference, sft
from fairlead.losses.preference import PairLogps
from fairlead.model.policy import Policy
from fairlead.stats import interval
from fairlead.store.artifact import Artifact
from fairlead.store.run import Run
from fairlead.train.loop import training_loop
from fairlead.train.metric_sums import MetricSums
from fairlead.train.settings import Data, Optim, TrainingSettings
from fairlead.train.setup import Prepared, open_policy, prepare, publish_policy

KIND = "model"


@dataclass(frozen=True, kw_only=True)
class Config(TrainingSettings):
    model: ModelRef  # model to start from, and the reference of the DPO steps
    demonstrations: DatasetRef  # native rows: prompt and completion, or messages
    comparisons: DatasetRef  # native rows: prompt, chosen, rejected
    steps: int  # optimiser steps of both kinds together
    sft_share: float = 0.5  # share of the steps that are SFT steps
    beta: float = 0.1  # strength of the pull to the reference in DPO steps
    batch: int = 32  # rows per optimiser step, all of one kind
    optim: Optim = Optim(lr=5e-5)  # suits LoRA; full fine-tuning of a large model wants about 5e-7
    data: Data = Data()

    def __post_init__(self) -> None:
        require_positive(self, "beta", "steps", "batch")
        why = "is a share between 0 and 1; `sft` and `dpo` are the ends"
        require(0 < self.sft_share < 1, "sft_share", self.sft_share, why)
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
    policy = open_policy(run, config)

    # 2. Data: a prompt is on one side of the split in both files
    records = read_demonstrations(run.data_path("demonstrations"))
    demonstrations = flatten_rows(
        encode_and_split(policy, records, encode_demonstration, config, source=config.demonstrations, run=run)
    )
    every = read_comparisons(run.data_path("comparisons"))
    decided = without_ties(every, config.comparisons)
    comparisons = encode_and_split(policy, decided, encode_pair, config, source=config.comparisons, run=run)
    counts = {
        "demonstrations": len(demonstrations.train),
        "held_out_demonstrations": len(demonstrations.held_out),
        "comparisons": len(comparisons.train),
        "held_out_comparisons": len(comparisons.held_out),
        "dropped": demonstrations.num_dropped + comparisons.num_dropped,
    }
    left_out = Counter(demonstrations.left_out) + Counter(comparisons.left_out)
    run.record_data(left_out + Counter(ties=len(every) - len(decided)), **counts)

    # 3. Set up
    prepared = prepare(run, policy, leaves(comparisons.train_rows[:NUM_CHECK_ROWS]), config)

    # 4. Reference log-probabilities of all pairs, before the policy moves
    all_pairs = comparisons.train_rows + comparisons.held_out_rows
    reference = reference_pair_logps(run, policy, all_pairs, prepared.micro_tokens, config)
    weights = pair_weights(comparisons.train, config.comparisons).to(policy.device)

    # 5. Train: each kind has its own order of rows
    is_sft_step = sft_turns(config.steps, config.sft_share)
    sft_order = step_rows(len(demonstrations.train), config.batch, config.steps, run_seed=config.seed)
    dpo_order = step_rows(len(comparisons.train), config.batch, config.steps, run_seed=config.seed)
    with training_loop(run, prepared, config, config.steps) as loop:
        for step in loop:
            num_sft_steps = sum(is_sft_step[:step])
            sums = MetricSums(policy.device)
            if is_sft_step[step]:
                examples = [demonstrations.train_rows[i] for i in sft_order[num_sft_steps]]
                num_trained = num_trained_tokens(examples)
                lengths = [len(row) for row in examples]
                for micro in micro_batches(lengths, prepared.micro_tokens, packed=policy.backend.packed):
                    batch = collate([examples[i] for i in micro], pad_id=policy.pad_id, device=policy.device)
                    nll = sft.negative_log_likelihood(policy.token_logps(batch))  # [B, T]
                    (nll.sum() / num_trained).backward()
                    sums.add(sft_loss=nll)
                metrics = sums.means(num_trained)
                num_tokens = sum(lengths)
            else:
                pair_ids = dpo_order[step - num_sft_steps]
                pairs = [comparisons.train_rows[i] for i in pair_ids]
                for micro in micro_answers(policy.backend, pairs, prepared.micro_tokens):
                    row_ids = [pair_ids[i] for i in micro]
                    policy_logps = pair_logps(policy, [pairs[i] for i in micro])
                    reference_logps = reference.select(row_ids)
                    loss = preference.dpo(policy_logps, reference_logps, beta=config.beta)  # [pairs]
                    loss = weights[row_ids] * loss
                    (loss.sum() / len(pairs)).backward()
                    margin = preference.preference_margin(policy_logps, reference_logps)
                    sums.add(dpo_loss=loss, margin=margin, accuracy=preference.accuracy(margin))
                metrics = sums.means(len(pairs))
                num_tokens = sum(map(len, leaves(pairs)))
            metrics |= loop.update()
            if loop.measures:
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
            kind = "sft" if is_sft_step[step] else "dpo"
            caption = f"{kind} loss {metrics[f'{kind}_loss']:.3f}"
            loop.end_step(metrics, num_tokens=num_tokens, caption=caption)

    # 6. Save
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
    logps = all_answer_logps(policy, [((row,),) for row in rows], prepared.micro_tokens).tolist()
    nlls = [-logp / num_trained_tokens([row]) for logp, row in zip(logps, rows, strict=True)]
    policy_logps = all_pair_logps(policy, pairs, prepared.micro_tokens)
    reference_logps = reference.select(slice(-len(pairs), None))
    losses = preference.dpo(policy_logps, reference_logps, beta=config.beta)
    hits = preference.accuracy(preference.preference_margin(policy_logps, reference_logps))
    return nlls, losses.tolist(), hits.tolist()
