"""Shared by the toy-world benchmarks: one project per seed, with an SFT model and simulated comparisons.

The stages of the quickstart build the project, so that a seed means the same everywhere.  Finished runs are
reused when a benchmark is repeated.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any, TypeVar

import numpy
from numpy.typing import NDArray

from fairlead.core import config as configs
from fairlead.core import config_keys, files, jsonl
from fairlead.core.former_keys import FORMER_NAMES
from fairlead.core.seed import derive_seed
from fairlead.data.record_reader import read_comparisons, read_prompts
from fairlead.data.records import Comparison, to_row
from fairlead.data.sampled_answers import SampledAnswers, read_sampled_answers
from fairlead.loop import quickstart
from fairlead.loop.toy_world import mean_kl
from fairlead.ops.pool_names import Pool
from fairlead.recipes import sample
from fairlead.rollout.records import Answer
from fairlead.rollout.rewards import open_reward
from fairlead.simulate import gold
from fairlead.store.artifact import Artifact
from fairlead.store.project import Project, create_project, load_project
from fairlead.store.run import Run, open_run

C = TypeVar("C")


def full_keys(config_class: type, settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings under full keys: `rank`, `lora_rank` and `adapter.rank` are the same key."""
    keys = config_keys.hints_by_key(config_class)
    spellings = {key.rpartition(".")[2]: key for key in keys if "." in key}
    spellings |= {former: key for key, former in FORMER_NAMES.items() if key in keys}
    return {key if key in keys else spellings.get(key, key): value for key, value in settings.items()}


def configure(config_class: type[C], **settings: Any) -> C:
    """A configuration from settings with or without the names of tables."""
    return configs.from_dict(config_class, full_keys(config_class, settings))


# The settings of each stage of the quickstart by full key, to be changed by an experiment.
SETTINGS: dict[str, dict[str, Any]] = {
    stage.title: {
        name: value
        for name, value in configs.by_full_key(type(stage.config), configs.resolved(stage.config)).items()
        if name not in ("name", "seed")
    }
    for stage in quickstart.stages(0, quickstart.WHOLE)
}


def prepare(
    out: Path, seed: int, *, until: str = "comparisons", size: quickstart.Size = quickstart.WHOLE
) -> Project:
    """The project of the quickstart, with all stages up to and including `until`."""
    home = load_project(out) if (out / "fairlead.toml").exists() else create_project(out)
    plan = quickstart.stages(seed, size)
    last = next(i for i, stage in enumerate(plan) if stage.title == until)
    for stage in plan[: last + 1]:
        run_once(home, stage.recipe, stage.kind, stage.main, stage.config)
    return home


def run_once(
    home: Project, recipe: str, kind: str, main: Callable[[Any, Run], Artifact], config: Any
) -> Artifact:
    with open_run(home, recipe, config, kind=kind, quiet=True) as run:
        return main(config, run)


def train(home: Project, recipe: Any, config: Any) -> Artifact:
    """Run a recipe's module with a configuration."""
    return run_once(home, recipe.__name__.rpartition(".")[2], recipe.KIND, recipe.main, config)


def curve(home: Project, artifact: Artifact) -> list[dict[str, Any]]:
    """The metrics of the run that wrote an artifact, a row per step."""
    return [row for _, row in jsonl.read(home.runs / str(artifact.manifest.run) / "metrics.jsonl")]


def remembered(home: Project, label: str, seconds: float) -> float:
    """CPU seconds of the run when it first ran; a reused run would take none."""
    path = home.root / "cpu_seconds.json"
    seconds_by_label: dict[str, float] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    seconds_by_label.setdefault(label, seconds)
    files.write_text(path, json.dumps(seconds_by_label, indent=2) + "\n")
    return seconds_by_label[label]


def kl(home: Project, model: str, reference: str) -> float:
    """KL(model || reference) in nats per answer, over the finished answers in `{model}-answers`."""
    [path] = (home.artifacts / "rollouts" / f"{model}-answers").glob("*.jsonl")
    folders = [str(home.artifacts / "model" / name) for name in (model, reference)]
    return mean_kl(folders[0], folders[1], read_sampled_answers(path))


def answers(
    home: Project, model: str, *, name: str, seed: int, prompts: str = "prompts-held-out", per_prompt: int = 1
) -> list[SampledAnswers]:
    config = sample.Config(
        name=name,
        model=model,
        prompts=prompts,
        per_prompt=per_prompt,
        max_new_tokens=quickstart.LONGEST,
        seed=seed,
    )
    artifact = train(home, sample, config)
    [path] = artifact.folder.glob("*.jsonl")
    return read_sampled_answers(path)


def candidates(home: Project) -> list[SampledAnswers]:
    """The answers compared in the quickstart: two of the SFT model and one of the base model per prompt."""
    sft, base = (
        read_sampled_answers(next((home.artifacts / "rollouts" / name).glob("*.jsonl")))
        for name in ("answers-of-sft", "answers-of-base")
    )
    return [
        SampledAnswers(a.prompt, a.texts + b.texts, a.finished + b.finished)
        for a, b in zip(sft, base, strict=True)
    ]


def few_prompts(home: Project, name: str, count: int) -> str:
    """The first prompts of a data set, as a separate file."""
    [path] = (home.artifacts / "dataset" / name).glob("*.jsonl")
    return write(home, f"{name}-{count}", read_prompts(path)[:count])


def scores(
    home: Project, reward: str, rows: Sequence[SampledAnswers], *, pool: Pool
) -> NDArray[numpy.float64]:
    """The reward model's score of each answer, as in PPO.  [prompts, answers]"""
    judge = open_reward(
        str(home.artifacts / "reward-model" / reward), micro_tokens=4096, pool=pool, pool_lambda=0.5
    )
    answers = [
        Answer(row.prompt_record, text, finished)
        for row in rows
        for text, finished in zip(row.texts, row.finished, strict=True)
    ]
    return judge(answers).values.view(len(rows), -1).double().numpy()


def golds_of(row: SampledAnswers) -> list[float]:
    """The gold rule's score of each answer."""
    return [
        gold.judge(row.prompt[-1].content, text, finished=done).score
        for text, done in zip(row.texts, row.finished, strict=True)
    ]


def first_golds(rows: Sequence[SampledAnswers]) -> list[float]:
    return [golds_of(row)[0] for row in rows]


def comparisons(home: Project) -> list[Comparison]:
    [path] = (home.artifacts / "dataset" / "comparisons").glob("*.jsonl")
    return read_comparisons(path)


def flipped(rows: Sequence[Comparison], share: float, *, seed: int) -> list[Comparison]:
    """The rows with the sides of a share of the decided comparisons exchanged; ties are unchanged."""
    decided = [i for i, row in enumerate(rows) if row.tie is None]
    swapped = set(Random(derive_seed(seed, "flip")).sample(decided, round(share * len(decided))))
    return [
        replace(row, chosen=row.rejected, rejected=row.chosen) if i in swapped else row
        for i, row in enumerate(rows)
    ]


def write(home: Project, name: str, rows: Sequence[Any]) -> str:
    """Write rows to a file of the project; return its path, as used in configurations."""
    path = home.data / f"{name}.jsonl"
    jsonl.write(path, [to_row(row) for row in rows])
    return str(path)
