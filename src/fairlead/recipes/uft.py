"""UFT: demonstrations, comparisons, thumbs and scores in one stage, by one loss.  arXiv:2410.21438, on UNA, arXiv:2408.15339

reads   demonstrations, comparisons, binary rows, ratings: any of them      writes  model or adapter, metrics
run     fairlead train uft model=base demonstrations=data/demonstrations.jsonl comparisons=data/comparisons.jsonl name=uft

Every answer has an implicit reward, beta * log(pi / ref), and its sigma is drawn to the answer's score: 1 for a demonstration, 1 or 0 for
a thumb, a rating's own.  0.5 is where training starts and what it leaves alone.  Answers of a comparison have no score; they are set
against each other.  The reference is the model that training starts from.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple, TypeVar

import torch
from torch import Tensor

from fairlead.core.config import DatasetRef, ModelRef
from fairlead.core.errors import DataError, require
from fairlead.core.precision import Precision
from fairlead.core.progress import progress
from fairlead.data.record_reader import read_binary, read_comparisons, read_demonstrations, read_ratings
from fairlead.data.records import Binary, Comparison, Demonstration, Rating, Record, RecordKind, prompt_text
from fairlead.encoding import batching
from fairlead.encoding.chat import num_trained_tokens
from fairlead.examples.pairs import (
    EncodedSplit,
    SingleOrPair,
    answer_logps,
    encode_and_split,
    encode_answer,
    encode_pair,
    micro_answers,
    pair_weights,
    without_ties,
)
from fairlead.examples.reference_logps import (
    all_answer_logps,
    answer_offsets,
    reference_answer_logps,
)
from fairlead.losses import preference, reward, unified
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

R = TypeVar("R", bound=Record)


@dataclass(frozen=True, kw_only=True)
class Config:
    name: str  # of the model that is written
    model: ModelRef  # to start from, and the reference: a base model, or an SFT model
    demonstrations: DatasetRef = ""  # native rows: prompt and completion, or messages; their score is 1
    comparisons: DatasetRef = ""  # native rows: prompt, chosen, rejected
    binary: DatasetRef = ""  # native rows: prompt, completion, label; their score is 1 or 0
    ratings: DatasetRef = ""  # native rows: prompt, completion, score
    loss: Literal["squared", "cross-entropy"] = "squared"  # between sigma(implicit reward) and score
    pairs: Literal["pairwise", "scores"] = (
        "pairwise"  # comparisons: DPO's loss, or the loss above with 1 for chosen and 0 for rejected
    )
    beta: float = 0.01  # implicit reward per nat; small lets answers move far before their score is reached
    length_normalised: bool = (
        False  # log-ratios per token instead of per answer; beta is then larger by about an answer's length
    )
    centre_scores: bool = (
        False  # ratings of one prompt are moved to a mean of 0.5, so that only their differences count
    )
    demonstration_weight: float = 1.0  # of the loss of each row of this kind
    comparison_weight: float = 1.0
    binary_weight: float = 1.0
    rating_weight: float = 1.0
    epochs: int = 1  # times that every row is seen
    batch: int = 32  # rows per optimiser step, of all kinds together
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
        files = (self.demonstrations, self.comparisons, self.binary, self.ratings)
        require(
            any(files),
            "demonstrations",
            "",
            "is empty, and so are comparisons, binary and ratings; give one of them or more",
        )
        weights = (self.demonstration_weight, self.comparison_weight, self.binary_weight, self.rating_weight)
        for kind, file, weight in zip(
            ("demonstration", "comparison", "binary", "rating"), files, weights, strict=True
        ):
            require(
                weight > 0,
                f"{kind}_weight",
                weight,
                "must be positive; leave the file out to leave its rows out",
            )
            require(
                bool(file) or weight == 1,
                f"{kind}_weight",
                weight,
                "has nothing to weigh: its file is not given",
            )
        require(
            bool(self.comparisons) or self.pairs == "pairwise",
            "pairs",
            self.pairs,
            "is about comparisons, which are not given",
        )
        require(
            bool(self.ratings) or not self.centre_scores,
            "centre_scores",
            self.centre_scores,
            "is about ratings, which are not given",
        )
        require(self.beta > 0, "beta", self.beta, "must be positive; it scales the implicit reward")
        require(self.epochs > 0, "epochs", self.epochs, "must be positive")
        require(0 < self.held_out < 1, "held_out", self.held_out, "is a share between 0 and 1")


@dataclass(frozen=True)
class Example:
    """One row of the mix: an answer with its score, or the chosen and the rejected answer, which have none."""

    kind: RecordKind
    answers: SingleOrPair
    score: float | None
    weight: float  # of its loss


class Mix(NamedTuple):
    train: list[Example]
    held_out: list[Example]
    num_dropped: int


class Outcome(NamedTuple):
    loss: Tensor  # [items]
    log_ratios: Tensor  # [answers]  as the loss sees them: per answer, or per token
    margins: Tensor  # [pairs]  of the log-ratios, chosen less rejected


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

    # 2. Data: one list of all kinds; rows that share a prompt stay on the same side of the split, whatever their kind
    mix = read_mix(policy, run, config)
    train, held_out = mix.train, mix.held_out
    kinds = [item.kind for item in train]
    counts = {"demonstrations": kinds.count("demonstration"), "comparisons": kinds.count("comparison")}
    counts |= {
        "binary": kinds.count("binary"),
        "ratings": kinds.count("rating"),
        "held_out": len(held_out),
        "dropped": mix.num_dropped,
    }
    run.event("data", **counts)
    every = [item.answers for item in (*train, *held_out)]
    policy.backend.precision, policy.backend.gradient_checkpointing = (
        config.precision,
        config.gradient_checkpointing,
    )
    some = [
        row for answers in every[:: -(-len(every) // batching.NUM_CHECK_ROWS)] for row in answers
    ]  # from all over the list, so of several kinds
    few = batching.collate(some, pad_id=policy.pad_id, device=policy.device)
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
    reference = reference_answer_logps(
        run, policy, every, micro_tokens, precision=config.precision, base_bits=config.base_bits
    )
    starts = answer_offsets(every)

    # 4. Optimiser
    optimizer = adamw(
        master_weights.parameters, lr=config.lr, weight_decay=config.weight_decay, bits=config.optimizer_bits
    )
    state = checkpoint.State(master_weights.parameters, {"optimizer": optimizer})
    start = checkpoint.restore(run, state)
    master_weights.copy_to_weights()

    # 5. Train
    num_steps = config.epochs * batching.steps_per_epoch(len(train), config.batch)
    order = batching.step_rows(len(train), config.batch, num_steps, run_seed=config.seed)
    meter = Meter(run)
    with progress("uft", num_steps, done=start, quiet=run.quiet) as bar:
        for step in range(start, num_steps):
            items = [train[i] for i in order[step]]
            done: list[Example] = []  # in the order in which micro-batches take them
            found: list[Outcome] = []
            for index in micro_answers(policy.backend, [item.answers for item in items], micro_tokens):
                micro = [items[i] for i in index]
                logps = answer_logps(policy, [row for item in micro for row in item.answers])  # [answers]
                before = reference[
                    [starts[order[step][i]] + k for i in index for k in range(len(items[i].answers))]
                ]
                outcome = losses_of(logps, before, micro, config)
                weights = torch.tensor([item.weight for item in micro], device=policy.device)
                ((weights * outcome.loss).sum() / len(items)).backward()
                done += micro
                found.append(Outcome(*(part.detach() for part in outcome)))
            lr = cosine(step, num_steps, peak=config.lr, warmup=config.warmup)
            grad_norm = update(
                optimizer, lr=lr, max_norm=config.max_norm, step=step + 1, master_weights=master_weights
            )
            together = Outcome(*(torch.cat(parts) for parts in zip(*found, strict=True)))
            metrics = summary(done, together) | {"lr": lr, "grad_norm": grad_norm}
            if (step + 1) % config.measure_every == 0 or step + 1 == num_steps:
                outcome = measure(policy, held_out, reference, config, micro_tokens)
                metrics["held_out_loss"] = interval.mean(weighted(held_out, outcome)).value
                if len(outcome.margins):
                    metrics["held_out_accuracy"] = float(preference.accuracy(outcome.margins).mean())
            run.log(step + 1, **metrics)
            meter.count(sum(len(row) for item in items for row in item.answers))
            bar.advance(f"loss {metrics['loss']:.3f}")
            checkpoint.save_if_due(run, step + 1, num_steps, state, meter, config.checkpoint_every)
    meter.flush()

    # 6. Evidence and save
    outcome = measure(policy, held_out, reference, config, micro_tokens)
    evidence: dict[str, Any] = {
        "held_out_loss": interval.mean(weighted(held_out, outcome)).as_dict(),
        **counts,
    }
    if len(outcome.margins):
        hits = preference.accuracy(outcome.margins)
        evidence["accuracy"] = interval.proportion(float(hits.sum()), len(hits)).as_dict()
    master_weights.restore_float32()
    home = run.project.artifacts / KIND / config.name
    return run.publish(lambda folder: policy.save(folder, final_folder=home), metrics=evidence)


def losses_of(logps: Tensor, reference_logps: Tensor, items: Sequence[Example], config: Config) -> Outcome:
    """The loss of every item from what policy and reference say of its answers, which stand one item after the other.  [answers] both"""
    log_ratios = logps - reference_logps
    if config.length_normalised:
        log_ratios = log_ratios / torch.tensor(
            [num_trained_tokens([row]) for item in items for row in item.answers], device=logps.device
        )
    rewards = config.beta * log_ratios
    distance = unified.squared_error if config.loss == "squared" else unified.cross_entropy
    first = torch.tensor(answer_offsets([item.answers for item in items]), device=logps.device)
    alone = [i for i, item in enumerate(items) if item.score is not None]
    paired = [i for i, item in enumerate(items) if item.score is None]
    scores = torch.tensor([item.score for item in items if item.score is not None], device=logps.device)
    chosen, rejected = first[paired], first[paired] + 1
    if config.pairs == "pairwise":
        of_pairs = reward.bradley_terry(rewards[chosen], rewards[rejected])
    else:
        ones, zeros = torch.ones_like(rewards[chosen]), torch.zeros_like(rewards[rejected])
        of_pairs = distance(rewards[chosen], ones) + distance(rewards[rejected], zeros)
    loss = torch.cat([distance(rewards[first[alone]], scores), of_pairs])
    back = torch.tensor(alone + paired, device=logps.device).argsort()  # into the order of the items
    return Outcome(loss[back], log_ratios, log_ratios[chosen] - log_ratios[rejected])


def summary(items: Sequence[Example], outcome: Outcome) -> dict[str, float]:
    """Means over a step: of the loss as it was minimised, then of each kind's unweighted, where the step has rows of that kind."""
    losses, log_ratios = outcome.loss.tolist(), outcome.log_ratios.tolist()
    first = [log_ratios[at] for at in answer_offsets([item.answers for item in items])]
    second = [
        log_ratios[at + 1]
        for at, item in zip(answer_offsets([item.answers for item in items]), items, strict=True)
        if item.score is None
    ]

    def of_kind(values: Sequence[float], kind: RecordKind) -> list[float]:
        return [value for value, item in zip(values, items, strict=True) if item.kind == kind]

    found = {
        "loss": weighted(items, outcome),
        "demonstration_loss": of_kind(losses, "demonstration"),
        "comparison_loss": of_kind(losses, "comparison"),
        "binary_loss": of_kind(losses, "binary"),
        "rating_loss": of_kind(losses, "rating"),
        "demonstration_logratio": of_kind(first, "demonstration"),
        "chosen_logratio": of_kind(first, "comparison"),
        "rejected_logratio": second,
        "accuracy": preference.accuracy(outcome.margins).tolist(),
    }
    return {name: sum(values) / len(values) for name, values in found.items() if values}


