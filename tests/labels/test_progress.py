"""The figures of a campaign, checked against hand calculations."""

from datetime import timedelta

import pytest
from pytest import approx
from sqlalchemy import event

from fairlead.labels import drafts, flags, items, judgements, leases, progress
from fairlead.labels.database import Database
from labels.build import ANN, BEN, CAT, LEAD, judge, lease, new_item, open_campaign
from labels.judging import NOW, judge_next, load_progress


def test_a_campaign_without_judgements(database: Database) -> None:
    with database.write() as connection:
        campaign = open_campaign(connection, num_items=4, overlap=2, pay_per_hour=10.0)
    report = load_progress(database, campaign)
    assert (report.num_items, report.wanted, report.done, report.held, report.open) == (4, 8, 0, 0, 8)
    assert (report.judgements, report.last_hour, report.days, report.cost) == (0, 0, [], 0.0)
    assert [
        report.finish,
        report.seconds,
        report.median_s,
        report.left,
        report.work_left_s,
        report.cost_left,
    ] == [None] * 6
    assert (
        report.people == [] and len(report.hours) == 24 and not any(hour.judgements for hour in report.hours)
    )


def test_counts_times_and_cost(database: Database) -> None:
    with database.write() as connection:
        campaign = open_campaign(connection, num_items=6, overlap=2, pay_per_hour=36.0)
        for minutes, rater, active_s in ((5, ANN, 10), (50, ANN, 20), (70, BEN, 60), (60 * 24, BEN, 110)):
            judge_next(connection, campaign, rater, NOW - timedelta(minutes=minutes), active_s=active_s)
        lease(connection, campaign, CAT, at=NOW - timedelta(minutes=1))
    report = load_progress(database, campaign)
    assert (report.wanted, report.done, report.held, report.open, report.judgements) == (12, 4, 1, 7, 4)
    assert report.last_hour == 2
    assert [(day.start, day.judgements, day.active_ms) for day in report.days] == [
        ("2026-03-04", 1, 110_000),
        ("2026-03-05", 3, 90_000),
    ]
    assert {hour.start[11:]: hour.judgements for hour in report.hours if hour.judgements} == {
        "11": 2,
        "12": 1,
    }
    assert report.median_s == 40 and report.num_timed == 4  # of 10, 20, 60, 110
    assert report.active_ms == 200_000 and report.active_ms_today == 90_000
    assert report.cost == approx(2.0) and report.cost_today == approx(
        0.9
    )  # 36 per hour is one cent per second
    # 8 judgements of 50 s are missing: 400 s, which cost 4.00.  The interval is Student's t of four times.
    work_left, cost_left = report.work_left_s, report.cost_left
    assert work_left is not None and cost_left is not None and report.seconds is not None
    assert work_left.value == approx(400) and cost_left.value == approx(4.0)
    assert work_left.low == max(0.0, 8 * report.seconds.low) and work_left.high == approx(
        8 * report.seconds.high
    )


def test_a_corrected_answer_is_counted_and_paid_once(database: Database) -> None:
    with database.write() as connection:
        campaign = open_campaign(connection, pay_per_hour=3600.0)
        assignment = lease(connection, campaign, ANN, at=NOW)[0]
        judge(connection, assignment, active_ms=4000, at=NOW)
        judge(connection, assignment, {"choice": 8}, active_ms=2000, key="another-key", at=NOW)
    report = load_progress(database, campaign)
    assert report.judgements == report.done == report.last_hour == 1
    assert report.active_ms == 4000 and report.cost == approx(4.0)
    assert report.median_s == 4  # a correction contains the time of what it corrects
    assert [recent.value["preference"] for recent in report.recent] in ([3], [-3])


def test_a_withdrawn_judgement_is_not_counted(database: Database) -> None:
    with database.write() as connection:
        campaign = open_campaign(connection)
        assignment = lease(connection, campaign, ANN, at=NOW)[0]
        judge(connection, assignment, active_ms=4000, at=NOW)
        judgements.skip(connection, assignment.id, ANN, reason="unclear", at=NOW)
    report = load_progress(database, campaign)
    assert report.active_ms == 4000  # it was work
    assert report.judgements == report.done == 0 and report.recent == [] and report.left is None
    assert report.skips == {"unclear": 1}
    assert [(pace.rater, pace.judgements, pace.skipped) for pace in report.people] == [(ANN, 0, 1)]


def test_progress_of_each_rater(database: Database) -> None:
    with database.write() as connection:
        campaign = open_campaign(connection, num_items=8)
        for minutes in (1, 2, 60 * 24):
            judge_next(connection, campaign, ANN, NOW - timedelta(minutes=minutes), active_s=60)
        judge_next(connection, campaign, BEN, NOW - timedelta(minutes=3), active_s=0)  # faster than reading
        lease(connection, campaign, BEN, count=2, at=NOW)
    ann, ben = load_progress(database, campaign).people
    assert (ann.rater, ann.judgements, ann.today, ann.active_ms, ann.quick, ann.holding) == (
        ANN,
        3,
        2,
        180_000,
        0,
        0,
    )
    assert (ben.rater, ben.judgements, ben.today, ben.quick, ben.holding) == (BEN, 1, 1, 1, 2)
    assert ann.last_at == "2026-03-05T12:29:00.000000Z"


