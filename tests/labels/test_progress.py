"""The figures of a campaign against arithmetic done by hand, and agreement by kind."""

import math
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pytest import approx
from sqlalchemy import Connection, event

from fairlead.labels import agreement, assignments, drafts, flags, items, judgements, leases, progress
from fairlead.labels.campaigns import Campaign
from fairlead.labels.database import Database
from fairlead.labels.progress import Progress
from fairlead.labels.task_kinds import TaskKind
from labels.build import ANN, BEN, CAT, LEAD, VALUES, judge, new_item, open_campaign, take

NOW = datetime(2026, 3, 5, 12, 30, tzinfo=UTC)


def said(
    connection: Connection,
    one: Campaign,
    rater: str,
    at: datetime,
    value: dict[str, Any] | None = None,
    active_s: float = 30,
) -> int:
    """The rater takes the next task and judges it at once; returns the judgement's number."""
    held = take(connection, one, rater, at=at)[0]
    kept = judge(connection, held, value or VALUES[one.kind], active_ms=int(active_s * 1000), at=at)
    return kept.id


def look(database: Database, one: Campaign, at: datetime = NOW) -> Progress:
    with database.read() as connection:
        return progress.get_progress(connection, one, at=at)


def test_an_untouched_campaign_has_counts_and_nothing_else(database: Database) -> None:
    with database.write() as connection:
        one = open_campaign(connection, num_items=4, overlap=2, pay_per_hour=10.0)
    found = look(database, one)
    assert (found.num_items, found.wanted, found.done, found.held, found.open) == (4, 8, 0, 0, 8)
    assert (found.judgements, found.last_hour, found.days, found.cost) == (0, 0, [], 0.0)
    assert [found.finish, found.seconds, found.median_s, found.left, found.work_left_s, found.cost_left] == [
        None
    ] * 6
    assert found.people == [] and len(found.hours) == 24 and not any(hour.judgements for hour in found.hours)


def test_counts_times_and_cost(database: Database) -> None:
    with database.write() as connection:
        one = open_campaign(connection, num_items=6, overlap=2, pay_per_hour=36.0)
        for minutes, rater, active_s in ((5, ANN, 10), (50, ANN, 20), (70, BEN, 60), (60 * 24, BEN, 110)):
            said(connection, one, rater, NOW - timedelta(minutes=minutes), active_s=active_s)
        take(connection, one, CAT, at=NOW - timedelta(minutes=1))
    found = look(database, one)
    assert (found.wanted, found.done, found.held, found.open, found.judgements) == (12, 4, 1, 7, 4)
    assert found.last_hour == 2
    assert [(day.start, day.judgements, day.active_ms) for day in found.days] == [
        ("2026-03-04", 1, 110_000),
        ("2026-03-05", 3, 90_000),
    ]
    assert {hour.start[11:]: hour.judgements for hour in found.hours if hour.judgements} == {"11": 2, "12": 1}
    assert found.median_s == 40 and found.num_timed == 4  # of 10, 20, 60, 110
    assert found.active_ms == 200_000 and found.active_ms_today == 90_000
    assert found.cost == approx(2.0) and found.cost_today == approx(0.9)  # 36 an hour is a cent a second
    # Eight are left, of 50 s each: 400 s, 4.00; the interval is Student's t of the four times.
    work, rest = found.work_left_s, found.cost_left
    assert work is not None and rest is not None and found.seconds is not None
    assert work.value == approx(400) and rest.value == approx(4.0)
    assert work.low == max(0.0, 8 * found.seconds.low) and work.high == approx(8 * found.seconds.high)


def test_what_was_superseded_is_paid_but_counted_once(database: Database) -> None:
    with database.write() as connection:
        one = open_campaign(connection, pay_per_hour=3600.0)
        held = take(connection, one, ANN, at=NOW)[0]
        judge(connection, held, active_ms=4000, at=NOW)
        judge(connection, held, {"choice": 8}, active_ms=2000, key="another-key", at=NOW)
    found = look(database, one)
    assert found.judgements == found.done == found.last_hour == 1
    assert found.active_ms == 6000 and found.cost == approx(6.0)
    assert found.median_s == 2  # of what stands
    assert [one.value["preference"] for one in found.recent] in ([3], [-3])


