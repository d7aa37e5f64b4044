"""Judgements per hour, and the estimated time until a campaign is finished."""

import math
from datetime import timedelta

import pytest
from pytest import approx
from sqlalchemy import select

from fairlead.labels import judgements, throughput
from fairlead.labels.database import Database
from fairlead.labels.judgements import judgement_table
from fairlead.labels.throughput import PeriodCount
from labels.build import ANN, judge, lease, open_campaign
from labels.judging import NOW, judge_next, load_progress


def test_the_finish_estimate_matches_a_hand_calculation(database: Database) -> None:
    """2, 4, 2 and 4 judgements in the four whole hours before the present hour."""
    with database.write() as connection:
        campaign = open_campaign(connection, num_items=40)
        hour = NOW.replace(minute=0)
        judge_next(
            connection, campaign, ANN, hour - timedelta(hours=4, minutes=1)
        )  # this hour began before the first judgement
        for ago, number in ((4, 2), (3, 4), (2, 2), (1, 4)):
            for k in range(number):
                judge_next(connection, campaign, ANN, hour - timedelta(hours=ago) + timedelta(minutes=k))
        judge_next(connection, campaign, ANN, hour + timedelta(minutes=5))  # the present hour does not count
    estimate = load_progress(database, campaign).finish
    assert estimate is not None
    assert (estimate.block, estimate.num_blocks, estimate.per_hour) == ("hours", 4, 3.0)
    # 40 - 14 = 26 are missing.  The mean 3 has the t interval 3 ± 3.1824 * 1.1547 / 2 = 1.1626 .. 4.8374.
    assert estimate.hours.value == approx(26 / 3)
    assert estimate.hours.low == approx(26 / 4.8374, abs=1e-3) and estimate.hours.high == approx(
        26 / 1.1626, abs=1e-3
    )


def test_a_new_campaign_is_measured_in_minutes_and_an_idle_one_has_no_estimate(
    database: Database,
) -> None:
    with database.write() as connection:
        young = open_campaign(connection, num_items=30)
        for k in range(6):
            judge_next(connection, young, ANN, NOW - timedelta(minutes=6 - k))
        idle = open_campaign(connection, num_items=30)
        judge_next(connection, idle, ANN, NOW - timedelta(hours=9))
    estimate = load_progress(database, young).finish
    assert estimate is not None and estimate.block == "minutes" and estimate.per_hour == approx(60.0)
    idle_estimate = load_progress(database, idle).finish
    assert idle_estimate is None  # no judgement in the last whole hours, so there is no pace


def test_no_estimate_when_no_judgement_is_missing(database: Database) -> None:
    with database.write() as connection:
        campaign = open_campaign(connection, num_items=5)
        for k in range(5):
            judge_next(connection, campaign, ANN, NOW - timedelta(minutes=8 - k))
    report = load_progress(database, campaign)
    assert report.done == report.wanted and report.finish is None


def test_an_uneven_pace_has_no_latest_finish(database: Database) -> None:
    with database.write() as connection:
        campaign = open_campaign(connection, num_items=40)
        judge_next(connection, campaign, ANN, NOW - timedelta(minutes=7))
        for _ in range(8):
            judge_next(connection, campaign, ANN, NOW - timedelta(minutes=2, seconds=30))
    estimate = load_progress(database, campaign).finish
    assert (
        estimate is not None and math.isinf(estimate.hours.high) and estimate.hours.low < estimate.hours.value
    )


def test_hours_are_counted_up_to_the_present_hour(database: Database) -> None:
    with database.write() as connection:
        campaign, other = open_campaign(connection, num_items=6), open_campaign(connection)
        for hours in (24, 23, 23.4, 1, 0):  # now is 12:30, so 23.4 hours ago is 13:06 of the day before
            judge_next(connection, campaign, ANN, NOW - timedelta(hours=hours), active_s=10)
        judge_next(connection, other, ANN, NOW)
        hours_counted = throughput.count_hours(connection, campaign, NOW)
    assert [hour.start for hour in hours_counted[:2]] == ["2026-03-04T13", "2026-03-04T14"]
    assert hours_counted[-1] == PeriodCount("2026-03-05T12", 1, 10_000)
    counts = {hour.start: (hour.judgements, hour.active_ms) for hour in hours_counted if hour.judgements}
    assert len(hours_counted) == throughput.NUM_HOURS and counts == {
        "2026-03-04T13": (2, 20_000),
        "2026-03-05T11": (1, 10_000),
        "2026-03-05T12": (1, 10_000),
    }


def test_judgements_are_counted_from_a_time_on(database: Database) -> None:
    with database.write() as connection:
        campaign = open_campaign(connection)
        for minutes in (0, 1, 2):
            judge_next(connection, campaign, ANN, NOW + timedelta(minutes=minutes))
        counts = [
            throughput.count_since(connection, campaign, NOW + timedelta(minutes=minutes))
            for minutes in (-1, 0, 1, 2, 3)
        ]
    assert counts == [3, 3, 2, 1, 0]


def test_both_conditions_for_current_judgements_select_the_same(database: Database) -> None:
    with database.write() as connection:
        campaign = open_campaign(connection)
        corrected, withdrawn, kept = lease(connection, campaign, ANN, count=3, at=NOW)
        judge(connection, corrected, at=NOW)
        correction = judge(connection, corrected, {"choice": 8}, key="correction", at=NOW)
        judge(connection, withdrawn, at=NOW)
        judgements.skip(connection, withdrawn.id, ANN, reason="unclear", at=NOW)
        last = judge(connection, kept, at=NOW)
        selected = [
            list(connection.execute(select(judgement_table.c.id).where(condition)).scalars())
            for condition in (throughput.is_current(), judgements.is_current())
        ]
        all_judgements = connection.execute(select(throughput.count_where(judgement_table.c.id > 0))).scalar()
    assert sorted(selected[0]) == sorted(selected[1]) == [correction.id, last.id]
    assert all_judgements == 5


@pytest.mark.parametrize(("days", "expected"), [(3.5, ("hours", 24)), (4.6, ("days", 4)), (30, ("days", 24))])
def test_blocks_are_days_once_four_have_passed(
    database: Database, days: float, expected: tuple[str, int]
) -> None:
    with database.write() as connection:
        campaign = open_campaign(connection, num_items=5)
        judge_next(connection, campaign, ANN, NOW - timedelta(days=days))
        judge_next(connection, campaign, ANN, NOW - timedelta(hours=20))
        judge_next(connection, campaign, ANN, NOW - timedelta(hours=20))
    estimate = load_progress(database, campaign).finish
    assert estimate is not None and (estimate.block, estimate.num_blocks) == expected
    num_hours = estimate.num_blocks * (24 if estimate.block == "days" else 1)
    assert estimate.per_hour == approx(2 / num_hours) and estimate.hours.value == approx(
        2 / estimate.per_hour
    )
