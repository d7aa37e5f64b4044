"""Handing out work: nobody gets what another holds, nobody gets anything twice, holds end, and sides are balanced."""

import itertools
import random
import threading
from collections import Counter
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from databases import Files
from fairlead.labels import assignments, campaigns, drafts, events, flags, judgements, leases
from fairlead.labels.assignments import assignment_table
from fairlead.labels.campaigns import Campaign
from fairlead.labels.database import Database, format_time, open_database
from fairlead.labels.errors import Conflict, NotFound
from fairlead.labels.leases import StuckLease
from fairlead.labels.task_kinds import TaskKind
from labels.build import ANN, BEN, CAT, LEAD, NOON, VALUES, after, judge, open_campaign, slots, take


def states(database: Database, one: Campaign) -> Counter[str]:
    with database.read() as connection:
        return Counter(itertools.chain(*slots(connection, one).values()))


# ---------------------------------------------------------------- leases


def test_what_is_held_is_given_again_before_anything_new(database: Database) -> None:
    with database.write() as connection:
        one = open_campaign(connection)
        [first] = take(connection, one, ANN)
        [again, second] = take(connection, one, ANN, count=2)
        assert (again.id, again.order, again.item) == (first.id, first.order, first.item)
        assert second.item.id != first.item.id
        assert [task.id for task in take(connection, one, ANN, count=1)] == [first.id]
        assert [task.id for task in assignments.list_leased(connection, one, ANN)] == [
            first.id,
            second.id,
        ]


def test_an_assignment_knows_what_the_person_sees(database: Database) -> None:
    with database.write() as connection:
        one = open_campaign(connection, lease_s=600)
        campaigns.write_guidelines(connection, one, "# Second version", by=LEAD)
        [task] = take(connection, one, ANN)
        assert (task.campaign_id, task.rater, task.guidelines_version, task.how) == (one.id, ANN, 2, None)
        assert (task.leased_at, task.expires_at) == (format_time(NOON), format_time(after(10)))
        assert sorted(task.order) == [0, 1]
        assert len(task.id) >= 24
        assert assignments.get(connection, task.id, ANN) == task


def test_nobody_gets_what_another_holds_or_did(database: Database) -> None:
    with database.write() as connection:
        one = open_campaign(connection, num_items=3)
        [held] = take(connection, one, ANN)
        [done] = take(connection, one, BEN)
        judge(connection, done)
        [rest] = take(connection, one, CAT, count=5)
        assert {held.item.id, done.item.id, rest.item.id} == {1, 2, 3}
        assert take(connection, one, "r-0000000009") == []


def test_nobody_gets_an_item_twice_however_many_judgements_it_wants(database: Database) -> None:
    with database.write() as connection:
        one = open_campaign(connection, num_items=2, overlap=4)
        seen = []
        for _ in range(3):
            for task in take(connection, one, ANN, count=5):
                seen.append(task.item.id)
                judge(connection, task)
        assert sorted(seen) == [1, 2]


def test_one_person_holds_only_so_many(database: Database) -> None:
    with database.write() as connection:
        one = open_campaign(connection, num_items=9)
        assert len(take(connection, one, ANN, count=100)) == leases.MAX_LEASES


@pytest.mark.parametrize("state", ["paused", "closed"])
def test_a_campaign_that_is_not_open_gives_nothing_new(
    database: Database, state: campaigns.CampaignState
) -> None:
    with database.write() as connection:
        one = open_campaign(connection)
        [held] = take(connection, one, ANN)
        one = campaigns.set_state(connection, one, state, by=LEAD)
        assert take(connection, one, BEN) == []
        assert [task.id for task in take(connection, one, ANN, count=2)] == [held.id]


