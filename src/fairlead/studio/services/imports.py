"""Where items come from: uploaded files and rollouts of the project.

Preview rows, then import them as a job.
"""

from typing import Annotated, Any, BinaryIO
from urllib.parse import urlencode

from pydantic import BaseModel, Field, field_validator
from sqlalchemy import Connection

from fairlead.labels import column_choice, imports, jobs, rollout_rows, row_parsing, row_to_items, uploads
from fairlead.labels.campaigns import Campaign
from fairlead.labels.column_choice import Column, ColumnChoice
from fairlead.labels.errors import Invalid, NotFound
from fairlead.labels.imports import ImportSource
from fairlead.labels.items import CandidateAnswer, Item, NewItem
from fairlead.labels.row_to_items import Pairing
from fairlead.labels.task_kinds import TaskKind
from fairlead.labels.uploads import Upload
from fairlead.store.artifact import Artifact
from fairlead.studio.auth import Viewer
from fairlead.studio.services.jobs import JobOut, RowProblem, job_out, row_problem
from fairlead.studio.services.projects import project_for_files
from fairlead.studio.services.rendering import PromptMessage, render_prompt, render_text
from fairlead.studio.settings import Settings
from fairlead.studio.state import Database

Reference = Annotated[str, Field(max_length=200)]
ColumnText = Annotated[str, Field(max_length=2000)]
ColumnList = Annotated[list[ColumnText], Field(max_length=column_choice.MAX_COLUMNS)]
MIB = 2**20


class UploadOut(BaseModel):
    id: int
    filename: str
    digest: str
    num_bytes: int
    format: str = Field(description="Empty for a file whose columns have to be described with `map`.")
    row_kind: str
    suits: list[TaskKind] = Field(description="Task kinds that fit these rows, best fit first.")


class RolloutsOut(BaseModel):
    label: str
    model: str | None
    answers: int | None
    created_at: str


class RolloutsList(BaseModel):
    rollouts: list[RolloutsOut] = Field(description="Newest first.")
    suits: list[TaskKind]


class OriginIn(BaseModel):
    """The source of rows: one upload, or rollouts.

    Answers of several rollouts to the same prompt are paired.
    """

    upload: int | None = Field(None, ge=1, le=2**31 - 1)
    rollouts: list[Reference] = Field([], max_length=rollout_rows.MAX_ROLLOUTS)
    pairs: Pairing = Field(
        "each", description="With several answers: use each answer in one pair, or all pairs."
    )
    model: Reference | None = Field(
        None,
        description="Author of answers whose rows name no model. Labellers never see it.",
    )
    map: ColumnList = Field(
        [],
        description="What columns hold, as TARGET=COLUMN, such as `prompt=question` or, for answers to "
        "compare, `completions.0=reply_a` and `completions.1=reply_b`.",
    )
    ignore: ColumnList = Field([], description="Columns to leave out.")
    keep: ColumnList = Field([], description="Columns that travel beside the item, whatever their names say.")
    scale: Annotated[str, Field(max_length=40)] | None = Field(
        None, description="Lowest and highest score of the file, such as 1:5."
    )

    @property
    def columns(self) -> ColumnChoice:
        return ColumnChoice(tuple(self.map), tuple(self.ignore), tuple(self.keep), self.scale)

    @field_validator("model", "scale")
    @classmethod
    def _empty_to_none(cls, text: str | None) -> str | None:
        """HTML forms send an empty field as an empty string."""
        return (text or "").strip() or None


class RolesIn(BaseModel):
    """What a form says of columns: the roles come in the order of the columns."""

    column: ColumnList = []
    role: ColumnList = []
    scale: Annotated[str, Field(max_length=40)] | None = None


class ColumnOut(BaseModel):
    name: str
    values: list[str] = Field(description="The first values, shortened.")
    role: str = Field(
        description="Suggestion: prompt, context, system, answer, chosen, rejected, reference, score, label, "
        "messages, history, model, id, tags, or empty for a column that travels beside the item."
    )


