"""Campaigns: settings, states and versions of the guidelines."""

import threading
import time
from typing import Any

import pytest

from fairlead.labels import campaigns, events
from fairlead.labels.campaigns import CampaignState
from fairlead.labels.database import Database
from fairlead.labels.errors import Conflict, Invalid, NotFound
from labels.build import ANN, BEN, LEAD


def test_a_new_campaign_is_a_draft_with_defaults(database: Database) -> None:
    with database.write() as connection:
        campaign = campaigns.create(
            connection, campaigns.CampaignSettings(name="  Helpful answers ", kind="pairwise"), by=LEAD
        )
        assert (campaign.slug, campaign.name, campaign.state, campaign.overlap, campaign.lease_s) == (
            "helpful-answers",
            "Helpful answers",
            "draft",
            1,
            1800,
        )
        assert (
            campaigns.get(connection, "helpful-answers")
            == campaign
            == campaigns.get_by_id(connection, campaign.id)
        )
        assert campaigns.get_guidelines(connection, campaign.id) is None
        assert [event.verb for event in events.list_after(connection, 0)] == ["campaign.created"]


@pytest.mark.parametrize(
    ("name", "slug"),
    [
        ("Ärger & Größe!", "arger-groe"),
        ("帮助", "campaign"),
        ("--", "campaign"),
        ("x" * 100, "x" * 60),
        ("A  b_c", "a-b-c"),
    ],
)
def test_slugs_are_made_from_names(name: str, slug: str) -> None:
    assert campaigns.slugify(name) == slug


def test_campaigns_with_the_same_name_get_different_slugs(database: Database) -> None:
    with database.write() as connection:
        slugs = [
            campaigns.create(connection, campaigns.CampaignSettings(name=name, kind="rating"), by=LEAD).slug
            for name in ("One", "One", "One more", "ONE", "O_e")
        ]
        assert slugs == ["one", "one-2", "one-more", "one-3", "o-e"]
        assert [campaign.slug for campaign in campaigns.list_all(connection)] == slugs[::-1]
        assert [campaign.slug for campaign in campaigns.list_all(connection, ids=[1, 3])] == [
            "one-more",
            "one",
        ]
        assert campaigns.list_all(connection, ids=[]) == []


def test_campaigns_get_different_seeds(database: Database) -> None:
    with database.write() as connection:
        seeds = {
            campaigns.create(connection, campaigns.CampaignSettings(name="One", kind="rating"), by=LEAD).seed
            for _ in range(5)
        }
    assert len(seeds) == 5


def test_concurrent_campaigns_with_the_same_name_get_different_slugs(database: Database) -> None:
    slugs: list[str] = []

    def create() -> None:
        with database.write() as connection:
            slugs.append(
                campaigns.create(
                    connection, campaigns.CampaignSettings(name="One", kind="rating"), by=LEAD
                ).slug
            )

    other = threading.Thread(target=create)
    with database.write() as connection:
        slugs.append(
            campaigns.create(connection, campaigns.CampaignSettings(name="One", kind="rating"), by=LEAD).slug
        )
        other.start()
        time.sleep(0.3)  # meanwhile the thread has found the slug free
    other.join()
    assert slugs == ["one", "one-2"]


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        *(({"name": name}, "name") for name in ("", "  ", "x" * 121, 3, "a\x00b", "a\ud800b")),
        *(({"overlap": overlap}, "overlap") for overlap in (0, 21, 1.0, "1", True, None)),
        *(
            ({"pay_per_hour": pay}, "pay_per_hour")
            for pay in (-1, 10_001, "12", True, float("nan"), float("inf"))
        ),
        *(({"currency": currency}, "currency") for currency in ("eur", "EURO", "", 5)),
        *(({"lease_s": lease_s}, "lease_s") for lease_s in (59, 86_401, 600.0)),
        ({"audience": "x" * 1001}, "audience"),
        ({"kind": "quiz"}, "kind"),
        ({"slug": "Not an address"}, "slug"),
        ({"options": {"points": 1}}, "points"),
        ({"options": {"chips": ["a\x00b"]}}, "chips"),
        ({"guidelines": "x" * 100_001}, "guidelines"),
        ({"guidelines": "a\x00b"}, "guidelines"),
    ],
)
def test_invalid_settings_are_rejected(database: Database, settings: dict[str, Any], field: str) -> None:
    with pytest.raises(Invalid) as raised, database.write() as connection:
        campaigns.create(
            connection,
            campaigns.CampaignSettings(**{"name": "One", "kind": "pairwise", **settings}),
            by=LEAD,
        )
    assert list(raised.value.problems) == [field]
    with database.read() as connection:
        assert campaigns.list_all(connection) == []
        assert events.last_seq(connection) == 0


