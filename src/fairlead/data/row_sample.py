"""A random sample of rows of which the number is not known before the last one has been read."""

import random
from collections import Counter
from collections.abc import Iterator
from typing import TypeVar

Row = TypeVar("Row")


def sample_rows(
    rows: Iterator[Row], size: int, left_out: Counter[str], *, asked_by: str = "num_samples", seed: int = 0
) -> Iterator[Row]:
    """Yield `size` rows in their order, each row with the same chance; memory holds `size` rows.

    `left_out` counts the other rows, and the repetitions that `num_samples` of LLaMA-Factory asks for when it
    is larger than the source.
    Algorithm R of Vitter, https://doi.org/10.1145/3147.3165
    """
    draw = random.Random(seed)
    kept: list[tuple[int, Row]] = []
    num_rows = 0
    for number, row in enumerate(rows):
        num_rows += 1
        if len(kept) < size:
            kept.append((number, row))
        elif (place := draw.randrange(number + 1)) < size:
            kept[place] = (number, row)
    if num_rows > size:
        left_out[f"rows that {asked_by} leaves out, at random"] += num_rows - size
    if num_rows < size and asked_by == "num_samples":
        left_out["repetitions that num_samples asks for, because each row is imported once"] += (
            size - num_rows
        )
    yield from (row for _, row in sorted(kept, key=lambda item: item[0]))
