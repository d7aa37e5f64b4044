"""Labelling: lease assignments, save drafts, submit judgements, skip and flag items, read guidelines.

Labellers see answers in a random order per assignment.  They never see model names, scores or other raters'
judgements. A paused labeller gets no new assignments, but everything they submit is stored.
"""

from typing import Annotated, Any

from pydantic import BaseModel, Field
from sqlalchemy import Connection

from fairlead.core import digest
from fairlead.data.records import Messages
from fairlead.labels import (
    assignments,
    campaigns,
    drafts,
    flags,
    guideline_diff,
    judgements,
    labeller_stats,
    leases,
    task_kinds,
)
from fairlead.labels.assignments import Assignment
from fairlead.labels.campaigns import Campaign, CampaignState
from fairlead.labels.flags import LONGEST_NOTE
from fairlead.labels.judgements import MAX_ACTIVE_MS, Judgement, NewJudgement
from fairlead.labels.task_kinds import TaskKind
from fairlead.studio import safe_html
from fairlead.studio.auth import Viewer
from fairlead.studio.services.rendering import PromptMessage, RenderedText, render_prompt, render_text
from fairlead.studio.settings import Settings
from fairlead.studio.state import Database

EXCERPT_LENGTH = 140  # characters of a draft in the list of drafts
MAX_OPEN = 200  # judgements that a page has open for changes

ActiveMs = Annotated[
    int,
    Field(
        ge=0,
        le=MAX_ACTIVE_MS,
        description="Active time in milliseconds: window focused and visible, with input in the last 30 s.",
    ),
]
Line = Annotated[str, Field(max_length=200)]
Json = dict[str, Any]
Token = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,32}$")]
Note = Annotated[str, Field(max_length=LONGEST_NOTE)]


class LetteredAnswer(RenderedText):
    letter: str  # A is the answer shown first


class TaskOptions(BaseModel):
    """What shapes the task: aspect names, reason chips, and steps of the rating scale.

    They are the campaign's when the item was handed out, and the judgement is checked against them.
    """

    aspects: list[str]
    chips: list[str]
    points: int


class DraftBody(BaseModel):
    """An unfinished judgement.  `value` may be incomplete.  `at` is the client's clock in milliseconds."""

    value: Json = {}
    reasons: list[Line] = []
    note: Note = ""
    active_ms: ActiveMs = 0
    dwell_ms: dict[Line, ActiveMs] = {}
    at: Annotated[int, Field(ge=0, le=1 << 52)] = 0


class GuidelinesStatus(BaseModel):
    version: int  # 0: the campaign has no guidelines
    read_version: int  # the version this rater read last; 0: none
    changed: bool  # since that version


class AssignmentOut(BaseModel):
    token: str
    item: int
    kind: TaskKind
    prompt: list[PromptMessage]
    answers: list[LetteredAnswer]
    options: TaskOptions
    render: str  # digest of the rendered HTML; the client returns it with the judgement
    guidelines: GuidelinesStatus
    expires_at: str
    draft: DraftBody | None
    # The viewer's own judgement, if the assignment was judged before.  Another judgement supersedes it.
    judgement: DraftBody | None = None


class LabellerPaceOut(BaseModel):
    today: int  # since midnight in the studio's time zone
    total: int
    median_active_ms: int | None  # of today's judgements


class NextBody(BaseModel):
    count: Annotated[
        int,
        Field(
            ge=1,
            le=leases.MAX_LEASES,
            description="Number of assignments to hold at once, including those already held.",
        ),
    ] = 1


class NextAssignments(BaseModel):
    assignments: list[AssignmentOut]  # fewer than requested when no items are left for this rater
    state: CampaignState
    paused: bool
    must_read: bool  # no items are assigned until the viewer has read the latest guidelines
    mine: LabellerPaceOut


class LeaseOut(BaseModel):
    expires_at: str


class DraftSaved(BaseModel):
    saved_at: str


class JudgementBody(BaseModel):
    """`value` refers to answers by the letters shown.  The task kinds describe the accepted values."""

    value: Json
    reasons: Annotated[list[Line], Field(max_length=12)] = []
    note: Note = ""
    active_ms: ActiveMs = 0
    dwell_ms: dict[Line, ActiveMs] = {}
    ui: Json = {}


class JudgementStored(BaseModel):
    id: int
    late: bool  # the lease had expired; the judgement is stored all the same
    made_at: str
    replaced: DraftBody | None  # the viewer's earlier judgement of this assignment, which this one supersedes


class UndoBody(BaseModel):
    # Tokens of assignments that are open for changes already: the last judgement before these is returned.
    open: Annotated[list[Token], Field(max_length=MAX_OPEN)] = []


class SkipBody(BaseModel):
    reason: Line
    note: Note = ""


