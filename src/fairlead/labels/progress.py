"""How far a campaign is: work done, pace, cost, raters, and what needs a lead's attention.

All figures come from a few indexed queries and describe the same moment.  Nothing is written.  For the
quality of labels, see `agreement`.  Days are those of the studio's time zone, hours are in UTC.

The field names of the records are those of the studio's JSON API.
"""

import json
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any

from sqlalchemy import Connection, Text, and_, cast, func, select

from fairlead.core.plural import counted
from fairlead.labels import (
    flags,
    item_search,
    items,
    leases,
    local_days,
    position_bias,
    stranded,
    throughput,
)
from fairlead.labels.assignments import assignment_table
from fairlead.labels.campaigns import Campaign
from fairlead.labels.database import format_time
from fairlead.labels.drafts import draft_table
from fairlead.labels.flags import Flag
from fairlead.labels.items import item_table, slot_table
from fairlead.labels.judgements import judgement_table
from fairlead.labels.leases import StuckLease
from fairlead.labels.stranded import Stranded
from fairlead.labels.throughput import FinishEstimate, PeriodCount, count_where, is_current
from fairlead.stats import interval
from fairlead.stats.interval import Interval

MAX_TIMED = 2000  # latest judgements, for the mean and median active time
NUM_RECENT = 12
NUM_DAYS = 30
STUCK_S = 900  # seconds without a heartbeat after which a lease counts as stuck


@dataclass(frozen=True)
class RaterProgress:
    """Figures of one rater in the campaign."""

    rater: str
    judgements: int = 0
    today: int = 0
    active_ms: int = 0
    late: int = 0
    quick: int = 0
    implausible: int = 0  # more active time was reported than the server's clock allows
    skipped: int = 0
    holding: int = 0  # leased assignments
    last_at: str | None = None
    left: Interval | None = None  # share of decided comparisons that prefer the answer shown first


@dataclass(frozen=True)
class RecentJudgement:
    id: int
    item_id: int
    rater: str
    value: dict[str, Any]  # as stored, but without texts
    margin: int | None
    active_ms: int
    late: bool
    quick: bool
    made_at: str


@dataclass(frozen=True)
class TagProgress:
    tag: str
    wanted: int
    done: int


@dataclass(frozen=True)
class Progress:
    at: str
    today: str  # the day in the studio's time zone
    num_items: int
    wanted: int  # number of slots
    done: int  # slots by state
    held: int
    open: int
    judgements: int  # current judgements; more than `done` when there are extra late ones
    last_hour: int
    hours: list[PeriodCount]  # oldest first, empty hours included
    days: list[PeriodCount]  # oldest first, days without judgements left out
    active_ms: int  # of all work: a correction contains the time before it, and withdrawn work counts
    active_ms_today: int
    seconds: Interval | None  # mean active time of the latest judgements
    median_s: float | None
    num_timed: int
    pay_per_hour: float | None
    currency: str
    finish: FinishEstimate | None
    people: list[RaterProgress]  # most judgements first
    stuck: list[StuckLease]
    stranded: Stranded  # judgements that nobody here may make
    flags: list[Flag]
    skips: dict[str, int]  # number of skips by reason
    recent: list[RecentJudgement]
    left: Interval | None  # share of decided comparisons that prefer the answer shown first
    num_drafts: int

    @property
    def cost(self) -> float | None:
        return self._pay(self.active_ms)

    @property
    def cost_today(self) -> float | None:
        return self._pay(self.active_ms_today)

    @property
    def work_left_s(self) -> Interval | None:
        """Active seconds that the missing judgements will take."""
        num_missing = self.wanted - self.done
        mean = self.seconds
        return mean and Interval(
            num_missing * mean.value, max(0.0, num_missing * mean.low), num_missing * mean.high, mean.n
        )

    @property
    def cost_left(self) -> Interval | None:
        work = self.work_left_s
        if work is None or self.pay_per_hour is None:
            return None
        value, low, high = (
            seconds * self.pay_per_hour / 3600 for seconds in (work.value, work.low, work.high)
        )
        return Interval(value, low, high, work.n)

    def _pay(self, active_ms: int) -> float | None:
        return None if self.pay_per_hour is None else self.pay_per_hour * active_ms / 3_600_000


