"""The labeller's list of work, the labelling screen, and the labeller's own answers."""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from fairlead.labels import task_kinds
from fairlead.labels.flags import FLAG_REASONS
from fairlead.labels.judgements import SKIP_REASONS
from fairlead.studio import page_templates, phrases
from fairlead.studio.access_control import Labeller, Person
from fairlead.studio.services import own_answers, work
from fairlead.studio.state import Configured, Database

router = APIRouter()


@router.get("/work")
def work_page(
    request: Request,
    viewer: Person,
    database: Database,
    settings: Configured,
) -> Response:
    entries = work.list_work(database, settings, viewer)
    return page_templates.page(request, "work.html", viewer, work=entries, kind_names=phrases.KIND_NAMES)


@router.get("/c/{slug}/answers")
def own_answers_page(
    request: Request,
    slug: str,
    viewer: Labeller,
    database: Database,
    page: Annotated[int, Query(ge=1, le=1_000_000)] = 1,
) -> Response:
    answers = own_answers.list_answers(database, viewer, page=page)
    return page_templates.page(request, "answers.html", viewer, own=answers)


@router.get("/c/{slug}/label")
def label_page(request: Request, slug: str, viewer: Labeller) -> Response:
    campaign = viewer.campaign
    kind_name = phrases.KIND_NAMES[campaign.kind]
    config = {
        "slug": campaign.slug,
        "name": campaign.name,
        "kind": campaign.kind,
        "kindName": kind_name,
        "rater": viewer.rater,
        "csrf": viewer.csrf,
        "preferences": viewer.preferences,
        "skips": SKIP_REASONS,
        "flags": FLAG_REASONS,
        "longestText": task_kinds.LONGEST_TEXT,
        "leaseS": campaign.lease_s,
    }
    return page_templates.page(request, "label.html", viewer, config=config, kind_name=kind_name)