class FlagBody(BaseModel):
    reason: Line
    note: Note = ""


class FlagRaised(BaseModel):
    id: int


class UnsentDraft(BaseModel):
    token: str
    item: int
    excerpt: str
    how: str | None  # how the lease ended: skipped, released or expired; null while it is held


class UnsentDrafts(BaseModel):
    drafts: list[UnsentDraft]


class GuidelinesForLabeller(BaseModel):
    version: int
    html: str
    read_version: int  # 0: never read
    changes: list[guideline_diff.GuidelineChange]  # since the version that was read


class ReadBody(BaseModel):
    version: Annotated[int, Field(ge=1, le=1 << 30)]


class PreviewBody(BaseModel):
    text: Annotated[str, Field(max_length=task_kinds.LONGEST_TEXT)]


# ---------------------------------------------------------------- assignments and judgements


def next_assignments(
    database: Database, settings: Settings, viewer: Viewer, body: NextBody
) -> NextAssignments:
    campaign, rater = viewer.campaign, viewer.rater
    with database.write() as connection:
        must_read = campaign.read_first and _guidelines_status(connection, campaign, rater).changed
        may_lease = not viewer.paused and not must_read
        leased = leases.lease_items(connection, campaign, rater, count=body.count) if may_lease else []
        # Read again: the state says why a list is empty.
        campaign = campaigns.get_by_id(connection, campaign.id)
    with database.read() as connection:  # a separate transaction keeps the write lock short
        saved = drafts.get_many(connection, rater, assignment_ids=[assignment.id for assignment in leased])
        pace = labeller_stats.get_pace(connection, campaign.id, rater, zone=settings.zone)
        status = _guidelines_status(connection, campaign, rater)
    views = [_assignment_out(campaign, assignment, status, saved.get(assignment.id)) for assignment in leased]
    return NextAssignments(
        assignments=views,
        state=campaign.state,
        paused=viewer.paused,
        must_read=must_read,
        mine=LabellerPaceOut(**vars(pace)),
    )


def get_assignment(database: Database, viewer: Viewer, assignment_id: str) -> AssignmentOut:
    campaign, rater = viewer.campaign, viewer.rater
    with database.read() as connection:
        assignment = assignments.get(connection, assignment_id, rater, campaign_id=campaign.id)
        draft = drafts.get_many(connection, rater, assignment_ids=[assignment_id]).get(assignment_id)
        judgement = judgements.get_current(connection, assignment_id)
        status = _guidelines_status(connection, campaign, rater)
    shown = _assignment_out(campaign, assignment, status, draft)
    if judgement is not None:
        shown.judgement = _to_draft(campaign, assignment, judgement)
    return shown


def renew_lease(database: Database, viewer: Viewer, assignment_id: str) -> LeaseOut:
    with database.write() as connection:
        _require_own(connection, viewer, assignment_id)
        expires_at = leases.heartbeat(connection, viewer.campaign, assignment_id, viewer.rater)
    return LeaseOut(expires_at=expires_at)


def release_lease(database: Database, viewer: Viewer, assignment_id: str) -> None:
    with database.write() as connection:
        _require_own(connection, viewer, assignment_id)
        leases.release(connection, assignment_id, viewer.rater)


def save_draft(database: Database, viewer: Viewer, assignment_id: str, body: DraftBody) -> DraftSaved:
    with database.write() as connection:
        _require_own(connection, viewer, assignment_id)
        saved_at = drafts.save(connection, assignment_id, viewer.rater, body.model_dump())
    return DraftSaved(saved_at=saved_at)


def submit_judgement(
    database: Database, viewer: Viewer, assignment_id: str, body: JudgementBody, *, key: str
) -> JudgementStored:
    """Repeating a key stores nothing new.

    Another key for the same assignment supersedes the last judgement.
    """
    with database.write() as connection:
        _require_own(connection, viewer, assignment_id)
        judgement = judgements.submit(
            connection, assignment_id, viewer.rater, NewJudgement(key=key, **body.model_dump())
        )
        replaced = judgements.get_superseded(connection, judgement)
        assignment = assignments.get(connection, assignment_id, viewer.rater) if replaced else None
    return JudgementStored(
        id=judgement.id,
        late=judgement.late,
        made_at=judgement.made_at,
        replaced=_to_draft(viewer.campaign, assignment, replaced) if replaced and assignment else None,
    )


def skip_item(database: Database, viewer: Viewer, assignment_id: str, body: SkipBody) -> None:
    with database.write() as connection:
        _require_own(connection, viewer, assignment_id)
        judgements.skip(connection, assignment_id, viewer.rater, reason=body.reason, note=body.note)


