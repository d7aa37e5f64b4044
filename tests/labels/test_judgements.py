"""Judgements: stored once, by candidate, and never lost; corrections, skips and undo."""

import functools
from collections.abc import Mapping
from typing import Any

import pytest
from sqlalchemy import func, select

from fairlead.data.records import Message
from fairlead.labels import assignments, chats, drafts, events, flags, items, judgements, leases
from fairlead.labels.database import Database, format_time
from fairlead.labels.errors import Conflict, Invalid, NotFound
from fairlead.labels.judgements import judgement_table
from fairlead.labels.task_kinds import TASK_KINDS, TaskKind
from labels.build import (
    ANN,
    BEN,
    CAT,
    LEAD,
    NOON,
    VALUES,
    add_chat_turn,
    after,
    judge,
    lease,
    open_campaign,
    run_at_once,
    slot_states,
)


def count_rows(database: Database) -> int:
    with database.read() as connection:
        return int(connection.execute(select(func.count()).select_from(judgement_table)).scalar_one())


def test_a_judgement_is_stored_by_candidate(database: Database) -> None:
    with database.write() as connection:
        campaign = open_campaign(connection, options={"chips": ["clearer", "shorter"]})
        [assignment] = lease(connection, campaign, ANN)
        new = judgements.NewJudgement(
            key="key-00001",
            value={"choice": 1},
            reasons=["shorter"],
            note="It is brief.",
            active_ms=900,
            dwell_ms={"A": 500, "B": 400},
            ui={"width": 1280, "theme": "dark"},
        )
        judgement = judgements.submit(connection, assignment.id, ANN, new, at=after(1))
        # Choice 1 is "A much better"; A was candidate order[0].
        assert judgement.value == {"preference": 3 if assignment.order[0] == 0 else -3, "tie": None}
        assert (judgement.margin, judgement.order, judgement.item_id, judgement.rater) == (
            3,
            assignment.order,
            assignment.item.id,
            ANN,
        )
        assert (judgement.reasons, judgement.note, judgement.active_ms, judgement.dwell_ms) == (
            ("shorter",),
            "It is brief.",
            900,
            {"A": 500, "B": 400},
        )
        assert (judgement.ui, judgement.late, judgement.withdraws, judgement.supersedes) == (
            {"width": 1280, "theme": "dark"},
            False,
            False,
            None,
        )
        assert (judgement.made_at, judgement.guidelines_version) == (format_time(after(1)), 1)
        assert (
            judgements.list_current(connection, campaign.id)
            == [judgement]
            == [judgements.get_current(connection, assignment.id)]
        )
        assert slot_states(connection, campaign)[assignment.item.id] == ["done"]
        assert assignments.get(connection, assignment.id, ANN).how == "judged"


@pytest.mark.parametrize("kind", TASK_KINDS)
def test_every_task_kind_is_judged_and_corrected(database: Database, kind: TaskKind) -> None:
    with database.write() as connection:
        campaign = open_campaign(connection, kind=kind, num_items=2)
        [assignment] = lease(connection, campaign, ANN)
        if kind == "chat":
            add_chat_turn(connection, campaign, assignment)
        judgement = judge(connection, assignment, VALUES[kind])
        assert judgements.get_last(connection, campaign, ANN) == (
            assignments.get(connection, assignment.id, ANN),
            judgement,
        )
        correction = judge(connection, assignment, {"cannot": "unsafe"}, key="key-again")
        assert (correction.value, correction.supersedes, correction.margin) == (
            {"cannot": "unsafe"},
            judgement.id,
            None,
        )
        assert judgements.list_current(connection, campaign.id) == [correction]


def test_a_live_chat_needs_a_judged_turn(database: Database) -> None:
    with database.write() as connection:
        campaign = open_campaign(connection, kind="chat", num_items=3)
        silent, undecided, early = lease(connection, campaign, ANN, count=3)
        add_chat_turn(connection, campaign, undecided, choice=None)
        add_chat_turn(connection, campaign, early, text=None)
        for assignment in (silent, undecided, early):
            for value in ({}, {"score": 4}):
                with pytest.raises(Invalid, match="must include a choice"):
                    judge(connection, assignment, value or {"score": None})
        assert (
            judgements.list_current(connection, campaign.id) == []
            and assignments.get(connection, silent.id, ANN).how is None
        )
        assert judge(connection, silent, {"cannot": "unsafe"}).value == {"cannot": "unsafe"}
        chats.choose_answer(connection, campaign, undecided, n=0, choice=5, seen={})
        for place in (0, 1):
            chats.store_answer(
                connection, chats.get_turn(connection, early.id, 0).id, place, text="Here.", finished=True
            )
        add_chat_turn(connection, campaign, early, choice=None)  # the earlier, judged turn counts
        assert (
            judge(connection, undecided, {"score": 4}).value
            == {"score": 4}
            == judge(connection, early, {"score": 4}).value
        )


