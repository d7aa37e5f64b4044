"""Work that is kept for named people, and quotas."""

import pytest

from fairlead.labels import judgements, labeller_stats, leases, members, people, reservations, stranded
from fairlead.labels.campaigns import Campaign
from fairlead.labels.database import Database
from fairlead.labels.errors import Invalid, NotFound
from labels.build import LEAD, judge, lease, open_campaign


def joined(database: Database, campaign: Campaign, name: str, role: str = "labeller") -> str:
    with database.write() as connection:
        person = people.add(connection, name=name)
        members.join(connection, person, campaign.id, role, by=LEAD)
        return person.rater


def opened(database: Database, num_items: int) -> Campaign:
    with database.write() as connection:
        return open_campaign(connection, num_items=num_items)


def left(database: Database, campaign: Campaign, rater: str) -> int:
    with database.read() as connection:
        [work] = labeller_stats.list_campaigns(connection, rater, {campaign.id: False})
        return work.left


def test_kept_items_come_first_to_one_person_and_to_nobody_else(database: Database) -> None:
    campaign = opened(database, num_items=4)
    ann, ben = joined(database, campaign, "Ann"), joined(database, campaign, "Ben")
    with database.write() as connection:
        ranked = lease(connection, campaign, LEAD, count=4)  # in the order in which they are handed out
        for assignment in ranked:
            leases.release(connection, assignment.id, LEAD)
        last_two = [assignment.item.id for assignment in ranked[2:]]
        assert reservations.reserve(connection, campaign, ann, item_ids=last_two, by=LEAD) == 2
        assert reservations.reserve(connection, campaign, ann, item_ids=last_two, by=LEAD) == 0
        assert reservations.counts(connection, campaign.id) == {ann: 2}
    assert (left(database, campaign, ann), left(database, campaign, ben)) == (4, 2)
    with database.write() as connection:
        of_ben = {assignment.item.id for assignment in lease(connection, campaign, ben, count=5)}
        assert of_ben.isdisjoint(last_two) and len(of_ben) == 2
        of_ann = [assignment.item.id for assignment in lease(connection, campaign, ann, count=5)]
        assert sorted(of_ann) == sorted(last_two)


def test_a_skip_or_a_lead_gives_kept_items_to_everybody(database: Database) -> None:
    campaign = opened(database, num_items=3)
    ann, ben = joined(database, campaign, "Ann"), joined(database, campaign, "Ben")
    with database.write() as connection:
        assert reservations.reserve(connection, campaign, ann, count=2, by=LEAD) == 2
        [first] = lease(connection, campaign, ann)
        judgements.skip(connection, first.id, ann, reason="too hard")
        assert reservations.counts(connection, campaign.id) == {ann: 1}
        assert reservations.release(connection, campaign, ann, by=LEAD) == 1
        assert reservations.release(connection, campaign, ann, by=LEAD) == 0
        assert len(lease(connection, campaign, ben, count=5)) == 3


def test_items_are_kept_for_members_who_label(database: Database) -> None:
    campaign = opened(database, num_items=1)
    watcher = joined(database, campaign, "Walt", "viewer")
    with database.write() as connection:
        with pytest.raises(Invalid, match="does not label"):
            reservations.reserve(connection, campaign, watcher, by=LEAD)
        with pytest.raises(NotFound, match="not a member"):
            reservations.reserve(connection, campaign, "r-0000000099", by=LEAD)


def test_a_quota_bounds_what_somebody_judges(database: Database) -> None:
    campaign = opened(database, num_items=4)
    ann = joined(database, campaign, "Ann")
    with database.write() as connection:
        members.set_quota(connection, campaign.id, ann, 2, by=LEAD)
    assert left(database, campaign, ann) == 2
    with database.write() as connection:
        first, second = lease(connection, campaign, ann, count=5)
        judge(connection, first)
        assert [assignment.id for assignment in lease(connection, campaign, ann, count=5)] == [second.id]
        judge(connection, second)
        assert lease(connection, campaign, ann) == []
        found = stranded.find_stranded(connection, campaign)
        assert (found.judgements, found.num_raters) == (2, 0)
    assert left(database, campaign, ann) == 0
    with database.write() as connection:
        members.set_quota(connection, campaign.id, ann, None, by=LEAD)
        assert len(lease(connection, campaign, ann, count=5)) == 2
        for wrong in (-1, members.MAX_QUOTA + 1):
            with pytest.raises(Invalid, match="must be 0 to"):
                members.set_quota(connection, campaign.id, ann, wrong, by=LEAD)
