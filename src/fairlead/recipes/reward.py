"""Reward model: one number for an answer, learned from people's judgements.  Bradley-Terry: arXiv:2203.02155, section 3.5.

reads   comparisons, rankings (data.records)      writes  reward-model with its admission report, metrics with intervals
run     fairlead train reward model=sft comparisons=data/comparisons.jsonl name=reward

Part of the prompts is held out.  On it the model that was saved is examined (eval.admission): beside baselines that read no meaning, for
its calibration, for what it makes of length; a verdict says whether it may pay a policy.  Ties are left out and counted, unless they are
to be learned from.  The scores' mean and spread on held-out answers are stored with the model.  Of an ensemble, member 0 is what a single
model would be; the others see prompts drawn with replacement.
"""

import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from fairlead.core import files
from fairlead.core.config import DatasetRef, ModelRef
from fairlead.core.errors import DataError, require
from fairlead.core.precision import Precision
from fairlead.core.progress import progress
from fairlead.core.seed import derive_seed
from fairlead.data.pair_metadata import MetadataTable, read_pair_metadata
from fairlead.data.preferences import (
    Preference,
    bootstrap_counts,
    pairs_of,
    rater_of,
    require_preference,
    select_usable,
    weight_of,
)
from fairlead.data.record_reader import read_comparisons, read_demonstrations, read_rankings
from fairlead.data.records import Comparison
from fairlead.encoding import batching
from fairlead.encoding.batching import Group
from fairlead.eval import admission
from fairlead.eval.reward_metrics import EvaluationPairs
from fairlead.eval.reward_scoring import PairScores, PreSaveState
from fairlead.examples.groups import collate_groups
from fairlead.examples.pairs import EncodedSplit, encode_and_split
from fairlead.examples.preferences import (
    EncodedPreference,
    ScoredPreferences,
    aspect_values,
    encode_preference,
    micro_preferences,
    score_all,
    score_conversations,
    score_preferences,
)
from fairlead.examples.rater_effects import RaterEffects
from fairlead.losses import reward
from fairlead.model import ensemble
from fairlead.model.adapters import Lora
from fairlead.model.reward_model import new_reward_model
from fairlead.model.scalar_model import ScalarModel
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

KIND = "reward-model"