def get_progress(
    connection: Connection, campaign: Campaign, *, at: datetime | None = None, zone: tzinfo = UTC
) -> Progress:
    at = at or datetime.now(UTC)
    slots = items.slot_counts(connection, [campaign.id], at=at)[campaign.id]
    wanted = sum(slots.values())
    today = local_days.day_of(at, zone).isoformat()
    days, by_rater = _count_days(connection, campaign, at, zone)
    timed = _active_times(connection, campaign)
    first_shown = position_bias.count_by_rater(connection, campaign)
    active_s = [milliseconds / 1000 for milliseconds in timed]
    skips = _count_skips(connection, campaign)
    return Progress(
        at=format_time(at),
        today=today,
        num_items=item_search.count_items(connection, [campaign.id])[campaign.id],
        wanted=wanted,
        done=slots["done"],
        held=slots["held"],
        open=slots["open"],
        judgements=sum(day.judgements for day in days),
        last_hour=throughput.count_since(connection, campaign, at - timedelta(hours=1)),
        hours=throughput.count_hours(connection, campaign, at),
        days=days[-NUM_DAYS:],
        active_ms=sum(day.active_ms for day in days),
        active_ms_today=sum(day.active_ms for day in days if day.start == today),
        seconds=interval.mean(active_s) if active_s else None,
        median_s=statistics.median(active_s) if active_s else None,
        num_timed=len(active_s),
        pay_per_hour=campaign.pay_per_hour,
        currency=campaign.currency,
        finish=throughput.estimate_finish(connection, campaign, days, wanted - slots["done"], at, zone),
        people=_list_raters(connection, campaign, by_rater, first_shown, skips, at),
        stuck=leases.list_stuck(connection, campaign, since_s=min(STUCK_S, campaign.lease_s), at=at),
        stranded=stranded.find_stranded(connection, campaign, at=at),
        flags=flags.list_flags(connection, campaign.id),
        skips=_by_reason(skips),
        recent=list_recent(connection, campaign),
        left=position_bias.total(first_shown),
        num_drafts=_count_drafts(connection, campaign),
    )


def list_recent(
    connection: Connection, campaign: Campaign, *, limit: int = NUM_RECENT
) -> list[RecentJudgement]:
    """The latest current judgements, newest first."""
    query = (
        select(judgement_table)
        .where(judgement_table.c.campaign_id == campaign.id, is_current())
        .order_by(judgement_table.c.id.desc())
        .limit(limit)
    )
    return [
        RecentJudgement(
            id=row.id,
            item_id=row.item_id,
            rater=row.rater,
            value=_without_texts(row.value),
            margin=row.margin,
            active_ms=row.active_ms,
            late=row.late,
            quick=row.quick,
            made_at=row.made_at,
        )
        for row in connection.execute(query)
    ]


def by_tag(connection: Connection, campaign: Campaign) -> list[TagProgress]:
    """Progress per tag, most slots first.  An item with several tags counts for each of them.

    The database groups items by their list of tags, because a campaign has few different lists.
    """
    tags = cast(item_table.c.tags, Text)
    num_done = count_where(slot_table.c.state == "done")
    slots = select(slot_table.c.item_id, func.count().label("wanted"), num_done.label("done"))
    per_item = slots.where(slot_table.c.campaign_id == campaign.id).group_by(slot_table.c.item_id).subquery()
    query = select(tags, func.sum(per_item.c.wanted), func.sum(per_item.c.done))
    joined = query.join_from(item_table, per_item, per_item.c.item_id == item_table.c.id)
    rows = connection.execute(joined.where(tags != "[]").group_by(tags)).all()
    by_tag: dict[str, list[int]] = {}
    for tag_list, wanted, done in rows:
        for tag in json.loads(tag_list):
            totals = by_tag.setdefault(tag, [0, 0])
            totals[0] += int(wanted)
            totals[1] += int(done)
    ordered = sorted(by_tag.items(), key=lambda pair: (-pair[1][0], pair[0]))
    return [TagProgress(tag, *totals) for tag, totals in ordered]


# ---------------------------------------------------------------- queries