def test_a_withdrawn_judgement_counts_nowhere(database: Database) -> None:
    with database.write() as connection:
        one = open_campaign(connection)
        held = take(connection, one, ANN, at=NOW)[0]
        judge(connection, held, active_ms=4000, at=NOW)
        judgements.skip(connection, held.id, ANN, reason="unclear", at=NOW)
    found = look(database, one)
    assert found.judgements == found.done == 0 and found.recent == [] and found.left is None
    assert found.skips == {"unclear": 1}
    assert [(pace.rater, pace.judgements, pace.skipped) for pace in found.people] == [(ANN, 0, 1)]


def test_people_by_pseudonym(database: Database) -> None:
    with database.write() as connection:
        one = open_campaign(connection, num_items=8)
        for minutes in (1, 2, 60 * 24):
            said(connection, one, ANN, NOW - timedelta(minutes=minutes), active_s=60)
        said(connection, one, BEN, NOW - timedelta(minutes=3), active_s=0)  # quicker than anybody reads
        take(connection, one, BEN, count=2, at=NOW)
    ann, ben = look(database, one).people
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
def test_the_share_of_first_places_is_of_what_was_shown_first(database: Database, choice: int) -> None:
    """Whoever always chooses A has 100 %, in whatever order the candidates were shown; ties are neither."""
    with database.write() as connection:
        one = open_campaign(connection, num_items=12)
        for n in range(8):
            said(connection, one, ANN, NOW, {"choice": choice})
            said(connection, one, BEN, NOW, {"choice": 9 - choice if n < 2 else choice if n < 3 else 4})
            if n == 3:
                break
    found = look(database, one)
    by_rater = {pace.rater: pace.left for pace in found.people}
    ann, ben = by_rater[ANN], by_rater[BEN]
    assert ann is not None and (ann.value, ann.n) == (1.0, 4)
    assert ben is not None and ben.value == approx(1 / 3) and ben.n == 3
    assert found.left is not None and found.left.value == approx(5 / 7) and found.left.n == 7


def test_the_time_to_finish_by_hand(database: Database) -> None:
    """Two, four, two and four judgements in the four whole hours before this one."""
    with database.write() as connection:
        one = open_campaign(connection, num_items=40)
        hour = NOW.replace(minute=0)
        said(
            connection, one, ANN, hour - timedelta(hours=4, minutes=1)
        )  # in the hour that is only partly after the first judgement
        for ago, number in ((4, 2), (3, 4), (2, 2), (1, 4)):
            for k in range(number):
                said(connection, one, ANN, hour - timedelta(hours=ago) + timedelta(minutes=k))
        said(connection, one, ANN, hour + timedelta(minutes=5))  # the hour that is going on does not count
    found = look(database, one).finish
    assert found is not None
    assert (found.block, found.num_blocks, found.per_hour) == ("hours", 4, 3.0)
    # 26 are left: 40 - 14.  The mean 3 has a t interval of 3 ± 3.1824 * 1.1547 / 2 = 1.1626 .. 4.8374
    assert found.hours.value == approx(26 / 3)
    assert found.hours.low == approx(26 / 4.8374, abs=1e-3) and found.hours.high == approx(
        26 / 1.1626, abs=1e-3
    )


def test_a_young_campaign_is_measured_in_minutes_and_an_idle_one_has_no_latest_time(
    database: Database,
) -> None:
    with database.write() as connection:
        young = open_campaign(connection, num_items=30)
        for k in range(6):
            said(connection, young, ANN, NOW - timedelta(minutes=6 - k))
        idle = open_campaign(connection, num_items=30)
        said(connection, idle, ANN, NOW - timedelta(hours=9))
    found = look(database, young).finish
    assert found is not None and found.block == "minutes" and found.per_hour == approx(60.0)
    lazy = look(database, idle).finish
    assert lazy is None  # nothing in the last whole hours: there is no pace


def test_nothing_is_left_to_finish(database: Database) -> None:
    with database.write() as connection:
        one = open_campaign(connection, num_items=5)
        for k in range(5):
            said(connection, one, ANN, NOW - timedelta(minutes=8 - k))
    found = look(database, one)
    assert found.done == found.wanted and found.finish is None


def test_an_uneven_pace_has_no_latest_time(database: Database) -> None:
    with database.write() as connection:
        one = open_campaign(connection, num_items=40)
        said(connection, one, ANN, NOW - timedelta(minutes=7))
        for _ in range(8):
            said(connection, one, ANN, NOW - timedelta(minutes=2, seconds=30))
    found = look(database, one).finish
    assert found is not None and math.isinf(found.hours.high) and found.hours.low < found.hours.value


