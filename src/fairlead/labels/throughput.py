"""How many judgements a campaign gets per day or hour, and when it will be finished.

The time to finish is the number of missing judgements divided by the mean number of judgements per block of
time.  A block is a whole day, an hour, ten minutes or a minute: the longest of which at least four have
passed since the first judgement.  The interval is that of the mean over blocks (Student's t).  When the
interval reaches zero, the latest time is infinite.  Days are those of the studio's time zone, hours and
shorter blocks are in UTC.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo

from sqlalchemy import ColumnElement, Connection, case, func, select

from fairlead.labels import local_days
from fairlead.labels.campaigns import Campaign
from fairlead.labels.database import format_time, parse_time
from fairlead.labels.judgements import judgement_table
from fairlead.stats import interval
from fairlead.stats.interval import Interval

NUM_HOURS = 24
MIN_BLOCKS = 4
MAX_BLOCKS = 24
# Seconds in a block, the number of characters of a time that name the block, and the name of the unit.
BLOCKS = ((86_400, 10, "days"), (3600, 13, "hours"), (600, 15, "ten minutes"), (60, 16, "minutes"))


@dataclass(frozen=True)
class PeriodCount:
    """Current judgements of an hour or a day."""

    start: str  # 2026-01-31 in the studio's time zone, or 2026-01-31T09 in UTC
    judgements: int
    active_ms: int


@dataclass(frozen=True)
class FinishEstimate:
    per_hour: float  # mean number of judgements over the blocks
    hours: Interval  # from now until the campaign is finished
    num_blocks: int
    block: str  # unit of the blocks


def count_hours(connection: Connection, campaign: Campaign, at: datetime) -> list[PeriodCount]:
    """The last NUM_HOURS hours, oldest first, empty hours included."""
    starts = [format_time(at - timedelta(hours=ago))[:13] for ago in reversed(range(NUM_HOURS))]
    counts = _count_blocks(connection, campaign, starts[0], 13)
    return [PeriodCount(start, *counts.get(start, (0, 0))) for start in starts]


def count_since(connection: Connection, campaign: Campaign, since: datetime) -> int:
    """Number of current judgements made at or after a time."""
    conditions = (
        judgement_table.c.campaign_id == campaign.id,
        judgement_table.c.made_at >= format_time(since),
        is_current(),
    )
    return int(connection.execute(select(func.count()).where(*conditions)).scalar_one())


def estimate_finish(
    connection: Connection,
    campaign: Campaign,
    days: Sequence[PeriodCount],
    num_missing: int,
    at: datetime,
    zone: tzinfo = UTC,
) -> FinishEstimate | None:
    """None before there is a pace, and when no judgement is missing.  `days` are the counts of all days."""
    first_made_at = connection.execute(
        select(judgement_table.c.made_at)
        .where(judgement_table.c.campaign_id == campaign.id)
        .order_by(judgement_table.c.id)
        .limit(1)
    ).scalar()
    if first_made_at is None or num_missing <= 0:
        return None
    for seconds, length, name in BLOCKS:
        # Whole blocks only: the first begins after the first judgement, and the present one is left out.
        if name == "days":
            today = local_days.day_of(at, zone)
            first_day = local_days.day_of(parse_time(first_made_at), zone)
            num_blocks = min(MAX_BLOCKS, (today - first_day).days - 1)
        else:
            present = math.floor(at.timestamp() / seconds)
            num_blocks = min(MAX_BLOCKS, present - math.ceil(parse_time(first_made_at).timestamp() / seconds))
        if num_blocks < MIN_BLOCKS:
            continue
        if name == "days":
            starts = [(today - timedelta(days=ago)).isoformat() for ago in range(num_blocks, 0, -1)]
            counts = {day.start: (day.judgements, 0) for day in days}
        else:
            starts = [
                format_time(datetime.fromtimestamp((present - ago) * seconds, UTC))[:length]
                for ago in range(num_blocks, 0, -1)
            ]
            counts = _count_blocks(connection, campaign, starts[0], length)
        pace = interval.mean([counts.get(start, (0, 0))[0] for start in starts])
        if pace.value <= 0:
            return None
        blocks_per_hour = 3600 / seconds
        hours = Interval(
            num_missing / (pace.value * blocks_per_hour),
            num_missing / (pace.high * blocks_per_hour),
            num_missing / (pace.low * blocks_per_hour) if pace.low > 0 else math.inf,
            num_blocks,
        )
        return FinishEstimate(pace.value * blocks_per_hour, hours, num_blocks, name)
    return None


def is_current() -> ColumnElement[bool]:
    """Same condition as `judgements.is_current`, but faster over a whole campaign.

    The database lists the few superseded judgements once, instead of searching for each judgement.
    """
    later = judgement_table.alias("later")
    return ~judgement_table.c.withdraws & judgement_table.c.id.not_in(
        select(later.c.supersedes).where(later.c.supersedes.is_not(None))
    )


def is_worked() -> ColumnElement[bool]:
    """SQL condition: the time of the judgement was worked and is not part of a correction's.

    Withdrawn judgements were work too.
    """
    later = judgement_table.alias("later")
    return judgement_table.c.id.not_in(
        select(later.c.supersedes).where(later.c.supersedes.is_not(None), ~later.c.withdraws)
    )


def sum_worked() -> ColumnElement[int]:
    """The active milliseconds of all work, where each answer counts once."""
    return func.coalesce(func.sum(case((is_worked(), judgement_table.c.active_ms), else_=0)), 0)


def count_where(condition: ColumnElement[bool]) -> ColumnElement[int]:
    return func.coalesce(func.sum(case((condition, 1), else_=0)), 0)


def _count_blocks(
    connection: Connection, campaign: Campaign, since: str, length: int
) -> dict[str, tuple[int, int]]:
    """Current judgements and active milliseconds, by the first `length` characters of their time."""
    block = func.substr(judgement_table.c.made_at, 1, length)
    query = select(block, count_where(is_current()), sum_worked())
    rows = connection.execute(
        query.where(
            judgement_table.c.campaign_id == campaign.id, judgement_table.c.made_at >= since
        ).group_by(block)
    )
    return {start: (int(number), int(active_ms)) for start, number, active_ms in rows}
