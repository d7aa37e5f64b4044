"""Judgements that nobody in a campaign may make, and the ways out."""

from typing import Any

import pytest
from sqlalchemy import Connection

from fairlead.labels import (
    campaigns,
    departures,
    events,
    item_search,
    items,
    judgements,
    labeller_stats,
    leases,
    members,
    people,
    progress,
    reservations,
    stranded,
)
from fairlead.labels.campaigns import Campaign
from fairlead.labels.database import Database
from fairlead.labels.errors import NotFound
from fairlead.labels.item_search import ItemQuery, ItemState
from labels.build import LEAD, NOON, after, judge, lease, open_campaign

Value = dict[str, Any]


def join(connection: Connection, campaign: Campaign, *names: str, role: str = "labeller") -> list[str]:
    raters = []
    for name in names:
        person = people.add(connection, name=name)
        members.join(connection, person, campaign.id, role, by=LEAD)
        raters.append(person.rater)
    return raters


def judge_everything(connection: Connection, campaign: Campaign, rater: str) -> None:
    while held := lease(connection, campaign, rater):
        judge(connection, held[0])


def stuck(connection: Connection, campaign: Campaign) -> list[tuple[int, int, list[str]]]:
    found = stranded.find_stranded(connection, campaign)
    assert found.num_items == len(found.items) and found.judgements == sum(one.missing for one in found.items)
    return [(one.item_id, one.missing, list(one.skipped_by)) for one in found.items]


def test_a_skip_can_leave_a_judgement_that_nobody_may_make(database: Database) -> None:
    with database.write() as connection:
        campaign = open_campaign(connection, num_items=3, overlap=2)
        ann, ben = join(connection, campaign, "Ann", "Ben")
        [held] = lease(connection, campaign, ann)
        assert stuck(connection, campaign) == []
        judgements.skip(connection, held.id, ann, reason="too hard", at=NOON)
        assert stuck(connection, campaign) == [(held.item.id, 1, [ann])]  # known before the others are done
        judge_everything(connection, campaign, ann)
        judge_everything(connection, campaign, ben)
        assert stuck(connection, campaign) == [(held.item.id, 1, [ann])]
        report = progress.get_progress(connection, campaign)
        assert (report.open, report.stranded.judgements) == (1, 1)
        left = {
            rater: labeller_stats.list_campaigns(connection, rater, {campaign.id: False})[0].left
            for rater in (ann, ben)
        }
        assert left == {ann: 0, ben: 0}
        # A third person, a paused person, and one who may only watch.
        join(connection, campaign, "Eve", role="viewer")
        join(connection, campaign, "Ada", role="adjudicator")  # does not label, so far
        [cat] = join(connection, campaign, "Cat")
        assert stuck(connection, campaign) == []
        assert labeller_stats.list_campaigns(connection, cat, {campaign.id: False})[0].left == 1
        members.set_paused(connection, campaign.id, cat, paused=True, by=LEAD)
        assert stuck(connection, campaign) == [(held.item.id, 1, [ann])]
        assert labeller_stats.list_campaigns(connection, cat, {campaign.id: True})[0].left == 0


def test_a_skip_is_handed_back(database: Database) -> None:
    with database.write() as connection:
        campaign = open_campaign(connection, num_items=1)
        [ann] = join(connection, campaign, "Ann")
        [held] = lease(connection, campaign, ann)
        judge(connection, held)
        judgements.skip(connection, held.id, ann, reason="unclear", at=after(1))  # after an answer, too
        [skip] = item_search.get_details(connection, campaign.id, held.item.id).skips
        assert (skip.rater, skip.reason) == (ann, "unclear")
        stranded.hand_back(connection, campaign, held.item.id, ann, by=LEAD)
        assert stuck(connection, campaign) == []
        assert item_search.get_details(connection, campaign.id, held.item.id).skips == []
        [again] = lease(connection, campaign, ann, at=after(2))
        assert again.item.id == held.item.id
        judge(connection, again, at=after(3), key="key-again")
        with pytest.raises(NotFound, match="has not skipped"):
            stranded.hand_back(connection, campaign, held.item.id, ann, by=LEAD)
        assert "skip.handed_back" in {event.verb for event in events.list_after(connection, 0)}


def test_a_lead_is_content_with_fewer_judgements(database: Database) -> None:
    with database.write() as connection:
        campaign = open_campaign(connection, num_items=2, overlap=3)
        ann, ben = join(connection, campaign, "Ann", "Ben")
        assert [missing for _, missing, _ in stuck(connection, campaign)] == [1, 1]  # two people for three
        for rater in (ann, ben):
            judge_everything(connection, campaign, rater)
        first, second = (item_id for item_id, _, _ in stuck(connection, campaign))
        assert stranded.be_content(connection, campaign, first, by=LEAD) == 1
        assert stranded.be_content(connection, campaign, first, by=LEAD) == 0
        assert stuck(connection, campaign) == [(second, 1, [])]
        assert items.slot_counts(connection, [campaign.id])[campaign.id] == {"open": 1, "held": 0, "done": 4}
        other = campaigns.create(
            connection, campaigns.CampaignSettings(name="Other", kind="pairwise"), by=LEAD
        )
        with pytest.raises(NotFound):
            stranded.be_content(connection, other, second, by=LEAD)


