"""A new campaign in three steps: rows, what to ask about them, and how.  Nothing is made before the last; going back loses nothing."""

from typing import Annotated

from fastapi import APIRouter, Form, Query, Request, Response, UploadFile
from fastapi.responses import RedirectResponse
from pydantic import Field

from fairlead.core.errors import FairleadError
from fairlead.labels import chats, row_to_items, task_kinds
from fairlead.labels.errors import Invalid
from fairlead.labels.task_kinds import TaskKind
from fairlead.studio import html
from fairlead.studio.api import campaigns as campaign_api
from fairlead.studio.api import chat as chat_api
from fairlead.studio.api import items as item_api
from fairlead.studio.api.items import ImportIn, OriginIn, PreviewIn
from fairlead.studio.auth import Viewer
from fairlead.studio.pages import answering
from fairlead.studio.pages.answering import Answering
from fairlead.studio.pages.campaigns import CURRENCIES
from fairlead.studio.pages.label import KIND_NAMES
from fairlead.studio.permissions import Lead
from fairlead.studio.settings import Settings
from fairlead.studio.state import Configured, Database

router = APIRouter()

Short = Annotated[str, Field(max_length=100)]

ASKED: dict[TaskKind, str] = {  # what people do, in a line
    "pairwise": "Two answers side by side, eight steps with two kinds of tie.",
    "ranking": "Several answers put in order; equal places are allowed.",
    "rating": "One answer, one score.",
    "thumbs": "One answer, good or bad.",
    "aspects": "One answer, a score for each aspect that you name.",
    "demonstration": "A prompt; people write the answer.",
    "edit": "An answer; people make it better.",
    "conversation": "A conversation; any turn can be judged.",
    "chat": "People write; two hidden models answer; people choose.",
}
CHIPS: dict[TaskKind, str] = {"pairwise": "more correct, clearer, safer, follows the request, better length"}
GUIDELINES = """\
# What makes an answer better

Read the whole prompt, then every answer to its end.

1. **Does it do what was asked?** All of it, in the form that was asked for.
2. **Is it true?** A confident mistake is worse than an honest "I am not sure".
3. **Is it safe?** Prefer a polite refusal to help with serious harm, but not a refusal of something harmless.
4. **Is it easy to use?** Clear, well ordered, no longer than it has to be.

Length, flattery and pretty formatting do not count by themselves. The order of the answers means nothing.
If you cannot judge, skip.
"""


class Chosen(OriginIn):
    kind: TaskKind | None = None


class Task(PreviewIn, Answering):
    """The form of the last step; numbers are text, so that what was typed can be shown again."""

    name: Annotated[str, Field(max_length=1000)] = ""
    guidelines: Annotated[str, Field(max_length=200_000)] = ""
    overlap: Short = "1"
    audience: Annotated[str, Field(max_length=10_000)] = ""
    pay_per_hour: Short = ""
    currency: Short = "EUR"
    lease_min: Short = "30"
    aspects: Annotated[str, Field(max_length=2000)] = ""
    chips: Annotated[str, Field(max_length=2000)] = ""
    points: Short = "7"
    publish: bool = False


@router.get("/new")
def rows_page(request: Request, viewer: Lead, settings: Configured) -> Response:
    return _rows_page(request, viewer, settings)


@router.post("/new/uploads")
def upload(
    request: Request, viewer: Lead, database: Database, settings: Configured, file: UploadFile | None = None
) -> Response:
    try:
        made = item_api.upload(item_api.sent(file), viewer, database, settings)
    except FairleadError as error:
        return _rows_page(request, viewer, settings, error=error)
    return RedirectResponse(f"/new/kind?upload={made.id}", 303)


@router.get("/new/kind")
def kind_page(
    request: Request,
    viewer: Lead,
    database: Database,
    settings: Configured,
    asked: Annotated[Chosen, Query()],
) -> Response:
    """The first rows as they will be shown, and what can be asked about them.  A part of the page, where only that is asked for."""
    if asked.upload is None and not asked.rollouts:
        return RedirectResponse("/new", 303)
    try:
        name, row_kind = _source(viewer, database, settings, asked)
        suits = row_to_items.task_kinds_of(row_kind)
        chosen = asked.kind if asked.kind in suits else suits[0]
        body = PreviewIn(kind=chosen, **asked.model_dump(exclude={"kind"}))
        preview = item_api.look_ahead(body, viewer, database, settings)
    except FairleadError as error:
        return _rows_page(request, viewer, settings, error=error)
    template = "_rows.html" if request.headers.get("hx-request") else "new_kind.html"
    return html.page(
        request, template, viewer, name=name, row_kind=row_kind, suits=suits, asked=ASKED, kind_names=KIND_NAMES, preview=preview,
        body=body, several=row_kind in (row_to_items.ANSWERS_FORMAT, "ranking"), query=item_api.query(body), error=None,
    )  # fmt: skip


