"""The whole loop on the embedded example: base model, demonstrations, SFT, people's comparisons, reward model, PPO, evaluation, report.

Every stage is a run in the project folder `out`; started again after an interruption, the quickstart finds the finished stages and goes
on inside the unfinished one.  It writes `summary.json` and `report.html` beside the project.
"""

import json
import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from fairlead.core import files, jsonl
from fairlead.core.config import resolved
from fairlead.core.errors import ProjectError
from fairlead.loop import toy_world
from fairlead.recipes import ppo, reward, sample, sft
from fairlead.report import round_page
from fairlead.report.round_page import AnswerRow, FamilyRow, FaultRow, RoundPage, StageAnswer
from fairlead.stats.interval import Interval
from fairlead.store import lineage, run
from fairlead.store.artifact import Artifact, find_artifact
from fairlead.store.project import Project, create_project, load_project
from fairlead.store.run import Run
from fairlead.train.meter import peak_rss_mb
from fairlead.train.settings import Adapter, Checkpoints, Data, Optim

NUM_SHOWN = 24  # held-out prompts in the report, with all three answers
LONGEST = 64  # tokens of an answer


@dataclass(frozen=True, kw_only=True)
class Size:
    """How much of everything; the defaults fit into five minutes on two cores."""

    demonstrations: int = 480
    compared: int = 1000  # prompts whose answers people compare
    practised: int = 2000  # prompts that PPO draws from
    held_out: int = 448  # prompts that nothing was trained on
    ppo_steps: int = 24
    ppo_batch: int = 128


WHOLE = Size()


@dataclass(frozen=True)
class Stage:
    """One run of the round: what it is for, in a sentence, and how it is made."""

    title: str
    sentence: str
    recipe: str
    kind: str
    config: Any
    main: Callable[[Any, Run], Artifact]


def stages(seed: int, size: Size) -> list[Stage]:
    """The round, in order.  Later stages name earlier ones by their artifacts' names."""

    def rows(name: str, sentence: str, **values: Any) -> Stage:
        return Stage(
            name,
            sentence,
            "world",
            "dataset",
            toy_world.WorldRows(name=name, seed=seed, **values),
            toy_world.rows,
        )

    def answers(name: str, sentence: str, model: str, prompts: str, per_prompt: int) -> Stage:
        config = sample.Config(
            name=name, model=model, prompts=prompts, per_prompt=per_prompt, max_new_tokens=LONGEST, seed=seed
        )
        return Stage(name, sentence, "sample", sample.KIND, config, sample.main)

    return [
        Stage(
            "base",
            "The small pre-trained model that ships with Fairlead.",
            "base",
            "model",
            toy_world.Base(name="base"),
            toy_world.base,
        ),
        rows(
            "demonstrations",
            "Answers written by careful, not perfect, simulated people.",
            rows="demonstrations",
            count=size.demonstrations,
        ),
        rows(
            "prompts-to-compare",
            "Prompts whose answers people will compare.",
            rows="prompts",
            count=size.compared,
        ),
        rows(
            "prompts-to-practise",
            "Prompts that the policy answers while it learns.",
            rows="prompts",
            count=size.practised,
        ),
        rows(
            "prompts-held-out",
            "Prompts that nothing is ever trained on.",
            rows="prompts",
            count=size.held_out,
            held_out=True,
        ),
        Stage(
            "sft",
            "Supervised fine-tuning: the model imitates the demonstrations.",
            "sft",
            sft.KIND,
            sft.Config(
                name="sft",
                model="base",
                demonstrations="dataset/demonstrations",
                epochs=2,
                batch=16,
                seed=seed,
                optim=Optim(lr=3e-4, warmup=5),
                adapter=Adapter(rank=0),
                data=Data(held_out=0.1, measure_every=10),
                checkpoints=Checkpoints(every=10),
            ),
            sft.main,
        ),
        answers(
            "answers-of-sft",
            "The fine-tuned model answers, twice per prompt.",
            "sft",
            "dataset/prompts-to-compare",
            2,
        ),
        answers(
            "answers-of-base",
            "So does the base model, once per prompt.",
            "base",
            "dataset/prompts-to-compare",
            1,
        ),
        Stage(
            "comparisons",
            "Five simulated people compare the answers in pairs, with noise, ties and tastes of their own.",
            "label",
            "dataset",
            toy_world.Label(name="comparisons", a="answers-of-sft", b="answers-of-base", seed=seed),
            toy_world.label,
        ),
        Stage(
            "reward",
            "A reward model learns from the comparisons what people prefer.",
            "reward",
            reward.KIND,
            reward.Config(
                name="reward",
                model="model/sft",
                comparisons="dataset/comparisons",
                epochs=1,
                batch=16,
                lr=3e-4,
                warmup=10,
                lora_rank=0,
                held_out=0.15,
                measure_every=40,
                checkpoint_every=20,
                seed=seed,
            ),
            reward.main,
        ),
        Stage(
            "aligned",
            "PPO: the policy practises, the reward model scores, KL keeps it near the fine-tuned model.",
            "ppo",
            ppo.KIND,
            ppo.Config(
                name="aligned",
                model="model/sft",
                reward="reward",
                prompts="dataset/prompts-to-practise",
                probe="rule:fairlead.simulate.gold",
                steps=size.ppo_steps,
                batch=size.ppo_batch,
                epochs=1,
                minibatches=4,
                max_new_tokens=LONGEST,
                lr=2e-4,
                critic_lr=3e-4,
                warmup=3,
                kl_coef=0.1,
                lora_rank=0,
                checkpoint_every=5,
                seed=seed,
            ),
            ppo.main,
        ),
        answers(
            "base-on-held-out", "The base model answers the held-out prompts.", "base", "prompts-held-out", 1
        ),
        answers(
            "sft-on-held-out",
            "The fine-tuned model answers the held-out prompts.",
            "model/sft",
            "prompts-held-out",
            1,
        ),
        answers(
            "aligned-on-held-out",
            "The aligned model answers the held-out prompts.",
            "aligned",
            "prompts-held-out",
            1,
        ),
        Stage(
            "evaluation",
            "The gold rule, which no model was trained on, reads every held-out answer.",
            "evaluate",
            "evaluation",
            toy_world.Evaluate(
                name="evaluation",
                base="base-on-held-out",
                sft="sft-on-held-out",
                aligned="aligned-on-held-out",
                policy="aligned",
                reference="model/sft",
                seed=seed,
            ),
            toy_world.evaluate,
        ),
    ]


