"""PandaLM: two answers to an instruction, and the choices of annotators (1, 2, or 0 for a tie).

The answer that most annotators chose is the better one.  Rows without such an answer are left out.
"""

from fairlead.data.formats.alpaca import request_text
from fairlead.data.formats.format import Conversion, Format, LeftOut, Row
from fairlead.data.formats.turns import as_number
from fairlead.data.parsing import parse_row, required_text
from fairlead.data.row_problem import RowLocation, reject_row

ANSWERS = ("response1", "response2")


def recognises(row: Row) -> bool:
    return isinstance(row.get("instruction"), str) and {*ANSWERS, "annotator1"} <= row.keys()


def convert(row: Row, where: RowLocation) -> Conversion:
    votes = [as_number(row[column]) for column in sorted(row) if column.startswith("annotator")]
    for vote in votes:
        if vote not in (0, 1, 2):
            remedy = "Write 1 or 2 for the better answer, and 0 for a tie."
            reject_row(where, "annotator1", vote, "is no choice of an answer", remedy)
    winner = next((choice for choice in (1, 2) if votes.count(choice) * 2 > len(votes)), None)
    if winner is None:
        return LeftOut("ties, and rows on which the annotators disagree")
    answers = [[{"role": "assistant", "content": required_text(row, name, where)}] for name in ANSWERS]
    pair = {
        "prompt": [{"role": "user", "content": request_text(row, where)}],
        "chosen": answers[winner - 1],
        "rejected": answers[2 - winner],
    }
    return parse_row("comparison", pair, where)


FORMAT = Format(
    recognises=recognises,
    convert=convert,
    reads={"comparison": frozenset({"instruction", "input", *ANSWERS})},
    metadata=frozenset({"cmp_key", "motivation_app", *(f"annotator{number}" for number in range(1, 10))}),
)
