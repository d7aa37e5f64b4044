"""How a campaign goes: what is done, how fast, for how much, by whom, and what needs a lead.

Everything is read in a few statements over indexes and belongs to one moment.  Nothing here is written, and nobody is judged: how good
labels are is not asked.  Times of day are UTC.

Time to finish.  The judgements still wanted, divided by the mean number in a block of time; blocks are whole days, hours, ten minutes or
minutes, the longest of which at least four have passed since the first judgement.  The interval is that of the mean over blocks (Student's
t); where it reaches zero, no latest time is given.  Work left is the judgements still wanted times the mean active time of the last ones.
"""

import json
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, Text, and_, case, cast, func, or_, select

from fairlead.labels import assignments, flags, items
from fairlead.labels.assignments import StuckLease, assignment_table
from fairlead.labels.campaigns import Campaign
from fairlead.labels.database import format_time, parse_time
from fairlead.labels.drafts import draft_table
from fairlead.labels.flags import Flag
from fairlead.labels.items import item_table, slot_table
from fairlead.labels.judgements import judgement_table
from fairlead.stats import interval
from fairlead.stats.interval import Interval

MAX_TIMED = 2000  # judgements, the last ones, from which times are taken
MAX_SIDES = 20_000  # judgements, the last ones, of which the sides are counted
NUM_RECENT = 12
NUM_DAYS = 30  # that are listed
NUM_HOURS = 24
STUCK_S = 900  # without a sign of life
MIN_BLOCKS, MAX_BLOCKS = 4, 24
# Length in seconds, how many characters of a time name the block, and its name.
BLOCKS = ((86_400, 10, "days"), (3600, 13, "hours"), (600, 15, "ten minutes"), (60, 16, "minutes"))


@dataclass(frozen=True)
class PeriodCount:
    """Judgements that stand, of an hour or a day."""

    start: str  # 2026-01-31 or 2026-01-31T09
    judgements: int
    active_ms: int


@dataclass(frozen=True)
class FinishEstimate:
    per_hour: float  # judgements, over the blocks that were looked at
    hours: Interval  # from now
    num_blocks: int
    block: str


@dataclass(frozen=True)
class RaterProgress:
    """One person, by pseudonym."""

    rater: str
    judgements: int
    today: int
    active_ms: int
    late: int
    quick: int  # faster than anybody reads
    skipped: int
    holding: int
    last_at: str | None
    left: Interval | None  # share of decided comparisons in which the answer shown first was chosen


@dataclass(frozen=True)
class RecentJudgement:
    id: int
    item_id: int
    rater: str
    value: dict[str, Any]  # as kept; texts of people are cut
    margin: int | None
    active_ms: int
    late: bool
    quick: bool
    made_at: str


@dataclass(frozen=True)
@dataclass(frozen=True)
class TagProgress:
    tag: str
    wanted: int
    done: int


@dataclass(frozen=True)
class Progress:
    at: str
    num_items: int
    wanted: int  # judgements: slots in all
    done: int
    held: int
    open: int
    judgements: int  # that stand; more than `done` where late ones came in addition
    last_hour: int
    hours: list[PeriodCount]  # the last ones, the oldest first, empty ones too
    days: list[PeriodCount]  # on which something was done
    active_ms: int  # also of what was superseded: it was worked
    active_ms_today: int
    seconds: Interval | None  # mean active time of one of the last judgements
    median_s: float | None
    num_timed: int
    pay_per_hour: float | None
    currency: str
    finish: FinishEstimate | None  # None before there is a pace, and when nothing is left
    people: list[RaterProgress]  # who did most first
    stuck: list[StuckLease]
    flags: list[Flag]
    skips: dict[str, int]  # reason -> how often
    recent: list[RecentJudgement]
    left: Interval | None
    num_drafts: int

    @property
    def cost(self) -> float | None:
        return self._paid(self.active_ms)

    @property
    def cost_today(self) -> float | None:
        return self._paid(self.active_ms_today)

    @property
    def work_left_s(self) -> Interval | None:
        """Active seconds that the open judgements will take."""
        rest, each = self.wanted - self.done, self.seconds
        return each and Interval(rest * each.value, max(0.0, rest * each.low), rest * each.high, each.n)

    @property
    def cost_left(self) -> Interval | None:
        work = self.work_left_s
        if work is None or self.pay_per_hour is None:
            return None
        low, high = (end * self.pay_per_hour / 3600 for end in (work.low, work.high))
        return Interval(work.value * self.pay_per_hour / 3600, low, high, work.n)

    def _paid(self, active_ms: int) -> float | None:
        return None if self.pay_per_hour is None else self.pay_per_hour * active_ms / 3_600_000


