"""Reward model: learn a score for answers from comparisons and rankings.

Bradley-Terry: arXiv:2203.02155, section 3.5.

reads   comparisons, rankings (data.records)      writes  reward-model, admission report, metrics
run     fairlead train reward model=sft comparisons=data/comparisons.jsonl name=reward

A share of the prompts is held out.  The saved model is evaluated on them (eval.admission): against
content-blind baselines, for calibration and for its correlation with length.  The verdict decides whether
the model may be used as a reward. Ties are dropped and counted, unless ties=learn.  The mean and standard
deviation of held-out scores are stored with the model.  In an ensemble, member 0 equals a single model;
other members train on prompts drawn with replacement.
"""

import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from fairlead.core import files
from fairlead.core.config_keys import Advanced, DatasetRef, ModelRef
from fairlead.core.errors import DataError, require, require_positive
from fairlead.core.progress import progress
from fairlead.core.seed import derive_seed
from fairlead.data.pair_metadata import MetadataTable, read_pair_metadata
from fairlead.data.preferences import (
    Preference,
    bootstrap_counts,
    left_out,
    pairs_of,
    rater_of,
    require_preference,
    select_usable,
    weight_of,
)
from fairlead.data.record_reader import read_comparisons, read_demonstrations, read_rankings
from fairlead.data.records import Comparison
from fairlead.encoding.batching import NUM_CHECK_ROWS, Group, step_rows, steps_per_epoch
from fairlead.encoding.record_rows import encode_preference
from fairlead.eval import admission
from fairlead.eval.reward_metrics import EvaluationPairs
from fairlead.eval.reward_scoring import PairScores, PreSaveState
from fairlead.examples.groups import collate_groups
from fairlead.examples.pairs import EncodedSplit, encode_and_split
from fairlead.examples.preferences import (
    EncodedPreference,
    ScoredPreferences,
    aspect_values,
    micro_preferences,
    score_all,
    score_preferences,
)
from fairlead.examples.rater_effects import RaterEffects
from fairlead.examples.reward_scale import store_scale
from fairlead.losses import reward
from fairlead.model import ensemble
from fairlead.model.reward_model import new_reward_model
from fairlead.model.scalar_model import ScalarModel
from fairlead.stats import interval
from fairlead.store.artifact import Artifact
from fairlead.store.run import Run
from fairlead.train import checkpoint, diagnostics
from fairlead.train.meter import Meter
from fairlead.train.metric_sums import MetricSums
from fairlead.train.optim import adamw, update
from fairlead.train.schedule import learning_rate
from fairlead.train.settings import Data, Optim, TrainingSettings
from fairlead.train.setup import Prepared, lora, optimizer_step, prepare_model
from fairlead.train.template import given_template

KIND = "reward-model"


