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
from fairlead.core.errors import DataError, require
from fairlead.core.progress import progress
from fairlead.core.seed import derive_rng
from fairlead.data.record_reader import read_binary
from fairlead.data.records import Binary, prompt_text
from fairlead.encoding.batching import NUM_CHECK_ROWS, micro_batches, step_rows, steps_per_epoch
from fairlead.encoding.chat import Encoded, TooLong
from fairlead.examples.pairs import EncodedSplit, answer_logps, encode_and_split, encode_answer
from fairlead.examples.reference_logps import all_answer_logps, reference_answer_logps
from fairlead.losses import binary
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
POOL = 256  # mismatched responses; the reference point is estimated from kl_rows of them per step, in turns
DECAY = 0.9  # of the running reference point per step: it averages over about ten steps


@dataclass(frozen=True, kw_only=True)
class Config:
    name: str  # name of the model that is written
    model: ModelRef  # model to start from, and the reference: usually the SFT model
    binary: DatasetRef  # native rows: prompt, completion, label
    beta: float = 0.1  # strength of the pull to the reference; 0.01 to 0.5 in the paper
    # weight of responses with a thumb up; weight x number should be about the same for both labels
    desirable_weight: float = 1.0
    undesirable_weight: float = 1.0  # weight of responses with a thumb down
    # mismatched responses per step that the reference point is estimated from; 0 keeps the point at zero
    kl_rows: Advanced[int] = 16
    epochs: int = 1  # passes over the responses
    batch: int = 32  # responses per optimiser step
    seed: int = 0  # seed of the split, the order of rows, the mismatched responses and the adapter
    optim: Optim = Optim(lr=5e-5)  # suits LoRA; full fine-tuning of a large model wants about 5e-7
    adapter: Adapter = Adapter()
    hardware: Hardware = Hardware()
    data: Data = Data()
    checkpoints: Checkpoints = Checkpoints()

    def __post_init__(self) -> None:
        require(self.beta > 0, "beta", self.beta, "must be positive; it scales the implicit reward")
        require(self.desirable_weight > 0, "desirable_weight", self.desirable_weight, "must be positive")
        weight = self.undesirable_weight
        require(weight > 0, "undesirable_weight", weight, "must be positive")
        why = "must not be negative; 0 keeps the reference point at zero"
        require(self.kl_rows >= 0, "kl_rows", self.kl_rows, why)
        require(self.epochs > 0, "epochs", self.epochs, "must be positive")
        require(self.batch > 0, "batch", self.batch, "must be positive")
        self.data.require_held_out()