def test_all_problems_are_reported_at_once(database: Database) -> None:
    with pytest.raises(Invalid) as raised, database.write() as connection:
        campaigns.create(
            connection, campaigns.CampaignSettings(name="", kind="quiz", overlap=0, slug="?"), by=LEAD
        )
    assert set(raised.value.problems) == {"name", "kind", "overlap", "slug"}


def test_the_limits_of_valid_settings(database: Database) -> None:
    with database.write() as connection:
        for overlap, pay, lease_s in ((1, 0, 60), (20, 10_000, 86_400), (2, 12.5, 600), (2, None, 600)):
            campaign = campaigns.create(
                connection,
                campaigns.CampaignSettings(
                    name="x" * 120, kind="rating", overlap=overlap, pay_per_hour=pay, lease_s=lease_s
                ),
                by=LEAD,
            )
            assert campaigns.get_by_id(connection, campaign.id) == campaign
            assert (campaign.overlap, campaign.pay_per_hour, campaign.lease_s) == (overlap, pay, lease_s)


def test_an_unknown_campaign_is_not_found(database: Database) -> None:
    with database.read() as connection, pytest.raises(NotFound, match="no campaign 'none'"):
        campaigns.get(connection, "none")


def test_changing_settings_records_an_event(database: Database) -> None:
    with database.write() as connection:
        campaign = campaigns.create(
            connection, campaigns.CampaignSettings(name="One", kind="aspects"), by=LEAD
        )
        changed = campaigns.change(
            connection, campaign, by=LEAD, name="Two", pay_per_hour=9.5, options={"points": 3}
        )
        assert campaigns.get(connection, "one") == changed
        assert (changed.name, changed.pay_per_hour, changed.options["points"], changed.seed) == (
            "Two",
            9.5,
            3,
            campaign.seed,
        )
        last = events.list_latest(connection, limit=1)[0]
        assert (last.verb, last.body) == ("campaign.changed", {"fields": ["name", "options", "pay_per_hour"]})


@pytest.mark.parametrize("setting", ["kind", "slug", "seed", "overlap", "state", "created_by", "id"])
def test_fixed_settings_cannot_be_changed(database: Database, setting: str) -> None:
    with database.write() as connection:
        campaign = campaigns.create(
            connection, campaigns.CampaignSettings(name="One", kind="pairwise"), by=LEAD
        )
        with pytest.raises(Invalid, match=f"{setting}: cannot be changed"):
            campaigns.change(connection, campaign, by=LEAD, **{setting: 2})
        assert campaigns.get_by_id(connection, campaign.id) == campaign


NEXT_STATES: dict[CampaignState, tuple[CampaignState, ...]] = {
    "draft": ("open",),
    "open": ("paused", "closed"),
    "paused": ("open", "closed"),
    "closed": ("open",),
}
STEPS_TO_STATE: dict[CampaignState, tuple[CampaignState, ...]] = {
    "draft": (),
    "open": ("open",),
    "paused": ("open", "paused"),
    "closed": ("open", "closed"),
}