@dataclass(frozen=True, kw_only=True)
class Config:
    name: str  # of the reward model that is written
    model: ModelRef  # whose trunk it starts from, usually the SFT model
    comparisons: DatasetRef = ""  # native rows: prompt, chosen, rejected.  Either these or rankings, or both
    rankings: DatasetRef = ""  # native rows: prompt, completions, ranks
    ties: Literal["leave-out", "learn"] = (
        "leave-out"  # learn: a tie says that both are alike, and that both are good or both bad
    )
    tie_pull: float = (
        0.1  # weight of "both are good" (above zero) or "both are bad" (below); only with ties=learn
    )
    ranking_loss: Literal["plackett-luce", "pairs"] = (
        "plackett-luce"  # pairs: every pair of a ranking as a comparison, their mean
    )
    margin_scale: float = 0.0  # how far ahead the chosen answer has to be for each unit of a row's margin
    label_smoothing: float = 0.0  # every choice counts as one of this probability for the other answer
    flip_rate: float = 0.0  # known share of choices that say the opposite of what was meant
    rater_effects: bool = False  # learn each rater's sensitivity and error rate along with the scores
    rater_lr: float = 0.1  # learning rate of what is learned about raters, and about ties
    aspects: tuple[
        str, ...
    ] = ()  # a head for each of these, learned from the rows' aspects; empty: one head, learned from the choice
    aspect_weights: tuple[float, ...] = ()  # of each aspect in the total; empty: all alike
    members: int = 1  # more make an ensemble: other heads, other samples of the prompts
    length_penalty: float = (
        0.0  # weight of the squared correlation of score and length among answers to one prompt, in each step
    )
    centring: float = (
        0.0  # weight of (r_chosen + r_rejected)^2, which keeps scores around zero; 0.01 in the paper
    )
    centre_on: DatasetRef = ""  # demonstrations whose mean reward is 0; empty: the held-out answers
    epochs: int = 1  # more than one or two overfits: each epoch sees the same choices again
    batch: int = 32  # comparisons and rankings per optimiser step
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
    too_long: Literal["error", "drop"] = "error"  # what to do with rows of which one answer is longer
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
            bool(self.comparisons or self.rankings),
            "comparisons",
            self.comparisons,
            "is empty, and so is rankings; name one or both",
        )
        require(self.tie_pull >= 0, "tie_pull", self.tie_pull, "must not be negative")
        require(self.margin_scale >= 0, "margin_scale", self.margin_scale, "must not be negative")
        require(
            0 <= self.label_smoothing < 0.5,
            "label_smoothing",
            self.label_smoothing,
            "is a share from 0 to below a half",
        )
        require(0 <= self.flip_rate < 0.5, "flip_rate", self.flip_rate, "is a share from 0 to below a half")
        require(self.rater_lr > 0, "rater_lr", self.rater_lr, "must be positive")
        require(self.members > 0, "members", self.members, "must be positive; 1 is a single model")
        require(self.length_penalty >= 0, "length_penalty", self.length_penalty, "must not be negative")
        require(self.centring >= 0, "centring", self.centring, "must not be negative")
        noise = self.label_smoothing or self.flip_rate
        for name, clash, why in (
            (
                "flip_rate",
                self.flip_rate and self.rater_effects,
                "stands beside rater_effects, which learns it; choose one",
            ),
            (
                "label_smoothing",
                self.label_smoothing and self.ties == "learn",
                "has no meaning for ties; with ties=learn use flip_rate",
            ),
            (
                "ranking_loss",
                self.rankings and noise and self.ranking_loss != "pairs",
                "knows no wrong labels; use pairs",
            ),
            ("aspects", self.aspects and self.rankings, "are learned from comparisons; rankings have none"),
            ("aspects", self.aspects and self.margin_scale, "have no margin; margin_scale must be 0"),
            (
                "aspects",
                self.aspects and self.ties == "learn",
                "say themselves what is alike; ties must be leave-out",
            ),
            ("aspects", len(set(self.aspects)) < len(self.aspects), "names an aspect twice"),
        ):
            require(not clash, name, getattr(self, name), why)
        sizes = (0, len(self.aspects))
        require(
            len(self.aspect_weights) in sizes,
            "aspect_weights",
            self.aspect_weights,
            "needs one number for each aspect, or none",
        )
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

    # 1. Data: judgements that share a prompt stay on the same side of the split
    model = new_member(config, run, config.members - 1)
    judgements, counts, source = read_judgements(config, run)
    rows = encode_and_split(
        judgements,
        lambda record: encode_preference(model, record, config.max_tokens or model.context),
        Data(held_out=config.held_out, max_tokens=config.max_tokens, too_long=config.too_long),
        seed=config.seed,
        source=source,
    )
    require_preference(rows.held_out, source)
    notes = read_pair_metadata(run.data_path("comparisons")) if config.comparisons else MetadataTable({})
    counts |= {"train": len(rows.train), "held_out": len(rows.held_out)}
    run.event("data", **counts, dropped=rows.num_dropped)
    held_out = [
        EncodedPreference(record, group)
        for record, group in zip(rows.held_out, rows.held_out_rows, strict=True)
    ]
    # Member 0 of an ensemble comes last, and stays: it is what a single model would be.
    parts = {member: items_of(rows, config, member) for member in reversed(range(config.members))}
    steps = {
        member: config.epochs * batching.steps_per_epoch(len(items), config.batch)
        for member, items in parts.items()
    }
    num_steps, end = sum(steps.values()), 0
    meter = Meter(run)

    for member, items in parts.items():
        begin, end = end, end + steps[member]
        if member_folder(run, member).exists():  # trained and saved before this process began
            continue

        # 2. Model: the trunk of a language model and a fresh head; beside it, what is learned about raters
        if member != config.members - 1:
            model = new_member(config, run, member)
        names = (
            sorted(filter(None, {rater_of(item.record) for item in items})) if config.rater_effects else []
        )
        raters = RaterEffects(names, ties=config.ties == "learn").to(model.device)
        fresh_head = model.head.weight.detach().clone()
        master_weights, micro_tokens = prepare(run, model, items, config)

        # 3. Optimisers
        optimizer = adamw(
            master_weights.parameters,
            lr=config.lr,
            weight_decay=config.weight_decay,
            bits=config.optimizer_bits,
        )
        optimizers = {"optimizer": optimizer}
        if raters.trainable():
            optimizers["rater_optimizer"] = adamw(raters.trainable(), lr=config.rater_lr)
        state = checkpoint.State({**master_weights.parameters, **raters.trainable()}, optimizers)
        start = checkpoint.restore(run, state, begin=begin, end=end)
        master_weights.copy_to_weights()

        # 4. Train
        order = batching.step_rows(len(items), config.batch, steps[member], run_seed=seed_of(config, member))
        all_weight = sum(item.weight for item in items)
        with progress("reward", num_steps, done=start, quiet=run.quiet) as bar:
            for step in range(start, end):
                taken = [items[i] for i in order[step - begin]]
                step_weight = (
                    all_weight / len(items) * len(taken)
                )  # not the step's own: in it weights would count against each other only
                # Sums are kept there, so that nothing waits for them.
                total, right, num_decided = torch.zeros(3, dtype=torch.float64, device=model.device)
                pulls = length_pulls(model, taken, config, micro_tokens)  # [items, K]
                for index in micro_preferences(model, taken, micro_tokens):
                    scored = score_preferences(model, [taken[i] for i in index])
                    losses = losses_of(scored, raters, config)  # [items]
                    weighted = losses * torch.tensor([taken[i].weight for i in index], device=losses.device)
                    objective = weighted.sum() / step_weight
                    if config.length_penalty:
                        objective = objective + (pulls[index, : scored.totals.shape[1]] * scored.totals).sum()
                    objective.backward()
                    total += weighted.detach().sum()
                    credit, is_decided = scored.ordered_accuracy()
                    right, num_decided = right + credit.sum(), num_decided + is_decided.sum()
                if names:  # their priors count once for all the labels together
                    (raters.negative_log_prior() / all_weight).backward()
                lr = cosine(step - begin, steps[member], peak=config.lr, warmup=config.warmup)
                grad_norm = update(
                    optimizer, lr=lr, max_norm=config.max_norm, step=step + 1, master_weights=master_weights
                )
                if raters.trainable():
                    update(
                        optimizers["rater_optimizer"],
                        lr=config.rater_lr * lr / config.lr,
                        max_norm=config.max_norm,
                        step=step + 1,
                    )
                accuracy = float(right) / max(1, int(num_decided))
                metrics = {
                    "loss": float(total) / step_weight,
                    "accuracy": accuracy,
                    "lr": lr,
                    "grad_norm": grad_norm,
                }
                if (step + 1) % config.measure_every == 0 or step + 1 == end:
                    metrics |= measured(score_all(model, held_out, micro_tokens))
                run.log(step + 1, **metrics)
                meter.count(sum(len(row) for item in taken for row in item.group))
                bar.advance(f"loss {metrics['loss']:.3f}  accuracy {accuracy:.2f}")
                checkpoint.save_if_due(run, step + 1, num_steps, state, meter, config.checkpoint_every)
        set_scale(model, held_out, config, run, micro_tokens)
        if member > 0:
            master_weights.restore_float32()
            with files.atomic_folder(member_folder(run, member)) as folder:
                model.save(
                    folder, final_folder=run.project.artifacts / KIND / config.name / f"member-{member}"
                )
    meter.flush()

    # 5. Evidence: what the held-out pairs say of the model as it is saved, beside baselines that read no meaning; and the verdict
    scored = score_all(model, held_out, micro_tokens)
    learned = what_else_was_learned(scored, raters, rows, config)
    master_weights.restore_float32()
    made = admission.publish(
        run,
        lambda folder: save(model, folder, config, run),
        EvaluationPairs(pairs_of(rows.held_out), pairs_of(rows.train), notes, config.seed),
        PreSaveState(PairScores(*scored.pair_totals()), fresh_head),
        more={**counts, "dropped": rows.num_dropped, **learned},
        micro_tokens=micro_tokens,
        source=source,
    )
    shutil.rmtree(run.folder / "members", ignore_errors=True)
    return made


