"""Refuse runs whose reward models were not admitted.

Training writes an admission report beside the weights, and `fairlead eval` writes one as an evaluation; the
newest counts. This module reads reports and does not create them.  A report may come from outside, so every
field is checked.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from fairlead.core.errors import ConfigError, GateRefused, ModelError
from fairlead.store.artifact import MANIFEST, Artifact, load_artifacts
from fairlead.store.project import Project
from fairlead.store.resolve_inputs import LLM, RULE, ResolvedInput
from fairlead.store.run import Run

REPORT = "admission.json"
Verdict = Literal["admit", "admit with warnings", "refuse"]
VERDICTS: tuple[Verdict, ...] = get_args(Verdict)
MAX_BYTES = 1 << 20
MAX_REASONS = 20  # reasons or warnings to show
MAX_LENGTH = 300  # characters of each


@dataclass(frozen=True)
class Admission:
    """A report's verdict: Admission("refuse", reasons=("No better than length.",))."""

    verdict: Verdict
    reasons: tuple[str, ...] = ()  # why the verdict is "refuse"
    warnings: tuple[str, ...] = ()
    checked_for_leaks: bool = False  # whether the prompts were compared with the training prompts


def read_admission(folder: Path) -> Admission | None:
    """Read the report in a folder, or None if there is none.  Raises ModelError for an unusable report."""
    path = folder / REPORT
    if not path.exists() and not path.is_symlink():
        return None
    try:
        if not path.is_file():
            raise ModelError(
                f"{path}: is not a file, so it holds no verdict. Remove it and evaluate the reward model."
            )
        if path.stat().st_size > MAX_BYTES:
            raise ModelError(
                f"{path}: is larger than {MAX_BYTES} bytes, so it is not an admission report. "
                "Evaluate the reward model again."
            )
        report = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(
            f"{path}: cannot be read as JSON: {_plain(str(error))}. Evaluate the reward model again."
        ) from error
    fields = report if isinstance(report, dict) else {}
    verdict = fields.get("verdict")
    texts = [fields.get(name, []) for name in ("reasons", "warnings")]
    if verdict not in VERDICTS or not all(map(_are_texts, texts)):
        raise ModelError(
            f"{path}: needs a verdict ({', '.join(VERDICTS)}), and lists of texts as reasons and warnings. "
            "Evaluate the reward model again."
        )
    reasons, warnings = (tuple(_plain(text) for text in lines[:MAX_REASONS]) for lines in texts)
    return Admission(verdict, reasons, warnings, isinstance(fields.get("leaks"), dict))


def newest_evaluation(project: Project, model_digest: str) -> Artifact | None:
    """The last evaluation of this reward model in the project.

    Folders that are not artifacts are skipped.
    """
    evaluations = [
        artifact
        for artifact in load_artifacts(project)[0]
        if artifact.manifest.kind == "evaluation"
        and REPORT in artifact.manifest.files
        and any(p.role == "model" and p.digest == model_digest for p in artifact.manifest.parents)
    ]
    # Creation times have whole seconds; the file system decides between two in the same second.
    return max(
        evaluations,
        key=lambda artifact: (
            artifact.manifest.created_at,
            (artifact.folder / MANIFEST).stat().st_mtime_ns,
        ),
        default=None,
    )


def check_admission(run: Run, fields: Iterable[str], *, trust: str) -> None:
    """Raise GateRefused if a reward model of the run was refused, unless `trust` names it.

    Other findings are warnings.

    `fields` are the configuration's fields that name rewards.  `trust` holds comma-separated names; a name
    that is not a reward model of this run raises ConfigError.
    """
    reward_models = {
        field: run.inputs[field]
        for field in fields
        if field in run.inputs and not run.inputs[field].ref.startswith((RULE, LLM))
    }
    trusted = {name.strip() for name in trust.split(",") if name.strip()}
    known_names = {name for model in reward_models.values() for name in _names(model)}
    if unknown := trusted - known_names:
        raise ConfigError(
            f"trust = {trust!r}: {', '.join(sorted(unknown))} is not a reward model of this run. "
            "Use the name that the configuration uses."
        )
    for field, model in reward_models.items():
        admission, source = _deciding_report(run.project, model.location, model.digest)
        if admission is None:
            run.warn(
                f"{field} = {model.ref}: this reward model was never evaluated. Run `fairlead eval` to "
                "find out "
                "whether to trust it."
            )
            continue
        run.event("admission", of=model.ref, by=source, verdict=admission.verdict)
        reasons = " ".join(admission.reasons) or "No reason is given."
        if admission.verdict == "refuse" and not trusted.intersection(_names(model)):
            raise GateRefused(
                f"{field} = {model.ref}: {source} refuses this reward model: {reasons} "
                f"Fix it, or set trust={model.ref} to use it anyway."
            )
        if admission.verdict == "refuse":
            run.warn(
                f"{field} = {model.ref}: {source} refuses this reward model, which is trusted anyway: "
                f"{reasons}"
            )
        if admission.warnings or admission.verdict == "admit with warnings":
            run.warn(f"{field} = {model.ref}: {source} warns: {' '.join(admission.warnings) or reasons}")


@dataclass(frozen=True)
class Refusal:
    """Refusal("the admission report", ("No better than length.",))."""

    by: str
    reasons: tuple[str, ...]


def refusal_of(run: Run, field: str) -> Refusal | None:
    """The refusal of the reward model in this field; None if it is a rule, admitted or not evaluated."""
    model = run.inputs[field]
    if model.ref.startswith((RULE, LLM)):
        return None
    admission, source = _deciding_report(run.project, model.location, model.digest)
    if admission is None or admission.verdict != "refuse":
        return None
    return Refusal(source, admission.reasons)


def _deciding_report(
    project: Project, folder: Path | None, model_digest: str
) -> tuple[Admission | None, str]:
    """The newest report on a reward model, and its name.

    An evaluation that did not compare its prompts with the training prompts may have examined the model on
    what it was trained on.  It cannot lift the refusal that ended the training.
    """
    own = None if folder is None else read_admission(folder)  # a model of the Hub brings no report
    evaluation = newest_evaluation(project, model_digest)
    if evaluation is not None:
        newest = read_admission(evaluation.folder)
        was_refused = own is not None and own.verdict == "refuse"
        if not was_refused or newest is None or newest.checked_for_leaks or newest.verdict == "refuse":
            return newest, evaluation.label
    return own, "the admission report"


def _names(model: ResolvedInput) -> set[str]:
    """The names that `trust` accepts: as in the configuration, or the artifact's label or name."""
    if model.artifact is None:
        return {model.ref}
    return {model.ref, model.artifact.label, model.artifact.manifest.name}


def _are_texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(text, str) for text in value)


def _plain(text: str) -> str:
    """One line of printable characters of limited length, safe to print on a terminal."""
    return "".join(c if c.isprintable() else " " for c in text[:MAX_LENGTH])
