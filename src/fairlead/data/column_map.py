"""Rename and leave out columns on purpose: `--map prompt=question,completion=answer` and `--ignore COLUMN`.

A source may be a path into nested values: `completion=choices.0.message.content`.  `*` reads a part of
every item of a list (`completions=answers.*.text`), and `+` joins columns as paragraphs
(`prompt=question+context`).  A target with a number is an item of a list: `completions.0=reply_a` and
`completions.1=reply_b` are two answers, whose authors are the columns unless `models` says otherwise.
"""

import difflib
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fairlead.core.errors import ConfigError, DataError
from fairlead.data.column_meaning import is_blank
from fairlead.data.file_source import SourceRow
from fairlead.data.formats.turns import as_number, decoded
from fairlead.data.records import COLUMNS_BY_KIND
from fairlead.data.row_problem import RowLocation, RowProblem

MAX_UNSEEN = 1000  # rows after which a path that none of them has is an error

# What other tools call a native column -> the native column.
OTHER_NAMES = {
    **dict.fromkeys(("response", "output", "answer", "reply"), "completion"),
    **dict.fromkeys(("question", "instruction", "input", "query"), "prompt"),
    **dict.fromkeys(("conversation", "conversations", "turns"), "messages"),
    **dict.fromkeys(("rating", "reward"), "score"),
    **dict.fromkeys(("better", "preferred"), "chosen"),
    **dict.fromkeys(("worse", "dispreferred"), "rejected"),
    **dict.fromkeys(("ground_truth", "solution", "target"), "reference"),
    "responses": "completions",
    "system_prompt": "system",
}
# The native columns, and those that the format `plain` reads beside them.
TARGETS = frozenset().union(*COLUMNS_BY_KIND.values()) | {"system", "history"}


@dataclass
class ColumnMap:
    sources: Mapping[str, str] = field(default_factory=dict)  # native column -> column or path of the source
    ignored: frozenset[str] = frozenset()
    scale: tuple[float, float] | None = None  # lowest and highest score of the source
    kept: frozenset[str] = frozenset()  # columns that become metadata, whatever their names say

    @property
    def partly_read(self) -> frozenset[str]:
        """Columns of which a path reads a part.  The rest of them travels as metadata."""
        paths = [path for source in self.sources.values() for path in _paths(source)]
        return frozenset(path.partition(".")[0] for path in paths if "." in path)

    def apply(self, rows: Iterator[SourceRow | RowProblem]) -> Iterator[SourceRow | RowProblem]:
        """Yield the rows with the native names, without ignored columns.

        Raises DataError at the end if a named column or path occurs in no row.
        """
        unseen = [
            (f"--map {target}={source}", source, path)
            for target, source in self.sources.items()
            for path in _paths(source)
        ]
        unseen += [(f"--ignore {column}", column, column) for column in sorted(self.ignored | self.kept)]
        columns: dict[str, None] = {}  # of all rows, in their order
        num_rows = 0
        first_row: Mapping[str, Any] = {}
        for row in rows:
            if isinstance(row, RowProblem):
                yield row
                continue
            num_rows += 1
            first_row = first_row or row.value
            if unseen:
                columns |= dict.fromkeys(row.value)
                unseen = [missing for missing in unseen if not self._is_in(row.value, *missing[1:])]
            if num_rows == MAX_UNSEEN and any(option.startswith("--map") for option, _, _ in unseen):
                break  # every row lacks it; reading the others would only list as many bad rows
            yield SourceRow(row.where, self._scaled(self._renamed(row), row.where))
        if unseen and num_rows:
            option, _, path = unseen[0]
            raise DataError(
                f"{option}: no row has {path}. {_nearest_path(path, first_row)}"
                f"The columns are {', '.join(columns) or 'none'}."
            )

    def _is_in(self, row: Mapping[str, Any], source: str, path: str) -> bool:
        if source in row or source in self.ignored:
            return source in row
        return _value_at(row, path) is not None

    def _scaled(self, row: dict[str, Any], where: RowLocation) -> dict[str, Any]:
        score = as_number(row.get("score"))
        if self.scale is None or isinstance(score, bool) or not isinstance(score, int | float):
            return row
        low, high = self.scale
        if not low <= score <= high:
            raise DataError(f"{where}: score: {score:g} is not from {low:g} to {high:g}. Correct --scale.")
        return row | {"score": (score - low) / (high - low)}

    def _renamed(self, row: SourceRow) -> dict[str, Any]:
        mapped = _with_lists(
            {target: _value_of(row.value, source) for target, source in self.sources.items()}
        )
        if len(mapped.get("completions") or ()) > 1 and "models" not in row.value.keys() | mapped.keys():
            mapped |= self._authors(row.value)
        if kept := {column: row.value[column] for column in row.value if column in self.kept}:
            own = row.value.get("metadata")
            mapped["metadata"] = {**(own if isinstance(own, dict) else {}), **kept}
        taken = (
            self.ignored
            | self.kept
            | {name for source in self.sources.values() for name in (source, *_paths(source))}
        )
        rest = {column: value for column, value in row.value.items() if column not in taken}
        for column in (mapped.keys() & rest.keys()) - {"metadata"}:
            if column not in {path.partition(".")[0] for path in _paths(self.sources[column])}:
                raise DataError(
                    f"{row.where}: --map fills the column {column}, which the row has already. "
                    f"Leave that one out with --ignore {column}."
                )
        return rest | mapped

    def _authors(self, row: Mapping[str, Any]) -> dict[str, list[str]]:
        """The columns of the answers of this row, which often are the names of models."""
        columns = [source for target, source in self.sources.items() if target.startswith("completions.")]
        present = [column for column in columns if not is_blank(_value_of(row, column))]
        return {"models": present} if present else {}


