"""DPO and related losses: fit a policy to preference pairs without a reward model.  arXiv:2305.18290

reads   comparisons (data.records.Comparison)      writes  model or adapter, metrics
run     fairlead train dpo model=sft comparisons=data/comparisons.jsonl name=dpo beta=0.2

The reference is the policy before its first step; its log-probabilities are computed once and cached. Watch
`chosen_logps`: when the log-probability of chosen responses falls with that of rejected ones, the policy
unlearns both.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from fairlead.core.config import Advanced, DatasetRef, ModelRef
from fairlead.core.errors import require, require_positive
from fairlead.data.record_reader import read_comparisons
from fairlead.encoding.batching import NUM_CHECK_ROWS, epoch_steps
from fairlead.encoding.record_rows import Pair, encode_pair
from fairlead.examples.pairs import (
    encode_and_split,
    micro_answers,
    pair_logps,
    pair_token_counts,
    pair_weights,
    without_ties,
)
from fairlead.examples.reference_logps import all_pair_logps, reference_pair_logps
from fairlead.examples.too_long import leaves
from fairlead.losses import preference
from fairlead.losses.preference import PairLogps, PairTokens
from fairlead.model.policy import Policy
from fairlead.stats import interval
from fairlead.store.artifact import Artifact
from fairlead.store.run import Run
from fairlead.train.loop import training_loop
from fairlead.train.metric_sums import MetricSums
from fairlead.train.settings import Data, Optim, TrainingSettings
from fairlead.train.setup import Prepared, open_policy, prepare, publish_policy

KIND = "model"
Loss = Literal["dpo", "robust", "hinge", "ipo", "simpo", "orpo"]
# Keys that only some losses use.  Setting one for another loss would have no effect, so it is an error.
USED_BY: dict[str, tuple[Loss, ...]] = {
    "beta": ("dpo", "robust", "hinge"),
    "flip_rate": ("dpo", "robust"),
    "tau": ("ipo",),
    "scale": ("simpo",),
    "gamma": ("simpo",),
    "odds_weight": ("orpo",),
    "nll_weight": ("dpo", "robust", "hinge", "ipo", "simpo"),
}


@dataclass(frozen=True, kw_only=True)
class Config(TrainingSettings):
    model: ModelRef  # the start and the reference: usually the SFT model
    comparisons: DatasetRef  # native rows: prompt, chosen, rejected
    # dpo; robust and hinge for noisy labels; ipo against overfitting; simpo and orpo need no reference
    loss: Loss = "dpo"
    beta: float = 0.1  # dpo, robust, hinge: pull to the reference; 0.05 to 0.5
    # dpo, robust: assumed share of swapped labels; with dpo, conservative DPO
    flip_rate: Advanced[float] = 0.0
    tau: Advanced[float] = 1.0  # ipo: the target margin is 1 / (2 * tau) nats per token
    scale: Advanced[float] = 2.0  # simpo: beta of the paper, on mean log-probabilities; 2 to 10 there
    gamma: Advanced[float] = 1.0  # simpo: target margin of the scaled means; about half of scale in the paper
    # orpo: weight of the odds ratio beside the likelihood of the chosen response
    odds_weight: Advanced[float] = 0.1
    # weight of the chosen response's mean negative log-likelihood, against falling chosen_logps; orpo has it
    # built in
    nll_weight: Advanced[float] = 0.0
    epochs: int = 1  # passes over the pairs
    batch: int = 32  # pairs per optimiser step
    optim: Optim = Optim(lr=5e-5)  # suits LoRA; full fine-tuning of a large model wants about 5e-7
    data: Data = Data()

    def __post_init__(self) -> None:
        require_positive(self, "beta", "tau", "scale", "odds_weight", "epochs", "batch")
        require(0 <= self.flip_rate < 0.5, "flip_rate", self.flip_rate, "is a share from 0 to below a half")
        require(self.gamma >= 0, "gamma", self.gamma, "must not be negative")
        require(self.nll_weight >= 0, "nll_weight", self.nll_weight, "must not be negative")
        for key, losses in USED_BY.items():
            value = getattr(self, key)
            why = f"is used by loss={'|'.join(losses)}, not by {self.loss}"
            require(self.loss in losses or value == getattr(Config, key), key, value, why)
        self.data.require_held_out()


def main(config: Config, run: Run) -> Artifact:
    if run.finished:
        return run.finished

    # 1. Model
    policy = open_policy(run, config)

    # 2. Data: pairs that share a prompt stay on the same side of the split
    comparisons = read_comparisons(run.data_path("comparisons"))
    decided = without_ties(comparisons, config.comparisons)
    rows = encode_and_split(policy, decided, encode_pair, config, source=config.comparisons, run=run)
    num_ties = sum(comparison.tie is not None for comparison in comparisons)
    counts = {"train": len(rows.train), "held_out": len(rows.held_out), "ties": num_ties}
    run.record_data(Counter(rows.left_out) + Counter(ties=num_ties), **counts)

    # 3. Set up
    prepared = prepare(run, policy, leaves(rows.train_rows[:NUM_CHECK_ROWS]), config)

    # 4. Reference log-probabilities of all pairs, before the policy moves
    pairs = rows.train_rows + rows.held_out_rows
    num_tokens, reference = pair_token_counts(policy, pairs), None
    if config.loss not in ("simpo", "orpo"):
        reference = reference_pair_logps(run, policy, pairs, prepared.micro_tokens, config)
    weights = pair_weights(rows.train, config.comparisons).to(policy.device)

    # 5. Train
    order = epoch_steps(len(rows.train), config.batch, config.epochs, run_seed=config.seed)
    with training_loop(run, prepared, config, len(order)) as loop:
        for step in loop:
            step_pairs = [rows.train_rows[i] for i in order[step]]
            sums = MetricSums(policy.device)
            for micro in micro_answers(policy.backend, step_pairs, prepared.micro_tokens):
                row_ids = [order[step][i] for i in micro]
                policy_logps = pair_logps(policy, [step_pairs[i] for i in micro])
                reference_logps = None if reference is None else reference.select(row_ids)
                loss, margin = loss_and_margin(
                    policy_logps, reference_logps, num_tokens.select(row_ids), config
                )  # [pairs], [pairs]
                loss = weights[row_ids] * loss
                (loss.sum() / len(step_pairs)).backward()
                sums.add(loss=loss, accuracy=preference.accuracy(margin), margin=margin)
                sums.add(chosen_logps=policy_logps.chosen, rejected_logps=policy_logps.rejected)
                if reference_logps is not None:
                    sums.add(chosen_logratio=policy_logps.chosen - reference_logps.chosen)
                    sums.add(rejected_logratio=policy_logps.rejected - reference_logps.rejected)
            metrics = sums.means(len(step_pairs)) | loop.update()
            if loop.measures:
                losses, hits = measure(policy, rows.held_out_rows, reference, num_tokens, config, prepared)
                metrics["held_out_loss"] = float(losses.mean())
                metrics["held_out_accuracy"] = float(hits.mean())
            loop.end_step(metrics, num_tokens=sum(map(len, leaves(step_pairs))))

    # 6. Save
    losses, hits = measure(policy, rows.held_out_rows, reference, num_tokens, config, prepared)
    evidence = {
        "held_out_loss": interval.mean(losses.tolist()).as_dict(),
        "accuracy": interval.proportion(float(hits.sum()), len(hits)).as_dict(),
        **counts,
        "dropped": rows.num_dropped,
    }
    return publish_policy(run, policy, prepared, metrics=evidence)


def loss_and_margin(
    policy: PairLogps, reference: PairLogps | None, num_tokens: PairTokens, config: Config
) -> tuple[Tensor, Tensor]:
    """The configured loss, and by how many nats the chosen response leads.  [pairs], [pairs]"""
    if reference is None:
        means = preference.mean_logps(policy, num_tokens)
        margin = means.chosen - means.rejected
        if config.loss == "orpo":
            return preference.orpo(policy, num_tokens, weight=config.odds_weight), margin
        loss = preference.simpo(policy, num_tokens, beta=config.scale, gamma=config.gamma)
    else:
        margin = preference.preference_margin(policy, reference)
        match config.loss:
            case "robust":
                loss = preference.robust_dpo(policy, reference, beta=config.beta, flip_rate=config.flip_rate)
            case "hinge":
                loss = preference.hinge(policy, reference, beta=config.beta)
            case "ipo":
                loss = preference.ipo(policy, reference, num_tokens, tau=config.tau)
                margin = preference.preference_margin(
                    preference.mean_logps(policy, num_tokens), preference.mean_logps(reference, num_tokens)
                )
            case _:
                loss = preference.dpo(policy, reference, beta=config.beta, flip_rate=config.flip_rate)
    if config.nll_weight:
        loss = loss + config.nll_weight * preference.chosen_nll(policy, num_tokens)
    return loss, margin


def measure(
    policy: Policy,
    pairs: Sequence[Pair],
    reference: PairLogps | None,
    num_tokens: PairTokens,
    config: Config,
    prepared: Prepared,
) -> tuple[Tensor, Tensor]:
    """Loss of each held-out pair, and whether the chosen response leads.

    Held-out pairs are the last ones in `reference`.
    """
    held_out = slice(-len(pairs), None)
    policy_logps = all_pair_logps(policy, pairs, prepared.micro_tokens)
    reference_logps = None if reference is None else reference.select(held_out)
    losses, margins = loss_and_margin(policy_logps, reference_logps, num_tokens.select(held_out), config)
    return losses.cpu(), preference.accuracy(margins).cpu()