def test_a_task_of_somebody_else_is_not_there(database: Database) -> None:
    with database.write() as connection:
        one = open_campaign(connection)
        [task] = take(connection, one, ANN)
        acts: list[Callable[[], object]] = [
            lambda: assignments.get(connection, task.id, BEN),
            lambda: leases.heartbeat(connection, one, task.id, BEN),
            lambda: leases.release(connection, task.id, BEN),
            lambda: judgements.submit(
                connection, task.id, BEN, judgements.NewJudgement(key="12345678", value=VALUES["pairwise"])
            ),
            lambda: judgements.skip(connection, task.id, BEN, reason="unclear"),
            lambda: drafts.save(connection, task.id, BEN, {}),
            lambda: flags.raise_flag(connection, task.id, BEN, reason="broken"),
            lambda: assignments.get(connection, "none", BEN),
        ]
        for act in acts:
            with pytest.raises(NotFound):
                act()
        assert assignments.get(connection, task.id, ANN) == task
        assert slots(connection, one)[task.item.id] == ["held"]


# ---------------------------------------------------------------- the end of a hold


def test_a_hold_ends_when_no_sign_of_life_comes(database: Database) -> None:
    with database.write() as connection:
        one = open_campaign(connection, num_items=1, lease_s=600)
        [task] = take(connection, one, ANN)
        assert take(connection, one, BEN, at=after(10)) == []  # not before its time is over
        [other] = take(connection, one, BEN, at=after(10.001))
        assert other.item.id == task.item.id
        assert assignments.get(connection, task.id, ANN).how == "expired"
        with pytest.raises(Conflict, match="can still submit"):
            leases.heartbeat(connection, one, task.id, ANN, at=after(11))


def test_a_heartbeat_keeps_the_hold(database: Database) -> None:
    with database.write() as connection:
        one = open_campaign(connection, num_items=1, lease_s=600)
        [task] = take(connection, one, ANN)
        assert leases.heartbeat(connection, one, task.id, ANN, at=after(9)) == format_time(after(19))
        assert take(connection, one, BEN, at=after(18)) == []
        assert len(take(connection, one, BEN, at=after(20))) == 1


def test_asking_for_work_keeps_what_is_held(database: Database) -> None:
    with database.write() as connection:
        one = open_campaign(connection, num_items=1, lease_s=600)
        [task] = take(connection, one, ANN)
        [again] = take(connection, one, ANN, at=after(9))
        assert again.id == task.id
        assert take(connection, one, BEN, at=after(18)) == []


def test_what_is_let_go_is_there_for_all_also_for_the_same_person(database: Database) -> None:
    with database.write() as connection:
        one = open_campaign(connection, num_items=1)
        [task] = take(connection, one, ANN)
        leases.release(connection, task.id, ANN, at=NOON)
        leases.release(connection, task.id, ANN, at=NOON)  # again: nothing happens
        [mine] = take(connection, one, ANN)
        assert (mine.item.id, mine.id != task.id) == (task.item.id, True)
        leases.release(connection, mine.id, ANN, at=NOON)
        assert len(take(connection, one, BEN)) == 1


def test_releasing_what_was_judged_changes_nothing(database: Database) -> None:
    with database.write() as connection:
        one = open_campaign(connection, num_items=1)
        [task] = take(connection, one, ANN)
        judge(connection, task)
        leases.release(connection, task.id, ANN)
        assert slots(connection, one) == {1: ["done"]}
        assert assignments.get(connection, task.id, ANN).how == "judged"


def test_a_lead_takes_an_item_back(database: Database) -> None:
    with database.write() as connection:
        one, other = open_campaign(connection, num_items=1), open_campaign(connection, num_items=1)
        [task] = take(connection, one, ANN)
        with pytest.raises(NotFound):
            leases.revoke(connection, other, task.id, by=LEAD)
        leases.revoke(connection, one, task.id, by=LEAD)
        leases.revoke(connection, one, task.id, by=LEAD)
        assert slots(connection, one) == {1: ["open"]}
        backs = [each for each in events.list_after(connection, 0) if each.verb == "task.taken_back"]
        assert [(each.actor, each.body) for each in backs] == [(LEAD, {"rater": ANN})]
        assert task.id not in str(backs)  # whoever reads the events could act for the person


def test_who_has_been_quiet_for_long(database: Database) -> None:
    with database.write() as connection:
        one = open_campaign(connection, num_items=3, lease_s=1800)
        [quiet] = take(connection, one, ANN)
        [busy] = take(connection, one, BEN)
        leases.heartbeat(connection, one, busy.id, BEN, at=after(14))
        assert leases.list_stuck(connection, one, since_s=900, at=after(15)) == []
        [stuck] = leases.list_stuck(connection, one, since_s=900, at=after(16))
        assert stuck == StuckLease(quiet.id, quiet.item.id, ANN, quiet.leased_at, 960)


