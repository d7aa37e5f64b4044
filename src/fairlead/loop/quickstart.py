"""The whole loop on the toy world: base model, SFT, comparisons, reward model, PPO, evaluation, report.

Each stage is a run in the project folder `out`.  A restarted quickstart skips finished stages and resumes the
unfinished one.  It writes `summary.json` and `report.html` into the folder.
"""

import json
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from itertools import zip_longest
from pathlib import Path
from typing import Any

from fairlead.core import files, jsonl
from fairlead.core.config import resolved
from fairlead.core.errors import ProjectError
from fairlead.loop import toy_world
from fairlead.recipes import ppo, reward, sample, sft
from fairlead.report import round_page
from fairlead.report.round_page import (
    AnswerCounts,
    AnswerRow,
    FamilyRow,
    FaultRow,
    RoundPage,
    StageAnswer,
    StageSummary,
)
from fairlead.stats.interval import Interval
from fairlead.store import lineage
from fairlead.store.artifact import Artifact, find_artifact
from fairlead.store.project import PROJECT_FILE, Project, create_project, load_project
from fairlead.store.run import Run, open_run
from fairlead.train.meter import peak_rss_mb
from fairlead.train.settings import Adapter, Checkpoints, Data, Guard, Optim

# Examples in the report, by the change of the gold score from the fine-tuned to the aligned model.
NUM_IMPROVED = 12
NUM_WORSENED = 8
NUM_EQUAL = 4
LONGEST = 64  # tokens of an answer


@dataclass(frozen=True, kw_only=True)
class Size:
    """Size of the round; the defaults fit into five minutes on two cores."""

    demonstrations: int = 480
    compared: int = 1000  # prompts whose answers are compared
    practised: int = 2000  # prompts for PPO
    held_out: int = 448  # prompts for the evaluation only
    ppo_steps: int = 24
    ppo_batch: int = 128


WHOLE = Size()


@dataclass(frozen=True)
class Stage:
    """One run of the round."""

    title: str  # also the name of its artifact
    sentence: str  # what the stage does, for the terminal and the report
    recipe: str
    kind: str
    config: Any
    main: Callable[[Any, Run], Artifact]


@dataclass(frozen=True)
class FinishedStage:
    stage: Stage
    artifact: Artifact
    folder: Path  # of the run

    def costs(self) -> list[dict[str, Any]]:
        """The `cost` events of the run, one per start."""
        path = self.folder / "events.jsonl"
        return [event for _, event in jsonl.read(path) if event["event"] == "cost"] if path.exists() else []

    def metrics(self) -> list[dict[str, Any]]:
        return [row for _, row in jsonl.read(self.folder / "metrics.jsonl")]


