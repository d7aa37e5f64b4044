"""The viewer's own answers in a campaign, for the page "My answers" and the API."""

from typing import Any

from pydantic import BaseModel

from fairlead.labels import assignments, judgements, task_kinds
from fairlead.labels.assignments import Assignment
from fairlead.labels.judgements import Judgement
from fairlead.studio import phrases, safe_html
from fairlead.studio.auth import Viewer
from fairlead.studio.services.rendering import Direction
from fairlead.studio.state import Database

PER_PAGE = 25
LONGEST_PROMPT = 300  # characters of the last message


class OwnAnswer(BaseModel):
    token: str
    item: int
    prompt: str  # the beginning of the last message
    dir: Direction
    answer: str  # in words, with the letters that the viewer saw
    value: dict[str, Any]
    reasons: list[str]
    note: str
    made_at: str
    late: bool


class OwnAnswers(BaseModel):
    answers: list[OwnAnswer]  # newest first
    total: int
    page: int  # from 1
    num_pages: int


def list_answers(database: Database, viewer: Viewer, *, page: int) -> OwnAnswers:
    """A page of the viewer's current judgements.  A page beyond the last one is the last one."""
    campaign = viewer.campaign
    with database.read() as connection:
        total = judgements.count_current(connection, campaign.id, viewer.rater)
        num_pages = max(1, -(-total // PER_PAGE))
        page = min(page, num_pages)
        own = judgements.list_newest(
            connection, campaign.id, viewer.rater, offset=PER_PAGE * (page - 1), limit=PER_PAGE
        )
        held = assignments.get_many(
            connection, campaign.id, viewer.rater, [judgement.assignment_id for judgement in own]
        )
    answers = [_own_answer(viewer, judgement, held[judgement.assignment_id]) for judgement in own]
    return OwnAnswers(answers=answers, total=total, page=page, num_pages=num_pages)


def _own_answer(viewer: Viewer, judgement: Judgement, assignment: Assignment) -> OwnAnswer:
    last = assignment.item.prompt[-1].content if assignment.item.prompt else ""
    value = task_kinds.to_shown(viewer.campaign.kind, judgement.value, assignment.order)
    return OwnAnswer(
        token=assignment.id,
        item=assignment.item.id,
        prompt=last if len(last) <= LONGEST_PROMPT else last[: LONGEST_PROMPT - 1] + "…",
        dir=safe_html.direction(last),
        answer=phrases.own_answer(value),
        value=value,
        reasons=list(judgement.reasons),
        note=judgement.note,
        made_at=judgement.made_at,
        late=judgement.late,
    )
