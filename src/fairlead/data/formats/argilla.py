"""Argilla exports: records with `fields` and `responses`, nested or flat, of version 1 and 2.

    {"fields": {…}, "responses": {"label": [{"value": …, "user_id": …}]}, "suggestions": {…}}
    {"prompt": …, "response": …, "label.responses": […], "label.responses.users": […]}
    {"prompt": …, "response": …, "label": [{"value": …, "user_id": …, "status": "submitted"}]}

Only submitted responses count.  Suggestions come from models, so they travel in the metadata.
"""

from dataclasses import dataclass, field
from typing import Any

from fairlead.core.plural import counted
from fairlead.data.column_meaning import is_blank
from fairlead.data.formats import annotation, feedback
from fairlead.data.formats.annotation import Judgement, Task
from fairlead.data.formats.feedback import Outcomes
from fairlead.data.formats.format import Conversion, Format, LeftOut, Row
from fairlead.data.records import RecordKind
from fairlead.data.row_problem import RowLocation, reject_row

KINDS: tuple[RecordKind, ...] = ("comparison", "ranking", "binary", "rating", "demonstration")
# Columns that are neither fields nor questions.
RECORD_COLUMNS = (
    "id",
    "_server_id",
    "external_id",
    "status",
    "metadata",
    "vectors",
    "inserted_at",
    "updated_at",
)
SUBMITTED = (None, "submitted")


@dataclass
class Parts:
    """A record, whatever its layout."""

    fields: dict[str, Any]
    answers: dict[str, dict[str, Any]] = field(default_factory=dict)  # user -> question -> value
    suggestions: dict[str, Any] = field(default_factory=dict)
    left_out: list[LeftOut] = field(default_factory=list)


def recognises_nested(row: Row) -> bool:
    has_fields = isinstance(feedback.from_json(row.get("fields")), dict)
    return has_fields and bool(row.keys() & {"responses", "suggestions"})


def recognises_flat(row: Row) -> bool:
    if any(column.endswith((".responses.users", ".responses.status")) for column in row):
        return True
    return any(f"{column}-suggestion" in row for column in row)


def convert(row: Row, where: RowLocation) -> Conversion:
    return feedback.first_kind(_read(row, where), KINDS)


def _read(row: Row, where: RowLocation) -> Outcomes:
    parts = _read_parts(row, where)
    place = "fields" if "fields" in row else "columns"
    task = annotation.read_task(parts.fields, where, place)
    outcomes: Outcomes = list(parts.left_out)
    for user, by_question in parts.answers.items():
        judgements = [
            _judgement(question, value, task, where)
            for question, value in by_question.items()
            if not is_blank(value)
        ]
        outcomes += annotation.records(task, judgements, user or None, where)
    notes: dict[str, Any] = {"suggestions": parts.suggestions, "status": row.get("status")}
    row_id = row.get("id") or row.get("external_id")
    return [
        record if isinstance(record, LeftOut) else feedback.carrying(record, row_id, notes)
        for record in outcomes
    ] or [LeftOut("records without a response")]


def _judgement(question: str, value: Any, task: Task, where: RowLocation) -> Judgement:
    if isinstance(value, bool | str):
        is_text = isinstance(value, str) and (annotation.is_written(question) or not task.answers)
        return Judgement(question, "text" if is_text else "label", value)
    if isinstance(value, int | float):
        return Judgement(question, "mark", value)
    if isinstance(value, list) and len(value) > 1:
        return Judgement(question, "order", value)
    remedy = "Labels, rankings, ratings and texts are read; remove the question, or drop the row with --drop."
    reject_row(where, question, value, "is an answer of another kind", remedy)


# ---------------------------------------------------------------- layouts


