"""Drafts: the latest state is stored, and deleted when the judgement is submitted."""

import functools
from typing import Any

import pytest

from fairlead.labels import drafts
from fairlead.labels.database import Database
from fairlead.labels.errors import Invalid
from labels.build import ANN, BEN, judge, lease, open_campaign, run_at_once


def test_the_latest_draft_is_kept_until_the_judgement(database: Database) -> None:
    with database.write() as connection:
        campaign = open_campaign(connection, num_items=3)
        first, second = lease(connection, campaign, ANN, count=2)
        for text in ("a", "ab", "abc"):
            drafts.save(connection, first.id, ANN, {"note": text})
        drafts.save(connection, second.id, ANN, {})
        stored = drafts.list_of_rater(connection, campaign.id, ANN)
        assert [(draft.assignment_id, draft.item_id, draft.body, draft.how) for draft in stored] == [
            (second.id, second.item.id, {}, None),
            (first.id, first.item.id, {"note": "abc"}, None),
        ]
        assert drafts.get_many(connection, ANN, assignment_ids=[second.id]) == {second.id: {}}
        assert (
            drafts.list_of_rater(connection, campaign.id, BEN)
            == drafts.list_of_rater(connection, campaign.id + 1, ANN)
            == []
        )
        judge(connection, first)
        assert drafts.get_many(connection, ANN, assignment_ids=[first.id, second.id]) == {second.id: {}}


def test_concurrent_first_drafts_store_one_draft(database: Database) -> None:
    with database.write() as connection:
        campaign = open_campaign(connection)
        [assignment] = lease(connection, campaign, ANN)

    def save(number: int) -> None:
        with database.write() as connection:
            drafts.save(connection, assignment.id, ANN, {"note": str(number)})

    assert run_at_once([functools.partial(save, number) for number in range(6)]) == []
    with database.read() as connection:
        stored = drafts.get_many(connection, ANN, assignment_ids=[assignment.id])
        assert stored[assignment.id]["note"] in set("012345")


@pytest.mark.parametrize(
    "body", [{"text": "x" * 400_001}, {"text": "\x00"}, {"text": "\ud800"}, {"n": float("inf")}, {"n": 2**64}]
)
def test_drafts_that_cannot_be_stored_are_rejected(database: Database, body: dict[str, Any]) -> None:
    with database.write() as connection:
        campaign = open_campaign(connection)
        [assignment] = lease(connection, campaign, ANN)
        with pytest.raises(Invalid) as raised:
            drafts.save(connection, assignment.id, ANN, body)
        assert raised.value.field == "draft"
