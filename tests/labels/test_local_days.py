"""One day means one thing: for a labeller, on the dashboard, and in the time to finish."""

from datetime import UTC, date, datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo

import pytest

from fairlead.labels import labeller_stats, local_days, progress
from fairlead.labels.database import Database, format_time
from labels.build import ANN, open_campaign
from labels.judging import judge_next

NEW_YORK, BERLIN = ZoneInfo("America/New_York"), ZoneInfo("Europe/Berlin")
DELHI, KATHMANDU = ZoneInfo("Asia/Kolkata"), ZoneInfo("Asia/Kathmandu")
ZONES = (UTC, BERLIN, NEW_YORK, DELHI, KATHMANDU)
AT = datetime(2026, 3, 30, 12, 0, tzinfo=UTC)  # the day after Berlin's clocks went forward


@pytest.mark.parametrize("zone", ZONES, ids=str)
def test_a_labeller_and_a_lead_count_the_same_day(database: Database, zone: tzinfo) -> None:
    midnight = local_days.start_of_day(local_days.day_of(AT, zone), zone)
    with database.write() as connection:
        campaign = open_campaign(connection, num_items=8)
        for minutes in (-1500, -1441, -61, -1, 0, 1, 100):
            judge_next(connection, campaign, ANN, midnight + timedelta(minutes=minutes))
        mine = labeller_stats.get_pace(connection, campaign.id, ANN, zone=zone, at=AT)
        theirs = progress.get_progress(connection, campaign, zone=zone, at=AT)
    assert mine.today == theirs.people[0].today == theirs.days[-1].judgements == 3
    assert theirs.days[-1].start == theirs.today == local_days.day_of(AT, zone).isoformat()
    assert [day.judgements for day in theirs.days] == [2, 2, 3]


def test_days_begin_at_the_local_midnight_also_when_clocks_change() -> None:
    assert local_days.start_of_day(date(2026, 3, 29), BERLIN) == datetime(2026, 3, 28, 23, tzinfo=UTC)
    assert local_days.start_of_day(date(2026, 3, 30), BERLIN) == datetime(2026, 3, 29, 22, tzinfo=UTC)
    assert local_days.start_of_day(date(2026, 3, 30), DELHI) == datetime(2026, 3, 29, 18, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("zone", "length"), [(UTC, 10), (BERLIN, 13), (NEW_YORK, 13), (DELHI, 15), (KATHMANDU, 16)], ids=str
)
def test_a_block_lies_within_one_day(zone: tzinfo, length: int) -> None:
    assert local_days.block_length(AT, zone) == length
    for minutes in range(0, 2 * 24 * 60, 5):
        moment = AT + timedelta(minutes=minutes)
        block = format_time(moment)[:length]
        assert local_days.day_of_block(block, zone) == local_days.day_of(moment, zone).isoformat()
