"""Examine a reward model, trained by Fairlead or not, on held-out comparisons.

reads   reward-model, comparisons (data.records.Comparison)      writes  evaluation: admission.json
run     fairlead eval reward --comparisons data/held_out.jsonl

If the file is the training file of the model, the held-out prompts of training are examined, and the
baselines learn from the other prompts.  Otherwise the whole file counts as held out, and the baselines learn
from each half of its prompts for the other half.
"""

from dataclasses import dataclass

from fairlead.core.config import DatasetRef, RewardModelRef
from fairlead.core.errors import ConfigError, require
from fairlead.core.former_keys import read_value
from fairlead.data.pair_metadata import read_pair_metadata
from fairlead.data.record_reader import read_comparisons
from fairlead.data.split import split_by_prompt, without_trained_prompts
from fairlead.eval import admission, reward_metrics
from fairlead.eval.leaks import find_leaks
from fairlead.eval.reward_metrics import EvaluationPairs
from fairlead.examples.pairs import REPEATED, without_ties
from fairlead.rollout.judge_file import is_llm
from fairlead.rollout.rewards import is_rule
from fairlead.store.artifact import Artifact
from fairlead.store.run import Run
from fairlead.train import training_prompts
from fairlead.train.meter import Meter
from fairlead.train.settings import ReadsConversations
from fairlead.train.template import given_template

KIND = "evaluation"


@dataclass(frozen=True, kw_only=True)
class Config(ReadsConversations):
    name: str  # name of the evaluation that is written
    model: RewardModelRef  # reward model to examine
    comparisons: DatasetRef  # native comparisons; ties are left out
    max_tokens: int = 0  # longest conversation; 0 is the context length of the model
    drop: bool = False  # leave out and count pairs with a longer side
    micro_tokens: int = 4096  # tokens per forward pass, including padding; affects memory, not results
    exclude_leaks: bool = False  # leave out and count pairs whose prompt was trained on, instead of refusing
    seed: int = 0  # seed for splits, baselines and bootstrap

    def __post_init__(self) -> None:
        require(
            self.max_tokens >= 0,
            "max_tokens",
            self.max_tokens,
            "must not be negative; 0 is the context length of the model",
        )
        require(self.micro_tokens > 0, "micro_tokens", self.micro_tokens, "must be positive")


def main(config: Config, run: Run) -> Artifact:
    if run.finished:
        return run.finished
    if is_rule(config.model) or is_llm(config.model):
        kind = "rule" if is_rule(config.model) else "judge behind an endpoint"
        raise ConfigError(f"{config.model}: is a {kind}, not a model. Name a reward model.")
    meter = Meter(run)
    path = run.data_path("comparisons")
    rows = read_comparisons(path)
    compared = without_ties(rows, config.comparisons)
    training_split = _training_split(run)
    if training_split is None:
        train, held_out = None, compared
        num_held_out = len(held_out)
    else:
        share, seed = training_split
        train, held_out_side = split_by_prompt(compared, held_out=share, seed=seed)
        num_held_out = len(held_out_side)
        held_out = without_trained_prompts(train, held_out_side, source=config.comparisons)
    trained = training_prompts.of_input(run.project, run.inputs["model"])
    leaks = find_leaks([pair.prompt for pair in held_out], {config.model: trained})
    kept = leaks.kept_rows(source=config.comparisons, exclude=config.exclude_leaks)
    held_out = [held_out[i] for i in kept]
    report = admission.examine(
        run.model_path("model"),
        EvaluationPairs(held_out, train, read_pair_metadata(path), config.seed),
        micro_tokens=config.micro_tokens,
        source=config.comparisons,
        reading=admission.Reading(config.max_tokens, config.drop, given_template(run, config.template)),
        leaks=leaks.as_dict(excluded=True),
    )
    meter.flush()
    run.record_data(
        {
            "ties": len(rows) - len(compared),
            "pairs too long": report["dropped"],
            REPEATED: num_held_out - leaks.num_rows,
            **leaks.left_out("pairs"),
        },
        pairs=report["pairs"],
    )
    counts = {
        "pairs": report["pairs"],
        "prompts": report["prompts"],
        "ties": len(rows) - len(compared),
        "dropped": report["dropped"],
        "leaks": len(leaks.rows),
    }
    metrics = reward_metrics.manifest_metrics(report) | counts
    return run.publish(lambda folder: admission.write_report(folder, report), metrics=metrics)


def _training_split(run: Run) -> tuple[float, int] | None:
    """Held-out share and seed of the training split; None if it was trained on other data."""
    model = run.inputs["model"].artifact
    if model is None:
        return None
    trained_on = {parent.digest for parent in model.manifest.parents if parent.role == "comparisons"}
    if run.inputs["comparisons"].digest not in trained_on:
        return None
    return float(read_value(model.manifest.config, "data.held_out")), model.manifest.seed