def _with_lists(mapped: Mapping[str, Any]) -> dict[str, Any]:
    """Targets such as `completions.0` and `completions.1` as a list, without blank items."""
    values: dict[str, Any] = {}
    for target, value in mapped.items():
        name, dot, _ = target.partition(".")
        if not dot:
            values[target] = value
        elif not is_blank(value):
            values.setdefault(name, []).append(value)
    return values


def parse(map: Sequence[str], ignore: Sequence[str], scale: str | None = None) -> ColumnMap:
    """Read the values of --map (TARGET=SOURCE, separated by commas), --ignore and --scale (LOW:HIGH)."""
    sources: dict[str, str] = {}
    for pair in (part.strip() for text in map for part in text.split(",")):
        target, equals, source = (part.strip() for part in pair.partition("="))
        if not equals or not target or not source:
            raise ConfigError(f'--map "{pair}": write COLUMN=SOURCE, such as prompt=question.')
        if target not in TARGETS and not re.fullmatch(r"completions\.\d{1,2}", target):
            suggestion = _nearest(target, dict(zip(TARGETS, TARGETS, strict=True)) | OTHER_NAMES)
            raise ConfigError(
                f'--map "{pair}": {target} is not a column of Fairlead. {suggestion}'
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


def _paths(source: str) -> list[str]:
    return [path.strip() for path in source.split("+")]


def _value_of(row: Mapping[str, Any], source: str) -> Any:
    """The value of a source; columns that are joined with `+` are paragraphs of one text."""
    if source in row or "+" not in source:
        return _value_at(row, source)
    values = [_value_at(row, path) for path in _paths(source)]
    return "\n\n".join(str(value) for value in values if not is_blank(value)) or None


def _value_at(row: Mapping[str, Any], path: str) -> Any:
    """The value at a path; None where a part of it is missing, which the format then reports."""
    return row[path] if path in row else _value_in(row, path.split("."))


def _value_in(value: Any, parts: Sequence[str]) -> Any:
    for index, part in enumerate(parts):
        if isinstance(value, str):
            value = decoded(value)  # tables such as CSV hold nested values as text
        if part == "*" and isinstance(value, list):
            items = [_value_in(item, parts[index + 1 :]) for item in value]
            return None if any(item is None for item in items) else items
        if isinstance(value, Mapping) and part in value:
            value = value[part]
        elif isinstance(value, list) and part.lstrip("-").isdigit() and -len(value) <= int(part) < len(value):
            value = value[int(part)]
        else:
            return None
    return value


def _nearest_path(path: str, row: Mapping[str, Any]) -> str:
    """A sentence that names the nearest path of the row."""
    parts = path.split(".")
    known = 0  # parts that lead somewhere
    while known < len(parts) - 1 and _value_in(row, parts[: known + 1]) is not None:
        known += 1
    value = _value_in(row, parts[:known])
    value = decoded(value) if isinstance(value, str) else value
    if isinstance(value, list) and value:
        return f"{'.'.join(parts[:known])} is a list: write a number from 0, or * for every item. "
    names = value if isinstance(value, Mapping) else {}
    return _nearest(parts[known], {name: ".".join([*parts[:known], name]) for name in names})


def _nearest(name: str, options: Mapping[str, str]) -> str:
    """A sentence that names the option whose key is nearest, and a space; empty if none is near."""
    by_name = {option.lower(): meant for option, meant in options.items()}
    near = difflib.get_close_matches(name.lower(), list(by_name), n=1)
    return f"Did you mean {by_name[near[0]]}? " if near else ""
