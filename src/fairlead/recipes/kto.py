"""KTO: fit a policy to single responses with a thumb up or down.  arXiv:2402.01306

reads   binary rows (data.records.Binary)      writes  model or adapter, metrics
run     fairlead train kto model=sft binary=data/binary.jsonl name=kto

The value of a response is its log-ratio to the reference less a reference point, an estimate of KL(policy ||
reference).  The paper estimates the point from the other prompts' responses in the micro-batch.  This recipe
keeps a running mean over mismatched responses, so that the estimate depends neither on `batch` nor on
`micro_tokens`.  The point is part of every checkpoint.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from fairlead.core.config import Advanced, DatasetRef, ModelRef
from fairlead.core.errors import DataError, require, require_positive
from fairlead.core.seed import derive_rng
from fairlead.data.record_reader import read_binary
from fairlead.data.records import Binary, prompt_text
from fairlead.encoding.batching import NUM_CHECK_ROWS, epoch_steps
from fairlead.encoding.chat import TooLong
from fairlead.encoding.record_rows import Answer, encode_answer, encode_response
from fairlead.examples.pairs import (
    EncodedSplit,
    answer_logps,
    encode_and_split,
    micro_answers,
)
from fairlead.examples.reference_logps import all_answer_logps, reference_answer_logps
from fairlead.examples.too_long import leaves
from fairlead.losses import binary
from fairlead.model.policy import Policy
from fairlead.stats import interval
from fairlead.store.artifact import Artifact
from fairlead.store.run import Run
from fairlead.train.loop import training_loop
from fairlead.train.metric_sums import MetricSums
from fairlead.train.settings import Data, Optim, TrainingSettings
from fairlead.train.setup import Prepared, open_policy, prepare, publish_policy

KIND = "model"
POOL = 256  # mismatched responses; the reference point is estimated from kl_rows of them per step, in turns
DECAY = 0.9  # of the running reference point per step: it averages over about ten steps


@dataclass(frozen=True, kw_only=True)
class Config(TrainingSettings):
    model: ModelRef  # the start and the reference: usually the SFT model
    binary: DatasetRef  # native rows: prompt, completion, label
    beta: float = 0.1  # strength of the pull to the reference; 0.01 to 0.5 in the paper
    # weight of responses with a thumb up; weight x number should be about the same for both labels
    desirable_weight: float = 1.0
    undesirable_weight: float = 1.0  # weight of responses with a thumb down
    # mismatched responses per step that the reference point is estimated from; 0 keeps the point at zero
    kl_rows: Advanced[int] = 16
    epochs: int = 1  # passes over the responses
    batch: int = 32  # responses per optimiser step
    optim: Optim = Optim(lr=5e-5)  # suits LoRA; full fine-tuning of a large model wants about 5e-7
    data: Data = Data()

    def __post_init__(self) -> None:
        require_positive(self, "beta", "desirable_weight", "undesirable_weight", "epochs", "batch")
        why = "must not be negative; 0 keeps the reference point at zero"
        require(self.kl_rows >= 0, "kl_rows", self.kl_rows, why)
        self.data.require_held_out()


def main(config: Config, run: Run) -> Artifact:
    if run.finished:
        return run.finished

    # 1. Model
    policy = open_policy(run, config)

    # 2. Data: responses that share a prompt stay on the same side of the split
    records = read_binary(run.data_path("binary"))
    rows = encode_and_split(policy, records, encode_response, config, source=config.binary, run=run)
    num_desirable = sum(record.label for record in rows.train)
    counts = {"train": len(rows.train), "held_out": len(rows.held_out)}
    counts |= {"desirable": num_desirable, "undesirable": len(rows.train) - num_desirable}
    run.record_data(rows.left_out, **counts)
    pool = mismatched(policy, rows.train, config) if config.kl_rows else []

    # 3. Set up
    prepared = prepare(run, policy, leaves(rows.train_rows[:NUM_CHECK_ROWS]), config)

    # 4. Reference log-probabilities of all responses, before the policy moves
    responses = [(row,) for row in (*rows.train_rows, *rows.held_out_rows, *pool)]
    logps = reference_answer_logps(run, policy, responses, prepared.micro_tokens, config)
    sizes = [len(rows.train), len(rows.held_out), len(pool)]
    reference, held_out_reference, pool_reference = logps.split(sizes)
    desirable = torch.tensor([record.label for record in rows.train], device=policy.device)

    # 5. Train
    numbers = prepared.state.numbers
    numbers["reference_point"] = 0.0  # policy and reference are equal at first
    order = epoch_steps(len(rows.train), config.batch, config.epochs, run_seed=config.seed)
    with training_loop(run, prepared, config, len(order)) as loop:
        for step in loop:
            if pool:
                pool_ids = [(step * config.kl_rows + k) % len(pool) for k in range(config.kl_rows)]
                pool_logps = all_answer_logps(policy, [(pool[i],) for i in pool_ids], prepared.micro_tokens)
                estimate = float((pool_logps - pool_reference[pool_ids]).mean())
                numbers["reference_point"] = DECAY * numbers["reference_point"] + (1 - DECAY) * estimate
            point = max(0.0, numbers["reference_point"])  # a KL is not negative; its estimate can be

            step_answers = [rows.train_rows[i] for i in order[step]]
            singles = [(answer,) for answer in step_answers]
            sums = MetricSums(policy.device)
            for micro in micro_answers(policy.backend, singles, prepared.micro_tokens):
                row_ids = [order[step][i] for i in micro]
                log_ratios = answer_logps(policy, [step_answers[i] for i in micro]) - reference[row_ids]
                is_desirable = desirable[row_ids]
                loss = kto_loss(log_ratios, is_desirable, point, config)  # [responses]
                (loss.sum() / len(step_answers)).backward()
                hits = binary.accuracy(log_ratios, is_desirable, reference_point=point)
                sums.add(loss=loss, accuracy=hits)
                sums.add(desirable_logratio=log_ratios[is_desirable])
                sums.add(undesirable_logratio=log_ratios[~is_desirable])
            metrics = {
                "loss": sums.mean("loss", len(step_answers)),
                "accuracy": sums.mean("accuracy", len(step_answers)),
                "reference_point": point,
            }
            num_desirable = sum(rows.train[i].label for i in order[step])
            if num_desirable:
                metrics["desirable_logratio"] = sums.mean("desirable_logratio", num_desirable)
            if num_desirable < len(step_answers):
                num_undesirable = len(step_answers) - num_desirable
                metrics["undesirable_logratio"] = sums.mean("undesirable_logratio", num_undesirable)
            metrics |= loop.update()
            if loop.measures:
                losses, hits = measure(policy, rows, held_out_reference, point, config, prepared)
                metrics["held_out_loss"] = float(losses.mean())
                metrics["held_out_accuracy"] = float(hits.mean())
            loop.end_step(metrics, num_tokens=sum(map(len, leaves(step_answers))))

    # 6. Save
    point = max(0.0, numbers["reference_point"])
    losses, hits = measure(policy, rows, held_out_reference, point, config, prepared)
    evidence = {
        "held_out_loss": interval.mean(losses.tolist()).as_dict(),
        "accuracy": interval.proportion(float(hits.sum()), len(hits)).as_dict(),
        "reference_point": point,
        **counts,
        "dropped": rows.num_dropped,
    }
    return publish_policy(run, policy, prepared, metrics=evidence)


def kto_loss(log_ratios: Tensor, is_desirable: Tensor, point: float, config: Config) -> Tensor:
    """[responses]"""
    return binary.kto(
        log_ratios,
        is_desirable,
        beta=config.beta,
        reference_point=point,
        desirable_weight=config.desirable_weight,
        undesirable_weight=config.undesirable_weight,
    )


@torch.no_grad()
def measure(
    policy: Policy,
    rows: EncodedSplit[Binary, Answer],
    reference: Tensor,
    point: float,
    config: Config,
    prepared: Prepared,
) -> tuple[Tensor, Tensor]:
    """Loss of each held-out response, and whether it lies on the right side of the reference point.

    [responses] both
    """
    responses = [(row,) for row in rows.held_out_rows]
    log_ratios = all_answer_logps(policy, responses, prepared.micro_tokens) - reference
    is_desirable = torch.tensor([record.label for record in rows.held_out], device=policy.device)
    losses = kto_loss(log_ratios, is_desirable, point, config)
    return losses, binary.accuracy(log_ratios, is_desirable, reference_point=point)


def mismatched(policy: Policy, records: Sequence[Binary], config: Config) -> list[Answer]:
    """Prompts with the responses to other prompts: their log-ratios say how far the policy has moved,
    whatever the labels.
    """
    if len({prompt_text(record) for record in records}) < 2:
        raise DataError(
            f"{config.binary}: the reference point needs responses to two prompts or more. "
            "Set kl_rows=0 to go without a reference point."
        )
    max_tokens = config.data.max_tokens or policy.context
    rng = derive_rng(config.seed, "mismatched")
    pool: list[Answer] = []
    for record in rng.sample(records, min(POOL, len(records))):
        others = [other for other in rng.choices(records, k=8) if prompt_text(other) != prompt_text(record)]
        try:
            pool += [
                encode_answer(policy, record.prompt, other.completion, max_tokens) for other in others[:1]
            ]
        except TooLong:
            continue  # the pool is a sample, so one response less does no harm
    if not pool:
        raise DataError(
            f"{config.binary}: no response fits behind another prompt. Set kl_rows=0, or drop the "
            f"longest rows."
        )
    return pool
