"""Items and their slots: what fits into a campaign, what is there already, and in which order they are asked."""

from typing import Any

import pytest
from sqlalchemy import func, select

from fairlead.data.records import Message
from fairlead.labels import campaigns, events, items, leases
from fairlead.labels.database import Database
from fairlead.labels.errors import Invalid, NotFound
from fairlead.labels.items import AddedCounts, CandidateAnswer, NewItem
from fairlead.labels.task_kinds import NUM_ANSWERS, TASK_KINDS, TaskKind
from labels.build import ANN, BEN, LEAD, NOON, judge, new_item, open_campaign, slots, take


def asked(text: str, *answers: str, **fields: Any) -> NewItem:
    return NewItem(
        (Message("user", text),),
        tuple(CandidateAnswer((Message("assistant", answer),)) for answer in answers),
        **fields,
    )


def test_an_item_comes_back_as_it_was_put_in(database: Database) -> None:
    row = NewItem(
        prompt=(Message("system", "Be brief."), Message("user", "2 + 2? \U0001f600 \u2028 مرحبا")),
        answers=(
            CandidateAnswer(
                (Message("assistant", "4"),), source="model-a", params={"temperature": 0.7}, finished=True
            ),
            CandidateAnswer(
                (Message("assistant", "5"), Message("user", "Sure?"), Message("assistant", "No.")),
                finished=False,
            ),
        ),
        tags=("sum", "easy"),
        reference="4",
        priority=7,
        selection_probability=0.25,
        strategy="uncertain",
        source="pairs.jsonl",
    )
    with database.write() as connection:
        one = campaigns.create(connection, campaigns.CampaignSettings(name="One", kind="pairwise"), by=LEAD)
        assert items.add(connection, one, [row], by=LEAD) == AddedCounts(1, 0)
        [kept] = items.list_page(connection, one.id)
        assert items.get(connection, one.id, kept.id) == kept
    for name, value in vars(row).items():
        assert getattr(kept, name) == value, name


def test_what_is_there_already_is_counted_and_left_alone(database: Database) -> None:
    with database.write() as connection:
        one = campaigns.create(
            connection, campaigns.CampaignSettings(name="One", kind="pairwise", overlap=2), by=LEAD
        )
        other = campaigns.create(
            connection, campaigns.CampaignSettings(name="Other", kind="pairwise"), by=LEAD
        )
        rows = [
            asked("a", "1", "2"),
            asked("b", "1", "2"),
            asked("a", "1", "2", tags=("again",)),
            asked("a", "2", "1"),
        ]
        assert items.add(connection, one, rows, by=LEAD) == AddedCounts(3, 1)
        assert items.add(connection, one, iter(rows), by=LEAD) == AddedCounts(0, 4)
        assert items.add(connection, other, rows[:1], by=LEAD) == AddedCounts(
            1, 0
        )  # the same item in another campaign
        assert items.add(connection, one, [], by=LEAD) == AddedCounts(0, 0)
        assert slots(connection, one) == {1: ["open", "open"], 2: ["open", "open"], 3: ["open", "open"]}
        added = [each.body for each in events.list_after(connection, 0) if each.verb == "items.added"]
        assert added == [{"count": 3}, {"count": 1}]


def test_more_rows_than_one_statement_takes(database: Database) -> None:
    with database.write() as connection:
        one = campaigns.create(
            connection, campaigns.CampaignSettings(name="One", kind="demonstration", overlap=2), by=LEAD
        )
        rows = [asked(f"Question {n}") for n in range(1203)]
        assert items.add(connection, one, rows[:700], by=LEAD) == AddedCounts(700, 0)
        assert items.add(connection, one, rows, by=LEAD) == AddedCounts(503, 700)
        assert items.slot_counts(connection, [one.id]) == {one.id: {"open": 2406, "held": 0, "done": 0}}


def test_the_same_answer_of_another_model_is_no_new_item(database: Database) -> None:
    with database.write() as connection:
        one = campaigns.create(connection, campaigns.CampaignSettings(name="One", kind="rating"), by=LEAD)
        rows = [
            NewItem((Message("user", "a"),), (CandidateAnswer((Message("assistant", "1"),), source=source),))
            for source in ("m-1", "m-2")
        ]
        assert items.add(connection, one, rows, by=LEAD) == AddedCounts(1, 1)


