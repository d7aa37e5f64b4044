"""Leases: who gets which item, when leases end, and judgements that arrive after the end."""

import functools
import itertools
import random
import threading
import time
from collections import Counter
from collections.abc import Callable

import pytest
from sqlalchemy import Connection, select

from fairlead.labels import (
    assignments,
    campaigns,
    events,
    flags,
    judgements,
    leases,
    progress,
)
from fairlead.labels.assignments import Assignment, assignment_table
from fairlead.labels.database import Database, format_time
from fairlead.labels.errors import Conflict, NotFound
from fairlead.labels.judgements import judgement_table
from fairlead.labels.leases import StuckLease
from labels.build import (
    ANN,
    BEN,
    CAT,
    LEAD,
    NOON,
    after,
    judge,
    lease,
    open_campaign,
    run_at_once,
    slot_states,
)


def test_leased_assignments_are_returned_before_new_ones(database: Database) -> None:
    with database.write() as connection:
        campaign = open_campaign(connection)
        [first] = lease(connection, campaign, ANN)
        [again, second] = lease(connection, campaign, ANN, count=2)
        assert (again.id, again.order, again.item) == (first.id, first.order, first.item)
        assert second.item.id != first.item.id
        assert [assignment.id for assignment in lease(connection, campaign, ANN, count=1)] == [first.id]
        assert [assignment.id for assignment in assignments.list_leased(connection, campaign, ANN)] == [
            first.id,
            second.id,
        ]


def test_an_item_that_needs_one_judgement_goes_to_one_rater(database: Database) -> None:
    with database.write() as connection:
        campaign = open_campaign(connection, num_items=3)
        [leased] = lease(connection, campaign, ANN)
        [judged] = lease(connection, campaign, BEN)
        judge(connection, judged)
        [remaining] = lease(connection, campaign, CAT, count=5)
        assert {leased.item.id, judged.item.id, remaining.item.id} == {1, 2, 3}
        assert lease(connection, campaign, "r-0000000009") == []


def test_a_rater_never_gets_an_item_twice(database: Database) -> None:
    with database.write() as connection:
        campaign = open_campaign(connection, num_items=2, overlap=4)
        seen = []
        for _ in range(3):
            for assignment in lease(connection, campaign, ANN, count=5):
                seen.append(assignment.item.id)
                judge(connection, assignment)
        assert sorted(seen) == [1, 2]


def test_a_rater_holds_a_limited_number_of_leases(database: Database) -> None:
    with database.write() as connection:
        campaign = open_campaign(connection, num_items=9)
        assert len(lease(connection, campaign, ANN, count=100)) == leases.MAX_LEASES


@pytest.mark.parametrize("state", ["paused", "closed"])
def test_no_new_assignments_unless_the_campaign_is_open(
    database: Database, state: campaigns.CampaignState
) -> None:
    with database.write() as connection:
        campaign = open_campaign(connection)
        [leased] = lease(connection, campaign, ANN)
        campaign = campaigns.set_state(connection, campaign, state, by=LEAD)
        assert lease(connection, campaign, BEN) == []
        assert [assignment.id for assignment in lease(connection, campaign, ANN, count=2)] == [leased.id]


def test_a_lease_expires_without_heartbeats(database: Database) -> None:
    with database.write() as connection:
        campaign = open_campaign(connection, num_items=1, lease_s=600)
        [assignment] = lease(connection, campaign, ANN)
        assert lease(connection, campaign, BEN, at=after(10)) == []  # not expired yet
        [other] = lease(connection, campaign, BEN, at=after(10.001))
        assert other.item.id == assignment.item.id
        assert assignments.get(connection, assignment.id, ANN).how == "expired"
        with pytest.raises(Conflict, match="can still send"):
            leases.heartbeat(connection, campaign, assignment.id, ANN, at=after(11))


def test_a_heartbeat_renews_the_lease(database: Database) -> None:
    with database.write() as connection:
        campaign = open_campaign(connection, num_items=1, lease_s=600)
        [assignment] = lease(connection, campaign, ANN)
        assert leases.heartbeat(connection, campaign, assignment.id, ANN, at=after(9)) == format_time(
            after(19)
        )
        assert lease(connection, campaign, BEN, at=after(18)) == []
        assert len(lease(connection, campaign, BEN, at=after(20))) == 1


