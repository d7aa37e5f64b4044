"""Assignments that somebody began under an earlier pseudonym: whose they are, and who may take them over."""

import pytest
from sqlalchemy import Connection

from fairlead.labels import assignments, drafts, events, leases, left_behind, members, passwords, people
from fairlead.labels.assignments import Assignment
from fairlead.labels.campaigns import Campaign
from fairlead.labels.database import Database
from fairlead.labels.errors import Conflict, NotFound
from fairlead.labels.people import Person
from labels.build import judge, open_campaign


def joined(connection: Connection, campaign: Campaign, name: str) -> Person:
    person = people.add(connection, name=name)
    members.join(connection, person, campaign.id, "labeller", by="system")
    return person


def begun(connection: Connection) -> tuple[Campaign, Person, Assignment]:
    """A campaign, and somebody who has begun its item."""
    campaign = open_campaign(connection, num_items=1, overlap=2)
    earlier = joined(connection, campaign, "Ada  Lovelace")
    [assignment] = leases.lease_items(connection, campaign, earlier.rater)
    return campaign, earlier, assignment


def test_a_task_and_its_draft_go_to_the_person_who_knows_its_name(database: Database) -> None:
    with database.write() as connection:
        campaign, earlier, assignment = begun(connection)
        drafts.save(connection, assignment.id, earlier.rater, {"note": "half"})
        found = left_behind.find_raters(connection, campaign.id, [assignment.id, "no-such-task"])
        assert found == {assignment.id: left_behind.EarlierRater(earlier.rater, "Ada Lovelace", False)}
        later = joined(connection, campaign, "Ada")
        for _ in range(2):  # again, it does nothing
            left_behind.take_over(connection, campaign, assignment.id, later.rater, names=["ada lovelace"])
        held = assignments.list_leased(connection, campaign, later.rater)
        assert [task.id for task in held] == [assignment.id]
        assert assignments.list_leased(connection, campaign, earlier.rater) == []
        moved = [draft.body for draft in drafts.list_of_rater(connection, campaign.id, later.rater)]
        assert moved == [{"note": "half"}]
        verbs = [event.verb for event in events.list_after(connection, 0)]
        assert verbs.count("task.taken_over") == 1


def test_another_name_and_an_account_with_a_password_keep_their_task(database: Database) -> None:
    with database.write() as connection:
        campaign, earlier, assignment = begun(connection)
        later = joined(connection, campaign, "Ada")
        with pytest.raises(NotFound):
            left_behind.take_over(connection, campaign, assignment.id, later.rater, names=["Ben"])
        password = passwords.hash_password("correct horse battery", forbidden=())
        people.change(connection, earlier, email="ada@example.org", password=password)
        with pytest.raises(NotFound):
            left_behind.take_over(connection, campaign, assignment.id, later.rater, names=["Ada Lovelace"])


def test_an_answered_task_is_not_taken_over(database: Database) -> None:
    with database.write() as connection:
        campaign, _, assignment = begun(connection)
        judge(connection, assignment)
        later = joined(connection, campaign, "Ada")
        with pytest.raises(Conflict):
            left_behind.take_over(connection, campaign, assignment.id, later.rater, names=["Ada Lovelace"])
