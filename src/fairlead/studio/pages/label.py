"""The labeller's home, and the screen on which people judge and write."""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from fairlead.labels import labeller_stats, task_kinds
from fairlead.labels.flags import FLAG_REASONS
from fairlead.labels.judgements import SKIP_REASONS
from fairlead.studio import html
from fairlead.studio.api.labelling import labels_in
from fairlead.studio.permissions import Labeller, Person
from fairlead.studio.state import Database

router = APIRouter()

KIND_NAMES = {
    "pairwise": "Which answer is better", "ranking": "Put answers in order", "rating": "Rate an answer", "thumbs": "Good or bad",
    "aspects": "Rate an answer by aspect", "demonstration": "Write an answer", "edit": "Improve an answer",
    "conversation": "Judge a conversation", "chat": "Talk and compare",
}  # fmt: skip


@router.get("/work")
def work(
    request: Request,
    viewer: Person,
    database: Database,
    utc_offset_min: Annotated[int, Query(ge=-840, le=840)] = 0,
) -> Response:
    with database.read() as connection:
        found = labeller_stats.list_campaigns(connection, viewer.rater, labels_in(viewer), utc_offset_min)
    return html.page(request, "work.html", viewer, work=found, kind_names=KIND_NAMES)


@router.get("/c/{slug}/label")
def label(request: Request, slug: str, viewer: Labeller) -> Response:
    one = viewer.campaign
    config = {
        "slug": one.slug, "name": one.name, "kind": one.kind, "kindName": KIND_NAMES[one.kind], "rater": viewer.rater, "csrf": viewer.csrf,
        "preferences": viewer.preferences, "skips": SKIP_REASONS, "flags": FLAG_REASONS, "longestText": task_kinds.LONGEST_TEXT, "leaseS": one.lease_s,
    }  # fmt: skip
    return html.page(request, "label.html", viewer, config=config, kind_name=KIND_NAMES[one.kind])
