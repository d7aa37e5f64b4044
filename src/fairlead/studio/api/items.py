"""Items of a campaign: uploaded, taken from rollouts of the project, or sent one by one; found again; and what was said of each."""

from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Path, Query, UploadFile
from pydantic import BaseModel, Field, field_validator
from sqlalchemy import Connection

from fairlead.data.parsing import check_turns
from fairlead.data.parsing import read_messages as parse_messages
from fairlead.data.records import Messages
from fairlead.data.row_problem import BadRow, RowLocation
from fairlead.labels import imports, item_search, items, jobs, row_to_items, uploads
from fairlead.labels.campaigns import Campaign
from fairlead.labels.errors import Conflict, Invalid, NotFound
from fairlead.labels.imports import ImportSource
from fairlead.labels.item_search import ItemSummary
from fairlead.labels.items import CandidateAnswer, NewItem
from fairlead.labels.judgements import Judgement
from fairlead.labels.row_to_items import Pairing
from fairlead.labels.task_kinds import TaskKind
from fairlead.labels.uploads import Upload
from fairlead.store.project import Project
from fairlead.studio import render
from fairlead.studio.api.jobs import JobOut, Problem, job_out, problem_out
from fairlead.studio.api.labelling import SaidBy
from fairlead.studio.auth import Viewer
from fairlead.studio.permissions import Lead
from fairlead.studio.settings import Settings
from fairlead.studio.state import Configured, Database

router = APIRouter(tags=["items"])

HERE = "/campaigns/{slug}"
Id = Annotated[int, Path(ge=1, le=2**31 - 1)]
Reference = Annotated[str, Field(max_length=200)]


class UploadOut(BaseModel):
    id: int
    filename: str
    digest: str
    num_bytes: int
    format: str
    row_kind: str
    suits: list[TaskKind] = Field(description="What can be asked about such rows, the most natural first.")


class RolloutsOut(BaseModel):
    label: str
    model: str | None
    answers: int | None
    created_at: str


class RolloutsList(BaseModel):
    rollouts: list[RolloutsOut] = Field(description="The newest first.")
    suits: list[TaskKind]


class OriginIn(BaseModel):
    """Where rows come from: an upload, or one or more rollouts, whose answers to the same prompt are judged together."""

    upload: int | None = Field(None, ge=1, le=2**31 - 1)
    rollouts: list[Reference] = Field([], max_length=imports.MAX_ROLLOUTS)
    pairs: Pairing = Field("each", description="Of several answers: each in one pair, or all pairs.")
    model: Reference | None = Field(
        None, description="Who wrote the answers of which the rows do not say it; never shown to labellers."
    )

    @field_validator("model")
    @classmethod
    def _nothing(cls, text: str | None) -> str | None:
        """A field of a form that was left empty."""
        return (text or "").strip() or None


class PreviewIn(OriginIn):
    kind: TaskKind


class ImportIn(OriginIn):
    priority: int = Field(0, description="0 to 100; higher is asked first.")


class AnswerOut(BaseModel):
    html: str
    text: str
    dir: str
    source: str | None
    params: dict[str, Any] | None
    finished: bool | None


class ItemPreview(BaseModel):
    prompt: list[SaidBy]
    answers: list[AnswerOut]
    tags: list[str]


class PreviewOut(BaseModel):
    items: list[ItemPreview] = Field(description="The first few.")
    num_rows: int = Field(description="That were tried.")
    num_items: int = Field(description="That they become.")
    more: bool = Field(description="Whether there are more rows.")
    problems: list[Problem]


class MessageIn(BaseModel):
    role: Annotated[str, Field(max_length=20)]
    content: Annotated[str, Field(max_length=400_000)]


class AnswerIn(BaseModel):
    messages: list[MessageIn] = Field(max_length=200)
    source: Reference | None = None


class ItemIn(BaseModel):
    prompt: list[MessageIn] = Field(max_length=500)
    answers: list[AnswerIn] = Field([], max_length=8)
    tags: list[Annotated[str, Field(max_length=100)]] = Field([], max_length=50)
    priority: int = 0
    selection_probability: float | None = None
    strategy: Annotated[str, Field(max_length=40)] = "all"


class ItemsIn(BaseModel):
    items: list[ItemIn] = Field(min_length=1, max_length=500)


class AddedOut(BaseModel):
    num_added: int
    num_duplicates: int


class ItemOut(BaseModel):
    id: int
    prompt: list[SaidBy]
    answers: list[AnswerOut]
    tags: list[str]
    priority: int
    selection_probability: float | None
    strategy: str
    source: str
    created_at: str
    num_open: int
    num_held: int
    num_done: int
    num_flags: int


class Items(BaseModel):
    items: list[ItemOut]
    next: int | None = Field(description="`after` for the next page; nothing on the last.")


class JudgementOut(BaseModel):
    id: int
    rater: str
    value: dict[str, Any] = Field(description="By candidate, in the order of `answers`.")
    margin: int | None
    reasons: list[str]
    note: str
    shown_order: list[int]
    guidelines_version: int
    active_ms: int
    late: bool
    quick: bool
    stands: bool = Field(description="Neither corrected nor withdrawn.")
    made_at: str


