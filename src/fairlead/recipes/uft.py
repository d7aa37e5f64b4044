"""UFT: demonstrations, comparisons, thumbs and ratings in one stage, by one loss.  arXiv:2410.21438, on UNA,
arXiv:2408.15339

reads   demonstrations, comparisons, binary rows, ratings: any of them      writes  model or adapter, metrics
run     fairlead train uft name=uft model=base
        demonstrations=data/demonstrations.jsonl comparisons=data/comparisons.jsonl

Every response has an implicit reward, beta * log(pi / ref).  The loss moves the sigmoid of the reward to the
score of the response: 1 for a demonstration, 1 or 0 for a thumb, a rating's own score.  Training starts at
0.5 everywhere.  Responses of a comparison have no score and are compared with each other.  The reference is
the model that training starts from.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple, TypeVar

import torch
from torch import Tensor

from fairlead.core.config import Advanced, DatasetRef, ModelRef
from fairlead.core.errors import DataError, require, require_positive
from fairlead.data.record_reader import read_binary, read_comparisons, read_demonstrations, read_ratings
from fairlead.data.records import Demonstration, Rating, Record, RecordKind, prompt_text
from fairlead.encoding.batching import NUM_CHECK_ROWS, epoch_steps
from fairlead.encoding.chat import num_trained_tokens
from fairlead.encoding.encoders import PolicyEncoder
from fairlead.encoding.record_rows import (
    Answer,
    SingleOrPair,
    encode_demonstration,
    encode_pair,
    encode_single_response,
)
from fairlead.examples.pairs import (
    EncodedSplit,
    answer_logps,
    encode_and_split,
    flatten_rows,
    micro_answers,
    pair_weights,
    without_ties,
)
from fairlead.examples.reference_logps import all_answer_logps, answer_offsets, reference_answer_logps
from fairlead.examples.too_long import leaves
from fairlead.losses import preference, reward, unified
from fairlead.model.policy import Policy
from fairlead.stats import interval
from fairlead.store.artifact import Artifact
from fairlead.store.run import Run
from fairlead.train.loop import training_loop
from fairlead.train.settings import Data, Optim, TrainingSettings
from fairlead.train.setup import open_policy, prepare, publish_policy

KIND = "model"

R = TypeVar("R", bound=Record)


@dataclass(frozen=True, kw_only=True)
class Config(TrainingSettings):
    model: ModelRef  # model to start from, and the reference: a base model, or an SFT model
    demonstrations: DatasetRef = ""  # native rows: prompt and completion, or messages; their score is 1
    comparisons: DatasetRef = ""  # native rows: prompt, chosen, rejected
    binary: DatasetRef = ""  # native rows: prompt, completion, label; their score is 1 or 0
    ratings: DatasetRef = ""  # native rows: prompt, completion, score
    loss: Literal["squared", "cross-entropy"] = "squared"  # distance of sigmoid(implicit reward) to the score
    # comparisons: the loss of DPO, or the distance above with scores 1 for chosen and 0 for rejected
    pairs: Advanced[Literal["pairwise", "scores"]] = "pairwise"
    # implicit reward per nat; a small beta lets responses move far before they reach their score
    beta: float = 0.01
    # log-ratios per token instead of per response; beta is then larger by about the length of a response
    length_normalised: Advanced[bool] = False
    # shift the ratings of each prompt to a mean of 0.5, so that only their differences count
    centre_scores: Advanced[bool] = False
    demonstration_weight: Advanced[float] = 1.0  # weight of the loss of each demonstration
    comparison_weight: Advanced[float] = 1.0  # weight of the loss of each comparison
    binary_weight: Advanced[float] = 1.0  # weight of the loss of each binary row
    rating_weight: Advanced[float] = 1.0  # weight of the loss of each rating
    epochs: int = 1  # passes over the rows
    batch: int = 32  # rows per optimiser step, of all kinds together
    optim: Optim = Optim(lr=5e-5)  # suits LoRA; full fine-tuning of a large model wants about 5e-7
    data: Data = Data()

    def __post_init__(self) -> None:
        require_positive(self, "beta", "epochs", "batch")
        why = "is empty, and so are comparisons, binary and ratings; give at least one of them"
        require(any(file for file, _ in self.files.values()), "demonstrations", "", why)
        for kind, (file, weight) in self.files.items():
            why = "must be positive; leave the file out to leave its rows out"
            require(weight > 0, f"{kind}_weight", weight, why)
            why = "has nothing to weigh: its file is not given"
            require(bool(file) or weight == 1, f"{kind}_weight", weight, why)
        why = "is about comparisons, which are not given"
        require(bool(self.comparisons) or self.pairs == "pairwise", "pairs", self.pairs, why)
        why = "is about ratings, which are not given"
        require(bool(self.ratings) or not self.centre_scores, "centre_scores", self.centre_scores, why)
        self.data.require_held_out()

    @property
    def files(self) -> dict[str, tuple[str, float]]:
        """Kind of rows -> their file, and the weight of their loss."""
        return {
            "demonstration": (self.demonstrations, self.demonstration_weight),
            "comparison": (self.comparisons, self.comparison_weight),
            "binary": (self.binary, self.binary_weight),
            "rating": (self.ratings, self.rating_weight),
        }


@dataclass(frozen=True)
class Example:
    """One row of the mix: a response with its score, or a chosen and a rejected response, which have none."""

    kind: RecordKind
    answers: SingleOrPair
    score: float | None
    weight: float  # of its loss


class Mix(NamedTuple):
    train: list[Example]
    held_out: list[Example]
    num_dropped: int
    left_out: Counter[str]  # reason -> rows that are not used, or not whole


class Outcome(NamedTuple):
    loss: Tensor  # [examples]
    log_ratios: Tensor  # [answers]  per answer, or per token with length_normalised
    margins: Tensor  # [pairs]  log-ratio of chosen less that of rejected


def main(config: Config, run: Run) -> Artifact:
    if run.finished:
        return run.finished

    # 1. Model
    policy = open_policy(run, config)

    # 2. Data: one list of all kinds; rows that share a prompt are on one side of the split, whatever their
    # kind
    mix = read_mix(policy, run, config)
    kinds = [example.kind for example in mix.train]
    counts = {
        "demonstrations": kinds.count("demonstration"),
        "comparisons": kinds.count("comparison"),
        "binary": kinds.count("binary"),
        "ratings": kinds.count("rating"),
        "held_out": len(mix.held_out),
        "dropped": mix.num_dropped,
    }
    run.record_data(mix.left_out, **counts)

    # 3. Backend check on rows of several kinds, master weights, memory budget, optimiser
    all_answers = [example.answers for example in (*mix.train, *mix.held_out)]
    spread = all_answers[:: -(-len(all_answers) // NUM_CHECK_ROWS)]
    prepared = prepare(run, policy, leaves(spread), config)

    # 4. Reference log-probabilities of all responses, before the policy moves
    reference = reference_answer_logps(run, policy, all_answers, prepared.micro_tokens, config)
    offsets = answer_offsets(all_answers)

    # 5. Train
    order = epoch_steps(len(mix.train), config.batch, config.epochs, run_seed=config.seed)
    with training_loop(run, prepared, config, len(order)) as loop:
        for step in loop:
            examples = [mix.train[i] for i in order[step]]
            answers = [example.answers for example in examples]
            processed: list[Example] = []  # in the order of the micro-batches
            outcomes: list[Outcome] = []
            for micro in micro_answers(policy.backend, answers, prepared.micro_tokens):
                micro_examples = [examples[i] for i in micro]
                logps = answer_logps(policy, [answer for i in micro for answer in answers[i]])  # [answers]
                answer_ids = [offsets[order[step][i]] + k for i in micro for k in range(len(answers[i]))]
                outcome = uft_loss(logps, reference[answer_ids], micro_examples, config)
                weights = torch.tensor([example.weight for example in micro_examples], device=policy.device)
                ((weights * outcome.loss).sum() / len(examples)).backward()
                processed += micro_examples
                outcomes.append(Outcome(*(values.detach() for values in outcome)))
            step_outcome = Outcome(*(torch.cat(values) for values in zip(*outcomes, strict=True)))
            metrics = step_metrics(processed, step_outcome) | loop.update()
            if loop.measures:
                outcome = measure(policy, mix.held_out, reference, config, prepared.micro_tokens)
                metrics["held_out_loss"] = interval.mean(weighted_losses(mix.held_out, outcome)).value
                if len(outcome.margins):
                    metrics["held_out_accuracy"] = float(preference.accuracy(outcome.margins).mean())
            loop.end_step(metrics, num_tokens=sum(map(len, leaves(answers))))

    # 6. Save
    outcome = measure(policy, mix.held_out, reference, config, prepared.micro_tokens)
    held_out_loss = interval.mean(weighted_losses(mix.held_out, outcome))
    evidence: dict[str, Any] = {"held_out_loss": held_out_loss.as_dict(), **counts}
    if len(outcome.margins):
        hits = preference.accuracy(outcome.margins)
        evidence["accuracy"] = interval.proportion(float(hits.sum()), len(hits)).as_dict()
    return publish_policy(run, policy, prepared, metrics=evidence)


def uft_loss(logps: Tensor, reference_logps: Tensor, examples: Sequence[Example], config: Config) -> Outcome:
    """The loss of every example from the log-probabilities of its responses, which are in the order of the
    examples.

    logps, reference_logps: [answers]
    """
    log_ratios = logps - reference_logps
    if config.length_normalised:
        num_tokens = [num_trained_tokens(answer) for example in examples for answer in example.answers]
        log_ratios = log_ratios / torch.tensor(num_tokens, device=logps.device)
    rewards = config.beta * log_ratios
    distance = unified.squared_error if config.loss == "squared" else unified.cross_entropy
    first = torch.tensor(answer_offsets([example.answers for example in examples]), device=logps.device)
    single = [i for i, example in enumerate(examples) if example.score is not None]
    paired = [i for i, example in enumerate(examples) if example.score is None]
    scores = [example.score for example in examples if example.score is not None]
    single_losses = distance(rewards[first[single]], torch.tensor(scores, device=logps.device))
    chosen = first[paired]
    rejected = first[paired] + 1
    if config.pairs == "pairwise":
        pair_losses = reward.bradley_terry(rewards[chosen], rewards[rejected])
    else:
        chosen_losses = distance(rewards[chosen], torch.ones_like(rewards[chosen]))
        pair_losses = chosen_losses + distance(rewards[rejected], torch.zeros_like(rewards[rejected]))
    order = torch.tensor(single + paired, device=logps.device).argsort()  # back to the order of the examples
    loss = torch.cat([single_losses, pair_losses])[order]
    return Outcome(loss, log_ratios, log_ratios[chosen] - log_ratios[rejected])


def step_metrics(examples: Sequence[Example], outcome: Outcome) -> dict[str, float]:
    """Means over a step: the weighted loss, then the unweighted loss and log-ratios of each kind that the
    step has rows of.
    """
    losses = outcome.loss.tolist()
    log_ratios = outcome.log_ratios.tolist()
    offsets = answer_offsets([example.answers for example in examples])
    first = [log_ratios[offset] for offset in offsets]
    rejected = [
        log_ratios[offset + 1]
        for offset, example in zip(offsets, examples, strict=True)
        if example.score is None
    ]

    def of_kind(values: Sequence[float], kind: RecordKind) -> list[float]:
        return [value for value, example in zip(values, examples, strict=True) if example.kind == kind]

    values = {
        "loss": weighted_losses(examples, outcome),
        "demonstration_loss": of_kind(losses, "demonstration"),
        "comparison_loss": of_kind(losses, "comparison"),
        "binary_loss": of_kind(losses, "binary"),
        "rating_loss": of_kind(losses, "rating"),
        "demonstration_logratio": of_kind(first, "demonstration"),
        "chosen_logratio": of_kind(first, "comparison"),
        "rejected_logratio": rejected,
        "accuracy": preference.accuracy(outcome.margins).tolist(),
    }
    return {name: sum(numbers) / len(numbers) for name, numbers in values.items() if numbers}


def weighted_losses(examples: Sequence[Example], outcome: Outcome) -> list[float]:
    pairs = zip(examples, outcome.loss.tolist(), strict=True)
    return [example.weight * loss for example, loss in pairs]


@torch.no_grad()
def measure(
    policy: Policy, examples: Sequence[Example], reference: Tensor, config: Config, micro_tokens: int
) -> Outcome:
    """The outcome of the held-out examples, whose responses are the last ones in `reference`."""
    logps = all_answer_logps(policy, [example.answers for example in examples], micro_tokens)
    return uft_loss(logps, reference[-len(logps) :], examples, config)


def read_mix(policy: Policy, run: Run, config: Config) -> Mix:
    """The rows of all files that are given."""

    def split(
        records: Sequence[R], encode: Callable[[PolicyEncoder, R, int | None], SingleOrPair], source: str
    ) -> EncodedSplit[R, SingleOrPair]:
        return encode_and_split(policy, records, encode, config, source=source, run=run)

    mix = Mix([], [], 0, Counter())
    if config.demonstrations:
        demonstrations = read_demonstrations(run.data_path("demonstrations"))
        rows = _as_single_answers(
            encode_and_split(
                policy, demonstrations, encode_demonstration, config, source=config.demonstrations, run=run
            )
        )
        mix = add(mix, "demonstration", rows, lambda _: 1.0, weight=config.demonstration_weight)
    if config.comparisons:
        every = read_comparisons(run.data_path("comparisons"))
        comparisons = without_ties(every, config.comparisons)
        mix.left_out.update(ties=len(every) - len(comparisons))
        pairs = split(comparisons, encode_pair, config.comparisons)
        factors = pair_weights(pairs.train, config.comparisons).tolist()
        mix = add(mix, "comparison", pairs, lambda _: None, weight=config.comparison_weight, factors=factors)
    if config.binary:
        thumbs = split(read_binary(run.data_path("binary")), encode_single_response, config.binary)
        mix = add(mix, "binary", thumbs, lambda record: float(record.label), weight=config.binary_weight)
    if config.ratings:
        ratings = with_scores(read_ratings(run.data_path("ratings")), config)
        scored = split(ratings, encode_single_response, config.ratings)
        mix = add(mix, "rating", scored, lambda record: record.score, weight=config.rating_weight)
    return mix


def add(
    mix: Mix,
    kind: RecordKind,
    rows: EncodedSplit[R, SingleOrPair],
    score: Callable[[R], float | None],
    *,
    weight: float,
    factors: Sequence[float] = (),
) -> Mix:
    """The mix with these rows added.

    `factors` multiply the weights of single training rows; held-out rows count alike.
    """
    train = [
        Example(kind, answers, score(record), weight)
        for record, answers in zip(rows.train, rows.train_rows, strict=True)
    ]
    held_out = [
        Example(kind, answers, score(record), weight)
        for record, answers in zip(rows.held_out, rows.held_out_rows, strict=True)
    ]
    if factors:
        train = [replace(example, weight=weight * f) for example, f in zip(train, factors, strict=True)]
    left_out = mix.left_out + Counter(rows.left_out)
    return Mix(mix.train + train, mix.held_out + held_out, mix.num_dropped + rows.num_dropped, left_out)


def with_scores(ratings: Sequence[Rating], config: Config) -> list[Rating]:
    """The ratings, with scores shifted to a mean of 0.5 per prompt if configured; a rating without a score is
    a DataError.
    """
    for i, rating in enumerate(ratings, start=1):
        if rating.score is None:
            raise DataError(
                f"{config.ratings}: record {i}: has aspects but no score. Give each rating a score "
                f"from 0 to 1."
            )
    if not config.centre_scores:
        return list(ratings)
    prompt_ids: dict[str, int] = {}
    prompts = torch.tensor(
        [prompt_ids.setdefault(prompt_text(rating), len(prompt_ids)) for rating in ratings]
    )
    scores = unified.centred(torch.tensor([rating.score for rating in ratings]), prompts)
    return [replace(rating, score=score) for rating, score in zip(ratings, scores.tolist(), strict=True)]


def _as_single_answers(
    split: EncodedSplit[Demonstration, Answer],
) -> EncodedSplit[Demonstration, SingleOrPair]:
    """Each row of a demonstration as an answer of its own."""
    flat = flatten_rows(split)
    train: list[SingleOrPair] = [((row,),) for row in flat.train_rows]
    held_out: list[SingleOrPair] = [((row,),) for row in flat.held_out_rows]
    return EncodedSplit(flat.train, train, flat.held_out, held_out, flat.num_dropped, flat.left_out)