@pytest.mark.parametrize(("active_ms", "quick"), [(0, True), (479, True), (480, False), (60_000, False)])
def test_judgements_faster_than_reading_are_marked_quick(
    database: Database, active_ms: int, quick: bool
) -> None:
    with database.write() as connection:
        campaign = open_campaign(connection)  # two answers of four words: 8 words at 60 ms
        [assignment] = lease(connection, campaign, ANN)
        assert judge(connection, assignment, active_ms=active_ms).quick is quick


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("四千六百个汉字" * 500, 100),
        ("ひらがなとカタカナ" * 300, 60),
        ("ภาษาไทยไม่มีช่องว่างระหว่างคำ" * 100, 20),
        ("x=[f(a)for(a)in(b)];" * 200, 20),  # code without spaces
        ("word " * 500, 25),
    ],
)
def test_quick_is_the_same_for_every_script(database: Database, text: str, seconds: int) -> None:
    with database.write() as connection:
        campaign = open_campaign(connection, kind="rating", num_items=0)
        answer = items.CandidateAnswer((Message("assistant", text),))
        prompt = (Message("user", "?"),)
        items.add(connection, campaign, [items.NewItem(prompt, (answer,))], by=LEAD)
        [assignment] = lease(connection, campaign, ANN)
        assert judge(connection, assignment, {"score": 1}, active_ms=seconds * 1000).quick
        again = judge(connection, assignment, {"score": 2}, key="key-again", active_ms=5 * seconds * 1000)
        assert not again.quick


def test_active_time_is_cut_to_what_the_server_saw(database: Database) -> None:
    """Five items at once, of which each claims all the time: together they get it once."""
    with database.write() as connection:
        campaign = open_campaign(connection, num_items=6)
        held = lease(connection, campaign, ANN, count=5)
        sent = [
            judgements.submit(
                connection,
                assignment.id,
                ANN,
                judgements.NewJudgement(
                    key=f"key-{assignment.id}",
                    value={"choice": 1},
                    active_ms=3_600_000,
                    dwell_ms={"A": 3_000_000, "B": 600_000},
                ),
                at=after(10 + n / 60),
            )
            for n, assignment in enumerate(held)
        ]
    assert [judgement.active_ms for judgement in sent] == [600_000, *[1000] * 4]
    assert all(judgement.implausible for judgement in sent)
    assert sent[0].dwell_ms == {"A": 500_000, "B": 100_000}


def test_honest_times_are_kept(database: Database) -> None:
    """Two held at a time, one after the other, a correction, and five answers that arrive together."""
    with database.write() as connection:
        campaign = open_campaign(connection, num_items=8)

        def send(
            assignment: assignments.Assignment, minute: float, active_ms: int, key: str = "first"
        ) -> None:
            new = judgements.NewJudgement(
                key=f"{key}-{assignment.id}",
                value={"choice": 1},
                active_ms=active_ms,
                dwell_ms={"A": active_ms},
            )
            made = judgements.submit(connection, assignment.id, ANN, new, at=after(minute))
            assert (made.active_ms, made.dwell_ms, made.implausible) == (active_ms, {"A": active_ms}, False)

        first, second = lease(connection, campaign, ANN, count=2)
        send(first, 1, 60_000)
        _, third = lease(connection, campaign, ANN, count=2, at=after(1))
        send(second, 2, 60_000)
        send(first, 3, 120_000, key="again")  # reopened for a minute
        send(third, 4, 60_000)
        offline = lease(connection, campaign, ANN, count=5, at=after(5))
        for assignment in offline:
            send(assignment, 90, 300_000)