class ColumnsOut(BaseModel):
    filename: str
    columns: list[ColumnOut]


class PreviewIn(OriginIn):
    kind: TaskKind


class ImportIn(OriginIn):
    priority: int = Field(0, description="0 to 100. Items with a higher priority are assigned first.")


class AnswerOut(BaseModel):
    html: str
    text: str
    dir: str
    source: str | None
    params: dict[str, Any] | None
    finished: bool | None


class ItemPreview(BaseModel):
    prompt: list[PromptMessage]
    answers: list[AnswerOut]
    tags: list[str]
    external_id: str | None = Field(description="The row's `id`.")
    metadata: dict[str, Any] | None = Field(description="Columns of the row that travel to exports.")
    reference: str | None


class ImportPreviewOut(BaseModel):
    items: list[ItemPreview] = Field(description="The first few items.")
    num_rows: int = Field(description="Rows that were tried.")
    num_items: int = Field(description="Items that these rows become.")
    num_revealing: int = Field(description="Items of which an answer seems to name the model that wrote it.")
    more: bool = Field(description="Whether there are rows beyond those tried.")
    problems: list[RowProblem]


# ---------------------------------------------------------------- sources


def store_upload(
    database: Database,
    settings: Settings,
    viewer: Viewer,
    *,
    file: BinaryIO,
    filename: str,
    describe_later: bool = False,
) -> UploadOut:
    max_bytes = settings.upload_mb * MIB
    path = uploads.store(project_for_files(settings), file, filename=filename, max_bytes=max_bytes)
    upload = uploads.inspect(path, filename=filename, by=viewer.rater, describe_later=describe_later)
    with database.write() as connection:
        return _upload_out(uploads.register(connection, upload))


def get_upload(database: Database, viewer: Viewer, upload_id: int) -> UploadOut:
    with database.read() as connection:
        return _upload_out(_own_upload(connection, viewer, upload_id))


def list_rollouts(settings: Settings) -> RolloutsList:
    rollouts = rollout_rows.list_all(project_for_files(settings)) if settings.project else []
    suits = row_to_items.task_kinds_of(row_parsing.ANSWERS_FORMAT)
    return RolloutsList(rollouts=[_rollouts_out(artifact) for artifact in rollouts], suits=list(suits))


def describe_origin(
    database: Database, settings: Settings, viewer: Viewer, origin: OriginIn
) -> tuple[str, str]:
    """(a name to show, the kind of row) of an upload or of rollouts."""
    if origin.upload is None:
        return ", ".join(origin.rollouts), row_parsing.ANSWERS_FORMAT
    with database.read() as connection:
        upload = _own_upload(connection, viewer, origin.upload)
        source = ImportSource(origin.upload, columns=origin.columns)
        return upload.filename, imports.row_kind(connection, project_for_files(settings), source)


def describe_columns(database: Database, settings: Settings, viewer: Viewer, upload_id: int) -> ColumnsOut:
    with database.read() as connection:
        upload = _own_upload(connection, viewer, upload_id)
    columns = column_choice.describe(imports.path_of(project_for_files(settings), upload))
    return ColumnsOut(filename=upload.filename, columns=[ColumnOut(**column._asdict()) for column in columns])


def origin_of_roles(upload_id: int, body: RolesIn) -> OriginIn:
    """Raises Invalid for roles that contradict each other."""
    if len(body.column) != len(body.role):
        raise Invalid({"role": "must be given for each column"})
    choice = column_choice.from_roles(list(zip(body.column, body.role, strict=True)), body.scale)
    return OriginIn.model_validate({"upload": upload_id, **column_choice.to_json(choice)})


def with_roles(described: ColumnsOut, origin: OriginIn) -> list[ColumnOut]:
    """The columns with the roles that were chosen for them."""
    columns = [Column(column.name, column.values, column.role) for column in described.columns]
    return [ColumnOut(**column._asdict()) for column in column_choice.to_roles(origin.columns, columns)]


