"""Campaigns: what may be set, which state follows which, and guidelines of which no version is lost."""

import threading
import time
from typing import Any

import pytest

from fairlead.labels import assignments, campaigns, events, guideline_diff
from fairlead.labels.campaigns import CampaignState
from fairlead.labels.database import Database
from fairlead.labels.errors import Conflict, Invalid, NotFound
from fairlead.labels.guideline_diff import GuidelineChange
from labels.build import ANN, BEN, LEAD, open_campaign, take


def test_a_campaign_begins_as_a_draft_with_defaults(database: Database) -> None:
    with database.write() as connection:
        made = campaigns.create(
            connection, campaigns.CampaignSettings(name="  Helpful answers ", kind="pairwise"), by=LEAD
        )
        assert (made.slug, made.name, made.state, made.overlap, made.lease_s) == (
            "helpful-answers",
            "Helpful answers",
            "draft",
            1,
            1800,
        )
        assert (
            campaigns.get(connection, "helpful-answers") == made == campaigns.get_by_id(connection, made.id)
        )
        assert campaigns.get_guidelines(connection, made.id) is None
        assert [each.verb for each in events.list_after(connection, 0)] == ["campaign.created"]


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
def test_a_name_becomes_an_address(name: str, slug: str) -> None:
    assert campaigns.slugify(name) == slug


def test_campaigns_of_one_name_have_addresses_of_their_own(database: Database) -> None:
    with database.write() as connection:
        made = [
            campaigns.create(connection, campaigns.CampaignSettings(name=name, kind="rating"), by=LEAD).slug
            for name in ("One", "One", "One more", "ONE", "O_e")
        ]
        assert made == ["one", "one-2", "one-more", "one-3", "o-e"]
        assert [each.slug for each in campaigns.list_all(connection)] == made[::-1]
        assert [each.slug for each in campaigns.list_all(connection, ids=[1, 3])] == ["one-more", "one"]
        assert campaigns.list_all(connection, ids=[]) == []


def test_two_campaigns_made_at_once_differ_in_seed(database: Database) -> None:
    with database.write() as connection:
        seeds = {
            campaigns.create(connection, campaigns.CampaignSettings(name="One", kind="rating"), by=LEAD).seed
            for _ in range(5)
        }
    assert len(seeds) == 5


def test_two_of_one_name_at_the_same_moment_have_two_addresses(database: Database) -> None:
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
        time.sleep(0.3)  # by then it has seen that the address is free
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
def test_what_cannot_be_set(database: Database, settings: dict[str, Any], field: str) -> None:
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


def test_every_problem_is_told_at_once(database: Database) -> None:
    with pytest.raises(Invalid) as raised, database.write() as connection:
        campaigns.create(
            connection, campaigns.CampaignSettings(name="", kind="quiz", overlap=0, slug="?"), by=LEAD
        )
    assert set(raised.value.problems) == {"name", "kind", "overlap", "slug"}


def test_the_edges_of_what_can_be_set(database: Database) -> None:
    with database.write() as connection:
        for overlap, pay, lease_s in ((1, 0, 60), (20, 10_000, 86_400), (2, 12.5, 600), (2, None, 600)):
            made = campaigns.create(
                connection,
                campaigns.CampaignSettings(
                    name="x" * 120, kind="rating", overlap=overlap, pay_per_hour=pay, lease_s=lease_s
                ),
                by=LEAD,
            )
            assert campaigns.get_by_id(connection, made.id) == made
            assert (made.overlap, made.pay_per_hour, made.lease_s) == (overlap, pay, lease_s)


def test_a_campaign_that_is_not_there(database: Database) -> None:
    with database.read() as connection, pytest.raises(NotFound, match="no campaign 'none'"):
        campaigns.get(connection, "none")


def test_the_scale_stays_once_somebody_has_it_before_them(database: Database) -> None:
    with database.write() as connection:
        one = open_campaign(connection, kind="rating", num_items=1)
        one = campaigns.change(
            connection, one, by=LEAD, options=assignments.merge_options(connection, one, {"points": 5})
        )
        take(connection, one, ANN)
        with pytest.raises(Conflict, match="with a 5-point scale"):
            assignments.merge_options(connection, one, {"points": 7})
        assert assignments.merge_options(connection, one, {"points": 5, "chips": ["clear"]}) == {
            "aspects": [],
            "chips": ["clear"],
            "points": 5,
        }


def test_who_is_handed_a_task_meanwhile_gets_the_new_scale(database: Database) -> None:
    with database.write() as connection:
        one = open_campaign(connection, kind="rating", num_items=2)
    shown = []

    def hand_out() -> None:
        with database.write() as connection:
            take(connection, one, ANN)
            shown.append(campaigns.get_by_id(connection, one.id).options["points"])

    with database.write() as connection:
        campaigns.change(
            connection, one, by=LEAD, options=assignments.merge_options(connection, one, {"points": 5})
        )
        thread = threading.Thread(target=hand_out)
        thread.start()
        thread.join(0.3)
        assert shown == []  # it waits
    thread.join(10)
    assert shown == [5]


def test_settings_change_and_say_so(database: Database) -> None:
    with database.write() as connection:
        one = campaigns.create(connection, campaigns.CampaignSettings(name="One", kind="aspects"), by=LEAD)
        changed = campaigns.change(
            connection, one, by=LEAD, name="Two", pay_per_hour=9.5, options={"points": 3}
        )
        assert campaigns.get(connection, "one") == changed
        assert (changed.name, changed.pay_per_hour, changed.options["points"], changed.seed) == (
            "Two",
            9.5,
            3,
            one.seed,
        )
        last = events.list_latest(connection, limit=1)[0]
        assert (last.verb, last.body) == ("campaign.changed", {"fields": ["name", "options", "pay_per_hour"]})


