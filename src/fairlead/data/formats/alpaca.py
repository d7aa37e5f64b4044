"""Alpaca format: instruction, optional input, and output; or chosen and rejected instead of output.

The prompt is the instruction, an empty line and the input.  Alpaca's preamble is left out, because the chat
template of the model already frames the request.  LLaMA-Factory adds `system`, `history` (earlier turns) and
`kto_tag` (whether the output is good).
"""

from fairlead.data.column_meaning import is_blank
from fairlead.data.formats.format import Conversion, Format, Row
from fairlead.data.formats.pair import PAIR_NOTES, SCORE_COLUMNS, check_scores
from fairlead.data.formats.transcript import open_transcript
from fairlead.data.formats.turns import (
    SYSTEM_COLUMNS,
    Turn,
    read_history,
    read_label,
    system_of,
    with_system,
)
from fairlead.data.parsing import optional_text, parse_row, required_text
from fairlead.data.row_problem import RowLocation

QUESTION = frozenset({"instruction", "input", *SYSTEM_COLUMNS, "history", "tools"})


def recognises(row: Row) -> bool:
    return isinstance(row.get("instruction"), str) and any(
        row.get(column) is not None for column in ("output", "chosen", "rejected")
    )


def convert(row: Row, where: RowLocation) -> Conversion:
    request = request_text(row, where)
    question = open_transcript(request) or [{"role": "user", "content": request}]
    turns: list[Turn] = [*read_history(row.get("history"), where), *question]
    beside = {
        "prompt": with_system(turns, system_of(row, where), where),
        "tools": row.get("tools"),
        "id": row.get("id"),
    }
    label = read_label(row, where)
    if row.get("chosen") is not None or row.get("rejected") is not None:
        check_scores(row, where)
        answers = {column: _answer(row, column, where) for column in ("chosen", "rejected")}
        return parse_row("comparison", beside | answers, where)
    answer = {"completion": _answer(row, "output", where)}
    if label is not None:
        return parse_row("binary", beside | answer | {"label": label}, where)
    return parse_row("demonstration", beside | answer, where)


def request_text(row: Row, where: RowLocation) -> str:
    """The instruction, an empty line and the input."""
    request = required_text(row, "instruction", where)
    if is_blank(row.get("input")):
        return request
    return f"{request}\n\n{optional_text(row, 'input', where)}"


def _answer(row: Row, column: str, where: RowLocation) -> list[Turn]:
    return [{"role": "assistant", "content": required_text(row, column, where)}]


FORMAT = Format(
    recognises=recognises,
    convert=convert,
    reads={
        "demonstration": QUESTION | {"output"},
        "comparison": QUESTION | {"chosen", "rejected"},
        "binary": QUESTION | {"output", "label", "kto_tag"},
    },
    metadata_beside={"comparison": PAIR_NOTES},
    # Beside chosen and rejected, `output` is a third answer, often the chosen one.
    metadata=SCORE_COLUMNS | {"output"},
)
