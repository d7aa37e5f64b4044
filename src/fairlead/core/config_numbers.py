"""Bounds that every number of a configuration keeps, whatever its key."""

import math
from collections.abc import Mapping

LARGEST = 1_000_000_000  # of a whole number: no run has more rows, tokens or steps
LARGEST_OF = {"seed": 2**63 - 1, "epochs": 100_000}  # by the last part of the key


def number_problem(key: str, value: object) -> str:
    """Why a run cannot use a number in the value of this key; empty if it can."""
    largest = LARGEST_OF.get(key.rpartition(".")[2], LARGEST)
    parts = list(value.values()) if isinstance(value, Mapping) else value
    for number in parts if isinstance(parts, list | tuple) else [parts]:
        # JSON has no infinity and no NaN, so the run could not be written down.
        if isinstance(number, float) and not math.isfinite(number):
            return "must be a finite number"
        if isinstance(number, int) and abs(number) > largest:
            return f"must be at most {largest:,}"
    return ""