class FlagShown(BaseModel):
    rater: str
    reason: str
    note: str
    raised_at: str
    resolved: bool


class ItemLook(BaseModel):
    item: ItemOut
    judgements: list[JudgementOut]
    flags: list[FlagShown]


class PriorityIn(BaseModel):
    priority: int


# ---------------------------------------------------------------- where items come from


@router.post("/uploads", status_code=201)
def upload(file: UploadFile, viewer: Lead, database: Database, settings: Configured) -> UploadOut:
    """A file of rows in any format that `fairlead data import` reads; `.gz` too."""
    home = project(settings)
    path = uploads.store(home, file.file, max_bytes=settings.upload_mb * 2**20)
    found = uploads.inspect(path, filename=file.filename or "", by=viewer.rater)
    with database.write() as connection:
        return upload_out(uploads.register(connection, found))


@router.get("/uploads/{upload_id}")
def one_upload(upload_id: Id, viewer: Lead, database: Database) -> UploadOut:
    with database.read() as connection:
        return upload_out(own(connection, viewer, upload_id))


@router.get("/rollouts")
def rollouts(viewer: Lead, settings: Configured) -> RolloutsList:
    """Answers that models of the project gave, from `fairlead sample`."""
    found = imports.list_rollouts(project(settings)) if settings.project else []
    return RolloutsList(
        rollouts=[_rollouts(one) for one in found],
        suits=list(row_to_items.task_kinds_of(row_to_items.ANSWERS_FORMAT)),
    )


@router.post("/imports/preview")
def preview(body: PreviewIn, viewer: Lead, database: Database, settings: Configured) -> PreviewOut:
    """What the first rows become, and which of them cannot be used."""
    return look_ahead(body, viewer, database, settings)


@router.post(HERE + "/imports", status_code=202)
def start(slug: str, body: ImportIn, viewer: Lead, database: Database, settings: Configured) -> JobOut:
    """Queues the import, whatever the state of the campaign; rows that are there already are counted and left alone."""
    with database.write() as connection:
        return job_out(queued(connection, body, viewer, viewer.campaign, settings))


@router.post(HERE + "/items", status_code=201)
def add(slug: str, body: ItemsIn, viewer: Lead, database: Database) -> AddedOut:
    """Items sent by a program; at most 500 at once."""
    rows = [_new(one, number, viewer.campaign.kind) for number, one in enumerate(body.items, start=1)]
    with database.write() as connection:
        return AddedOut(**vars(items.add(connection, viewer.campaign, rows, by=viewer.rater)))


# ---------------------------------------------------------------- what there is


