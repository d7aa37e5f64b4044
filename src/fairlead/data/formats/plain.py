"""Plain format: native columns with strings instead of messages (prompt, chosen, rejected, completion).

Steps of a stepwise row are strings in the native format too.
"""

from collections.abc import Mapping
from typing import Any

from fairlead.data.formats import native
from fairlead.data.parsing import required_text
from fairlead.data.records import Record
from fairlead.data.row_problem import RowLocation

COLUMNS = native.COLUMNS - {"messages", "ranks"}
ANSWERS = ("chosen", "rejected", "completion")


def recognises(row: Mapping[str, Any]) -> bool:
    return isinstance(row.get("prompt"), str)


def convert(row: Mapping[str, Any], where: RowLocation) -> Record:
    wrapped: dict[str, Any] = {column: value for column, value in row.items() if column in COLUMNS}
    if row.get("labels") is None:  # completions of a ranking have no plain form
        wrapped.pop("completions", None)
    wrapped["prompt"] = [{"role": "user", "content": required_text(row, "prompt", where)}]
    for column in ANSWERS:
        if row.get(column) is not None:
            wrapped[column] = [{"role": "assistant", "content": required_text(row, column, where)}]
    return native.convert(wrapped, where)
