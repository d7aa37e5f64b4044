"""API routes of the labelling screen: assignments, drafts, judgements, skips, flags and guidelines."""

from typing import Annotated

from fastapi import APIRouter, Header, Path, Query, Request

from fairlead.studio.access_control import Labeller
from fairlead.studio.services import labelling, left_behind, own_answers
from fairlead.studio.services import work as work_service
from fairlead.studio.services.labelling import (
    AssignmentOut,
    DraftBody,
    DraftSaved,
    FlagBody,
    FlagRaised,
    GuidelinesForLabeller,
    JudgementBody,
    JudgementStored,
    LeaseOut,
    NextAssignments,
    NextBody,
    PreviewBody,
    ReadBody,
    SkipBody,
    UndoBody,
    UnsentDrafts,
)
from fairlead.studio.services.left_behind import LeftBehindBody, LeftBehindTasks, TakeOverBody
from fairlead.studio.services.own_answers import OwnAnswers
from fairlead.studio.services.rendering import HtmlPreview
from fairlead.studio.services.work import WorkList
from fairlead.studio.state import Configured, Database, Time

router = APIRouter(tags=["labelling"])

CAMPAIGN = "/campaigns/{slug}"
TASK = CAMPAIGN + "/tasks/{token}"

Token = Annotated[
    str,
    Path(
        pattern=r"^[A-Za-z0-9_-]{1,32}$",
        description="Identifies an assignment: one item given to one rater.",
    ),
]
Key = Annotated[
    str,
    Header(
        alias="Idempotency-Key",
        pattern=r"^[A-Za-z0-9_-]{8,80}$",
        description="Chosen by the client. Repeating a request with the same key stores nothing new.",
    ),
]


@router.post(CAMPAIGN + "/next")
def next_tasks(
    slug: str, body: NextBody, viewer: Labeller, database: Database, settings: Configured
) -> NextAssignments:
    """Lease assignments until `count` are held.  Assignments already held come first, oldest first."""
    return labelling.next_assignments(database, settings, viewer, body)


@router.get(TASK, name="one_task")
def get_task(slug: str, token: Token, viewer: Labeller, database: Database) -> AssignmentOut:
    """One of the viewer's own assignments, with or without a lease.  Used to reopen an unsent draft."""
    return labelling.get_assignment(database, viewer, token)


@router.post(TASK + "/heartbeat")
def heartbeat(slug: str, token: Token, viewer: Labeller, database: Database) -> LeaseOut:
    """Renew the lease."""
    return labelling.renew_lease(database, viewer, token)


@router.post(TASK + "/release", status_code=204)
def release(slug: str, token: Token, viewer: Labeller, database: Database) -> None:
    """Give the item back without a judgement."""
    labelling.release_lease(database, viewer, token)


@router.put(TASK + "/draft")
def save_draft(slug: str, token: Token, body: DraftBody, viewer: Labeller, database: Database) -> DraftSaved:
    """Save an unfinished judgement."""
    return labelling.save_draft(database, viewer, token, body)


@router.post(TASK + "/judgement")
def judge(
    slug: str, token: Token, body: JudgementBody, key: Key, viewer: Labeller, database: Database
) -> JudgementStored:
    """Submit a judgement.  A later judgement of the same assignment, under another key, supersedes it."""
    return labelling.submit_judgement(database, viewer, token, body, key=key)


@router.post(TASK + "/skip", status_code=204)
def skip(slug: str, token: Token, body: SkipBody, viewer: Labeller, database: Database) -> None:
    """Skip the item.  It goes to another rater, and the text typed so far stays in this rater's drafts."""
    labelling.skip_item(database, viewer, token, body)


@router.post(TASK + "/flag")
def flag(slug: str, token: Token, body: FlagBody, viewer: Labeller, database: Database) -> FlagRaised:
    """Report a problem with the item to the leads."""
    return labelling.flag_item(database, viewer, token, body)


@router.post(CAMPAIGN + "/undo")
def undo(slug: str, viewer: Labeller, database: Database, body: UndoBody | None = None) -> AssignmentOut:
    """The last judged assignment, with the judgement as its draft.

    Nothing changes until it is submitted again.  Name the assignments that are open for changes already, to
    get the one judged before them.
    """
    return labelling.reopen_last_judgement(database, viewer, body or UndoBody())


@router.get(CAMPAIGN + "/answers", name="own_answers")
def list_own_answers(
    slug: str,
    viewer: Labeller,
    database: Database,
    page: Annotated[int, Query(ge=1, le=1_000_000)] = 1,
) -> OwnAnswers:
    """The viewer's own judgements in this campaign, newest first.

    Submit another judgement of an assignment to correct it.
    """
    return own_answers.list_answers(database, viewer, page=page)


@router.get(CAMPAIGN + "/drafts", name="parked")
def list_drafts(slug: str, viewer: Labeller, database: Database) -> UnsentDrafts:
    """The viewer's unsent drafts in this campaign, last saved first."""
    return labelling.list_unsent_drafts(database, viewer)


@router.post(CAMPAIGN + "/left-behind")
def list_left_behind(
    request: Request, slug: str, body: LeftBehindBody, viewer: Labeller, database: Database, now: Time
) -> LeftBehindTasks:
    """Whose the tasks are that the viewer's browser keeps from an earlier account."""
    return left_behind.list_tasks(database, request.app.state.wrong_names, viewer, body, now=now)


@router.post(TASK + "/take-over", status_code=204)
def take_over(
    request: Request,
    slug: str,
    token: Token,
    body: TakeOverBody,
    viewer: Labeller,
    database: Database,
    now: Time,
) -> None:
    """Continue a task of an earlier account that has the viewer's name, or the given one, and no password."""
    left_behind.take_over(database, request.app.state.wrong_names, viewer, token, body.name, now=now)


@router.get(CAMPAIGN + "/guide", name="guide")
def get_guidelines(slug: str, viewer: Labeller, database: Database) -> GuidelinesForLabeller:
    """The guidelines, and what changed since the viewer read them."""
    return labelling.get_guidelines(database, viewer)


@router.post(CAMPAIGN + "/guide/read", status_code=204, name="read_guide")
def mark_guidelines_read(slug: str, body: ReadBody, viewer: Labeller, database: Database) -> None:
    """Record that the viewer read a version."""
    labelling.mark_guidelines_read(database, viewer, body)


@router.get("/work")
def work(viewer: Labeller, database: Database, settings: Configured) -> WorkList:
    """The campaigns in which the viewer labels, with their pace.  Campaigns with open items come first."""
    return work_service.to_work_list(work_service.list_work(database, settings, viewer))


@router.post(CAMPAIGN + "/preview")
async def preview(request: Request, slug: str, body: PreviewBody, viewer: Labeller) -> HtmlPreview:
    """Render a text as the studio will show it.

    One text is rendered at a time for each person; 429 when a newer one came meanwhile.
    """
    return HtmlPreview(html=await request.app.state.previews.render(request, viewer.person, body.text))