def get_progress(connection: Connection, campaign: Campaign, *, at: datetime | None = None) -> Progress:
    at = at or datetime.now(UTC)
    slots = items.slot_counts(connection, [campaign.id])[campaign.id]
    wanted = sum(slots.values())
    days, by_rater = _count_days(connection, campaign, at)
    timed = _active_times(connection, campaign)
    left = _first_shown_counts(connection, campaign) if campaign.kind == "pairwise" else {}
    active = [ms / 1000 for ms in timed]
    hours = _count_hours(connection, campaign, at)
    return Progress(
        at=format_time(at),
        num_items=int(
            connection.execute(
                select(func.count()).where(item_table.c.campaign_id == campaign.id)
            ).scalar_one()
        ),
        wanted=wanted,
        done=slots["done"],
        held=slots["held"],
        open=slots["open"],
        judgements=sum(day.judgements for day in days),
        last_hour=_count_since(connection, campaign, at - timedelta(hours=1)),
        hours=hours,
        days=days[-NUM_DAYS:],
        active_ms=sum(day.active_ms for day in days),
        active_ms_today=sum(day.active_ms for day in days if day.start == format_time(at)[:10]),
        seconds=interval.mean(active) if active else None,
        median_s=statistics.median(active) if active else None,
        num_timed=len(active),
        pay_per_hour=campaign.pay_per_hour,
        currency=campaign.currency,
        finish=_estimate_finish(connection, campaign, days, wanted - slots["done"], at),
        people=_rater_progress(connection, campaign, by_rater, left),
        stuck=assignments.list_stuck(connection, campaign, since_s=min(STUCK_S, campaign.lease_s), at=at),
        flags=flags.list_flags(connection, campaign.id),
        skips=_count_skips(connection, campaign),
        recent=list_recent(connection, campaign),
        left=_first_shown_share([sum(sides) for sides in zip(*left.values(), strict=True)]) if left else None,
        num_drafts=_count_drafts(connection, campaign),
    )


def list_recent(
    connection: Connection, campaign: Campaign, *, limit: int = NUM_RECENT
) -> list[RecentJudgement]:
    """The last judgements that stand, the newest first."""
    query = (
        select(judgement_table)
        .where(judgement_table.c.campaign_id == campaign.id, _is_current())
        .order_by(judgement_table.c.id.desc())
        .limit(limit)
    )
    return [
        RecentJudgement(
            row.id,
            row.item_id,
            row.rater,
            _without_texts(row.value),
            row.margin,
            row.active_ms,
            row.late,
            row.quick,
            row.made_at,
        )
        for row in connection.execute(query)
    ]


def by_tag(connection: Connection, campaign: Campaign) -> list[TagProgress]:
    """An item of several tags counts with each.  Items are grouped by their list of tags, of which there are few."""
    tags = cast(item_table.c.tags, Text)
    slots = select(
        slot_table.c.item_id, func.count().label("wanted"), _sum(slot_table.c.state == "done").label("done")
    )
    each = slots.where(slot_table.c.campaign_id == campaign.id).group_by(slot_table.c.item_id).subquery()
    query = select(tags, func.sum(each.c.wanted), func.sum(each.c.done))
    joined = query.join_from(item_table, each, each.c.item_id == item_table.c.id)
    rows = connection.execute(joined.where(tags != "[]").group_by(tags)).all()
    found: dict[str, list[int]] = {}
    for listed, wanted, done in rows:
        for tag in json.loads(listed):
            totals = found.setdefault(tag, [0, 0])
            totals[0] += int(wanted)
            totals[1] += int(done)
    return [
        TagProgress(tag, *totals)
        for tag, totals in sorted(found.items(), key=lambda pair: (-pair[1][0], pair[0]))
    ]


# ---------------------------------------------------------------- the statements


