"""Ensembles of reward models in one folder: member 0, with complete folders `member-1`, `member-2`, ...
inside it.

config.json records the number of members, so that an incomplete copy is not mistaken for a smaller ensemble.
"""

import json
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fairlead.core import files
from fairlead.core.errors import ModelError
from fairlead.core.plural import counted

SIZE_FIELD = "reward_members"  # field of config.json


def member_folders(reference: str) -> list[str]:
    """The folders of an ensemble, member 0 first.  A plain reward model has one member.

    Raises ModelError if a member is missing.
    """
    folder = Path(reference)
    present = set()
    if folder.is_dir():
        present = {
            path.name for path in folder.iterdir() if path.is_dir() and re.fullmatch(r"member-\d+", path.name)
        }
    size = len(present) + 1
    if (folder / "config.json").is_file():
        size = _read_config(folder).get(SIZE_FIELD, size)
    names = None
    if isinstance(size, int) and 0 < size <= len(present) + 1:
        names = [f"member-{k}" for k in range(1, size)]
    if names is None or set(names) != present:
        raise ModelError(
            f"{reference}: config.json declares an ensemble of "
            f"{counted(size, 'member') if isinstance(size, int) else size}, but besides member 0 the "
            "folder "
            f"holds {', '.join(sorted(present)) or 'none'}. Copy the whole folder again, or train the "
            "model again."
        )
    return [reference, *(str(folder / name) for name in names)]


def combine(folder: Path, others: Sequence[Path]) -> None:
    """Turn the reward model in `folder` into an ensemble; the other members are copied into it."""
    for number, other in enumerate(others, start=1):
        shutil.copytree(other, folder / f"member-{number}")
    config = _read_config(folder) | {SIZE_FIELD: 1 + len(others)}
    files.write_text(folder / "config.json", json.dumps(config, indent=2, ensure_ascii=False) + "\n")


def _read_config(folder: Path) -> dict[str, Any]:
    path = folder / "config.json"
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(f"{path}: cannot be read as JSON: {error}.") from error
    if not isinstance(config, dict):
        raise ModelError(f"{path}: is not a JSON object.")
    return config
