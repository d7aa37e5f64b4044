"""The figures of a campaign for who leads or watches it, and the two things a lead does there: freeing items and settling flags."""

import math
from typing import Annotated, Any

from fastapi import APIRouter, Path, Request
from pydantic import BaseModel, BeforeValidator, ConfigDict

from fairlead.labels import flags, leases
from fairlead.stats.interval import Interval
from fairlead.studio.figures import Board
from fairlead.studio.permissions import Adjudicator, Lead, Watcher
from fairlead.studio.state import Database

router = APIRouter(tags=["dashboard"])

Id = Annotated[int, Path(ge=1, le=2**31 - 1)]


class Estimate(BaseModel):
    """With its 95 % interval; an end that nothing bounds is null."""

    value: float
    low: float | None
    high: float | None
    n: int


def _estimate(found: object) -> object:
    if not isinstance(found, Interval):
        return found
    low, high = (end if math.isfinite(end) else None for end in (found.low, found.high))
    return Estimate(value=found.value, low=low, high=high, n=found.n)


Estimated = Annotated[Estimate, BeforeValidator(_estimate)]


class Read(BaseModel):
    model_config = ConfigDict(from_attributes=True)


class CountOut(Read):
    start: str  # a day, or a day and an hour, in UTC
    judgements: int
    active_ms: int


class FinishOut(Read):
    """How it was found: `labels.progress`."""

    per_hour: float
    hours: Estimated
    num_blocks: int
    block: str


class PaceOut(Read):
    rater: str
    judgements: int
    today: int
    active_ms: int
    late: int
    quick: int
    skipped: int
    holding: int
    last_at: str | None
    left: Estimated | None


class StuckOut(Read):
    token: str
    item_id: int
    rater: str
    leased_at: str
    quiet_s: int


class FlagOut(Read):
    id: int
    item_id: int
    rater: str
    reason: str
    note: str
    raised_at: str
    resolved_at: str | None
    resolved_by: str | None


class TagOut(Read):
    tag: str
    wanted: int
    done: int


class RecentOut(Read):
    id: int
    item_id: int
    rater: str
    value: dict[str, Any]  # by candidate, not by letter
    margin: int | None
    active_ms: int
    late: bool
    quick: bool
    made_at: str


class AgreementOut(BaseModel):
    of: str
    raw: Estimated
    alpha: Estimated | None  # Krippendorff's; null where all said the same
    num_items: int
    num_pairs: int


class ProgressOut(Read):
    at: str
    num_items: int
    wanted: int
    done: int
    held: int
    open: int
    judgements: int
    last_hour: int
    hours: list[CountOut]
    days: list[CountOut]
    active_ms: int
    active_ms_today: int
    seconds: Estimated | None
    median_s: float | None
    num_timed: int
    pay_per_hour: float | None
    currency: str
    cost: float | None
    cost_today: float | None
    work_left_s: Estimated | None
    cost_left: Estimated | None
    finish: FinishOut | None
    people: list[PaceOut]
    stuck: list[StuckOut]
    flags: list[FlagOut]
    skips: dict[str, int]
    recent: list[RecentOut]
    left: Estimated | None
    num_drafts: int


class DashboardOut(BaseModel):
    seq: int  # of the last event that is in the figures: watch /events from here on
    progress: ProgressOut
    tags: list[TagOut]
    agreement: AgreementOut | None


@router.get("/campaigns/{slug}/progress")
def progress(slug: str, request: Request, viewer: Watcher) -> DashboardOut:
    """What the dashboard shows.  People are pseudonyms."""
    board: Board = request.app.state.board
    found = board.of(viewer.campaign)
    known = found.agreement
    measured = (
        None
        if known is None
        else AgreementOut(
            of=known.compared,
            raw=_known(known.agreement.raw),
            alpha=known.agreement.alpha and _known(known.agreement.alpha),
            num_items=known.num_items,
            num_pairs=known.agreement.num_pairs,
        )
    )
    return DashboardOut(
        seq=found.seq,
        progress=ProgressOut.model_validate(found.progress),
        tags=[TagOut.model_validate(tag) for tag in found.tags],
        agreement=measured,
    )


@router.get("/campaigns/{slug}/flags")
def list_flags(slug: str, viewer: Watcher, database: Database, resolved: bool = False) -> list[FlagOut]:
    """Those that wait for somebody, or those that were settled; the newest first."""
    with database.read() as connection:
        return [
            FlagOut.model_validate(flag)
            for flag in flags.list_flags(connection, viewer.campaign.id, resolved=resolved)
        ]


@router.post("/campaigns/{slug}/flags/{flag_id}/resolve", status_code=204)
def resolve_flag(slug: str, flag_id: Id, request: Request, viewer: Adjudicator, database: Database) -> None:
    """Somebody has looked at it.  Nothing happens to one that is settled already."""
    with database.write() as connection:
        flags.resolve_flag(connection, viewer.campaign.id, flag_id, by=viewer.rater)
    request.app.state.board.forget(viewer.campaign)


@router.post("/campaigns/{slug}/held/{token}/take-back", status_code=204)
def take_back(
    slug: str, token: Annotated[str, Path(max_length=40)], request: Request, viewer: Lead, database: Database
) -> None:
    """An item that somebody holds is free for others.  What the holder still sends is kept."""
    with database.write() as connection:
        leases.revoke(connection, viewer.campaign, token, by=viewer.rater)
    request.app.state.board.forget(viewer.campaign)


def _known(found: Interval) -> Estimate:
    made = _estimate(found)
    assert isinstance(made, Estimate)
    return made
