"""Examine a reward model, Fairlead's or anybody's, on comparisons that it was not trained on.

reads   reward-model, comparisons (data.records.Comparison)      writes  evaluation: admission.json
run     fairlead eval reward --comparisons data/held_out.jsonl

Given the very file that the model was trained on, it looks at the prompts that training held out, and baselines learn from the others.
Given another file, all of it counts as held out, and baselines learn from one half of its prompts for the other.
"""

from dataclasses import dataclass

from fairlead.core.config import DatasetRef, RewardModelRef
from fairlead.core.errors import ConfigError, require
from fairlead.data.pair_metadata import read_pair_metadata
from fairlead.data.record_reader import read_comparisons
from fairlead.data.split import split_by_prompt
from fairlead.eval import admission, reward_metrics
from fairlead.eval.reward_metrics import EvaluationPairs
from fairlead.examples.pairs import without_ties
from fairlead.rollout.rewards import is_rule
from fairlead.store.artifact import Artifact
from fairlead.store.run import Run
from fairlead.train.meter import Meter

KIND = "evaluation"


@dataclass(frozen=True, kw_only=True)
class Config:
    name: str  # of the evaluation that is written
    model: RewardModelRef  # the reward model that is examined
    comparisons: DatasetRef  # native rows: prompt, chosen, rejected; ties are left out
    max_tokens: int = 0  # longest conversation; 0 means the model's own context
    drop: bool = False  # leave out, and count, the pairs of which one side is longer
    micro_tokens: int = 4096  # tokens per forward pass, padding included; memory, not results
    seed: int = 0  # of halves, baselines and resampling

    def __post_init__(self) -> None:
        require(
            self.max_tokens >= 0,
            "max_tokens",
            self.max_tokens,
            "must not be negative; 0 means the model's own context",
        )
        require(self.micro_tokens > 0, "micro_tokens", self.micro_tokens, "must be positive")


def main(config: Config, run: Run) -> Artifact:
    if run.finished:
        return run.finished
    if is_rule(config.model):
        raise ConfigError(f"{config.model}: is a rule and no model; there is nothing to examine.")
    meter = Meter(run)
    path = run.data_path("comparisons")
    rows = read_comparisons(path)
    compared = without_ties(rows, config.comparisons)
    learned = _trained_with(run)
    train, held_out = (
        split_by_prompt(compared, held_out=learned[0], seed=learned[1]) if learned else (None, compared)
    )
    report = admission.examine(
        run.model_path("model"),
        EvaluationPairs(held_out, train, read_pair_metadata(path), config.seed),
        micro_tokens=config.micro_tokens,
        source=config.comparisons,
        max_tokens=config.max_tokens,
        drop=config.drop,
    )
    meter.flush()
    counts = {
        "pairs": report["pairs"],
        "prompts": report["prompts"],
        "ties": len(rows) - len(compared),
        "dropped": report["dropped"],
    }
    metrics = reward_metrics.manifest_metrics(report) | counts
    return run.publish(lambda folder: admission.write_report(folder, report), metrics=metrics)


def _trained_with(run: Run) -> tuple[float, int] | None:
    """Share and seed of the split, where the model was trained on these very comparisons."""
    model = run.inputs["model"].artifact
    if model is None or run.inputs["comparisons"].digest not in {
        one.digest for one in model.manifest.parents if one.role == "comparisons"
    }:
        return None
    return float(model.manifest.config["held_out"]), model.manifest.seed
