"""What people say is kept once, for good, and in the words of candidates; what comes late is kept as well."""

from collections.abc import Mapping
from typing import Any

import pytest
from sqlalchemy import func, select

from fairlead.labels import assignments, chats, drafts, events, flags, items, judgements
from fairlead.labels.database import Database, format_time
from fairlead.labels.errors import Conflict, Invalid, NotFound
from fairlead.labels.judgements import judgement_table
from fairlead.labels.task_kinds import TASK_KINDS, TaskKind
from labels.build import ANN, BEN, CAT, LEAD, NOON, VALUES, after, judge, open_campaign, slots, take, talk
from labels.test_assignments import together


def rows(database: Database) -> int:
    with database.read() as connection:
        return int(connection.execute(select(func.count()).select_from(judgement_table)).scalar_one())


def test_a_judgement_by_hand(database: Database) -> None:
    with database.write() as connection:
        one = open_campaign(connection, options={"chips": ["clearer", "shorter"]})
        [task] = take(connection, one, ANN)
        made = judgements.submit(connection, task.id, ANN, judgements.NewJudgement(key="key-00001", value={"choice": 1}, reasons=["shorter"], note="It is brief.", active_ms=900, dwell_ms={"A": 500, "B": 400}, ui={"width": 1280, "theme": "dark"}), at=after(1))  # fmt: skip
        # Choice 1 is "A much better"; A was candidate order[0].
        assert made.value == {"preference": 3 if task.order[0] == 0 else -3, "tie": None}
        assert (made.margin, made.order, made.item_id, made.rater) == (3, task.order, task.item.id, ANN)
        assert (made.reasons, made.note, made.active_ms, made.dwell_ms) == (
            ("shorter",),
            "It is brief.",
            900,
            {"A": 500, "B": 400},
        )
        assert (made.ui, made.late, made.withdraws, made.supersedes) == (
            {"width": 1280, "theme": "dark"},
            False,
            False,
            None,
        )
        assert (made.made_at, made.guidelines_version) == (format_time(after(1)), 1)
        assert (
            judgements.list_current(connection, one.id)
            == [made]
            == [judgements.get_current(connection, task.id)]
        )
        assert slots(connection, one)[task.item.id] == ["done"]
        assert assignments.get(connection, task.id, ANN).how == "judged"


@pytest.mark.parametrize("kind", TASK_KINDS)
def test_every_kind_is_judged_and_taken_back(database: Database, kind: TaskKind) -> None:
    with database.write() as connection:
        one = open_campaign(connection, kind=kind, num_items=2)
        [task] = take(connection, one, ANN)
        if kind == "chat":
            talk(connection, one, task)
        made = judge(connection, task, VALUES[kind])
        assert judgements.get_last(connection, one, ANN) == (
            assignments.get(connection, task.id, ANN),
            made,
        )
        again = judge(connection, task, {"cannot": "unsafe"}, key="key-again")
        assert (again.value, again.supersedes, again.margin) == ({"cannot": "unsafe"}, made.id, None)
        assert judgements.list_current(connection, one.id) == [again]


def test_a_live_chat_is_judged_by_what_was_really_talked(database: Database) -> None:
    with database.write() as connection:
        one = open_campaign(connection, kind="chat", num_items=3)
        silent, undecided, early = take(connection, one, ANN, count=3)
        talk(connection, one, undecided, choice=None)
        talk(connection, one, early, text=None)
        for task in (silent, undecided, early):
            for value in ({}, {"score": 4}):
                with pytest.raises(Invalid, match="must include a choice"):
                    judge(connection, task, value or {"score": None})
        assert (
            judgements.list_current(connection, one.id) == []
            and assignments.get(connection, silent.id, ANN).how is None
        )
        assert judge(connection, silent, {"cannot": "unsafe"}).value == {"cannot": "unsafe"}
        chats.choose_answer(connection, one, undecided, n=0, choice=5, seen={})
        for place in (0, 1):
            chats.store_answer(
                connection, chats.get_turn(connection, early.id, 0).id, place, text="Here.", finished=True
            )
        talk(connection, one, early, choice=None)  # what was judged before a turn without a choice counts
        assert (
            judge(connection, undecided, {"score": 4}).value
            == {"score": 4}
            == judge(connection, early, {"score": 4}).value
        )


@pytest.mark.parametrize(("active_ms", "quick"), [(0, True), (479, True), (480, False), (60_000, False)])
def test_faster_than_anybody_reads_is_marked_and_kept(
    database: Database, active_ms: int, quick: bool
) -> None:
    with database.write() as connection:
        one = open_campaign(connection)  # two answers of four words: 8 words at 60 ms
        [task] = take(connection, one, ANN)
        assert judge(connection, task, active_ms=active_ms).quick is quick


