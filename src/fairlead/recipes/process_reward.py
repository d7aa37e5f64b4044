"""Process reward model: for every step of an answer, the probability that it is right.  arXiv:2305.20050, arXiv:2312.08935.

reads   stepwise rows (data.records.Stepwise)      writes  reward-model with its verdict, metrics with intervals
run     fairlead train process-reward model=sft stepwise=data/steps.jsonl name=verifier

One forward pass reads a whole answer; the head is looked at where each step ends, so that a step is judged by what stands before it and by
itself.  As a reward, an answer is cut at the separator, and the probabilities of its steps are pooled into one number.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from fairlead.core.config import DatasetRef, ModelRef
from fairlead.core.errors import DataError, require
from fairlead.core.precision import Precision
from fairlead.core.progress import progress
from fairlead.data.record_reader import read_stepwise
from fairlead.data.records import Message, Stepwise, prompt_text
from fairlead.encoding import batching
from fairlead.encoding.chat import Encoded, split_steps
from fairlead.eval import admission, verdict
from fairlead.examples.pairs import encode_and_split
from fairlead.losses import reward
from fairlead.model.adapters import Lora
from fairlead.model.reward_config import StepSettings
from fairlead.model.reward_model import new_reward_model
from fairlead.model.scalar_model import ScalarModel
from fairlead.ops.pool_names import StepPool
from fairlead.ops.pooling import pooled_steps
from fairlead.stats import calibration, content_blind, interval
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

KIND = "reward-model"
SMALLEST_SPREAD = 0.01  # of pooled probabilities; dividing rewards by less would blow up what is rounding


@dataclass(frozen=True, kw_only=True)
class Config:
    name: str  # of the reward model that is written
    model: ModelRef  # whose trunk it starts from, usually the SFT model
    stepwise: DatasetRef  # native rows: prompt, completions (the steps), labels
    separator: str = "\n"  # what stands between two steps of an answer; stored with the model
    pool: StepPool = "minimum"  # what makes one reward of an answer's steps; stored with the model
    epochs: int = 1  # times that every answer is seen
    batch: int = 32  # answers per optimiser step; each of their steps counts alike
    lr: float = 1e-4  # at its peak; cosine to a tenth.  Suits LoRA; full fine-tuning of a large model wants about 1e-5
    warmup: int = 10  # steps of linear warm-up
    weight_decay: float = 0.0
    max_norm: float = 1.0  # gradients are scaled down to this norm
    lora_rank: int = 16  # 0 trains all weights
    lora_alpha: int = 32  # strength of the adapter: alpha / rank
    base_bits: Literal[4, 32] = (
        32  # 4: the frozen network under an adapter is kept in 4 bits (QLoRA); needs bitsandbytes
    )
    held_out: float = 0.15  # share of the prompts kept for the evidence
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
            self.separator != "",
            "separator",
            self.separator,
            "must not be empty; steps need something between them",
        )
        escaped = "has a backslash, as if a line break had lost its quotes; write 'separator=\"\\n\\n\"'"
        require("\\" not in self.separator, "separator", self.separator, escaped)
        require(self.epochs > 0, "epochs", self.epochs, "must be positive")
        require(
            0 < self.held_out < 1,
            "held_out",
            self.held_out,
            "is a share between 0 and 1; evidence needs some",
        )


def main(config: Config, run: Run) -> Artifact:
    if run.finished:
        return run.finished

    # 1. Model: the trunk of a language model and a fresh head, which is read at the end of every step
    lora = (
        Lora(config.lora_rank, config.lora_alpha, config.seed, config.precision, config.base_bits)
        if config.lora_rank
        else None
    )
    model = new_reward_model(run.model_path("model"), run_seed=config.seed, lora=lora)
    model.set_steps(StepSettings(config.separator, config.pool))

    # 2. Data: answers that share a prompt stay on the same side of the split
    rows = encode_and_split(
        read_stepwise(run.data_path("stepwise")),
        lambda record: encode(model, record, config.max_tokens or model.context),
        Data(held_out=config.held_out, max_tokens=config.max_tokens, too_long=config.too_long),
        seed=config.seed,
        source=config.stepwise,
    )
    num_right, num_wrong = count_labels(rows.train, config.stepwise)
    counts = {
        "train": len(rows.train),
        "held_out": len(rows.held_out),
        "right_steps": num_right,
        "wrong_steps": num_wrong,
    }
    run.event("data", **counts, dropped=rows.num_dropped)
    model.backend.precision, model.backend.gradient_checkpointing = (
        config.precision,
        config.gradient_checkpointing,
    )
    few = batching.collate(
        rows.train_rows[: batching.NUM_CHECK_ROWS], pad_id=model.pad_id, device=model.device
    )
    verify_backend(run, model, lambda: model.step_scores(few), what="reward model")
    master_weights = MasterWeights(model.trainable(), config.precision)
    expected = memory.measure(
        model.network.parameters(),
        lambda: model.step_scores(few),
        int(few.token_mask.sum()),
        optimizer_bits=config.optimizer_bits,
    )
    micro_tokens = memory.token_budget(run, expected, config.micro_tokens)

    # 3. Optimiser
    optimizer = adamw(
        master_weights.parameters, lr=config.lr, weight_decay=config.weight_decay, bits=config.optimizer_bits
    )
    state = checkpoint.State(master_weights.parameters, {"optimizer": optimizer})
    start = checkpoint.restore(run, state)
    master_weights.copy_to_weights()

    # 4. Train: every step of every answer is one item of the loss
    num_steps = config.epochs * batching.steps_per_epoch(len(rows.train), config.batch)
    order = batching.step_rows(len(rows.train), config.batch, num_steps, run_seed=config.seed)
    meter = Meter(run)
    with progress("process-reward", num_steps, done=start, quiet=run.quiet) as bar:
        for step in range(start, num_steps):
            encoded = [rows.train_rows[i] for i in order[step]]
            num_labels = sum(len(rows.train[i].labels) for i in order[step])
            total, hits = torch.zeros(
                2, dtype=torch.float64, device=model.device
            )  # read once, after the step
            for index in batching.micro_batches(
                [len(row) for row in encoded], micro_tokens, packed=model.backend.packed
            ):
                batch = batching.collate(
                    [encoded[i] for i in index], pad_id=model.pad_id, device=model.device
                )
                labels = labels_of([rows.train[order[step][i]] for i in index]).to(model.device)  # [steps]
                scores = model.step_scores(batch)[batch.response_index]  # [steps]
                losses = reward.step_right(scores, labels)  # [steps]
                (losses.sum() / num_labels).backward()
                total += losses.detach().sum()
                hits += ((scores.detach() > 0) == labels).sum()
            lr = cosine(step, num_steps, peak=config.lr, warmup=config.warmup)
            grad_norm = update(
                optimizer, lr=lr, max_norm=config.max_norm, step=step + 1, master_weights=master_weights
            )
            metrics = {
                "loss": float(total) / num_labels,
                "accuracy": float(hits) / num_labels,
                "lr": lr,
                "grad_norm": grad_norm,
            }
            if (step + 1) % config.measure_every == 0 or step + 1 == num_steps:
                metrics |= measured(*score_all(model, rows.held_out_rows, micro_tokens), rows.held_out)
            run.log(step + 1, **metrics)
            meter.count(sum(len(row) for row in encoded))
            bar.advance(f"loss {metrics['loss']:.3f}  accuracy {metrics['accuracy']:.2f}")
            checkpoint.save_if_due(run, step + 1, num_steps, state, meter, config.checkpoint_every)
    meter.flush()

    # 5. The scale of the rewards; evidence on held-out prompts and the verdict; save
    scores, rewards = score_all(model, rows.held_out_rows, micro_tokens)
    spread = float(rewards.std()) if len(rewards) > 1 else 0.0
    model.set_scale(mean=float(rewards.mean()), std=max(spread, SMALLEST_SPREAD))
    evidence = evidence_of(scores, rows.held_out, rows.train, config) | counts | {"dropped": rows.num_dropped}
    decision = verdict.decide_step_admission(evidence)
    admission.log_decision(run, decision)
    master_weights.restore_float32()

    def save(folder: Path) -> None:
        model.save(folder, final_folder=run.project.artifacts / KIND / config.name)
        admission.write_report(folder, asdict(decision) | evidence)

    return run.publish(save, metrics={"verdict": decision.verdict, **evidence})


def encode(model: ScalarModel, record: Stepwise, max_tokens: int | None) -> Encoded:
    """The answer as a policy would have written it, with the ends of its steps; what would be cut otherwise is a DataError."""
    assert model.steps is not None, "a process reward model"
    separator = model.steps.separator
    steps = [step.strip() for step in record.completions]
    answer = separator.join(steps)
    if split_steps(answer, separator) != steps:
        place = next((k for k, step in enumerate(steps, start=1) if separator in step), 1)
        raise DataError(
            f"step {place} contains the separator {separator!r}: in an answer it would be cut there, and its label would fit no step. "
            "Choose another separator, or divide the step and its label."
        )
    encoded = model.encode((*record.prompt, Message("assistant", answer)), max_tokens=max_tokens)
    if sum(encoded.trained) != len(steps):
        raise DataError(
            f"its {len(steps)} steps have {sum(encoded.trained)} ends among the model's tokens: the chat template changes the answer, "
            "or two steps end in one token. Choose another separator, or another model."
        )
    return encoded


def count_labels(records: Sequence[Stepwise], source: str) -> tuple[int, int]:
    """Right and wrong steps; where there is only one kind, nothing can be learned."""
    num_right = sum(sum(record.labels) for record in records)
    num_wrong = sum(len(record.labels) for record in records) - num_right
    if not num_right or not num_wrong:
        raise DataError(
            f"{source}: all {num_right + num_wrong} steps to train on are {'right' if num_right else 'wrong'}. Bring rows of both kinds."
        )
    return num_right, num_wrong


def labels_of(records: Sequence[Stepwise]) -> Tensor:
    """Of all steps, answer by answer.  [steps] bool"""
    return torch.tensor([label for record in records for label in record.labels])


@torch.no_grad()
def score_all(model: ScalarModel, rows: Sequence[Encoded], micro_tokens: int) -> tuple[Tensor, Tensor]:
    """The score of every step, answer by answer, and every answer's steps pooled.  [steps], [answers], on the CPU"""
    assert model.steps is not None, "a process reward model"
    batch = batching.collate(rows, pad_id=model.pad_id, device=model.device)
    scores = batching.map_micro_batches(
        model.step_scores, batch, micro_tokens, packed=model.backend.packed
    )  # [answers, T]
    rewards = pooled_steps(scores, batch.response_mask, pool=model.steps.pool)
    return scores[batch.response_index].cpu(), rewards.cpu()