def test_a_draft_brings_the_time_of_an_earlier_lease(database: Database) -> None:
    with database.write() as connection:
        campaign = open_campaign(connection, num_items=1)
        [before] = lease(connection, campaign, ANN)
        leases.release(connection, before.id, ANN, at=after(9))
        [again] = lease(connection, campaign, ANN, at=after(30))
        new = judgements.NewJudgement(key="key-00001", value={"choice": 1}, active_ms=480_000)
        made = judgements.submit(connection, again.id, ANN, new, at=after(31))
    assert (made.active_ms, made.implausible) == (480_000, False)


# ---------------------------------------------------------------- stored once, never lost


def test_a_repeated_submission_is_stored_once(database: Database) -> None:
    with database.write() as connection:
        campaign = open_campaign(connection)
        [assignment] = lease(connection, campaign, ANN)
        judgement = judge(connection, assignment)
        before = events.last_seq(connection)
        assert judge(connection, assignment) == judgement
        assert judge(connection, assignment, {"choice": 8}) == judgement  # the key decides, not the value
        assert events.last_seq(connection) == before
    assert count_rows(database) == 1


def test_a_key_belongs_to_one_rater_and_one_assignment(database: Database) -> None:
    with database.write() as connection:
        campaign = open_campaign(connection, overlap=2)
        first, second = lease(connection, campaign, ANN, count=2)
        [other] = lease(connection, campaign, BEN)
        judge(connection, first, key="key-00001")
        with pytest.raises(Conflict, match="used for another assignment"):
            judge(connection, second, key="key-00001")
        assert judge(connection, other, key="key-00001").rater == BEN


def test_a_correction_supersedes_the_earlier_judgement(database: Database) -> None:
    with database.write() as connection:
        campaign = open_campaign(connection)
        [assignment] = lease(connection, campaign, ANN)
        corrections = [
            judge(connection, assignment, {"choice": choice}, key=f"key-0000{choice}") for choice in (1, 4, 7)
        ]
        assert [judgement.supersedes for judgement in corrections] == [
            None,
            corrections[0].id,
            corrections[1].id,
        ]
        assert judgements.list_current(connection, campaign.id) == [corrections[2]]
        assert judgements.count_current(connection, campaign.id, ANN) == 1
        stored = connection.execute(
            select(judgement_table.c.id, judgement_table.c.value).order_by(judgement_table.c.id)
        ).all()
        assert [(row.id, row.value) for row in stored] == [
            (judgement.id, judgement.value) for judgement in corrections
        ]
        assert slot_states(connection, campaign)[assignment.item.id] == ["done"]


def test_concurrent_submissions_with_one_key_are_stored_once(database: Database) -> None:
    with database.write() as connection:
        campaign = open_campaign(connection, overlap=3)
        [assignment] = lease(connection, campaign, ANN)

    def send(key: str) -> None:
        with database.write() as connection:
            judge(connection, assignment, key=key)

    assert run_at_once([lambda: send("key-00001") for _ in range(6)]) == []
    assert count_rows(database) == 1
    with database.read() as connection:
        assert sorted(slot_states(connection, campaign)[assignment.item.id]) == ["done", "open", "open"]


def test_concurrent_judgements_of_an_assignment_form_one_chain_of_corrections(database: Database) -> None:
    with database.write() as connection:
        campaign = open_campaign(connection, overlap=3)
        [assignment] = lease(connection, campaign, ANN)

    def send(number: int) -> None:
        with database.write() as connection:
            judge(connection, assignment, {"choice": number + 1}, key=f"key-0000{number}")

    assert run_at_once([functools.partial(send, number) for number in range(6)]) == []
    with database.read() as connection:
        stored = connection.execute(select(judgement_table).order_by(judgement_table.c.id)).all()
        assert [row.supersedes for row in stored] == [None, *(row.id for row in stored[:-1])]
        assert [row.late for row in stored] == [False] * 6
        assert len(judgements.list_current(connection, campaign.id)) == 1
        assert sorted(slot_states(connection, campaign)[assignment.item.id]) == ["done", "open", "open"]


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"key": "short"}, "key"),
        ({"key": "k" * 81}, "key"),
        ({"key": "key-0000\x00"}, "key"),
        ({"value": {"choice": 9}}, "choice"),
        ({"value": {}}, "choice"),
        ({"reasons": ["funny"]}, "reasons"),
        ({"note": "x" * 10_001}, "note"),
        ({"note": "a\x00b"}, "note"),
        ({"note": "a\udfffb"}, "note"),
        ({"active_ms": -1}, "active_ms"),
        ({"active_ms": 6 * 3600 * 1000 + 1}, "active_ms"),
        ({"ui": {"x": "y" * 10_001}}, "ui"),
        ({"ui": {"x": float("nan")}}, "ui"),
        ({"ui": {"x": "\x00"}}, "ui"),
        ({"dwell_ms": {"A": 2**70}}, "dwell_ms"),
    ],
)
def test_an_invalid_judgement_leaves_the_assignment_unchanged(
    database: Database, fields: Mapping[str, Any], field: str
) -> None:
    with database.write() as connection:
        campaign = open_campaign(connection)
        [assignment] = lease(connection, campaign, ANN)
    sent: dict[str, Any] = {"key": "key-00001", "value": {"choice": 1}, **fields}
    with pytest.raises(Invalid) as raised, database.write() as connection:
        judgements.submit(connection, assignment.id, ANN, judgements.NewJudgement(**sent))
    assert raised.value.field == field
    with database.read() as connection:
        assert assignments.get(connection, assignment.id, ANN).how is None
        assert slot_states(connection, campaign)[assignment.item.id] == ["held"]
    assert count_rows(database) == 0