def test_requesting_items_renews_the_leases(database: Database) -> None:
    with database.write() as connection:
        campaign = open_campaign(connection, num_items=1, lease_s=600)
        [assignment] = lease(connection, campaign, ANN)
        [again] = lease(connection, campaign, ANN, at=after(9))
        assert again.id == assignment.id
        assert lease(connection, campaign, BEN, at=after(18)) == []


def test_a_released_item_is_open_to_every_rater(database: Database) -> None:
    with database.write() as connection:
        campaign = open_campaign(connection, num_items=1)
        [assignment] = lease(connection, campaign, ANN)
        leases.release(connection, assignment.id, ANN, at=NOON)
        leases.release(connection, assignment.id, ANN, at=NOON)  # a second time changes nothing
        [leased_again] = lease(connection, campaign, ANN)
        assert (leased_again.item.id, leased_again.id != assignment.id) == (assignment.item.id, True)
        leases.release(connection, leased_again.id, ANN, at=NOON)
        assert len(lease(connection, campaign, BEN)) == 1


def test_releasing_a_judged_assignment_changes_nothing(database: Database) -> None:
    with database.write() as connection:
        campaign = open_campaign(connection, num_items=1)
        [assignment] = lease(connection, campaign, ANN)
        judge(connection, assignment)
        leases.release(connection, assignment.id, ANN)
        assert slot_states(connection, campaign) == {1: ["done"]}
        assert assignments.get(connection, assignment.id, ANN).how == "judged"


def test_a_lead_revokes_a_lease(database: Database) -> None:
    with database.write() as connection:
        campaign, other = open_campaign(connection, num_items=1), open_campaign(connection, num_items=1)
        [assignment] = lease(connection, campaign, ANN)
        with pytest.raises(NotFound):
            leases.revoke(connection, other, assignment.id, by=LEAD)
        leases.revoke(connection, campaign, assignment.id, by=LEAD)
        leases.revoke(connection, campaign, assignment.id, by=LEAD)
        assert slot_states(connection, campaign) == {1: ["open"]}
        revocations = [event for event in events.list_after(connection, 0) if event.verb == "task.taken_back"]
        assert [(event.actor, event.body) for event in revocations] == [(LEAD, {"rater": ANN})]
        assert assignment.id not in str(
            revocations
        )  # with the id, a reader of the events could act for the rater


def test_stuck_leases_have_no_recent_heartbeat(database: Database) -> None:
    with database.write() as connection:
        campaign = open_campaign(connection, num_items=3, lease_s=1800)
        [quiet] = lease(connection, campaign, ANN)
        [busy] = lease(connection, campaign, BEN)
        leases.heartbeat(connection, campaign, busy.id, BEN, at=after(14))
        assert leases.list_stuck(connection, campaign, since_s=900, at=after(15)) == []
        [stuck] = leases.list_stuck(connection, campaign, since_s=900, at=after(16))
        assert stuck == StuckLease(quiet.id, quiet.item.id, ANN, quiet.leased_at, 960)


def test_all_expired_leases_are_ended(database: Database) -> None:
    with database.write() as connection:
        campaign = open_campaign(connection, num_items=6, num_answers=2, lease_s=60)
        for number in range(6):
            lease(connection, campaign, f"r-10000000{number:02}")
        assert leases.expire(connection, campaign, at=after(2)) == 6
        assert set(itertools.chain(*slot_states(connection, campaign).values())) == {"open"}


def test_concurrent_raters_get_every_slot_once(database: Database) -> None:
    with database.write() as connection:
        campaign = open_campaign(connection, num_items=10, overlap=2)

    def work(rater: str) -> None:
        for _ in range(3):
            with database.write() as connection:
                leases.lease_items(connection, campaign, rater, count=2)

    raters = [f"r-20000000{n:02}" for n in range(12)]
    assert run_at_once([functools.partial(work, rater) for rater in raters]) == []
    with database.read() as connection:
        rows = connection.execute(
            select(assignment_table.c.item_id, assignment_table.c.slot_id, assignment_table.c.rater)
        ).all()
        assert set(itertools.chain(*slot_states(connection, campaign).values())) == {"held"}
    assert (
        len(rows)
        == len({row.slot_id for row in rows})
        == len({(row.item_id, row.rater) for row in rows})
        == 20
    )
    assert set(Counter(row.item_id for row in rows).values()) == {2}


