"""Members of a campaign: roles, pauses and removal."""

import pytest
from sqlalchemy import Connection

from fairlead.labels import events, members, people
from fairlead.labels.database import Database
from fairlead.labels.errors import Invalid, NotFound
from labels.accounts import add_campaign


def list_verbs(connection: Connection) -> list[str]:
    return [event.verb for event in events.list_after(connection, 0)]


def test_joining_again_never_lowers_the_role(database: Database) -> None:
    with database.write() as connection:
        campaign_id, ada = add_campaign(connection), people.add(connection, name="Ada")
        roles = []
        for role in ("viewer", "labeller", "viewer", "lead", "adjudicator"):
            members.join(connection, ada, campaign_id, role, by=ada.rater)
            roles.append(members.list_of_person(connection, ada.id)[campaign_id].role)
        assert roles == ["viewer", "labeller", "labeller", "lead", "lead"]
        with pytest.raises(Invalid):
            members.join(connection, people.add(connection, name="Ben"), campaign_id, "owner", by=ada.rater)


def test_members_are_paused_resumed_and_removed(database: Database) -> None:
    with database.write() as connection:
        campaign_id, ada = (
            add_campaign(connection),
            people.add(connection, name="Ada", email="ada@example.org"),
        )
        members.join(connection, ada, campaign_id, "labeller", by=ada.rater)
        assert members.set_paused(connection, campaign_id, ada.rater, paused=True, by="r-00000000aa").paused
        members.set_paused(
            connection, campaign_id, ada.rater, paused=True, by="r-00000000aa"
        )  # a second time changes nothing
        assert members.list_of_person(connection, ada.id)[campaign_id].paused
        assert not members.set_paused(
            connection, campaign_id, ada.rater, paused=False, by="r-00000000aa"
        ).paused
        assert (
            members.set_role(connection, campaign_id, ada.rater, "viewer", by="r-00000000aa").role == "viewer"
        )
        members.remove(connection, campaign_id, ada.rater, by="r-00000000aa")
        assert list_verbs(connection)[2:] == [
            "member.joined",
            "member.paused",
            "member.resumed",
            "member.role",
            "member.removed",
        ]
        for function in (members.remove, members.get):
            with pytest.raises(NotFound):
                function(
                    connection, campaign_id, ada.rater, **({"by": "x"} if function is members.remove else {})
                )


def test_membership_is_limited_to_one_campaign(database: Database) -> None:
    with database.write() as connection:
        campaign_id, other_campaign_id = add_campaign(connection, "One"), add_campaign(connection, "Other")
        ada, ben = people.add(connection, name="ada"), people.add(connection, name="Ben")
        members.join(connection, ben, campaign_id, "labeller", by=ben.rater)
        members.join(connection, ada, campaign_id, "lead", by=ada.rater)
        assert [member.name for member in members.list_of_campaign(connection, campaign_id)] == ["ada", "Ben"]
        assert members.list_of_campaign(connection, other_campaign_id) == []
        with pytest.raises(NotFound):
            members.set_role(connection, other_campaign_id, ada.rater, "lead", by=ada.rater)
