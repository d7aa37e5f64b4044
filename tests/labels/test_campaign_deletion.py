"""Campaigns that are archived and deleted."""

import pytest
from sqlalchemy import func, select

from fairlead.labels import (
    campaign_deletion,
    campaigns,
    events,
    items,
    job_worker,
    labeller_stats,
    schema,
)
from fairlead.labels.database import Database
from fairlead.labels.errors import Conflict, Invalid, NotFound
from fairlead.labels.task_kinds import TaskKind
from labels.build import ANN, LEAD, open_campaign
from labels.judging import judged_and_flagged

KEPT = {"event", "chain", "seal", "person", "pseudonym", "job"}  # tables that no deletion empties


def rows_left(database: Database) -> dict[str, int]:
    with database.read() as connection:
        counts = {
            table.name: connection.execute(select(func.count()).select_from(table)).scalar_one()
            for table in schema.metadata.sorted_tables
        }
    return {name: count for name, count in counts.items() if count and name not in KEPT}


@pytest.mark.parametrize("kind", ["pairwise", "chat"])
def test_a_deleted_campaign_leaves_only_its_events(database: Database, kind: TaskKind) -> None:
    campaign = judged_and_flagged(database, kind)
    with database.write() as connection:
        for confirm in ("", "Another name"):
            with pytest.raises(Invalid, match="must be the campaign's name as shown here"):
                campaign_deletion.start(connection, campaign, confirm=confirm, by=LEAD)
        job_id = campaign_deletion.start(connection, campaign, confirm=f" {campaign.name} ", by=LEAD)
    assert job_id is None and rows_left(database) == {}
    with database.read() as connection:
        with pytest.raises(NotFound):
            campaigns.get(connection, campaign.slug)
        assert events.verify(connection).problem is None
        assert "campaign.deleted" in [event.verb for event in events.list_after(connection, 0)]


def test_a_campaign_without_judgements_needs_no_name(database: Database) -> None:
    with database.write() as connection:
        campaign = open_campaign(connection)
        with pytest.raises(Invalid):
            campaign_deletion.start(connection, campaign, confirm="Another name", by=LEAD)
        assert campaign_deletion.start(connection, campaign, confirm="", by=LEAD) is None
    assert rows_left(database) == {}


def test_a_large_campaign_is_gone_at_once_and_deleted_by_a_job(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(campaign_deletion, "MOST_AT_ONCE", 1)
    monkeypatch.setattr(campaign_deletion, "ITEMS_PER_TRANSACTION", 2)
    campaign = judged_and_flagged(database)
    with database.write() as connection:
        other = open_campaign(connection, kind="rating", num_items=1)
        job_id = campaign_deletion.start(connection, campaign, confirm=campaign.name, by=LEAD)
        assert job_id is not None
        assert [each.id for each in campaigns.list_all(connection)] == [other.id]
        with pytest.raises(NotFound):
            campaigns.get(connection, campaign.slug)
        again = open_campaign(connection, num_items=1)  # the address is free again
        assert again.slug == campaign.slug
    job = job_worker.run_one(database, {campaign_deletion.JOB_KIND: campaign_deletion.run})
    assert job is not None and job.state == "done" and job.result == {"items": 3}
    with database.read() as connection:
        assert {each.id for each in campaigns.list_all(connection)} == {other.id, again.id}
        assert len(items.list_page(connection, other.id)) == 1
        assert events.verify(connection).problem is None


# ---------------------------------------------------------------- archive


def test_an_archived_campaign_is_closed_and_hidden_from_labellers(database: Database) -> None:
    campaign = judged_and_flagged(database)
    with database.write() as connection:
        archived = campaigns.set_archived(connection, campaign, archived=True, by=LEAD)
        assert (archived.state, archived.archived_at is not None) == ("closed", True)
        assert campaigns.set_archived(connection, archived, archived=True, by=LEAD) == archived
        assert labeller_stats.list_campaigns(connection, ANN, {campaign.id: False}) == []
        with pytest.raises(Conflict, match="Restore it under Settings first"):
            campaigns.set_state(connection, archived, "open", by=LEAD)
        restored = campaigns.set_archived(connection, archived, archived=False, by=LEAD)
        assert (restored.state, restored.archived_at) == ("closed", None)
        assert campaigns.set_state(connection, restored, "open", by=LEAD).state == "open"