def test_concurrent_windows_of_a_rater_never_share_an_item_or_a_place(database: Database) -> None:
    with database.write() as connection:
        campaign = open_campaign(connection, num_items=12, overlap=3)

    def ask(count: int) -> None:
        with database.write() as connection:
            leases.lease_items(connection, campaign, ANN, count=count)

    for _ in range(4):
        assert run_at_once([lambda: ask(2) for _ in range(6)]) == []
        with database.read() as connection:
            assert len(assignments.list_leased(connection, campaign, ANN)) <= 2
        with database.write() as connection:
            for assignment in assignments.list_leased(connection, campaign, ANN):
                judge(connection, assignment)
    with database.read() as connection:
        rows = connection.execute(
            select(assignment_table.c.item_id, assignment_table.c.seq).where(assignment_table.c.rater == ANN)
        ).all()
    assert len({row.item_id for row in rows}) == len(rows) >= 8
    assert sorted(row.seq for row in rows) == list(range(len(rows)))


# ---------------------------------------------------------------- late judgements and skips


def test_a_late_judgement_takes_the_open_slot(database: Database) -> None:
    with database.write() as connection:
        campaign = open_campaign(connection, num_items=1, lease_s=60)
        [assignment] = lease(connection, campaign, ANN)
        leases.expire(connection, campaign, at=after(2))
        judgement = judge(connection, assignment, at=after(3))
        assert judgement.late
        assert slot_states(connection, campaign) == {1: ["done"]}
        assert lease(connection, campaign, BEN, at=after(4)) == []
        assert assignments.get(connection, assignment.id, ANN).how == "judged"


def test_a_late_judgement_is_extra_when_no_slot_is_open(database: Database) -> None:
    with database.write() as connection:
        campaign = open_campaign(connection, num_items=1, lease_s=60)
        [assignment] = lease(connection, campaign, ANN)
        [other] = lease(connection, campaign, BEN, at=after(2))
        late = judge(connection, assignment, at=after(2.5))
        assert slot_states(connection, campaign) == {1: ["held"]}  # Ben keeps his lease
        in_time = judge(connection, other, at=after(2.6))
        assert (late.late, in_time.late) == (True, False)
        assert judgements.list_current(connection, campaign.id) == [late, in_time]
        assert slot_states(connection, campaign) == {1: ["done"]}


def test_a_late_judgement_of_an_item_leased_again_counts_once(database: Database) -> None:
    with database.write() as connection:
        campaign = open_campaign(connection, num_items=1, lease_s=60)
        [assignment] = lease(connection, campaign, ANN)
        [again] = lease(connection, campaign, ANN, at=after(2))
        assert again.id != assignment.id
        judge(connection, assignment, at=after(2.5))
        assert slot_states(connection, campaign) == {1: ["done"]}
        assert assignments.get(connection, again.id, ANN).how == "released"
        assert lease(connection, campaign, ANN, at=after(3)) == []


def test_an_extra_judgement_takes_the_next_slot_that_opens(database: Database) -> None:
    with database.write() as connection:
        campaign = open_campaign(connection, num_items=1, lease_s=60)
        [assignment] = lease(connection, campaign, ANN)
        [other] = lease(connection, campaign, BEN, at=after(2))
        judge(connection, assignment, at=after(2.5))
        leases.release(connection, other.id, BEN, at=after(2.6))
        assert slot_states(connection, campaign) == {
            1: ["done"]
        }  # by Ann's judgement, so no other rater is needed
        assert lease(connection, campaign, CAT, at=after(2.7)) == []
        judgements.skip(connection, assignment.id, ANN, reason="unclear", at=after(2.8))
        assert [
            next_assignment.item.id for next_assignment in lease(connection, campaign, CAT, at=after(2.9))
        ] == [1]


def get_outcome(connection: Connection, assignment: Assignment) -> tuple[str | None, str | None]:
    row = assignments.get_row(connection, assignment.id, assignment.rater)
    return row.how, row.reason


