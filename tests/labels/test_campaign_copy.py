"""Campaigns that are copied."""

import dataclasses

import pytest

from fairlead.labels import campaign_copy, campaigns, chats, item_archive, items, job_worker, members
from fairlead.labels.campaigns import CampaignSettings
from fairlead.labels.database import Database
from labels.build import LEAD, open_campaign
from labels.judging import judged_and_flagged


def test_a_copy_has_the_settings_and_what_is_asked_for(database: Database) -> None:
    campaign = judged_and_flagged(
        database,
        overlap=2,
        pay_per_hour=12.5,
        currency="CHF",
        audience="Nurses",
        lease_s=60,
        read_first=True,
        options={"aspects": ["brief"]},
    )
    options = {"with_guidelines": True, "with_people": True, "with_items": True, "by": LEAD}
    with database.write() as connection:
        first = items.list_page(connection, campaign.id)[0]
        item_archive.set_archived(connection, campaign, [first.id], archived=True, by=LEAD)
        full = campaign_copy.copy(connection, campaign, name="Again", **options)  # type: ignore[arg-type]
        assert full.job is None and full.campaign.state == "draft"
        differ = {"name", "guidelines", "slug", "seed"}
        same = {field.name for field in dataclasses.fields(CampaignSettings)} - differ
        assert {n: getattr(full.campaign, n) for n in same} == {n: getattr(campaign, n) for n in same}
        assert full.campaign.seed != campaign.seed
        written = campaigns.get_guidelines(connection, full.campaign.id)
        assert written is not None and written.text == "# How to\nBe fair."
        assert [member.name for member in members.list_of_campaign(connection, full.campaign.id)] == ["Ann"]
        copied = items.list_page(connection, full.campaign.id)
        assert len(copied) == 2 and first.digest not in {item.digest for item in copied}
        options |= {"with_guidelines": False, "with_people": False, "with_items": False}
        bare = campaign_copy.copy(connection, campaign, name="Bare", **options)  # type: ignore[arg-type]
        assert campaigns.get_guidelines(connection, bare.campaign.id) is None
        assert members.list_of_campaign(connection, bare.campaign.id) == []
        assert items.list_page(connection, bare.campaign.id) == []


def test_a_copy_of_a_chat_has_its_models(database: Database) -> None:
    campaign = judged_and_flagged(database, "chat")
    with database.write() as connection:
        copied = campaign_copy.copy(
            connection,
            campaign,
            name="Again",
            with_guidelines=False,
            with_people=False,
            with_items=False,
            by=LEAD,
        )
        answerers = chats.list_answerers(connection, copied.campaign.id)
        assert answerers == chats.list_answerers(connection, campaign.id)


def test_many_items_are_copied_by_a_job(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(campaign_copy, "MOST_AT_ONCE", 2)
    monkeypatch.setattr(campaign_copy, "ITEMS_PER_TRANSACTION", 2)
    with database.write() as connection:
        campaign = open_campaign(connection, num_items=5)
        copied = campaign_copy.copy(
            connection,
            campaign,
            name="Again",
            with_guidelines=False,
            with_people=False,
            with_items=True,
            by=LEAD,
        )
        assert copied.job is not None and items.list_page(connection, copied.campaign.id) == []
    job = job_worker.run_one(database, {campaign_copy.JOB_KIND: campaign_copy.run})
    assert job is not None and job.result == {"added": 5}
    with database.read() as connection:
        prompts = [
            [item.prompt for item in items.list_page(connection, each.id)]
            for each in (campaign, copied.campaign)
        ]
    assert prompts[0] == prompts[1]