def _count_days(
    connection: Connection, campaign: Campaign, at: datetime
) -> tuple[list[PeriodCount], dict[str, RaterProgress]]:
    """By day, and by person: one pass over the judgements, grouped by both."""
    day, current = func.substr(judgement_table.c.made_at, 1, 10), _is_current()
    query = select(
        judgement_table.c.rater, day, _sum(current), func.sum(judgement_table.c.active_ms), _sum(and_(current, judgement_table.c.late)),
        _sum(and_(current, judgement_table.c.quick)), func.max(judgement_table.c.made_at),
    )  # fmt: skip
    rows = connection.execute(
        query.where(judgement_table.c.campaign_id == campaign.id).group_by(judgement_table.c.rater, day)
    ).all()
    today, days, people = format_time(at)[:10], dict[str, list[int]](), dict[str, RaterProgress]()
    for rater, start, number, active_ms, late, quick, last_at in rows:
        totals = days.setdefault(start, [0, 0])
        totals[0] += int(number)
        totals[1] += int(active_ms)
        now = people.get(rater) or RaterProgress(rater, 0, 0, 0, 0, 0, 0, 0, None, None)
        people[rater] = RaterProgress(
            rater, now.judgements + int(number), now.today + (int(number) if start == today else 0), now.active_ms + int(active_ms),
            now.late + int(late), now.quick + int(quick), 0, 0, max(now.last_at or "", last_at), None,
        )  # fmt: skip
    return [PeriodCount(start, *totals) for start, totals in sorted(days.items())], people


def _rater_progress(
    connection: Connection,
    campaign: Campaign,
    people: Mapping[str, RaterProgress],
    left: Mapping[str, tuple[int, int]],
) -> list[RaterProgress]:
    """Also those who hold or skipped something and have judged nothing yet."""
    ends: dict[str, dict[str, int]] = {}
    for end, how in (
        ("holding", assignment_table.c.how.is_(None)),
        ("skipped", assignment_table.c.how == "skipped"),
    ):  # each has its part of an index
        query = (
            select(assignment_table.c.rater, func.count())
            .where(assignment_table.c.campaign_id == campaign.id, how)
            .group_by(assignment_table.c.rater)
        )
        for rater, number in connection.execute(query):
            ends.setdefault(rater, {})[end] = number
    found = []
    for rater in {*people, *ends}:
        done, ending = (
            people.get(rater) or RaterProgress(rater, 0, 0, 0, 0, 0, 0, 0, None, None),
            ends.get(rater, {}),
        )
        found.append(
            RaterProgress(
                rater, done.judgements, done.today, done.active_ms, done.late, done.quick, ending.get("skipped", 0),
                ending.get("holding", 0), done.last_at, _first_shown_share(left.get(rater, (0, 0))),
            )
        )  # fmt: skip
    return sorted(found, key=lambda pace: (-pace.judgements, pace.rater))


def _count_hours(connection: Connection, campaign: Campaign, at: datetime) -> list[PeriodCount]:
    starts = [format_time(at - timedelta(hours=ago))[:13] for ago in reversed(range(NUM_HOURS))]
    found = _count_blocks(connection, campaign, starts[0], 13)
    return [PeriodCount(start, *found.get(start, (0, 0))) for start in starts]


def _count_blocks(
    connection: Connection, campaign: Campaign, since: str, length: int
) -> dict[str, tuple[int, int]]:
    """Judgements that stand, and active time, by the first characters of their time."""
    block, current = func.substr(judgement_table.c.made_at, 1, length), _is_current()
    query = select(block, _sum(current), func.sum(judgement_table.c.active_ms))
    rows = connection.execute(
        query.where(
            judgement_table.c.campaign_id == campaign.id, judgement_table.c.made_at >= since
        ).group_by(block)
    )
    return {start: (int(number), int(active_ms)) for start, number, active_ms in rows}


def _count_since(connection: Connection, campaign: Campaign, since: datetime) -> int:
    mine = (
        judgement_table.c.campaign_id == campaign.id,
        judgement_table.c.made_at >= format_time(since),
        _is_current(),
    )
    return int(connection.execute(select(func.count()).where(*mine)).scalar_one())


def _active_times(connection: Connection, campaign: Campaign) -> Sequence[int]:
    mine = (judgement_table.c.campaign_id == campaign.id, _is_current(), judgement_table.c.active_ms > 0)
    return (
        connection.execute(
            select(judgement_table.c.active_ms)
            .where(*mine)
            .order_by(judgement_table.c.id.desc())
            .limit(MAX_TIMED)
        )
        .scalars()
        .all()
    )


