"""Langfuse: traces with `scores`, and the items of data sets.

A boolean score, or 1 and 0 or -1, under a name such as `user-feedback` is a thumb; a correction is an edit.
The corrected output is chosen with `--kind comparison`.  Scores with the source EVAL come from judges.
"""

from typing import Any

from fairlead.data.column_meaning import is_blank
from fairlead.data.formats import feedback, trace
from fairlead.data.formats.feedback import Outcomes
from fairlead.data.formats.format import Format, LeftOut, Row
from fairlead.data.formats.trace import Exchange, Signal
from fairlead.data.parsing import required_column
from fairlead.data.row_problem import RowLocation, reject_row


def recognises_trace(row: Row) -> bool:
    row = _trace(row)
    return row.keys() >= {"input", "output"} and ("scores" in row or "htmlPath" in row)


def recognises_item(row: Row) -> bool:
    return row.keys() >= {"input", "expectedOutput"}


def _read(row: Row, where: RowLocation) -> Outcomes:
    trace_row = _trace(row)
    prompt = trace.read_input(required_column(trace_row, "input", where), "input", where)
    if is_blank(trace_row.get("output")):
        return [LeftOut("traces without an answer")]
    answer = trace.read_output(trace_row["output"], prompt, "output", where)
    scores = row.get("scores") if row.get("scores") is not None else trace_row.get("scores")
    signals = _signals(feedback.from_json(scores), where)
    notes = {name: trace_row.get(name) for name in ("name", "userId", "sessionId", "timestamp")}
    if trace_row is not row:
        notes |= {name: trace_row.get(name) for name in ("tags", "metadata")}
    outcomes = trace.outcomes_of(Exchange(prompt, answer, signals, notes), where)
    return [
        record if isinstance(record, LeftOut) else feedback.carrying(record, trace_row.get("id"))
        for record in outcomes
    ]


def _signals(scores: Any, where: RowLocation) -> list[Signal]:
    if is_blank(scores):
        return []
    if isinstance(scores, dict):  # a table of traces: name -> value, values, or their summary
        named = [
            (name, value.get("values") if isinstance(value, dict) else value)
            for name, value in scores.items()
        ]
        return [
            Signal(name, value)
            for name, values in named
            for value in (values if isinstance(values, list) else [values])
        ]
    if not isinstance(scores, list) or not all(isinstance(score, dict) for score in scores):
        reject_row(where, "scores", scores, "is not a list of scores", "Export the traces as JSON.")
    return [_signal(score) for score in scores]


def _signal(score: dict[str, Any]) -> Signal:
    is_edit = score.get("dataType") == "CORRECTION"
    values = [score.get(name) for name in (("stringValue", "value") if is_edit else ("value", "stringValue"))]
    if score.get("dataType") in ("CATEGORICAL", "BOOLEAN") and isinstance(score.get("stringValue"), str):
        values = [score["stringValue"]]
    author = score.get("authorUserId") or score.get("userId")
    return Signal(
        str(score.get("name")),
        next((value for value in values if not is_blank(value)), None),
        is_edit=is_edit,
        is_automatic=score.get("source") == "EVAL",
        rater=None if author is None else str(author),
        comment=score.get("comment"),
    )


def _trace(row: Row) -> Row:
    """The trace itself, which the download of one trace wraps."""
    inner = row.get("trace")
    return inner if isinstance(inner, dict) and "input" in inner else row


TRACE_COLUMNS = frozenset(
    """id input output scores name userId sessionId tags timestamp metadata trace observations htmlPath
    latency totalCost release version public environment bookmarked projectId externalId createdAt
    updatedAt""".split()
)

READINGS = feedback.readings(_read, trace.KINDS)
TRACES = Format(
    recognises=recognises_trace,
    convert=READINGS["binary"],
    reads=dict.fromkeys(trace.KINDS, TRACE_COLUMNS),
    readings=READINGS,
)
ITEMS = trace.item_format(recognises_item, "input", "expectedOutput", ("status",))
