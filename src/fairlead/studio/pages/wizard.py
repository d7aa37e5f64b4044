"""The campaign wizard: choose rows, choose the task kind, then set it up.

Nothing is stored before the last step.
"""

import re
from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Form, Query, Request, Response, UploadFile
from fastapi.responses import RedirectResponse
from pydantic import Field

from fairlead.core.errors import FairleadError
from fairlead.labels import row_parsing, row_to_items, task_kinds
from fairlead.labels.errors import Invalid
from fairlead.labels.task_kinds import TaskKind
from fairlead.studio import page_templates, phrases
from fairlead.studio.access_control import Lead
from fairlead.studio.auth import Viewer
from fairlead.studio.errors import status_of
from fairlead.studio.pages import answerer_form
from fairlead.studio.pages.answerer_form import AnswererForm
from fairlead.studio.pages.campaigns import require_file
from fairlead.studio.services import imports, new_campaign
from fairlead.studio.services.campaigns import NewCampaign
from fairlead.studio.services.imports import ImportIn, OriginIn, PreviewIn
from fairlead.studio.services.new_campaign import CampaignPlan
from fairlead.studio.settings import Settings
from fairlead.studio.state import Configured, Database

router = APIRouter()

Short = Annotated[str, Field(max_length=100)]

DEFAULT_CHIPS: dict[TaskKind, str] = {
    "pairwise": "more correct, clearer, safer, follows the request, better length"
}
DEFAULT_GUIDELINES = """\
# Which answer is better

Read the whole prompt, then read every answer to the end.

1. **Does it do what the prompt asks?** Completely, and in the requested form.
2. **Is it true?** A confident mistake is worse than an honest "I am not sure".
3. **Is it safe?** Prefer a polite refusal to help with serious harm. Refusing a harmless request is a fault.
4. **Is it easy to use?** Clear, well organised, and no longer than necessary.

Length, flattery and formatting do not make an answer better. The order of the answers is random.
If you cannot judge, skip the item.
"""


class OriginAndKind(OriginIn):
    kind: TaskKind | None = None


class TaskForm(PreviewIn, AnswererForm):
    """The form of the last step.  Numbers are text, so that invalid input can be shown again."""

    name: Annotated[str, Field(max_length=1000)] = ""
    guidelines: Annotated[str, Field(max_length=200_000)] = ""
    read_first: bool = False
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
def rows_page(
    request: Request,
    viewer: Lead,
    database: Database,
    settings: Configured,
    origin: Annotated[OriginAndKind, Query()],
) -> Response:
    """The first step.  Coming back to it keeps the file that was uploaded."""
    try:
        return _rows_page(request, viewer, settings, chosen=_chosen_rows(database, settings, viewer, origin))
    except FairleadError as error:
        return _rows_page(request, viewer, settings, error=error)


@router.post("/new/uploads")
def upload(
    request: Request, viewer: Lead, database: Database, settings: Configured, file: UploadFile | None = None
) -> Response:
    try:
        chosen = require_file(file)
        stored = imports.store_upload(
            database,
            settings,
            viewer,
            file=chosen.file,
            filename=chosen.filename or "",
            describe_later=True,
        )
    except FairleadError as error:
        return _rows_page(request, viewer, settings, error=error)
    return RedirectResponse(f"/new/{'kind' if stored.format else 'columns'}?upload={stored.id}", 303)


@router.get("/new/kind")
def kind_page(
    request: Request,
    viewer: Lead,
    database: Database,
    settings: Configured,
    origin: Annotated[OriginAndKind, Query()],
) -> Response:
    """The first rows as raters will see them, and the task kinds that fit.  For htmx, only the rows."""
    if origin.upload is None and not origin.rollouts:
        return RedirectResponse("/new", 303)
    try:
        name, row_kind = imports.describe_origin(database, settings, viewer, origin)
        kinds = row_to_items.task_kinds_of(row_kind)
        kind = origin.kind if origin.kind in kinds else kinds[0]
        body = PreviewIn(kind=kind, **origin.model_dump(exclude={"kind"}))
        preview = imports.preview_rows(database, settings, viewer, body)
    except FairleadError as error:
        return _rows_page(request, viewer, settings, error=error)
    return page_templates.page(
        request,
        "_rows.html" if request.headers.get("hx-request") else "new_kind.html",
        viewer,
        name=name,
        row_kind=row_kind,
        suits=kinds,
        descriptions=phrases.KIND_DESCRIPTIONS,
        kind_names=phrases.KIND_NAMES,
        preview=preview,
        body=body,
        several=row_kind in (row_parsing.ANSWERS_FORMAT, "ranking"),
        query=imports.to_query(body),
        error=None,
    )