def test_an_expired_lease_is_in_nobodys_hands(database: Database) -> None:
    with database.write() as connection:
        campaign = open_campaign(connection, num_items=2, lease_s=60)
        [ann] = join(connection, campaign, "Ann")
        lease(connection, campaign, ann)
        held = progress.get_progress(connection, campaign, at=after(0.5))
        gone = progress.get_progress(connection, campaign, at=after(2))
        assert (held.held, held.open, held.people[0].holding) == (1, 1, 1)
        assert (gone.held, gone.open, gone.stuck) == (0, 2, [])
        assert [person.holding for person in gone.people] in ([0], [])
        leases.expire(connection, campaign, at=after(2))
        assert progress.get_progress(connection, campaign, at=after(2)).open == 2


@pytest.mark.parametrize("change", ["pause", "quota"])
def test_what_is_kept_for_somebody_who_gets_no_items_is_told(database: Database, change: str) -> None:
    with database.write() as connection:
        campaign = open_campaign(connection, num_items=3, overlap=1)
        ann, ben = join(connection, campaign, "Ann", "Ben")
        assert reservations.reserve(connection, campaign, ben, by=LEAD, count=2) == 2
        assert stranded.find_stranded(connection, campaign).judgements == 0
        if change == "pause":
            members.set_paused(connection, campaign.id, ben, paused=True, by=LEAD)
        else:
            members.set_quota(connection, campaign.id, ben, 0, by=LEAD)
        judge_everything(connection, campaign, ann)
        found = stranded.find_stranded(connection, campaign)
        assert (found.judgements, found.kept, found.num_items) == (2, 2, 2)
        assert [(one.missing, one.kept_for) for one in found.items] == [(1, ben), (1, ben)]
        reservations.release(connection, campaign, ben, by=LEAD)
        assert stranded.find_stranded(connection, campaign).judgements == 0


def test_quotas_that_leave_too_few_judgements_are_told(database: Database) -> None:
    with database.write() as connection:
        campaign = open_campaign(connection, num_items=3, overlap=2)
        ann, ben = join(connection, campaign, "Ann", "Ben")
        members.set_quota(connection, campaign.id, ben, 1, by=LEAD)
        found = stranded.find_stranded(connection, campaign)
        assert (found.judgements, found.beyond_quotas, found.num_items) == (2, 2, 0)
        judge_everything(connection, campaign, ann)
        assert stranded.find_stranded(connection, campaign).judgements == 2
        members.set_quota(connection, campaign.id, ben, 3, by=LEAD)
        assert stranded.find_stranded(connection, campaign).judgements == 0


@pytest.mark.parametrize("campaign_only", [True, False])
def test_who_labels_no_more_gives_up_what_they_held(database: Database, campaign_only: bool) -> None:
    with database.write() as connection:
        campaign = open_campaign(connection, num_items=3, overlap=1)
        ann, ben = join(connection, campaign, "Ann", "Ben")
        reservations.reserve(connection, campaign, ben, by=LEAD)
        assert len(lease(connection, campaign, ben)) == 1
        only = campaign.id if campaign_only else None
        departures.give_up_items(connection, ben, by=LEAD, campaign_id=only)
        judge_everything(connection, campaign, ann)
        assert judgements.count_current(connection, campaign.id, ann) == 3


@pytest.mark.parametrize(
    ("kind", "agree", "disagree"),
    [
        ("pairwise", ({"choice": 1}, {"choice": 1}), ({"choice": 1}, {"choice": 8})),
        ("rating", ({"score": 4}, {"score": 5}), ({"score": 2}, {"score": 6})),
        ("thumbs", ({"label": True}, {"label": True}), ({"label": True}, {"label": False})),
    ],
)
def test_items_are_found_by_skip_disagreement_and_person(
    database: Database, kind: str, agree: tuple[Value, Value], disagree: tuple[Value, Value]
) -> None:
    with database.write() as connection:
        campaign = open_campaign(connection, kind=kind, num_items=4, overlap=2)  # type: ignore[arg-type]
        ann, ben = join(connection, campaign, "Ann", "Ben")
        calm, disputed, skipped, _ = sorted(item.id for item in items.list_page(connection, campaign.id))
        for place, rater in enumerate((ann, ben)):
            for held in lease(connection, campaign, rater, count=4):
                if held.item.id == skipped and rater == ann:
                    judgements.skip(connection, held.id, rater, reason="unclear", at=NOON)
                said = {calm: agree[place], disputed: disagree[place]}.get(held.item.id)
                if said is None:
                    continue
                if kind == "pairwise" and held.order[0] == 1:  # the same answer for both
                    said = {"choice": 9 - said["choice"]}
                judge(connection, held, said)

        def found(state: ItemState = "any", rater: str = "") -> list[int]:
            matches = item_search.search(connection, campaign.id, ItemQuery(state=state, rater=rater))
            return [match.item.id for match in matches]

        assert found(state="disputed") == [disputed]
        assert found(state="skipped") == found(state="skipped", rater=ann) == [skipped]
        assert found(state="skipped", rater=ben) == []
        assert found(rater=ann) == found() and found(rater=LEAD) == []