# ---------------------------------------------------------------- once, and for good


def test_sending_twice_is_sending_once(database: Database) -> None:
    with database.write() as connection:
        one = open_campaign(connection)
        [task] = take(connection, one, ANN)
        made = judge(connection, task)
        before = events.last_seq(connection)
        assert judge(connection, task) == made
        assert judge(connection, task, {"choice": 8}) == made  # the key decides, not what came with it
        assert events.last_seq(connection) == before
    assert rows(database) == 1


def test_a_key_is_of_one_person_and_one_task(database: Database) -> None:
    with database.write() as connection:
        one = open_campaign(connection, overlap=2)
        first, second = take(connection, one, ANN, count=2)
        [other] = take(connection, one, BEN)
        judge(connection, first, key="key-00001")
        with pytest.raises(Conflict, match="used for another assignment"):
            judge(connection, second, key="key-00001")
        assert judge(connection, other, key="key-00001").rater == BEN


def test_a_correction_supersedes_and_nothing_is_lost(database: Database) -> None:
    with database.write() as connection:
        one = open_campaign(connection)
        [task] = take(connection, one, ANN)
        made = [judge(connection, task, {"choice": choice}, key=f"key-0000{choice}") for choice in (1, 4, 7)]
        assert [each.supersedes for each in made] == [None, made[0].id, made[1].id]
        assert judgements.list_current(connection, one.id) == [made[2]]
        assert judgements.count_current(connection, one.id, ANN) == 1
        kept = connection.execute(
            select(judgement_table.c.id, judgement_table.c.value).order_by(judgement_table.c.id)
        ).all()
        assert [(row.id, row.value) for row in kept] == [(each.id, each.value) for each in made]
        assert slots(connection, one)[task.item.id] == ["done"]


def test_the_same_answer_sent_by_many_tries_at_once_is_kept_once(database: Database) -> None:
    with database.write() as connection:
        one = open_campaign(connection, overlap=3)
        [task] = take(connection, one, ANN)

    def send(key: str) -> None:
        with database.write() as connection:
            judge(connection, task, key=key)

    assert together([lambda: send("key-00001") for _ in range(6)]) == []
    assert rows(database) == 1
    with database.read() as connection:
        assert sorted(slots(connection, one)[task.item.id]) == ["done", "open", "open"]


def test_two_windows_that_judge_one_task_at_once_make_one_correction(database: Database) -> None:
    with database.write() as connection:
        one = open_campaign(connection, overlap=3)
        [task] = take(connection, one, ANN)

    def send(number: int) -> None:
        with database.write() as connection:
            judge(connection, task, {"choice": number + 1}, key=f"key-0000{number}")

    assert together([lambda number=number: send(number) for number in range(6)]) == []  # type: ignore[misc]
    with database.read() as connection:
        made = connection.execute(select(judgement_table).order_by(judgement_table.c.id)).all()
        assert [row.supersedes for row in made] == [None, *(row.id for row in made[:-1])]
        assert [row.late for row in made] == [False] * 6
        assert len(judgements.list_current(connection, one.id)) == 1
        assert sorted(slots(connection, one)[task.item.id]) == ["done", "open", "open"]


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
def test_what_cannot_be_kept_leaves_the_task_as_it_was(
    database: Database, fields: Mapping[str, Any], field: str
) -> None:
    with database.write() as connection:
        one = open_campaign(connection)
        [task] = take(connection, one, ANN)
    sent: dict[str, Any] = {"key": "key-00001", "value": {"choice": 1}, **fields}
    with pytest.raises(Invalid) as raised, database.write() as connection:
        judgements.submit(connection, task.id, ANN, judgements.NewJudgement(**sent))
    assert raised.value.field == field
    with database.read() as connection:
        assert assignments.get(connection, task.id, ANN).how is None
        assert slots(connection, one)[task.item.id] == ["held"]
    assert rows(database) == 0


# ---------------------------------------------------------------- undo and skip


def test_nothing_to_take_back(database: Database) -> None:
    with database.write() as connection:
        one, other = open_campaign(connection), open_campaign(connection)
        [task] = take(connection, other, ANN)
        judge(connection, task)
        for campaign, rater in ((one, ANN), (other, BEN)):
            with pytest.raises(NotFound, match="no judgement to undo"):
                judgements.get_last(connection, campaign, rater)


def test_undo_gives_the_last_one_and_changes_nothing(database: Database) -> None:
    with database.write() as connection:
        one = open_campaign(connection)
        made = []
        for choice in (1, 8):
            [task] = take(connection, one, ANN)
            made.append(judge(connection, task, {"choice": choice}))
        before = events.last_seq(connection)
        task, last = judgements.get_last(connection, one, ANN)
        assert (task.id, last) == (made[1].assignment_id, made[1])
        assert judgements.list_current(connection, one.id) == made
        assert events.last_seq(connection) == before


