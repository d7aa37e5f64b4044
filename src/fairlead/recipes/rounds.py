"""Rounds: sample from the newest model, score or compare its answers, train on them, measure, and repeat.

reads   prompts, a model, a reward (or people's comparisons)
writes  models NAME-1, NAME-2, ...; evaluation NAME with one row per round
run     fairlead train rounds name=aligned model=sft reward=reward prompts=data/prompts.jsonl rounds=3

Every stage is a run of another recipe (sample, best_of_n, dpo or sft, compare), so each can be read and
resumed by itself.  learn="dpo" is iterated on-policy DPO (arXiv:2405.07863); learn="sft" is RAFT
(arXiv:2304.06767).
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

from fairlead.core import config as configs
from fairlead.core import jsonl
from fairlead.core.config import Advanced, DatasetRef, ModelRef, RewardModelRef
from fairlead.core.errors import DataError, Stopped, require, require_positive
from fairlead.core.seed import derive_seed
from fairlead.data.record_reader import read_comparisons, read_demonstrations
from fairlead.data.record_writer import write_records
from fairlead.eval.leaks import require_fresh_prompts
from fairlead.ops.pool_names import Pool
from fairlead.recipes import best_of_n, compare, dpo, sample, sft
from fairlead.store.artifact import Artifact
from fairlead.store.run import Run, open_run
from fairlead.train import diagnostics
from fairlead.train.settings import AnswersPrompts, Scoring, Template

KIND = "evaluation"
CONTINUE = "Run the same command again to continue."


@dataclass(frozen=True, kw_only=True)
class Config(AnswersPrompts):
    name: str  # name of the evaluation that is written; the models are NAME-1, NAME-2, ...
    model: ModelRef  # model to start from: usually the SFT model
    prompts: DatasetRef  # native rows with a prompt; every round answers all of them
    reward: RewardModelRef = ""  # what scores the answers, as for best_of_n; empty if people compare them
    trust: Advanced[str] = ""  # name of the reward model to use although its admission report refuses it
    # score of an ensemble: mean, worst (lowest member), or mean-variance (mean - pool_lambda * variance)
    pool: Advanced[Pool] = "mean"
    pool_lambda: Advanced[float] = 0.5  # weight of the variance in mean-variance
    learn: Literal["dpo", "sft"] = "dpo"  # dpo trains on the best and a lower answer, sft on the best only
    # previous trains the newest model on this round's answers, start the first model on those of all rounds
    begin: Literal["previous", "start"] = "previous"
    rounds: int = 3  # number of rounds
    n: int = 4  # answers per prompt
    max_new_tokens: int = 128  # longest answer
    temperature: float = 1.0  # sampling temperature
    # the lower answer of a comparison: the worst, or a random one that scores lower than the best
    rejected: Literal["worst", "random"] = "worst"
    train: tuple[str, ...] = ()  # keys of dpo or sft, such as "lr=2e-5"
    held_out: DatasetRef = ""  # prompts to measure on, which are never trained on
    probe: RewardModelRef = ""  # the reward that measures on held_out; values as for reward
    seed: int = 0  # seed of sampling and training
    scoring: Scoring = Scoring()  # of the reward and of the probe
    template: Template = Template()  # of the first model; later ones keep it

    def __post_init__(self) -> None:
        require_positive(self, "rounds")
        require(self.n > 1, "n", self.n, "must be at least 2; a single answer leaves no choice")
        has_data = bool(self.reward) or self.learn == "dpo"
        require(has_data, "learn", self.learn, "needs a reward; people's comparisons are for dpo")
        set_here = ("name", "model", "seed", self.rows)
        overrides = [override for override in self.train if override.partition("=")[0] in set_here]
        why = "is set by the rounds: each has its own name, model, rows and seed"
        require(not overrides, "train", overrides, why)
        why = "and held_out go together: a reward that measures, and prompts to measure on"
        require(bool(self.held_out) == bool(self.probe), "probe", self.probe, why)

    @property
    def rows(self) -> Literal["comparisons", "demonstrations"]:
        """The kind of rows that a round trains on."""
        return "comparisons" if self.learn == "dpo" else "demonstrations"


@dataclass(frozen=True, kw_only=True)
class JoinConfig:
    """The rows of two inputs as one dataset."""

    name: str
    earlier: DatasetRef
    later: DatasetRef
    rows: Literal["comparisons", "demonstrations"]
    seed: int = 0


def main(config: Config, run: Run) -> Artifact:
    if run.finished:
        return run.finished
    # Check the keys in `train` before anything is sampled.
    training_config(config, 1, config.model, config.prompts)

    if config.probe:
        require_fresh_prompts(run)

    # 1. The first model, with which every later one is compared
    newest = config.model
    start_answers = sample_held_out(config, run, 0, newest) if config.probe else ""
    round_rows: list[dict[str, Any]] = []
    all_data = ""
    stages: list[Artifact] = []  # whose result may be that nothing was learned
    for number in range(1, config.rounds + 1):
        row: dict[str, Any] = {"round": number}

        # 2. Sample from the newest model.  The reward or people say which answers are better
        if config.reward:
            selected = select_by_reward(config, run, number, newest)
            row["score"] = selected.manifest.metrics["score"]  # of the model before this round's training
            new_data = selected.label
            stages.append(selected)
        else:
            new_data = compared_by_people(config, run, number, newest)

        # 3. Train the newest model on this round's rows, or the first model on the rows of all rounds
        if config.begin == "start" and all_data:
            name = f"{config.name}-all-{number}"
            joined = JoinConfig(name=name, earlier=all_data, later=new_data, rows=config.rows)
            new_data = run_stage(run, "join", joined, kind="dataset", main=join).label
        all_data = new_data
        start_model = config.model if config.begin == "start" else newest
        training = training_config(config, number, start_model, new_data)
        stages.append(run_recipe(run, dpo if config.learn == "dpo" else sft, training))
        newest = stages[-1].label
        row["model"] = newest

        # 4. Compare with the first model on held-out prompts
        if config.probe:
            name = f"{config.name}-{number}-against-start"
            answers = sample_held_out(config, run, number, newest)
            comparison = compare.Config(
                name=name,
                a=answers,
                b=start_answers,
                judge=config.probe,
                scoring=config.scoring,
                seed=config.seed,
            )
            metrics = run_recipe(run, compare, comparison).manifest.metrics
            row["win_rate"] = metrics["win_rate_a"]
            if "score_a" in metrics:  # a judge that compares pairs gives no scores
                row["probe"] = metrics["score_a"]
                row["probe_at_start"] = metrics["score_b"]
        round_rows.append(row)

    # 5. Write one row per round
    diagnostics.report_stages(run, stages)
    return run.publish(
        lambda folder: jsonl.write(folder / "rounds.jsonl", round_rows),
        metrics={"rounds": round_rows, "newest": newest},
    )


def run_recipe(run: Run, recipe: ModuleType, config: Any) -> Artifact:
    return run_stage(run, recipe.__name__.rpartition(".")[2], config, kind=recipe.KIND, main=recipe.main)


def run_stage(
    run: Run, recipe: str, config: Any, *, kind: str, main: Callable[[Any, Run], Artifact]
) -> Artifact:
    """A stage as a run of its own.  A repeated command finds its artifact again."""
    with open_run(run.project, recipe, config, kind=kind, quiet=run.quiet) as current:
        run.event("stage", run=current.id)
        artifact = main(config, current)
        current.stop.raise_if_set(f"Stopped after {artifact.label}; the work is saved. {CONTINUE}")
    run.stop.raise_if_set(f"Stopped after {artifact.label}; the work is saved. {CONTINUE}")
    return artifact


def select_by_reward(config: Config, run: Run, number: int, model: str) -> Artifact:
    """The dataset of a round's best answers."""
    selection = best_of_n.Config(
        name=f"{config.name}-rows-{number}",
        model=model,
        reward=config.reward,
        prompts=config.prompts,
        trust=config.trust,
        pool=config.pool,
        pool_lambda=config.pool_lambda,
        scoring=config.scoring,
        n=config.n,
        max_new_tokens=config.max_new_tokens,
        temperature=config.temperature,
        rejected=config.rejected,
        seed=derive_seed(config.seed, "round", number),
        template=config.template,
        too_long=config.too_long,
    )
    dataset = run_recipe(run, best_of_n, selection)
    if not dataset.manifest.metrics[config.rows]:
        raise DataError(
            f"{dataset.label}: no prompt has two answers that ended and score differently. "
            "Raise n or max_new_tokens."
        )
    return dataset


