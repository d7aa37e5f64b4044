"""Fairlead's native format: the conversational columns of TRL, and optional columns."""

from collections.abc import Mapping
from typing import Any

from fairlead.data.parsing import parse_row
from fairlead.data.records import COLUMNS_BY_KIND, Record, kind_of_row
from fairlead.data.row_problem import RowLocation, reject_row

COLUMNS = frozenset().union(*COLUMNS_BY_KIND.values())


def recognises(row: Mapping[str, Any]) -> bool:
    return isinstance(row.get("prompt"), list)


def convert(row: Mapping[str, Any], where: RowLocation) -> Record:
    kind = kind_of_row(row)
    if kind is None:
        reject_row(
            where,
            "prompt",
            None,
            "is missing",
            f"A native row has prompt or messages; this row has {', '.join(row) or 'nothing'}.",
        )
    return parse_row(kind, row, where)
