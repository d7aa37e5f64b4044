"""Dashboard of a campaign: progress, agreement, flags, and taking back a lease."""

import math
from dataclasses import replace
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict

from fairlead.labels import flags, leases, people
from fairlead.stats.interval import Interval
from fairlead.studio.auth import Viewer
from fairlead.studio.services.dashboard_cache import DashboardCache, Figures
from fairlead.studio.state import Database


class Estimate(BaseModel):
    """A value with its 95 % interval.  An unbounded end is null."""

    value: float
    low: float | None
    high: float | None
    n: int


def to_estimate(interval: Interval) -> Estimate:
    low, high = (end if math.isfinite(end) else None for end in (interval.low, interval.high))
    return Estimate(value=interval.value, low=low, high=high, n=interval.n)


EstimateOut = Annotated[
    Estimate, BeforeValidator(lambda value: to_estimate(value) if isinstance(value, Interval) else value)
]


class FromAttributes(BaseModel):
    model_config = ConfigDict(from_attributes=True)


class PeriodCountOut(FromAttributes):
    start: str  # a day in the studio's time zone, or a day and an hour in UTC
    judgements: int
    active_ms: int


class FinishOut(FromAttributes):
    """Estimated time to finish; `labels.progress` describes the method."""

    per_hour: float
    hours: EstimateOut
    num_blocks: int
    block: str


class RaterProgressOut(FromAttributes):
    rater: str
    judgements: int
    today: int
    active_ms: int
    late: int
    quick: int
    implausible: int
    skipped: int
    holding: int
    last_at: str | None
    left: EstimateOut | None


class StuckLeaseOut(FromAttributes):
    token: str
    item_id: int
    rater: str
    leased_at: str
    quiet_s: int


class StrandedItemOut(FromAttributes):
    item_id: int
    missing: int  # judgements that nobody here may make
    skipped_by: list[str]  # raters who skipped the item and could get it back
    kept_for: str | None  # a rater for whom the judgements are kept, and who gets no items


class StrandedOut(FromAttributes):
    judgements: int  # that nobody here may make
    num_items: int
    num_raters: int  # who label here and are not paused
    items: list[StrandedItemOut]  # the first 50
    kept: int  # of the judgements: those kept for somebody who gets no items
    beyond_quotas: int  # of the judgements: those that are more than people may make together


class FlagOut(FromAttributes):
    id: int
    item_id: int
    rater: str
    reason: str
    note: str
    raised_at: str
    resolved_at: str | None
    resolved_by: str | None


class TagOut(FromAttributes):
    tag: str
    wanted: int
    done: int


class RecentJudgementOut(FromAttributes):
    id: int
    item_id: int
    rater: str
    value: dict[str, Any]  # refers to answers by index, not by letter
    margin: int | None
    active_ms: int
    late: bool
    quick: bool
    made_at: str


class AgreementOut(BaseModel):
    of: str
    raw: EstimateOut
    alpha: EstimateOut | None  # Krippendorff's alpha; null when all judgements are equal
    num_items: int
    num_pairs: int


class ProgressOut(FromAttributes):
    at: str
    today: str  # the day in the studio's time zone, as in `days`
    num_items: int
    wanted: int
    done: int
    held: int
    open: int
    judgements: int
    last_hour: int
    hours: list[PeriodCountOut]
    days: list[PeriodCountOut]
    active_ms: int
    active_ms_today: int
    seconds: EstimateOut | None
    median_s: float | None
    num_timed: int
    pay_per_hour: float | None
    currency: str
    cost: float | None
    cost_today: float | None
    work_left_s: EstimateOut | None
    cost_left: EstimateOut | None
    finish: FinishOut | None
    people: list[RaterProgressOut]
    stuck: list[StuckLeaseOut]
    stranded: StrandedOut
    flags: list[FlagOut]
    skips: dict[str, int]
    recent: list[RecentJudgementOut]
    left: EstimateOut | None
    num_drafts: int


class DashboardOut(BaseModel):
    seq: int  # of the last event included in the figures; follow /events from here
    progress: ProgressOut
    tags: list[TagOut]
    agreement: AgreementOut | None


def get_figures(cache: DashboardCache, viewer: Viewer) -> Figures:
    """An adjudicator sees no verdicts: they name answers by their place in the file, which may be telling."""
    figures = cache.figures(viewer.campaign)
    if viewer.may("unblinded", viewer.campaign.id):
        return figures
    recent = [replace(judgement, value={}) for judgement in figures.progress.recent]
    return replace(figures, progress=replace(figures.progress, recent=recent))


def get_dashboard(cache: DashboardCache, viewer: Viewer) -> DashboardOut:
    figures = get_figures(cache, viewer)
    return DashboardOut(
        seq=figures.seq,
        progress=ProgressOut.model_validate(figures.progress),
        tags=[TagOut.model_validate(tag) for tag in figures.tags],
        agreement=_agreement_out(figures),
    )


def rater_names(database: Database, figures: Figures) -> dict[str, str]:
    """Pseudonym -> name of everybody on the dashboard.  For leads only."""
    raters = {rater.rater for rater in figures.progress.people}
    raters |= {flag.rater for flag in figures.progress.flags}
    stranded = figures.progress.stranded.items
    raters |= {rater for item in stranded for rater in (*item.skipped_by, item.kept_for) if rater}
    with database.read() as connection:
        return people.names_of(connection, raters)


def list_flags(database: Database, viewer: Viewer, *, resolved: bool) -> list[FlagOut]:
    """Open or resolved flags, newest first."""
    with database.read() as connection:
        rows = flags.list_flags(connection, viewer.campaign.id, resolved=resolved)
    return [FlagOut.model_validate(flag) for flag in rows]


def resolve_flag(database: Database, cache: DashboardCache, viewer: Viewer, flag_id: int) -> None:
    """Resolving a resolved flag changes nothing."""
    with database.write() as connection:
        flags.resolve_flag(connection, viewer.campaign.id, flag_id, by=viewer.rater)
    cache.forget(viewer.campaign)


def revoke_lease(database: Database, cache: DashboardCache, viewer: Viewer, assignment_id: str) -> None:
    with database.write() as connection:
        leases.revoke(connection, viewer.campaign, assignment_id, by=viewer.rater)
    cache.forget(viewer.campaign)


def _agreement_out(figures: Figures) -> AgreementOut | None:
    measured = figures.agreement
    if measured is None:
        return None
    agreement = measured.agreement
    return AgreementOut(
        of=measured.compared,
        raw=to_estimate(agreement.raw),
        alpha=None if agreement.alpha is None else to_estimate(agreement.alpha),
        num_items=measured.num_items,
        num_pairs=agreement.num_pairs,
    )