def test_stuck_flags_and_drafts(database: Database) -> None:
    with database.write() as connection:
        one = open_campaign(connection, num_items=6)
        [quiet] = take(connection, one, ANN, at=NOW - timedelta(minutes=20))
        [busy] = take(connection, one, BEN, at=NOW - timedelta(minutes=20))
        leases.heartbeat(connection, one, busy.id, BEN, at=NOW - timedelta(minutes=2))
        number = flags.raise_flag(connection, busy.id, BEN, reason="broken", note="The answer stops.")
        drafts.save(connection, busy.id, BEN, {"note": "hm"})
    found = look(database, one)
    assert [(hold.token, hold.rater, hold.quiet_s) for hold in found.stuck] == [(quiet.id, ANN, 1200)]
    assert [(flag.id, flag.note) for flag in found.flags] == [(number, "The answer stops.")]
    assert found.num_drafts == 1
    with database.write() as connection:
        leases.revoke(connection, one, quiet.id, by=LEAD, at=NOW)
        flags.resolve_flag(connection, one.id, number, by=LEAD)
    after = look(database, one)
    assert after.stuck == [] and after.flags == [] and after.held == 1


def test_tags_count_slots_and_an_item_of_two_counts_twice(database: Database) -> None:
    with database.write() as connection:
        one = open_campaign(connection, num_items=1)
        items.add(
            connection, one, [_tagged(1, "sum"), _tagged(2, "sum", "hard"), _tagged(3, "hard")], by=LEAD
        )
        for _ in range(4):
            said(connection, one, ANN, NOW)
        found = {tag.tag: (tag.wanted, tag.done) for tag in progress.by_tag(connection, one)}
    assert found == {"sum": (2, 2), "hard": (2, 2)}


def _tagged(number: int, *tags: str) -> items.NewItem:
    return new_item(100 + number, tags=tags)


def test_recent_says_how_long_a_text_is_and_not_what_it_says(database: Database) -> None:
    with database.write() as connection:
        one = open_campaign(connection, kind="demonstration")
        said(connection, one, ANN, NOW, {"text": "three secret words"})
    [recent] = look(database, one).recent
    assert recent.value == {"text": "3 words"}


def test_another_campaign_changes_nothing(database: Database) -> None:
    with database.write() as connection:
        one, other = open_campaign(connection, num_items=3), open_campaign(connection, num_items=9)
        said(connection, one, ANN, NOW)
        before = progress.get_progress(connection, one, at=NOW)
        for _ in range(3):
            said(connection, other, ANN, NOW)
        take(connection, other, BEN, at=NOW - timedelta(minutes=25))
        after = progress.get_progress(connection, one, at=NOW)
    assert after == before


def test_the_statements_are_a_handful_whatever_the_size(database: Database) -> None:

    with database.write() as connection:
        one = open_campaign(connection, num_items=30, overlap=2)
        for k in range(20):
            said(connection, one, (ANN, BEN, CAT)[k % 3], NOW - timedelta(minutes=k))
    with database.read() as connection:
        seen: list[str] = []
        event.listen(connection, "before_cursor_execute", lambda *arguments: seen.append(arguments[2]))
        progress.get_progress(connection, one, at=NOW)
    assert len(seen) < 20


# ---------------------------------------------------------------- agreement


def both(
    connection: Connection,
    kind: TaskKind,
    pairs: list[tuple[dict[str, Any], dict[str, Any]]],
    **settings: Any,
) -> agreement.MeasuredAgreement | None:
    """Two people judge the same items: item by item the values of the one and of the other, as kept."""
    one = open_campaign(connection, kind=kind, num_items=len(pairs), overlap=2, **settings)
    mine = {
        rater: {held.item.id: held for held in _all(connection, one, rater, len(pairs))}
        for rater in (ANN, BEN)
    }
    for item_id, values in zip(sorted(mine[ANN]), pairs, strict=True):
        for rater, value in zip((ANN, BEN), values, strict=True):
            judge(connection, mine[rater][item_id], value)
    return agreement.measure(connection, one)


