"""Judgements per hour, and the estimated time until a campaign is finished."""

import math
from datetime import timedelta

from pytest import approx

from fairlead.labels.database import Database
from labels.build import ANN, open_campaign
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
