"""Whether a reward model was admitted, and what that means for a run that is paid by it.

The report is made elsewhere: by training, beside the weights, and by `fairlead eval`, as an evaluation.  The newest one counts.  The file
may come from outside, so all in it is checked.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from fairlead.core.errors import ConfigError, GateRefused, ModelError
from fairlead.store.artifact import MANIFEST, Artifact, load_artifacts
from fairlead.store.project import Project
from fairlead.store.resolve_inputs import RULE, ResolvedInput
from fairlead.store.run import Run

REPORT = "admission.json"
Verdict = Literal["admit", "admit with warnings", "refuse"]
VERDICTS: tuple[Verdict, ...] = get_args(Verdict)
MAX_BYTES = 1 << 20
MAX_REASONS, MAX_LENGTH = 20, 300  # what is shown of them


@dataclass(frozen=True)
class Admission:
    verdict: Verdict
    reasons: tuple[str, ...] = ()  # of a refusal
    warnings: tuple[str, ...] = ()


def read_admission(folder: Path) -> Admission | None:
    """The verdict in a folder, None where it holds no report; raises ModelError for one that says nothing."""
    path = folder / REPORT
    if not path.exists() and not path.is_symlink():
        return None
    try:
        if not path.is_file():
            raise ModelError(
                f"{path}: is no file, so no verdict can be read from it. Remove it, and examine the reward model."
            )
        if path.stat().st_size > MAX_BYTES:
            raise ModelError(
                f"{path}: is larger than {MAX_BYTES} bytes; that is no admission report. Examine the reward model again."
            )
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(
            f"{path}: cannot be read as JSON: {_plain(str(error))}. Examine the reward model again."
        ) from error
    verdict = found.get("verdict") if isinstance(found, dict) else None
    told = [found.get(name, []) for name in ("reasons", "warnings")] if isinstance(found, dict) else []
    if verdict not in VERDICTS or not all(map(_are_texts, told)):
        raise ModelError(
            f"{path}: needs a verdict ({', '.join(VERDICTS)}), reasons and warnings, which are lists of texts. "
            "Examine the reward model again."
        )
    return Admission(verdict, *(tuple(_plain(text) for text in texts[:MAX_REASONS]) for texts in told))


def newest_evaluation(project: Project, sha: str) -> Artifact | None:
    """The last `fairlead eval` in the project of the reward model of this digest.  Folders that are no artifacts are passed over."""
    found = [
        each
        for each in load_artifacts(project)[0]
        if each.manifest.kind == "evaluation"
        and REPORT in each.manifest.files
        and any(parent.role == "model" and parent.digest == sha for parent in each.manifest.parents)
    ]
    # Times are whole seconds; of two in the same one, the file system knows which came later.
    return max(
        found,
        key=lambda each: (each.manifest.created_at, (each.folder / MANIFEST).stat().st_mtime_ns),
        default=None,
    )


def check_admission(run: Run, fields: Iterable[str], *, trust: str) -> None:
    """Refuse the run where a reward model it is paid by was refused, unless `trust` names it; say what else there is to know.

    `fields` are those of the configuration that name rewards.  `trust` holds names with commas between them; raises ConfigError for one
    that is no reward model of this run.
    """
    judges = {
        field: found
        for field in fields
        if (found := run.inputs.get(field)) is not None and not found.ref.startswith(RULE)
    }
    trusted = {name.strip() for name in trust.split(",") if name.strip()}
    if unknown := trusted - {name for found in judges.values() for name in _names(found)}:
        raise ConfigError(
            f"trust = {trust!r}: {', '.join(sorted(unknown))} is no reward model of this run. Name one as the run does."
        )
    for field, found in judges.items():
        assert found.location is not None, f"{field} = {found.ref} has no folder"
        evaluation = newest_evaluation(run.project, found.digest)
        source = "the admission report" if evaluation is None else evaluation.label
        admission = read_admission(found.location if evaluation is None else evaluation.folder)
        if admission is None:
            run.warn(
                f"{field} = {found.ref}: this reward model was never examined. `fairlead eval` says whether to trust it."
            )
            continue
        run.event("admission", of=found.ref, by=source, verdict=admission.verdict)
        reasons = " ".join(admission.reasons) or "No reason is given."
        if admission.verdict == "refuse" and not trusted.intersection(_names(found)):
            raise GateRefused(
                f"{field} = {found.ref}: {source} refuses this reward model: {reasons} "
                f"Mend it, or set trust={found.ref} to use it all the same."
            )
        if admission.verdict == "refuse":
            run.warn(
                f"{field} = {found.ref}: {source} refuses this reward model, which is trusted all the same: {reasons}"
            )
        if admission.warnings or admission.verdict == "admit with warnings":
            run.warn(f"{field} = {found.ref}: {source} warns: {' '.join(admission.warnings) or reasons}")


def _names(found: ResolvedInput) -> set[str]:
    """What a user may call it: as the configuration does, or by the artifact's name."""
    return (
        {found.ref}
        if found.artifact is None
        else {found.ref, found.artifact.label, found.artifact.manifest.name}
    )


def _are_texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(text, str) for text in value)


def _plain(text: str) -> str:
    """One line of printable characters, not too long: the text ends up on a terminal."""
    return "".join(c if c.isprintable() else " " for c in text[:MAX_LENGTH])