@pytest.mark.parametrize("kind", TASK_KINDS)
def test_an_item_has_as_many_answers_as_its_kind(database: Database, kind: TaskKind) -> None:
    low, high = NUM_ANSWERS[kind]
    with database.write() as connection:
        one = campaigns.create(connection, campaigns.CampaignSettings(name="One", kind=kind), by=LEAD)
        for number in range(10):
            if low <= number <= high:
                assert items.add(connection, one, [new_item(number, number)], by=LEAD) == AddedCounts(1, 0)
            else:
                with pytest.raises(Invalid, match=f"row 1 has {number}; a {kind} item must have {low}"):
                    items.add(connection, one, [new_item(number, number)], by=LEAD)


@pytest.mark.parametrize(
    ("row", "field"),
    [
        (
            NewItem(
                (),
                (
                    CandidateAnswer((Message("assistant", "1"),)),
                    CandidateAnswer((Message("assistant", "2"),)),
                ),
            ),
            "prompt",
        ),
        (
            NewItem(
                (Message("user", "a"),), (CandidateAnswer(()), CandidateAnswer((Message("assistant", "2"),)))
            ),
            "prompt",
        ),
        (asked("a", "same", "same"), "answers"),
        (asked("a", "1", "2", priority=-1), "priority"),
        (asked("a", "1", "2", priority=101), "priority"),
        (asked("a", "1", "2", selection_probability=0.0), "selection_probability"),
        (asked("a", "1", "2", selection_probability=1.01), "selection_probability"),
        (asked("a", "1", "2", selection_probability=float("nan")), "selection_probability"),
        (asked("a\x00", "1", "2"), "prompt"),
        (asked("a", "1\ud800", "2"), "prompt"),
        (asked("a", "1", "2", reference="\x00"), "prompt"),
    ],
)
def test_a_row_that_does_not_fit_is_named(database: Database, row: NewItem, field: str) -> None:
    with database.write() as connection:
        one = campaigns.create(connection, campaigns.CampaignSettings(name="One", kind="pairwise"), by=LEAD)
    with pytest.raises(Invalid, match="row 2") as raised, database.write() as connection:
        items.add(connection, one, [asked("fine", "1", "2"), row], by=LEAD)
    assert raised.value.field == field
    with database.read() as connection:
        assert items.list_page(connection, one.id) == []


def test_items_are_shown_in_pages(database: Database) -> None:
    with database.write() as connection:
        one = open_campaign(connection, num_items=5)
        first = items.list_page(connection, one.id, limit=2)
        rest = items.list_page(connection, one.id, after=first[-1].id)
        assert [each.prompt[0].content for each in (*first, *rest)] == [f"Question {n}?" for n in range(5)]


def test_an_item_of_another_campaign_is_not_there(database: Database) -> None:
    with database.write() as connection:
        one, other = open_campaign(connection, num_items=1), open_campaign(connection, num_items=1)
        with pytest.raises(NotFound):
            items.get(connection, other.id, items.list_page(connection, one.id)[0].id)


# ---------------------------------------------------------------- the order of asking


def test_the_first_judgement_of_every_item_comes_before_any_second(database: Database) -> None:
    with database.write() as connection:
        one = open_campaign(connection, num_items=4, overlap=2)
        raters = [ANN, BEN] * 4
        handed = []
        for rater in raters:
            [task] = take(connection, one, rater)
            judge(connection, task)
            handed.append(task.item.id)
        assert sorted(handed[:4]) == sorted(handed[4:]) == [1, 2, 3, 4]


def test_what_has_priority_comes_first_within_its_round(database: Database) -> None:
    with database.write() as connection:
        one = campaigns.create(
            connection, campaigns.CampaignSettings(name="One", kind="pairwise", overlap=2), by=LEAD
        )
        items.add(
            connection,
            one,
            [new_item(n, priority=priority) for n, priority in enumerate((0, 100, 50, 0))],
            by=LEAD,
        )
        one = campaigns.set_state(connection, one, "open", by=LEAD)
        order = []
        for rater in (ANN, ANN, ANN, ANN, BEN, BEN):
            [task] = take(connection, one, rater)
            judge(connection, task)
            order.append(task.item.priority)
        assert order == [100, 50, 0, 0, 100, 50]


def test_a_new_priority_changes_what_comes_next(database: Database) -> None:
    with database.write() as connection:
        one = open_campaign(connection, num_items=30, overlap=2)
        items.set_priority(connection, one, {17: 40, 23: 90}, by=LEAD)
        assert [task.item.id for task in take(connection, one, ANN, count=2)] == [23, 17]
        assert items.get(connection, one.id, 23).priority == 90
        with pytest.raises(Invalid):
            items.set_priority(connection, one, {17: 101}, by=LEAD)
        with pytest.raises(NotFound):
            items.set_priority(connection, one, {9999: 1}, by=LEAD)


