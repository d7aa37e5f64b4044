"""Math-Shepherd: the same text twice, with "ки" after each step in `input` and + or - in `label`."""

from fairlead.data.formats import feedback
from fairlead.data.formats.format import Conversion, Format, Row
from fairlead.data.parsing import parse_stepwise, required_text
from fairlead.data.row_problem import RowLocation, reject_row

COLUMNS = frozenset({"input", "label"})
TAG = "ки"  # two Cyrillic letters, one token of the model that the data was made for
SIGNS = {"+": True, "-": False}
FIRST_STEP = "Step 1:"


def recognises(row: Row) -> bool:
    text = row.get("input")
    return isinstance(text, str) and TAG in text and isinstance(row.get("label"), str)


def convert(row: Row, where: RowLocation) -> Conversion:
    *steps, rest = required_text(row, "input", where).split(TAG)
    labelled = required_text(row, "label", where)
    if not steps or rest.strip():
        remedy = 'Each step must end with "ки".'
        reject_row(where, "input", rest, "has text after the last tag of a step", remedy)
    labels = []
    position = 0
    for number, step in enumerate(steps, start=1):
        end = position + len(step)
        sign = labelled[end : end + 1]
        if labelled[position:end] != step or sign not in SIGNS:
            why = f"is not the input with + or - after step {number}"
            reject_row(where, "label", labelled[position : end + 1], why, "Drop the row with --drop.")
        labels.append(SIGNS[sign])
        position = end + 1
    question, marker, first = steps[0].partition(FIRST_STEP)
    if not marker or not question.strip():
        remedy = f'The question must come first, and the first step must begin with "{FIRST_STEP}".'
        reject_row(where, "input", steps[0], "has no question before the first step", remedy)
    steps[0] = marker + first
    stepwise = parse_stepwise(
        {
            "prompt": [{"role": "user", "content": question.strip()}],
            "completions": [step.strip() for step in steps],
            "labels": labels,
        },
        where,
    )
    return feedback.carrying(stepwise, None, {"task": row.get("task")})


FORMAT = Format(recognises=recognises, convert=convert, reads={"stepwise": COLUMNS | {"task"}})
