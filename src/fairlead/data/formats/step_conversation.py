"""Steps and their labels as turns: the assistant answers each step with + or -, as in RLHFlow's files.

The first turn holds the question too, up to "Step 1:".
"""

from typing import Any

from fairlead.data.formats.format import Conversion, Format, Row
from fairlead.data.formats.math_shepherd import FIRST_STEP, SIGNS
from fairlead.data.formats.turns import is_conversation, read_turns
from fairlead.data.parsing import parse_stepwise, read_messages
from fairlead.data.row_problem import RowLocation, reject_row

COLUMNS = ("conversations", "conversation", "messages")


def recognises(row: Row) -> bool:
    column = _column(row)
    if column is None or not isinstance(row[column], list):
        return False
    answers = [_content(turn) for turn in row[column][1::2]]
    return bool(answers) and all(isinstance(text, str) and text.strip() in SIGNS for text in answers)


def convert(row: Row, where: RowLocation) -> Conversion:
    column = _column(row) or COLUMNS[0]
    turns = read_messages(read_turns(row.get(column), column, where), column, where)
    roles = [turn.role for turn in turns]
    labels = [SIGNS.get(turn.content.strip()) for turn in turns[1::2]]
    if roles != ["user", "assistant"] * (len(turns) // 2) or None in labels:
        remedy = "Each step must be followed by + or -; drop the row with --drop."
        reject_row(where, column, None, "is not steps that alternate with their labels", remedy)
    question, marker, first = turns[0].content.partition(FIRST_STEP)
    if not marker or not question.strip():
        remedy = f'The question must come first, and the first step must begin with "{FIRST_STEP}".'
        reject_row(where, f"{column}[0]", turns[0].content, "has no question before a first step", remedy)
    steps = [marker + first, *(turn.content for turn in turns[2::2])]
    stepwise = {
        "prompt": [{"role": "user", "content": question.strip()}],
        "completions": [step.strip() for step in steps],
        "labels": labels,
    }
    return parse_stepwise(stepwise, where)


def _column(row: Row) -> str | None:
    return next((column for column in COLUMNS if is_conversation(row.get(column))), None)


def _content(turn: object) -> Any:
    return turn.get("content", turn.get("value")) if isinstance(turn, dict) else None


FORMAT = Format(recognises=recognises, convert=convert, reads={"stepwise": frozenset(COLUMNS)})