def _count_days(
    connection: Connection, campaign: Campaign, at: datetime, zone: tzinfo
) -> tuple[list[PeriodCount], dict[str, RaterProgress]]:
    """Counts by day and by rater, from one pass over the judgements that groups by both."""
    block = func.substr(judgement_table.c.made_at, 1, local_days.block_length(at, zone))
    current = is_current()
    query = select(
        judgement_table.c.rater,
        block,
        count_where(current),
        throughput.sum_worked(),
        count_where(and_(current, judgement_table.c.late)),
        count_where(and_(current, judgement_table.c.quick)),
        count_where(and_(current, judgement_table.c.implausible)),
        func.max(judgement_table.c.made_at),
    )
    rows = connection.execute(
        query.where(judgement_table.c.campaign_id == campaign.id).group_by(judgement_table.c.rater, block)
    ).all()
    today = local_days.day_of(at, zone).isoformat()
    days: dict[str, list[int]] = {}
    by_rater: dict[str, RaterProgress] = {}
    for rater, block_start, number, active_ms, late, quick, implausible, last_at in rows:
        start = local_days.day_of_block(block_start, zone)
        totals = days.setdefault(start, [0, 0])
        totals[0] += int(number)
        totals[1] += int(active_ms)
        previous = by_rater.get(rater) or RaterProgress(rater)
        by_rater[rater] = RaterProgress(
            rater,
            judgements=previous.judgements + int(number),
            today=previous.today + (int(number) if start == today else 0),
            active_ms=previous.active_ms + int(active_ms),
            late=previous.late + int(late),
            quick=previous.quick + int(quick),
            implausible=previous.implausible + int(implausible),
            last_at=max(previous.last_at or "", last_at),
        )
    return [PeriodCount(start, *totals) for start, totals in sorted(days.items())], by_rater


def _list_raters(
    connection: Connection,
    campaign: Campaign,
    by_rater: Mapping[str, RaterProgress],
    first_shown: Mapping[str, tuple[int, int]],
    skips: Mapping[tuple[str, str], int],
    at: datetime,
) -> list[RaterProgress]:
    """Add leases, skips and preferences by position.  Includes raters without a judgement."""
    query = (
        select(assignment_table.c.rater, func.count())
        .where(
            assignment_table.c.campaign_id == campaign.id,
            assignment_table.c.how.is_(None),
            assignment_table.c.expires_at >= format_time(at),
        )
        .group_by(assignment_table.c.rater)
    )
    holding = {rater: number for rater, number in connection.execute(query)}
    skipped: Counter[str] = Counter()
    for (rater, _), number in skips.items():
        skipped[rater] += number
    raters = [
        replace(
            by_rater.get(rater) or RaterProgress(rater),
            skipped=skipped[rater],
            holding=holding.get(rater, 0),
            left=position_bias.share(first_shown.get(rater, (0, 0))),
        )
        for rater in {*by_rater, *holding, *skipped}
    ]
    return sorted(raters, key=lambda progress: (-progress.judgements, progress.rater))


def _active_times(connection: Connection, campaign: Campaign) -> Sequence[int]:
    conditions = (
        judgement_table.c.campaign_id == campaign.id,
        is_current(),
        judgement_table.c.active_ms > 0,
    )
    query = select(judgement_table.c.active_ms).where(*conditions)
    latest = query.order_by(judgement_table.c.id.desc()).limit(MAX_TIMED)
    return connection.execute(latest).scalars().all()


def _count_skips(connection: Connection, campaign: Campaign) -> dict[tuple[str, str], int]:
    """Number of skips by rater and reason."""
    query = (
        select(assignment_table.c.rater, assignment_table.c.reason, func.count())
        .where(assignment_table.c.campaign_id == campaign.id, assignment_table.c.how == "skipped")
        .group_by(assignment_table.c.rater, assignment_table.c.reason)
    )
    return {(rater, reason or "no reason"): number for rater, reason, number in connection.execute(query)}


def _by_reason(skips: Mapping[tuple[str, str], int]) -> dict[str, int]:
    totals: Counter[str] = Counter()
    for (_, reason), number in skips.items():
        totals[reason] += number
    return dict(totals.most_common())


def _count_drafts(connection: Connection, campaign: Campaign) -> int:
    # A scalar subquery per draft, because there are fewer drafts than assignments.
    campaign_of_draft = (
        select(assignment_table.c.campaign_id)
        .where(assignment_table.c.token == draft_table.c.token)
        .scalar_subquery()
    )
    query = select(func.count()).select_from(draft_table).where(campaign_of_draft == campaign.id)
    return int(connection.execute(query).scalar_one())


def _without_texts(value: Mapping[str, Any]) -> dict[str, Any]:
    """Replace a written text by its length, and leave out edits."""
    return {
        key: counted(len(inner.split()), "word") if key == "text" else inner
        for key, inner in value.items()
        if key != "edit"
    }