@dataclass(frozen=True, kw_only=True)
class Config(TrainingSettings):
    model: ModelRef  # language model whose decoder is used, usually the SFT model
    comparisons: DatasetRef = ""  # native rows: prompt, chosen, rejected; needed unless rankings are given
    rankings: DatasetRef = ""  # native rows: prompt, completions, ranks; may be combined with comparisons
    # learn: both answers of a tie get similar scores, above zero if both are good and below if both are bad
    ties: Literal["leave-out", "learn"] = "leave-out"
    tie_pull: Advanced[float] = 0.1  # ties=learn: weight of the pull above or below zero
    # loss of a ranking: plackett-luce, or pairs (mean over all of its pairs)
    ranking_loss: Advanced[Literal["plackett-luce", "pairs"]] = "plackett-luce"
    margin_scale: Advanced[float] = 0.0  # the chosen answer has to lead by margin_scale * the row's margin
    label_smoothing: Advanced[float] = 0.0  # probability assigned to the opposite of each label
    flip_rate: Advanced[float] = 0.0  # known share of labels that are the opposite of what was meant
    rater_effects: bool = False  # learn each rater's sensitivity and error rate together with the scores
    rater_lr: Advanced[float] = 0.1  # peak learning rate of the raters' parameters and of the tie rate
    # one head for each aspect, trained on the rows' aspects; empty: one head, trained on the choices
    aspects: Advanced[tuple[str, ...]] = ()
    # weight of each aspect in the total; empty: equal weights
    aspect_weights: Advanced[tuple[float, ...]] = ()
    members: int = 1  # more than 1 trains an ensemble, with other heads and other samples of the prompts
    # weight of the squared correlation of score and length among the answers to one prompt, in each step
    length_penalty: Advanced[float] = 0.0
    # weight of (r_chosen + r_rejected)^2, which keeps scores near zero; 0.01 in the paper
    centring: Advanced[float] = 0.0
    # demonstrations whose mean reward becomes 0; empty: held-out answers
    centre_on: Advanced[DatasetRef] = ""
    epochs: int = 1  # passes over the preferences; more than one or two overfits
    batch: int = 32  # comparisons and rankings per optimiser step
    optim: Optim = Optim(lr=1e-4)  # suits LoRA; full fine-tuning of a large model wants about 1e-5
    data: Data = Data(held_out=0.15)

    def __post_init__(self) -> None:
        require_positive(self, "rater_lr", "members", "epochs", "batch")
        why = "is empty, and so is rankings; give one or both"
        require(bool(self.comparisons or self.rankings), "comparisons", self.comparisons, why)
        for key in ("tie_pull", "margin_scale", "length_penalty", "centring"):
            require(getattr(self, key) >= 0, key, getattr(self, key), "must not be negative")
        for key in ("label_smoothing", "flip_rate"):
            require(
                0 <= getattr(self, key) < 0.5, key, getattr(self, key), "is a share from 0 to below a half"
            )
        num_weights = len(self.aspect_weights)
        why = "needs one number for each aspect, or none"
        require(num_weights in (0, len(self.aspects)), "aspect_weights", self.aspect_weights, why)
        self.data.require_held_out()
        self._require_compatible()

    def _require_compatible(self) -> None:
        """Reject combinations in which one key would have no meaning."""
        noise = self.label_smoothing or self.flip_rate
        learn_ties = self.ties == "learn"
        conflicts = [
            ("flip_rate", self.flip_rate and self.rater_effects, "is learned by rater_effects; choose one"),
            ("label_smoothing", self.label_smoothing and learn_ties, "does not apply to ties; use flip_rate"),
            (
                "ranking_loss",
                self.rankings and noise and self.ranking_loss != "pairs",
                "does not support label noise; use pairs",
            ),
            ("aspects", self.aspects and self.rankings, "are learned from comparisons; rankings have none"),
            ("aspects", self.aspects and self.margin_scale, "have no margin; set margin_scale=0"),
            ("aspects", self.aspects and learn_ties, "include ties already; set ties=leave-out"),
            ("aspects", len(set(self.aspects)) < len(self.aspects), "names an aspect twice"),
        ]
        for key, conflict, why in conflicts:
            require(not conflict, key, getattr(self, key), why)