def test_a_skipped_item_goes_to_somebody_else_and_not_to_the_same_person(database: Database) -> None:
    with database.write() as connection:
        one = open_campaign(connection, num_items=1)
        [task] = take(connection, one, ANN)
        drafts.save(connection, task.id, ANN, {"note": "half a thought"})
        judgements.skip(connection, task.id, ANN, reason="too hard", at=NOON)
        judgements.skip(connection, task.id, ANN, reason="too hard", at=NOON)  # again: nothing happens
        assert take(connection, one, ANN) == []
        assert drafts.get_many(connection, ANN, assignment_ids=[task.id]) == {
            task.id: {"note": "half a thought"}
        }
        [other] = take(connection, one, BEN)
        assert other.item.id == task.item.id
        skips = [each for each in events.list_after(connection, 0) if each.verb == "task.skipped"]
        assert [each.body for each in skips] == [
            {"item": task.item.id, "reason": "too hard", "withdraws": None}
        ]


def test_skipping_after_all_withdraws_the_judgement(database: Database) -> None:
    with database.write() as connection:
        one = open_campaign(connection, num_items=1)
        [task] = take(connection, one, ANN)
        made = judge(connection, task)
        judgements.skip(connection, task.id, ANN, reason="upsetting", at=NOON)
        assert judgements.list_current(connection, one.id) == []
        assert judgements.count_current(connection, one.id, ANN) == 0
        withdrawal = connection.execute(select(judgement_table).where(judgement_table.c.withdraws)).one()
        assert (withdrawal.supersedes, withdrawal.value, withdrawal.item_id) == (made.id, {}, made.item_id)
        assert slots(connection, one) == {1: ["open"]}
        [other] = take(connection, one, BEN)
        assert judge(connection, other).supersedes is None


def test_what_was_skipped_can_still_be_judged(database: Database) -> None:
    """The draft is parked: whoever comes back to it is heard, as long as nobody else was asked as an extra judgement."""
    with database.write() as connection:
        one = open_campaign(connection, num_items=1)
        [task] = take(connection, one, ANN)
        judgements.skip(connection, task.id, ANN, reason="unclear", at=NOON)
        made = judge(connection, task, at=after(1))
        assert judgements.list_current(connection, one.id) == [made]
        assert slots(connection, one) == {1: ["done"]}
        assert take(connection, one, BEN) == []


@pytest.mark.parametrize("reason", ["", "boring", "Unclear"])
def test_a_skip_needs_a_reason(database: Database, reason: str) -> None:
    with database.write() as connection:
        one = open_campaign(connection)
        [task] = take(connection, one, ANN)
        with pytest.raises(Invalid, match="must be one of: unclear"):
            judgements.skip(connection, task.id, ANN, reason=reason)


def test_a_note_with_a_skip_is_a_flag(database: Database) -> None:
    with database.write() as connection:
        one = open_campaign(connection)
        [task] = take(connection, one, ANN)
        judgements.skip(connection, task.id, ANN, reason="broken", note="The image is gone.")
        [raised] = flags.list_flags(connection, one.id)
        assert (raised.reason, raised.note, raised.rater, raised.item_id) == (
            "other",
            "The image is gone.",
            ANN,
            task.item.id,
        )


# ---------------------------------------------------------------- what is read


def test_judgements_that_stand_by_item_rater_and_page(database: Database) -> None:
    with database.write() as connection:
        one = open_campaign(connection, num_items=2, overlap=3)
        made = []
        for rater in (ANN, BEN, CAT):
            for task in take(connection, one, rater, count=2):
                made.append(judge(connection, task))
        assert judgements.list_current(connection, one.id) == made
        assert judgements.list_current(connection, one.id, rater=BEN) == made[2:4]
        assert {each.rater for each in judgements.list_current(connection, one.id, item_id=1)} == {
            ANN,
            BEN,
            CAT,
        }
        assert judgements.list_current(connection, one.id, after=made[1].id, limit=2) == made[2:4]
        assert judgements.count_current(connection, one.id, ANN) == 2
        other = open_campaign(connection)
        assert judgements.list_current(connection, other.id) == []


def test_events_hold_no_text_and_no_token(database: Database) -> None:
    with database.write() as connection:
        one = open_campaign(connection, kind="demonstration")
        [task] = take(connection, one, ANN)
        drafts.save(connection, task.id, ANN, {"text": "my secret draft"})
        judge(connection, task, {"text": "my secret answer"}, note="my secret note")
        flags.raise_flag(connection, task.id, ANN, reason="other", note="my secret worry")
        written = str([vars(each) for each in events.list_after(connection, 0)])
    assert "secret" not in written
    assert task.id not in written


