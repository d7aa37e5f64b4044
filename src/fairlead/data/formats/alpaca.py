"""Alpaca format: instruction, optional input, and output; or chosen and rejected instead of output.

The prompt is the instruction, an empty line and the input.  Alpaca's preamble is left out, because the chat
template of the model already frames the request.
"""

from collections.abc import Mapping
from typing import Any

from fairlead.data.parsing import build_comparison, optional_text, required_text
from fairlead.data.records import Comparison, Demonstration, Message, Messages
from fairlead.data.row_problem import RowLocation

COLUMNS = frozenset({"instruction", "input", "output", "chosen", "rejected"})


def recognises(row: Mapping[str, Any]) -> bool:
    return isinstance(row.get("instruction"), str) and any(
        row.get(column) is not None for column in ("output", "chosen", "rejected")
    )


def convert(row: Mapping[str, Any], where: RowLocation) -> Demonstration | Comparison:
    request = required_text(row, "instruction", where)
    if row.get("input") not in (None, ""):
        request = f"{request}\n\n{optional_text(row, 'input', where)}"
    prompt = (Message("user", request),)
    if row.get("chosen") is not None or row.get("rejected") is not None:
        return build_comparison(
            prompt, _answer(row, "chosen", where), _answer(row, "rejected", where), {}, where
        )
    return Demonstration(prompt=prompt, completion=_answer(row, "output", where))


def _answer(row: Mapping[str, Any], column: str, where: RowLocation) -> Messages:
    return (Message("assistant", required_text(row, column, where)),)
