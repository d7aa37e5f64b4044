"""What a lead says about the columns of an uploaded file, as `fairlead data import --map` says it.

A choice travels with an import, not with the upload: the same file can be read in several ways.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from fairlead.core.errors import ConfigError
from fairlead.data import column_map, column_suggestion, file_source
from fairlead.data.column_map import ColumnMap
from fairlead.data.column_meaning import is_note
from fairlead.data.column_suggestion import ANSWER, CONTEXT
from fairlead.data.file_source import SourceRow
from fairlead.data.row_problem import RowProblem, shorten
from fairlead.labels import page_messages
from fairlead.labels.errors import Invalid

NUM_SAMPLE = 100  # rows from which columns are described
NUM_SHOWN = 3  # values of a column that are shown
MAX_COLUMNS = 200
LEAVE_OUT = "ignore"
BESIDE = ""  # the column travels beside the item, in its metadata
ROLES = (  # what a lead can say of a column
    "prompt",
    CONTEXT,
    "system",
    ANSWER,
    "chosen",
    "rejected",
    "reference",
    "score",
    "label",
    "messages",
    "history",
    "model",
    "id",
    "tags",
    BESIDE,
    LEAVE_OUT,
)


@dataclass(frozen=True)
class ColumnChoice:
    """All empty: the columns are read as their names say."""

    map: tuple[str, ...] = ()  # TARGET=COLUMN, one pair each
    ignore: tuple[str, ...] = ()
    keep: tuple[str, ...] = ()  # columns that become metadata, whatever their names say
    scale: str | None = None  # lowest and highest score, such as 1:5

    @property
    def is_empty(self) -> bool:
        return self == ColumnChoice()

    def column_map(self) -> ColumnMap:
        """Raises Invalid for a target that does not exist, for example."""
        sources: dict[str, str] = {}
        try:
            for pair in self.map:  # one at a time: the name of a column may have a comma
                target, _, source = pair.partition("=")
                parsed = column_map.parse([f"{target}={source.replace(',', ' ')}"], ())
                sources |= dict.fromkeys(parsed.sources, source)
            scale = column_map.parse((), (), self.scale).scale if self.scale else None
        except ConfigError as error:
            raise Invalid({"map": page_messages.for_page(str(error))}) from error
        return ColumnMap(sources, frozenset(self.ignore), scale, frozenset(self.keep))


class Column(NamedTuple):
    name: str
    values: list[str]  # the first few, shortened
    role: str  # one of ROLES, suggested


def from_json(choice: Mapping[str, Any]) -> ColumnChoice:
    lists = {name: tuple(choice.get(name) or ()) for name in ("map", "ignore", "keep")}
    return ColumnChoice(**lists, scale=choice.get("scale"))


def to_json(choice: ColumnChoice) -> dict[str, Any]:
    return asdict(choice)


def read_rows(path: Path, choice: ColumnChoice) -> Iterator[SourceRow | RowProblem]:
    """The rows of the file under the names that the choice gives its columns."""
    rows = file_source.read_file_rows(path)
    return rows if choice.is_empty else choice.column_map().apply(rows)


def describe(path: Path) -> list[Column]:
    """The columns of the first rows, with a suggestion of what they hold."""
    rows = islice(file_source.read_file_rows(path), NUM_SAMPLE)
    values = [row.value for row in rows if isinstance(row, SourceRow)]
    names = list(dict.fromkeys(name for row in values for name in row))
    if len(names) > MAX_COLUMNS:
        raise Invalid({"file": f"has more than {MAX_COLUMNS} columns; leave some of them out of the file"})
    suggested = column_suggestion.suggest(values)
    return [
        Column(
            name,
            [shorten(row[name]) for row in values if row.get(name) is not None][:NUM_SHOWN],
            suggested.get(name, BESIDE),
        )
        for name in names
    ]


def from_roles(roles: Sequence[tuple[str, str]], scale: str | None = None) -> ColumnChoice:
    """The choice that (column, role) pairs make; raises Invalid for pairs that contradict each other."""
    columns: dict[str, list[str]] = {}
    for column, role in roles:
        if role not in ROLES:
            raise Invalid({"role": f"must be one of: {', '.join(filter(None, ROLES))}"})
        columns.setdefault(role, []).append(column)
    questions = columns.pop(CONTEXT, []) + columns.pop("prompt", [])
    answers = columns.pop(ANSWER, [])
    ignored, beside = columns.pop(LEAVE_OUT, []), columns.pop(BESIDE, [])
    if twice := next((role for role, names in columns.items() if len(names) > 1), None):
        raise Invalid({"role": f"two columns are said to hold the {twice}; choose one of them"})
    if len(questions) > 1 and (plus := next((name for name in questions if "+" in name), None)):
        raise Invalid({"role": f"{plus!r} has a + in its name; rename the column to join it with others"})
    pairs = [f"prompt={'+'.join(questions)}"] if questions else []
    if len(answers) == 1:
        pairs.append(f"completion={answers[0]}")
    else:
        pairs += [f"completions.{number}={column}" for number, column in enumerate(answers)]
    pairs += [f"{role}={names[0]}" for role, names in columns.items()]
    return ColumnChoice(
        map=tuple(pairs),
        ignore=tuple(ignored),
        keep=tuple(column for column in beside if not is_note(column)),
        scale=scale,
    )


def to_roles(choice: ColumnChoice, columns: Sequence[Column]) -> list[Column]:
    """The columns with the roles that a choice gives them, for a form that is shown again."""
    if choice.is_empty:
        return list(columns)
    names = {column.name for column in columns}
    roles: dict[str, str] = dict.fromkeys(choice.ignore, LEAVE_OUT)
    for pair in choice.map:
        target, _, source = pair.partition("=")
        role = ANSWER if target.partition(".")[0] in ("completion", "completions") else target
        parts = [source] if source in names else source.split("+")
        for number, part in enumerate(parts):
            roles[part] = CONTEXT if role == "prompt" and number < len(parts) - 1 else role
    return [column._replace(role=roles.get(column.name, BESIDE)) for column in columns]