def losses_of(scored: ScoredPreferences, raters: RaterEffects, config: Config) -> Tensor:
    """The loss of each judgement, by its kind.  [items]"""
    losses = torch.zeros_like(scored.totals[:, 0])
    is_pair = [isinstance(item.record, Comparison) for item in scored.items]
    pairs, rankings = ([i for i, pair in enumerate(is_pair) if pair is wanted] for wanted in (True, False))
    if pairs:
        records = [item.record for item in scored.items if isinstance(item.record, Comparison)]
        if config.aspects:
            found = aspect_losses(scored.heads[pairs, :2], records, raters, config)
        else:
            found = pair_losses(scored.totals[pairs, :2], records, raters, config)
        losses = losses.index_put((torch.tensor(pairs, device=losses.device),), found)
    if rankings:
        found = ranking_losses(scored.totals[rankings], scored.ranks[rankings], config)
        losses = losses.index_put((torch.tensor(rankings, device=losses.device),), found)
    if config.centring:
        losses = losses + config.centring * reward.centring(scored.totals, scored.present)
    return losses


def pair_losses(
    scores: Tensor, records: Sequence[Comparison], raters: RaterEffects, config: Config
) -> Tensor:
    """[pairs, 2] -> [pairs]"""
    chosen, rejected = scores.unbind(dim=1)
    sensitivities, errors = raters.for_labels(
        [record.rater for record in records], flip_rate=config.flip_rate
    )
    margins = torch.tensor([record.margin or 0.0 for record in records], device=scores.device)
    logits = reward.margin_logits(
        sensitivities * chosen, sensitivities * rejected, margins, scale=config.margin_scale
    )
    if config.ties == "leave-out":
        return reward.choice(logits, torch.full_like(logits, 1 - config.label_smoothing), errors)
    is_tie = torch.tensor([record.tie is not None for record in records], device=scores.device)
    is_good = torch.tensor([record.tie == "good" for record in records], device=scores.device)
    losses = reward.davidson(logits, is_tie, errors, raters.tie_logit)
    return losses + config.tie_pull * is_tie * reward.absolute(chosen, rejected, is_good)