def _estimate_finish(
    connection: Connection, campaign: Campaign, days: Sequence[PeriodCount], rest: int, at: datetime
) -> FinishEstimate | None:
    first = connection.execute(
        select(judgement_table.c.made_at)
        .where(judgement_table.c.campaign_id == campaign.id)
        .order_by(judgement_table.c.id)
        .limit(1)
    ).scalar()
    if first is None or rest <= 0:
        return None
    for seconds, length, name in BLOCKS:
        # Whole blocks only, the one that is going on left out; the first begins after the first judgement.
        last = math.floor(at.timestamp() / seconds)
        num_blocks = min(MAX_BLOCKS, last - math.ceil(parse_time(first).timestamp() / seconds))
        if num_blocks >= MIN_BLOCKS:
            starts = [
                format_time(datetime.fromtimestamp((last - ago) * seconds, UTC))[:length]
                for ago in range(num_blocks, 0, -1)
            ]
            found = (
                {day.start: (day.judgements, 0) for day in days}
                if name == "days"
                else _count_blocks(connection, campaign, starts[0], length)
            )
            pace = interval.mean([found.get(start, (0, 0))[0] for start in starts])
            if pace.value <= 0:
                return None
            per_hour = 3600 / seconds
            latest = rest / (pace.low * per_hour) if pace.low > 0 else math.inf
            hours = Interval(
                rest / (pace.value * per_hour), rest / (pace.high * per_hour), latest, num_blocks
            )
            return FinishEstimate(pace.value * per_hour, hours, num_blocks, name)
    return None


def _first_shown_counts(connection: Connection, campaign: Campaign) -> dict[str, tuple[int, int]]:
    """rater -> how often the answer shown first was chosen, and how often the other one; ties are neither."""
    preference, first = (
        judgement_table.c.value["preference"].as_integer(),
        judgement_table.c.order[0].as_integer(),
    )
    chose_first = or_(and_(preference > 0, first == 0), and_(preference < 0, first == 1))
    decided = preference != 0
    mine = select(judgement_table.c.id).where(judgement_table.c.campaign_id == campaign.id)
    since = (
        connection.execute(mine.order_by(judgement_table.c.id.desc()).offset(MAX_SIDES).limit(1)).scalar()
        or 0
    )
    query = select(judgement_table.c.rater, _sum(chose_first), _sum(decided))
    rows = connection.execute(
        query.where(
            judgement_table.c.campaign_id == campaign.id, judgement_table.c.id > since, _is_current()
        ).group_by(judgement_table.c.rater)
    )
    return {rater: (int(chosen), int(all_) - int(chosen)) for rater, chosen, all_ in rows}


def _count_skips(connection: Connection, campaign: Campaign) -> dict[str, int]:
    query = select(assignment_table.c.reason, func.count()).where(
        assignment_table.c.campaign_id == campaign.id, assignment_table.c.how == "skipped"
    )
    rows = connection.execute(query.group_by(assignment_table.c.reason)).all()
    return {reason or "no reason": number for reason, number in sorted(rows, key=lambda row: -row[1])}


def _count_drafts(connection: Connection, campaign: Campaign) -> int:
    here = (
        select(assignment_table.c.campaign_id)
        .where(assignment_table.c.token == draft_table.c.token)
        .scalar_subquery()
    )  # drafts are fewer than tasks
    return int(
        connection.execute(
            select(func.count()).select_from(draft_table).where(here == campaign.id)
        ).scalar_one()
    )


def _is_current() -> ColumnElement[bool]:
    """As `judgements.is_current`, for statements over a whole campaign: few judgements are superseded, and these are listed once."""
    later = judgement_table.alias("later")
    return ~judgement_table.c.withdraws & judgement_table.c.id.not_in(
        select(later.c.supersedes).where(later.c.supersedes.is_not(None))
    )


def _sum(condition: ColumnElement[bool]) -> ColumnElement[int]:
    return func.coalesce(func.sum(case((condition, 1), else_=0)), 0)


def _first_shown_share(sides: Sequence[int]) -> Interval | None:
    first, second = sides
    return interval.proportion(first, first + second) if first + second else None


def _without_texts(value: Mapping[str, Any]) -> dict[str, Any]:
    """Without what people wrote, which may be long: how long it is."""
    return {
        key: f"{len(inner.split()):,} words" if key == "text" else inner
        for key, inner in value.items()
        if key != "edit"
    }
