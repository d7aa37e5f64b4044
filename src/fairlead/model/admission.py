"""Whether a reward model was admitted: what `admission.json` beside it says, and what that means for a run that is paid by it.

The report is made elsewhere, by training and by evaluation.  The file comes with the model, perhaps from outside, so all in it is checked.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from fairlead.core.errors import ConfigError, GateRefused, ModelError
from fairlead.store.inputs import RULE, Input
from fairlead.store.run import Run

FILE = "admission.json"
VERDICTS = ("admit", "admit with warnings", "refuse")
MAX_BYTES = 1 << 20
MAX_REASONS, MAX_LENGTH = 20, 300  # what is shown of them


@dataclass(frozen=True)
class Admission:
    verdict: str  # one of VERDICTS
    reasons: tuple[str, ...]


def read_admission(folder: Path) -> Admission | None:
    """The verdict beside a reward model, None where it was never examined; raises ModelError for a file that holds none."""
    path = folder / FILE
    if not path.is_file():
        return None
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ModelError(f"{path}: is larger than {MAX_BYTES} bytes; that is no admission report. Examine the reward model again.")
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(f"{path}: cannot be read as JSON: {_plain(str(error))}. Examine the reward model again.") from error
    verdict = found.get("verdict") if isinstance(found, dict) else None
    reasons = found.get("reasons", []) if isinstance(found, dict) else None
    if verdict not in VERDICTS or not isinstance(reasons, list) or not all(isinstance(reason, str) for reason in reasons):
        raise ModelError(f"{path}: needs a verdict ({', '.join(VERDICTS)}) and reasons, a list of texts. Examine the reward model again.")
    return Admission(verdict, tuple(_plain(reason) for reason in reasons[:MAX_REASONS]))


def check_admission(run: Run, fields: Iterable[str], *, trust: str) -> None:
    """Refuse the run where a reward model it is paid by was refused, unless `trust` names it; say what else there is to know.

    `fields` are those of the configuration that name rewards.  `trust` holds names with commas between them; raises ConfigError for one
    that is no reward model of this run.
    """
    judges = {field: found for field in fields if (found := run.inputs.get(field)) is not None and not found.ref.startswith(RULE)}
    trusted = {name.strip() for name in trust.split(",") if name.strip()}
    if unknown := trusted - {name for found in judges.values() for name in _names(found)}:
        raise ConfigError(f"trust = {trust!r}: {', '.join(sorted(unknown))} is no reward model of this run. Name one as the run does.")
    for field, found in judges.items():
        assert found.location is not None, f"{field} = {found.ref} has no folder"
        admission = read_admission(found.location)
        if admission is None:
            run.warn(f"{field} = {found.ref}: this reward model was never examined. `fairlead eval` says whether to trust it.")
            continue
        reasons = " ".join(admission.reasons) or "No reason is given."
        if admission.verdict == "refuse" and not trusted.intersection(_names(found)):
            raise GateRefused(
                f"{field} = {found.ref}: the admission report refuses this reward model: {reasons} "
                f"Mend it, or set trust={found.ref} to use it all the same."
            )
        if admission.verdict != "admit":
            run.warn(f"{field} = {found.ref}: the admission report says {admission.verdict!r}: {reasons}")


def _names(found: Input) -> set[str]:
    """What a user may call it: as the configuration does, or by the artifact's name."""
    return {found.ref} if found.artifact is None else {found.ref, found.artifact.label, found.artifact.manifest.name}


def _plain(text: str) -> str:
    """One line of printable characters, not too long: the text ends up on a terminal."""
    return "".join(c if c.isprintable() else " " for c in text[:MAX_LENGTH])
