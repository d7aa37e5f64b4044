"""The admission report of a reward model: metrics on held-out pairs, and a verdict.

`examine` reports on the model in any folder.  Training ends with `publish`: save the model, reload it,
examine it, write `admission.json`, and only then make the artifact visible.
"""

import json
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from fairlead.core import files
from fairlead.core.errors import ConfigError, DataError
from fairlead.core.plural import agreeing, counted
from fairlead.core.template_settings import OWN_TEMPLATE, Template
from fairlead.data.records import Messages
from fairlead.eval import admission_verdict, reward_metrics, reward_scoring
from fairlead.eval.admission_verdict import AdmissionDecision
from fairlead.eval.leaks import Leaks, find_leaks
from fairlead.eval.reward_metrics import EvaluationPairs
from fairlead.eval.reward_scoring import PairScores, PreSaveState
from fairlead.model.ensemble import member_folders
from fairlead.model.reward_model import load_reward_model
from fairlead.store.artifact import Artifact
from fairlead.store.run import Run
from fairlead.train import training_prompts
from fairlead.train.admission_gate import REPORT
from fairlead.train.training_prompts import TrainingPrompts


@dataclass(frozen=True)
class Reading:
    """How an examination reads its pairs: Reading(max_tokens=512, drop=True)."""

    max_tokens: int = 0  # of a conversation; 0 is the context of the model
    drop: bool = False  # leave out and count longer pairs
    # for a model without a chat template of its own; every run reads another model with its own
    template: Template = OWN_TEMPLATE


DEFAULT_READING = Reading()


