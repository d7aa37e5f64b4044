"""LangSmith: runs with `feedback` or `feedback_stats`, and the examples of data sets.

A score of 1 or 0 under a key such as `user_score` is a thumb.  A correction is an edit, which
`--kind comparison` takes.  The averages in `feedback_stats` count where all agree.
"""

from collections.abc import Mapping
from typing import Any

from fairlead.data.column_meaning import is_blank
from fairlead.data.formats import feedback, trace
from fairlead.data.formats.feedback import Outcomes
from fairlead.data.formats.format import Format, LeftOut, Row
from fairlead.data.formats.trace import Exchange, Signal
from fairlead.data.parsing import required_column
from fairlead.data.row_problem import RowLocation, reject_row

ANSWERING = (
    None,
    "llm",
    "chain",
    "prompt",
    "parser",
)  # kinds of runs that answer, unlike tools and retrievers
PREFIX = "feedback."  # of the columns of a table


def recognises_run(row: Row) -> bool:
    has_feedback = bool(row.keys() & {"feedback", "feedback_stats"}) or any(
        name.startswith(PREFIX) for name in row
    )
    return row.keys() >= {"inputs", "outputs"} and (has_feedback or "run_type" in row)


def recognises_example(row: Row) -> bool:
    return (
        isinstance(feedback.from_json(row.get("inputs")), dict) and "outputs" in row and "run_type" not in row
    )


def _read(row: Row, where: RowLocation) -> Outcomes:
    if row.get("run_type") not in ANSWERING:
        return [LeftOut(f"runs of the type {row['run_type']}")]
    if not is_blank(row.get("error")):
        return [LeftOut("runs that failed")]
    if is_blank(row.get("outputs")):
        return [LeftOut("runs without an answer")]
    prompt = trace.read_input(required_column(row, "inputs", where), "inputs", where)
    answer = trace.read_output(row["outputs"], prompt, "outputs", where)
    notes = {name: row.get(name) for name in ("name", "run_type", "tags", "trace_id", "start_time")}
    outcomes = trace.outcomes_of(Exchange(prompt, answer, _signals(row, where), notes), where)
    return [
        record if isinstance(record, LeftOut) else feedback.carrying(record, row.get("id"))
        for record in outcomes
    ]


def _signals(row: Row, where: RowLocation) -> list[Signal]:
    items = feedback.from_json(row.get("feedback"))
    if not is_blank(items):
        if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
            remedy = "Write the rows of list_feedback for the run."
            reject_row(where, "feedback", items, "is not a list of feedback", remedy)
        return [signal for item in items for signal in _of_feedback(item)]
    stats = feedback.from_json(row.get("feedback_stats"))
    signals = []
    if isinstance(stats, dict):
        signals = [Signal(str(key), _agreed(value)) for key, value in stats.items()]
    return signals + [
        Signal(name.removeprefix(PREFIX), value) for name, value in row.items() if name.startswith(PREFIX)
    ]


def _of_feedback(item: Mapping[str, Any]) -> list[Signal]:
    source = item.get("feedback_source")
    source = source if isinstance(source, dict) else {}
    key = str(item.get("key"))
    rater = source.get("user_id") or source.get("user_name")
    common: dict[str, Any] = {
        "is_automatic": source.get("type") == "model",
        "rater": None if rater is None else str(rater),
        "comment": item.get("comment"),
    }
    score = item.get("score") if item.get("score") is not None else item.get("value")
    signals = [] if is_blank(score) else [Signal(key, score, **common)]
    if not is_blank(item.get("correction")):
        signals.append(Signal(f"{key}.correction", item["correction"], is_edit=True, **common))
    return signals


def _agreed(stats: object) -> object:
    """The score that all gave, from their number and average; the average otherwise."""
    return stats.get("avg") if isinstance(stats, dict) else stats


RUN_COLUMNS = frozenset(
    """id inputs outputs feedback feedback_stats error name run_type tags trace_id start_time messages events
    inputs_preview outputs_preview attachments in_dataset parent_run_ids reference_example_id""".split()
) | frozenset(  # counts and details that are not kept
    """extra serialized child_runs child_run_ids total_tokens prompt_tokens completion_tokens total_cost
    prompt_cost completion_cost prompt_token_details completion_token_details prompt_cost_details
    completion_cost_details first_token_time last_queued_at manifest_id""".split()
)

READINGS = feedback.readings(_read, trace.KINDS)
RUNS = Format(
    recognises=recognises_run,
    convert=READINGS["binary"],
    reads=dict.fromkeys(trace.KINDS, RUN_COLUMNS),
    readings=READINGS,
)
EXAMPLES = trace.item_format(
    recognises_example, "inputs", "outputs", ("attachments", "source_run_id", "dataset_id")
)
