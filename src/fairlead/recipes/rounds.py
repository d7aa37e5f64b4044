"""Rounds: sample from the newest model, have its answers scored or compared, learn from that, measure, and again.

reads   prompts, a model, a reward (or people's comparisons)      writes  models NAME-1, NAME-2, ...; evaluation NAME: one row per round
run     fairlead train rounds name=aligned model=sft reward=reward prompts=data/prompts.jsonl rounds=3

Every stage is a run of another recipe (sample, best_of_n, dpo or sft, compare), so that each can be read, and resumed, by itself.
With learn="dpo" this is iterated, on-policy DPO (arXiv:2405.07863); with learn="sft" it is RAFT (arXiv:2304.06767).
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

from fairlead.core import config as configs
from fairlead.core import jsonl
from fairlead.core.config import DatasetRef, ModelRef, RewardModelRef
from fairlead.core.errors import DataError, Stopped, require
from fairlead.core.seed import derive_seed
from fairlead.data.record_reader import read_comparisons, read_demonstrations
from fairlead.data.record_writer import write_records
from fairlead.ops.pool_names import Pool
from fairlead.recipes import best_of_n, compare, dpo, sample, sft
from fairlead.store.artifact import Artifact
from fairlead.store.run import Run, open_run

KIND = "evaluation"
GO_ON = "Run the same command again to go on."


@dataclass(frozen=True, kw_only=True)
class Config:
    name: str  # of the evaluation that is written; the models are NAME-1, NAME-2, ...
    model: ModelRef  # to start from: usually the SFT model
    prompts: DatasetRef  # native rows with a prompt, all of them answered in every round
    reward: RewardModelRef = (
        ""  # what scores the answers; the same choices as for best_of_n.  Empty: people compare them
    )
    trust: str = ""  # name of the reward model to use although its admission report refuses it
    pool: Pool = "mean"  # an ensemble's score: mean, worst (the lowest member), mean-variance (mean - pool_lambda * variance)
    pool_lambda: float = 0.5  # price of the members' variance
    learn: Literal["dpo", "sft"] = (
        "dpo"  # dpo: from the best answers beside worse ones; sft: from the best alone
    )
    begin: Literal["previous", "start"] = (
        "previous"  # start: each round trains the first model anew, on the answers of all rounds so far
    )
    rounds: int = 3
    n: int = 4  # answers to each prompt
    max_new_tokens: int = 128  # longest answer
    temperature: float = 1.0  # of the sampling
    rejected: Literal["worst", "random"] = "worst"  # which answer stands beside the best one in comparisons
    train: tuple[str, ...] = ()  # knobs of dpo or sft, such as "lr=2e-5"
    held_out: DatasetRef = ""  # prompts that nothing is trained on, for measuring
    probe: RewardModelRef = ""  # the judge that measures there; the same choices as reward
    seed: int = 0

    def __post_init__(self) -> None:
        require(self.rounds > 0, "rounds", self.rounds, "must be positive")
        require(self.n > 1, "n", self.n, "must be at least 2; the best of one is no choice")
        require(
            bool(self.reward) or self.learn == "dpo",
            "learn",
            self.learn,
            "needs a reward; what people compare is learned by dpo",
        )
        own = ("name", "model", "seed", rows_of(self))
        words = [word for word in self.train if word.partition("=")[0] in own]
        require(
            not words,
            "train",
            words,
            "is set by the rounds themselves: each has a name, a model, rows and the seed of its own",
        )
        require(
            bool(self.held_out) == bool(self.probe),
            "probe",
            self.probe,
            "and held_out go together: a judge, and prompts to judge on",
        )


@dataclass(frozen=True, kw_only=True)
class Join:
    """The rows of two inputs as one dataset."""

    name: str
    earlier: DatasetRef
    later: DatasetRef
    rows: Literal["comparisons", "demonstrations"]
    seed: int = 0


def main(config: Config, run: Run) -> Artifact:
    if run.finished:
        return run.finished
    training(
        config, 1, config.model, config.prompts
    )  # a knob that dpo or sft would refuse is refused before anything is sampled

    # 1. The model that every later one is measured against
    newest = config.model
    at_start = held_out_answers(config, run, 0, newest) if config.probe else ""
    rows: list[dict[str, Any]] = []
    so_far = ""
    for number in range(1, config.rounds + 1):
        row: dict[str, Any] = {"round": number}

        # 2. Answers of the newest model, and which of them are better: by the reward, or by people
        if config.reward:
            chosen = chosen_by_reward(config, run, number, newest)
            row["score"] = chosen.manifest.metrics[
                "score"
            ]  # of the answers, so of the model that the round began with
            learned = chosen.label
        else:
            learned = compared_by_people(config, run, number, newest)

        # 3. Learn: on from the newest model and from this round's rows, or from the first model and the rows of all rounds
        if config.begin == "start" and so_far:
            both = Join(
                name=f"{config.name}-all-{number}", earlier=so_far, later=learned, rows=rows_of(config)
            )
            learned = stage(run, "join", both, kind="dataset", main=join).label
        so_far = learned
        begin = config.model if config.begin == "start" else newest
        newest = recipe_stage(
            run, dpo if config.learn == "dpo" else sft, training(config, number, begin, learned)
        ).label
        row["model"] = newest

        # 4. Measure, beside the model that it all began with
        if config.probe:
            now = held_out_answers(config, run, number, newest)
            name = f"{config.name}-{number}-against-start"
            verdict = recipe_stage(
                run,
                compare,
                compare.Config(name=name, a=now, b=at_start, judge=config.probe, seed=config.seed),
            )
            row["win_rate"] = verdict.manifest.metrics["win_rate_a"]
            row["probe"], row["probe_at_start"] = (
                verdict.manifest.metrics["score_a"],
                verdict.manifest.metrics["score_b"],
            )
        rows.append(row)

    # 5. One row per round
    def fill(folder: Path) -> None:
        jsonl.write(folder / "rounds.jsonl", rows)

    return run.publish(fill, metrics={"rounds": rows, "newest": newest})


def recipe_stage(run: Run, recipe: ModuleType, config: Any) -> Artifact:
    return stage(run, recipe.__name__.rpartition(".")[2], config, kind=recipe.KIND, main=recipe.main)


def stage(run: Run, recipe: str, config: Any, *, kind: str, main: Callable[[Any, Run], Artifact]) -> Artifact:
    """A run of its own, found again where it was made before."""
    with open_run(run.project, recipe, config, kind=kind, quiet=run.quiet) as current:
        run.event("stage", run=current.id)
        made = main(config, current)
        current.stop.raise_if_set(f"Stopped after {made.label}; the work is saved. {GO_ON}")
    run.stop.raise_if_set(f"Stopped after {made.label}; the work is saved. {GO_ON}")
    return made


def chosen_by_reward(config: Config, run: Run, number: int, model: str) -> Artifact:
    asked = best_of_n.Config(
        name=f"{config.name}-rows-{number}",
        model=model,
        reward=config.reward,
        prompts=config.prompts,
        trust=config.trust,
        pool=config.pool,
        pool_lambda=config.pool_lambda,
        n=config.n,
        max_new_tokens=config.max_new_tokens,
        temperature=config.temperature,
        rejected=config.rejected,
        seed=derive_seed(config.seed, "round", number),
    )
    made = recipe_stage(run, best_of_n, asked)
    if not made.manifest.metrics[rows_of(config)]:
        raise DataError(
            f"{made.label}: no prompt has two answers that ended and score differently. Raise n or max_new_tokens."
        )
    return made


def compared_by_people(config: Config, run: Run, number: int, model: str) -> str:
    """The file of a round's comparisons, once it is there; until then Stopped says which answers wait to be compared."""
    made = recipe_stage(
        run,
        sample,
        sampling(config, f"{config.name}-answers-{number}", model, config.prompts, per_prompt=config.n),
    )
    rows = f"data/{config.name}-{number}.jsonl"
    if not (run.project.root / rows).exists():
        raise Stopped(
            f"Round {number} of {config.rounds} waits for people: have the answers in {made.folder / sample.ROWS} compared, write the "
            f"comparisons to {run.project.root / rows}. {GO_ON}"
        )
    if Path(rows).exists() and not Path(rows).samefile(run.project.root / rows):
        raise DataError(
            f"{rows}: is here and in the project too, and they are two files. Run the command in {run.project.root}."
        )
    return rows


