"""What the labelling screen asks and says: tasks as one person sees them, drafts, judgements, skips, flags, guidelines.

People see letters in an order of their own and never a model's name, a score, or what others said.
A person who is paused is handed nothing, but what they send is kept.
"""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Header, Path, Query
from pydantic import BaseModel, Field
from sqlalchemy import Connection

from fairlead.core import digest
from fairlead.data.records import Messages, Role
from fairlead.labels import assignments as tasks
from fairlead.labels import (
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
from fairlead.labels.judgements import MAX_ACTIVE_MS, Judgement
from fairlead.labels.task_kinds import TaskKind
from fairlead.studio import render, roles
from fairlead.studio.auth import Viewer
from fairlead.studio.permissions import Labeller
from fairlead.studio.state import Database

router = APIRouter(tags=["labelling"])

HERE = "/campaigns/{slug}"
Direction = Literal["ltr", "rtl"]
EXCERPT = 140  # characters of a draft in the list of drafts

Token = Annotated[
    str, Path(pattern=r"^[A-Za-z0-9_-]{1,32}$", description="Names one person's hold on one item.")
]
Key = Annotated[
    str,
    Header(
        alias="Idempotency-Key",
        pattern=r"^[A-Za-z0-9_-]{8,80}$",
        description="The sender's own: sending twice is sending once.",
    ),
]
Active = Annotated[
    int,
    Field(ge=0, le=MAX_ACTIVE_MS, description="Milliseconds at work: focused, visible, touched within 30 s."),
]
Line = Annotated[str, Field(max_length=200)]
Json = dict[str, Any]
Note = Annotated[str, Field(max_length=LONGEST_NOTE)]


class SaidBy(BaseModel):
    """A message of the prompt."""

    role: Role
    html: str
    text: str
    dir: Direction


class ShownAnswer(BaseModel):
    letter: str  # A is the first that this person sees
    html: str
    text: str
    dir: Direction


class Options(BaseModel):
    """What the campaign asks besides: names of aspects, reason chips, steps of a rating."""

    aspects: list[str]
    chips: list[str]
    points: int


class Draft(BaseModel):
    """What is being written; `value` may be incomplete.  `at` is when, by the writer's own clock, in milliseconds."""

    value: Json = {}
    reasons: list[Line] = []
    note: Note = ""
    active_ms: Active = 0
    dwell_ms: dict[Line, Active] = {}
    at: Annotated[int, Field(ge=0, le=1 << 52)] = 0


class GuideVersion(BaseModel):
    version: int  # 0: there are none yet
    read_version: int  # that this person read last; 0: none
    changed: bool  # since then


class Task(BaseModel):
    token: str
    item: int
    kind: TaskKind
    prompt: list[SaidBy]
    answers: list[ShownAnswer]
    options: Options
    render: str  # digest of what is shown; comes back with the judgement
    guidelines: GuideVersion
    expires_at: str
    draft: Draft | None


class Pace(BaseModel):
    today: int
    total: int
    median_active_ms: int | None  # of today's


class NextBody(BaseModel):
    count: Annotated[
        int,
        Field(
            ge=1,
            le=leases.MAX_LEASES,
            description="How many to hold at once, those held already among them.",
        ),
    ] = 1
    utc_offset_min: Annotated[
        int, Field(ge=-840, le=840, description="Local time ahead of UTC; says when today began.")
    ] = 0


class Handed(BaseModel):
    assignments: list[Task]  # fewer than asked for where nothing is left for this person
    state: CampaignState
    paused: bool
    mine: Pace


class Held(BaseModel):
    expires_at: str


class Saved(BaseModel):
    saved_at: str


class JudgementBody(BaseModel):
    """`value` speaks of letters as shown; what each kind takes is described with the kinds of task."""

    value: Json
    reasons: Annotated[list[Line], Field(max_length=12)] = []
    note: Note = ""
    active_ms: Active = 0
    dwell_ms: dict[Line, Active] = {}
    ui: Json = {}


class Kept(BaseModel):
    id: int
    late: bool  # the hold had been lost; the judgement is kept all the same
    made_at: str


class SkipBody(BaseModel):
    reason: Line
    note: Note = ""


class FlagBody(BaseModel):
    reason: Line
    note: Note = ""


class Flagged(BaseModel):
    id: int


class ParkedDraft(BaseModel):
    token: str
    item: int
    excerpt: str
    how: str | None  # the task was skipped, released or expired; nothing while it is held


class Parked(BaseModel):
    drafts: list[ParkedDraft]


class Guide(BaseModel):
    version: int
    html: str
    read_version: int  # 0: never
    changes: list[guideline_diff.GuidelineChange]  # since the version that was read; none where none was


class ReadBody(BaseModel):
    version: Annotated[int, Field(ge=1, le=1 << 30)]


class CampaignWork(BaseModel):
    """A campaign in which one labels."""

    slug: str
    name: str
    kind: TaskKind
    state: CampaignState
    audience: str
    done: int  # judgements by everybody
    wanted: int
    num_held: int  # tasks of one's own that are begun or waiting
    paused: bool
    guidelines: GuideVersion
    mine: Pace


class WorkList(BaseModel):
    campaigns: list[CampaignWork]


class PreviewBody(BaseModel):
    text: Annotated[str, Field(max_length=task_kinds.LONGEST_TEXT)]


class Preview(BaseModel):
    html: str


@router.post(HERE + "/next")
def next_tasks(slug: str, body: NextBody, viewer: Labeller, database: Database) -> Handed:
    """What this person holds, oldest first, and as much more as makes `count`."""
    one = viewer.campaign
    with database.write() as connection:
        held = [] if viewer.paused else leases.lease_items(connection, one, viewer.rater, count=body.count)
        one = campaigns.get_by_id(connection, one.id)  # with the options that hold from the first task on
    with database.read() as connection:  # nobody has to wait for what follows
        begun = drafts.get_many(connection, viewer.rater, assignment_ids=[task.id for task in held])
        mine = labeller_stats.get_pace(connection, one.id, viewer.rater, utc_offset_min=body.utc_offset_min)
        guide = _guide_version(connection, one, viewer.rater)
    shown = [_task(one, task, guide, begun.get(task.id)) for task in held]
    return Handed(assignments=shown, state=one.state, paused=viewer.paused, mine=Pace(**vars(mine)))


@router.get(HERE + "/tasks/{token}")
def one_task(slug: str, token: Token, viewer: Labeller, database: Database) -> Task:
    """A task of one's own, held or not: for what was parked."""
    with database.read() as connection:
        task = tasks.get(connection, token, viewer.rater, campaign_id=viewer.campaign.id)
        draft = drafts.get_many(connection, viewer.rater, assignment_ids=[token]).get(token)
        return _task(viewer.campaign, task, _guide_version(connection, viewer.campaign, viewer.rater), draft)


@router.post(HERE + "/tasks/{token}/heartbeat")
def heartbeat(slug: str, token: Token, viewer: Labeller, database: Database) -> Held:
    with database.write() as connection:
        _mine(connection, viewer, token)
        return Held(expires_at=leases.heartbeat(connection, viewer.campaign, token, viewer.rater))


@router.post(HERE + "/tasks/{token}/release", status_code=204)
def release(slug: str, token: Token, viewer: Labeller, database: Database) -> None:
    with database.write() as connection:
        _mine(connection, viewer, token)
        leases.release(connection, token, viewer.rater)


@router.put(HERE + "/tasks/{token}/draft")
def save_draft(slug: str, token: Token, body: Draft, viewer: Labeller, database: Database) -> Saved:
    with database.write() as connection:
        _mine(connection, viewer, token)
        return Saved(saved_at=drafts.save(connection, token, viewer.rater, body.model_dump()))


@router.post(HERE + "/tasks/{token}/judgement")
def judge(
    slug: str, token: Token, body: JudgementBody, key: Key, viewer: Labeller, database: Database
) -> Kept:
    """Kept once for each key.  Sending another for the same task supersedes the last."""
    with database.write() as connection:
        _mine(connection, viewer, token)
        made = judgements.submit(connection, token, viewer.rater, judgements.NewJudgement(key=key, value=body.value, reasons=body.reasons, note=body.note, active_ms=body.active_ms, dwell_ms=body.dwell_ms, ui=body.ui))  # fmt: skip
    return Kept(id=made.id, late=made.late, made_at=made.made_at)


@router.post(HERE + "/tasks/{token}/skip", status_code=204)
def skip(slug: str, token: Token, body: SkipBody, viewer: Labeller, database: Database) -> None:
    """The item goes to somebody else; what was typed stays among this person's drafts."""
    with database.write() as connection:
        _mine(connection, viewer, token)
        judgements.skip(connection, token, viewer.rater, reason=body.reason, note=body.note)


@router.post(HERE + "/tasks/{token}/flag")
def flag(slug: str, token: Token, body: FlagBody, viewer: Labeller, database: Database) -> Flagged:
    with database.write() as connection:
        _mine(connection, viewer, token)
        return Flagged(
            id=flags.raise_flag(connection, token, viewer.rater, reason=body.reason, note=body.note)
        )


@router.post(HERE + "/undo")
def undo(slug: str, viewer: Labeller, database: Database) -> Task:
    """The last judged task again, with what was said as its draft.  Nothing changes until it is sent again."""
    one = viewer.campaign
    with database.read() as connection:
        task, last = judgements.get_last(connection, one, viewer.rater)
        return _task(one, task, _guide_version(connection, one, viewer.rater), _as_draft(one, task, last))


@router.get(HERE + "/drafts")
def parked(slug: str, viewer: Labeller, database: Database) -> Parked:
    """What this person has begun to write in this campaign and not sent."""
    with database.read() as connection:
        found = drafts.list_of_rater(connection, viewer.campaign.id, viewer.rater)
    return Parked(
        drafts=[
            ParkedDraft(token=one.assignment_id, item=one.item_id, excerpt=_excerpt(one.body), how=one.how)
            for one in found
        ]
    )


@router.get(HERE + "/guide")
def guide(slug: str, viewer: Labeller, database: Database) -> Guide:
    """The guidelines, and what changed since this person read them."""
    with database.read() as connection:
        latest = campaigns.get_guidelines(connection, viewer.campaign.id)
        read = campaigns.last_version_read(connection, viewer.campaign.id, viewer.rater)
        before = campaigns.get_guidelines(connection, viewer.campaign.id, read) if read else None
    if latest is None:
        return Guide(version=0, html="", read_version=0, changes=[])
    changes = guideline_diff.list_guideline_changes(before.text, latest.text) if before else []
    return Guide(
        version=latest.version, html=str(render.render(latest.text)), read_version=read, changes=changes
    )


@router.post(HERE + "/guide/read", status_code=204)
def read_guide(slug: str, body: ReadBody, viewer: Labeller, database: Database) -> None:
    with database.write() as connection:
        campaigns.mark_guidelines_read(connection, viewer.campaign, viewer.rater, body.version)


@router.get("/work")
def work(
    viewer: Labeller, database: Database, utc_offset_min: Annotated[int, Query(ge=-840, le=840)] = 0
) -> WorkList:
    """Where one labels, with one's own pace: what asks for work first."""
    with database.read() as connection:
        return WorkList(
            campaigns=[
                _work(one)
                for one in labeller_stats.list_campaigns(
                    connection, viewer.rater, labels_in(viewer), utc_offset_min
                )
            ]
        )


@router.post(HERE + "/preview")
def preview(slug: str, body: PreviewBody, viewer: Labeller) -> Preview:
    """How a text will look when it is rendered."""
    return Preview(html=str(render.render(body.text)))


# ---------------------------------------------------------------- as people see it


def _mine(connection: Connection, viewer: Viewer, token: str) -> None:
    tasks.get_row(connection, token, viewer.rater, campaign_id=viewer.campaign.id)


def _task(one: Campaign, task: Assignment, guide: GuideVersion, draft: dict[str, Any] | None) -> Task:
    prompt = [SaidBy(role=message.role, **_shown(message.content)) for message in task.item.prompt]
    answers = [
        ShownAnswer(letter=task_kinds.letter(place), **_shown(_text(task.item.answers[candidate].messages)))
        for place, candidate in enumerate(task.order)
    ]
    shown = [part.html for part in prompt] + [part.html for part in answers]
    return Task(
        token=task.id, item=task.item.id, kind=one.kind, prompt=prompt, answers=answers, options=Options(**one.options),
        render=digest.of_json(shown), guidelines=guide, expires_at=task.expires_at, draft=Draft.model_validate(draft) if draft else None,
    )  # fmt: skip


def _text(messages: Messages) -> str:
    if len(messages) == 1:
        return messages[0].content
    return "\n\n".join(f"**{message.role}**\n\n{message.content}" for message in messages)


def _shown(text: str) -> dict[str, Any]:
    return {"html": str(render.render(text)), "text": text, "dir": render.direction(text)}


def _as_draft(one: Campaign, task: Assignment, last: Judgement) -> dict[str, Any]:
    return {
        "value": task_kinds.to_shown(one.kind, last.value, task.order), "reasons": list(last.reasons), "note": last.note,
        "active_ms": last.active_ms, "dwell_ms": last.dwell_ms,
    }  # fmt: skip


def labels_in(viewer: Viewer) -> dict[int, bool]:
    """Campaigns in which the person labels -> whether they are paused there."""
    return {
        campaign: held.paused
        for campaign, held in viewer.memberships.items()
        if roles.suffices(held.role, "labeller")
    }


def _work(one: labeller_stats.LabellerCampaign) -> CampaignWork:
    return CampaignWork(
        slug=one.campaign.slug, name=one.campaign.name, kind=one.campaign.kind, state=one.campaign.state, audience=one.campaign.audience,
        done=one.done, wanted=one.wanted, num_held=one.num_held, paused=one.paused,
        guidelines=_guide_of(one.guidelines_version, one.guidelines_read), mine=Pace(**vars(one.pace)),
    )  # fmt: skip


def _guide_version(connection: Connection, one: Campaign, rater: str) -> GuideVersion:
    latest = campaigns.get_guidelines(connection, one.id)
    return _guide_of(latest.version if latest else 0, campaigns.last_version_read(connection, one.id, rater))


def _guide_of(version: int, read: int) -> GuideVersion:
    return GuideVersion(version=version, read_version=read, changed=read < version)


def _excerpt(draft: dict[str, Any]) -> str:
    value = draft.get("value") or {}
    edit = value.get("edit")
    typed = (
        value.get("text") or (edit.get("text") if isinstance(edit, dict) else "") or draft.get("note") or ""
    )
    text = " ".join(str(typed).split())
    return text if len(text) <= EXCERPT else text[: EXCERPT - 1] + "…"
