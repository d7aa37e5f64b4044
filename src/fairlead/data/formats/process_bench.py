"""ProcessBench: a solution in `steps`, and `label`, the number of the first wrong step from 0, or -1.

Nothing is known about the steps after the first wrong one, so the row ends there.
"""

from fairlead.data.formats import feedback
from fairlead.data.formats.format import Conversion, Format, Row
from fairlead.data.parsing import parse_stepwise, required_text
from fairlead.data.row_problem import RowLocation, reject_row

COLUMNS = frozenset({"problem", "steps", "label"})


def recognises(row: Row) -> bool:
    return row.keys() >= COLUMNS and isinstance(feedback.from_json(row["steps"]), list)


def convert(row: Row, where: RowLocation) -> Conversion:
    steps = feedback.read_list(row, "steps", where)
    first_error = feedback.read_number(row, "label", where)
    if first_error not in range(-1, len(steps)):
        remedy = f"Write a number from 0 to {len(steps) - 1}, or -1 if every step is right."
        reject_row(where, "label", row["label"], "is not the number of a step", remedy)
    labels = [True] * len(steps) if first_error == -1 else [True] * int(first_error) + [False]
    stepwise = parse_stepwise(
        {
            "prompt": [{"role": "user", "content": required_text(row, "problem", where)}],
            "completions": steps[: len(labels)],
            "labels": labels,
        },
        where,
    )
    return feedback.carrying(stepwise, None, {"unlabelled_steps": steps[len(labels) :]})


FORMAT = Format(
    recognises=recognises,
    convert=convert,
    reads={"stepwise": COLUMNS},
    metadata=frozenset({"final_answer_correct"}),
)
