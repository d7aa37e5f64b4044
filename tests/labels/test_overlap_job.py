"""Changing the overlap of many items: a job in short transactions."""

import pytest

from fairlead.labels import (
    campaigns,
    events,
    item_archive,
    item_overlap,
    items,
    job_worker,
    jobs,
    overlap_job,
)
from fairlead.labels.campaigns import Campaign
from fairlead.labels.database import Database
from fairlead.labels.errors import Invalid
from labels.build import LEAD, new_item, open_campaign, slot_states

HANDLERS = {overlap_job.JOB_KIND: overlap_job.run}


def change(database: Database, campaign: Campaign, overlap: int) -> int | None:
    with database.write() as connection:
        present = campaigns.get_by_id(connection, campaign.id)
        return overlap_job.change(connection, present, overlap, by=LEAD)


def numbers_of_slots(database: Database, campaign: Campaign) -> set[int]:
    with database.read() as connection:
        return {len(states) for states in slot_states(connection, campaign).values()}


@pytest.fixture
def campaign(database: Database, monkeypatch: pytest.MonkeyPatch) -> Campaign:
    monkeypatch.setattr(overlap_job, "MOST_AT_ONCE", 3)
    with database.write() as connection:
        return open_campaign(connection, num_items=10)


def test_a_few_items_are_changed_at_once(
    database: Database, campaign: Campaign, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(overlap_job, "MOST_AT_ONCE", 10)
    assert change(database, campaign, 3) is None
    assert numbers_of_slots(database, campaign) == {3}


def test_many_items_are_changed_by_a_job_in_short_transactions(
    database: Database, campaign: Campaign
) -> None:
    job_id = change(database, campaign, 3)
    assert job_id is not None and numbers_of_slots(database, campaign) == {1}
    with database.write() as connection:
        present = campaigns.get_by_id(connection, campaign.id)
        assert present.overlap == 3
        items.add(connection, present, [new_item(99)], by=LEAD)  # while the job waits
    sizes: list[int] = []

    def run(leased: jobs.LeasedJob) -> dict[str, object]:
        fit = item_overlap.fit_slots

        def counted(*arguments: object, **options: object) -> item_overlap.FittedItems | None:
            fitted = fit(*arguments, **options)  # type: ignore[arg-type]
            sizes.append(0 if fitted is None else fitted.num_items)
            return fitted

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(item_overlap, "fit_slots", counted)
            return overlap_job.run(leased)

    job = job_worker.run_one(database, {overlap_job.JOB_KIND: run})
    assert job is not None and job.state == "done" and job.result == {"items": 11, "overlap": 3}
    assert sizes == [3, 3, 3, 2, 0]
    assert numbers_of_slots(database, campaign) == {3}
    with database.read() as connection:
        changes = [e.body for e in events.list_after(connection, 0) if e.verb == "campaign.overlap"]
    assert changes == [{"from": 1, "to": 3}]


def test_the_job_has_done_everything_when_some_items_are_archived(
    database: Database, campaign: Campaign
) -> None:
    with database.write() as connection:
        first = items.list_page(connection, campaign.id)[0]
        item_archive.set_archived(connection, campaign, [first.id], archived=True, by=LEAD)
    change(database, campaign, 3)
    job = job_worker.run_one(database, HANDLERS)
    assert job is not None and (job.num_done, job.num_all) == (9, 9)


def test_a_second_change_meanwhile_wins(database: Database, campaign: Campaign) -> None:
    change(database, campaign, 4)
    change(database, campaign, 2)
    assert [job.state for job in iter(lambda: job_worker.run_one(database, HANDLERS), None)] == [
        "done",
        "done",
    ]
    assert numbers_of_slots(database, campaign) == {2}


def test_a_wrong_number_is_refused_before_anything_changes(database: Database, campaign: Campaign) -> None:
    with pytest.raises(Invalid):
        change(database, campaign, 21)
    assert numbers_of_slots(database, campaign) == {1}