@router.get(HERE + "/items")
def search(
    slug: str,
    viewer: Lead,
    database: Database,
    q: Annotated[
        str, Query(max_length=500, description="Words of the prompt, the answers or the tags.")
    ] = "",
    state: item_search.ItemState = "any",
    after: Annotated[int, Query(ge=0, le=2**31 - 1)] = 0,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> Items:
    with database.read() as connection:
        found = item_search.search(
            connection, viewer.campaign.id, words=q, state=state, after=after, limit=limit + 1
        )
    page = found[:limit]
    return Items(items=[item_out(one) for one in page], next=page[-1].item.id if len(found) > limit else None)


@router.get(HERE + "/items/{item_id}")
def one_item(slug: str, item_id: Id, viewer: Lead, database: Database) -> ItemLook:
    """With every judgement, also those that were corrected or withdrawn, and every flag."""
    with database.read() as connection:
        found = item_search.get_details(connection, viewer.campaign.id, item_id)
    said = [*((one, True) for one in found.standing), *((one, False) for one in found.superseded)]
    flags = [
        FlagShown(
            rater=one.rater,
            reason=one.reason,
            note=one.note,
            raised_at=one.raised_at,
            resolved=one.resolved_at is not None,
        )
        for one in found.flags
    ]
    return ItemLook(
        item=item_out(found.summary),
        judgements=[_judgement(one, stands) for one, stands in said],
        flags=flags,
    )


@router.patch(HERE + "/items/{item_id}", status_code=204)
def set_priority(slug: str, item_id: Id, body: PriorityIn, viewer: Lead, database: Database) -> None:
    """0 to 100; higher is asked first."""
    with database.write() as connection:
        items.set_priority(connection, viewer.campaign, {item_id: body.priority}, by=viewer.rater)


# ---------------------------------------------------------------- details


def project(settings: Settings) -> Project:
    if settings.project is None:
        raise Conflict(
            "the studio was started without a project, so it has no place for files. Start it inside of one, or with --project."
        )
    return Project(settings.project)


def own(connection: Connection, viewer: Viewer, upload_id: int) -> Upload:
    """An upload of this person's; who leads in the whole studio sees all."""
    found = uploads.get(connection, upload_id)
    if found.uploaded_by != viewer.rater and not viewer.leads_all:
        raise NotFound(f"there is no upload {upload_id}.")
    return found


def sent(file: UploadFile | None) -> UploadFile:
    """What a form sent; a form without a file is told so."""
    if file is None or not file.filename:
        raise Invalid({"file": "is missing: choose one first"})
    return file


def queued(
    connection: Connection, body: ImportIn, viewer: Viewer, into: Campaign, settings: Settings
) -> jobs.Job:
    origin, home = _origin(connection, viewer, body), project(settings)
    id = imports.enqueue(
        connection,
        home,
        into,
        origin,
        by=viewer.rater,
        pairs=body.pairs,
        model=body.model,
        priority=body.priority,
    )
    return jobs.get(connection, id)


def query(asked: OriginIn) -> str:
    """The choices so far, as a query of an address."""
    names = set(OriginIn.model_fields) | ({"kind"} & set(type(asked).model_fields))
    values = asked.model_dump(include=names, exclude_none=True)
    return urlencode(
        [
            (name, each)
            for name, value in values.items()
            for each in (value if isinstance(value, list) else [value])
        ]
    )


def look_ahead(body: PreviewIn, viewer: Viewer, database: Database, settings: Settings) -> PreviewOut:
    with database.read() as connection:
        origin = _origin(connection, viewer, body)
        found = imports.preview(
            connection, project(settings), origin, body.kind, pairs=body.pairs, model=body.model
        )
    shown = [
        ItemPreview(
            prompt=_said(one.prompt), answers=[_answer(each) for each in one.answers], tags=list(one.tags)
        )
        for one in found.items
    ]
    return PreviewOut(
        items=shown,
        num_rows=found.num_rows,
        num_items=found.num_items,
        more=found.more,
        problems=[problem_out(one) for one in found.problems],
    )


def upload_out(one: Upload) -> UploadOut:
    return UploadOut(
        id=one.id, filename=one.filename, digest=one.digest, num_bytes=one.num_bytes, format=one.format, row_kind=one.row_kind,
        suits=list(row_to_items.task_kinds_of(one.row_kind)),
    )  # fmt: skip


def item_out(found: ItemSummary) -> ItemOut:
    one = found.item
    return ItemOut(
        id=one.id, prompt=_said(one.prompt), answers=[_answer(each) for each in one.answers], tags=list(one.tags), priority=one.priority,
        selection_probability=one.selection_probability, strategy=one.strategy, source=one.source, created_at=one.created_at,
        num_open=found.num_open, num_held=found.num_held, num_done=found.num_done, num_flags=found.num_flags,
    )  # fmt: skip


def _origin(connection: Connection, viewer: Viewer, body: OriginIn) -> ImportSource:
    if body.upload is not None:
        own(connection, viewer, body.upload)
    return ImportSource(body.upload, tuple(body.rollouts))


def _new(one: ItemIn, number: int, kind: TaskKind) -> NewItem:
    def turns(said: list[MessageIn], field: str) -> Messages:
        where = RowLocation("items", number)
        try:
            made = parse_messages([each.model_dump() for each in said], field, where)
            if field == "prompt" and kind not in ("conversation", "chat"):
                check_turns(made, field, where, first="user", last="user")
            return made
        except BadRow as error:
            raise Invalid({error.problem.field: f"item {number}: {error.problem.why}"}) from error

    answers = tuple(
        CandidateAnswer(turns(each.messages, f"answers[{n}]"), each.source)
        for n, each in enumerate(one.answers)
    )
    return NewItem(
        prompt=turns(one.prompt, "prompt"), answers=answers, tags=tuple(one.tags), priority=one.priority,
        selection_probability=one.selection_probability, strategy=one.strategy, source="api",
    )  # fmt: skip


def _rollouts(one: Any) -> RolloutsOut:
    model = next((parent.name for parent in one.manifest.parents if parent.role == "model"), None)
    count = one.manifest.metrics.get("answers")
    return RolloutsOut(
        label=one.label,
        model=model,
        answers=count if isinstance(count, int) else None,
        created_at=one.manifest.created_at,
    )


def _said(turns: Messages) -> list[SaidBy]:
    return [
        SaidBy(
            role=turn.role,
            html=render.render(turn.content),
            text=turn.content,
            dir=render.direction(turn.content),
        )
        for turn in turns
    ]


def _answer(one: CandidateAnswer) -> AnswerOut:
    text = "\n\n".join(turn.content for turn in one.messages)
    params = dict(one.params) if one.params else None
    return AnswerOut(
        html=render.render(text),
        text=text,
        dir=render.direction(text),
        source=one.source,
        params=params,
        finished=one.finished,
    )


def _judgement(one: Judgement, stands: bool) -> JudgementOut:
    return JudgementOut(
        id=one.id, rater=one.rater, value=one.value, margin=one.margin, reasons=list(one.reasons), note=one.note,
        shown_order=list(one.order), guidelines_version=one.guidelines_version, active_ms=one.active_ms, late=one.late, quick=one.quick,
        stands=stands, made_at=one.made_at,
    )  # fmt: skip
