"""Items that are archived, restored and deleted, with what happens to their slots and judgements."""

import pytest
from sqlalchemy import select

from fairlead.labels import (
    events,
    item_archive,
    item_overlap,
    item_search,
    items,
    judgements,
    leases,
    progress,
    snapshot,
)
from fairlead.labels.assignments import assignment_table
from fairlead.labels.campaigns import Campaign
from fairlead.labels.database import Database
from fairlead.labels.errors import Conflict
from fairlead.labels.item_search import ItemQuery, ItemState
from fairlead.labels.snapshot_filters import SnapshotFilters
from fairlead.store.project import Project
from labels.build import ANN, BEN, LEAD, judge, lease, open_campaign, slot_states
from labels.snapshots import read_rows, take_snapshot


def ids(database: Database, campaign: Campaign, state: ItemState = "any") -> list[int]:
    with database.read() as connection:
        found = item_search.search(connection, campaign.id, ItemQuery(state=state))
        hits = item_search.count_hits(connection, campaign.id, ItemQuery(state=state))
    assert hits.num == len(found) and not hits.is_more
    return [summary.item.id for summary in found]


def test_an_archived_item_is_hidden_and_handed_out_to_nobody(database: Database) -> None:
    with database.write() as connection:
        campaign = open_campaign(connection, num_items=3, overlap=2)
        [held] = lease(connection, campaign, ANN)
        num = item_archive.set_archived(connection, campaign, [held.item.id], archived=True, by=LEAD)
        assert num == 1
        assert item_archive.set_archived(connection, campaign, [held.item.id], archived=True, by=LEAD) == 0
    assert held.item.id not in ids(database, campaign) and ids(database, campaign, "archived") == [
        held.item.id
    ]
    with database.write() as connection:
        assert item_search.count_items(connection, [campaign.id]) == {campaign.id: 2}
        assert progress.get_progress(connection, campaign).num_items == 2
        assert held.item.id not in slot_states(connection, campaign)
        offered = lease(connection, campaign, BEN, count=5)
        assert held.item.id not in {assignment.item.id for assignment in offered}
        late = judge(connection, held)  # what Ann was writing is kept
        assert late.late and held.item.id not in slot_states(connection, campaign)
        judgements.skip(connection, held.id, ANN, reason="unclear")
        item_overlap.change(connection, campaign, 3, by=LEAD)
        assert held.item.id not in slot_states(connection, campaign)  # for good


def test_a_restored_item_is_handed_out_as_before(database: Database) -> None:
    with database.write() as connection:
        campaign = open_campaign(connection, num_items=2, overlap=2)
        [first] = lease(connection, campaign, ANN)
        judge(connection, first)
        item_archive.set_archived(connection, campaign, [first.item.id], archived=True, by=LEAD)
        assert slot_states(connection, campaign)[first.item.id] == ["done"]
        item_archive.set_archived(connection, campaign, [first.item.id, 999], archived=False, by=LEAD)
        assert sorted(slot_states(connection, campaign)[first.item.id]) == ["done", "open"]
        verbs = [event.verb for event in events.list_after(connection, 0)]
        assert verbs.count("items.archived") == verbs.count("items.restored") == 1
        assert events.verify(connection).problem is None


def test_only_items_that_nobody_has_seen_are_deleted(database: Database) -> None:
    with database.write() as connection:
        campaign = open_campaign(connection, num_items=3)
        other = open_campaign(connection, kind="rating", num_items=1)
        [held] = lease(connection, campaign, ANN)
        leases.release(connection, held.id, ANN)
        everything = [item.id for item in items.list_page(connection, campaign.id)]
        elsewhere = [item.id for item in items.list_page(connection, other.id)]
        with pytest.raises(Conflict, match="1 of these items has been handed out.*Archive them instead"):
            item_archive.delete_unseen(connection, campaign, everything, by=LEAD)
        unseen = [item_id for item_id in everything if item_id != held.item.id]
        assert item_archive.delete_unseen(connection, campaign, unseen + elsewhere, by=LEAD) == 2
        assert [item.id for item in items.list_page(connection, campaign.id)] == [held.item.id]
        assert [item.id for item in items.list_page(connection, other.id)] == elsewhere
        assert item_archive.delete_unseen(connection, campaign, unseen, by=LEAD) == 0
        assert len(connection.execute(select(assignment_table)).all()) == 1


def test_snapshots_leave_archived_items_out(database: Database, project: Project) -> None:
    with database.write() as connection:
        campaign = open_campaign(connection, num_items=3)
        first, *others = lease(connection, campaign, ANN, count=3)
        for assignment in (first, *others):
            judge(connection, assignment)
        item_archive.set_archived(connection, campaign, [first.item.id], archived=True, by=LEAD)
        counts, _ = snapshot.preview(connection, campaign, SnapshotFilters())
    assert (counts.items, counts.files) == (2, {"comparisons": 2})
    _, folder = take_snapshot(database, project, campaign, "kept")
    written = read_rows(folder / "comparisons.jsonl")
    assert {row["item"] for row in written} == {assignment.item.id for assignment in others}