# ---------------------------------------------------------------- undo and skip


def test_no_judgement_to_undo(database: Database) -> None:
    with database.write() as connection:
        empty_campaign, judged_campaign = open_campaign(connection), open_campaign(connection)
        [assignment] = lease(connection, judged_campaign, ANN)
        judge(connection, assignment)
        for campaign, rater in ((empty_campaign, ANN), (judged_campaign, BEN)):
            with pytest.raises(NotFound, match="no judgement to undo"):
                judgements.get_last(connection, campaign, rater)


def test_get_last_returns_the_last_judgement_and_changes_nothing(database: Database) -> None:
    with database.write() as connection:
        campaign = open_campaign(connection)
        submitted = []
        for choice in (1, 8):
            [assignment] = lease(connection, campaign, ANN)
            submitted.append(judge(connection, assignment, {"choice": choice}))
        before = events.last_seq(connection)
        assignment, last = judgements.get_last(connection, campaign, ANN)
        assert (assignment.id, last) == (submitted[1].assignment_id, submitted[1])
        assert judgements.list_current(connection, campaign.id) == submitted
        assert events.last_seq(connection) == before


def test_a_skipped_item_goes_to_another_rater(database: Database) -> None:
    with database.write() as connection:
        campaign = open_campaign(connection, num_items=1)
        [assignment] = lease(connection, campaign, ANN)
        drafts.save(connection, assignment.id, ANN, {"note": "half a thought"})
        judgements.skip(connection, assignment.id, ANN, reason="too hard", at=NOON)
        judgements.skip(
            connection, assignment.id, ANN, reason="too hard", at=NOON
        )  # a second time changes nothing
        assert lease(connection, campaign, ANN) == []
        assert drafts.get_many(connection, ANN, assignment_ids=[assignment.id]) == {
            assignment.id: {"note": "half a thought"}
        }
        [other] = lease(connection, campaign, BEN)
        assert other.item.id == assignment.item.id
        skips = [event for event in events.list_after(connection, 0) if event.verb == "task.skipped"]
        assert [event.body for event in skips] == [
            {"item": assignment.item.id, "reason": "too hard", "withdraws": None}
        ]


def test_skipping_a_judged_item_withdraws_the_judgement(database: Database) -> None:
    with database.write() as connection:
        campaign = open_campaign(connection, num_items=1)
        [assignment] = lease(connection, campaign, ANN)
        judgement = judge(connection, assignment)
        judgements.skip(connection, assignment.id, ANN, reason="upsetting", at=NOON)
        assert judgements.list_current(connection, campaign.id) == []
        assert judgements.count_current(connection, campaign.id, ANN) == 0
        withdrawal = connection.execute(select(judgement_table).where(judgement_table.c.withdraws)).one()
        assert (withdrawal.supersedes, withdrawal.value, withdrawal.item_id) == (
            judgement.id,
            {},
            judgement.item_id,
        )
        assert slot_states(connection, campaign) == {1: ["open"]}
        [other] = lease(connection, campaign, BEN)
        assert judge(connection, other).supersedes is None