def test_a_late_skip_is_recorded(database: Database) -> None:
    with database.write() as connection:
        campaign = open_campaign(connection, num_items=1, lease_s=60)
        [assignment] = lease(connection, campaign, ANN)
        leases.expire(connection, campaign, at=after(2))
        for _ in range(2):  # as a client that missed the response does
            judgements.skip(
                connection, assignment.id, ANN, reason="too hard", note="What is a monad?", at=after(3)
            )
        assert get_outcome(connection, assignment) == ("skipped", "too hard")
        assert progress.get_progress(connection, campaign, at=after(4)).skips == {"too hard": 1}
        assert [flag.note for flag in flags.list_flags(connection, campaign.id)] == ["What is a monad?"]
        assert lease(connection, campaign, ANN, at=after(4)) == []
        assert len(lease(connection, campaign, BEN, at=after(4))) == 1


def test_a_late_skip_releases_a_second_lease_on_the_item(database: Database) -> None:
    with database.write() as connection:
        campaign = open_campaign(connection, num_items=1, lease_s=60)
        [assignment] = lease(connection, campaign, ANN)
        [again] = lease(connection, campaign, ANN, at=after(2))
        judgements.skip(connection, assignment.id, ANN, reason="unclear", at=after(2.5))
        assert (get_outcome(connection, assignment)[0], get_outcome(connection, again)[0]) == (
            "skipped",
            "released",
        )
        assert slot_states(connection, campaign) == {1: ["open"]}
        assert lease(connection, campaign, ANN, at=after(3)) == []


@pytest.mark.parametrize("first", ["judged", "skipped"])
def test_a_late_skip_withdraws_only_the_late_judgement(database: Database, first: str) -> None:
    with database.write() as connection:
        campaign = open_campaign(connection, num_items=1, lease_s=60)
        [assignment] = lease(connection, campaign, ANN)
        [again] = lease(connection, campaign, ANN, at=after(2))
        if first == "judged":
            judge(connection, again, at=after(2.1))
        else:
            judgements.skip(connection, again.id, ANN, reason="broken", at=after(2.1))
        judge(connection, assignment, at=after(2.2))
        judgements.skip(connection, assignment.id, ANN, reason="unclear", at=after(2.3))
        assert (get_outcome(connection, assignment), get_outcome(connection, again)[0]) == (
            ("expired", "unclear"),
            first,
        )
        assert len(judgements.list_current(connection, campaign.id)) == (first == "judged")
        assert slot_states(connection, campaign) == {1: ["done" if first == "judged" else "open"]}


def test_skip_then_judge_then_skip_again(database: Database) -> None:
    with database.write() as connection:
        campaign = open_campaign(connection, num_items=1)
        [assignment] = lease(connection, campaign, ANN)
        judgements.skip(connection, assignment.id, ANN, reason="unclear", at=after(1))
        judge(connection, assignment, at=after(2))
        judgements.skip(connection, assignment.id, ANN, reason="upsetting", at=after(3))
        assert get_outcome(connection, assignment) == ("skipped", "upsetting")
        assert judgements.list_current(connection, campaign.id) == []
        assert slot_states(connection, campaign) == {1: ["open"]}


def run_during(
    database: Database, first: Callable[[Connection], object], second: Callable[[Connection], object]
) -> list[BaseException]:
    """Start the second call while the transaction of the first is open.  Returns the exceptions."""

    def late() -> None:
        with database.write() as connection:
            second(connection)

    failures: list[BaseException] = []
    thread = threading.Thread(target=lambda: failures.extend(run_at_once([late])))
    with database.write() as connection:
        first(connection)
        thread.start()
        time.sleep(0.3)
    thread.join()
    return failures


def test_a_late_judgement_during_a_lease_by_another_rater_takes_another_slot(database: Database) -> None:
    with database.write() as connection:
        campaign = open_campaign(connection, num_items=1, lease_s=60, overlap=2)
        [assignment] = lease(connection, campaign, ANN)
        leases.expire(connection, campaign, at=after(2))
    assert (
        run_during(
            database,
            lambda c: lease(c, campaign, BEN, at=after(3)),
            lambda c: judge(c, assignment, at=after(3)),
        )
        == []
    )
    with database.write() as connection:
        assert sorted(slot_states(connection, campaign)[1]) == ["done", "held"]
        assert lease(connection, campaign, CAT, at=after(3)) == []
        assert [judgement.rater for judgement in judgements.list_current(connection, campaign.id)] == [ANN]


