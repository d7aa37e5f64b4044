"""Optional columns beside a comparison: the tags of the prompt, and which answer was shown first.

Evaluations read them to report accuracy by slice and the position baseline; nothing is trained on them.

    tags          list of strings
    family        string, treated as one more tag
    shown_first   "chosen" or "rejected"

Values of another type are ignored and counted, because such columns come from many sources.
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

PairKey = tuple[str, Messages, Messages, str | None]  # (prompt text, chosen, rejected, rater)


@dataclass(frozen=True, slots=True)
class PairMetadata:
    tags: tuple[str, ...] = ()  # the row's tags and its family
    chosen_first: bool | None = None  # None if the row does not say which answer was shown first


@dataclass(frozen=True)
class MetadataTable:
    by_pair: Mapping[PairKey, PairMetadata]
    num_ignored: int = 0  # values of another type

    def of(self, comparison: Comparison) -> PairMetadata:
        return self.by_pair.get(pair_key(comparison), PairMetadata())


def read_pair_metadata(path: Path) -> MetadataTable:
    """Read the metadata of a file of comparisons.  Of equal rows by the same rater, the first counts."""
    by_pair: dict[PairKey, PairMetadata] = {}
    num_ignored = 0
    for result in parse_rows(file_source.read_file_rows(path), "comparison"):
        if isinstance(result, RowProblem) or not isinstance(result.record, Comparison):
            continue  # bad rows are reported by `record_reader`
        metadata, ignored = _parse_metadata(result)
        num_ignored += ignored
        by_pair.setdefault(pair_key(result.record), metadata)
    return MetadataTable(by_pair, num_ignored)


def pair_key(comparison: Comparison) -> PairKey:
    return prompt_text(comparison), comparison.chosen, comparison.rejected, comparison.rater


def _parse_metadata(result: ParsedRow) -> tuple[PairMetadata, int]:
    """The metadata of a row, and the number of its values with another type."""
    row: Row = result.row.value
    tags, family, first = (row.get(name) for name in ("tags", "family", "shown_first"))
    is_valid = {
        "tags": isinstance(tags, list) and all(isinstance(tag, str) for tag in tags),
        "family": isinstance(family, str),
        "shown_first": first in ("chosen", "rejected"),
    }
    num_ignored = sum(row.get(name) is not None and not valid for name, valid in is_valid.items())
    names: list[Any] = list(tags) if is_valid["tags"] and isinstance(tags, list) else []
    if isinstance(family, str):
        names.append(family)
    chosen_first = first == "chosen" if is_valid["shown_first"] else None
    return PairMetadata(tuple(dict.fromkeys(names)), chosen_first), num_ignored