# ---------------------------------------------------------------- drafts and flags


def test_the_last_draft_counts_and_goes_with_the_judgement(database: Database) -> None:
    with database.write() as connection:
        one = open_campaign(connection, num_items=3)
        first, second = take(connection, one, ANN, count=2)
        for text in ("a", "ab", "abc"):
            drafts.save(connection, first.id, ANN, {"note": text})
        drafts.save(connection, second.id, ANN, {})
        kept = drafts.list_of_rater(connection, one.id, ANN)
        assert [(each.assignment_id, each.item_id, each.body, each.how) for each in kept] == [
            (second.id, second.item.id, {}, None), (first.id, first.item.id, {"note": "abc"}, None),
        ]  # fmt: skip
        assert drafts.get_many(connection, ANN, assignment_ids=[second.id]) == {second.id: {}}
        assert (
            drafts.list_of_rater(connection, one.id, BEN)
            == drafts.list_of_rater(connection, one.id + 1, ANN)
            == []
        )
        judge(connection, first)
        assert drafts.get_many(connection, ANN, assignment_ids=[first.id, second.id]) == {second.id: {}}


def test_first_drafts_at_once(database: Database) -> None:
    with database.write() as connection:
        one = open_campaign(connection)
        [task] = take(connection, one, ANN)

    def save(number: int) -> None:
        with database.write() as connection:
            drafts.save(connection, task.id, ANN, {"note": str(number)})

    assert together([lambda number=number: save(number) for number in range(6)]) == []  # type: ignore[misc]
    with database.read() as connection:
        assert drafts.get_many(connection, ANN, assignment_ids=[task.id])[task.id]["note"] in set("012345")


@pytest.mark.parametrize(
    "body", [{"text": "x" * 400_001}, {"text": "\x00"}, {"text": "\ud800"}, {"n": float("inf")}, {"n": 2**64}]
)
def test_a_draft_that_cannot_be_kept(database: Database, body: dict[str, Any]) -> None:
    with database.write() as connection:
        one = open_campaign(connection)
        [task] = take(connection, one, ANN)
        with pytest.raises(Invalid) as raised:
            drafts.save(connection, task.id, ANN, body)
        assert raised.value.field == "draft"


def test_a_flag_is_raised_and_resolved_once(database: Database) -> None:
    with database.write() as connection:
        one, other = open_campaign(connection), open_campaign(connection)
        [task] = take(connection, one, ANN)
        first = flags.raise_flag(connection, task.id, ANN, reason="harmful")
        second = flags.raise_flag(connection, task.id, ANN, reason="other", note="Look at this.")
        assert [(each.id, each.reason, each.note) for each in flags.list_flags(connection, one.id)] == [
            (second, "other", "Look at this."),
            (first, "harmful", ""),
        ]
        with pytest.raises(NotFound):
            flags.resolve_flag(connection, other.id, first, by=LEAD)
        flags.resolve_flag(connection, one.id, first, by=LEAD)
        before = events.last_seq(connection)
        flags.resolve_flag(connection, one.id, first, by=BEN)  # again: nothing happens
        assert events.last_seq(connection) == before
        assert [each.id for each in flags.list_flags(connection, one.id)] == [second]
        [resolved] = flags.list_flags(connection, one.id, resolved=True)
        assert (resolved.id, resolved.resolved_by) == (first, LEAD)
        for wrong in (
            {"reason": "boring"},
            {"reason": "other", "note": "x" * 10_001},
            {"reason": "other", "note": "\x00"},
        ):
            with pytest.raises(Invalid):
                flags.raise_flag(connection, task.id, ANN, **wrong)


def test_the_chain_holds_after_a_day_of_work(database: Database) -> None:
    with database.write() as connection:
        one = open_campaign(connection, num_items=8, overlap=2)
    for number, rater in enumerate((ANN, BEN, CAT) * 4):
        with database.write() as connection:
            for task in take(connection, one, rater, count=2, at=after(number)):
                if number % 3 == 0:
                    judgements.skip(connection, task.id, rater, reason="unclear", at=after(number))
                else:
                    judge(connection, task, at=after(number))
    with database.read() as connection:
        verdict = events.verify(connection)
        made = [
            each.body["judgement"]
            for each in events.list_after(connection, 0)
            if each.verb == "judgement.made"
        ]
        assert verdict.problem is None
        assert made == list(
            connection.execute(select(judgement_table.c.id).order_by(judgement_table.c.id)).scalars()
        )
        assert max(len([s for s in states if s != "open"]) for states in slots(connection, one).values()) <= 2
        assert (
            items.slot_counts(connection, [one.id])[one.id]["done"]
            == len(judgements.list_current(connection, one.id))
            == len(made)
        )
