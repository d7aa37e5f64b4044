"""Import items into a campaign, from an uploaded file or from rollouts of the project.

An import is a job.  Each transaction adds a few rows and records the progress, so a killed import continues
where it stopped and adds no row twice.  The campaign may be in any state.  Rows that cannot be used are set
aside with the reason.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any

from sqlalchemy import (
    JSON,
    Column,
    Connection,
    ForeignKey,
    Index,
    Integer,
    String,
    Table,
    Text,
    func,
    insert,
    select,
)

from fairlead.core.errors import DataError
from fairlead.data.row_problem import RowProblem, shorten
from fairlead.labels import (
    campaigns,
    column_choice,
    items,
    jobs,
    page_messages,
    rollout_rows,
    row_parsing,
    row_to_items,
    uploads,
)
from fairlead.labels.campaigns import Campaign
from fairlead.labels.column_choice import ColumnChoice
from fairlead.labels.database import metadata
from fairlead.labels.errors import Invalid
from fairlead.labels.items import NewItem
from fairlead.labels.row_parsing import ParsedRow
from fairlead.labels.row_to_items import Pairing
from fairlead.labels.task_kinds import TASK_KINDS, TaskKind
from fairlead.labels.uploads import Upload
from fairlead.store.project import Project

set_aside_table = Table(  # rows that an import could not use
    "set_aside",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("job_id", Integer, ForeignKey("job.id"), nullable=False),
    Column("line", Integer, nullable=False),
    Column("field", String(200), nullable=False),
    Column("value", Text, nullable=False),  # shortened
    Column("why", Text, nullable=False),
    Column("remedy", Text, nullable=False),
    Column("row", JSON, nullable=False),
    Index("ix_set_aside_job_id_id", "job_id", "id"),
)

JOB_KIND = "import"
# Rows, or items made from them, per transaction.  Raters' saves wait for it: a fraction of a second.
ROWS_PER_TRANSACTION = 200
NUM_PREVIEW_ITEMS = 5  # items in a preview
MAX_PREVIEW_ROWS = 1000  # rows that a preview converts
MAX_PREVIEW_ITEMS = 2000  # after which a preview converts no more rows
MAX_SET_ASIDE = 1_000_000  # characters of a row that is kept among those set aside


@dataclass(frozen=True)
class SetAsideRow:
    line: int
    field: str
    value: str
    why: str
    remedy: str
    row: Any
    id: int = 0  # 0 until the row is stored


@dataclass(frozen=True)
class ImportSource:
    """Where rows come from: an upload, or rollouts whose answers to the same prompt are judged together."""

    upload: int | None = None
    rollouts: tuple[str, ...] = ()
    columns: ColumnChoice = field(default_factory=ColumnChoice)  # what the columns of the upload hold


@dataclass(frozen=True)
class ImportPreview:
    items: tuple[NewItem, ...]  # the first NUM_PREVIEW_ITEMS
    problems: tuple[SetAsideRow, ...]  # of the rows that were converted
    num_rows: int  # rows that were converted
    num_items: int  # items made from these rows
    num_revealing: int  # items of which an answer names its own model
    more: bool  # there are more rows than were converted


# ---------------------------------------------------------------- preview and queue


def row_kind(connection: Connection, project: Project, origin: ImportSource) -> str:
    if origin.upload is not None:
        upload = uploads.get(connection, origin.upload)
        if upload.format and origin.columns.is_empty:
            return upload.row_kind
        path = path_of(project, upload)
        try:
            return uploads.detect_format(path, origin.columns)[1]
        except DataError as error:
            raise Invalid({"map": uploads.problem_for_page(error, path, upload.filename)}) from error
    rollout_rows.find(project, origin.rollouts)
    return row_parsing.ANSWERS_FORMAT


def preview(
    connection: Connection,
    project: Project,
    origin: ImportSource,
    kind: TaskKind,
    *,
    pairs: Pairing = "each",
    model: str | None = None,
) -> ImportPreview:
    """Convert the first rows without storing them."""
    _validate(connection, project, origin, kind)
    rows, source = _read_rows(connection, project, origin, model)
    first_items: list[NewItem] = []
    set_aside: list[SetAsideRow] = []
    num_rows = 0
    num_items = num_revealing = 0
    for row in islice(rows, MAX_PREVIEW_ROWS):
        row_items, problems = row_to_items.to_items(row, kind, pairs=pairs, source=source)
        num_rows += 1
        num_items += len(row_items)
        num_revealing += sum(items.names_its_model(item) is not None for item in row_items)
        first_items += row_items[: NUM_PREVIEW_ITEMS - len(first_items)]
        set_aside += [_to_set_aside(problem) for problem in problems]
        if num_items >= MAX_PREVIEW_ITEMS:
            break
    return ImportPreview(
        items=tuple(first_items),
        problems=tuple(set_aside),
        num_rows=num_rows,
        num_items=num_items,
        num_revealing=num_revealing,
        more=next(rows, None) is not None,
    )


def enqueue(
    connection: Connection,
    project: Project,
    campaign: Campaign,
    origin: ImportSource,
    *,
    by: str,
    pairs: Pairing = "each",
    model: str | None = None,
    priority: int = 0,
) -> int:
    """Queue an import into a campaign in any state, and return the id of the job."""
    _validate(connection, project, origin, campaign.kind)
    if pairs not in row_to_items.PAIRINGS:
        raise Invalid({"pairs": f"must be one of: {', '.join(row_to_items.PAIRINGS)}"})
    if not 0 <= priority <= items.MAX_PRIORITY:
        raise Invalid({"priority": f"must be 0 to {items.MAX_PRIORITY}"})
    body = {
        "upload": origin.upload,
        "rollouts": list(origin.rollouts),
        "columns": column_choice.to_json(origin.columns),
        "pairs": pairs,
        "model": model,
        "priority": priority,
    }
    return jobs.enqueue(connection, JOB_KIND, body, actor=by, campaign_id=campaign.id)


def list_set_aside(
    connection: Connection, job_id: int, *, after: int = 0, limit: int = 1000
) -> list[SetAsideRow]:
    """Rows that an import has set aside so far, in order of the file."""
    query = (
        select(set_aside_table)
        .where(set_aside_table.c.job_id == job_id, set_aside_table.c.id > after)
        .order_by(set_aside_table.c.id)
        .limit(limit)
    )
    return [
        SetAsideRow(row.line, row.field, row.value, row.why, row.remedy, row.row, row.id)
        for row in connection.execute(query)
    ]


def count_set_aside(connection: Connection, job_id: int) -> int:
    return int(
        connection.execute(select(func.count()).where(set_aside_table.c.job_id == job_id)).scalar_one()
    )


# ---------------------------------------------------------------- the job


def run(project: Project, leased: jobs.LeasedJob) -> dict[str, Any]:
    """Import rows: the handler of the job."""
    body = leased.body
    columns = column_choice.from_json(body.get("columns") or {})  # absent in jobs of an earlier version
    origin = ImportSource(body["upload"], tuple(body["rollouts"]), columns)
    assert leased.job.campaign_id is not None, "import jobs belong to a campaign"
    with leased.database.read() as connection:
        campaign = campaigns.get_by_id(connection, leased.job.campaign_id)
        rows, source = _read_rows(connection, project, origin, body["model"])
        rows_to_count, _ = _read_rows(connection, project, origin, body["model"])
    tally: dict[str, int] = leased.checkpoint or {"rows": 0, "added": 0, "duplicates": 0, "set_aside": 0}
    # Counting reads the whole file, so an unreadable file fails before any row is stored.
    num_all = leased.job.num_all or sum(1 for _ in rows_to_count)
    for _ in islice(rows, tally["rows"]):
        pass  # an earlier worker imported these rows
    for chunk in row_to_items.chunks(
        (row_to_items.to_items(row, campaign.kind, pairs=body["pairs"], source=source) for row in rows),
        ROWS_PER_TRANSACTION,
    ):
        new_items = [replace(item, priority=body["priority"]) for row_items, _ in chunk for item in row_items]
        problems = [problem for _, row_problems in chunk for problem in row_problems]
        # One transaction adds the items and saves the checkpoint.
        with leased.write(num_done=tally["rows"] + len(chunk), num_all=num_all) as connection:
            added = (
                items.add(connection, campaign, new_items, by=leased.job.actor)
                if new_items
                else items.AddedCounts(0, 0)
            )
            if problems:
                connection.execute(
                    insert(set_aside_table),
                    [_stored(leased.job.id, _to_set_aside(problem)) for problem in problems],
                )
            tally = {
                "rows": tally["rows"] + len(chunk),
                "added": tally["added"] + added.num_added,
                "duplicates": tally["duplicates"] + added.num_duplicates,
                "set_aside": tally["set_aside"] + len(problems),
            }
            leased.save_checkpoint(connection, tally)
    return dict(tally)


def _validate(connection: Connection, project: Project, origin: ImportSource, kind: str) -> None:
    if (origin.upload is None) == (not origin.rollouts):
        raise Invalid({"upload": "must be given, or rollouts of the project; choose one of the two"})
    if kind not in TASK_KINDS:
        raise Invalid({"kind": f"must be one of: {', '.join(TASK_KINDS)}"})
    rows = row_kind(connection, project, origin)
    if kind not in row_to_items.task_kinds_of(rows):
        raise Invalid(
            {
                "kind": f"cannot be {kind} for rows of the kind {rows}; "
                f"choose one of: {', '.join(row_to_items.task_kinds_of(rows))}"
            }
        )


def _read_rows(
    connection: Connection, project: Project, origin: ImportSource, model: str | None
) -> tuple[Iterator[ParsedRow | RowProblem], str]:
    """The rows, and the name of their source."""
    if origin.upload is not None:
        upload = uploads.get(connection, origin.upload)
        return _read_upload(path_of(project, upload), upload, origin.columns, model), upload.filename
    return rollout_rows.merge(rollout_rows.find(project, origin.rollouts)), ", ".join(origin.rollouts)


def _read_upload(
    path: Path, upload: Upload, columns: ColumnChoice, model: str | None
) -> Iterator[ParsedRow | RowProblem]:
    """Rows and errors have the name that the owner of the file knows, and the words of a page."""
    try:
        rows, format = column_choice.read_rows(path, columns), upload.format
        if not format or not columns.is_empty:
            format, rows = row_parsing.choose_format(rows)
        for row in row_parsing.parse_rows(rows, format, model=model):
            yield rollout_rows.with_path(row, upload.filename)
    except DataError as error:
        raise DataError(uploads.problem_for_page(error, path, upload.filename)) from error


def path_of(project: Project, upload: Upload) -> Path:
    path = project.data / "uploads" / upload.path
    if not path.is_file():
        raise DataError(f"{upload.filename}: the uploaded file no longer exists. Upload it again.")
    return path


def _to_set_aside(problem: RowProblem) -> SetAsideRow:
    value = "" if problem.value is None else shorten(problem.value)
    remedy = page_messages.for_page(problem.remedy)
    field, why, remedy = (text.replace("\0", "\ufffd") for text in (problem.field[:200], problem.why, remedy))
    return SetAsideRow(problem.line, field, value, why, remedy, _bounded(problem.row))


def _bounded(row: object) -> object:
    """The row as it is stored among those set aside: a row that is far too long is stored in part."""
    text = row if isinstance(row, str) else json.dumps(row, ensure_ascii=False, default=str)
    return row if len(text) <= MAX_SET_ASIDE else text[:MAX_SET_ASIDE] + "…"


def _stored(job_id: int, row: SetAsideRow) -> dict[str, Any]:
    return {"job_id": job_id, **{name: value for name, value in asdict(row).items() if name != "id"}}


def to_json_rows(rows: Iterable[SetAsideRow]) -> Iterator[dict[str, Any]]:
    """Rows in the format that `fairlead data import --drop` writes beside its output."""
    for row in rows:
        yield {
            "where": f"line {row.line}",
            "field": row.field,
            "reason": f"{row.why}. {row.remedy}",
            "row": row.row,
        }