def _read_parts(row: Row, where: RowLocation) -> Parts:
    if "fields" not in row:
        return _flat_parts(row, where)
    parts = Parts(feedback.read_object(row, "fields", where))
    suggestions = feedback.from_json(row.get("suggestions"))
    if isinstance(suggestions, dict):
        parts.suggestions |= suggestions
    elif isinstance(suggestions, list):
        named = [item for item in suggestions if isinstance(item, dict)]
        parts.suggestions |= {str(item.get("question_name")): item.get("value") for item in named}
    responses = feedback.from_json(row.get("responses"))
    if isinstance(responses, dict):
        for question, entries in responses.items():
            _add_entries(parts, question, entries, f"responses.{question}", where)
    elif isinstance(responses, list):
        for index, response in enumerate(responses):
            _add_response(parts, response, f"responses[{index}]", where)
    elif not is_blank(responses):
        reject_row(where, "responses", responses, "are not a list or an object", "Export the records again.")
    return parts


def _flat_parts(row: Row, where: RowLocation) -> Parts:
    parts = Parts({})
    questions = {column.removesuffix(".responses") for column in row if column.endswith(".responses")}
    questions |= {column.removesuffix("-suggestion") for column in row if column.endswith("-suggestion")}
    for column, cell in row.items():
        value = feedback.from_json(cell)
        question = column.partition(".responses")[0]
        if column.endswith((".suggestion", "-suggestion")):
            parts.suggestions[column[: -len("-suggestion")]] = value
        elif ".suggestion" in column or column.endswith("-suggestion-metadata") or is_blank(value):
            continue
        elif column == f"{question}.responses":
            _add_entries(parts, question, _entries(row, column, where), column, where)
        elif ".responses." in column or column in RECORD_COLUMNS:
            continue
        elif column in questions:
            _add_entries(parts, column, value, column, where)
        else:
            parts.fields[column] = value
    return parts


def _entries(row: Row, column: str, where: RowLocation) -> list[dict[str, Any]]:
    """The responses in parallel columns: values, users and states."""
    values = feedback.read_list(row, column, where)
    beside = {}
    for name in ("users", "status"):
        items = feedback.from_json(row.get(f"{column}.{name}"))
        if is_blank(items):
            items = [None] * len(values)
        if not isinstance(items, list) or len(items) != len(values):
            why = f"does not hold one value for each of {counted(len(values), 'response')}"
            reject_row(where, f"{column}.{name}", items, why, "Export the records again.")
        beside[name] = items
    return [
        {"value": value, "user_id": user, "status": status}
        for value, user, status in zip(values, beside["users"], beside["status"], strict=True)
    ]


def _add_entries(parts: Parts, question: str, entries: object, place: str, where: RowLocation) -> None:
    """Add the answers of several users to one question."""
    if not isinstance(entries, list):
        reject_row(where, place, entries, "is not a list of responses", "Export the records again.")
    for entry in entries:
        if not isinstance(entry, dict) or "value" not in entry:
            reject_row(where, place, entry, "is not a response", 'Write {"value": …, "user_id": …}.')
        if entry.get("status") not in SUBMITTED:
            parts.left_out.append(LeftOut(f"responses with the status {entry['status']}"))
            continue
        user = str(entry.get("user_id") or "")
        parts.answers.setdefault(user, {})[question] = entry["value"]


def _add_response(parts: Parts, response: object, place: str, where: RowLocation) -> None:
    """Add the answers of one user to several questions."""
    if not isinstance(response, dict):
        reject_row(where, place, response, "is not a response", 'Write {"user_id": …, "values": {…}}.')
    if response.get("status") not in SUBMITTED:
        parts.left_out.append(LeftOut(f"responses with the status {response['status']}"))
        return
    values = response.get("values")
    if not isinstance(values, dict):
        reject_row(where, f"{place}.values", values, "is not an object", "Export the records again.")
    answers = parts.answers.setdefault(str(response.get("user_id") or ""), {})
    for question, value in values.items():
        answers[question] = value["value"] if isinstance(value, dict) and "value" in value else value


NESTED_COLUMNS = frozenset({"fields", "responses", "suggestions", "vectors", *RECORD_COLUMNS})

NESTED = Format(
    recognises=recognises_nested,
    convert=convert,
    reads=dict.fromkeys(KINDS, NESTED_COLUMNS),
    readings=feedback.readings(_read, KINDS),
)
FLAT = Format(
    recognises=recognises_flat,
    convert=convert,
    reads={},
    reads_every_column=True,
    readings=feedback.readings(_read, KINDS),
)
