"""Tables of scores without what was judged, as Langfuse and LangSmith export them beside their traces.

A score names its trace or run by an id, and the answer is in another file: no format can read the table.
"""

from fairlead.data.column_meaning import is_blank
from fairlead.data.formats.format import Row

TARGETS = ("traceId", "trace_id", "observationId", "observation_id", "run_id", "runId", "span_id")
NAMES = ("name", "key", "score_name")
VALUES = ("value", "score", "stringValue", "string_value")
TEXTS = ("input", "output", "inputs", "outputs", "prompt", "messages", "question", "completion")
REFUSAL = (
    "is a score of a trace, without the question and the answer that were judged. "
    "Export the traces with their scores: in Langfuse the table of traces, or GET /api/public/traces/ID; "
    "in LangSmith the runs with feedback_stats."
)


def is_score_alone(row: Row) -> bool:
    return (
        any(not is_blank(row.get(name)) for name in TARGETS)
        and any(name in row for name in NAMES)
        and any(name in row for name in VALUES)
        and all(is_blank(row.get(name)) for name in TEXTS)
    )
