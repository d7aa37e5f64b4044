"""Problems of data rows: where, which field, what value, why it is wrong, and what to do.

Reading rows and deciding what is wrong is the job of `file_source`, `parsing` and `record_reader`.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, NoReturn

from fairlead.core.errors import DataError
from fairlead.core.plural import counted

MAX_SHOWN = 10  # problems listed in one error; the total is always given
MAX_VALUE_CHARS = 60  # long enough to recognise the row, short enough for one line


class RowLocation(NamedTuple):
    """A file and a line number, or a Hub data set and a row number."""

    path: str
    line: int

    def __str__(self) -> str:
        return f"{self.path}:{self.line}"


@dataclass(frozen=True)
class RowProblem:
    """`str(problem)` is one line: `pairs.jsonl:412: chosen: "Yes.": chosen and rejected are equal.

    Mark it a tie, …`
    """

    path: str
    line: int
    field: str  # a column or a place in a column, such as "prompt[2].role"; empty for the whole row
    value: object  # the full value; None if it is missing
    why: str
    remedy: str
    row: object = None  # the row as read, for the file of rejected rows; text if it is not JSON

    def __str__(self) -> str:
        shown = "" if self.value is None else shorten(self.value)
        fragments = [f"{self.path}:{self.line}", self.field, shown, self.why]
        return f"{': '.join(fragment for fragment in fragments if fragment)}. {self.remedy}"


class BadRow(DataError):
    """A single row is wrong.  Readers of a file collect these problems and continue with the next row."""

    def __init__(self, problem: RowProblem) -> None:
        self.problem = problem
        super().__init__(str(problem))


def reject_row(where: RowLocation, field: str, value: object, why: str, remedy: str) -> NoReturn:
    raise BadRow(RowProblem(where.path, where.line, field, value, why, remedy))


def shorten(value: object) -> str:
    """The value as JSON on one line, cut off after MAX_VALUE_CHARS characters."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= MAX_VALUE_CHARS else text[: MAX_VALUE_CHARS - 1] + "…"


def bad_rows_error(problems: Sequence[RowProblem], num_bad: int, num_rows: int, remedy: str) -> DataError:
    """One error for all bad rows of a source: the first few problems and the total."""
    lines = [str(problem) for problem in problems[:MAX_SHOWN]]
    only_first = f" (first {len(lines)} shown)" if num_bad > len(lines) else ""
    lines.append(f"{num_bad} of {counted(num_rows, 'row')} cannot be used{only_first}. {remedy}")
    return DataError("\n".join(lines))