def main(config: Config, run: Run) -> Artifact:
    if run.finished:
        return run.finished

    # 1. Data: preferences that share a prompt stay on the same side of the split
    model = new_member(config, run, config.members - 1)
    preferences, counts, unused, source = read_preferences(config, run)
    rows = encode_and_split(model, preferences, encode_preference, config, source=source, run=run)
    require_preference(rows.held_out, source)
    metadata = read_pair_metadata(run.data_path("comparisons")) if config.comparisons else MetadataTable({})
    counts |= {"train": len(rows.train), "held_out": len(rows.held_out)}
    run.record_data({**unused, **rows.left_out}, **counts)
    held_out = [
        EncodedPreference(record, group)
        for record, group in zip(rows.held_out, rows.held_out_rows, strict=True)
    ]
    # Member 0 is trained last and stays in memory: it equals a single model.
    items_of = {member: member_items(rows, config, member) for member in reversed(range(config.members))}
    steps_of = {
        member: config.epochs * steps_per_epoch(len(items), config.batch)
        for member, items in items_of.items()
    }
    num_steps = sum(steps_of.values())
    end = 0
    meter = Meter(run)

    for member, items in items_of.items():
        begin = end
        end += steps_of[member]
        if member_folder(run, member).exists():  # an earlier process trained and saved this member
            continue

        # 2. Model with a new head, and the parameters of the raters
        if member != config.members - 1:
            model = new_member(config, run, member)
        raters = RaterEffects(rater_names(items, config), ties=config.ties == "learn").to(model.device)
        initial_head = model.head.weight.detach().clone()
        prepared, state = prepare_member(run, model, raters, items, config)
        start = checkpoint.restore(run, state, begin=begin, end=end)
        prepared.master_weights.copy_to_weights()

        # 3. Train
        order = step_rows(len(items), config.batch, steps_of[member], run_seed=member_seed(config, member))
        total_weight = sum(item.weight for item in items)
        with progress("reward", num_steps, done=start, quiet=run.quiet) as bar:
            for step in range(start, end):
                step_items = [items[i] for i in order[step - begin]]
                # The expected weight of a step, not its own: weights must also count between steps.
                step_weight = total_weight / len(items) * len(step_items)
                sums = MetricSums(model.device)
                num_ordered = torch.zeros(
                    (), dtype=torch.int64, device=model.device
                )  # items with a better answer
                slopes = length_penalty_slopes(model, step_items, config, prepared.micro_tokens)  # [items, K]
                for micro in micro_preferences(model, step_items, prepared.micro_tokens):
                    scored = score_preferences(model, [step_items[i] for i in micro])
                    losses = preference_losses(scored, raters, config)  # [items]
                    losses = losses * torch.tensor(
                        [step_items[i].weight for i in micro], device=losses.device
                    )
                    objective = losses.sum() / step_weight
                    if config.length_penalty:
                        objective = (
                            objective + (slopes[micro, : scored.totals.shape[1]] * scored.totals).sum()
                        )
                    objective.backward()
                    accuracy, has_pairs = scored.ordered_accuracy()
                    sums.add(loss=losses, accuracy=accuracy)
                    num_ordered += has_pairs.sum()
                if raters.rater_ids:  # the priors count once for all labels together
                    (raters.negative_log_prior() / total_weight).backward()
                lr = learning_rate(config.optim, step - begin, steps_of[member])
                grad_norm = optimizer_step(prepared, config.optim, lr=lr, step=step + 1)
                if raters.trainable():
                    rater_lr = config.rater_lr * lr / config.optim.lr
                    max_norm = config.optim.max_norm
                    update(state.optimizers["rater_optimizer"], lr=rater_lr, max_norm=max_norm, step=step + 1)
                metrics = {
                    "loss": sums.total("loss") / step_weight,
                    "accuracy": sums.total("accuracy") / max(1, int(num_ordered)),
                    "lr": lr,
                    "grad_norm": grad_norm,
                }
                if (step + 1) % config.data.measure_every == 0 or step + 1 == end:
                    metrics |= held_out_metrics(score_all(model, held_out, prepared.micro_tokens))
                run.log(step + 1, **metrics)
                meter.count(sum(len(row) for item in step_items for row in item.group))
                bar.advance(f"loss {metrics['loss']:.3f}  accuracy {metrics['accuracy']:.2f}")
                checkpoint.save_if_due(run, step + 1, num_steps, state, meter, config.checkpoints.every)
        references = None
        if config.centre_on:
            references = read_demonstrations(run.data_path("centre_on", rows="demonstrations"))
        store_scale(model, held_out, references, prepared.micro_tokens)
        if member > 0:
            prepared.master_weights.restore_float32()
            with files.atomic_folder(member_folder(run, member)) as folder:
                model.save(folder, final_folder=artifact_folder(run) / f"member-{member}")
    meter.flush()
    diagnostics.report_learning(run)

    # 4. Evidence from held-out pairs, the admission verdict, and save
    scored = score_all(model, held_out, prepared.micro_tokens)
    evidence = {**counts, "dropped": rows.num_dropped, **option_metrics(scored, raters, rows, config)}
    prepared.master_weights.restore_float32()
    artifact = admission.publish(
        run,
        lambda folder: save(model, folder, config, run),
        EvaluationPairs(pairs_of(rows.held_out), pairs_of(rows.train), metadata, config.seed),
        PreSaveState(PairScores(*scored.pair_totals()), initial_head),
        more=evidence,
        micro_tokens=prepared.micro_tokens,
        source=source,
    )
    shutil.rmtree(run.folder / "members", ignore_errors=True)
    return artifact


def preference_losses(scored: ScoredPreferences, raters: RaterEffects, config: Config) -> Tensor:
    """The loss of each comparison or ranking.  [items]"""
    losses = torch.zeros_like(scored.totals[:, 0])
    pair_ids = [i for i, item in enumerate(scored.items) if isinstance(item.record, Comparison)]
    ranking_ids = [i for i, item in enumerate(scored.items) if not isinstance(item.record, Comparison)]
    if pair_ids:
        records = [item.record for item in scored.items if isinstance(item.record, Comparison)]
        if config.aspects:
            values = aspect_losses(scored.heads[pair_ids, :2], records, raters, config)
        else:
            values = pair_losses(scored.totals[pair_ids, :2], records, raters, config)
        losses = losses.index_put((torch.tensor(pair_ids, device=losses.device),), values)
    if ranking_ids:
        values = ranking_losses(scored.totals[ranking_ids], scored.ranks[ranking_ids], config)
        losses = losses.index_put((torch.tensor(ranking_ids, device=losses.device),), values)
    if config.centring:
        losses = losses + config.centring * reward.centring(scored.totals, scored.present)
    return losses


