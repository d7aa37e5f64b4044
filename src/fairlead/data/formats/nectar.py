"""Nectar: a transcript as the prompt, and seven answers with ranks."""

from fairlead.data.formats.format import Conversion, Format, Row
from fairlead.data.formats.hh import open_turns
from fairlead.data.parsing import parse_row, required_column
from fairlead.data.row_problem import RowLocation, reject_row


def recognises(row: Row) -> bool:
    answers = row.get("answers")
    return (
        isinstance(row.get("prompt"), str)
        and isinstance(answers, list)
        and bool(answers)
        and all(isinstance(answer, dict) and {"answer", "rank"} <= answer.keys() for answer in answers)
    )


def convert(row: Row, where: RowLocation) -> Conversion:
    answers = required_column(row, "answers", where)
    if not isinstance(answers, list) or not all(isinstance(answer, dict) for answer in answers):
        reject_row(where, "answers", answers, "is not a list of answers", "Drop the row with --drop.")
    ranks = [answer.get("rank") for answer in answers]
    ranking = {
        "prompt": open_turns(row, "prompt", where),
        "completions": [[{"role": "assistant", "content": answer.get("answer")}] for answer in answers],
        # JSON of tables has 1.0 for 1
        "ranks": [int(rank) if isinstance(rank, float) and rank.is_integer() else rank for rank in ranks],
        "metadata": {"models": [answer.get("model") for answer in answers]},
    }
    return parse_row("ranking", ranking, where)


FORMAT = Format(
    recognises=recognises,
    convert=convert,
    reads={"ranking": frozenset({"prompt", "answers"})},
    metadata=frozenset({"turns", "num_responses", "good_natured"}),
)
