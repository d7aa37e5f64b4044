"""Items from files that people upload and from the rollouts of the project.

An upload is unpacked, bounded, and stored under a name of ours in `data/uploads`; its own name is only ever shown.  The import itself is a
job: a few rows in each transaction, with how far it is, so that a killed one goes on where it stopped and no row is read twice into a
campaign, whether that is a draft or in full swing.  Rows that cannot be used are set aside with their reasons.
"""

import secrets
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path
from typing import IO, Any

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

from fairlead.core import digest, files
from fairlead.core.errors import DataError
from fairlead.data import file_source
from fairlead.data.records import Messages, prompt_text
from fairlead.data.records import Prompt as PromptRecord
from fairlead.data.row_problem import RowProblem, shorten
from fairlead.labels import campaigns, events, items, jobs, row_to_items
from fairlead.labels.campaigns import Campaign
from fairlead.labels.database import metadata, now
from fairlead.labels.errors import Invalid, NotFound
from fairlead.labels.items import NewItem
from fairlead.labels.row_to_items import Given, Pairs
from fairlead.labels.task_kinds import KINDS, Kind
from fairlead.store.artifact import Artifact, load_artifacts
from fairlead.store.project import Project

upload = Table(
    "upload",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("path", String(80), nullable=False),  # a name of ours, in data/uploads
    Column("filename", String(120), nullable=False),  # theirs, only shown
    Column("digest", String(80), nullable=False),
    Column("num_bytes", Integer, nullable=False),
    Column("format", String(20), nullable=False),
    Column("row_kind", String(20), nullable=False),
    Column("uploaded_by", String(40), nullable=False),
    Column("uploaded_at", String(27), nullable=False),
)
set_aside = Table(  # rows of an import that could not be used
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

KIND = "import"  # of the job
MAX_LIST_BYTES = 64 * 2**20  # of a JSON list, which is read whole
CHUNK = 200  # rows, or items that they become, in one transaction: a fraction of a second, for which labellers' saves may have to wait
NUM_PREVIEW = 5  # items that a lead sees before deciding
NUM_LOOKED_AT = 1000  # rows that are tried out for that
MAX_ROLLOUTS = 8
_BLOCK = 1 << 20


@dataclass(frozen=True)
class Upload:
    path: str
    filename: str
    digest: str
    num_bytes: int
    format: str
    row_kind: str  # of most rows
    uploaded_by: str
    uploaded_at: str
    id: int = 0  # where it stands among those that are kept


@dataclass(frozen=True)
class SetAside:
    line: int
    field: str
    value: str
    why: str
    remedy: str
    row: Any
    id: int = 0  # where it stands among those that are kept


@dataclass(frozen=True)
class Origin:
    """Where the rows come from: an upload, or one or more rollouts whose answers to the same prompt are judged together."""

    upload: int | None = None
    rollouts: tuple[str, ...] = ()


@dataclass(frozen=True)
class Preview:
    items: tuple[NewItem, ...]  # the first few
    problems: tuple[SetAside, ...]  # of the first rows
    num_rows: int  # that were tried
    num_items: int  # that they become
    more: bool  # whether there are more rows than were tried


# ---------------------------------------------------------------- uploads


def receive(project: Project, stream: IO[bytes], *, max_bytes: int) -> Path:
    """Stores what comes, unpacked where it is gzip; the name is ours.  Raises Invalid where it is too large or damaged."""
    path = project.data / "uploads" / f"upload-{secrets.token_hex(8)}.json"
    size = 0
    with files.atomic_file(path) as file:
        for block in _unpacked(stream):
            size += len(block)
            if size > max_bytes:
                raise Invalid(
                    {
                        "file": f"is larger than {max_bytes // 2**20} MiB. Split it, and upload one part after another"
                    }
                )
            file.write(block)
        if size == 0:
            raise Invalid({"file": "is empty"})
    return path


def examine(path: Path, *, filename: str, by: str) -> Upload:
    """What the file holds, from its first rows, to `register`: apart, because a large file takes longer than anybody should wait to save.
    A file of which nothing can be used is removed, and Invalid says why.
    """
    try:
        if path.stat().st_size > MAX_LIST_BYTES and _is_list(path):
            raise Invalid(
                {
                    "file": f"is a JSON list of more than {MAX_LIST_BYTES // 2**20} MiB. Write one row per line instead"
                }
            )
        format, row_kind = _detect(path)
    except DataError as error:
        path.unlink()
        raise Invalid({"file": str(error).replace(str(path), _shown_name(filename))}) from error
    except Invalid:
        path.unlink()
        raise
    return Upload(
        path.name,
        _shown_name(filename),
        digest.of_file(path),
        path.stat().st_size,
        format,
        row_kind,
        by,
        now(),
    )


def register(connection: Connection, found: Upload) -> Upload:
    values = {name: value for name, value in asdict(found).items() if name != "id"}
    row = connection.execute(insert(upload).values(values).returning(upload)).one()
    body = {"digest": row.digest, "bytes": row.num_bytes, "format": row.format, "kind": row.row_kind}
    events.append(
        connection, verb="upload.made", actor=row.uploaded_by, subject=f"upload/{row.id}", body=body
    )
    return Upload(**row._mapping)


def get_upload(connection: Connection, id: int) -> Upload:
    row = connection.execute(select(upload).where(upload.c.id == id)).one_or_none()
    if row is None:
        raise NotFound(f"there is no upload {id}.")
    return Upload(**row._mapping)


def _unpacked(stream: IO[bytes]) -> Iterator[bytes]:
    """In blocks of bounded size, however well it was packed."""
    first = stream.read(_BLOCK)
    if not first.startswith(b"\x1f\x8b"):
        while first:
            yield first
            first = stream.read(_BLOCK)
        return
    packed, unpacker = first, zlib.decompressobj(wbits=31)
    started = True
    try:
        while packed:
            yield unpacker.decompress(packed, _BLOCK)
            packed = unpacker.unconsumed_tail
            if unpacker.eof:  # a file may hold several, one after another
                packed = unpacker.unused_data.lstrip(b"\0")
                unpacker, started = zlib.decompressobj(wbits=31), False
            packed = packed or stream.read(_BLOCK)
            started = started or bool(packed)
        if started:
            yield unpacker.flush()
        if started and not unpacker.eof:
            raise Invalid({"file": "is a gzip file that was cut off"})
    except zlib.error as error:
        raise Invalid({"file": f"is a damaged gzip file: {error}"}) from error


def _is_list(path: Path) -> bool:
    with open(path, "rb") as file:
        return file.read(4096).removeprefix(b"\xef\xbb\xbf").lstrip()[:1] == b"["


def _detect(path: Path) -> tuple[str, str]:
    format, rows = row_to_items.choose_format(file_source.read_file_rows(path))
    votes: Counter[str] = Counter()
    first_problem: RowProblem | None = None
    for one in islice(row_to_items.given(rows, format), 100):
        if isinstance(one, RowProblem):
            first_problem = first_problem or one
        else:
            votes[one.kind] += 1
    if not votes:
        assert first_problem is not None, "a format was found, so there are rows"
        raise DataError(str(first_problem))
    return format, votes.most_common(1)[0][0]


def _shown_name(filename: str) -> str:
    name = filename.replace("\\", "/").rpartition("/")[2]
    return "".join(char for char in name if char.isprintable())[:120] or "rows"


# ---------------------------------------------------------------- what rows become


def row_kind(connection: Connection, project: Project, origin: Origin) -> str:
    if origin.upload is not None:
        return get_upload(connection, origin.upload).row_kind
    _rollouts(project, origin.rollouts)
    return row_to_items.ANSWERS


def rollouts(project: Project) -> list[Artifact]:
    """Those of the project, the newest first."""
    present, _ = load_artifacts(project)
    found = [
        one for one in present if one.manifest.kind == "rollouts" and "answers.jsonl" in one.manifest.files
    ]
    return sorted(found, key=lambda one: one.manifest.created_at, reverse=True)


def preview(
    connection: Connection,
    project: Project,
    origin: Origin,
    kind: Kind,
    *,
    pairs: Pairs = "each",
    model: str | None = None,
) -> Preview:
    """What the first rows become."""
    _check(connection, project, origin, kind)
    rows, source = _given(connection, project, origin, model)
    found: list[NewItem] = []
    problems: list[SetAside] = []
    num_rows = num_items = 0
    for one in islice(rows, NUM_LOOKED_AT):
        made, wrong = row_to_items.fit(one, kind, pairs=pairs, source=source)
        num_rows, num_items = num_rows + 1, num_items + len(made)
        found += made[: NUM_PREVIEW - len(found)]
        problems += [_aside(problem) for problem in wrong]
    return Preview(tuple(found), tuple(problems), num_rows, num_items, next(rows, None) is not None)


def start(
    connection: Connection,
    project: Project,
    one: Campaign,
    origin: Origin,
    *,
    by: str,
    pairs: Pairs = "each",
    model: str | None = None,
    priority: int = 0,
) -> int:
    """Queues the import into a campaign, whatever its state; returns the job."""
    _check(connection, project, origin, one.kind)
    if pairs not in row_to_items.PAIRS:
        raise Invalid({"pairs": f"is one of {', '.join(row_to_items.PAIRS)}"})
    if not 0 <= priority <= items.MAX_PRIORITY:
        raise Invalid({"priority": f"is 0 to {items.MAX_PRIORITY}"})
    body = {
        "upload": origin.upload,
        "rollouts": list(origin.rollouts),
        "pairs": pairs,
        "model": model,
        "priority": priority,
    }
    return jobs.enqueue(connection, KIND, body, actor=by, campaign=one.id)


def problems(connection: Connection, job_id: int, *, after: int = 0, limit: int = 1000) -> list[SetAside]:
    """What an import has set aside so far, in the order of the file."""
    query = (
        select(set_aside)
        .where(set_aside.c.job_id == job_id, set_aside.c.id > after)
        .order_by(set_aside.c.id)
        .limit(limit)
    )
    return [
        SetAside(row.line, row.field, row.value, row.why, row.remedy, row.row, row.id)
        for row in connection.execute(query)
    ]


def num_problems(connection: Connection, job_id: int) -> int:
    return int(connection.execute(select(func.count()).where(set_aside.c.job_id == job_id)).scalar_one())


# ---------------------------------------------------------------- the job


def run(project: Project, work: jobs.Work) -> dict[str, Any]:
    """The handler of the job."""
    body = work.body
    origin = Origin(body["upload"], tuple(body["rollouts"]))
    assert work.job.campaign is not None, "an import is into a campaign"
    with work.database.read() as connection:
        one = campaigns.by_id(connection, work.job.campaign)
        rows, source = _given(connection, project, origin, body["model"])
        again, _ = _given(connection, project, origin, body["model"])
    tally: dict[str, int] = work.memory or {"rows": 0, "added": 0, "duplicates": 0, "set_aside": 0}
    num_all = work.job.num_all or sum(
        1 for _ in again
    )  # and the whole file can be read, before any of it is kept
    for _ in islice(rows, tally["rows"]):
        pass  # done before
    for fitted in row_to_items.chunks(
        (row_to_items.fit(row, one.kind, pairs=body["pairs"], source=source) for row in rows), CHUNK
    ):
        new = [replace(item, priority=body["priority"]) for made, _ in fitted for item in made]
        wrong = [problem for _, found in fitted for problem in found]
        # What is added is known only inside the transaction that also remembers it.
        with work.write(num_done=tally["rows"] + len(fitted), num_all=num_all) as connection:
            added = items.add(connection, one, new, by=work.job.actor) if new else items.Added(0, 0)
            if wrong:
                connection.execute(
                    insert(set_aside), [_stored(work.job.id, _aside(problem)) for problem in wrong]
                )
            tally = {
                "rows": tally["rows"] + len(fitted),
                "added": tally["added"] + added.num_added,
                "duplicates": tally["duplicates"] + added.num_duplicates,
                "set_aside": tally["set_aside"] + len(wrong),
            }
            work.remember(connection, tally)
    return dict(tally)


def _check(connection: Connection, project: Project, origin: Origin, kind: str) -> None:
    if (origin.upload is None) == (not origin.rollouts):
        raise Invalid({"upload": "is needed, or rollouts of the project; one of the two"})
    if kind not in KINDS:
        raise Invalid({"kind": f"is one of {', '.join(KINDS)}"})
    rows = row_kind(connection, project, origin)
    if kind not in row_to_items.suits(rows):
        raise Invalid(
            {
                "kind": f"cannot be asked about rows of the kind {rows}; these can be {', '.join(row_to_items.suits(rows))}"
            }
        )


def _given(
    connection: Connection, project: Project, origin: Origin, model: str | None
) -> tuple[Iterator[Given | RowProblem], str]:
    """The rows, and what they are called."""
    if origin.upload is not None:
        found = get_upload(connection, origin.upload)
        path = project.data / "uploads" / found.path
        if not path.is_file():
            raise DataError(f"{found.filename}: the uploaded file is not there any more. Upload it again.")
        rows = row_to_items.given(file_source.read_file_rows(path), found.format, model=model)
        return (_named(row, found.filename) for row in rows), found.filename
    return _together(_rollouts(project, origin.rollouts)), ", ".join(origin.rollouts)


def _named(row: Given | RowProblem, filename: str) -> Given | RowProblem:
    """Problems speak of the file by the name that its owner knows."""
    return (
        replace(row, path=filename)
        if isinstance(row, RowProblem)
        else replace(row, where=row.where._replace(path=filename))
    )


def _rollouts(project: Project, refs: Sequence[str]) -> list[Artifact]:
    if len(refs) > MAX_ROLLOUTS:
        raise Invalid({"rollouts": f"are at most {MAX_ROLLOUTS}"})
    present = {
        one.label: one for one in rollouts(project)
    }  # by their labels alone: a path could lead anywhere
    for ref in refs:
        if ref not in present or not present[ref].folder.resolve().is_relative_to(
            project.artifacts.resolve()
        ):
            raise Invalid({"rollouts": f"{ref!r} is not among the rollouts of this project"})
    return [present[ref] for ref in refs]


def _together(found: Sequence[Artifact]) -> Iterator[Given | RowProblem]:
    """The rows of the first; the answers that the others give to the same prompt are added in turn: one of each, then the second ones."""
    others = [
        {prompt_text(PromptRecord(row.prompt)): row for row in _of_rollouts(one) if isinstance(row, Given)}
        for one in found[1:]
    ]
    for row in _of_rollouts(found[0]):
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


def _of_rollouts(one: Artifact) -> Iterator[Given | RowProblem]:
    model = next((parent.name for parent in one.manifest.parents if parent.role == "model"), one.label)
    params = {
        name: one.manifest.config[name]
        for name in ("temperature", "top_p", "top_k", "min_p", "max_new_tokens")
        if name in one.manifest.config
    }
    for row in row_to_items.given(
        file_source.read_file_rows(one.folder / "answers.jsonl"), row_to_items.ANSWERS, model=model
    ):
        if isinstance(row, Given):
            row = replace(
                row,
                answers=tuple(
                    replace(answer, params=params | {"rollouts": one.label}) for answer in row.answers
                ),
            )
        yield _named(row, one.label)


def _aside(problem: RowProblem) -> SetAside:
    value = "" if problem.value is None else shorten(problem.value)
    field, why, remedy = (
        text.replace("\0", "\ufffd") for text in (problem.field[:200], problem.why, problem.remedy)
    )
    return SetAside(problem.line, field, value, why, remedy, problem.row)


def _stored(job_id: int, one: SetAside) -> dict[str, Any]:
    return {"job_id": job_id, **{name: value for name, value in asdict(one).items() if name != "id"}}


def as_rows(found: Iterable[SetAside]) -> Iterator[dict[str, Any]]:
    """For a file: what `fairlead data import --drop` writes beside its output."""
    for one in found:
        yield {
            "where": f"line {one.line}",
            "field": one.field,
            "reason": f"{one.why}. {one.remedy}",
            "row": one.row,
        }