def test_many_holds_that_ended_are_all_given_on(database: Database) -> None:
    with database.write() as connection:
        one = open_campaign(connection, num_items=6, num_answers=2, lease_s=60)
        for number in range(6):
            take(connection, one, f"r-10000000{number:02}")
        assert leases.expire(connection, one, at=after(2)) == 6
        assert set(itertools.chain(*slots(connection, one).values())) == {"open"}


# ---------------------------------------------------------------- at the same moment


def together(acts: list[Callable[[], object]]) -> list[BaseException]:
    """Each in a thread of its own, begun at the same moment."""
    failures: list[BaseException] = []
    barrier = threading.Barrier(len(acts))

    def run(act: Callable[[], object]) -> None:
        barrier.wait()
        try:
            act()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=run, args=(act,)) for act in acts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return failures


def test_many_people_at_once_get_every_slot_once(database: Database) -> None:
    with database.write() as connection:
        one = open_campaign(connection, num_items=10, overlap=2)

    def work(rater: str) -> None:
        for _ in range(3):
            with database.write() as connection:
                leases.lease_items(connection, one, rater, count=2)

    assert together([lambda rater=f"r-20000000{n:02}": work(rater) for n in range(12)]) == []  # type: ignore[misc]
    with database.read() as connection:
        rows = connection.execute(
            select(assignment_table.c.item_id, assignment_table.c.slot_id, assignment_table.c.rater)
        ).all()
        assert set(itertools.chain(*slots(connection, one).values())) == {"held"}
    assert (
        len(rows)
        == len({row.slot_id for row in rows})
        == len({(row.item_id, row.rater) for row in rows})
        == 20
    )
    assert set(Counter(row.item_id for row in rows).values()) == {2}


def test_windows_of_one_person_never_share_an_item_or_a_place(database: Database) -> None:
    with database.write() as connection:
        one = open_campaign(connection, num_items=12, overlap=3)

    def ask(count: int) -> None:
        with database.write() as connection:
            leases.lease_items(connection, one, ANN, count=count)

    for _ in range(4):
        assert together([lambda: ask(2) for _ in range(6)]) == []
        with database.read() as connection:
            assert len(assignments.list_leased(connection, one, ANN)) <= 2
        with database.write() as connection:
            for task in assignments.list_leased(connection, one, ANN):
                judge(connection, task)
    with database.read() as connection:
        rows = connection.execute(
            select(assignment_table.c.item_id, assignment_table.c.seq).where(assignment_table.c.rater == ANN)
        ).all()
    assert len({row.item_id for row in rows}) == len(rows) >= 8
    assert sorted(row.seq for row in rows) == list(range(len(rows)))


# ---------------------------------------------------------------- sides


def orders_of(seed: str, rater: str, num_answers: int, count: int) -> list[tuple[int, ...]]:
    return [assignments.answer_order(seed, rater, seq, num_answers) for seq in range(count)]


@given(st.text(max_size=5), st.text(max_size=5), st.integers(2, 8), st.integers(0, 200))
@settings(max_examples=60, deadline=None)
def test_every_candidate_is_equally_often_in_every_place_of_a_block(
    seed: str, rater: str, num_answers: int, block: int
) -> None:
    size = assignments.SQUARES_PER_BLOCK * num_answers
    orders = [
        assignments.answer_order(seed, rater, block * size + place, num_answers) for place in range(size)
    ]
    for place in range(num_answers):
        assert Counter(order[place] for order in orders) == dict.fromkeys(
            range(num_answers), assignments.SQUARES_PER_BLOCK
        )


@given(st.text(max_size=5), st.integers(2, 8), st.integers(1, 80))
@settings(max_examples=40, deadline=None)
def test_after_any_number_the_sides_differ_by_what_one_block_holds_at_most(
    seed: str, num_answers: int, count: int
) -> None:
    first = Counter(order[0] for order in orders_of(seed, ANN, num_answers, count))
    often = [first.get(candidate, 0) for candidate in range(num_answers)]
    assert max(often) - min(often) <= assignments.SQUARES_PER_BLOCK