def main(config: Config, run: Run) -> Artifact:
    if run.finished:
        return run.finished

    # 1. Model
    policy = load_policy(run.model_path("model"), lora=lora(config))

    # 2. Data: responses that share a prompt stay on the same side of the split
    max_tokens = config.data.max_tokens or policy.context
    rows = encode_and_split(
        read_binary(run.data_path("binary")),
        lambda record: encode_answer(policy, record.prompt, record.completion, max_tokens),
        config.data,
        seed=config.seed,
        source=config.binary,
    )
    num_desirable = sum(record.label for record in rows.train)
    counts = {"train": len(rows.train), "held_out": len(rows.held_out)}
    counts |= {"desirable": num_desirable, "undesirable": len(rows.train) - num_desirable}
    run.event("data", **counts, dropped=rows.num_dropped)
    pool = mismatched(policy, rows.train, max_tokens, config) if config.kl_rows else []

    # 3. Backend check, master weights, memory budget, optimiser
    prepared = prepare(run, policy, rows.train_rows[:NUM_CHECK_ROWS], config)

    # 4. Reference log-probabilities of all responses, before the policy moves
    reference, held_out_reference, pool_reference = reference_answer_logps(
        run,
        policy,
        [(row,) for row in (*rows.train_rows, *rows.held_out_rows, *pool)],
        prepared.micro_tokens,
        precision=config.hardware.precision,
        base_bits=config.adapter.base_bits,
    ).split([len(rows.train), len(rows.held_out), len(pool)])
    desirable = torch.tensor([record.label for record in rows.train], device=policy.device)

    # 5. Train
    numbers = prepared.state.numbers
    numbers["reference_point"] = 0.0  # policy and reference are equal at first
    start = resume(run, prepared)
    num_steps = config.epochs * steps_per_epoch(len(rows.train), config.batch)
    order = step_rows(len(rows.train), config.batch, num_steps, run_seed=config.seed)
    meter = Meter(run)
    with progress("kto", num_steps, done=start, quiet=run.quiet) as bar:
        for step in range(start, num_steps):
            if pool:
                pool_ids = [(step * config.kl_rows + k) % len(pool) for k in range(config.kl_rows)]
                pool_logps = all_answer_logps(policy, [(pool[i],) for i in pool_ids], prepared.micro_tokens)
                estimate = float((pool_logps - pool_reference[pool_ids]).mean())
                numbers["reference_point"] = DECAY * numbers["reference_point"] + (1 - DECAY) * estimate
            point = max(0.0, numbers["reference_point"])  # a KL is not negative; its estimate can be

            responses = [rows.train_rows[i] for i in order[step]]
            lengths = [len(row) for row in responses]
            sums = MetricSums(policy.device)
            for micro in micro_batches(lengths, prepared.micro_tokens, packed=policy.backend.packed):
                row_ids = [order[step][i] for i in micro]
                log_ratios = answer_logps(policy, [responses[i] for i in micro]) - reference[row_ids]
                is_desirable = desirable[row_ids]
                loss = kto_loss(log_ratios, is_desirable, point, config)  # [responses]
                (loss.sum() / len(responses)).backward()
                hits = binary.accuracy(log_ratios, is_desirable, reference_point=point)
                sums.add(loss=loss, accuracy=hits)
                sums.add(desirable_logratio=log_ratios[is_desirable])
                sums.add(undesirable_logratio=log_ratios[~is_desirable])
            lr = learning_rate(config.optim, step, num_steps)
            grad_norm = optimizer_step(prepared, config.optim, lr=lr, step=step + 1)
            metrics = {
                "loss": sums.mean("loss", len(responses)),
                "accuracy": sums.mean("accuracy", len(responses)),
                "reference_point": point,
            }
            num_desirable = sum(rows.train[i].label for i in order[step])
            if num_desirable:
                metrics["desirable_logratio"] = sums.mean("desirable_logratio", num_desirable)
            if num_desirable < len(responses):
                num_undesirable = len(responses) - num_desirable
                metrics["undesirable_logratio"] = sums.mean("undesirable_logratio", num_undesirable)
            metrics |= {"lr": lr, "grad_norm": grad_norm}
            if (step + 1) % config.data.measure_every == 0 or step + 1 == num_steps:
                losses, hits = measure(policy, rows, held_out_reference, point, config, prepared)
                metrics["held_out_loss"] = float(losses.mean())
                metrics["held_out_accuracy"] = float(hits.mean())
            run.log(step + 1, **metrics)
            meter.count(sum(lengths))
            bar.advance(f"loss {metrics['loss']:.3f}  accuracy {metrics['accuracy']:.2f}")
            checkpoint.save_if_due(run, step + 1, num_steps, prepared.state, meter, config.checkpoints.every)
    meter.flush()

    # 6. Evidence and save
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
    rows: EncodedSplit[Binary, Encoded],
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


def mismatched(
    policy: Policy, records: Sequence[Binary], max_tokens: int | None, config: Config
) -> list[Encoded]:
    """Prompts with the responses to other prompts: their log-ratios say how far the policy has moved,
    whatever the labels.
    """
    if len({prompt_text(record) for record in records}) < 2:
        raise DataError(
            f"{config.binary}: the reference point needs responses to two prompts or more. "
            "Set kl_rows=0 to go without a reference point."
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
            continue  # the pool is a sample, so one response less does no harm
    if not pool:
        raise DataError(
            f"{config.binary}: no response fits behind another prompt. Set kl_rows=0, or drop the "
            f"longest rows."
        )
    return pool
