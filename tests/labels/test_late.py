"""Answers that come after the hold was lost: each is kept, and where there is room, now or later, it counts."""

import itertools
import random
import threading
import time
from collections import Counter
from collections.abc import Callable

import pytest
from sqlalchemy import Connection, select

from fairlead.labels import assignments, campaigns, flags, judgements, leases, progress
from fairlead.labels.assignments import Assignment, assignment_table
from fairlead.labels.database import Database
from fairlead.labels.judgements import judgement_table
from labels.build import ANN, BEN, CAT, LEAD, after, judge, open_campaign, slots, take
from labels.test_assignments import together


def test_a_late_answer_takes_the_free_slot(database: Database) -> None:
    with database.write() as connection:
        one = open_campaign(connection, num_items=1, lease_s=60)
        [task] = take(connection, one, ANN)
        leases.expire(connection, one, at=after(2))
        made = judge(connection, task, at=after(3))
        assert made.late
        assert slots(connection, one) == {1: ["done"]}
        assert take(connection, one, BEN, at=after(4)) == []
        assert assignments.get(connection, task.id, ANN).how == "judged"


def test_a_late_answer_is_an_extra_one_where_others_have_the_item(database: Database) -> None:
    with database.write() as connection:
        one = open_campaign(connection, num_items=1, lease_s=60)
        [task] = take(connection, one, ANN)
        [other] = take(connection, one, BEN, at=after(2))
        late = judge(connection, task, at=after(2.5))
        assert slots(connection, one) == {1: ["held"]}  # Ben's work is not taken from him
        in_time = judge(connection, other, at=after(2.6))
        assert (late.late, in_time.late) == (True, False)
        assert judgements.list_current(connection, one.id) == [late, in_time]
        assert slots(connection, one) == {1: ["done"]}


def test_a_late_answer_to_an_item_that_the_person_holds_again_is_one_answer(database: Database) -> None:
    with database.write() as connection:
        one = open_campaign(connection, num_items=1, lease_s=60)
        [task] = take(connection, one, ANN)
        [again] = take(connection, one, ANN, at=after(2))
        assert again.id != task.id
        judge(connection, task, at=after(2.5))
        assert slots(connection, one) == {1: ["done"]}
        assert assignments.get(connection, again.id, ANN).how == "released"
        assert take(connection, one, ANN, at=after(3)) == []


def test_an_extra_answer_is_counted_once_there_is_room(database: Database) -> None:
    with database.write() as connection:
        one = open_campaign(connection, num_items=1, lease_s=60)
        [task] = take(connection, one, ANN)
        [other] = take(connection, one, BEN, at=after(2))
        judge(connection, task, at=after(2.5))
        leases.release(connection, other.id, BEN, at=after(2.6))
        assert slots(connection, one) == {1: ["done"]}  # by Ann's, so that nobody else is asked
        assert take(connection, one, CAT, at=after(2.7)) == []
        judgements.skip(connection, task.id, ANN, reason="unclear", at=after(2.8))
        assert [each.item.id for each in take(connection, one, CAT, at=after(2.9))] == [1]


def how(connection: Connection, task: Assignment) -> tuple[str | None, str | None]:
    row = assignments.get_row(connection, task.id, task.rater)
    return row.how, row.reason


def test_a_late_skip_is_a_skip(database: Database) -> None:
    with database.write() as connection:
        one = open_campaign(connection, num_items=1, lease_s=60)
        [task] = take(connection, one, ANN)
        leases.expire(connection, one, at=after(2))
        for _ in range(2):  # as an outbox sends that did not hear the answer
            judgements.skip(connection, task.id, ANN, reason="too hard", note="What is a monad?", at=after(3))
        assert how(connection, task) == ("skipped", "too hard")
        assert progress.get_progress(connection, one, at=after(4)).skips == {"too hard": 1}
        assert [each.note for each in flags.list_flags(connection, one.id)] == ["What is a monad?"]
        assert take(connection, one, ANN, at=after(4)) == []
        assert len(take(connection, one, BEN, at=after(4))) == 1


def test_a_late_skip_of_an_item_that_the_person_holds_again_lets_it_go(database: Database) -> None:
    with database.write() as connection:
        one = open_campaign(connection, num_items=1, lease_s=60)
        [task] = take(connection, one, ANN)
        [again] = take(connection, one, ANN, at=after(2))
        judgements.skip(connection, task.id, ANN, reason="unclear", at=after(2.5))
        assert (how(connection, task)[0], how(connection, again)[0]) == ("skipped", "released")
        assert slots(connection, one) == {1: ["open"]}
        assert take(connection, one, ANN, at=after(3)) == []


@pytest.mark.parametrize("first", ["judged", "skipped"])
def test_of_two_answers_of_a_person_to_an_item_the_late_one_is_skipped(
    database: Database, first: str
) -> None:
    with database.write() as connection:
        one = open_campaign(connection, num_items=1, lease_s=60)
        [task] = take(connection, one, ANN)
        [again] = take(connection, one, ANN, at=after(2))
        if first == "judged":
            judge(connection, again, at=after(2.1))
        else:
            judgements.skip(connection, again.id, ANN, reason="broken", at=after(2.1))
        judge(connection, task, at=after(2.2))
        judgements.skip(connection, task.id, ANN, reason="unclear", at=after(2.3))
        assert (how(connection, task), how(connection, again)[0]) == (("expired", "unclear"), first)
        assert len(judgements.list_current(connection, one.id)) == (first == "judged")
        assert slots(connection, one) == {1: ["done" if first == "judged" else "open"]}