def pair_losses(
    scores: Tensor, records: Sequence[Comparison], raters: RaterEffects, config: Config
) -> Tensor:
    """Bradley-Terry with raters, margins, and optionally ties.  [pairs, 2] -> [pairs]"""
    chosen, rejected = scores.unbind(dim=1)
    sensitivities, errors = raters.for_labels(
        [record.rater for record in records], flip_rate=config.flip_rate
    )
    margins = torch.tensor([record.margin or 0.0 for record in records], device=scores.device)
    logits = reward.margin_logits(
        sensitivities * chosen, sensitivities * rejected, margins, scale=config.margin_scale
    )
    if config.ties == "leave-out":
        return reward.noisy_label(logits, torch.full_like(logits, 1 - config.label_smoothing), errors)
    is_tie = torch.tensor([record.tie is not None for record in records], device=scores.device)
    is_good = torch.tensor([record.tie == "good" for record in records], device=scores.device)
    losses = reward.davidson(logits, is_tie, errors, raters.tie_logit)
    return losses + config.tie_pull * is_tie * reward.tie_anchor(chosen, rejected, is_good)


def aspect_losses(
    scores: Tensor, records: Sequence[Comparison], raters: RaterEffects, config: Config
) -> Tensor:
    """Mean over the aspects that a row judges; each head learns from its own aspect.

    [pairs, 2, aspects] -> [pairs]
    """
    sensitivities, errors = raters.for_labels(
        [record.rater for record in records], flip_rate=config.flip_rate
    )
    values, is_judged = aspect_values(records, config.aspects, scores.device)  # [pairs, aspects]
    logits = sensitivities[:, None] * (scores[:, 0] - scores[:, 1])  # [pairs, aspects]
    targets = (1 + (1 - 2 * config.label_smoothing) * values) / 2
    losses = reward.noisy_label(logits, targets, errors[:, None].expand_as(logits))
    return (losses * is_judged).sum(dim=1) / is_judged.sum(dim=1)


def ranking_losses(scores: Tensor, ranks: Tensor, config: Config) -> Tensor:
    """[rankings, K], [rankings, K] -> [rankings]"""
    if config.ranking_loss == "plackett-luce":
        return reward.plackett_luce(scores, ranks)
    return reward.ranked_pairs(scores, ranks, flip_rate=config.flip_rate, smoothing=config.label_smoothing)


def length_penalty_slopes(
    model: ScalarModel, items: Sequence[EncodedPreference], config: Config, micro_tokens: int
) -> Tensor:
    """Derivative of the step's length penalty with respect to each score.  [items, K]

    A correlation is not a sum over micro-batches.  The step is therefore scored once without gradients, and
    the derivatives enter the micro-batches' objectives: the gradient equals that of a single batch.
    """
    if not config.length_penalty:
        return torch.zeros(0)
    scored = score_all(model, items, micro_tokens)
    totals = scored.totals.requires_grad_()
    correlation = reward.length_correlation(totals, scored.lengths, scored.present)
    return torch.autograd.grad(config.length_penalty * correlation.square(), totals)[0]


def read_preferences(
    config: Config, run: Run
) -> tuple[list[Preference], dict[str, int], dict[str, int], str]:
    """The usable rows, the numbers of ties and unusable rows, what is left out, and the files' names."""
    preferences: list[Preference] = []
    if config.comparisons:
        preferences += read_comparisons(run.data_path("comparisons"))
    if config.rankings:
        preferences += read_rankings(run.data_path("rankings"))
    source = " and ".join(filter(None, (config.comparisons, config.rankings)))
    usable = select_usable(preferences, source, ties=config.ties == "learn", aspects=config.aspects)
    if config.rater_effects and not any(rater_of(record) for record in usable.preferences):
        raise DataError(
            f"{source}: no row names its rater, so rater_effects has nothing to learn from. Set "
            "rater_effects=false."
        )
    counts = {"ties": usable.num_ties, "no_use": usable.num_unusable}
    return usable.preferences, counts, left_out(preferences, usable), source


