"""Metrics as JSON Lines: append a row, read rows, go back to a step.  What a row says is the recipe's choice.

Rows carry no time of day, so that a resumed run's file equals the uninterrupted one's.  A process can die in the middle of a
row: a last line without its newline was never finished and does not count.
"""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fairlead.core import files, jsonl
from fairlead.core.errors import DataError, NonFiniteStep


def append_metrics(path: Path, step: int, values: Mapping[str, float]) -> None:
    """One row, flushed but not forced to the disk: a lost row is made again from the last checkpoint."""
    row: dict[str, float] = {"step": step}
    for name, value in values.items():
        row[name] = value if isinstance(value, int) else float(value)
        if not math.isfinite(row[name]):
            raise NonFiniteStep(
                f"step {step}: {name} is {row[name]}, which is not a number to log. Resume from the last checkpoint."
            )
    with open(path, "ab") as file:
        file.write((jsonl.dumps(row) + "\n").encode("utf-8"))


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """Every finished row; none when there is no file yet."""
    rows = []
    for number, line in enumerate(_finished_lines(path), start=1):
        try:
            row = json.loads(line)
        except ValueError as error:
            raise DataError(
                f"{path}:{number}: not valid JSON: {error}. The file was changed by hand."
            ) from error
        if not isinstance(row, dict) or not isinstance(row.get("step"), int):
            raise DataError(
                f"{path}:{number}: a row of metrics needs a whole number as its step. The file was changed by hand."
            )
        rows.append(row)
    return rows


def rewind_metrics(path: Path, step: int) -> None:
    """Keep, byte for byte, the rows up to and including `step`."""
    if path.exists():
        kept = [
            line
            for line, row in zip(_finished_lines(path), read_metrics(path), strict=True)
            if row["step"] <= step
        ]
        _replace(path, kept)


def drop_unfinished_line(path: Path) -> None:
    """So that the next line does not continue one that a killed process began."""
    if path.exists() and not path.read_bytes().endswith(b"\n"):
        _replace(path, _finished_lines(path))


def _finished_lines(path: Path) -> list[bytes]:
    if not path.exists():
        return []
    return [line for line in path.read_bytes().splitlines(keepends=True) if line.endswith(b"\n")]


def _replace(path: Path, lines: list[bytes]) -> None:
    with files.atomic_file(path) as file:
        file.writelines(lines)