def quickstart(
    out: Path, *, seed: int, size: Size = WHOLE, quiet: bool = False, say: Callable[[str], None] = print
) -> dict[str, Any]:
    """Run what is not yet there of the round, write `summary.json` and `report.html`, return the summary."""
    started_at, clock = datetime.now(UTC), time.monotonic()
    home = _home(out, seed)
    made: list[tuple[Stage, Artifact, Path]] = []
    plan = stages(seed, size)
    for number, stage in enumerate(plan, start=1):
        with run.open_run(home, stage.recipe, stage.config, kind=stage.kind, quiet=quiet) as current:
            note = "made before" if current.finished else stage.sentence
            say(f"[{number}/{len(plan)}] {stage.title}: {note}")
            made.append((stage, stage.main(stage.config, current), current.folder))
            current.stop.raise_if_set(
                f"Stopped after {stage.title}; the work is saved. Run the same command again to go on."
            )
    earlier = sum(
        event["seconds"]
        for _, _, folder in made
        for event in _costs(folder)
        if event["at"] < started_at.isoformat(timespec="seconds")
    )
    peak = max([peak_rss_mb()] + [event["peak_rss_mb"] for _, _, folder in made for event in _costs(folder)])
    found = {stage.title: artifact for stage, artifact, _ in made}
    verdict, evidence = found["evaluation"].manifest.metrics, found["reward"].manifest.metrics
    summary = {
        "seconds": round(time.monotonic() - clock + earlier, 1),
        "peak_rss_mb": round(peak, 1),
        "reward_model": {
            "accuracy": evidence["accuracy"]["value"],
            "low": evidence["accuracy"]["low"],
            "high": evidence["accuracy"]["high"],
            "n": evidence["accuracy"]["n"],
            "length_only": evidence["length_only"]["value"],
        },
        "gold": {
            name: {"mean": one["value"], "low": one["low"], "high": one["high"], "n": one["n"]}
            for name, one in verdict["gold"].items()
        },
        "win_rate_vs_sft": {key: verdict["win_rate_vs_sft"][key] for key in ("value", "low", "high", "n")},
        "kl": verdict["kl"],
        "report": "report.html",
    }
    files.write_text(out / "report.html", round_page.render_round(_page(home, made, summary)))
    files.write_text(out / "summary.json", json.dumps(summary, indent=2, allow_nan=False) + "\n")
    return summary