def measured(scores: Tensor, rewards: Tensor, records: Sequence[Stepwise]) -> dict[str, float]:
    labels = labels_of(records)
    return {
        "held_out_loss": float(reward.step_right(scores, labels).mean()),
        "held_out_accuracy": float(((scores > 0) == labels).float().mean()),
        "held_out_reward": float(rewards.mean()),
    }


def evidence_of(
    scores: Tensor, records: Sequence[Stepwise], train: Sequence[Stepwise], config: Config
) -> dict[str, Any]:
    """What the scores say of held-out steps, beside rules that read nothing.  A prompt counts as one draw, whatever it has of steps."""
    prompts = [prompt_text(record) for record in records]
    labels = labels_of(records)
    of_step = [prompt for record, prompt in zip(records, prompts, strict=True) for _ in record.labels]
    credit = ((scores > 0) == labels).numpy().astype(float)  # [steps]
    rules = [
        rule([one.labels for one in train], [one.labels for one in records])
        for rule in (content_blind.majority_label, content_blind.majority_by_position)
    ]
    best = max(rules, key=lambda found: float(found.mean()))
    # The margin of the label that a step has; a probability is judged by the label that it prefers.
    margins = torch.where(labels, scores, -scores).double()
    stated = calibration.probabilities(margins.tolist(), 1.0)
    found = {
        "accuracy": interval.clustered_proportion(credit.tolist(), of_step).as_dict(),
        "majority": interval.clustered_proportion(rules[0].tolist(), of_step).as_dict(),
        "by_place": interval.clustered_proportion(rules[1].tolist(), of_step).as_dict(),
        "lead": interval.clustered_mean((credit - best).tolist(), of_step).as_dict(),
        "held_out_loss": interval.clustered_mean(
            reward.step_right(scores, labels).tolist(), of_step
        ).as_dict(),
        "held_out_prompts": len(set(prompts)),
        "calibration_error": calibration.error(stated),
        "chance_error": calibration.chance_error(stated, of_step, seed=config.seed),
    }
    told = first_wrong(scores, records)
    kinds = {"first_wrong": (True, False), "first_wrong_of_faulty": (False,), "passed_of_sound": (True,)}
    for name, wanted in kinds.items():
        chosen = [i for i, record in enumerate(records) if all(record.labels) in wanted]
        if chosen:
            found[name] = interval.clustered_proportion(
                [told[i] for i in chosen], [prompts[i] for i in chosen]
            ).as_dict()
    return found


def first_wrong(scores: Tensor, records: Sequence[Stepwise]) -> list[float]:
    """1 for each answer of which the first step with a score below zero is the first that is wrong, or that has neither; else 0."""
    parts = scores.split([len(record.labels) for record in records])
    found = [next((i for i, score in enumerate(part.tolist()) if score <= 0), None) for part in parts]
    truth = [next((i for i, label in enumerate(record.labels) if not label), None) for record in records]
    return [float(one == other) for one, other in zip(found, truth, strict=True)]