def compared_by_people(config: Config, run: Run, number: int, model: str) -> str:
    """The file of a round's comparisons.  Raises Stopped while the file does not exist."""
    name = f"{config.name}-answers-{number}"
    rollouts = run_recipe(
        run, sample, sample_config(config, name, model, config.prompts, per_prompt=config.n)
    )
    path = f"data/{config.name}-{number}.jsonl"
    if not (run.project.root / path).exists():
        raise Stopped(
            f"Round {number} of {config.rounds} waits for people: have the answers in "
            f"{rollouts.folder / sample.ROWS} compared, and write the comparisons to "
            f"{run.project.root / path}. {CONTINUE}"
        )
    if Path(path).exists() and not Path(path).samefile(run.project.root / path):
        raise DataError(
            f"{path}: is here and in the project too, and they are two files. "
            f"Run the command in {run.project.root}."
        )
    return path


def sample_held_out(config: Config, run: Run, number: int, model: str) -> str:
    name = f"{config.name}-{number}-held-out"
    return run_recipe(run, sample, sample_config(config, name, model, config.held_out, per_prompt=1)).label


def sample_config(config: Config, name: str, model: str, prompts: str, *, per_prompt: int) -> sample.Config:
    return sample.Config(
        name=name,
        model=model,
        prompts=prompts,
        per_prompt=per_prompt,
        max_new_tokens=config.max_new_tokens,
        temperature=config.temperature,
        seed=config.seed,
        template=config.template,
        too_long=config.too_long,
    )


def training_config(config: Config, number: int, model: str, data: str) -> dpo.Config | sft.Config:
    """The configuration of a round's training.  Raises ConfigError for a key in `train` that the recipe does
    not have.
    """
    overrides = [
        *config.train,
        f"name={config.name}-{number}",
        f"model={model}",
        f"{config.rows}={data}",
        f"seed={config.seed}",
    ]
    recipe = dpo if config.learn == "dpo" else sft
    training: dpo.Config | sft.Config = configs.load(recipe.Config, None, overrides)
    return replace(training, template=config.template)


def join(config: JoinConfig, run: Run) -> Artifact:
    if run.finished:
        return run.finished
    read: Callable[[Path], list[Any]] = (
        read_comparisons if config.rows == "comparisons" else read_demonstrations
    )
    records = [
        record for role in ("earlier", "later") for record in read(run.data_path(role, rows=config.rows))
    ]
    return run.publish(
        lambda folder: write_records(folder / f"{config.rows}.jsonl", records),
        metrics={"joined": len(records)},
    )