def _home(out: Path, seed: int) -> Project:
    if (out / "fairlead.toml").exists():
        home = load_project(out)
        begun = find_artifact(home, "dataset/demonstrations")
        if begun is not None and begun.manifest.seed != seed:
            raise ProjectError(
                f"{out}: holds a quickstart with --seed {begun.manifest.seed}, and --seed {seed} was asked. Choose another --out."
            )
        return home
    if out.exists() and any(out.iterdir()):
        raise ProjectError(f"{out}: is not empty and no Fairlead project. Choose another --out, or empty it.")
    return create_project(out)


def _costs(folder: Path) -> list[dict[str, Any]]:
    path = folder / "events.jsonl"
    return [event for _, event in jsonl.read(path) if event["event"] == "cost"] if path.exists() else []


def _page(home: Project, made: Sequence[tuple[Stage, Artifact, Path]], summary: dict[str, Any]) -> RoundPage:
    found = {stage.title: (artifact, folder) for stage, artifact, folder in made}
    evaluation = found["evaluation"][0]
    verdict = evaluation.manifest.metrics
    words = found["reward"][0].manifest.metrics["bag_of_words"]
    tokens = sum(event["tokens"] for _, _, folder in made for event in _costs(folder))
    return RoundPage(
        title="From a base model to one that people prefer",
        summary=summary,
        stages=[_stage(stage, artifact, folder) for stage, artifact, folder in made],
        ppo_metrics=_metrics(found["aligned"][1]),
        sft_metrics=_metrics(found["sft"][1]),
        reward_metrics=_metrics(found["reward"][1]),
        families=[FamilyRow(family, means) for family, means in verdict["families"].items()],
        faults=[FaultRow(fault, shares) for fault, shares in verdict["faults"].items()],
        answers=_telling(evaluation.folder / "answers.jsonl"),
        bag_of_words=Interval(words["value"], words["low"], words["high"], words["n"]),
        lineage_text=lineage.render_text(lineage.ancestors(home, found["aligned"][0])),
        config={stage.title: resolved(stage.config) for stage, _, _ in made},
        cost={
            "time": f"{summary['seconds']:.0f} s",
            "peak memory": f"{summary['peak_rss_mb']:.0f} MB",
            "tokens trained on and sampled": f"{tokens:,}",
            "money": "none: one machine, no accelerator needed",
        },
        environment={
            "Python": platform.python_version(),
            "machine": f"{platform.system()} {platform.machine()}",
            **{name: version(name) for name in ("fairlead", "torch", "transformers", "peft")},
        },
        judge="The gold rule",
    )


def _stage(stage: Stage, artifact: Artifact, folder: Path) -> round_page.StageSummary:
    figures = {
        key: f"{value:.3g}" if isinstance(value, float) else str(value)
        for key, value in artifact.manifest.metrics.items()
        if isinstance(value, int | float)
    }
    seconds = sum(event["seconds"] for event in _costs(folder))
    return round_page.StageSummary(stage.title, stage.sentence, artifact.label, folder.name, seconds, figures)


def _metrics(folder: Path) -> list[dict[str, Any]]:
    return [row for _, row in jsonl.read(folder / "metrics.jsonl")]


def _telling(path: Path) -> list[AnswerRow]:
    """Answers to show: each family in turn, the base model's most typical faults first, whatever became of them."""
    by_family: dict[str, list[dict[str, Any]]] = {}
    for _, row in jsonl.read(path):
        by_family.setdefault(row["family"], []).append(row)
    for rows in by_family.values():
        rows.sort(key=lambda row: (row["answers"]["base"]["gold"], row["prompt"]))
    order = ("harmful", "opinion", "lookalike", "sum", "fact", "polite", "story", "sort")
    rounds = range(max(len(rows) for rows in by_family.values()))
    chosen = [by_family[family][i] for i in rounds for family in order if i < len(by_family.get(family, ()))]
    return [
        AnswerRow(
            row["prompt"],
            row["family"],
            {
                name: StageAnswer(one["text"], one["gold"], one["faults"])
                for name, one in row["answers"].items()
            },
        )
        for row in chosen[:NUM_SHOWN]
    ]
