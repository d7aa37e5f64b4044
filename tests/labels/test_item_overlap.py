"""How many people judge an item: slots are added and removed with the overlap."""

from typing import Any

import pytest
from sqlalchemy import func, select

from fairlead.data.records import Message
from fairlead.labels import campaigns, item_overlap, items, leases
from fairlead.labels.database import Database
from fairlead.labels.errors import Invalid
from fairlead.labels.items import CandidateAnswer, NewItem
from labels.build import ANN, BEN, LEAD, NOON, judge, lease, new_item, open_campaign, slot_states


def test_raising_the_overlap_adds_slots(database: Database) -> None:
    with database.write() as connection:
        campaign = open_campaign(connection, num_items=2)
        [judged] = lease(connection, campaign, ANN)
        judge(connection, judged)
        item_overlap.change(connection, campaign, 3, by=LEAD)
        campaign = campaigns.get_by_id(connection, campaign.id)
        assert campaign.overlap == 3
        assert sorted(slot_states(connection, campaign).values()) == [
            ["done", "open", "open"],
            ["open", "open", "open"],
        ]
        assert [assignment.item.id for assignment in lease(connection, campaign, ANN, count=5)] != [
            judged.item.id
        ]


def test_lowering_the_overlap_removes_open_slots(database: Database) -> None:
    with database.write() as connection:
        campaign = open_campaign(connection, num_items=1, overlap=4)
        for rater in (ANN, BEN):
            [assignment] = lease(connection, campaign, rater)
        judge(connection, assignment)
        item_overlap.change(connection, campaign, 1, by=LEAD)
        campaign = campaigns.get_by_id(connection, campaign.id)
        assert slot_states(connection, campaign) == {1: ["held", "done"]}


@pytest.mark.parametrize(
    ("texts", "why"),
    [(("yes", "yes \n"), "two answers are the same"), (("yes", " \n"), "an answer is empty")],
)
def test_indistinguishable_answers_are_rejected(database: Database, texts: tuple[str, str], why: str) -> None:
    answers = tuple(CandidateAnswer((Message("assistant", text),)) for text in texts)
    with database.write() as connection:
        campaign = open_campaign(connection, num_items=0)
        with pytest.raises(Invalid, match=why):
            items.add(connection, campaign, [NewItem((Message("user", "Well?"),), answers)], by=LEAD)


@pytest.mark.parametrize("how", ["released", "expired", "skipped"])
def test_returned_slots_beyond_a_lowered_overlap_are_not_assigned_again(database: Database, how: str) -> None:
    with database.write() as connection:
        campaign = open_campaign(connection, num_items=1, overlap=2)
        [first] = lease(connection, campaign, ANN)
        [second] = lease(connection, campaign, BEN)
        item_overlap.change(connection, campaign, 1, by=LEAD)
        campaign = campaigns.get_by_id(connection, campaign.id)
        for assignment in (first, second):
            leases.end(connection, assignment.id, how, at=NOON)
        served = [len(lease(connection, campaign, rater)) for rater in ("r-0000000007", "r-0000000008")]
        assert served == [1, 0]
        item_overlap.change(connection, campaign, 2, by=LEAD)  # a higher overlap opens the slot again
        campaign = campaigns.get_by_id(connection, campaign.id)
        assert len(lease(connection, campaign, "r-0000000009")) == 1


def test_an_item_judged_in_its_second_slot_is_complete_with_a_lowered_overlap(database: Database) -> None:
    with database.write() as connection:
        campaign = open_campaign(connection, num_items=1, overlap=2)
        [first] = lease(connection, campaign, ANN)
        [second] = lease(connection, campaign, BEN)
        judge(connection, second)
        leases.release(connection, first.id, ANN)
        item_overlap.change(connection, campaign, 1, by=LEAD)
        campaign = campaigns.get_by_id(connection, campaign.id)
        assert lease(connection, campaign, "r-0000000007") == []


@pytest.mark.parametrize("overlap", [0, 21, 1.5, "2", None])
def test_invalid_overlaps_are_rejected(database: Database, overlap: Any) -> None:
    with database.write() as connection:
        campaign = open_campaign(connection, num_items=1)
        with pytest.raises(Invalid):
            item_overlap.change(connection, campaign, overlap, by=LEAD)


def test_items_added_later_get_the_present_overlap(database: Database) -> None:
    with database.write() as connection:
        campaign = open_campaign(connection, num_items=1, overlap=3)
        item_overlap.change(connection, campaign, 2, by=LEAD)
        campaign = campaigns.get_by_id(connection, campaign.id)
        items.add(connection, campaign, [new_item(99)], by=LEAD)
        assert slot_states(connection, campaign) == {1: ["open", "open"], 2: ["open", "open"]}
        assert connection.execute(select(func.count()).select_from(items.slot_table)).scalar() == 4
