"""Rename and leave out columns on purpose: `--map prompt=question,completion=answer` and `--ignore COLUMN`.

A source may be a path into nested values: `completion=choices.0.message.content`.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fairlead.core.errors import ConfigError, DataError
from fairlead.data.file_source import SourceRow
from fairlead.data.formats.turns import as_number
from fairlead.data.records import COLUMNS_BY_KIND
from fairlead.data.row_problem import RowLocation, RowProblem

MAX_UNSEEN = 1000  # rows after which a path that none of them has is an error

# The native columns, and those that the format `plain` reads beside them.
TARGETS = frozenset().union(*COLUMNS_BY_KIND.values()) | {"system", "history"}


@dataclass
class ColumnMap:
    sources: Mapping[str, str] = field(default_factory=dict)  # native column -> column or path of the source
    ignored: frozenset[str] = frozenset()
    scale: tuple[float, float] | None = None  # lowest and highest score of the source

    @property
    def partly_read(self) -> frozenset[str]:
        """Columns of which a path reads a part.  The rest of them travels as metadata."""
        return frozenset(path.partition(".")[0] for path in self.sources.values() if "." in path)

    def apply(self, rows: Iterator[SourceRow | RowProblem]) -> Iterator[SourceRow | RowProblem]:
        """Yield the rows with the native names, without ignored columns.

        Raises DataError at the end if a named column or path occurs in no row.
        """
        unseen = {f"--map {target}={path}": path for target, path in self.sources.items()}
        unseen |= {f"--ignore {column}": column for column in self.ignored}
        columns: dict[str, None] = {}  # of all rows, in their order
        num_rows = 0
        for row in rows:
            if isinstance(row, RowProblem):
                yield row
                continue
            num_rows += 1
            if unseen:
                columns |= dict.fromkeys(row.value)
                unseen = {
                    option: path
                    for option, path in unseen.items()
                    if path not in row.value and (path in self.ignored or _value_at(row.value, path) is None)
                }
            if num_rows == MAX_UNSEEN and unseen.keys() - {f"--ignore {name}" for name in self.ignored}:
                break  # every row lacks it; reading the others would only list as many bad rows
            yield SourceRow(row.where, self._scaled(self._renamed(row), row.where))
        if unseen and num_rows:
            option = next(iter(unseen))
            raise DataError(
                f"{option}: no row has {unseen[option]}. The columns are {', '.join(columns) or 'none'}."
            )

    def _scaled(self, row: dict[str, Any], where: RowLocation) -> dict[str, Any]:
        score = as_number(row.get("score"))
        if self.scale is None or isinstance(score, bool) or not isinstance(score, int | float):
            return row
        low, high = self.scale
        if not low <= score <= high:
            raise DataError(f"{where}: score: {score:g} is not from {low:g} to {high:g}. Correct --scale.")
        return row | {"score": (score - low) / (high - low)}

    def _renamed(self, row: SourceRow) -> dict[str, Any]:
        mapped = {target: _value_at(row.value, path) for target, path in self.sources.items()}
        taken = self.ignored | set(self.sources.values())
        rest = {column: value for column, value in row.value.items() if column not in taken}
        for column in mapped.keys() & rest.keys():
            if self.sources[column].partition(".")[0] != column:
                raise DataError(
                    f"{row.where}: --map fills the column {column}, which the row has already. "
                    f"Leave that one out with --ignore {column}."
                )
        return rest | mapped


def parse(map: Sequence[str], ignore: Sequence[str], scale: str | None = None) -> ColumnMap:
    """Read the values of --map (TARGET=SOURCE, separated by commas), --ignore and --scale (LOW:HIGH)."""
    sources: dict[str, str] = {}
    for pair in (part.strip() for text in map for part in text.split(",")):
        target, equals, source = (part.strip() for part in pair.partition("="))
        if not equals or not target or not source:
            raise ConfigError(f'--map "{pair}": write COLUMN=SOURCE, such as prompt=question.')
        if target not in TARGETS:
            raise ConfigError(
                f'--map "{pair}": {target} is not a column of Fairlead. '
                f"Choose one of {', '.join(sorted(TARGETS))}."
            )
        if target in sources:
            raise ConfigError(f"--map: {target} is given twice. Give each column once.")
        sources[target] = source
    ignored = frozenset(name.strip() for text in ignore for name in text.split(",") if name.strip())
    return ColumnMap(sources, ignored, None if scale is None else _parse_scale(scale))


def _parse_scale(scale: str) -> tuple[float, float]:
    low, _, high = scale.partition(":")
    try:
        numbers = float(low), float(high)
    except ValueError:
        numbers = 0.0, 0.0
    if not -math.inf < numbers[0] < numbers[1] < math.inf:
        raise ConfigError(f"--scale {scale}: write the lowest and the highest score, such as 1:5.")
    return numbers


def _value_at(row: Mapping[str, Any], path: str) -> Any:
    """The value at a path; None where a part of it is missing, which the format then reports."""
    if path in row:
        return row[path]
    value: Any = row
    for part in path.split("."):
        if isinstance(value, Mapping) and part in value:
            value = value[part]
        elif isinstance(value, list) and part.lstrip("-").isdigit() and -len(value) <= int(part) < len(value):
            value = value[int(part)]
        else:
            return None
    return value
