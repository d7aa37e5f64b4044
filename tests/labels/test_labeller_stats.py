"""Figures that labellers see: their pace, and their campaigns."""

from datetime import UTC, datetime, timedelta, timezone

from fairlead.labels import campaigns, judgements, labeller_stats
from fairlead.labels.database import Database
from fairlead.labels.labeller_stats import LabellerPace
from labels.build import ANN, BEN, LEAD, judge, lease, open_campaign
from labels.judging import NOW, judge_next

MIDNIGHT = NOW.replace(hour=0, minute=0)


def test_the_pace_counts_judgements_since_midnight(database: Database) -> None:
    with database.write() as connection:
        campaign = open_campaign(connection, num_items=8, overlap=2)
        other = open_campaign(connection)
        for minutes, active_s in ((-1, 50), (0, 10), (1, 20), (60, 40)):
            judge_next(connection, campaign, ANN, MIDNIGHT + timedelta(minutes=minutes), active_s=active_s)
        judge_next(connection, campaign, BEN, MIDNIGHT, active_s=300)
        judge_next(connection, other, ANN, MIDNIGHT, active_s=300)
        pace = labeller_stats.get_pace(connection, campaign.id, ANN, at=NOW)
    assert pace == LabellerPace(today=3, total=4, median_active_ms=20_000)


def test_the_day_begins_at_the_local_midnight(database: Database) -> None:
    """At 00:30 UTC, the day has begun half an hour ago in UTC, and at 22:00 UTC in UTC+2.

    In UTC-5, the local time is 19:30 of the day before, which began at 05:00 UTC.
    """
    at = MIDNIGHT + timedelta(minutes=30)
    with database.write() as connection:
        campaign = open_campaign(connection, num_items=8)
        for hours in (-20, -19, -2.1, -2, -1, 0.1):
            judge_next(connection, campaign, ANN, MIDNIGHT + timedelta(hours=hours))
        today = {
            hours: labeller_stats.get_pace(
                connection, campaign.id, ANN, zone=timezone(timedelta(hours=hours)), at=at
            ).today
            for hours in (0, 2, -5)
        }
    assert today == {0: 1, 2: 3, -5: 5}


def test_the_pace_ignores_superseded_and_withdrawn_judgements(database: Database) -> None:
    with database.write() as connection:
        campaign = open_campaign(connection)
        corrected, withdrawn, kept = lease(connection, campaign, ANN, count=3, at=NOW)
        judge(connection, corrected, active_ms=900, at=NOW)
        judge(connection, corrected, {"choice": 8}, key="correction", active_ms=1000, at=NOW)
        judge(connection, withdrawn, active_ms=100_000, at=NOW)
        judgements.skip(connection, withdrawn.id, ANN, reason="unclear", at=NOW)
        judge(connection, kept, active_ms=2001, at=NOW)
        pace = labeller_stats.get_pace(connection, campaign.id, ANN, at=NOW)
        tomorrow = labeller_stats.get_pace(connection, campaign.id, ANN, at=NOW + timedelta(days=1))
    assert pace == LabellerPace(today=2, total=2, median_active_ms=1500)  # 1500.5, rounded to even
    assert tomorrow == LabellerPace(today=0, total=2, median_active_ms=None)


def test_campaigns_of_a_labeller(database: Database) -> None:
    """Drafts and campaigns of others are left out.  Open campaigns come first, then the newest."""
    now = datetime.now(UTC)
    with database.write() as connection:
        older = open_campaign(connection, num_items=3, overlap=2)
        newer = open_campaign(connection, num_items=1)
        closed = campaigns.set_state(connection, open_campaign(connection), "closed", by=LEAD)
        draft = campaigns.create(
            connection, campaigns.CampaignSettings(name="Draft", kind="pairwise"), by=LEAD
        )
        open_campaign(connection)  # the labeller is no member
        campaigns.write_guidelines(connection, older, "# Second", by=LEAD)
        campaigns.mark_guidelines_read(connection, older, ANN, 1)
        first, _ = lease(connection, older, ANN, count=2, at=now)
        judge(connection, first, active_ms=5000, at=now)
        judge_next(connection, older, BEN, now)
        paused = {older.id: False, newer.id: True, closed.id: False, draft.id: False}
        of_labeller = labeller_stats.list_campaigns(connection, ANN, paused)
    assert [work.campaign.id for work in of_labeller] == [newer.id, older.id, closed.id]
    work = of_labeller[1]
    assert (work.done, work.wanted, work.num_held, work.paused) == (2, 6, 1, False)
    assert (work.guidelines_version, work.guidelines_read) == (2, 1)
    assert work.pace.total == 1
    untouched = of_labeller[0]
    assert (untouched.done, untouched.wanted, untouched.num_held, untouched.paused) == (0, 1, 0, True)
    assert (untouched.guidelines_version, untouched.guidelines_read) == (1, 0)
    assert untouched.pace == LabellerPace(0, 0, None)


def test_a_labeller_without_campaigns(database: Database) -> None:
    with database.write() as connection:
        open_campaign(connection)
        assert labeller_stats.list_campaigns(connection, ANN, {}) == []