def test_the_order_is_shuffled_and_differs_between_campaigns(database: Database) -> None:
    with database.write() as connection:
        orders = []
        for seed in ("one", "two", "one"):
            one = open_campaign(connection, num_items=12, seed=seed)
            query = select(items.item_table.c.prompt).join(
                items.slot_table, items.slot_table.c.item_id == items.item_table.c.id
            )
            rows = connection.execute(
                query.where(items.slot_table.c.campaign_id == one.id).order_by(items.slot_table.c.rank)
            ).scalars()
            orders.append([row[0]["content"] for row in rows])
    assert orders[0] == orders[2] != orders[1]
    assert orders[0] != sorted(orders[0])


# ---------------------------------------------------------------- overlap


def test_more_overlap_adds_slots(database: Database) -> None:
    with database.write() as connection:
        one = open_campaign(connection, num_items=2)
        [task] = take(connection, one, ANN)
        judge(connection, task)
        items.set_overlap(connection, one, 3, by=LEAD)
        one = campaigns.get_by_id(connection, one.id)
        assert one.overlap == 3
        assert sorted(slots(connection, one).values()) == [["done", "open", "open"], ["open", "open", "open"]]
        assert [each.item.id for each in take(connection, one, ANN, count=5)] != [task.item.id]


def test_less_overlap_takes_away_what_nobody_has_begun(database: Database) -> None:
    with database.write() as connection:
        one = open_campaign(connection, num_items=1, overlap=4)
        for rater in (ANN, BEN):
            [task] = take(connection, one, rater)
        judge(connection, task)
        items.set_overlap(connection, one, 1, by=LEAD)
        one = campaigns.get_by_id(connection, one.id)
        assert slots(connection, one) == {1: ["held", "done"]}


@pytest.mark.parametrize(
    ("texts", "why"),
    [(("yes", "yes \n"), "two answers are the same"), (("yes", " \n"), "an answer is empty")],
)
def test_answers_between_which_nobody_can_choose(
    database: Database, texts: tuple[str, str], why: str
) -> None:
    answers = tuple(CandidateAnswer((Message("assistant", text),)) for text in texts)
    with database.write() as connection:
        one = open_campaign(connection, num_items=0)
        with pytest.raises(Invalid, match=why):
            items.add(connection, one, [NewItem((Message("user", "Well?"),), answers)], by=LEAD)


@pytest.mark.parametrize("how", ["released", "expired", "skipped"])
def test_what_was_begun_and_let_go_is_not_asked_again_beyond_a_lowered_overlap(
    database: Database, how: str
) -> None:
    with database.write() as connection:
        one = open_campaign(connection, num_items=1, overlap=2)
        [first] = take(connection, one, ANN)
        [second] = take(connection, one, BEN)
        items.set_overlap(connection, one, 1, by=LEAD)
        one = campaigns.get_by_id(connection, one.id)
        for each in (first, second):
            leases.end(connection, each.id, how, at=NOON)
        served = [len(take(connection, one, rater)) for rater in ("r-0000000007", "r-0000000008")]
        assert served == [1, 0]
        items.set_overlap(connection, one, 2, by=LEAD)  # and is asked again when the overlap rises
        one = campaigns.get_by_id(connection, one.id)
        assert len(take(connection, one, "r-0000000009")) == 1


def test_an_item_judged_in_its_second_slot_is_not_asked_again_when_one_is_enough(database: Database) -> None:
    with database.write() as connection:
        one = open_campaign(connection, num_items=1, overlap=2)
        [first] = take(connection, one, ANN)
        [second] = take(connection, one, BEN)
        judge(connection, second)
        leases.release(connection, first.id, ANN)
        items.set_overlap(connection, one, 1, by=LEAD)
        one = campaigns.get_by_id(connection, one.id)
        assert take(connection, one, "r-0000000007") == []


@pytest.mark.parametrize("overlap", [0, 21, 1.5, "2", None])
def test_an_overlap_that_cannot_be(database: Database, overlap: Any) -> None:
    with database.write() as connection:
        one = open_campaign(connection, num_items=1)
        with pytest.raises(Invalid):
            items.set_overlap(connection, one, overlap, by=LEAD)


def test_items_added_later_have_the_overlap_of_then(database: Database) -> None:
    with database.write() as connection:
        one = open_campaign(connection, num_items=1, overlap=3)
        items.set_overlap(connection, one, 2, by=LEAD)
        one = campaigns.get_by_id(connection, one.id)
        items.add(connection, one, [new_item(99)], by=LEAD)
        assert slots(connection, one) == {1: ["open", "open"], 2: ["open", "open"]}
        assert connection.execute(select(func.count()).select_from(items.slot_table)).scalar() == 4
