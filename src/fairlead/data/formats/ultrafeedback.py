"""UltraFeedback as it was published: an instruction and the answers of four models, each with ratings.

The answers are ranked by their mean rating (`fine-grained_score`), because `overall_score` is known to be
wrong for some rows.  As ratings, each answer has one score per aspect.
"""

from typing import Any

from fairlead.data.formats.format import Conversion, Format, LeftOut, Row
from fairlead.data.parsing import parse_row, required_column, required_text
from fairlead.data.records import Record
from fairlead.data.row_problem import RowLocation, reject_row

SCORE = "fine-grained_score"
HIGHEST_RATING = 5
KEPT = ("model", SCORE, "overall_score", "critique", "custom_system_prompt", "principle")


def recognises(row: Row) -> bool:
    answers = row.get("completions")
    return (
        isinstance(row.get("instruction"), str)
        and isinstance(answers, list)
        and all(isinstance(answer, dict) and "response" in answer for answer in answers)
    )


def convert(row: Row, where: RowLocation) -> Conversion:
    """A ranking of the answers."""
    answers = _answers(row, where)
    scores = [_score(answer, f"completions[{index}]", where) for index, answer in enumerate(answers)]
    if len(answers) < 2 or len(set(scores)) < 2:
        return LeftOut("instructions with fewer than two answers of different rating")
    better_first = sorted(set(scores), reverse=True)
    ranking = {
        "prompt": _prompt(row, where),
        "completions": [[{"role": "assistant", "content": answer["response"]}] for answer in answers],
        "ranks": [better_first.index(score) + 1 for score in scores],
        "metadata": {"answers": [_notes(answer) for answer in answers]},
    }
    return parse_row("ranking", ranking, where)


def convert_to_ratings(row: Row, where: RowLocation) -> Conversion:
    records: list[Record | LeftOut] = []
    for answer in _answers(row, where):
        aspects = {
            name: (rating - 1) / (HIGHEST_RATING - 1)
            for name, annotation in (answer.get("annotations") or {}).items()
            if (rating := _rating(annotation)) is not None
        }
        rated = {
            "prompt": _prompt(row, where),
            "completion": [{"role": "assistant", "content": answer["response"]}],
            "aspects": aspects,
            "metadata": _notes(answer),
        }
        records.append(parse_row("rating", rated, where) if aspects else LeftOut("answers without a rating"))
    return records


def _prompt(row: Row, where: RowLocation) -> list[dict[str, Any]]:
    return [{"role": "user", "content": required_text(row, "instruction", where)}]


def _answers(row: Row, where: RowLocation) -> list[dict[str, Any]]:
    answers = required_column(row, "completions", where)
    if not isinstance(answers, list) or not all(isinstance(answer, dict) for answer in answers):
        reject_row(where, "completions", answers, "is not a list of answers", 'Write [{"response": "…"}, …].')
    for index, answer in enumerate(answers):
        required_text(answer, "response", RowLocation(where.path, where.line))
        if not isinstance(answer.get("annotations"), dict | None):
            field = f"completions[{index}].annotations"
            reject_row(where, field, answer["annotations"], "is not an object", "Drop the row with --drop.")
    return answers


def _score(answer: dict[str, Any], field: str, where: RowLocation) -> float:
    score = answer.get(SCORE)
    if isinstance(score, int | float) and not isinstance(score, bool):
        return float(score)
    ratings = [_rating(annotation) for annotation in (answer.get("annotations") or {}).values()]
    known = [rating for rating in ratings if rating is not None]
    if not known:
        remedy = "Drop the row with --drop."
        reject_row(where, f"{field}.{SCORE}", score, "is not a number, and there are no ratings", remedy)
    return sum(known) / len(known)


def _rating(annotation: object) -> float | None:
    """The rating from 1 to 5; None for "N/A".  Parquet files of the set have lists of one annotation."""
    if isinstance(annotation, list) and annotation:
        annotation = annotation[0]
    rating = annotation.get("Rating") if isinstance(annotation, dict) else None
    try:
        value = float(rating)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return None
    return value if 1 <= value <= HIGHEST_RATING else None


def _notes(answer: dict[str, Any]) -> dict[str, Any]:
    ratings = {name: _rating(annotation) for name, annotation in (answer.get("annotations") or {}).items()}
    notes = {name: answer[name] for name in KEPT if answer.get(name) not in (None, "")}
    return notes | ({"ratings": ratings} if ratings else {})


READS = frozenset({"instruction", "completions"})
FORMAT = Format(
    recognises=recognises,
    convert=convert,
    reads={"ranking": READS, "rating": READS},
    metadata=frozenset({"correct_answers", "incorrect_answers"}),
    readings={"rating": convert_to_ratings},
)
