"""Plain format: the native columns with text in place of messages, or with messages and text mixed.

    {"prompt": "2 + 2?", "completion": "4"}                   text
    {"prompt": […], "chosen": "4", "rejected": "5"}           messages and text
    {"prompt": […], "chosen": […, the prompt and the answer]} answers that repeat the prompt

`response` and `output` are other names of `completion`; `system` and `history` become turns of the prompt.
Steps of a stepwise row are strings in the native format too.
"""

from typing import Any

from fairlead.data.column_meaning import is_blank
from fairlead.data.formats.format import Conversion, Format, Row
from fairlead.data.formats.pair import PAIR_NOTES, SCORE_COLUMNS, check_scores
from fairlead.data.formats.turns import (
    SYSTEM_COLUMNS,
    Turn,
    as_number,
    decoded,
    read_answer,
    read_history,
    read_label,
    read_question,
    read_step_labels,
    read_tags,
    system_of,
    with_system,
)
from fairlead.data.parsing import parse_row, required_column, required_text
from fairlead.data.records import COLUMNS_BY_KIND, kind_of_row
from fairlead.data.row_problem import RowLocation, reject_row

COMPLETION_NAMES = ("completion", "response", "output")
ANSWERS = ("chosen", "rejected", "completion")
NUMBERS = frozenset({"margin", "weight", "confidence", "score"})
BESIDE = frozenset({*SYSTEM_COLUMNS, "history"})


def recognises(row: Row) -> bool:
    return not is_blank(row.get("prompt"))  # a number or an object is reported by `convert`


def convert(row: Row, where: RowLocation) -> Conversion:
    native: dict[str, Any] = {
        column: value
        for column, value in row.items()
        if column in ALL_COLUMNS and not (column == "labels" and is_blank(value))
    }
    prompt = read_question(_text_or_list(row, "prompt", where), "prompt", where)
    prompt = with_system(read_history(row.get("history"), where) + prompt, system_of(row, where), where)
    native["prompt"] = prompt
    names = [name for name in COMPLETION_NAMES if row.get(name) is not None]
    if len(names) > 1:
        remedy = f"Keep one of them, for example with --ignore {names[1]}."
        reject_row(where, names[1], row[names[1]], f"is a second answer beside {names[0]}", remedy)
    if names:
        native["completion"] = _answer(row, names[0], prompt, where)
    for column in ("chosen", "rejected"):
        if row.get(column) is not None:
            native[column] = _answer(row, column, prompt, where)
    if row.get("labels") is None:
        native.pop("completions", None)  # answers without a judgement are no record
        if row.get("ranks") is not None:
            column = "responses" if row.get("completions") is None and "responses" in row else "completions"
            answers = _list_in(required_column(row, column, where))
            native["ranks"] = _list_in(row["ranks"])
            if not isinstance(answers, list):
                reject_row(where, column, answers, "is not a list of answers", 'Write ["…", "…"].')
            native["completions"] = [
                _without(prompt, read_answer(answer, f"{column}[{index}]", where))
                for index, answer in enumerate(answers)
            ]
    else:
        native["labels"] = read_step_labels(row["labels"], where)
        native["completions"] = _list_in(row.get("completions"))
    for present, absent in (("chosen", "rejected"), ("rejected", "chosen")):
        if native.get(present) is not None and native.get(absent) is None:
            columns = ", ".join(name for name, value in row.items() if value is not None)
            remedy = f"The row has {columns}. Name the column with --map {absent}=COLUMN."
            reject_row(where, absent, None, "is missing", remedy)
    if isinstance(native.get("tags"), str):
        native["tags"] = read_tags(native["tags"])
    if "chosen" in native:
        check_scores(row, where)
    for column in NUMBERS & native.keys():
        native[column] = as_number(native[column])  # tables such as CSV have text
    score = native.get("score")
    if isinstance(score, int | float) and not 0 <= score <= 1:
        remedy = "Say between which numbers scores lie, for example with --scale 1:5."
        reject_row(where, "score", score, "is not from 0 to 1", remedy)
    label = read_label(row, where)
    native["label"] = label
    kind = kind_of_row(native)
    assert kind is not None, "the row has a prompt"
    return parse_row(kind, native, where)


def _list_in(value: object) -> object:
    """The list that text holds, as in CSV files; other values as they are."""
    return decoded(value) if isinstance(value, str) else value


def _text_or_list(row: Row, column: str, where: RowLocation) -> Any:
    value = required_column(row, column, where)
    return value if isinstance(value, list | dict) else required_text(row, column, where)


def _answer(row: Row, column: str, prompt: list[Turn], where: RowLocation) -> list[Turn]:
    return _without(prompt, read_answer(_text_or_list(row, column, where), column, where))


def _without(prompt: list[Turn], answer: list[Turn]) -> list[Turn]:
    """The answer without the turns of the prompt, which some files repeat in front of it."""
    for start in (prompt, [turn for turn in prompt if turn["role"] != "system"]):
        if start and answer[: len(start)] == start:
            return answer[len(start) :]
    return answer


ALL_COLUMNS = frozenset().union(*COLUMNS_BY_KIND.values()) - {"messages"}
READS = {kind: (columns - {"messages"}) | BESIDE for kind, columns in COLUMNS_BY_KIND.items()}
FORMAT = Format(
    recognises=recognises,
    convert=convert,
    reads=READS
    | {
        "demonstration": READS["demonstration"] | {"response", "output"},
        "binary": READS["binary"] | {"response", "output", "kto_tag"},
        "rating": READS["rating"] | {"response", "output"},
        "ranking": READS["ranking"] | {"responses"},
    },
    metadata=SCORE_COLUMNS,
    metadata_beside={"comparison": PAIR_NOTES, "binary": frozenset({"rating"})},
)