def member_items(
    rows: EncodedSplit[Preference, Group], config: Config, member: int
) -> list[EncodedPreference]:
    """Training rows of a member; a row's weight is multiplied by how often its prompt was drawn."""
    counts = bootstrap_counts(rows.train, run_seed=config.seed, member=member)
    drawn = zip(rows.train, rows.train_rows, counts, strict=True)
    return [
        EncodedPreference(record, group, count * weight_of(record)) for record, group, count in drawn if count
    ]


def rater_names(items: Sequence[EncodedPreference], config: Config) -> list[str]:
    """The raters whose parameters are learned."""
    names = {rater_of(item.record) for item in items} if config.rater_effects else set()
    return sorted(filter(None, names))


def member_seed(config: Config, member: int) -> int:
    return derive_seed(config.seed, "member", member) if member else config.seed


def new_member(config: Config, run: Run, member: int) -> ScalarModel:
    """A new reward model with the member's own head and adapter."""
    seed = member_seed(config, member)
    adapter = lora(config)
    num_aspects = len(config.aspects)
    return new_reward_model(
        run.model_path("model"),
        run_seed=seed,
        lora=None if adapter is None else replace(adapter, seed=seed),
        aspects=config.aspects,
        weights=config.aspect_weights or (1 / max(1, num_aspects),) * num_aspects,
        template=given_template(run, config.template),
    )


def prepare_member(
    run: Run, model: ScalarModel, raters: RaterEffects, items: Sequence[EncodedPreference], config: Config
) -> tuple[Prepared, checkpoint.State]:
    """What the training loop needs, and the state of a checkpoint, which includes the raters."""
    groups = [item.group for item in items[:NUM_CHECK_ROWS]]
    batch = collate_groups(groups, pad_id=model.pad_id, device=model.device).batch
    prepared = prepare_model(run, model, batch, lambda: model.scores(batch), config, what="reward model")
    optimizers = {"optimizer": prepared.optimizer}
    if raters.trainable():
        optimizers["rater_optimizer"] = adamw(raters.trainable(), lr=config.rater_lr)
    parameters = {**prepared.master_weights.parameters, **raters.trainable()}
    return prepared, checkpoint.State(parameters, optimizers)


def held_out_metrics(scored: ScoredPreferences) -> dict[str, float]:
    """Bradley-Terry loss and accuracy on all pairs without a tie, whatever the training loss."""
    accuracy, has_pairs = scored.ordered_accuracy()
    losses = reward.ranked_pairs(scored.totals[has_pairs], scored.ranks[has_pairs])
    return {"held_out_loss": float(losses.mean()), "held_out_accuracy": float(accuracy[has_pairs].mean())}


def option_metrics(
    scored: ScoredPreferences, raters: RaterEffects, rows: EncodedSplit[Preference, Group], config: Config
) -> dict[str, Any]:
    """Metrics of the options that are in use."""
    metrics: dict[str, Any] = {}
    if config.aspects:
        values, _ = aspect_values([item.record for item in scored.items], config.aspects, scored.heads.device)
        hits = ((scored.heads[:, 0] - scored.heads[:, 1]) * values > 0).sum(dim=0).tolist()
        counts = (values != 0).sum(dim=0).tolist()
        metrics["aspects"] = {
            name: interval.proportion(num_hits, n).as_dict()
            for name, num_hits, n in zip(config.aspects, hits, counts, strict=True)
            if n
        }
    if config.ties == "learn":
        metrics["tie_rate"] = raters.tie_rate()
    if config.rater_effects:
        metrics["raters"] = raters.table(Counter(filter(None, map(rater_of, rows.train))))
    if config.length_penalty:
        correlation = reward.length_correlation(scored.totals, scored.lengths, scored.present)
        metrics["length_correlation"] = float(correlation)
    if config.members > 1:
        metrics["members"] = config.members
    return metrics


def artifact_folder(run: Run) -> Path:
    return run.project.artifacts / run.kind / run.name


def member_folder(run: Run, member: int) -> Path:
    """Where a trained member is stored until the last one is trained."""
    return run.folder / "members" / f"member-{member}"


def save(model: ScalarModel, folder: Path, config: Config, run: Run) -> None:
    """Write all members, then free the network: the report reads the files back, and both may not fit into
    memory.
    """
    network = model.network
    model.save(folder, final_folder=artifact_folder(run))
    for parameter in network.parameters():
        parameter.data = parameter.data.new_empty(0)
    if config.members > 1:
        ensemble.combine(folder, [member_folder(run, member) for member in range(1, config.members)])
