"""Items and their slots: what is accepted, duplicates, the order of assignment, and the overlap."""

from typing import Any

import pytest
from sqlalchemy import select

from fairlead.data.records import Message
from fairlead.labels import campaigns, events, items
from fairlead.labels.database import Database
from fairlead.labels.errors import Invalid, NotFound
from fairlead.labels.items import AddedCounts, CandidateAnswer, NewItem
from fairlead.labels.task_kinds import NUM_ANSWERS, TASK_KINDS, TaskKind
from labels.build import ANN, BEN, LEAD, judge, lease, new_item, open_campaign, slot_states


def question(text: str, *answers: str, **fields: Any) -> NewItem:
    return NewItem(
        (Message("user", text),),
        tuple(CandidateAnswer((Message("assistant", answer),)) for answer in answers),
        **fields,
    )


def test_an_item_is_stored_unchanged(database: Database) -> None:
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
        campaign = campaigns.create(
            connection, campaigns.CampaignSettings(name="One", kind="pairwise"), by=LEAD
        )
        assert items.add(connection, campaign, [row], by=LEAD) == AddedCounts(1, 0)
        [stored] = items.list_page(connection, campaign.id)
        assert items.get(connection, campaign.id, stored.id) == stored
    for name, value in vars(row).items():
        assert getattr(stored, name) == value, name


def test_duplicate_items_are_counted_and_not_added(database: Database) -> None:
    with database.write() as connection:
        campaign = campaigns.create(
            connection, campaigns.CampaignSettings(name="One", kind="pairwise", overlap=2), by=LEAD
        )
        other = campaigns.create(
            connection, campaigns.CampaignSettings(name="Other", kind="pairwise"), by=LEAD
        )
        rows = [
            question("a", "1", "2"),
            question("b", "1", "2"),
            question("a", "1", "2", tags=("again",)),
            question("a", "2", "1"),
        ]
        assert items.add(connection, campaign, rows, by=LEAD) == AddedCounts(3, 1)
        assert items.add(connection, campaign, iter(rows), by=LEAD) == AddedCounts(0, 4)
        assert items.add(connection, other, rows[:1], by=LEAD) == AddedCounts(
            1, 0
        )  # the same item may be in another campaign
        assert items.add(connection, campaign, [], by=LEAD) == AddedCounts(0, 0)
        assert slot_states(connection, campaign) == {
            1: ["open", "open"],
            2: ["open", "open"],
            3: ["open", "open"],
        }
        added = [event.body for event in events.list_after(connection, 0) if event.verb == "items.added"]
        assert added == [{"count": 3}, {"count": 1}]


def test_adding_more_rows_than_fit_into_one_statement(database: Database) -> None:
    with database.write() as connection:
        campaign = campaigns.create(
            connection, campaigns.CampaignSettings(name="One", kind="demonstration", overlap=2), by=LEAD
        )
        rows = [question(f"Question {n}") for n in range(1203)]
        assert items.add(connection, campaign, rows[:700], by=LEAD) == AddedCounts(700, 0)
        assert items.add(connection, campaign, rows, by=LEAD) == AddedCounts(503, 700)
        assert items.slot_counts(connection, [campaign.id]) == {
            campaign.id: {"open": 2406, "held": 0, "done": 0}
        }


def test_an_answer_of_another_model_does_not_make_a_new_item(database: Database) -> None:
    with database.write() as connection:
        campaign = campaigns.create(
            connection, campaigns.CampaignSettings(name="One", kind="rating"), by=LEAD
        )
        rows = [
            NewItem((Message("user", "a"),), (CandidateAnswer((Message("assistant", "1"),), source=source),))
            for source in ("m-1", "m-2")
        ]
        assert items.add(connection, campaign, rows, by=LEAD) == AddedCounts(1, 1)


