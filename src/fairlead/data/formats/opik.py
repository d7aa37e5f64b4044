"""Opik: traces with `feedback_scores`, and the items of data sets.

A value of 1 or 0 under a name such as "User feedback" is a thumb, unless its source is online scoring.
"""

from typing import Any

from fairlead.data.column_meaning import is_blank
from fairlead.data.formats import feedback, trace
from fairlead.data.formats.feedback import Outcomes
from fairlead.data.formats.format import Format, LeftOut, Row
from fairlead.data.formats.trace import Exchange, Signal
from fairlead.data.parsing import required_column
from fairlead.data.row_problem import RowLocation, reject_row


def recognises(row: Row) -> bool:
    row = _trace(row)
    return row.keys() >= {"input", "output", "feedback_scores"}


def _read(source: Row, where: RowLocation) -> Outcomes:
    row = _trace(source)
    prompt = trace.read_input(required_column(row, "input", where), "input", where)
    if is_blank(row.get("output")):
        return [LeftOut("traces without an answer")]
    answer = trace.read_output(row["output"], prompt, "output", where)
    notes = {name: row.get(name) for name in ("name", "project_name", "thread_id", "start_time")}
    if row is not source:
        notes |= {name: row.get(name) for name in ("tags", "metadata")}
    outcomes = trace.outcomes_of(Exchange(prompt, answer, _signals(row, where), notes), where)
    return [
        record if isinstance(record, LeftOut) else feedback.carrying(record, row.get("id"))
        for record in outcomes
    ]


def _signals(row: Row, where: RowLocation) -> list[Signal]:
    scores = feedback.from_json(row.get("feedback_scores"))
    if is_blank(scores):
        return []
    if not isinstance(scores, list) or not all(isinstance(score, dict) for score in scores):
        remedy = 'Write [{"name": "…", "value": 1}, …].'
        reject_row(where, "feedback_scores", scores, "is not a list of scores", remedy)
    return [_signal(score) for score in scores]


def _signal(score: dict[str, Any]) -> Signal:
    author = score.get("created_by") or score.get("last_updated_by")
    return Signal(
        str(score.get("name")),
        score.get("value"),
        is_automatic=score.get("source") == "online_scoring",
        rater=None if author is None else str(author),
        comment=score.get("reason"),
    )


def _trace(row: Row) -> Row:
    """The trace itself, which the command line wraps together with its spans."""
    inner = row.get("trace")
    return inner if isinstance(inner, dict) and "feedback_scores" in inner else row


def recognises_item(row: Row) -> bool:
    return row.keys() >= {"input", "expected_output"}


COLUMNS = frozenset(
    """id input output feedback_scores name project_name project_id tags thread_id start_time end_time
    metadata trace spans usage created_by last_updated_by created_at last_updated_at span_feedback_scores
    comments guardrails_validations total_estimated_cost duration ttft span_count llm_span_count
    error_info visibility_mode providers experiment source""".split()
)

TRACES = Format(
    recognises=recognises,
    convert=_read,
    reads=dict.fromkeys(trace.KINDS, COLUMNS),
    readings=feedback.readings(_read, ("demonstration",)),
)
ITEMS = trace.item_format(recognises_item, "input", "expected_output")