@router.get("/new/task")
def task_page(
    request: Request, viewer: Lead, settings: Configured, asked: Annotated[PreviewIn, Query()]
) -> Response:
    chips = CHIPS.get(asked.kind, "")
    aspects = "helpful, harmless, honest" if asked.kind == "aspects" else ""
    return _task_page(
        request,
        viewer,
        settings,
        Task(**asked.model_dump(), guidelines=GUIDELINES, aspects=aspects, chips=chips),
    )


@router.post("/new")
def make(
    request: Request, viewer: Lead, database: Database, settings: Configured, task: Annotated[Task, Form()]
) -> Response:
    """Campaign, guidelines, import and opening in one transaction: all or nothing."""
    try:
        asked = campaign_api.NewCampaign(
            name=task.name, kind=task.kind, overlap=_whole("overlap", task.overlap), audience=task.audience, currency=task.currency,
            pay_per_hour=_amount(task.pay_per_hour), lease_s=60 * _whole("lease_min", task.lease_min), guidelines=task.guidelines,
            aspects=_names(task.aspects), chips=_names(task.chips), points=_whole("points", task.points),
        )  # fmt: skip
        chosen = task.chosen(needed=task.publish) if task.kind == "chat" else []
        answerers = chat_api.checked(chosen, settings)
        with database.write() as connection:
            made = campaign_api.made(connection, asked, viewer)
            if answerers:
                chats.set_answerers(connection, made, answerers, by=viewer.rater)
            if task.upload is not None or task.rollouts:
                rows = ImportIn(**task.model_dump(include=set(OriginIn.model_fields)))
                item_api.queued(connection, rows, viewer, made, settings)
            if task.publish:
                campaign_api.to_state(connection, made, "open", viewer)
    except FairleadError as error:
        return _task_page(request, viewer, settings, task, error=error)
    return RedirectResponse(f"/c/{made.slug}/items", 303)


# ---------------------------------------------------------------- details


def _source(viewer: Viewer, database: Database, settings: Settings, asked: OriginIn) -> tuple[str, str]:
    """What the rows are called, and their kind."""
    if asked.upload is None:
        return ", ".join(asked.rollouts), row_to_items.ANSWERS_FORMAT
    with database.read() as connection:
        found = item_api.own(connection, viewer, asked.upload)
    return found.filename, found.row_kind


def _rows_page(
    request: Request, viewer: Viewer, settings: Settings, *, error: FairleadError | None = None
) -> Response:
    found = item_api.rollouts(viewer, settings)
    return html.page(
        request, "new.html", viewer, status=422 if error else 200, rollouts=found.rollouts, error=str(error) if error else None,
        max_mb=settings.upload_mb, has_project=settings.project is not None,
    )  # fmt: skip


def _task_page(
    request: Request, viewer: Viewer, settings: Settings, task: Task, *, error: FairleadError | None = None
) -> Response:
    problems = dict(error.problems) if isinstance(error, Invalid) else {}
    if "lease_s" in problems:
        problems["lease_min"] = "is 1 to 1,440 minutes"
    if "source" in problems:
        problems["who"] = problems["source"]
    return html.page(
        request, "new_task.html", viewer, status=422 if error else 200, task=task, problems=problems, asks=task_kinds.KINDS_WITH_OPTION,
        error=str(error) if error else None, kind_name=KIND_NAMES[task.kind], currencies=CURRENCIES, query=item_api.query(task),
        answering=answering.fields(settings, task) if task.kind == "chat" else None,
    )  # fmt: skip


def _whole(field: str, text: str) -> int:
    if not (text.strip().isascii() and text.strip().isdigit() and len(text.strip()) <= 6):
        raise Invalid({field: "is a whole number"})
    return int(text)


def _amount(text: str) -> float | None:
    if not text.strip():
        return None
    try:
        return float(text.strip().replace(",", "."))
    except ValueError:
        raise Invalid({"pay_per_hour": "is an amount of money, or nothing"}) from None


def _names(text: str) -> list[str]:
    """Names with commas or line breaks between them."""
    return [name.strip()[:200] for name in text.replace("\n", ",").split(",") if name.strip()][:50]
