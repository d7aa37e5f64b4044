"""Process reward model: the probability that each step of an answer is right.  arXiv:2305.20050

reads   stepwise rows (data.records.Stepwise)      writes  reward-model with its verdict, metrics
run     fairlead train process-reward model=sft stepwise=data/steps.jsonl name=verifier

Pooling as in arXiv:2312.08935.  One forward pass reads the whole answer.  The head is read where each step
ends, so a step is judged by itself and the text before it.  As a reward, an answer is split at the separator
and the probabilities of its steps are pooled.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from fairlead.core.config_keys import DatasetRef, ModelRef
from fairlead.core.errors import DataError, require, require_positive
from fairlead.data.record_reader import read_stepwise
from fairlead.data.records import Stepwise, prompt_text
from fairlead.encoding.batching import (
    NUM_CHECK_ROWS,
    collate,
    epoch_steps,
    map_micro_batches,
    micro_batches,
)
from fairlead.encoding.chat import Encoded
from fairlead.encoding.record_rows import encode_stepwise
from fairlead.eval import admission, admission_verdict
from fairlead.examples.pairs import encode_and_split
from fairlead.losses import reward
from fairlead.model.reward_config import StepSettings
from fairlead.model.reward_model import new_reward_model
from fairlead.model.scalar_model import ScalarModel
from fairlead.ops.combine_rewards import pooled_steps
from fairlead.ops.pool_names import StepPool
from fairlead.stats import calibration, content_blind, interval
from fairlead.store.artifact import Artifact
from fairlead.store.run import Run
from fairlead.train.loop import training_loop
from fairlead.train.metric_sums import MetricSums
from fairlead.train.settings import Data, Optim, TrainingSettings
from fairlead.train.setup import lora, prepare_model
from fairlead.train.template import given_template, note_template

KIND = "reward-model"
SMALLEST_STD = 0.01  # of pooled probabilities; dividing by less would turn rounding into reward


@dataclass(frozen=True, kw_only=True)
class Config(TrainingSettings):
    model: ModelRef  # language model whose decoder is used, usually the SFT model
    stepwise: DatasetRef  # native rows: prompt, completions (the steps), labels
    separator: str = "\n"  # text between two steps of an answer; stored with the model
    pool: StepPool = "minimum"  # how an answer's steps become one reward; stored with the model
    epochs: int = 1  # passes over the answers
    batch: int = 32  # answers per optimiser step; every step of every answer has the same weight
    optim: Optim = Optim(lr=1e-4)  # suits LoRA; full fine-tuning of a large model wants about 1e-5
    data: Data = Data(held_out=0.15)

    def __post_init__(self) -> None:
        require_positive(self, "epochs", "batch")
        require(self.separator != "", "separator", self.separator, "must not be empty")
        why = "contains a backslash: the line break lost its quotes. Write 'separator=\"\\n\\n\"'"
        require("\\" not in self.separator, "separator", self.separator, why)
        self.data.require_held_out()


def main(config: Config, run: Run) -> Artifact:
    if run.finished:
        return run.finished

    # 1. Model: the decoder of a language model with a new head, which is read at the end of each step
    model = new_reward_model(
        run.model_path("model"),
        run_seed=config.seed,
        lora=lora(config),
        template=given_template(run, config.template),
    )
    note_template(run, model.chat)
    model.set_steps(StepSettings(config.separator, config.pool))

    # 2. Data: answers that share a prompt stay on the same side of the split
    records = read_stepwise(run.data_path("stepwise"))
    rows = encode_and_split(model, records, encode_stepwise, config, source=config.stepwise, run=run)
    num_right, num_wrong = count_labels(rows.train, config.stepwise)
    counts = {"train": len(rows.train), "held_out": len(rows.held_out)}
    counts |= {"right_steps": num_right, "wrong_steps": num_wrong}
    run.record_data(rows.left_out, **counts)

    # 3. Set up
    check_batch = collate(rows.train_rows[:NUM_CHECK_ROWS], pad_id=model.pad_id, device=model.device)
    prepared = prepare_model(
        run, model, check_batch, lambda: model.step_scores(check_batch), config, what="reward model"
    )

    # 4. Train: every step of every answer is one item of the loss
    order = epoch_steps(len(rows.train), config.batch, config.epochs, run_seed=config.seed)
    with training_loop(run, prepared, config, len(order)) as loop:
        for step in loop:
            encoded = [rows.train_rows[i] for i in order[step]]
            num_labels = sum(len(rows.train[i].labels) for i in order[step])
            sums = MetricSums(model.device)
            lengths = [len(row) for row in encoded]
            for micro in micro_batches(lengths, prepared.micro_tokens, packed=model.backend.packed):
                batch = collate([encoded[i] for i in micro], pad_id=model.pad_id, device=model.device)
                labels = step_labels([rows.train[order[step][i]] for i in micro]).to(model.device)  # [steps]
                scores = model.step_scores(batch)[batch.response_index]  # [steps]
                losses = reward.step_correctness(scores, labels)  # [steps]
                (losses.sum() / num_labels).backward()
                sums.add(loss=losses, accuracy=(scores > 0) == labels)
            metrics = sums.means(num_labels) | loop.update()
            if loop.measures:
                scores, rewards = score_all(model, rows.held_out_rows, prepared.micro_tokens)
                metrics |= held_out_metrics(scores, rewards, rows.held_out)
            loop.end_step(metrics, num_tokens=sum(lengths))

    # 5. Scale of the rewards, evidence from held-out prompts, the verdict, and save
    scores, rewards = score_all(model, rows.held_out_rows, prepared.micro_tokens)
    std = float(rewards.std()) if len(rewards) > 1 else 0.0
    model.set_scale(mean=float(rewards.mean()), std=max(std, SMALLEST_STD))
    leaks = admission.leaks_of_run(run, [record.prompt for record in rows.held_out])
    kept = admission.record_leaks(run, leaks)
    examined = [rows.held_out[i] for i in kept]
    scores_of_answers = scores.split([len(record.labels) for record in rows.held_out])
    evidence = held_out_evidence(
        torch.cat([scores_of_answers[i] for i in kept]), examined, rows.train, config
    )
    evidence |= counts | {"dropped": rows.num_dropped}
    evidence["leaks"] = leaks.as_dict(excluded=len(kept) < leaks.num_rows or not leaks.rows)
    decision = admission_verdict.decide_step_admission(evidence)
    admission.log_decision(run, decision)
    prepared.master_weights.restore_float32()

    def save(folder: Path) -> None:
        model.save(folder, final_folder=run.project.artifacts / run.kind / run.name)
        admission.write_evidence(run, folder, asdict(decision) | evidence)

    return run.publish(save, metrics={"verdict": decision.verdict, **evidence})


def count_labels(records: Sequence[Stepwise], source: str) -> tuple[int, int]:
    """Numbers of right and wrong steps.  Raises DataError unless there are both."""
    num_right = sum(sum(record.labels) for record in records)
    num_wrong = sum(len(record.labels) for record in records) - num_right
    if not num_right or not num_wrong:
        raise DataError(
            f"{source}: all {num_right + num_wrong} steps to train on are "
            f"{'right' if num_right else 'wrong'}. "
            "Add rows of both kinds."
        )
    return num_right, num_wrong


def step_labels(records: Sequence[Stepwise]) -> Tensor:
    """Labels of all steps, answer by answer.  [steps] bool"""
    return torch.tensor([label for record in records for label in record.labels])


@torch.no_grad()
def score_all(model: ScalarModel, rows: Sequence[Encoded], micro_tokens: int) -> tuple[Tensor, Tensor]:
    """The score of each step, answer by answer, and each answer's pooled reward.

    [steps], [answers], on the CPU
    """
    assert model.steps is not None, "a process reward model"
    batch = collate(rows, pad_id=model.pad_id, device=model.device)
    scores = map_micro_batches(
        model.step_scores, batch, micro_tokens, packed=model.backend.packed
    )  # [answers, T]
    rewards = pooled_steps(scores, batch.response_mask, pool=model.steps.pool)
    return scores[batch.response_index].cpu(), rewards.cpu()


def held_out_metrics(scores: Tensor, rewards: Tensor, records: Sequence[Stepwise]) -> dict[str, float]:
    labels = step_labels(records)
    return {
        "held_out_loss": float(reward.step_correctness(scores, labels).mean()),
        "held_out_accuracy": float(((scores > 0) == labels).float().mean()),
        "held_out_reward": float(rewards.mean()),
    }


def held_out_evidence(
    scores: Tensor, records: Sequence[Stepwise], train: Sequence[Stepwise], config: Config
) -> dict[str, Any]:
    """Accuracy beside content-blind baselines, calibration, and how often the first wrong step is found.

    Intervals treat all steps of a prompt as one cluster.
    """
    prompts = [prompt_text(record) for record in records]
    labels = step_labels(records)
    step_prompts = [prompt for record, prompt in zip(records, prompts, strict=True) for _ in record.labels]
    credit = ((scores > 0) == labels).numpy().astype(float)  # [steps]
    train_labels = [record.labels for record in train]
    test_labels = [record.labels for record in records]
    rules = (content_blind.majority_label, content_blind.majority_by_position)
    baselines = [rule(train_labels, test_labels) for rule in rules]
    best = max(baselines, key=lambda hits: float(hits.mean()))
    # Probability of the label that the step has: calibration judges a probability by the label that it
    # prefers.
    margins = torch.where(labels, scores, -scores).double()
    stated = calibration.probabilities(margins.tolist(), 1.0)
    losses = reward.step_correctness(scores, labels).tolist()
    metrics = {
        "accuracy": interval.clustered_proportion(credit.tolist(), step_prompts).as_dict(),
        "majority": interval.clustered_proportion(baselines[0].tolist(), step_prompts).as_dict(),
        "by_place": interval.clustered_proportion(baselines[1].tolist(), step_prompts).as_dict(),
        "lead": interval.clustered_mean((credit - best).tolist(), step_prompts).as_dict(),
        "held_out_loss": interval.clustered_mean(losses, step_prompts).as_dict(),
        "held_out_prompts": len(set(prompts)),
        "calibration_error": calibration.error(stated),
        "chance_error": calibration.chance_error(stated, step_prompts, seed=config.seed),
    }
    hits = first_error_hits(scores, records)
    answer_kinds = {
        "first_wrong": (True, False),
        "first_wrong_of_faulty": (False,),
        "passed_of_sound": (True,),
    }
    for name, all_right in answer_kinds.items():
        answer_ids = [i for i, record in enumerate(records) if all(record.labels) in all_right]
        if answer_ids:
            metrics[name] = interval.clustered_proportion(
                [hits[i] for i in answer_ids], [prompts[i] for i in answer_ids]
            ).as_dict()
    return metrics


def first_error_hits(scores: Tensor, records: Sequence[Stepwise]) -> list[float]:
    """1 for each answer whose first step with a score of at most 0 is its first wrong step, or that has
    neither; else 0.
    """
    answers = scores.split([len(record.labels) for record in records])
    predicted = [next((i for i, score in enumerate(steps.tolist()) if score <= 0), None) for steps in answers]
    actual = [next((i for i, label in enumerate(record.labels) if not label), None) for record in records]
    return [float(first == second) for first, second in zip(predicted, actual, strict=True)]
