"""Assignments: who may see them, the rating scale, and the order of answers."""

import itertools
import random
import threading
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from databases import Files
from fairlead.labels import assignments, campaigns, drafts, flags, judgements, leases, task_kinds
from fairlead.labels.assignments import assignment_table
from fairlead.labels.campaigns import Campaign
from fairlead.labels.database import Database, format_time, open_database
from fairlead.labels.errors import Conflict, Invalid, NotFound
from fairlead.labels.task_kinds import TaskKind
from labels.build import (
    ANN,
    BEN,
    CAT,
    LEAD,
    NOON,
    VALUES,
    after,
    judge,
    lease,
    open_campaign,
    slot_states,
)


def states(database: Database, campaign: Campaign) -> Counter[str]:
    with database.read() as connection:
        return Counter(itertools.chain(*slot_states(connection, campaign).values()))


def test_an_assignment_records_what_the_rater_sees(database: Database) -> None:
    with database.write() as connection:
        campaign = open_campaign(connection, lease_s=600)
        campaigns.write_guidelines(connection, campaign, "# Second version", by=LEAD)
        [assignment] = lease(connection, campaign, ANN)
        assert (assignment.campaign_id, assignment.rater, assignment.guidelines_version, assignment.how) == (
            campaign.id,
            ANN,
            2,
            None,
        )
        assert (assignment.leased_at, assignment.expires_at) == (format_time(NOON), format_time(after(10)))
        assert sorted(assignment.order) == [0, 1]
        assert len(assignment.id) >= 24
        assert assignments.get(connection, assignment.id, ANN) == assignment


def test_assignments_of_other_raters_are_not_found(database: Database) -> None:
    with database.write() as connection:
        campaign = open_campaign(connection)
        [assignment] = lease(connection, campaign, ANN)
        calls: list[Callable[[], object]] = [
            lambda: assignments.get(connection, assignment.id, BEN),
            lambda: leases.heartbeat(connection, campaign, assignment.id, BEN),
            lambda: leases.release(connection, assignment.id, BEN),
            lambda: judgements.submit(
                connection,
                assignment.id,
                BEN,
                judgements.NewJudgement(key="12345678", value=VALUES["pairwise"]),
            ),
            lambda: judgements.skip(connection, assignment.id, BEN, reason="unclear"),
            lambda: drafts.save(connection, assignment.id, BEN, {}),
            lambda: flags.raise_flag(connection, assignment.id, BEN, reason="broken"),
            lambda: assignments.get(connection, "none", BEN),
        ]
        for call in calls:
            with pytest.raises(NotFound):
                call()
        assert assignments.get(connection, assignment.id, ANN) == assignment
        assert slot_states(connection, campaign)[assignment.item.id] == ["held"]


# ---------------------------------------------------------------- order of answers


def orders_of(seed: str, rater: str, num_answers: int, count: int) -> list[tuple[int, ...]]:
    return [assignments.answer_order(seed, rater, seq, num_answers) for seq in range(count)]