def test_a_late_judgement_during_a_lease_by_the_same_rater_counts_once(database: Database) -> None:
    with database.write() as connection:
        campaign = open_campaign(connection, num_items=1, lease_s=60)
        [assignment] = lease(connection, campaign, ANN)
        leases.expire(connection, campaign, at=after(2))
    assert (
        run_during(
            database,
            lambda c: lease(c, campaign, ANN, at=after(3)),
            lambda c: judge(c, assignment, at=after(3)),
        )
        == []
    )
    with database.read() as connection:
        assert slot_states(connection, campaign) == {1: ["done"]}
        assert assignments.list_leased(connection, campaign, ANN) == []
        assert len(judgements.list_current(connection, campaign.id)) == 1


@pytest.mark.parametrize("answer_first", [True, False])
def test_a_late_judgement_during_a_release_is_counted(database: Database, answer_first: bool) -> None:
    with database.write() as connection:
        campaign = open_campaign(connection, num_items=1, lease_s=60)
        [assignment] = lease(connection, campaign, ANN)
        [other] = lease(connection, campaign, BEN, at=after(2))
    calls = (
        lambda c: judge(c, assignment, at=after(2.5)),
        lambda c: leases.release(c, other.id, BEN, at=after(2.5)),
    )
    assert run_during(database, *(calls if answer_first else calls[::-1])) == []
    with database.read() as connection:
        assert slot_states(connection, campaign) == {1: ["done"]}


def test_concurrent_leases_and_late_judgements_never_exceed_the_overlap(database: Database) -> None:
    """Leases last a minute and each action takes half a minute, so most judgements are late."""
    with database.write() as connection:
        campaign = open_campaign(connection, num_items=3, overlap=3, lease_s=60)
    clock, sent = itertools.count(), set[str]()

    def work(rater: str) -> None:
        rng, leased = random.Random(rater), list[assignments.Assignment]()
        for _ in range(12):
            at = after(next(clock) / 2)
            with database.write() as connection:
                if leased and rng.random() < 0.6:
                    assignment = leased.pop(0)
                    judge(connection, assignment, at=at)
                    sent.add(f"key-{assignment.id}")
                else:
                    leased += [
                        assignment
                        for assignment in lease(connection, campaign, rater, count=2, at=at)
                        if assignment not in leased
                    ]

    raters = [f"r-00000000{n:02}" for n in range(8)]
    assert run_at_once([functools.partial(work, rater) for rater in raters]) == []
    with database.write() as connection:
        leases.expire(connection, campaign, at=after(1000))
        stored = {row.key for row in connection.execute(select(judgement_table.c.key))}
        assert stored == sent
        judged = Counter(
            row.item_id
            for row in connection.execute(
                select(assignment_table.c.item_id).where(assignment_table.c.how == "judged")
            ).all()
        )
        for item_id, states in slot_states(connection, campaign).items():
            assert len(states) == 3 and states.count("done") == min(
                3, judged[item_id]
            )  # every judgement was counted while the item had room


def test_a_judgement_after_the_campaign_closed_is_stored(database: Database) -> None:
    with database.write() as connection:
        campaign = open_campaign(connection)
        [assignment] = lease(connection, campaign, ANN)
        campaigns.set_state(connection, campaign, "closed", by=LEAD)
        judgement = judge(connection, assignment)
        assert judgements.list_current(connection, campaign.id) == [judgement]


def test_a_late_judgement_can_be_sent_twice_and_corrected(database: Database) -> None:
    with database.write() as connection:
        campaign = open_campaign(connection, num_items=1, lease_s=60, overlap=2)
        [assignment] = lease(connection, campaign, ANN)
        leases.expire(connection, campaign, at=after(2))
        judgement = judge(connection, assignment, at=after(3))
        assert judge(connection, assignment, at=after(4)) == judgement
        corrected = judge(connection, assignment, {"choice": 8}, key="key-00002", at=after(5))
        assert corrected.supersedes == judgement.id
        assert sorted(slot_states(connection, campaign)[assignment.item.id]) == ["done", "open"]
