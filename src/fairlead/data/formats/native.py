"""Fairlead's native format: the conversational columns of TRL, and optional columns."""

from fairlead.data.column_meaning import is_blank
from fairlead.data.formats.format import Conversion, Format, Row
from fairlead.data.formats.pair import PAIR_NOTES, SCORE_COLUMNS, check_scores
from fairlead.data.parsing import parse_row
from fairlead.data.records import COLUMNS_BY_KIND, kind_of_row
from fairlead.data.row_problem import RowLocation, reject_row

# Columns that only `plain` reads.
OTHER_COLUMNS = ("system", "system_prompt", "history", "response", "output", "responses")


def recognises(row: Row) -> bool:
    return (
        isinstance(row.get("prompt"), list)
        and all(_is_answer(row.get(column)) for column in ("chosen", "rejected", "completion"))
        and all(is_blank(row.get(column)) for column in OTHER_COLUMNS)
        and isinstance(row.get("score"), int | float | None)
        and 0 <= (row.get("score") or 0) <= 1
        and isinstance(row.get("label"), bool | None)
        and isinstance(row.get("labels"), list | None)
        and all(isinstance(label, bool) for label in _list(row.get("labels")))
        and (row.get("labels") is not None or all(map(_is_answer, _list(row.get("completions")))))
    )


def convert(row: Row, where: RowLocation) -> Conversion:
    kind = kind_of_row(row)
    if kind is None:
        reject_row(
            where,
            "prompt",
            None,
            "is missing",
            f"A native row has prompt or messages; this row has {', '.join(row) or 'nothing'}.",
        )
    if kind == "comparison":
        check_scores(row, where)
    return parse_row(kind, row, where)


def _is_answer(value: object) -> bool:
    """Whether the value is absent, or a list that begins with a turn of the assistant."""
    if value is None:
        return True
    first = value[0] if isinstance(value, list) and value else None
    return isinstance(first, dict) and first.get("role") == "assistant"


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else []


FORMAT = Format(
    recognises=recognises,
    convert=convert,
    reads=COLUMNS_BY_KIND,
    metadata=SCORE_COLUMNS,
    metadata_beside={"comparison": PAIR_NOTES, "binary": frozenset({"rating"})},
)