@given(st.text(max_size=5), st.text(max_size=5), st.integers(2, 8), st.integers(0, 200))
@settings(max_examples=60, deadline=None)
def test_every_answer_is_equally_often_at_every_position_of_a_block(
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
def test_first_positions_are_nearly_balanced_after_any_number_of_assignments(
    seed: str, num_answers: int, count: int
) -> None:
    first = Counter(order[0] for order in orders_of(seed, ANN, num_answers, count))
    often = [first.get(candidate, 0) for candidate in range(num_answers)]
    assert max(often) - min(often) <= assignments.SQUARES_PER_BLOCK


def test_pairs_are_balanced_within_every_block_of_every_rater() -> None:
    for rater in (f"r-30000000{n:02}" for n in range(50)):
        orders = orders_of("seed", rater, 2, 80)
        for start in range(0, 80, 8):
            assert sum(order == (0, 1) for order in orders[start : start + 8]) == 4


def test_answer_orders_are_not_predictable() -> None:
    """The order does not alternate, and differs between raters and campaigns."""
    sequences = {tuple(orders_of(seed, rater, 2, 40)) for seed in ("one", "two") for rater in (ANN, BEN, CAT)}
    assert len(sequences) == 6
    for sequence in sequences:
        changes = sum(a != b for a, b in itertools.pairwise(sequence))
        assert 10 <= changes <= 32  # of 39; a fair coin has 19.5


def test_answer_orders_are_deterministic() -> None:
    assert assignments.answer_order("s", ANN, 3, 2) == assignments.answer_order("s", ANN, 3, 2)
    assert [assignments.answer_order("s", ANN, n, 1) for n in range(3)] == [(0,)] * 3
    assert assignments.answer_order("s", ANN, 0, 0) == ()


@given(st.integers(0, 2**32))
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_judged_answer_orders_are_balanced_despite_skips_and_releases(
    files: Files, tmp_path_factory: pytest.TempPathFactory, seed: int
) -> None:
    """A rater judges, skips, releases and lets leases expire at random.

    Among the judged assignments of a block, both answers are first equally often.
    """
    rng = random.Random(seed)
    opened = open_database(files.copy(tmp_path_factory.mktemp("sides")))
    with opened.write() as connection:
        campaign = open_campaign(connection, num_items=60, seed=str(seed), lease_s=60)
        minutes = 0.0
        judged: list[tuple[int, ...]] = []
        while len(judged) < 24:
            leased = lease(connection, campaign, ANN, count=2, at=after(minutes))
            if not leased:
                break
            assignment, action = rng.choice(leased), rng.random()
            if action < 0.6:
                judge(connection, assignment, at=after(minutes))
                judged.append(assignment.order)
            elif action < 0.75:
                judgements.skip(connection, assignment.id, ANN, reason="unclear", at=after(minutes))
            elif action < 0.9:
                leases.release(connection, assignment.id, ANN, at=after(minutes))
            else:
                minutes += 5  # all leases expire
    opened.close()
    # The rater holds two leases at a time, so at most one place of an earlier block is still open.
    assert abs(sum(order == (0, 1) for order in judged) - 12) <= 4
    if len(judged) == 24:
        for start in (0, 8, 16):
            assert abs(sum(order == (0, 1) for order in judged[start : start + 8]) - 4) <= 2


@pytest.mark.parametrize(
    ("kind", "num_answers"), [("pairwise", 2), ("ranking", 3), ("ranking", 4), ("edit", 2)]
)
def test_answer_orders_of_a_campaign_are_balanced(
    database: Database, kind: TaskKind, num_answers: int
) -> None:
    size = assignments.SQUARES_PER_BLOCK * num_answers
    with database.write() as connection:
        campaign = open_campaign(connection, kind=kind, num_items=size, num_answers=num_answers)
        shown = []
        for _ in range(size):
            [assignment] = lease(connection, campaign, ANN)
            judge(connection, assignment, VALUES[kind])
            shown.append(assignment.order)
    for place in range(num_answers):
        assert set(Counter(order[place] for order in shown).values()) == {assignments.SQUARES_PER_BLOCK}


def test_the_next_assignment_reuses_the_place_of_a_skipped_one(database: Database) -> None:
    with database.write() as connection:
        campaign = open_campaign(connection, num_items=12)
        first, second = lease(connection, campaign, ANN, count=2)
        judgements.skip(connection, first.id, ANN, reason="too hard", at=NOON)
        _, third = lease(connection, campaign, ANN, count=2)
        assert third.order == first.order
        places = connection.execute(select(assignment_table.c.token, assignment_table.c.seq)).all()
        assert {row.token: row.seq for row in places} == {first.id: None, second.id: 1, third.id: 0}


# ---------------------------------------------------------------- rating scale


def test_the_rating_scale_is_fixed_after_the_first_assignment(database: Database) -> None:
    with database.write() as connection:
        campaign = open_campaign(connection, kind="rating", num_items=1)
        campaign = campaigns.change(
            connection,
            campaign,
            by=LEAD,
            options=assignments.merge_options(connection, campaign, {"points": 5}),
        )
        lease(connection, campaign, ANN)
        with pytest.raises(Conflict, match="with a 5-point scale"):
            assignments.merge_options(connection, campaign, {"points": 7})
        assert assignments.merge_options(connection, campaign, {"points": 5, "chips": ["clear"]}) == {
            "aspects": [],
            "chips": ["clear"],
            "points": 5,
        }


def test_an_assignment_waits_for_a_concurrent_change_of_the_scale(database: Database) -> None:
    with database.write() as connection:
        campaign = open_campaign(connection, kind="rating", num_items=2)
    shown = []

    def hand_out() -> None:
        with database.write() as connection:
            lease(connection, campaign, ANN)
            [assignment] = assignments.list_leased(connection, campaign, ANN)
            shown.append(assignment.options["points"])

    with database.write() as connection:
        campaigns.change(
            connection,
            campaign,
            by=LEAD,
            options=assignments.merge_options(connection, campaign, {"points": 5}),
        )
        thread = threading.Thread(target=hand_out)
        thread.start()
        thread.join(0.3)
        assert shown == []  # the other transaction waits
    thread.join(10)
    assert shown == [5]


CHANGED: dict[TaskKind, tuple[dict[str, Any], dict[str, Any], dict[str, Any]]] = {
    # kind: the options handed out, what a lead makes of them, a judgement with the former
    "pairwise": (
        {"aspects": ["helpful", "harmless"], "chips": ["clear", "kind"]},
        {"aspects": ["safe"], "chips": ["clear", "friendly"]},
        {"choice": 2, "aspects": {"harmless": "A"}},
    ),
    "aspects": (
        {"aspects": ["helpful", "honest"], "chips": ["kind"]},
        {"aspects": ["helpful", "true", "brief"], "chips": []},
        {"aspects": {"helpful": 5, "honest": 7}},
    ),
    "ranking": ({"chips": ["kind"]}, {"chips": []}, {"ranks": {"A": 1, "B": 2}}),
    "rating": ({"chips": ["kind"]}, {"chips": ["other"]}, {"score": 7}),
}


@pytest.mark.parametrize("kind", CHANGED)
@pytest.mark.parametrize("when", ["leased", "late", "corrected"])
def test_a_judgement_is_checked_against_the_options_it_was_handed_out_with(
    database: Database, kind: TaskKind, when: str
) -> None:
    before, changed, value = CHANGED[kind]
    with database.write() as connection:
        campaign = open_campaign(connection, kind=kind, options=before)
        [assignment] = lease(connection, campaign, ANN)
        assert assignment.options == campaign.options
        if when == "corrected":
            judge(connection, assignment, {"cannot": "judge"}, at=after(1))
        campaign = campaigns.change(
            connection,
            campaign,
            by=LEAD,
            options=assignments.merge_options(connection, campaign, changed),
        )
        campaigns.write_guidelines(connection, campaign, "Other guidelines.", by=LEAD)
        if when == "late":
            leases.expire(connection, campaign, at=after(600))
        reopened = assignments.get(connection, assignment.id, ANN)
        assert (reopened.options, reopened.guidelines_version) == (assignment.options, 1)
        sent = judge(connection, reopened, value, key="key-again", reasons=["kind"], at=after(601))
        assert (sent.reasons, sent.late) == (("kind",), when == "late")
        assert task_kinds.to_shown(kind, sent.value, sent.order) == value
        # What is handed out from now on has the new options, and no longer the old ones.
        [later] = lease(connection, campaign, BEN, at=after(602))
        assert later.options == campaign.options != assignment.options
        with pytest.raises(Invalid, match="reason of this task"):
            judge(connection, later, {"cannot": "judge"}, reasons=["kind"], at=after(603))


def test_a_lease_takes_the_options_of_the_moment_not_those_that_the_request_began_with(
    database: Database,
) -> None:
    with database.write() as connection:
        stale = open_campaign(connection, kind="rating")
        campaigns.change(
            connection,
            stale,
            by=LEAD,
            options=assignments.merge_options(connection, stale, {"points": 3}),
        )
        [assignment] = lease(connection, stale, ANN)
        assert assignment.options["points"] == 3
        with pytest.raises(Invalid, match="from 1 to 3"):
            judge(connection, assignment, {"score": 7})