def weighted(items: Sequence[Example], outcome: Outcome) -> list[float]:
    return [item.weight * loss for item, loss in zip(items, outcome.loss.tolist(), strict=True)]


@torch.no_grad()
def measure(
    policy: Policy, items: Sequence[Example], reference: Tensor, config: Config, micro_tokens: int
) -> Outcome:
    """The held-out items, whose answers' reference log-probabilities are the last ones."""
    logps = all_answer_logps(policy, [item.answers for item in items], micro_tokens)
    return losses_of(logps, reference[-len(logps) :], items, config)


def read_mix(policy: Policy, run: Run, config: Config) -> Mix:
    """The rows of all files that are given."""
    longest = config.max_tokens or policy.context

    def whole(record: Demonstration) -> SingleOrPair:
        return (policy.encode(record.messages, num_context=record.num_prompt_messages, max_tokens=longest),)

    def both(record: Comparison) -> SingleOrPair:
        return encode_pair(policy, record, longest)

    def one(record: Binary | Rating) -> SingleOrPair:
        return (encode_answer(policy, record.prompt, record.completion, longest),)

    mix = Mix([], [], 0)
    if config.demonstrations:
        demonstrations = read_demonstrations(run.data_path("demonstrations"))
        rows = split(demonstrations, whole, config.demonstrations, config)
        mix = add(mix, "demonstration", rows, lambda _: 1.0, weight=config.demonstration_weight)
    if config.comparisons:
        comparisons = without_ties(read_comparisons(run.data_path("comparisons")), config.comparisons)
        pairs = split(comparisons, both, config.comparisons, config)
        own = pair_weights(pairs.train, config.comparisons).tolist()
        mix = add(mix, "comparison", pairs, lambda _: None, weight=config.comparison_weight, own=own)
    if config.binary:
        thumbs = split(read_binary(run.data_path("binary")), one, config.binary, config)
        mix = add(mix, "binary", thumbs, lambda record: float(record.label), weight=config.binary_weight)
    if config.ratings:
        ratings = with_scores(read_ratings(run.data_path("ratings")), config)
        mix = add(
            mix,
            "rating",
            split(ratings, one, config.ratings, config),
            lambda record: record.score,
            weight=config.rating_weight,
        )
    return mix


