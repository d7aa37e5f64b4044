"""OpenAI's summaries with feedback: two summaries and a choice, or one summary with marks from 1 to 7.

The prompt is the post under its forum and title, followed by "TL;DR:", as in the models that wrote the
summaries.  `choice` counts summaries from 0.
"""

from collections.abc import Mapping
from typing import Any

from fairlead.data.formats import feedback
from fairlead.data.formats.format import Conversion, Format, LeftOut, Row
from fairlead.data.parsing import required_text
from fairlead.data.records import Messages, Rating
from fairlead.data.row_problem import RowLocation, reject_row

LOWEST_MARK, HIGHEST_MARK = 1, 7


def recognises(row: Row) -> bool:
    if "chosen" in row:  # TRL's copy has the pair itself
        return False
    return isinstance(feedback.from_json(row.get("info")), dict) and ("summaries" in row or "summary" in row)


def convert(row: Row, where: RowLocation) -> Conversion:
    info = feedback.read_object(row, "info", where)
    prompt = _prompt(info, where)
    notes = {
        "site": info.get("site"),
        "subreddit": info.get("subreddit"),
        **{column: row.get(column) for column in ("batch", "split", "extra")},
    }
    if row.get("summaries") is None:
        rating = _rating(row, prompt, where)
        if isinstance(rating, LeftOut):
            return rating
        return feedback.carrying(rating, info.get("id"), {**notes, "rater": row.get("worker")})
    summaries = feedback.read_list(row, "summaries", where)
    best = feedback.read_side(row, "choice", where, len(summaries))
    if len(summaries) != 2 or not all(isinstance(summary, dict) for summary in summaries):
        reject_row(where, "summaries", summaries, "are not two summaries", 'Write [{"text": "…"}, …].')
    chosen, rejected = summaries[best], summaries[1 - best]
    comparison = feedback.compare(
        prompt,
        feedback.answer(required_text(chosen, "text", where)),
        feedback.answer(required_text(rejected, "text", where)),
        where,
        rater=row.get("worker"),
    )
    models = [chosen.get("policy"), rejected.get("policy")]
    return feedback.carrying(comparison, info.get("id"), {**notes, "models": models})


def _prompt(info: Mapping[str, Any], where: RowLocation) -> Messages:
    column = "post" if info.get("post") else "article"
    lines = [f"{column.upper()}: {required_text(info, column, where)}", "TL;DR:"]
    if info.get("title"):
        lines.insert(0, f"TITLE: {required_text(info, 'title', where)}")
    if info.get("subreddit"):
        lines.insert(0, f"SUBREDDIT: r/{required_text(info, 'subreddit', where)}")
    return feedback.user_turn("\n".join(lines))


def _rating(row: Row, prompt: Messages, where: RowLocation) -> Rating | LeftOut:
    summary = feedback.read_object(row, "summary", where)
    marks = feedback.read_object(summary, "axes", where)
    aspects = {}
    for name, mark in marks.items():
        if mark is None:
            continue
        number = feedback.as_number(mark)
        if number is None or not LOWEST_MARK <= number <= HIGHEST_MARK:
            remedy = f"Write a number from {LOWEST_MARK} to {HIGHEST_MARK}."
            reject_row(where, f"summary.axes.{name}", mark, "is not a mark", remedy)
        aspects[name] = (number - LOWEST_MARK) / (HIGHEST_MARK - LOWEST_MARK)
    if not aspects:
        return LeftOut("summaries without marks")
    return Rating(prompt, feedback.answer(required_text(summary, "text", where)), aspects=aspects)


FORMAT = Format(
    recognises=recognises,
    convert=convert,
    reads={
        "comparison": frozenset({"info", "summaries", "choice", "worker", "batch", "split", "extra"}),
        "rating": frozenset({"info", "summary", "worker", "batch", "split", "extra"}),
    },
)