def to_query(origin: OriginIn) -> str:
    """The wizard's choices as a URL query, so that going back loses nothing."""
    names = set(OriginIn.model_fields) | ({"kind"} & set(type(origin).model_fields))
    choices = origin.model_dump(include=names, exclude_none=True)
    return urlencode(choices, doseq=True)


# ---------------------------------------------------------------- preview and import


def preview_rows(database: Database, settings: Settings, viewer: Viewer, body: PreviewIn) -> ImportPreviewOut:
    with database.read() as connection:
        source = _import_source(connection, viewer, body)
        preview = imports.preview(
            connection, project_for_files(settings), source, body.kind, pairs=body.pairs, model=body.model
        )
    items = [
        ItemPreview(
            prompt=render_prompt(item.prompt),
            answers=[answer_out(answer) for answer in item.answers],
            tags=list(item.tags),
            **carried_out(item),
        )
        for item in preview.items
    ]
    return ImportPreviewOut(
        items=items,
        num_rows=preview.num_rows,
        num_items=preview.num_items,
        num_revealing=preview.num_revealing,
        more=preview.more,
        problems=[row_problem(row) for row in preview.problems],
    )


def start_import(database: Database, settings: Settings, viewer: Viewer, body: ImportIn) -> JobOut:
    with database.write() as connection:
        return job_out(enqueue_import(connection, settings, viewer, viewer.campaign, body))


def enqueue_import(
    connection: Connection, settings: Settings, viewer: Viewer, campaign: Campaign, body: ImportIn
) -> jobs.Job:
    source = _import_source(connection, viewer, body)
    job_id = imports.enqueue(
        connection,
        project_for_files(settings),
        campaign,
        source,
        by=viewer.rater,
        pairs=body.pairs,
        model=body.model,
        priority=body.priority,
    )
    return jobs.get(connection, job_id)


def answer_out(answer: CandidateAnswer) -> AnswerOut:
    text = "\n\n".join(message.content for message in answer.messages)
    return AnswerOut(
        **render_text(text).model_dump(),
        source=answer.source,
        params=dict(answer.params) if answer.params else None,
        finished=answer.finished,
    )


def carried_out(item: NewItem | Item) -> dict[str, Any]:
    """What travels with an item to exports."""
    metadata = dict(item.carried.get("metadata") or {})
    metadata |= {name: item.carried[name] for name in ("family", "tools") if name in item.carried}
    return {
        "external_id": item.carried.get("id"),
        "metadata": metadata or None,
        "reference": item.reference,
    }


def _own_upload(connection: Connection, viewer: Viewer, upload_id: int) -> Upload:
    """Uploads are private to the uploader.  Leads of the whole studio see all of them."""
    upload = uploads.get(connection, upload_id)
    if upload.uploaded_by != viewer.rater and not viewer.leads_all:
        raise NotFound(f"there is no upload {upload_id}.")
    return upload


def _import_source(connection: Connection, viewer: Viewer, origin: OriginIn) -> ImportSource:
    if origin.upload is not None:
        _own_upload(connection, viewer, origin.upload)
    return ImportSource(origin.upload, tuple(origin.rollouts), origin.columns)


def _upload_out(upload: Upload) -> UploadOut:
    return UploadOut(
        id=upload.id,
        filename=upload.filename,
        digest=upload.digest,
        num_bytes=upload.num_bytes,
        format=upload.format,
        row_kind=upload.row_kind,
        suits=list(row_to_items.task_kinds_of(upload.row_kind)) if upload.row_kind else [],
    )


def _rollouts_out(artifact: Artifact) -> RolloutsOut:
    manifest = artifact.manifest
    model = next((parent.name for parent in manifest.parents if parent.role == "model"), None)
    num_answers = manifest.metrics.get("answers")
    return RolloutsOut(
        label=artifact.label,
        model=model,
        answers=num_answers if isinstance(num_answers, int) else None,
        created_at=manifest.created_at,
    )
