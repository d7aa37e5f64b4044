"""What a row says besides its comparison: what kind of prompt it is, and which answer was shown first.  Only evaluations read it.

`tags` is a list of text, `family` text, `shown_first` "chosen" or "rejected".  All are optional; a value of another form is counted and
not used, because such columns come from anywhere and nothing is trained on them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fairlead.data import file_source
from fairlead.data.parsing import Row
from fairlead.data.record_reader import ParsedRow, parse_rows
from fairlead.data.records import Comparison, Messages, prompt_text
from fairlead.data.row_problem import RowProblem

METADATA_COLUMNS = frozenset({"tags", "family", "shown_first"})

Key = tuple[str, Messages, Messages, str | None]


@dataclass(frozen=True, slots=True)
class PairMetadata:
    tags: tuple[str, ...] = ()  # the row's tags, and its family
    chosen_first: bool | None = None  # None: nobody wrote down which answer was shown first


@dataclass(frozen=True)
class MetadataTable:
    by_row: Mapping[Key, PairMetadata]
    num_unused: int = 0  # values of another form

    def of(self, comparison: Comparison) -> PairMetadata:
        return self.by_row.get(_key(comparison), PairMetadata())


def read_pair_metadata(path: Path) -> MetadataTable:
    """The notes of a file of comparisons; of rows that are the same comparison by the same rater, those of the first."""
    found: dict[Key, PairMetadata] = {}
    num_unused = 0
    for result in parse_rows(file_source.read_file_rows(path), "comparison"):
        if isinstance(result, RowProblem) or not isinstance(result.record, Comparison):
            continue  # a row of another kind; what is wrong with a comparison is said where comparisons are read
        note, unused = _note(result)
        num_unused += unused
        found.setdefault(_key(result.record), note)
    return MetadataTable(found, num_unused)


def _note(result: ParsedRow) -> tuple[PairMetadata, int]:
    row: Row = result.row.value
    tags, family, first = (row.get(name) for name in ("tags", "family", "shown_first"))
    fits = {
        "tags": isinstance(tags, list) and all(isinstance(tag, str) for tag in tags),
        "family": isinstance(family, str),
        "shown_first": first in ("chosen", "rejected"),
    }
    unused = sum(row.get(name) is not None and not fit for name, fit in fits.items())
    listed: list[Any] = list(tags) if fits["tags"] and isinstance(tags, list) else []
    named = [family] if isinstance(family, str) else []
    return PairMetadata(
        tuple(dict.fromkeys([*listed, *named])), first == "chosen" if fits["shown_first"] else None
    ), unused


def _key(comparison: Comparison) -> Key:
    return prompt_text(comparison), comparison.chosen, comparison.rejected, comparison.rater