@pytest.mark.parametrize("choice", [1, 2, 3])
def test_the_share_of_choices_for_the_answer_shown_first(database: Database, choice: int) -> None:
    """A rater who always chooses A has a share of 100 %, whatever the order.  Ties do not count."""
    with database.write() as connection:
        campaign = open_campaign(connection, num_items=12)
        for n in range(8):
            judge_next(connection, campaign, ANN, NOW, {"choice": choice})
            judge_next(
                connection, campaign, BEN, NOW, {"choice": 9 - choice if n < 2 else choice if n < 3 else 4}
            )
            if n == 3:
                break
    report = load_progress(database, campaign)
    by_rater = {pace.rater: pace.left for pace in report.people}
    ann, ben = by_rater[ANN], by_rater[BEN]
    assert ann is not None and (ann.value, ann.n) == (1.0, 4)
    assert ben is not None and ben.value == approx(1 / 3) and ben.n == 3
    assert report.left is not None and report.left.value == approx(5 / 7) and report.left.n == 7


def test_stuck_leases_flags_and_drafts(database: Database) -> None:
    with database.write() as connection:
        campaign = open_campaign(connection, num_items=6)
        [quiet] = lease(connection, campaign, ANN, at=NOW - timedelta(minutes=20))
        [busy] = lease(connection, campaign, BEN, at=NOW - timedelta(minutes=20))
        leases.heartbeat(connection, campaign, busy.id, BEN, at=NOW - timedelta(minutes=2))
        number = flags.raise_flag(connection, busy.id, BEN, reason="broken", note="The answer stops.")
        drafts.save(connection, busy.id, BEN, {"note": "hm"})
    report = load_progress(database, campaign)
    assert [(stuck.token, stuck.rater, stuck.quiet_s) for stuck in report.stuck] == [(quiet.id, ANN, 1200)]
    assert [(flag.id, flag.note) for flag in report.flags] == [(number, "The answer stops.")]
    assert report.num_drafts == 1
    with database.write() as connection:
        leases.revoke(connection, campaign, quiet.id, by=LEAD, at=NOW)
        flags.resolve_flag(connection, campaign.id, number, by=LEAD)
    after = load_progress(database, campaign)
    assert after.stuck == [] and after.flags == [] and after.held == 1


def test_an_item_counts_once_for_each_of_its_tags(database: Database) -> None:
    with database.write() as connection:
        campaign = open_campaign(connection, num_items=1)
        items.add(
            connection,
            campaign,
            [tagged_item(1, "sum"), tagged_item(2, "sum", "hard"), tagged_item(3, "hard")],
            by=LEAD,
        )
        for _ in range(4):
            judge_next(connection, campaign, ANN, NOW)
        by_tag = {tag.tag: (tag.wanted, tag.done) for tag in progress.by_tag(connection, campaign)}
    assert by_tag == {"sum": (2, 2), "hard": (2, 2)}


def tagged_item(number: int, *tags: str) -> items.NewItem:
    return new_item(100 + number, tags=tags)


def test_recent_judgements_show_only_the_length_of_a_text(database: Database) -> None:
    with database.write() as connection:
        campaign = open_campaign(connection, kind="demonstration")
        judge_next(connection, campaign, ANN, NOW, {"text": "three secret words"})
    [recent] = load_progress(database, campaign).recent
    assert recent.value == {"text": "3 words"}


def test_progress_ignores_other_campaigns(database: Database) -> None:
    with database.write() as connection:
        campaign, other = open_campaign(connection, num_items=3), open_campaign(connection, num_items=9)
        judge_next(connection, campaign, ANN, NOW)
        before = progress.get_progress(connection, campaign, at=NOW)
        for _ in range(3):
            judge_next(connection, other, ANN, NOW)
        lease(connection, other, BEN, at=NOW - timedelta(minutes=25))
        after = progress.get_progress(connection, campaign, at=NOW)
    assert after == before


def test_the_number_of_statements_is_bounded(database: Database) -> None:

    with database.write() as connection:
        campaign = open_campaign(connection, num_items=30, overlap=2)
        for k in range(20):
            judge_next(connection, campaign, (ANN, BEN, CAT)[k % 3], NOW - timedelta(minutes=k))
    with database.read() as connection:
        seen: list[str] = []
        event.listen(connection, "before_cursor_execute", lambda *arguments: seen.append(arguments[2]))
        progress.get_progress(connection, campaign, at=NOW)
    assert len(seen) < 20