def aspect_losses(
    scores: Tensor, records: Sequence[Comparison], raters: RaterEffects, config: Config
) -> Tensor:
    """Mean over the aspects that the row judges; each head learns from its own aspect only.  [pairs, 2, aspects] -> [pairs]"""
    sensitivities, errors = raters.for_labels(
        [record.rater for record in records], flip_rate=config.flip_rate
    )
    values, is_judged = aspect_values(records, config.aspects, scores.device)  # [pairs, aspects]
    logits = sensitivities[:, None] * (scores[:, 0] - scores[:, 1])  # [pairs, aspects]
    targets = (1 + (1 - 2 * config.label_smoothing) * values) / 2
    losses = reward.choice(logits, targets, errors[:, None].expand_as(logits))
    return (losses * is_judged).sum(dim=1) / is_judged.sum(dim=1)


def ranking_losses(scores: Tensor, ranks: Tensor, config: Config) -> Tensor:
    """[rankings, K] x 2 -> [rankings]"""
    if config.ranking_loss == "plackett-luce":
        return reward.plackett_luce(scores, ranks)
    return reward.ranked_pairs(scores, ranks, flip_rate=config.flip_rate, smoothing=config.label_smoothing)


def length_pulls(
    model: ScalarModel, items: Sequence[EncodedPreference], config: Config, micro_tokens: int
) -> Tensor:
    """The slope of the whole step's length penalty at each score.  [items, K]

    A correlation is no sum over micro-batches, so the step is scored once without gradients, and the slopes are handed to the backward
    pass: the gradient is that of one batch, however it is cut.
    """
    if not config.length_penalty:
        return torch.zeros(0)
    scored = score_all(model, items, micro_tokens)
    totals = scored.totals.requires_grad_()
    penalty = (
        config.length_penalty * reward.length_correlation(totals, scored.lengths, scored.present).square()
    )
    return torch.autograd.grad(penalty, totals)[0]


def read_judgements(config: Config, run: Run) -> tuple[list[Preference], dict[str, int], str]:
    """The rows that the losses can learn from, how many are ties or of no use, and where they come from."""
    comparisons: Sequence[Preference] = (
        read_comparisons(run.data_path("comparisons")) if config.comparisons else []
    )
    rankings: Sequence[Preference] = read_rankings(run.data_path("rankings")) if config.rankings else []
    source = " and ".join(filter(None, (config.comparisons, config.rankings)))
    found = select_usable(
        [*comparisons, *rankings], source, ties=config.ties == "learn", aspects=config.aspects
    )
    if config.rater_effects and not any(rater_of(record) for record in found.preferences):
        raise DataError(f"{source}: no row names its rater, so rater_effects has nothing to learn from.")
    return found.preferences, {"ties": found.num_ties, "no_use": found.num_unusable}, source


def items_of(rows: EncodedSplit[Preference, Group], config: Config, member: int) -> list[EncodedPreference]:
    """What a member is trained on."""
    times = bootstrap_counts(rows.train, run_seed=config.seed, member=member)
    every = zip(rows.train, rows.train_rows, times, strict=True)
    return [
        EncodedPreference(record, group, count * weight_of(record)) for record, group, count in every if count
    ]


def seed_of(config: Config, member: int) -> int:
    return derive_seed(config.seed, "member", member) if member else config.seed


