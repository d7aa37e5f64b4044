"""Items from files that people upload and from the rollouts of the project.

An upload is unpacked, bounded, and stored under a name of ours in `data/uploads`; its own name is only ever shown.  The import itself is a
job: a few rows in each transaction, with how far it is, so that a killed one goes on where it stopped and no row is read twice into a
campaign, whether that is a draft or in full swing.  Rows that cannot be used are set aside with their reasons.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import islice
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
from fairlead.data import file_source
from fairlead.data.records import Messages, prompt_text
from fairlead.data.records import Prompt as PromptRecord
from fairlead.data.row_problem import RowProblem, shorten
from fairlead.labels import campaigns, items, jobs, row_to_items, uploads
from fairlead.labels.campaigns import Campaign
from fairlead.labels.database import metadata
from fairlead.labels.errors import Invalid
from fairlead.labels.items import NewItem
from fairlead.labels.row_to_items import Pairing, ParsedRow
from fairlead.labels.task_kinds import TASK_KINDS, TaskKind
from fairlead.store.artifact import Artifact, load_artifacts
from fairlead.store.project import Project

set_aside_table = Table(  # rows of an import that could not be used
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

JOB_KIND = "import"  # of the job
ROWS_PER_TRANSACTION = 200  # rows, or items that they become, in one transaction: a fraction of a second, for which labellers' saves may have to wait
NUM_PREVIEW_ITEMS = 5  # items that a lead sees before deciding
MAX_PREVIEW_ROWS = 1000  # rows that are tried out for that
MAX_ROLLOUTS = 8


@dataclass(frozen=True)
class SetAsideRow:
    line: int
    field: str
    value: str
    why: str
    remedy: str
    row: Any
    id: int = 0  # where it stands among those that are kept


@dataclass(frozen=True)
class ImportSource:
    """RowLocation the rows come from: an upload, or one or more rollouts whose answers to the same prompt are judged together."""

    upload: int | None = None
    rollouts: tuple[str, ...] = ()


@dataclass(frozen=True)
class ImportPreview:
    items: tuple[NewItem, ...]  # the first few
    problems: tuple[SetAsideRow, ...]  # of the first rows
    num_rows: int  # that were tried
    num_items: int  # that they become
    more: bool  # whether there are more rows than were tried


# ---------------------------------------------------------------- what rows become


def row_kind(connection: Connection, project: Project, origin: ImportSource) -> str:
    if origin.upload is not None:
        return uploads.get(connection, origin.upload).row_kind
    _find_rollouts(project, origin.rollouts)
    return row_to_items.ANSWERS_FORMAT


def list_rollouts(project: Project) -> list[Artifact]:
    """Those of the project, the newest first."""
    present, _ = load_artifacts(project)
    found = [
        one for one in present if one.manifest.kind == "rollouts" and "answers.jsonl" in one.manifest.files
    ]
    return sorted(found, key=lambda one: one.manifest.created_at, reverse=True)


def preview(
    connection: Connection,
    project: Project,
    origin: ImportSource,
    kind: TaskKind,
    *,
    pairs: Pairing = "each",
    model: str | None = None,
) -> ImportPreview:
    """What the first rows become."""
    _validate(connection, project, origin, kind)
    rows, source = _read_rows(connection, project, origin, model)
    found: list[NewItem] = []
    problems: list[SetAsideRow] = []
    num_rows = num_items = 0
    for one in islice(rows, MAX_PREVIEW_ROWS):
        made, wrong = row_to_items.to_items(one, kind, pairs=pairs, source=source)
        num_rows, num_items = num_rows + 1, num_items + len(made)
        found += made[: NUM_PREVIEW_ITEMS - len(found)]
        problems += [_to_set_aside(problem) for problem in wrong]
    return ImportPreview(tuple(found), tuple(problems), num_rows, num_items, next(rows, None) is not None)


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
    """Queues the import into a campaign, whatever its state; returns the job."""
    _validate(connection, project, origin, campaign.kind)
    if pairs not in row_to_items.PAIRINGS:
        raise Invalid({"pairs": f"is one of {', '.join(row_to_items.PAIRINGS)}"})
    if not 0 <= priority <= items.MAX_PRIORITY:
        raise Invalid({"priority": f"is 0 to {items.MAX_PRIORITY}"})
    body = {
        "upload": origin.upload,
        "rollouts": list(origin.rollouts),
        "pairs": pairs,
        "model": model,
        "priority": priority,
    }
    return jobs.enqueue(connection, JOB_KIND, body, actor=by, campaign_id=campaign.id)


def list_set_aside(
    connection: Connection, job_id: int, *, after: int = 0, limit: int = 1000
) -> list[SetAsideRow]:
    """What an import has set aside so far, in the order of the file."""
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
    """The handler of the job."""
    body = leased.body
    origin = ImportSource(body["upload"], tuple(body["rollouts"]))
    assert leased.job.campaign_id is not None, "an import is into a campaign"
    with leased.database.read() as connection:
        one = campaigns.get_by_id(connection, leased.job.campaign_id)
        rows, source = _read_rows(connection, project, origin, body["model"])
        again, _ = _read_rows(connection, project, origin, body["model"])
    tally: dict[str, int] = leased.checkpoint or {"rows": 0, "added": 0, "duplicates": 0, "set_aside": 0}
    num_all = leased.job.num_all or sum(
        1 for _ in again
    )  # and the whole file can be read, before any of it is kept
    for _ in islice(rows, tally["rows"]):
        pass  # done before
    for fitted in row_to_items.chunks(
        (row_to_items.to_items(row, one.kind, pairs=body["pairs"], source=source) for row in rows),
        ROWS_PER_TRANSACTION,
    ):
        new = [replace(item, priority=body["priority"]) for made, _ in fitted for item in made]
        wrong = [problem for _, found in fitted for problem in found]
        # What is added is known only inside the transaction that also remembers it.
        with leased.write(num_done=tally["rows"] + len(fitted), num_all=num_all) as connection:
            added = items.add(connection, one, new, by=leased.job.actor) if new else items.AddedCounts(0, 0)
            if wrong:
                connection.execute(
                    insert(set_aside_table),
                    [_stored(leased.job.id, _to_set_aside(problem)) for problem in wrong],
                )
            tally = {
                "rows": tally["rows"] + len(fitted),
                "added": tally["added"] + added.num_added,
                "duplicates": tally["duplicates"] + added.num_duplicates,
                "set_aside": tally["set_aside"] + len(wrong),
            }
            leased.save_checkpoint(connection, tally)
    return dict(tally)


def _validate(connection: Connection, project: Project, origin: ImportSource, kind: str) -> None:
    if (origin.upload is None) == (not origin.rollouts):
        raise Invalid({"upload": "is needed, or rollouts of the project; one of the two"})
    if kind not in TASK_KINDS:
        raise Invalid({"kind": f"is one of {', '.join(TASK_KINDS)}"})
    rows = row_kind(connection, project, origin)
    if kind not in row_to_items.task_kinds_of(rows):
        raise Invalid(
            {
                "kind": f"cannot be asked about rows of the kind {rows}; these can be {', '.join(row_to_items.task_kinds_of(rows))}"
            }
        )


def _read_rows(
    connection: Connection, project: Project, origin: ImportSource, model: str | None
) -> tuple[Iterator[ParsedRow | RowProblem], str]:
    """The rows, and what they are called."""
    if origin.upload is not None:
        found = uploads.get(connection, origin.upload)
        path = project.data / "uploads" / found.path
        if not path.is_file():
            raise DataError(f"{found.filename}: the uploaded file is not there any more. Upload it again.")
        rows = row_to_items.parse_rows(file_source.read_file_rows(path), found.format, model=model)
        return (_with_path(row, found.filename) for row in rows), found.filename
    return _merge_rollouts(_find_rollouts(project, origin.rollouts)), ", ".join(origin.rollouts)


def _with_path(row: ParsedRow | RowProblem, filename: str) -> ParsedRow | RowProblem:
    """Problems speak of the file by the name that its owner knows."""
    return (
        replace(row, path=filename)
        if isinstance(row, RowProblem)
        else replace(row, where=row.where._replace(path=filename))
    )


def _find_rollouts(project: Project, refs: Sequence[str]) -> list[Artifact]:
    if len(refs) > MAX_ROLLOUTS:
        raise Invalid({"rollouts": f"are at most {MAX_ROLLOUTS}"})
    present = {
        one.label: one for one in list_rollouts(project)
    }  # by their labels alone: a path could lead anywhere
    for ref in refs:
        if ref not in present or not present[ref].folder.resolve().is_relative_to(
            project.artifacts.resolve()
        ):
            raise Invalid({"rollouts": f"{ref!r} is not among the rollouts of this project"})
    return [present[ref] for ref in refs]


def _merge_rollouts(found: Sequence[Artifact]) -> Iterator[ParsedRow | RowProblem]:
    """The rows of the first; the answers that the others give to the same prompt are added in turn: one of each, then the second ones."""
    others = [
        {
            prompt_text(PromptRecord(row.prompt)): row
            for row in _read_rollouts(one)
            if isinstance(row, ParsedRow)
        }
        for one in found[1:]
    ]
    for row in _read_rollouts(found[0]):
        if isinstance(row, RowProblem):
            yield row
            continue
        rows = [
            row,
            *(other[key] for other in others if (key := prompt_text(PromptRecord(row.prompt))) in other),
        ]
        most = max(len(each.answers) for each in rows)
        mixed = [each.answers[i] for i in range(most) for each in rows if i < len(each.answers)]
        texts: dict[Messages, Any] = {}
        for answer in mixed:
            texts.setdefault(answer.messages, answer)  # two models that say the same give one answer
        yield replace(
            row,
            answers=tuple(texts.values()),
            problems=tuple(problem for each in rows for problem in each.problems),
        )


def _read_rollouts(artifact: Artifact) -> Iterator[ParsedRow | RowProblem]:
    model = next(
        (parent.name for parent in artifact.manifest.parents if parent.role == "model"), artifact.label
    )
    params = {
        name: artifact.manifest.config[name]
        for name in ("temperature", "top_p", "top_k", "min_p", "max_new_tokens")
        if name in artifact.manifest.config
    }
    for row in row_to_items.parse_rows(
        file_source.read_file_rows(artifact.folder / "answers.jsonl"),
        row_to_items.ANSWERS_FORMAT,
        model=model,
    ):
        if isinstance(row, ParsedRow):
            row = replace(
                row,
                answers=tuple(
                    replace(answer, params=params | {"rollouts": artifact.label}) for answer in row.answers
                ),
            )
        yield _with_path(row, artifact.label)


def _to_set_aside(problem: RowProblem) -> SetAsideRow:
    value = "" if problem.value is None else shorten(problem.value)
    field, why, remedy = (
        text.replace("\0", "\ufffd") for text in (problem.field[:200], problem.why, problem.remedy)
    )
    return SetAsideRow(problem.line, field, value, why, remedy, problem.row)


def _stored(job_id: int, row: SetAsideRow) -> dict[str, Any]:
    return {"job_id": job_id, **{name: value for name, value in asdict(row).items() if name != "id"}}


def to_json_rows(found: Iterable[SetAsideRow]) -> Iterator[dict[str, Any]]:
    """For a file: what `fairlead data import --drop` writes beside its output."""
    for one in found:
        yield {
            "where": f"line {one.line}",
            "field": one.field,
            "reason": f"{one.why}. {one.remedy}",
            "row": one.row,
        }
