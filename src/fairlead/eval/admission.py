"""The admission report of a reward model: examined as it stands on the disk, on pairs that it never saw, with a verdict.

`examine` makes the report of any folder; `publish` is how training ends: save, read back, examine, write `admission.json`, and only then
give the folder its name.
"""

import json
import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from fairlead.core import files
from fairlead.core.errors import DataError
from fairlead.eval import reward_metrics, reward_scoring, verdict
from fairlead.eval.reward_metrics import EvaluationPairs
from fairlead.eval.reward_scoring import PairScores, PreSaveState
from fairlead.eval.verdict import AdmissionDecision
from fairlead.model.ensemble import member_folders
from fairlead.model.reward_model import load_reward_model
from fairlead.store.artifact import Artifact
from fairlead.store.run import Run
from fairlead.train.admission_gate import REPORT


def examine(
    reference: str,
    pairs: EvaluationPairs,
    *,
    micro_tokens: int,
    source: str,
    max_tokens: int = 0,
    drop: bool = False,
    trained: PreSaveState | None = None,
) -> dict[str, Any]:
    """The report of the reward model in a folder, its members included; ready for JSON."""
    model = load_reward_model(reference)
    longest = max_tokens or (None if trained else model.context)  # what was trained on fits
    encoded = reward_scoring.encode_pairs(model, pairs.held_out, max_tokens=longest, source=source)
    fits = [i for i, one in enumerate(encoded) if one is not None]
    if len(fits) < len(encoded) and not drop:
        first = next(i for i, one in enumerate(encoded) if one is None)
        raise DataError(
            f"{source}: {len(encoded) - len(fits)} pairs, the first of them number {first + 1} of those compared, are longer than the "
            f"{longest} tokens that the model takes. Leave them out with --drop."
        )
    if not fits:
        raise DataError(
            f"{source}: none of its {len(encoded)} pairs fits into the {longest} tokens that the model takes."
        )
    rows = [one for one in encoded if one is not None]
    kept = EvaluationPairs([pairs.held_out[i] for i in fits], pairs.train, pairs.notes, pairs.seed)

    first_scores = reward_scoring.score_pairs(model, rows, micro_tokens)
    gap, num_rows = reward_scoring.batch_gap(model, rows, micro_tokens)
    head = reward_scoring.check_head(model, first_scores, trained)
    members = [
        first_scores,
        *(
            reward_scoring.score_pairs(load_reward_model(member), rows, micro_tokens)
            for member in member_folders(reference)[1:]
        ),
    ]
    return _report(
        kept,
        members,
        {"head": head, "batches": {"gap": gap / first_scores.spread, "n": num_rows}},
        len(encoded) - len(fits),
    )


def _report(
    pairs: EvaluationPairs, members: list[PairScores], numbers: Mapping[str, Any], num_dropped: int
) -> dict[str, Any]:
    not_finite = sum(member.num_not_finite for member in members)
    found: dict[str, Any] = {
        "pairs": len(pairs.held_out),
        "prompts": len(set(pairs.prompts)),
        "dropped": num_dropped,
    }
    found |= {"not_finite": not_finite, "notes_unused": pairs.notes.num_ignored}
    found["not_measured"] = ["everything that needs scores"] if not_finite else []
    if not not_finite:
        pooled = reward_scoring.ensemble_scores(members)
        found |= numbers
        found |= reward_metrics.compute_reward_metrics(pairs, pooled.chosen, pooled.rejected)
        apart = (
            reward_metrics.ensemble_disagreement(pairs, [(one.chosen, one.rejected) for one in members])
            if len(members) > 1
            else None
        )
        found |= {"ensemble": apart, "not_measured": _not_measured(found, apart)}
    decision = verdict.decide_admission(found)
    return {"verdict": decision.verdict, "reasons": decision.reasons, "warnings": decision.warnings, **found}


def _not_measured(found: Mapping[str, Any], ensemble: Mapping[str, Any] | None) -> list[str]:
    """What the reader could otherwise take for fine."""
    missing = {
        "whether the head survives saving: that is seen where a model is trained": found["head"] is None,
        "position only: no row says which answer was shown first (shown_first)": found["baselines"][
            "position_only"
        ]
        is None,
        "the ceiling that people's disagreement sets: no pair was judged by two named raters": found[
            "ceiling"
        ]
        is None,
        "disagreement: the model is no ensemble": ensemble is None,
    }
    return [what for what, absent in missing.items() if absent]


def write_report(folder: Path, report: Mapping[str, Any]) -> None:
    files.write_text(
        folder / REPORT, json.dumps(report, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    )


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
    """Save a trained model, examine what was saved, and publish it with its report, whatever the verdict: a refusal is evidence too.

    `more` are further figures for the manifest.
    """
    with tempfile.TemporaryDirectory(prefix=".reward-model.part-", dir=run.folder) as scratch:
        folder = Path(scratch) / "model"
        folder.mkdir()
        save(folder)
        report = examine(str(folder), pairs, micro_tokens=micro_tokens, source=source, trained=trained)
        write_report(folder, report)
        log_decision(run, AdmissionDecision(report["verdict"], report["reasons"], report["warnings"]))
        metrics = {**reward_metrics.manifest_metrics(report), **more}
        return run.publish(lambda made: _move(folder, made), metrics=metrics)


def log_decision(run: Run, decision: AdmissionDecision) -> None:
    run.event("admission", **asdict(decision))
    for reason in decision.reasons:
        run.warn(f"refused: {reason}")
    for warning in decision.warnings:
        run.warn(f"of its admission: {warning}")


def _move(folder: Path, made: Path) -> None:
    for each in sorted(folder.iterdir()):
        shutil.move(each, made / each.name)