def test_a_skipped_item_can_still_be_judged(database: Database) -> None:
    """A rater returns to a parked draft.  The judgement takes the open slot of the item."""
    with database.write() as connection:
        campaign = open_campaign(connection, num_items=1)
        [assignment] = lease(connection, campaign, ANN)
        judgements.skip(connection, assignment.id, ANN, reason="unclear", at=NOON)
        judgement = judge(connection, assignment, at=after(1))
        assert judgements.list_current(connection, campaign.id) == [judgement]
        assert slot_states(connection, campaign) == {1: ["done"]}
        assert lease(connection, campaign, BEN) == []


@pytest.mark.parametrize("reason", ["", "boring", "Unclear"])
def test_a_skip_needs_a_valid_reason(database: Database, reason: str) -> None:
    with database.write() as connection:
        campaign = open_campaign(connection)
        [assignment] = lease(connection, campaign, ANN)
        with pytest.raises(Invalid, match="must be one of: unclear"):
            judgements.skip(connection, assignment.id, ANN, reason=reason)


def test_a_note_with_a_skip_raises_a_flag(database: Database) -> None:
    with database.write() as connection:
        campaign = open_campaign(connection)
        [assignment] = lease(connection, campaign, ANN)
        judgements.skip(connection, assignment.id, ANN, reason="broken", note="The image is gone.")
        [raised] = flags.list_flags(connection, campaign.id)
        assert (raised.reason, raised.note, raised.rater, raised.item_id) == (
            "other",
            "The image is gone.",
            ANN,
            assignment.item.id,
        )


# ---------------------------------------------------------------- queries


def test_current_judgements_by_item_rater_and_page(database: Database) -> None:
    with database.write() as connection:
        campaign = open_campaign(connection, num_items=2, overlap=3)
        submitted = []
        for rater in (ANN, BEN, CAT):
            for assignment in lease(connection, campaign, rater, count=2):
                submitted.append(judge(connection, assignment))
        assert judgements.list_current(connection, campaign.id) == submitted
        assert judgements.list_current(connection, campaign.id, rater=BEN) == submitted[2:4]
        assert {
            judgement.rater for judgement in judgements.list_current(connection, campaign.id, item_id=1)
        } == {
            ANN,
            BEN,
            CAT,
        }
        assert (
            judgements.list_current(connection, campaign.id, after=submitted[1].id, limit=2) == submitted[2:4]
        )
        assert judgements.count_current(connection, campaign.id, ANN) == 2
        other = open_campaign(connection)
        assert judgements.list_current(connection, other.id) == []


def test_events_contain_no_texts_and_no_assignment_ids(database: Database) -> None:
    with database.write() as connection:
        campaign = open_campaign(connection, kind="demonstration")
        [assignment] = lease(connection, campaign, ANN)
        drafts.save(connection, assignment.id, ANN, {"text": "my secret draft"})
        judge(connection, assignment, {"text": "my secret answer"}, note="my secret note")
        flags.raise_flag(connection, assignment.id, ANN, reason="other", note="my secret worry")
        written = str([vars(event) for event in events.list_after(connection, 0)])
    assert "secret" not in written
    assert assignment.id not in written


def test_the_event_chain_is_valid_after_many_judgements_and_skips(database: Database) -> None:
    with database.write() as connection:
        campaign = open_campaign(connection, num_items=8, overlap=2)
    for number, rater in enumerate((ANN, BEN, CAT) * 4):
        with database.write() as connection:
            for assignment in lease(connection, campaign, rater, count=2, at=after(number)):
                if number % 3 == 0:
                    judgements.skip(connection, assignment.id, rater, reason="unclear", at=after(number))
                else:
                    judge(connection, assignment, at=after(number))
    with database.read() as connection:
        verdict = events.verify(connection)
        judgement_ids = [
            event.body["judgement"]
            for event in events.list_after(connection, 0)
            if event.verb == "judgement.made"
        ]
        assert verdict.problem is None
        assert judgement_ids == list(
            connection.execute(select(judgement_table.c.id).order_by(judgement_table.c.id)).scalars()
        )
        assert (
            max(
                len([s for s in states if s != "open"])
                for states in slot_states(connection, campaign).values()
            )
            <= 2
        )
        assert (
            items.slot_counts(connection, [campaign.id])[campaign.id]["done"]
            == len(judgements.list_current(connection, campaign.id))
            == len(judgement_ids)
        )
