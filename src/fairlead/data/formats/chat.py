"""Conversations in one column, as OpenAI, ShareGPT, LLaMA-Factory and ms-swift write them.

    {"messages": […]}                                      a demonstration
    {"messages": […], "label": false}                      its last answer is good or bad
    {"conversations": […], "chosen": …, "rejected": …}     the conversation is the prompt of a comparison

`system` and `tools` beside the conversation belong to it.
"""

from collections.abc import Mapping
from typing import Any

from fairlead.data.column_meaning import is_blank
from fairlead.data.formats.format import Conversion, Row
from fairlead.data.formats.turns import (
    SYSTEM_COLUMNS,
    Turn,
    read_answer,
    read_label,
    read_turns,
    system_of,
    with_system,
)
from fairlead.data.parsing import parse_row, read_messages, required_column
from fairlead.data.records import Messages, RecordKind
from fairlead.data.row_problem import RowLocation, reject_row

BESIDE = frozenset({*SYSTEM_COLUMNS, "tools", "prompt"})  # columns that belong to the conversation


def reads(*columns: str) -> Mapping[RecordKind, frozenset[str]]:
    """The columns that `convert` reads, where one of `columns` has the conversation."""
    always = frozenset(columns) | BESIDE
    return {
        "demonstration": always,
        "comparison": always | {"chosen", "rejected", "rejected_response"},
        "binary": always | {"label", "kto_tag"},
    }


def convert(row: Row, column: str, where: RowLocation) -> Conversion:
    turns = with_system(
        read_turns(required_column(row, column, where), column, where), system_of(row, where), where
    )
    if not is_blank(row.get("prompt")):
        check_question(row, read_messages(turns, column, where), where)
    beside = {"tools": row.get("tools"), "id": row.get("id")}
    label = read_label(row, where)
    if any(not is_blank(row.get(name)) for name in ("chosen", "rejected", "rejected_response")):
        if label is not None:
            remedy = "Leave it out with --ignore, or split the file."
            reject_row(where, "label", label, "stands beside chosen and rejected", remedy)
        return parse_row("comparison", beside | _pair(row, turns, where), where)
    if label is not None:
        if turns[-1]["role"] != "assistant":
            remedy = "End with the answer that the label is about."
            reject_row(
                where, f"{column}[{len(turns) - 1}]", None, "is not an answer, but has a label", remedy
            )
        judged = {"prompt": turns[:-1], "completion": turns[-1:], "label": label}
        return parse_row("binary", beside | judged, where)
    return parse_row("demonstration", beside | {"messages": turns}, where)


def check_question(row: Row, turns: Messages, where: RowLocation) -> None:
    """Check that a `prompt` beside a conversation is a question in it: data sets repeat it there."""
    prompt = row.get("prompt")
    if is_blank(prompt):
        return
    if not isinstance(prompt, str) or prompt.strip() not in [turn.content.strip() for turn in turns]:
        remedy = "Leave it out with --ignore prompt, or say what it is with --map."
        reject_row(where, "prompt", prompt, "is not in the conversation beside it", remedy)


def _pair(row: Row, turns: list[Turn], where: RowLocation) -> dict[str, Any]:
    if not is_blank(row.get("rejected_response")):  # ms-swift: the conversation ends with the chosen answer
        rejected = read_answer(row["rejected_response"], "rejected_response", where)
        return {"prompt": turns[:-1], "chosen": turns[-1:], "rejected": rejected}
    answers = {
        name: read_answer(required_column(row, name, where), name, where) for name in ("chosen", "rejected")
    }
    return {"prompt": turns, **answers}