@pytest.mark.parametrize("state", NEXT_STATES)
@pytest.mark.parametrize("next_state", NEXT_STATES)
def test_transitions_between_states(
    database: Database, state: CampaignState, next_state: CampaignState
) -> None:
    with database.write() as connection:
        campaign = campaigns.create(
            connection, campaigns.CampaignSettings(name="One", kind="demonstration"), by=LEAD
        )
        for step in STEPS_TO_STATE[state]:
            campaign = campaigns.set_state(connection, campaign, step, by=LEAD)
        before = events.last_seq(connection)
        if next_state == state:
            assert campaigns.set_state(connection, campaign, next_state, by=LEAD) == campaign
            assert events.last_seq(connection) == before
        elif next_state in NEXT_STATES[state]:
            assert campaigns.set_state(connection, campaign, next_state, by=LEAD).state == next_state
            assert events.list_latest(connection, limit=1)[0].verb == f"campaign.{next_state}"
        else:
            with pytest.raises(Conflict, match=f"that is {state} cannot become {next_state}"):
                campaigns.set_state(connection, campaign, next_state, by=LEAD)
            assert campaigns.get_by_id(connection, campaign.id).state == state


def test_the_state_cannot_be_changed_from_a_stale_campaign(database: Database) -> None:
    with database.write() as connection:
        campaign = campaigns.create(
            connection, campaigns.CampaignSettings(name="One", kind="rating"), by=LEAD
        )
        campaigns.set_state(connection, campaign, "open", by=LEAD)
        with pytest.raises(Conflict, match="Another user"):
            campaigns.set_state(connection, campaign, "open", by=BEN)  # whose copy still is a draft


def test_every_version_of_the_guidelines_is_kept(database: Database) -> None:
    with database.write() as connection:
        campaign = campaigns.create(
            connection, campaigns.CampaignSettings(name="One", kind="rating", guidelines="# First"), by=LEAD
        )
        second = campaigns.write_guidelines(connection, campaign, "# Second", by=BEN)
        assert (
            campaigns.write_guidelines(connection, campaign, "# Second", by=LEAD) == second
        )  # unchanged text
        third = campaigns.write_guidelines(connection, campaign, "# First", by=LEAD)
        assert [
            (version.version, version.text, version.written_by)
            for version in campaigns.list_guideline_versions(connection, campaign.id)
        ] == [
            (3, "# First", LEAD),
            (2, "# Second", BEN),
            (1, "# First", LEAD),
        ]
        assert campaigns.get_guidelines(connection, campaign.id) == third
        assert campaigns.get_guidelines(connection, campaign.id, 2) == second
        assert campaigns.get_guidelines(connection, campaign.id, 4) is None


def test_the_guideline_version_that_a_rater_has_read(database: Database) -> None:
    with database.write() as connection:
        campaign = campaigns.create(
            connection, campaigns.CampaignSettings(name="One", kind="rating", guidelines="# First"), by=LEAD
        )
        campaigns.write_guidelines(connection, campaign, "# Second", by=LEAD)
        assert campaigns.last_version_read(connection, campaign.id, ANN) == 0
        before = events.last_seq(connection)
        for version in (1, 2, 1, 2, 3):  # version 3 does not exist
            campaigns.mark_guidelines_read(connection, campaign, ANN, version)
        assert campaigns.last_version_read(connection, campaign.id, ANN) == 2
        assert campaigns.last_version_read(connection, campaign.id, BEN) == 0
        assert [(event.actor, event.body) for event in events.list_after(connection, before)] == [
            (ANN, {"version": 1}),
            (ANN, {"version": 2}),
        ]


def test_campaign_events_contain_no_free_text(database: Database) -> None:
    with database.write() as connection:
        campaign = campaigns.create(
            connection,
            campaigns.CampaignSettings(
                name="One", kind="rating", guidelines="# A secret plan", audience="Only for Zoe"
            ),
            by=LEAD,
        )
        campaigns.change(connection, campaign, by=LEAD, audience="Only for Yve")
        written = str([event.body for event in events.list_after(connection, 0)])
    assert "secret" not in written and "Zoe" not in written and "Yve" not in written
