"""Metrics files in JSON Lines: append a row, read rows, rewind to a step.  Recipes choose the metrics.

Rows have no timestamps, so a resumed run writes the same file as an uninterrupted run.  A process can be
killed while it writes a row: a last line without a newline is unfinished and is ignored.
"""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fairlead.core import files, jsonl
from fairlead.core.errors import DataError, NonFiniteStep


def append_metrics(path: Path, step: int, values: Mapping[str, float]) -> None:
    """Append a row, without fsync: a lost row is written again after resuming from a checkpoint."""
    row: dict[str, float] = {"step": step}
    for name, value in values.items():
        row[name] = value if isinstance(value, int) else float(value)
        if not math.isfinite(row[name]):
            raise NonFiniteStep(
                f"step {step}: {name} is {row[name]}, not a finite number. Resume from the last checkpoint."
            )
    with open(path, "ab") as file:
        file.write((jsonl.dumps(row) + "\n").encode("utf-8"))


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """All finished rows; an empty list if the file does not exist."""
    rows = []
    for number, line in enumerate(_finished_lines(path), start=1):
        try:
            row = json.loads(line)
        except ValueError as error:
            raise DataError(f"{path}:{number}: not valid JSON: {error}. The file was edited.") from error
        if not isinstance(row, dict) or not isinstance(row.get("step"), int):
            raise DataError(f"{path}:{number}: step is missing or not an integer. The file was edited.")
        rows.append(row)
    return rows


def rewind_metrics(path: Path, step: int) -> None:
    """Remove all rows after `step`; earlier rows stay byte for byte the same."""
    if path.exists():
        kept = [
            line
            for line, row in zip(_finished_lines(path), read_metrics(path), strict=True)
            if row["step"] <= step
        ]
        _replace(path, kept)


def drop_unfinished_line(path: Path) -> None:
    """Remove an unfinished last line, so that the next row does not continue it."""
    if path.exists() and not path.read_bytes().endswith(b"\n"):
        _replace(path, _finished_lines(path))


def _finished_lines(path: Path) -> list[bytes]:
    if not path.exists():
        return []
    return [line for line in path.read_bytes().splitlines(keepends=True) if line.endswith(b"\n")]


def _replace(path: Path, lines: list[bytes]) -> None:
    with files.atomic_file(path) as file:
        file.writelines(lines)