def split(
    records: Sequence[R], encode: Callable[[R], SingleOrPair], source: str, config: Config
) -> EncodedSplit[R, SingleOrPair]:
    return encode_and_split(
        records,
        encode,
        Data(held_out=config.held_out, max_tokens=config.max_tokens, too_long=config.too_long),
        seed=config.seed,
        source=source,
    )


def add(
    mix: Mix,
    kind: RecordKind,
    rows: EncodedSplit[R, SingleOrPair],
    score: Callable[[R], float | None],
    *,
    weight: float,
    own: Sequence[float] = (),
) -> Mix:
    """The mix and these rows.  `own` are weights of single training rows beside that of their kind; held-out rows count alike."""
    train = [
        Example(kind, answers, score(record), weight)
        for record, answers in zip(rows.train, rows.train_rows, strict=True)
    ]
    held_out = [
        Example(kind, answers, score(record), weight)
        for record, answers in zip(rows.held_out, rows.held_out_rows, strict=True)
    ]
    if own:
        train = [replace(item, weight=weight * factor) for item, factor in zip(train, own, strict=True)]
    return Mix(mix.train + train, mix.held_out + held_out, mix.num_dropped + rows.num_dropped)


def with_scores(ratings: Sequence[Rating], config: Config) -> list[Rating]:
    """The ratings, their scores moved to a mean of 0.5 where that is asked for; one that has aspects only is a DataError."""
    for i, rating in enumerate(ratings, start=1):
        if rating.score is None:
            raise DataError(
                f"{config.ratings}: record {i}: has aspects but no score. Give each rating a score from 0 to 1."
            )
    if not config.centre_scores:
        return list(ratings)
    numbers: dict[str, int] = {}
    prompts = torch.tensor([numbers.setdefault(prompt_text(rating), len(numbers)) for rating in ratings])
    scores = unified.centred(torch.tensor([rating.score for rating in ratings]), prompts)
    return [replace(rating, score=score) for rating, score in zip(ratings, scores.tolist(), strict=True)]