@pytest.mark.parametrize("kind", TASK_KINDS)
def test_the_number_of_answers_must_suit_the_task_kind(database: Database, kind: TaskKind) -> None:
    low, high = NUM_ANSWERS[kind]
    with database.write() as connection:
        campaign = campaigns.create(connection, campaigns.CampaignSettings(name="One", kind=kind), by=LEAD)
        for number in range(10):
            if low <= number <= high:
                assert items.add(connection, campaign, [new_item(number, number)], by=LEAD) == AddedCounts(
                    1, 0
                )
            else:
                with pytest.raises(Invalid, match=f"row 1 has {number}; a {kind} item must have {low}"):
                    items.add(connection, campaign, [new_item(number, number)], by=LEAD)


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
        (question("a", "same", "same"), "answers"),
        (question("a", "1", "2", priority=-1), "priority"),
        (question("a", "1", "2", priority=101), "priority"),
        (question("a", "1", "2", selection_probability=0.0), "selection_probability"),
        (question("a", "1", "2", selection_probability=1.01), "selection_probability"),
        (question("a", "1", "2", selection_probability=float("nan")), "selection_probability"),
        (question("a\x00", "1", "2"), "prompt"),
        (question("a", "1\ud800", "2"), "prompt"),
        (question("a", "1", "2", reference="\x00"), "prompt"),
    ],
)
def test_errors_name_the_row(database: Database, row: NewItem, field: str) -> None:
    with database.write() as connection:
        campaign = campaigns.create(
            connection, campaigns.CampaignSettings(name="One", kind="pairwise"), by=LEAD
        )
    with pytest.raises(Invalid, match="row 2") as raised, database.write() as connection:
        items.add(connection, campaign, [question("fine", "1", "2"), row], by=LEAD)
    assert raised.value.field == field
    with database.read() as connection:
        assert items.list_page(connection, campaign.id) == []


def test_items_are_listed_in_pages(database: Database) -> None:
    with database.write() as connection:
        campaign = open_campaign(connection, num_items=5)
        first = items.list_page(connection, campaign.id, limit=2)
        second = items.list_page(connection, campaign.id, after=first[-1].id)
        assert [item.prompt[0].content for item in (*first, *second)] == [f"Question {n}?" for n in range(5)]


def test_items_of_other_campaigns_are_not_found(database: Database) -> None:
    with database.write() as connection:
        campaign, other = open_campaign(connection, num_items=1), open_campaign(connection, num_items=1)
        with pytest.raises(NotFound):
            items.get(connection, other.id, items.list_page(connection, campaign.id)[0].id)


# ---------------------------------------------------------------- order of assignment


def test_the_first_judgement_of_every_item_comes_before_any_second(database: Database) -> None:
    with database.write() as connection:
        campaign = open_campaign(connection, num_items=4, overlap=2)
        raters = [ANN, BEN] * 4
        handed = []
        for rater in raters:
            [assignment] = lease(connection, campaign, rater)
            judge(connection, assignment)
            handed.append(assignment.item.id)
        assert sorted(handed[:4]) == sorted(handed[4:]) == [1, 2, 3, 4]


def test_higher_priorities_come_first_within_a_round(database: Database) -> None:
    with database.write() as connection:
        campaign = campaigns.create(
            connection, campaigns.CampaignSettings(name="One", kind="pairwise", overlap=2), by=LEAD
        )
        items.add(
            connection,
            campaign,
            [new_item(n, priority=priority) for n, priority in enumerate((0, 100, 50, 0))],
            by=LEAD,
        )
        campaign = campaigns.set_state(connection, campaign, "open", by=LEAD)
        order = []
        for rater in (ANN, ANN, ANN, ANN, BEN, BEN):
            [assignment] = lease(connection, campaign, rater)
            judge(connection, assignment)
            order.append(assignment.item.priority)
        assert order == [100, 50, 0, 0, 100, 50]


def test_changing_priorities_changes_the_next_items(database: Database) -> None:
    with database.write() as connection:
        campaign = open_campaign(connection, num_items=30, overlap=2)
        items.set_priority(connection, campaign, {17: 40, 23: 90}, by=LEAD)
        assert [assignment.item.id for assignment in lease(connection, campaign, ANN, count=2)] == [23, 17]
        assert items.get(connection, campaign.id, 23).priority == 90
        with pytest.raises(Invalid):
            items.set_priority(connection, campaign, {17: 101}, by=LEAD)
        with pytest.raises(NotFound):
            items.set_priority(connection, campaign, {9999: 1}, by=LEAD)


def test_the_order_is_shuffled_and_differs_between_campaigns(database: Database) -> None:
    with database.write() as connection:
        orders = []
        for seed in ("one", "two", "one"):
            campaign = open_campaign(connection, num_items=12, seed=seed)
            query = select(items.item_table.c.prompt).join(
                items.slot_table, items.slot_table.c.item_id == items.item_table.c.id
            )
            rows = connection.execute(
                query.where(items.slot_table.c.campaign_id == campaign.id).order_by(items.slot_table.c.rank)
            ).scalars()
            orders.append([row[0]["content"] for row in rows])
    assert orders[0] == orders[2] != orders[1]
    assert orders[0] != sorted(orders[0])
