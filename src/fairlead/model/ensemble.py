"""An ensemble of reward models in one folder: member 0 itself, and complete folders `member-1`, `member-2`, … inside it.

How many belong to it stands in the config.json of the whole, so that one that lost a member is not taken for a smaller one.
"""

import json
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fairlead.core import files
from fairlead.core.errors import ModelError

SIZE = "reward_members"  # in config.json


def member_folders(reference: str) -> list[str]:
    """The folders of an ensemble, member 0 first; a plain reward model is its only one.  Raises ModelError where one is missing."""
    home = Path(reference)
    present = (
        {path.name for path in home.iterdir() if path.is_dir() and re.fullmatch(r"member-\d+", path.name)}
        if home.is_dir()
        else set()
    )
    size = (
        _read_config(home).get(SIZE, len(present) + 1)
        if (home / "config.json").is_file()
        else len(present) + 1
    )
    wanted = (
        [f"member-{k}" for k in range(1, size)]
        if isinstance(size, int) and 0 < size <= len(present) + 1
        else None
    )
    if wanted is None or set(wanted) != present:
        raise ModelError(
            f"{reference}: is an ensemble of {size} members by its config.json, and beside member 0 it holds "
            f"{', '.join(sorted(present)) or 'none'}. Copy the whole folder again, or train the model again."
        )
    return [reference, *(str(home / name) for name in wanted)]


def combine(home: Path, others: Sequence[Path]) -> None:
    """Make an ensemble of the reward model in `home` and of those in other folders, which are copied."""
    for number, other in enumerate(others, start=1):
        shutil.copytree(other, home / f"member-{number}")
    config = _read_config(home) | {SIZE: 1 + len(others)}
    files.write_text(home / "config.json", json.dumps(config, indent=2, ensure_ascii=False) + "\n")


def _read_config(home: Path) -> dict[str, Any]:
    path = home / "config.json"
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(f"{path}: cannot be read as JSON: {error}.") from error
    if not isinstance(found, dict):
        raise ModelError(f"{path}: is no JSON object.")
    return found
