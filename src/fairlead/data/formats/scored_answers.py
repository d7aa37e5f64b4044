"""A question and a list of answers with scores, as forums give them: higher is better.

{"question": …, "answers": [{"text": …, "pm_score": 5}, …]}           Stack Exchange
{"title": …, "answers": {"text": ["…", "…"], "score": [9, 1]}}        ELI5
"""

from typing import Any

from fairlead.data.column_meaning import is_blank
from fairlead.data.formats import feedback
from fairlead.data.formats.format import Conversion, Format, LeftOut, Row
from fairlead.data.parsing import required_text
from fairlead.data.records import Messages, Ranking
from fairlead.data.row_problem import RowLocation, reject_row

QUESTIONS = ("prompt", "question", "instruction", "title")
BODIES = ("selftext", "body")
SCORES = ("pm_score", "score")


def recognises(row: Row) -> bool:
    answers = _answers(row)
    return any(isinstance(row.get(column), str) for column in QUESTIONS) and bool(answers)


def convert(row: Row, where: RowLocation) -> Conversion:
    texts: list[Messages] = []
    scores: list[float] = []
    notes: list[dict[str, Any]] = []
    answers = _answers(row)
    if not answers:
        remedy = 'Write [{"text": "…", "score": 5}, …], or drop the row with --drop.'
        reject_row(where, "answers", row.get("answers"), "is not a list of answers with scores", remedy)
    for index, answer in enumerate(answers):
        column = next(name for name in SCORES if name in answer)
        score = feedback.as_number(answer[column])
        if score is None:
            remedy = "Drop the row with --drop."
            reject_row(where, f"answers[{index}].{column}", answer[column], "is not a number", remedy)
        texts.append(feedback.answer(required_text(answer, "text", where)))
        scores.append(score)
        notes.append({name: value for name, value in answer.items() if name != "text"})
    if len(set(scores)) < 2:
        return LeftOut("questions with fewer than two answers of different score")
    ranking = Ranking(_question(row, where), tuple(texts), feedback.ranks_of_scores(scores))
    return feedback.carrying(ranking, None, {"answers": notes})


def _question(row: Row, where: RowLocation) -> Messages:
    column = next((name for name in QUESTIONS if isinstance(row.get(name), str)), QUESTIONS[1])
    text = required_text(row, column, where)
    body = next((row[name] for name in BODIES if not is_blank(row.get(name))), None)
    return feedback.user_turn(text if body is None else f"{text}\n\n{body}")


def _answers(row: Row) -> list[dict[str, Any]]:
    """The answers as objects; empty if the column holds anything else."""
    answers = feedback.from_json(row.get("answers"))
    if isinstance(answers, dict):  # a table: one list for each column
        lists = {name: value for name, value in answers.items() if isinstance(value, list)}
        if len({len(value) for value in lists.values()}) != 1:
            return []
        answers = [dict(zip(lists, values, strict=True)) for values in zip(*lists.values(), strict=True)]
    if not isinstance(answers, list) or not all(
        isinstance(answer, dict) and "text" in answer and any(name in answer for name in SCORES)
        for answer in answers
    ):
        return []
    return answers


FORMAT = Format(
    recognises=recognises,
    convert=convert,
    reads={"ranking": frozenset({*QUESTIONS, *BODIES, "answers"})},
)
