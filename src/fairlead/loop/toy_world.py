"""Quickstart stages for the toy world only: base model, rows, labels by simulated raters, gold evaluation.

Each stage is a run.  Repeated with the same configuration and inputs, it returns its earlier artifact.
"""

import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch

from fairlead import simulate
from fairlead.core import files, jsonl
from fairlead.core.config import ModelRef, RolloutsRef
from fairlead.data.record_writer import write_records
from fairlead.data.records import Message
from fairlead.data.sampled_answers import SampledAnswers, read_sampled_answers
from fairlead.encoding.batching import collate, map_micro_batches
from fairlead.model.policy import load_policy
from fairlead.ops import kl
from fairlead.simulate import campaign, gold, world
from fairlead.simulate.raters import PANEL
from fairlead.stats import interval
from fairlead.store.artifact import Artifact
from fairlead.store.run import Run
from fairlead.train.meter import Meter

BASE_MODEL = Path(simulate.__file__).parent / "base_model"
MODELS = ("base", "sft", "aligned")


@dataclass(frozen=True, kw_only=True)
class Base:
    """The small base model that ships with the package."""

    name: str
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class WorldRows:
    """Demonstrations or prompts of the toy world, from a seed."""

    name: str
    rows: Literal["demonstrations", "prompts"]
    count: int
    held_out: bool = False
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class Label:
    """Simulated raters compare the answers of two models to the same prompts."""

    name: str
    a: RolloutsRef
    b: RolloutsRef
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class Evaluate:
    """Gold scores of one answer per held-out prompt and model, and KL(policy || reference)."""

    name: str
    base: RolloutsRef
    sft: RolloutsRef
    aligned: RolloutsRef
    policy: ModelRef
    reference: ModelRef
    seed: int = 0


def base(config: Base, run: Run) -> Artifact:
    return run.finished or run.publish(lambda folder: _copy(BASE_MODEL, folder), metrics={})


def rows(config: WorldRows, run: Run) -> Artifact:
    if run.finished:
        return run.finished
    if config.rows == "demonstrations":
        records: Sequence[Any] = campaign.demonstrations(config.count, config.seed)
    else:
        records = campaign.prompts(config.count, config.seed, purpose=config.name, held_out=config.held_out)
    return run.publish(lambda folder: _write(folder, records), metrics={"rows": len(records)})


def label(config: Label, run: Run) -> Artifact:
    if run.finished:
        return run.finished
    meter = Meter(run)
    pairs = zip(
        read_sampled_answers(run.data_path("a")), read_sampled_answers(run.data_path("b")), strict=True
    )
    together = [SampledAnswers(a.prompt, a.texts + b.texts, a.finished + b.finished) for a, b in pairs]
    comparisons = campaign.comparisons(together, PANEL, config.seed)
    ties = sum(comparison.tie is not None for comparison in comparisons)
    meter.flush()
    return run.publish(
        lambda folder: _write(folder, comparisons), metrics={"comparisons": len(comparisons), "ties": ties}
    )


def evaluate(config: Evaluate, run: Run) -> Artifact:
    if run.finished:
        return run.finished
    meter = Meter(run)
    answers = {name: read_sampled_answers(run.data_path(name)) for name in MODELS}
    table: list[dict[str, Any]] = [
        {
            "prompt": base_answer.prompt[-1].content,
            "family": _family(base_answer.prompt[-1].content),
            "answers": {name: _verdict(answers[name][i]) for name in MODELS},
        }
        for i, base_answer in enumerate(answers["base"])
    ]
    scores = {name: [row["answers"][name]["gold"] for row in table] for name in MODELS}
    verdict = interval.win_rate(scores["aligned"], scores["sft"])
    families = sorted({row["family"] for row in table})
    metrics = {
        "gold": {name: interval.mean(scores[name]).as_dict() for name in MODELS},
        "win_rate_vs_sft": verdict.interval.as_dict()
        | {"wins": verdict.wins, "ties": verdict.ties, "losses": verdict.losses},
        "kl": mean_kl(run.model_path("policy"), run.model_path("reference"), answers["aligned"]),
        "families": {
            family: {name: _family_mean(table, family, name) for name in MODELS} for family in families
        },
        "faults": _fault_shares(table),
    }
    meter.flush()

    def fill(folder: Path) -> None:
        files.write_text(folder / "verdict.json", jsonl.dumps(metrics) + "\n")
        jsonl.write(folder / "answers.jsonl", table)

    return run.publish(fill, metrics=metrics)


def _verdict(row: SampledAnswers) -> dict[str, Any]:
    verdict = gold.judge(row.prompt[-1].content, row.texts[0], finished=row.finished[0])
    return {
        "text": row.texts[0],
        "gold": verdict.score,
        "aspects": verdict.aspects(),
        "faults": list(verdict.faults),
    }


def _family(prompt: str) -> str:
    task = world.parse_prompt(prompt)
    assert task is not None, "the gold rule has judged this prompt"
    return task.family


def _family_mean(table: list[dict[str, Any]], family: str, name: str) -> float:
    scores = [row["answers"][name]["gold"] for row in table if row["family"] == family]
    return float(sum(scores) / len(scores))


def _fault_shares(table: list[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """Fault -> model -> share of answers with the fault; the base model's most frequent faults first."""
    counts = {
        name: Counter(fault for row in table for fault in row["answers"][name]["faults"]) for name in MODELS
    }
    faults = sorted(
        {fault for count in counts.values() for fault in count},
        key=lambda fault: (-counts["base"][fault], fault),
    )
    return {fault: {name: counts[name][fault] / len(table) for name in MODELS} for fault in faults}


@torch.no_grad()
def mean_kl(policy_path: str, reference_path: str, answers: Sequence[SampledAnswers]) -> float:
    """KL(policy || reference) in nats per answer: k1 over the policy's finished answers."""
    sums = []
    for path in (policy_path, reference_path):
        policy = load_policy(path)
        finished = [row for row in answers if row.finished[0] and row.texts[0]]
        encoded = [
            policy.encode((*row.prompt, Message("assistant", row.texts[0])), num_context=len(row.prompt))
            for row in finished
        ]
        logps = map_micro_batches(
            policy.token_logps, collate(encoded, pad_id=policy.pad_id, device=policy.device), 4096
        )
        sums.append(logps.sum(dim=1))
    return float(kl.k1(sums[0], sums[1]).mean())


def _write(folder: Path, records: Sequence[Any]) -> None:
    write_records(folder / "rows.jsonl", records)


def _copy(source: Path, folder: Path) -> None:
    for file in sorted(source.iterdir()):
        shutil.copyfile(file, folder / file.name)