@router.get("/new/task")
def task_page(
    request: Request,
    viewer: Lead,
    database: Database,
    settings: Configured,
    body: Annotated[PreviewIn, Query()],
) -> Response:
    try:
        chosen = _chosen_rows(database, settings, viewer, body)
    except FairleadError as error:
        return _rows_page(request, viewer, settings, error=error)
    form = TaskForm(
        **body.model_dump(),
        name=suggest_name(chosen.name) if chosen else "",
        guidelines=DEFAULT_GUIDELINES,
        aspects="helpful, harmless, honest" if body.kind == "aspects" else "",
        chips=DEFAULT_CHIPS.get(body.kind, ""),
    )
    return _task_page(request, viewer, settings, form)


@router.post("/new")
def create(
    request: Request,
    viewer: Lead,
    database: Database,
    settings: Configured,
    form: Annotated[TaskForm, Form()],
) -> Response:
    """Create the campaign with guidelines, import and opening in one transaction."""
    try:
        campaign = new_campaign.create_from_plan(database, settings, viewer, _plan(form))
    except FairleadError as error:
        return _task_page(request, viewer, settings, form, error=error)
    return RedirectResponse(f"/c/{campaign.slug}/items", 303)


# ---------------------------------------------------------------- details


@dataclass(frozen=True)
class ChosenRows:
    """Where the rows come from, as a name to show, and the choices so far as a URL query."""

    name: str
    query: str
    rollouts: list[str]


def suggest_name(source: str) -> str:
    """A name for a campaign: `my_rows-2.jsonl.gz` becomes "My rows 2"."""
    stem = source.rpartition("/")[2].partition(".")[0]
    words = re.sub(r"[\W_]+", " ", stem).strip()
    return (words[:1].upper() + words[1:])[:120]


def _chosen_rows(
    database: Database, settings: Settings, viewer: Viewer, origin: OriginIn
) -> ChosenRows | None:
    """None before rows were chosen."""
    if origin.upload is None and not origin.rollouts:
        return None
    name, _ = imports.describe_origin(database, settings, viewer, origin)
    return ChosenRows(name, imports.to_query(origin), origin.rollouts)


def _plan(form: TaskForm) -> CampaignPlan:
    """Raises Invalid for a field that cannot be parsed."""
    campaign = NewCampaign(
        name=form.name,
        kind=form.kind,
        overlap=_parse_whole_number("overlap", form.overlap),
        audience=form.audience,
        pay_per_hour=_parse_amount(form.pay_per_hour),
        currency=form.currency,
        lease_s=60 * _parse_whole_number("lease_min", form.lease_min),
        aspects=_parse_names(form.aspects),
        chips=_parse_names(form.chips),
        points=_parse_whole_number("points", form.points),
        guidelines=form.guidelines,
        read_first=form.read_first,
    )
    rows = None
    if form.upload is not None or form.rollouts:
        rows = ImportIn(**form.model_dump(include=set(OriginIn.model_fields)))
    return CampaignPlan(
        campaign=campaign,
        answerers=form.answerers(required=form.publish) if form.kind == "chat" else [],
        rows=rows,
        publish=form.publish,
    )


def _rows_page(
    request: Request,
    viewer: Viewer,
    settings: Settings,
    *,
    chosen: ChosenRows | None = None,
    error: FairleadError | None = None,
) -> Response:
    return page_templates.page(
        request,
        "new.html",
        viewer,
        status=status_of(error),
        rollouts=imports.list_rollouts(settings).rollouts,
        error=str(error) if error else None,
        chosen=chosen,
        max_mb=settings.upload_mb,
        has_project=settings.project is not None,
    )


def _task_page(
    request: Request,
    viewer: Viewer,
    settings: Settings,
    form: TaskForm,
    *,
    error: FairleadError | None = None,
) -> Response:
    problems = dict(error.problems) if isinstance(error, Invalid) else {}
    if "lease_s" in problems:  # the form asks for minutes
        problems["lease_min"] = "must be 1 to 1,440 minutes"
    if "source" in problems:
        problems["who"] = problems["source"]
    return page_templates.page(
        request,
        "new_task.html",
        viewer,
        status=status_of(error),
        task=form,
        problems=problems,
        asks=task_kinds.KINDS_WITH_OPTION,
        error=str(error) if error else None,
        kind_name=phrases.KIND_NAMES[form.kind],
        currencies=phrases.CURRENCIES,
        query=imports.to_query(form),
        answering=answerer_form.template_values(settings, form) if form.kind == "chat" else None,
    )


def _parse_whole_number(field: str, text: str) -> int:
    text = text.strip()
    if not (text.isascii() and text.isdigit() and len(text) <= 6):
        raise Invalid({field: "must be a whole number"})
    return int(text)


def _parse_amount(text: str) -> float | None:
    if not text.strip():
        return None
    try:
        return float(text.strip().replace(",", "."))
    except ValueError:
        raise Invalid({"pay_per_hour": "must be an amount of money, or empty"}) from None


def _parse_names(text: str) -> list[str]:
    """Names separated by commas or line breaks."""
    names = [name.strip() for name in text.replace("\n", ",").split(",")]
    return [name[:200] for name in names if name][:50]