def new_member(config: Config, run: Run, member: int) -> ScalarModel:
    own = seed_of(config, member)
    lora = (
        Lora(config.lora_rank, config.lora_alpha, own, config.precision, config.base_bits)
        if config.lora_rank
        else None
    )
    weights = config.aspect_weights or (1 / max(1, len(config.aspects)),) * len(config.aspects)
    return new_reward_model(
        run.model_path("model"), run_seed=own, lora=lora, aspects=config.aspects, weights=weights
    )


def prepare(
    run: Run, model: ScalarModel, items: Sequence[EncodedPreference], config: Config
) -> tuple[MasterWeights, int]:
    """The fastest way of running the model that gives its plain scores, its float32 copies, and the tokens of a forward pass."""
    model.backend.precision, model.backend.gradient_checkpointing = (
        config.precision,
        config.gradient_checkpointing,
    )
    few = collate_groups(
        [item.group for item in items[: batching.NUM_CHECK_ROWS]], pad_id=model.pad_id, device=model.device
    ).batch
    verify_backend(run, model, lambda: model.scores(few), what="reward model")
    master_weights = MasterWeights(model.trainable(), config.precision)
    expected = memory.measure(
        model.network.parameters(),
        lambda: model.scores(few),
        int(few.token_mask.sum()),
        optimizer_bits=config.optimizer_bits,
    )
    return master_weights, memory.token_budget(run, expected, config.micro_tokens)


def measured(scored: ScoredPreferences) -> dict[str, float]:
    """Bradley-Terry's loss and accuracy on all pairs that are decided, whatever the model was trained with."""
    credit, is_decided = scored.ordered_accuracy()
    losses = reward.ranked_pairs(scored.totals[is_decided], scored.ranks[is_decided])
    return {"held_out_loss": float(losses.mean()), "held_out_accuracy": float(credit[is_decided].mean())}


def set_scale(
    model: ScalarModel, held_out: Sequence[EncodedPreference], config: Config, run: Run, micro_tokens: int
) -> None:
    """What the scores of held-out answers look like: each head's own scale, then that of their total."""
    scored = score_all(model, held_out, micro_tokens)
    if model.aspects is not None:
        heads = scored.present_values(scored.heads)  # [answers, aspects]
        stds = heads.std(dim=0).clamp(min=1e-6)
        model.set_aspects(
            model.aspects._replace(means=tuple(heads.mean(dim=0).tolist()), stds=tuple(stds.tolist()))
        )
    totals = model.total(scored.present_values(scored.heads))
    mean = float(totals.mean())
    if config.centre_on:
        references = [
            (*record.prompt, *record.completion)
            for record in read_demonstrations(run.data_path("centre_on", rows="demonstrations"))
        ]
        mean = sum(score_conversations(model, references, micro_tokens)) / len(references)
    model.set_scale(mean=mean, std=max(float(totals.std()), 1e-6))


def what_else_was_learned(
    scored: ScoredPreferences, raters: RaterEffects, rows: EncodedSplit[Preference, Group], config: Config
) -> dict[str, Any]:
    """Figures of the options that are on."""
    found: dict[str, Any] = {}
    if config.aspects:
        values, _ = aspect_values([item.record for item in scored.items], config.aspects, scored.heads.device)
        right = ((scored.heads[:, 0] - scored.heads[:, 1]) * values > 0).sum(dim=0).tolist()
        decided = (values != 0).sum(dim=0).tolist()
        each = zip(config.aspects, right, decided, strict=True)
        found["aspects"] = {name: interval.proportion(hits, n).as_dict() for name, hits, n in each if n}
    if config.ties == "learn":
        found["tie_rate"] = raters.tie_rate()
    if config.rater_effects:
        found["raters"] = raters.table(Counter(filter(None, map(rater_of, rows.train))))
    if config.length_penalty:
        found["length_correlation"] = float(
            reward.length_correlation(scored.totals, scored.lengths, scored.present)
        )
    if config.members > 1:
        found["members"] = config.members
    return found


def member_folder(run: Run, member: int) -> Path:
    """Where a member waits until the last one is trained."""
    return run.folder / "members" / f"member-{member}"


def save(model: ScalarModel, folder: Path, config: Config, run: Run) -> None:
    """The whole ensemble.  The network gives up its memory: what was saved is read back, and there may not be room for both."""
    network = model.network
    model.save(folder, final_folder=run.project.artifacts / KIND / config.name)
    for parameter in network.parameters():
        parameter.data = parameter.data.new_empty(0)
    if config.members > 1:
        ensemble.combine(folder, [member_folder(run, member) for member in range(1, config.members)])