def test_left_and_right_are_exactly_balanced_for_every_labeller_and_block() -> None:
    for rater in (f"r-30000000{n:02}" for n in range(50)):
        orders = orders_of("seed", rater, 2, 80)
        for start in range(0, 80, 8):
            assert sum(order == (0, 1) for order in orders[start : start + 8]) == 4


def test_sides_cannot_be_guessed_from_the_one_before() -> None:
    """Not A B A B …, and not the same for all people, items or campaigns."""
    lines = {tuple(orders_of(seed, rater, 2, 40)) for seed in ("one", "two") for rater in (ANN, BEN, CAT)}
    assert len(lines) == 6
    for line in lines:
        changes = sum(a != b for a, b in itertools.pairwise(line))
        assert 10 <= changes <= 32  # of 39; a fair coin has 19.5


def test_sides_are_the_same_whenever_they_are_asked_for() -> None:
    assert assignments.answer_order("s", ANN, 3, 2) == assignments.answer_order("s", ANN, 3, 2)
    assert [assignments.answer_order("s", ANN, n, 1) for n in range(3)] == [(0,)] * 3
    assert assignments.answer_order("s", ANN, 0, 0) == ()


@given(st.integers(0, 2**32))
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_judged_sides_are_balanced_whatever_people_skip_and_let_go(
    files: Files, tmp_path_factory: pytest.TempPathFactory, seed: int
) -> None:
    """One person judges, skips, lets go and lets expire in any order: of what they judged, left and right are equal within a block."""
    rng = random.Random(seed)
    opened = open_database(files.copy(tmp_path_factory.mktemp("sides")))
    with opened.write() as connection:
        one = open_campaign(connection, num_items=60, seed=str(seed), lease_s=60)
        minutes = 0.0
        judged: list[tuple[int, ...]] = []
        while len(judged) < 24:
            held = take(connection, one, ANN, count=2, at=after(minutes))
            if not held:
                break
            task, act = rng.choice(held), rng.random()
            if act < 0.6:
                judge(connection, task, at=after(minutes))
                judged.append(task.order)
            elif act < 0.75:
                judgements.skip(connection, task.id, ANN, reason="unclear", at=after(minutes))
            elif act < 0.9:
                leases.release(connection, task.id, ANN, at=after(minutes))
            else:
                minutes += 5  # all holds are lost
    opened.close()
    # Two are held at a time, so that beside the 24 at most one place of a begun block is open.
    assert abs(sum(order == (0, 1) for order in judged) - 12) <= 4
    if len(judged) == 24:
        for start in (0, 8, 16):
            assert abs(sum(order == (0, 1) for order in judged[start : start + 8]) - 4) <= 2


@pytest.mark.parametrize(
    ("kind", "num_answers"), [("pairwise", 2), ("ranking", 3), ("ranking", 4), ("edit", 2)]
)
def test_the_sides_of_a_real_campaign_are_balanced(
    database: Database, kind: TaskKind, num_answers: int
) -> None:
    size = assignments.SQUARES_PER_BLOCK * num_answers
    with database.write() as connection:
        one = open_campaign(connection, kind=kind, num_items=size, num_answers=num_answers)
        shown = []
        for _ in range(size):
            [task] = take(connection, one, ANN)
            judge(connection, task, VALUES[kind])
            shown.append(task.order)
    for place in range(num_answers):
        assert set(Counter(order[place] for order in shown).values()) == {assignments.SQUARES_PER_BLOCK}


def test_a_place_that_came_back_is_given_to_the_next_task(database: Database) -> None:
    with database.write() as connection:
        one = open_campaign(connection, num_items=12)
        first, second = take(connection, one, ANN, count=2)
        judgements.skip(connection, first.id, ANN, reason="too hard", at=NOON)
        _, third = take(connection, one, ANN, count=2)
        assert third.order == first.order
        places = connection.execute(select(assignment_table.c.token, assignment_table.c.seq)).all()
        assert {row.token: row.seq for row in places} == {first.id: None, second.id: 1, third.id: 0}
