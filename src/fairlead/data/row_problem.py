"""What is wrong with one row: where, which field, what value, why, and what to do.  Says nothing about how rows are read."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, NoReturn

from fairlead.core.errors import DataError

MAX_SHOWN = 10  # a screenful; the total is always said
MAX_VALUE_CHARS = 60  # enough to recognise the row, short enough for one line


class RowLocation(NamedTuple):
    """Where a row stands: a file and its line, or a Hub data set and the number of the row."""

    path: str
    line: int

    def __str__(self) -> str:
        return f"{self.path}:{self.line}"


@dataclass(frozen=True)
class RowProblem:
    """`str(problem)` is one line: `pairs.jsonl:412: chosen: "Yes.": chosen and rejected are equal. Mark it a tie, …`"""

    path: str
    line: int
    field: str  # a column or a place in it, such as "prompt[2].role"; empty when the whole row is meant
    value: object  # what stands there, whole; None when nothing does
    why: str
    remedy: str
    row: object = None  # the whole row as it was read, for whoever sets it aside; text where it is no JSON

    def __str__(self) -> str:
        parts = [
            f"{self.path}:{self.line}",
            self.field,
            "" if self.value is None else shorten(self.value),
            self.why,
        ]
        return f"{': '.join(part for part in parts if part)}. {self.remedy}"


class BadRow(DataError):
    """One row is at fault; whoever reads the file collects these and goes on."""

    def __init__(self, problem: RowProblem) -> None:
        self.problem = problem
        super().__init__(str(problem))


def reject_row(where: RowLocation, field: str, value: object, why: str, remedy: str) -> NoReturn:
    raise BadRow(RowProblem(where.path, where.line, field, value, why, remedy))


def shorten(value: object) -> str:
    """The value as JSON on one line, cut in the middle of nowhere when it is long."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= MAX_VALUE_CHARS else text[: MAX_VALUE_CHARS - 1] + "…"


def bad_rows_error(first: Sequence[RowProblem], num_bad: int, num_rows: int, remedy: str) -> DataError:
    """One error for all the bad rows of a source: the first few, and how many there are."""
    lines = [str(problem) for problem in first[:MAX_SHOWN]]
    rest = f", of which the first {len(lines)} are shown" if num_bad > len(lines) else ""
    lines.append(f"{num_bad} of {num_rows} rows cannot be used{rest}. {remedy}")
    return DataError("\n".join(lines))
