"""WebGPT comparisons: a question and two answers with scores from -1 to 1 that add up to 0.

The quotes that an answer cites travel in the metadata: they are no part of the question.
"""

from fairlead.data.formats import feedback
from fairlead.data.formats.format import Conversion, Format, LeftOut, Row
from fairlead.data.parsing import required_text
from fairlead.data.row_problem import RowLocation, reject_row

COLUMNS = frozenset({"question", "answer_0", "answer_1", "score_0", "score_1"})


def recognises(row: Row) -> bool:
    return row.keys() >= COLUMNS and isinstance(feedback.from_json(row["question"]), dict)


def convert(row: Row, where: RowLocation) -> Conversion:
    question = feedback.read_object(row, "question", where)
    answers = [required_text(row, f"answer_{side}", where) for side in (0, 1)]
    scores = [feedback.read_number(row, f"score_{side}", where) for side in (0, 1)]
    for side, score in enumerate(scores):
        if not -1 <= score <= 1:
            remedy = "Scores go from -1 (much worse) to 1 (much better)."
            reject_row(where, f"score_{side}", score, "is out of range", remedy)
    if scores[0] == scores[1]:
        return LeftOut("ties of the raters")
    best = 0 if scores[0] > scores[1] else 1
    comparison = feedback.compare(
        feedback.user_turn(required_text(question, "full_text", where)),
        feedback.answer(answers[best]),
        feedback.answer(answers[1 - best]),
        where,
    )
    notes = {"dataset": question.get("dataset"), "scores": [scores[best], scores[1 - best]]}
    return feedback.carrying(comparison, question.get("id"), notes)


FORMAT = Format(
    recognises=recognises,
    convert=convert,
    reads={"comparison": COLUMNS},
    metadata=frozenset({"quotes_0", "quotes_1", "tokens_0", "tokens_1"}),
)
