"""Whether a reward model was found fit to be trained against: `admission.json` in its folder."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pydantic

from fairlead.core.errors import ModelError

FILE = "admission.json"


@dataclass(frozen=True)
class Admission:
    verdict: Literal["admit", "admit with warnings", "refuse"]
    reasons: tuple[str, ...]


def read_admission(folder: Path) -> Admission | None:
    """None for a reward model that was never examined; raises ModelError where the file is not what an examination writes."""
    path = folder / FILE
    try:
        return pydantic.TypeAdapter(Admission).validate_python(json.loads(path.read_bytes()))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(f"{path}: is no admission report: {str(error).partition(chr(10))[0]}. Examine the reward model again.") from error