def flag_item(database: Database, viewer: Viewer, assignment_id: str, body: FlagBody) -> FlagRaised:
    with database.write() as connection:
        _require_own(connection, viewer, assignment_id)
        flag_id = flags.raise_flag(
            connection, assignment_id, viewer.rater, reason=body.reason, note=body.note
        )
    return FlagRaised(id=flag_id)


def reopen_last_judgement(database: Database, viewer: Viewer, body: UndoBody) -> AssignmentOut:
    campaign, rater = viewer.campaign, viewer.rater
    with database.read() as connection:
        assignment, judgement = judgements.get_last(connection, campaign, rater, without=body.open)
        status = _guidelines_status(connection, campaign, rater)
    draft = _to_draft(campaign, assignment, judgement)
    return _assignment_out(campaign, assignment, status, draft.model_dump())


def list_unsent_drafts(database: Database, viewer: Viewer) -> UnsentDrafts:
    with database.read() as connection:
        unsent = drafts.list_of_rater(connection, viewer.campaign.id, viewer.rater)
    return UnsentDrafts(
        drafts=[
            UnsentDraft(
                token=draft.assignment_id, item=draft.item_id, excerpt=_excerpt(draft.body), how=draft.how
            )
            for draft in unsent
        ]
    )


# ---------------------------------------------------------------- guidelines


def get_guidelines(database: Database, viewer: Viewer) -> GuidelinesForLabeller:
    campaign_id = viewer.campaign.id
    with database.read() as connection:
        latest = campaigns.get_guidelines(connection, campaign_id)
        read_version = campaigns.last_version_read(connection, campaign_id, viewer.rater)
        before = campaigns.get_guidelines(connection, campaign_id, read_version) if read_version else None
    if latest is None:
        return GuidelinesForLabeller(version=0, html="", read_version=0, changes=[])
    return GuidelinesForLabeller(
        version=latest.version,
        html=str(safe_html.render(latest.text)),
        read_version=read_version,
        changes=guideline_diff.list_guideline_changes(before.text, latest.text) if before else [],
    )


def mark_guidelines_read(database: Database, viewer: Viewer, body: ReadBody) -> None:
    with database.write() as connection:
        campaigns.mark_guidelines_read(connection, viewer.campaign, viewer.rater, body.version)


# ---------------------------------------------------------------- views


def _require_own(connection: Connection, viewer: Viewer, assignment_id: str) -> None:
    assignments.get_row(connection, assignment_id, viewer.rater, campaign_id=viewer.campaign.id)


def _assignment_out(
    campaign: Campaign, assignment: Assignment, guidelines: GuidelinesStatus, draft: dict[str, Any] | None
) -> AssignmentOut:
    item = assignment.item
    prompt = render_prompt(item.prompt)
    answers = [
        LetteredAnswer(
            letter=task_kinds.letter(position),
            **render_text(_join(item.answers[index].messages)).model_dump(),
        )
        for position, index in enumerate(assignment.order)
    ]
    return AssignmentOut(
        token=assignment.id,
        item=item.id,
        kind=campaign.kind,
        prompt=prompt,
        answers=answers,
        options=TaskOptions(**assignment.options),
        render=digest.of_json([message.html for message in prompt] + [answer.html for answer in answers]),
        guidelines=guidelines,
        expires_at=assignment.expires_at,
        draft=DraftBody.model_validate(draft) if draft else None,
    )


def _join(messages: Messages) -> str:
    """The messages of an answer as one Markdown text."""
    if len(messages) == 1:
        return messages[0].content
    return "\n\n".join(f"**{message.role}**\n\n{message.content}" for message in messages)


def _to_draft(campaign: Campaign, assignment: Assignment, judgement: Judgement) -> DraftBody:
    return DraftBody(
        value=task_kinds.to_shown(campaign.kind, judgement.value, assignment.order),
        reasons=list(judgement.reasons),
        note=judgement.note,
        active_ms=judgement.active_ms,
        dwell_ms=judgement.dwell_ms,
    )


def _guidelines_status(connection: Connection, campaign: Campaign, rater: str) -> GuidelinesStatus:
    latest = campaigns.get_guidelines(connection, campaign.id)
    read_version = campaigns.last_version_read(connection, campaign.id, rater)
    return guidelines_status(latest.version if latest else 0, read_version)


def guidelines_status(version: int, read_version: int) -> GuidelinesStatus:
    return GuidelinesStatus(version=version, read_version=read_version, changed=read_version < version)


def _excerpt(draft: dict[str, Any]) -> str:
    value = draft.get("value") or {}
    edit = value.get("edit")
    edited = edit.get("text") if isinstance(edit, dict) else ""
    text = " ".join(str(value.get("text") or edited or draft.get("note") or "").split())
    return text if len(text) <= EXCERPT_LENGTH else text[: EXCERPT_LENGTH - 1] + "…"
