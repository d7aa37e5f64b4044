"""A full export of a campaign: everything that was said about its items, a row each.

A row is a judgement, a skip or a flag, beside the columns of its item; an item of which nobody has said
anything has a row of its own.  Corrected and withdrawn judgements are there too, and do not stand.  Raters
appear under their pseudonyms.  Training reads snapshots instead, see `snapshot`.

Items are read a page at a time, in transactions of their own, so memory and locks are bounded.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from fairlead.data import table_writer
from fairlead.data.records import Messages, message_to_json
from fairlead.data.table_writer import ColumnType, TableFormat
from fairlead.labels import chats, flags, items, judgements, stranded, task_kinds
from fairlead.labels.campaigns import Campaign
from fairlead.labels.chats import ChatTurn
from fairlead.labels.database import Database
from fairlead.labels.flags import Flag
from fairlead.labels.items import Item
from fairlead.labels.judgements import Judgement
from fairlead.labels.stranded import Skip

ITEMS_PER_PAGE = 50  # an item may have a million characters
MEDIA_TYPES: Mapping[TableFormat, str] = {
    "jsonl": "application/jsonl",
    "csv": "text/csv; charset=utf-8",
    "parquet": "application/vnd.apache.parquet",
}
_FIRST_COLUMNS: Mapping[str, ColumnType] = {
    "row": "text",  # judgement, skip, flag or item
    "item": "whole",
    "id": "text",
    "rater": "text",
    "at": "text",
    "stands": "yes",
    "preferred_answer": "whole",
    "margin": "whole",
    "tie": "text",
    "score": "number",
    "label": "yes",
    "text": "text",
    "value": "text",
    "reasons": "text",
    "note": "text",
    "resolved_at": "text",
    "active_s": "number",
    "late": "yes",
    "quick": "yes",
    "implausible": "yes",
    "shown_order": "text",
    "guidelines_version": "whole",
    "judgement": "whole",
    "supersedes": "whole",
}
_LAST_COLUMNS: Mapping[str, ColumnType] = {
    "tags": "text",
    "reference": "text",
    "metadata": "text",
    "tools": "text",
    "family": "text",
    "source": "text",
    "added_at": "text",
    "archived_at": "text",
    "priority": "whole",
    "strategy": "text",
    "selection_probability": "number",
}


def write(database: Database, campaign: Campaign, format: TableFormat) -> Iterator[bytes]:
    """The bytes of the file.  Raises DataError for Parquet without `pyarrow`, before anything is read."""
    rows = read_rows(database, campaign)
    if format == "jsonl":
        return table_writer.json_lines(rows)
    columns = table_columns(campaign)
    flat = (_flat(row, columns) for row in rows)
    if format == "csv":
        return table_writer.csv_table(list(columns), flat)
    return table_writer.parquet_table(columns, flat)


def table_columns(campaign: Campaign) -> dict[str, ColumnType]:
    """The columns of a table.  Their number depends on the answers that items of this kind may have."""
    most_answers = task_kinds.NUM_ANSWERS[campaign.kind][1]
    answers: dict[str, ColumnType] = {}
    for number in range(1, most_answers + 1):
        answers |= {f"answer_{number}": "text", f"model_{number}": "text"}
    turns: dict[str, ColumnType] = {"turns": "text"} if campaign.kind == "chat" else {}
    return {**_FIRST_COLUMNS, "prompt": "text", **answers, **turns, **_LAST_COLUMNS}


def read_rows(database: Database, campaign: Campaign) -> Iterator[dict[str, Any]]:
    after = 0
    while True:
        with database.read() as connection:
            page = items.list_page(connection, campaign.id, after=after, limit=ITEMS_PER_PAGE)
            ids = [item.id for item in page]
            judged = _by_item(judgements.list_of_items(connection, ids))
            flagged = _by_item(flags.list_of_items(connection, ids))
            skipped = stranded.skips_of_items(connection, ids)
            turns: Mapping[str, list[ChatTurn]] = {}
            if campaign.kind == "chat":
                assignment_ids = [judgement.assignment_id for each in judged.values() for judgement in each]
                turns = chats.list_turns_by_assignment(connection, assignment_ids)
        if not page:
            return
        after = ids[-1]
        for item in page:
            columns = _item_columns(item)
            rows = [
                *_judgement_rows(judged.get(item.id, ()), turns),
                *(_skip_row(skip) for skip in skipped.get(item.id, ())),
                *(_flag_row(flag) for flag in flagged.get(item.id, ())),
            ]
            for row in rows or [{"row": "item"}]:
                yield {"campaign": campaign.slug, "kind": campaign.kind, **row, **columns}


# ---------------------------------------------------------------- rows


def _judgement_rows(
    of_item: Sequence[Judgement], turns: Mapping[str, list[ChatTurn]]
) -> Iterator[dict[str, Any]]:
    superseded = {judgement.supersedes for judgement in of_item}
    for judgement in of_item:
        row = {
            "row": "judgement",
            "judgement": judgement.id,
            "rater": judgement.rater,
            "at": judgement.made_at,
            "stands": judgement.id not in superseded and not judgement.withdraws,
            "withdraws": judgement.withdraws,
            "supersedes": judgement.supersedes,
            "value": judgement.value,
            "margin": judgement.margin,
            "reasons": list(judgement.reasons),
            "note": judgement.note,
            "shown_order": list(judgement.order),
            "guidelines_version": judgement.guidelines_version,
            "active_s": round(judgement.active_ms / 1000, 3),
            "late": judgement.late,
            "quick": judgement.quick,
            "implausible": judgement.implausible,
        }
        if judgement.assignment_id in turns:
            row["turns"] = [_turn(turn) for turn in turns[judgement.assignment_id]]
        yield row


def _turn(turn: ChatTurn) -> dict[str, Any]:
    answers = [
        {
            "model": answer.source,
            "params": dict(answer.params),
            "text": answer.text,
            "finished": answer.finished,
        }
        for answer in turn.answers
    ]
    return {
        "message": turn.message,
        "answers": answers,
        "choice": turn.choice,
        "continues": turn.continues,
        "seen": dict(turn.seen),
    }


def _skip_row(skip: Skip) -> dict[str, Any]:
    return {"row": "skip", "rater": skip.rater, "at": skip.skipped_at, "reasons": [skip.reason]}


def _flag_row(flag: Flag) -> dict[str, Any]:
    return {
        "row": "flag",
        "rater": flag.rater,
        "at": flag.raised_at,
        "reasons": [flag.reason],
        "note": flag.note,
        "resolved_at": flag.resolved_at,
    }


def _item_columns(item: Item) -> dict[str, Any]:
    return {
        "item": item.id,
        "prompt": _turns(item.prompt),
        "answers": [
            {
                "messages": _turns(answer.messages),
                "model": answer.source,
                "params": answer.params,
                "finished": answer.finished,
            }
            for answer in item.answers
        ],
        "tags": list(item.tags),
        "reference": item.reference,
        "source": item.source,
        "added_at": item.created_at,
        "archived_at": item.archived_at,
        "priority": item.priority,
        "strategy": item.strategy,
        "selection_probability": item.selection_probability,
        **item.carried,
    }


def _flat(row: Mapping[str, Any], columns: Mapping[str, ColumnType]) -> dict[str, Any]:
    """The row with one value per column of a table."""
    value = row.get("value") or {}
    flat: dict[str, Any] = {name: row[name] for name in columns if name in row}
    flat |= {"prompt": _text_of(row["prompt"], "user")}
    for number, answer in enumerate(row["answers"], start=1):
        flat |= {
            f"answer_{number}": _text_of(answer["messages"], "assistant"),
            f"model_{number}": answer["model"],
        }
    if preference := value.get("preference"):
        flat["preferred_answer"] = 1 if preference > 0 else 2
    flat |= {name: value[name] for name in ("tie", "score", "label", "text") if name in value}
    if written := value.get("edit"):
        flat["text"] = written["text"]
    for name in ("reasons", "tags"):
        flat[name] = ", ".join(row.get(name) or ()) or None
    return flat


def _text_of(turns: Sequence[Mapping[str, Any]], role: str) -> Any:
    """A single turn of the usual author as its text; other turns as they are."""
    if len(turns) == 1 and turns[0]["role"] == role and turns[0].keys() == {"role", "content"}:
        return turns[0]["content"]
    return turns


def _turns(messages: Messages) -> list[dict[str, Any]]:
    return [message_to_json(message) for message in messages]


def _by_item(records: Sequence[Any]) -> dict[int, list[Any]]:
    by_item: dict[int, list[Any]] = {}
    for record in records:
        by_item.setdefault(record.item_id, []).append(record)
    return by_item
