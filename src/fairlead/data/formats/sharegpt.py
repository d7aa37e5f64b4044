"""ShareGPT format: `conversations`, a list of turns with `from` (human, gpt, system) and `value`.

With `chosen` and `rejected`, the conversation is the prompt of a comparison.
"""

from collections.abc import Mapping
from typing import Any

from fairlead.data.parsing import (
    build_comparison,
    parse_demonstration,
    read_completion,
    read_prompt,
    required_column,
)
from fairlead.data.records import Comparison, Demonstration
from fairlead.data.row_problem import RowLocation, reject_row

COLUMNS = frozenset({"conversations", "chosen", "rejected"})
ROLE_OF = {"human": "user", "user": "user", "gpt": "assistant", "assistant": "assistant", "system": "system"}


def recognises(row: Mapping[str, Any]) -> bool:
    return isinstance(row.get("conversations"), list)


def convert(row: Mapping[str, Any], where: RowLocation) -> Demonstration | Comparison:
    turns = _turns(required_column(row, "conversations", where), "conversations", where)
    if row.get("chosen") is None and row.get("rejected") is None:
        return parse_demonstration({"messages": turns}, where)
    answers = {
        column: _turns([required_column(row, column, where)], column, where)
        for column in ("chosen", "rejected")
    }
    chosen, rejected = (read_completion(answers, column, where) for column in answers)
    return build_comparison(read_prompt({"prompt": turns}, where), chosen, rejected, {}, where)


def _turns(value: object, field: str, where: RowLocation) -> list[dict[str, Any]]:
    if not isinstance(value, list) or not value:
        reject_row(
            where, field, value, "is not a list of turns", 'Write [{"from": "human", "value": "…"}, …].'
        )
    return [_turn(item, f"{field}[{index}]", where) for index, item in enumerate(value)]


def _turn(value: object, field: str, where: RowLocation) -> dict[str, Any]:
    if not isinstance(value, dict):
        reject_row(where, field, value, "is not a turn", 'Write {"from": "human", "value": "…"}.')
    speaker = value.get("from")
    if not isinstance(speaker, str) or speaker not in ROLE_OF:
        reject_row(
            where, f"{field}.from", speaker, "is not a known speaker", f"Speakers are {', '.join(ROLE_OF)}."
        )
    return {"role": ROLE_OF[speaker], "content": value.get("value")}
