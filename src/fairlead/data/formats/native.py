"""Fairlead's own rows: TRL's conversational columns and the optional ones beside them."""

from collections.abc import Mapping
from typing import Any

from fairlead.data.parsing import parse_row
from fairlead.data.problem import Where, fail
from fairlead.data.records import COLUMNS as COLUMNS_BY_KIND
from fairlead.data.records import Record, kind_of

COLUMNS = frozenset().union(*COLUMNS_BY_KIND.values())


def recognises(row: Mapping[str, Any]) -> bool:
    return isinstance(row.get("prompt"), list)


def convert(row: Mapping[str, Any], where: Where) -> Record:
    kind = kind_of(row)
    if kind is None:
        fail(
            where,
            "prompt",
            None,
            "is missing",
            f"A native row has prompt or messages; this one has {', '.join(row) or 'nothing'}.",
        )
    return parse_row(kind, row, where)
