"""MLflow traces with assessments: whole traces as JSON, and the rows of `search_traces`.

Feedback of people with the values true and false is a thumb.  A text that people expected instead
(`expected_response`) is an edit, which `--kind comparison` takes.  Assessments of judges and code, and those
that a later one replaced, are not read.
"""

import json
from collections.abc import Mapping
from typing import Any

from fairlead.data.column_meaning import is_blank
from fairlead.data.formats import feedback, trace
from fairlead.data.formats.feedback import Outcomes
from fairlead.data.formats.format import Format, LeftOut, Row
from fairlead.data.formats.trace import Exchange, Signal
from fairlead.data.row_problem import RowLocation, reject_row

EDITS = frozenset(
    """expected_response expected_answer expected_output ideal_response ideal_answer correct_answer
    corrected_response corrected_answer corrected_output ground_truth""".split()
)
INPUTS, OUTPUTS = "mlflow.spanInputs", "mlflow.spanOutputs"


def recognises(row: Row) -> bool:
    info = feedback.from_json(row.get("info"))
    if isinstance(info, dict) and "data" in row:
        return bool(info.keys() & {"trace_id", "request_id"})
    return row.keys() >= {"request", "response"} and bool(row.keys() & {"assessments", "trace_id"})


def _read(row: Row, where: RowLocation) -> Outcomes:
    info = feedback.from_json(row.get("info"))
    info = info if isinstance(info, dict) else row
    request, response = _content(row, info)
    if is_blank(response):
        return [LeftOut("traces without a whole answer")]
    prompt = trace.read_input(request, "request", where)
    answer = trace.read_output(response, prompt, "response", where)
    notes = {name: info.get(name) for name in ("tags", "request_time", "state", "trace_metadata")}
    signals = _signals(feedback.from_json(info.get("assessments")), where)
    outcomes = trace.outcomes_of(Exchange(prompt, answer, signals, notes), where)
    trace_id = info.get("trace_id") or info.get("request_id")
    return [
        record if isinstance(record, LeftOut) else feedback.carrying(record, trace_id) for record in outcomes
    ]


def _content(row: Row, info: Mapping[str, Any]) -> tuple[Any, Any]:
    """The request and the response, of the trace or of its first span.  Previews may have been cut."""
    data = feedback.from_json(row.get("data"))
    data = data if isinstance(data, dict) else row
    if not is_blank(data.get("request")):
        return _decoded(data.get("request")), _decoded(data.get("response"))
    spans = feedback.from_json(data.get("spans"))
    for span in spans if isinstance(spans, list) else []:
        attributes = span.get("attributes") if isinstance(span, dict) else None
        if isinstance(attributes, dict) and not (span.get("parent_id") or span.get("parent_span_id")):
            return _decoded(attributes.get(INPUTS)), _decoded(attributes.get(OUTPUTS))
    return None, None


def _decoded(value: Any) -> Any:
    """The value that JSON text spells: MLflow writes a text with quotes around it."""
    if isinstance(value, str) and value[:1] == value[-1:] == '"':
        try:
            return json.loads(value)
        except ValueError:
            return value
    return value


def _signals(assessments: Any, where: RowLocation) -> list[Signal]:
    if is_blank(assessments):
        return []
    if not isinstance(assessments, list) or not all(isinstance(item, dict) for item in assessments):
        remedy = "Write the assessments as Trace.to_json does."
        reject_row(where, "assessments", assessments, "is not a list of assessments", remedy)
    return [_signal(item) for item in assessments if item.get("valid") is not False]


def _signal(item: Mapping[str, Any]) -> Signal:
    name = str(item.get("assessment_name") or item.get("name"))
    source = item.get("source")
    source = source if isinstance(source, dict) else {}
    expectation, thumb = item.get("expectation"), item.get("feedback")
    rater = source.get("source_id")
    common: dict[str, Any] = {
        "is_automatic": source.get("source_type") not in (None, "HUMAN"),
        "rater": None if rater is None else str(rater),
        "comment": item.get("rationale"),
    }
    if isinstance(expectation, dict):
        value = expectation.get("value", expectation.get("serialized_value"))
        if name.lower() not in EDITS:
            return Signal(name, {"expected": value}, **common)  # says nothing about the answer itself
        return Signal(name, value, is_edit=True, **common)
    return Signal(name, thumb.get("value") if isinstance(thumb, dict) else thumb, **common)


COLUMNS = frozenset(
    """info data request response assessments trace_id request_id request_preview response_preview spans
    tags request_time state trace_metadata request_metadata trace_location client_request_id
    execution_duration execution_time_ms timestamp_ms status trace""".split()
)

READINGS = feedback.readings(_read, trace.KINDS)
FORMAT = Format(
    recognises=recognises,
    convert=READINGS["binary"],
    reads=dict.fromkeys(trace.KINDS, COLUMNS),
    readings=READINGS,
)