def _all(connection: Connection, one: Campaign, rater: str, number: int) -> list[assignments.Assignment]:
    held = take(connection, one, rater, count=number)
    assert len(held) == number <= leases.MAX_LEASES
    return held


def test_thumbs_by_hand(database: Database) -> None:
    good, bad = {"label": True}, {"label": False}
    with database.write() as connection:
        found = both(connection, "thumbs", [(good, good), (good, bad), (bad, bad), (bad, bad)])
    assert found is not None and found.num_items == 4
    assert found.agreement.raw.value == 0.75
    assert found.agreement.alpha is not None and found.agreement.alpha.value == approx(
        0.53333, abs=1e-5
    )  # see tests/stats/test_agreement.py


def test_a_comparison_is_compared_by_candidate_and_not_by_letter(database: Database) -> None:
    """Two people who choose the letter A of opposite orders disagree; and who chose the same candidate, however much better, agree."""
    with database.write() as connection:
        one = open_campaign(connection, num_items=5, overlap=2)
        mine = {
            rater: {held.item.id: held for held in _all(connection, one, rater, 5)} for rater in (ANN, BEN)
        }
        expected = []
        for k, item_id in enumerate(sorted(mine[ANN])):
            for rater, choice in ((ANN, 1), (BEN, 3)):
                judge(connection, mine[rater][item_id], {"choice": choice}, key=f"key-{rater}-{k}")
            expected.append(mine[ANN][item_id].order == mine[BEN][item_id].order)
        found = agreement.measure(connection, one)
    assert found is not None and found.agreement.raw.value == approx(sum(expected) / 5)


def test_rankings_are_compared_by_pairs_of_answers(database: Database) -> None:
    with database.write() as connection:
        one = open_campaign(connection, kind="ranking", num_items=1, num_answers=3, overlap=2)
        [ann], [ben] = _all(connection, one, ANN, 1), _all(connection, one, BEN, 1)
        letters = {
            rater: {candidate: "ABC"[k] for k, candidate in enumerate(held.order)}
            for rater, held in ((ANN, ann), (BEN, ben))
        }
        # Ann: 0 > 1 > 2.  Ben: 0 > 2 > 1.  Of three pairs of answers they agree on two.
        judge(connection, ann, {"ranks": {letters[ANN][0]: 1, letters[ANN][1]: 2, letters[ANN][2]: 3}})
        judge(connection, ben, {"ranks": {letters[BEN][0]: 1, letters[BEN][2]: 2, letters[BEN][1]: 3}})
        found = agreement.measure(connection, one)
    assert found is not None and found.agreement.raw.value == approx(2 / 3) and found.num_items == 1


def test_scores_are_compared_by_distance(database: Database) -> None:
    near = [({"score": 3}, {"score": 4}), ({"score": 7}, {"score": 6}), ({"score": 1}, {"score": 2})]
    far = [({"score": 1}, {"score": 7}), ({"score": 7}, {"score": 1}), ({"score": 4}, {"score": 4})]
    with database.write() as connection:
        close, apart = both(connection, "rating", near), both(connection, "rating", far)
    assert close and apart and close.agreement.alpha and apart.agreement.alpha
    assert close.agreement.alpha.value > 0.8 > 0 > apart.agreement.alpha.value


@pytest.mark.parametrize("kind", ["thumbs", "demonstration"])
def test_without_overlap_or_with_texts_there_is_none(database: Database, kind: TaskKind) -> None:
    with database.write() as connection:
        one = open_campaign(connection, kind=kind, num_items=3)
        said(connection, one, ANN, NOW)
        said(connection, one, BEN, NOW)
        assert agreement.measure(connection, one) is None


def test_who_cannot_judge_says_nothing(database: Database) -> None:
    with database.write() as connection:
        assert both(connection, "thumbs", [({"label": True}, {"cannot": "judge"})]) is None


def test_of_a_person_the_last_judgement_counts(database: Database) -> None:
    with database.write() as connection:
        one = open_campaign(connection, kind="thumbs", num_items=1, overlap=2)
        [ann], [ben] = _all(connection, one, ANN, 1), _all(connection, one, BEN, 1)
        judge(connection, ann, {"label": False})
        judge(connection, ben, {"label": True})
        judge(connection, ann, {"label": True}, key="changed-my-mind")
        found = agreement.measure(connection, one)
    assert found is not None and found.agreement.raw.value == 1.0 and found.agreement.num_pairs == 1
