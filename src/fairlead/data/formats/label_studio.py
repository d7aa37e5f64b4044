"""Label Studio exports: JSON with `annotations`, and JSON_MIN or CSV with one row per annotation.

Pairwise, ranker, rating, choices and textarea results are read, one record per annotator.  Left and right are
the fields that the result names, or the two answers in the order of their numbers or letters.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from fairlead.data.column_meaning import is_blank
from fairlead.data.formats import annotation, feedback
from fairlead.data.formats.annotation import Judgement, Task
from fairlead.data.formats.feedback import Outcomes
from fairlead.data.formats.format import Conversion, Format, LeftOut, Row
from fairlead.data.parsing import required_column
from fairlead.data.records import Demonstration, RecordKind
from fairlead.data.row_problem import RowLocation, reject_row

KINDS: tuple[RecordKind, ...] = ("comparison", "ranking", "binary", "rating", "demonstration")
NOTES_OF_ANNOTATION = ("annotator", "annotation_id", "created_at", "updated_at", "lead_time", "agreement")
RESULT_KEYS = ("selected", "ranker", "rating", "choices", "text", "number")


def recognises_json(row: Row) -> bool:
    return isinstance(feedback.from_json(row.get("annotations")), list) and "data" in row


def recognises_min(row: Row) -> bool:
    return row.keys() >= {"annotator", "annotation_id", "lead_time"}


# ---------------------------------------------------------------- JSON


def convert_json(row: Row, where: RowLocation) -> Conversion:
    return _most_natural(_read_json(row, where))


def _read_json(row: Row, where: RowLocation) -> Outcomes:
    task = annotation.read_task(feedback.read_object(row, "data", where), where, "data")
    annotations = feedback.from_json(required_column(row, "annotations", where))
    if not isinstance(annotations, list):
        reject_row(where, "annotations", annotations, "is not a list", "Export the project as JSON.")
    outcomes: Outcomes = []
    for index, item in enumerate(annotations):
        place = f"annotations[{index}]"
        if not isinstance(item, dict):
            reject_row(where, place, item, "is not an object", "Export the project as JSON.")
        if item.get("was_cancelled") or item.get("skipped"):
            outcomes.append(LeftOut("annotations that were skipped"))
            continue
        judgements = _judgements(item.get("result") or [], task, place, where)
        records = annotation.records(task, judgements, _annotator(item.get("completed_by")), where)
        notes = {"annotation_id": item.get("id"), "lead_time": item.get("lead_time")}
        outcomes += [
            record if isinstance(record, LeftOut) else feedback.carrying(record, row.get("id"), notes)
            for record in records
        ]
    return outcomes or [LeftOut("tasks without an annotation")]


def _judgements(results: Any, task: Task, place: str, where: RowLocation) -> list[Judgement]:
    if not isinstance(results, list):
        reject_row(where, f"{place}.result", results, "is not a list", "Export the project as JSON.")
    judgements = []
    for index, result in enumerate(results):
        field = f"{place}.result[{index}]"
        value = result.get("value") if isinstance(result, dict) else None
        if not isinstance(result, dict) or not isinstance(value, dict):
            reject_row(where, field, result, "is not a result", "Export the project as JSON.")
        names = result.get("to_name")
        names = names.split(",") if isinstance(names, str) else names if isinstance(names, list) else []
        about = tuple(str(name).strip().removeprefix("$") for name in names)
        about = about if about and all(name in task.answers for name in about) else ()
        question = str(result.get("from_name") or result.get("type") or "result")
        judgements += _judgement(question, value, about, field, where)
    return judgements


def _judgement(
    question: str, value: Mapping[str, Any], about: tuple[str, ...], field: str, where: RowLocation
) -> list[Judgement]:
    key = next((key for key in RESULT_KEYS if value.get(key) is not None), None)
    content: Any = None if key is None else value[key]
    if key == "selected":
        return [Judgement(question, "choice", content, about if len(about) == 2 else ())]
    if key in ("rating", "number"):
        return [Judgement(question, "mark", content, about if len(about) == 1 else ())]
    if key == "text":
        text = "\n".join(content) if _is_text_list(content) else content
        return [Judgement(question, "text", text)]
    if key == "choices":
        if not _is_text_list(content) or len(content) != 1:
            remedy = "One choice for each question is read; drop the row with --drop."
            reject_row(where, field, content, "is not one choice", remedy)
        return [Judgement(question, "label", content[0], about if len(about) == 1 else ())]
    if key == "ranker":
        if isinstance(content, dict):
            buckets = [name for name, items in content.items() if items]
            if len(buckets) != 1:
                remedy = "Ranked items must be in one list; drop the row with --drop."
                reject_row(where, field, content, "has items in several lists", remedy)
            content = content[buckets[0]]
        return [Judgement(question, "order", content)]
    remedy = "Pairwise, ranker, rating, choices and textarea are read; drop the row with --drop."
    reject_row(where, field, value, "is a result of another kind", remedy)


def _annotator(value: object) -> str | None:
    if isinstance(value, dict):
        value = next((value[key] for key in ("email", "id", "username") if value.get(key)), None)
    return None if is_blank(value) else str(value)


def _is_text_list(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(item, str) for item in value)


# ---------------------------------------------------------------- JSON_MIN and CSV


def convert_min(row: Row, where: RowLocation) -> Conversion:
    return _most_natural(_read_min(row, where))


def _read_min(row: Row, where: RowLocation) -> Outcomes:
    fields: dict[str, Any] = {}
    judgements: list[Judgement] = []
    for name, cell in row.items():
        if name in ("id", *NOTES_OF_ANNOTATION) or is_blank(cell):
            continue
        value = feedback.from_json(cell)
        if _is_result_list(value):
            for item in value:
                judgements += _judgement(name, item, (), name, where)
        elif _is_field(name):
            fields[name] = value
        elif isinstance(value, str):
            is_written = annotation.is_written(name)
            judgements.append(Judgement(name, "text" if is_written else "label", value))
        else:
            fields[name] = value
    task = annotation.read_task(fields, where, "columns")
    if not judgements and len(task.answers) == 1:
        (answer,) = task.answers.values()
        outcomes: Outcomes = [Demonstration(task.prompt, answer)]
    else:
        outcomes = annotation.records(task, judgements, _annotator(row.get("annotator")), where)
    notes = {name: row.get(name) for name in ("annotation_id", "lead_time", "agreement")}
    return [
        record if isinstance(record, LeftOut) else feedback.carrying(record, row.get("id"), notes)
        for record in outcomes
    ] or [LeftOut("tasks without an annotation")]


def _is_field(name: str) -> bool:
    return (
        annotation.is_answer_name(name)
        or name in annotation.PROMPTS
        or name in annotation.SYSTEMS
        or name in annotation.ANSWER_LISTS
    )


def _is_result_list(value: object) -> bool:
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(item, dict) and any(key in item for key in RESULT_KEYS) for item in value)
        and not any("id" in item and "text" in item for item in value)  # the items of a ranker
    )


# ---------------------------------------------------------------- kinds


def _most_natural(outcomes: Sequence[Any]) -> Conversion:
    return feedback.first_kind(list(outcomes), KINDS)


TASK_COLUMNS = frozenset(
    """id data annotations predictions drafts file_upload meta created_at updated_at inner_id project
    updated_by total_annotations cancelled_annotations total_predictions comment_count
    unresolved_comment_count comment_authors last_comment_updated_at annotators annotations_results
    predictions_results predictions_score annotations_ids predictions_model_versions avg_lead_time
    draft_exists reviews_accepted reviews_rejected reviewers reviewed ground_truth agreement
    allow_skip""".split()
)

JSON = Format(
    recognises=recognises_json,
    convert=convert_json,
    reads=dict.fromkeys(KINDS, TASK_COLUMNS),
    readings=feedback.readings(_read_json, KINDS),
)
MIN = Format(
    recognises=recognises_min,
    convert=convert_min,
    reads={},
    reads_every_column=True,
    readings=feedback.readings(_read_min, KINDS),
)