def test_skipped_and_judged_and_skipped_again(database: Database) -> None:
    with database.write() as connection:
        one = open_campaign(connection, num_items=1)
        [task] = take(connection, one, ANN)
        judgements.skip(connection, task.id, ANN, reason="unclear", at=after(1))
        judge(connection, task, at=after(2))
        judgements.skip(connection, task.id, ANN, reason="upsetting", at=after(3))
        assert how(connection, task) == ("skipped", "upsetting")
        assert judgements.list_current(connection, one.id) == []
        assert slots(connection, one) == {1: ["open"]}


def meanwhile(
    database: Database, first: Callable[[Connection], object], second: Callable[[Connection], object]
) -> list[BaseException]:
    """The second begins while the first has not ended, and waits for it or not."""

    def late() -> None:
        with database.write() as connection:
            second(connection)

    failures: list[BaseException] = []
    thread = threading.Thread(target=lambda: failures.extend(together([late])))
    with database.write() as connection:
        first(connection)
        thread.start()
        time.sleep(0.3)
    thread.join()
    return failures


def test_a_late_answer_while_the_slot_is_handed_to_somebody_else_takes_another(database: Database) -> None:
    with database.write() as connection:
        one = open_campaign(connection, num_items=1, lease_s=60, overlap=2)
        [task] = take(connection, one, ANN)
        leases.expire(connection, one, at=after(2))
    assert (
        meanwhile(database, lambda c: take(c, one, BEN, at=after(3)), lambda c: judge(c, task, at=after(3)))
        == []
    )
    with database.write() as connection:
        assert sorted(slots(connection, one)[1]) == ["done", "held"]
        assert take(connection, one, CAT, at=after(3)) == []
        assert [made.rater for made in judgements.list_current(connection, one.id)] == [ANN]


def test_a_late_answer_while_the_same_person_is_handed_the_item_is_one_answer(database: Database) -> None:
    with database.write() as connection:
        one = open_campaign(connection, num_items=1, lease_s=60)
        [task] = take(connection, one, ANN)
        leases.expire(connection, one, at=after(2))
    assert (
        meanwhile(database, lambda c: take(c, one, ANN, at=after(3)), lambda c: judge(c, task, at=after(3)))
        == []
    )
    with database.read() as connection:
        assert slots(connection, one) == {1: ["done"]}
        assert assignments.list_leased(connection, one, ANN) == []
        assert len(judgements.list_current(connection, one.id)) == 1


@pytest.mark.parametrize("answer_first", [True, False])
def test_a_late_answer_while_somebody_else_lets_go_is_counted(database: Database, answer_first: bool) -> None:
    with database.write() as connection:
        one = open_campaign(connection, num_items=1, lease_s=60)
        [task] = take(connection, one, ANN)
        [other] = take(connection, one, BEN, at=after(2))
    acts = (
        lambda c: judge(c, task, at=after(2.5)),
        lambda c: leases.release(c, other.id, BEN, at=after(2.5)),
    )
    assert meanwhile(database, *(acts if answer_first else acts[::-1])) == []
    with database.read() as connection:
        assert slots(connection, one) == {1: ["done"]}


def test_late_answers_and_holds_at_once_leave_no_item_beyond_its_overlap(database: Database) -> None:
    """Holds last a minute and the clock runs half a minute with each act, so that most answers are late."""
    with database.write() as connection:
        one = open_campaign(connection, num_items=3, overlap=3, lease_s=60)
    clock, sent = itertools.count(), set[str]()

    def work(rater: str) -> None:
        rng, mine = random.Random(rater), list[assignments.Assignment]()
        for _ in range(12):
            at = after(next(clock) / 2)
            with database.write() as connection:
                if mine and rng.random() < 0.6:
                    task = mine.pop(0)
                    judge(connection, task, at=at)
                    sent.add(f"key-{task.id}")
                else:
                    mine += [
                        task for task in take(connection, one, rater, count=2, at=at) if task not in mine
                    ]

    people = [f"r-00000000{n:02}" for n in range(8)]
    assert together([lambda rater=rater: work(rater) for rater in people]) == []  # type: ignore[misc]
    with database.write() as connection:
        leases.expire(connection, one, at=after(1000))
        kept = {row.key for row in connection.execute(select(judgement_table.c.key))}
        assert kept == sent
        judged = Counter(
            row.item_id
            for row in connection.execute(
                select(assignment_table.c.item_id).where(assignment_table.c.how == "judged")
            ).all()
        )
        for item_id, states in slots(connection, one).items():
            assert len(states) == 3 and states.count("done") == min(
                3, judged[item_id]
            )  # whoever answered was counted, if there was room


def test_an_answer_after_the_campaign_closed_is_kept(database: Database) -> None:
    with database.write() as connection:
        one = open_campaign(connection)
        [task] = take(connection, one, ANN)
        campaigns.set_state(connection, one, "closed", by=LEAD)
        made = judge(connection, task)
        assert judgements.list_current(connection, one.id) == [made]


def test_a_late_answer_can_be_sent_twice_and_corrected(database: Database) -> None:
    with database.write() as connection:
        one = open_campaign(connection, num_items=1, lease_s=60, overlap=2)
        [task] = take(connection, one, ANN)
        leases.expire(connection, one, at=after(2))
        made = judge(connection, task, at=after(3))
        assert judge(connection, task, at=after(4)) == made
        corrected = judge(connection, task, {"choice": 8}, key="key-00002", at=after(5))
        assert corrected.supersedes == made.id
        assert sorted(slots(connection, one)[task.item.id]) == ["done", "open"]
