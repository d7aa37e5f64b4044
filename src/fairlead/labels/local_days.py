"""Days in the studio's time zone.

A studio has one time zone, so that a day is the same day for labellers, leads and filters.  Times are stored
in UTC.
"""

from datetime import UTC, date, datetime, time, timedelta, tzinfo

DAY_LENGTH = 10  # characters of a stored time: 2026-01-31
HOUR_LENGTH = 13  # 2026-01-31T09
TEN_MINUTES_LENGTH = 15  # 2026-01-31T09:3
MINUTE_LENGTH = 16
HALF_YEAR = timedelta(days=183)


def day_of(at: datetime, zone: tzinfo) -> date:
    return at.astimezone(zone).date()


def start_of_day(day: date, zone: tzinfo) -> datetime:
    """When the day began, in UTC."""
    return datetime.combine(day, time(), zone).astimezone(UTC)


def block_length(at: datetime, zone: tzinfo) -> int:
    """How many characters of a stored time name a block that lies within one local day.

    Judgements are counted by such blocks in the database.  Larger blocks are fewer rows.
    """
    if zone is UTC:
        return DAY_LENGTH
    offsets = [(at - years * HALF_YEAR).astimezone(zone).utcoffset() or timedelta() for years in range(5)]
    if all(offset % timedelta(hours=1) == timedelta() for offset in offsets):
        return HOUR_LENGTH
    if all(offset % timedelta(minutes=10) == timedelta() for offset in offsets):
        return TEN_MINUTES_LENGTH
    return MINUTE_LENGTH


def day_of_block(block: str, zone: tzinfo) -> str:
    """The local day of a block of `block_length`."""
    if len(block) == DAY_LENGTH:
        return block
    start = datetime.fromisoformat(block.ljust(MINUTE_LENGTH, "0") if ":" in block else block)
    return day_of(start.replace(tzinfo=UTC), zone).isoformat()