def held_out_answers(config: Config, run: Run, number: int, model: str) -> str:
    return recipe_stage(
        run,
        sample,
        sampling(config, f"{config.name}-{number}-held-out", model, config.held_out, per_prompt=1),
    ).label


def sampling(config: Config, name: str, model: str, prompts: str, *, per_prompt: int) -> sample.Config:
    return sample.Config(
        name=name,
        model=model,
        prompts=prompts,
        per_prompt=per_prompt,
        max_new_tokens=config.max_new_tokens,
        temperature=config.temperature,
        seed=config.seed,
    )


def training(config: Config, number: int, model: str, rows: str) -> dpo.Config | sft.Config:
    """What this round trains with; raises ConfigError where `train` holds what the recipe does not know."""
    words = [
        f"name={config.name}-{number}",
        f"model={model}",
        f"{rows_of(config)}={rows}",
        f"seed={config.seed}",
    ]
    if config.learn == "dpo":
        return configs.load(dpo.Config, None, [*config.train, *words])
    return configs.load(sft.Config, None, [*config.train, *words])


def rows_of(config: Config) -> Literal["comparisons", "demonstrations"]:
    """What this way of learning reads."""
    return "comparisons" if config.learn == "dpo" else "demonstrations"


def join(config: Join, run: Run) -> Artifact:
    if run.finished:
        return run.finished
    read: Callable[[Any], list[Any]] = (
        read_comparisons if config.rows == "comparisons" else read_demonstrations
    )
    records = [
        record for field in ("earlier", "later") for record in read(run.data_path(field, rows=config.rows))
    ]

    def fill(folder: Path) -> None:
        write_records(folder / f"{config.rows}.jsonl", records)

    return run.publish(fill, metrics={"joined": len(records)})
