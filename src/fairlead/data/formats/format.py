"""The interface of a format: which rows it recognises, and what becomes of each of their columns."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from fairlead.data.file_source import SourceRow
from fairlead.data.records import Record, RecordKind
from fairlead.data.row_problem import RowLocation, RowProblem

Row: TypeAlias = Mapping[str, Any]


@dataclass(frozen=True)
class LeftOut:
    """A row, or a part of one, that says nothing to train on, such as a tie.

    The report of the import counts these by reason.
    """

    reason: str  # plural, after a number: "3 rows left out: ties of the annotators"


Conversion: TypeAlias = "Record | LeftOut | list[Record | LeftOut]"
Converter: TypeAlias = Callable[[Row, RowLocation], Conversion]


@dataclass(frozen=True, kw_only=True)
class Format:
    """A way of writing rows.  Each module in `formats/` ends with one or more of these.

    A column that is neither read nor listed as metadata stops the import if its name says that it carries
    meaning (`column_meaning`); otherwise it travels in the metadata of the record, like `metadata`.
    """

    recognises: Callable[[Row], bool]
    convert: Converter  # the usual reading of a row; raises BadRow
    # Kind of record that the format can give -> the columns that such a record holds.
    reads: Mapping[RecordKind, frozenset[str]]
    # The converter itself refuses columns that it does not understand, whatever their names.
    reads_every_column: bool = False
    # Columns that travel in the metadata although their names sound as if they carried meaning.
    metadata: frozenset[str] = frozenset()
    # Columns that travel beside records of one kind only, such as the answers that a pair was chosen from.
    metadata_beside: Mapping[RecordKind, frozenset[str]] = field(default_factory=dict)
    # Other readings of the same row, chosen with --kind.
    readings: Mapping[RecordKind, Converter] = field(default_factory=dict)
    # Turns the rows of the file into larger ones, such as messages into trees.
    gather: Callable[[Iterator[SourceRow | RowProblem]], Iterator[SourceRow | RowProblem]] | None = None