def stages(seed: int, size: Size) -> list[Stage]:
    """All stages in order.  Later stages refer to earlier ones by the names of their artifacts."""

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
            "Demonstrations by careful but imperfect simulated writers.",
            rows="demonstrations",
            count=size.demonstrations,
        ),
        rows(
            "prompts-to-compare",
            "Prompts for the comparisons.",
            rows="prompts",
            count=size.compared,
        ),
        rows(
            "prompts-to-practise",
            "Prompts for PPO.",
            rows="prompts",
            count=size.practised,
        ),
        rows(
            "prompts-held-out",
            "Prompts for the evaluation, used in no training.",
            rows="prompts",
            count=size.held_out,
            held_out=True,
        ),
        Stage(
            "sft",
            "Supervised fine-tuning on the demonstrations.",
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
            "The fine-tuned model answers each prompt twice.",
            "sft",
            "dataset/prompts-to-compare",
            2,
        ),
        answers(
            "answers-of-base",
            "The base model answers each prompt once.",
            "base",
            "dataset/prompts-to-compare",
            1,
        ),
        Stage(
            "comparisons",
            "Five simulated raters compare pairs of answers, with noise, ties and individual tastes.",
            "label",
            "dataset",
            toy_world.Label(name="comparisons", a="answers-of-sft", b="answers-of-base", seed=seed),
            toy_world.label,
        ),
        Stage(
            "reward",
            "A reward model learns the raters' preferences from the comparisons.",
            "reward",
            reward.KIND,
            reward.Config(
                name="reward",
                model="model/sft",
                comparisons="dataset/comparisons",
                epochs=1,
                batch=16,
                seed=seed,
                optim=Optim(lr=3e-4, warmup=10),
                adapter=Adapter(rank=0),
                data=Data(held_out=0.15, measure_every=40),
                checkpoints=Checkpoints(every=20),
            ),
            reward.main,
        ),
        Stage(
            "aligned",
            "PPO: the policy answers prompts, the reward model scores, and KL limits the drift.",
            "ppo",
            ppo.KIND,
            ppo.Config(
                name="aligned",
                model="model/sft",
                reward="reward",
                prompts="dataset/prompts-to-practise",
                steps=size.ppo_steps,
                batch=size.ppo_batch,
                epochs=1,
                minibatches=4,
                max_new_tokens=LONGEST,
                critic_lr=3e-4,
                kl_coef=0.1,
                seed=seed,
                optim=Optim(lr=2e-4, warmup=3),
                adapter=Adapter(rank=0),
                checkpoints=Checkpoints(every=5),
                guard=Guard(probe="rule:fairlead.simulate.gold"),
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
            "The gold rule, which no training used, scores every held-out answer.",
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
    """Run the unfinished stages, write `summary.json` and `report.html`, and return the summary."""
    started_at = datetime.now(UTC)
    clock = time.monotonic()
    project = _open_project(out, seed)
    finished: dict[str, FinishedStage] = {}
    plan = stages(seed, size)
    for number, stage in enumerate(plan, start=1):
        with open_run(project, stage.recipe, stage.config, kind=stage.kind, quiet=quiet) as run:
            say(f"[{number}/{len(plan)}] {stage.title}: {'already done' if run.finished else stage.sentence}")
            artifact = stage.main(stage.config, run)
            finished[stage.title] = FinishedStage(stage, artifact, run.folder)
            run.stop.raise_if_set(
                f"Stopped after {stage.title}; the work is saved. Run the same command again to go on."
            )
    costs = [cost for stage in finished.values() for cost in stage.costs()]
    started_text = started_at.isoformat(timespec="seconds")
    earlier_seconds = sum(cost["seconds"] for cost in costs if cost["at"] < started_text)
    verdict = finished["evaluation"].artifact.manifest.metrics
    evidence = finished["reward"].artifact.manifest.metrics
    summary = {
        "seconds": round(time.monotonic() - clock + earlier_seconds, 1),
        "peak_rss_mb": round(max([peak_rss_mb(), *(cost["peak_rss_mb"] for cost in costs)]), 1),
        "reward_model": {
            "accuracy": evidence["accuracy"]["value"],
            "low": evidence["accuracy"]["low"],
            "high": evidence["accuracy"]["high"],
            "n": evidence["accuracy"]["n"],
            "length_only": evidence["length_only"]["value"],
        },
        "gold": {
            name: {"mean": mean["value"], "low": mean["low"], "high": mean["high"], "n": mean["n"]}
            for name, mean in verdict["gold"].items()
        },
        "win_rate_vs_sft": {key: verdict["win_rate_vs_sft"][key] for key in ("value", "low", "high", "n")},
        "kl": verdict["kl"],
        "report": "report.html",
    }
    files.write_text(out / "report.html", round_page.render_round(_page(project, finished, summary)))
    files.write_text(out / "summary.json", json.dumps(summary, indent=2, allow_nan=False) + "\n")
    return summary


def _open_project(out: Path, seed: int) -> Project:
    if (out / PROJECT_FILE).exists():
        project = load_project(out)
        demonstrations = find_artifact(project, "dataset/demonstrations")
        if demonstrations is not None and demonstrations.manifest.seed != seed:
            raise ProjectError(
                f"{out}: holds a quickstart with --seed {demonstrations.manifest.seed}, not --seed {seed}. "
                "Choose another --out."
            )
        return project
    if out.exists() and any(out.iterdir()):
        raise ProjectError(
            f"{out}: is not empty and not a Fairlead project. Choose another --out, or empty it."
        )
    return create_project(out)


def _page(project: Project, finished: Mapping[str, FinishedStage], summary: dict[str, Any]) -> RoundPage:
    evaluation = finished["evaluation"].artifact
    verdict = evaluation.manifest.metrics
    win_rate = verdict["win_rate_vs_sft"]
    bag_of_words = finished["reward"].artifact.manifest.metrics["bag_of_words"]
    num_tokens = sum(cost["tokens"] for stage in finished.values() for cost in stage.costs())
    return RoundPage(
        title="From a base model to one that people prefer",
        summary=summary,
        stages=[_stage_summary(stage) for stage in finished.values()],
        ppo_metrics=finished["aligned"].metrics(),
        sft_metrics=finished["sft"].metrics(),
        reward_metrics=finished["reward"].metrics(),
        families=[FamilyRow(family, means) for family, means in verdict["families"].items()],
        faults=[FaultRow(fault, shares) for fault, shares in verdict["faults"].items()],
        answers=example_answers(evaluation.folder / "answers.jsonl"),
        answer_counts=AnswerCounts(
            improved=win_rate["wins"], equal=win_rate["ties"], worsened=win_rate["losses"]
        ),
        bag_of_words=Interval(
            bag_of_words["value"], bag_of_words["low"], bag_of_words["high"], bag_of_words["n"]
        ),
        lineage_text=lineage.render_text(lineage.ancestors(project, finished["aligned"].artifact)),
        config={title: resolved(stage.stage.config) for title, stage in finished.items()},
        cost={
            "time": f"{summary['seconds']:.0f} s",
            "peak memory": f"{summary['peak_rss_mb']:.0f} MB",
            "tokens trained on and sampled": f"{num_tokens:,}",
            "money": "none: one machine, no accelerator needed",
        },
        environment={
            "Python": platform.python_version(),
            "machine": f"{platform.system()} {platform.machine()}",
            **{name: version(name) for name in ("fairlead", "torch", "transformers", "peft")},
        },
        judge="The gold rule",
    )


def _stage_summary(finished: FinishedStage) -> StageSummary:
    figures = {
        key: f"{value:.3g}" if isinstance(value, float) else str(value)
        for key, value in finished.artifact.manifest.metrics.items()
        if isinstance(value, int | float)
    }
    return StageSummary(
        name=finished.stage.title,
        sentence=finished.stage.sentence,
        artifact=finished.artifact.label,
        run_id=finished.folder.name,
        seconds=sum(cost["seconds"] for cost in finished.costs()),
        figures=figures,
    )


def example_answers(path: Path) -> list[AnswerRow]:
    """Examples for the report: the clearest improvements, the largest regressions, and some equal scores.

    Within each of the three groups the families of prompts take turns.
    """
    rows = [
        AnswerRow(
            row["prompt"],
            row["family"],
            {
                name: StageAnswer(answer["text"], answer["gold"], answer["faults"])
                for name, answer in row["answers"].items()
            },
        )
        for _, row in jsonl.read(path)
    ]
    improved = sorted((row for row in rows if row.change == "improved"), key=_clearest_gain_first)
    worsened = sorted((row for row in rows if row.change == "worsened"), key=_largest_loss_first)
    equal = [row for row in rows if row.change == "equal"]
    return [
        *_families_in_turn(improved)[:NUM_IMPROVED],
        *_families_in_turn(worsened)[:NUM_WORSENED],
        *_families_in_turn(equal)[:NUM_EQUAL],
    ]


def _clearest_gain_first(row: AnswerRow) -> tuple[float, str]:
    """A gain over both earlier models is clearer than one that only undoes a loss of fine-tuning."""
    earlier = max(row.answers["base"].gold, row.answers["sft"].gold)
    return earlier - row.answers["aligned"].gold, row.prompt


def _largest_loss_first(row: AnswerRow) -> tuple[float, str]:
    return row.answers["aligned"].gold - row.answers["sft"].gold, row.prompt


def _families_in_turn(rows: Sequence[AnswerRow]) -> list[AnswerRow]:
    """The first row of every family, then the second of every family, and so on."""
    by_family: dict[str, list[AnswerRow]] = {}
    for row in rows:
        by_family.setdefault(row.family, []).append(row)
    return [row for turn in zip_longest(*by_family.values()) for row in turn if row is not None]