def examine(
    reference: str,
    pairs: EvaluationPairs,
    *,
    micro_tokens: int,
    source: str,
    reading: Reading = DEFAULT_READING,
    trained: PreSaveState | None = None,
    leaks: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Report on the reward model in a folder and on its ensemble members, as JSON values.

    `leaks` is what `eval.leaks` found among the pairs, for the report and the verdict; None if nothing was
    compared, as for a model without a lineage.
    """
    template = reading.template
    model = load_reward_model(reference, fallback=template)
    if template != OWN_TEMPLATE and model.chat.settings != template:
        raise ConfigError(
            f"template: {reference} has a chat template of its own, with which every run reads it. Leave out "
            "template.KEY=VALUE, which is for a reward model without one."
        )
    longest = reading.max_tokens or (None if trained else model.context)  # pairs of the training data fit
    encoded = reward_scoring.encode_pairs(model, pairs.held_out, max_tokens=longest, source=source)
    fitting = [i for i, pair in enumerate(encoded) if pair is not None]
    num_dropped = len(encoded) - len(fitting)
    if num_dropped and not reading.drop:
        first = next(i for i, pair in enumerate(encoded) if pair is None)
        raise DataError(
            f"{source}: {counted(num_dropped, 'pair')} {agreeing(num_dropped, 'is')} longer than the model's "
            f"limit of {longest} tokens; "
            f"the first is number {first + 1} of the pairs without ties. Leave them out with --drop."
        )
    if not fitting:
        raise DataError(
            f"{source}: all {counted(len(encoded), 'pair')} {agreeing(len(encoded), 'is')} longer than "
            f"the model's limit of {longest} tokens. "
            "Bring shorter pairs, or a model with a longer context."
        )
    rows = [pair for pair in encoded if pair is not None]
    examined = EvaluationPairs([pairs.held_out[i] for i in fitting], pairs.train, pairs.notes, pairs.seed)

    first_scores = reward_scoring.score_pairs(model, rows, micro_tokens)
    gap, num_rows = reward_scoring.batch_gap(model, rows, micro_tokens)
    head = reward_scoring.check_head(model, first_scores, trained)
    members = [
        first_scores,
        *(
            reward_scoring.score_pairs(load_reward_model(member, fallback=template), rows, micro_tokens)
            for member in member_folders(reference)[1:]
        ),
    ]
    return _report(
        examined,
        members,
        {"head": head, "batches": {"gap": gap / first_scores.spread, "n": num_rows}},
        num_dropped,
        leaks,
    )


def _report(
    pairs: EvaluationPairs,
    members: list[PairScores],
    numbers: Mapping[str, Any],
    num_dropped: int,
    leaks: Mapping[str, Any] | None,
) -> dict[str, Any]:
    not_finite = sum(member.num_not_finite for member in members)
    metrics: dict[str, Any] = {
        "pairs": len(pairs.held_out),
        "prompts": len(set(pairs.prompts)),
        "dropped": num_dropped,
        "leaks": None if leaks is None else dict(leaks),
        "not_finite": not_finite,
        "notes_unused": pairs.notes.num_ignored,
        "not_measured": ["all metrics that need scores"] if not_finite else [],
    }
    if not not_finite:
        pooled = reward_scoring.ensemble_scores(members)
        metrics |= numbers
        metrics |= reward_metrics.compute_reward_metrics(pairs, pooled.chosen, pooled.rejected)
        disagreement = (
            reward_metrics.ensemble_disagreement(
                pairs, [(member.chosen, member.rejected) for member in members]
            )
            if len(members) > 1
            else None
        )
        metrics |= {"ensemble": disagreement, "not_measured": _not_measured(metrics, disagreement)}
    decision = admission_verdict.decide_admission(metrics)
    return {
        "verdict": decision.verdict,
        "reasons": decision.reasons,
        "warnings": decision.warnings,
        **metrics,
    }


def _not_measured(metrics: Mapping[str, Any], ensemble: Mapping[str, Any] | None) -> list[str]:
    """Checks that were not possible and that a reader could otherwise take for passed."""
    missing = {
        "saving and reloading the head: checked only at the end of training": metrics["head"] is None,
        "position-only baseline: no row has shown_first": metrics["baselines"]["position_only"] is None,
        "accuracy ceiling: no pair was judged by two named raters": metrics["ceiling"] is None,
        "disagreement: the model is not an ensemble": ensemble is None,
    }
    not_checked = ["nothing was compared"] if metrics["leaks"] is None else metrics["leaks"]["not_checked"]
    unknown = [f"leaks: {sentence.rstrip('.')}" for sentence in not_checked]
    return [check for check, is_missing in missing.items() if is_missing] + unknown


def write_report(folder: Path, report: Mapping[str, Any]) -> None:
    files.write_text(
        folder / REPORT, json.dumps(report, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    )


def write_evidence(run: Run, folder: Path, report: Mapping[str, Any]) -> None:
    """Write the admission report of a trained model, and the prompts that it was trained on."""
    write_report(folder, report)
    training_prompts.write(run, folder)


def publish(
    run: Run,
    save: Callable[[Path], None],
    pairs: EvaluationPairs,
    trained: PreSaveState,
    *,
    more: Mapping[str, Any],
    micro_tokens: int,
    source: str,
) -> Artifact:
    """Save a trained model, examine the saved files, and publish them with the report, whatever the verdict.

    `more` are further metrics for the manifest.
    """
    leaks = leaks_of_run(run, [pair.prompt for pair in pairs.held_out])
    kept = record_leaks(run, leaks)
    with tempfile.TemporaryDirectory(prefix=".reward-model.part-", dir=run.folder) as scratch:
        folder = Path(scratch) / "model"
        folder.mkdir()
        save(folder)
        report = examine(
            str(folder),
            replace(pairs, held_out=[pairs.held_out[i] for i in kept]),
            micro_tokens=micro_tokens,
            source=source,
            trained=trained.subset(kept),
            leaks=leaks.as_dict(excluded=len(kept) < leaks.num_rows or not leaks.rows),
        )
        write_evidence(run, folder, report)
        log_decision(run, AdmissionDecision(report["verdict"], report["reasons"], report["warnings"]))
        metrics = {**reward_metrics.manifest_metrics(report), **more}
        return run.publish(lambda artifact_folder: _move(folder, artifact_folder), metrics=metrics)


def leaks_of_run(run: Run, held_out: Sequence[Messages]) -> Leaks:
    """The held-out prompts of a training run on which the model that it started from was trained.

    The run's own training prompts were left out of the held-out side when the rows were split.
    """
    trained = training_prompts.of_run(run)
    start = TrainingPrompts(inherited=trained.inherited, not_checked=trained.not_checked)
    return find_leaks(held_out, {"the model it was trained from": start})


def record_leaks(run: Run, leaks: Leaks) -> list[int]:
    """The held-out rows to examine: those that are no leaks, counted in the run.

    If all are leaks, all are kept: the report has its figures, and its verdict refuses them as evidence.
    """
    if not leaks.fresh:
        return list(range(leaks.num_rows))
    if leaks.rows:
        run.record_data(leaks.left_out("held-out rows"), examined=len(leaks.fresh))
    return leaks.fresh


def log_decision(run: Run, decision: AdmissionDecision) -> None:
    """Record the decision; the command prints a refusal with its result."""
    run.event("admission", **asdict(decision))
    for warning in decision.warnings:
        run.warn(f"admission: {warning}")


def _move(source: Path, target: Path) -> None:
    for path in sorted(source.iterdir()):
        shutil.move(path, target / path.name)