@pytest.mark.parametrize("setting", ["kind", "slug", "seed", "overlap", "state", "created_by", "id"])
def test_what_a_campaign_was_made_as_stays(database: Database, setting: str) -> None:
    with database.write() as connection:
        one = campaigns.create(connection, campaigns.CampaignSettings(name="One", kind="pairwise"), by=LEAD)
        with pytest.raises(Invalid, match=f"{setting}: cannot be changed"):
            campaigns.change(connection, one, by=LEAD, **{setting: 2})
        assert campaigns.get_by_id(connection, one.id) == one


STEPS: dict[CampaignState, tuple[CampaignState, ...]] = {
    "draft": ("open",),
    "open": ("paused", "closed"),
    "paused": ("open", "closed"),
    "closed": ("open",),
}
WAYS: dict[CampaignState, tuple[CampaignState, ...]] = {
    "draft": (),
    "open": ("open",),
    "paused": ("open", "paused"),
    "closed": ("open", "closed"),
}


@pytest.mark.parametrize("state", STEPS)
@pytest.mark.parametrize("wanted", STEPS)
def test_one_state_follows_another(database: Database, state: CampaignState, wanted: CampaignState) -> None:
    with database.write() as connection:
        one = campaigns.create(
            connection, campaigns.CampaignSettings(name="One", kind="demonstration"), by=LEAD
        )
        for step in WAYS[state]:
            one = campaigns.set_state(connection, one, step, by=LEAD)
        before = events.last_seq(connection)
        if wanted == state:
            assert campaigns.set_state(connection, one, wanted, by=LEAD) == one
            assert events.last_seq(connection) == before
        elif wanted in STEPS[state]:
            assert campaigns.set_state(connection, one, wanted, by=LEAD).state == wanted
            assert events.list_latest(connection, limit=1)[0].verb == f"campaign.{wanted}"
        else:
            with pytest.raises(Conflict, match=f"that is {state} cannot become {wanted}"):
                campaigns.set_state(connection, one, wanted, by=LEAD)
            assert campaigns.get_by_id(connection, one.id).state == state


def test_two_leads_cannot_both_take_one_step(database: Database) -> None:
    with database.write() as connection:
        one = campaigns.create(connection, campaigns.CampaignSettings(name="One", kind="rating"), by=LEAD)
        campaigns.set_state(connection, one, "open", by=LEAD)
        with pytest.raises(Conflict, match="Another user"):
            campaigns.set_state(connection, one, "open", by=BEN)  # who still looks at the draft


def test_every_version_of_the_guidelines_is_kept(database: Database) -> None:
    with database.write() as connection:
        one = campaigns.create(
            connection, campaigns.CampaignSettings(name="One", kind="rating", guidelines="# First"), by=LEAD
        )
        second = campaigns.write_guidelines(connection, one, "# Second", by=BEN)
        assert campaigns.write_guidelines(connection, one, "# Second", by=LEAD) == second  # nothing new
        third = campaigns.write_guidelines(connection, one, "# First", by=LEAD)
        assert [
            (each.version, each.text, each.written_by)
            for each in campaigns.list_guideline_versions(connection, one.id)
        ] == [
            (3, "# First", LEAD),
            (2, "# Second", BEN),
            (1, "# First", LEAD),
        ]
        assert campaigns.get_guidelines(connection, one.id) == third
        assert campaigns.get_guidelines(connection, one.id, 2) == second
        assert campaigns.get_guidelines(connection, one.id, 4) is None


def test_who_has_read_which_version(database: Database) -> None:
    with database.write() as connection:
        one = campaigns.create(
            connection, campaigns.CampaignSettings(name="One", kind="rating", guidelines="# First"), by=LEAD
        )
        campaigns.write_guidelines(connection, one, "# Second", by=LEAD)
        assert campaigns.last_version_read(connection, one.id, ANN) == 0
        before = events.last_seq(connection)
        for version in (1, 2, 1, 2, 3):  # the last one is not there
            campaigns.mark_guidelines_read(connection, one, ANN, version)
        assert campaigns.last_version_read(connection, one.id, ANN) == 2
        assert campaigns.last_version_read(connection, one.id, BEN) == 0
        assert [(each.actor, each.body) for each in events.list_after(connection, before)] == [
            (ANN, {"version": 1}),
            (ANN, {"version": 2}),
        ]


def test_events_of_a_campaign_hold_no_text_of_people(database: Database) -> None:
    with database.write() as connection:
        one = campaigns.create(
            connection,
            campaigns.CampaignSettings(
                name="One", kind="rating", guidelines="# A secret plan", audience="Only for Zoe"
            ),
            by=LEAD,
        )
        campaigns.change(connection, one, by=LEAD, audience="Only for Yve")
        written = str([each.body for each in events.list_after(connection, 0)])
    assert "secret" not in written and "Zoe" not in written and "Yve" not in written


def test_what_changed_in_guidelines_is_told_line_by_line_and_soon() -> None:
    before, after = "# Aim\n\nBe kind.\nBe brief.\n", "# Aim\nBe kind.\n\n  Be clear.\nSay why.\n"
    assert guideline_diff.list_guideline_changes(before, after) == [
        GuidelineChange("gone", "Be brief."),
        GuidelineChange("new", "Be clear."),
        GuidelineChange("new", "Say why."),
    ]
    old, new = (
        "\n".join(f"{word} number {n}: say what is so, and say it {n} times" for n in range(400))
        for word in ("Rule", "Advice")
    )
    began = time.process_time()
    assert len(guideline_diff.list_guideline_changes(old, new)) == 800
    assert time.process_time() - began < 1
