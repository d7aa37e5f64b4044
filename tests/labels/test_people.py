import dataclasses
import random
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, select

from databases import Files
from fairlead.labels import access, campaigns, events, members, passwords, people
from fairlead.labels.database import Database, open_database
from fairlead.labels.errors import Conflict, Invalid, NotFound
from fairlead.labels.members import membership_table
from fairlead.labels.passwords import hash_password
from fairlead.labels.people import Person, person_table, pseudonym_table

AT = "2026-03-01T12:00:00.000000Z"
LATER = "2026-03-09T12:00:00.000000Z"
PASSWORD = "correct horse battery"


def campaign(connection: Connection, name: str = "Helpful") -> int:
    return campaigns.create(
        connection, campaigns.CampaignSettings(name=name, kind="pairwise"), by="r-00000000aa"
    ).id


def owner(connection: Connection, name: str = "Olga") -> Person:
    return people.add(
        connection, name=name, email=f"{name}@example.org", password=hash_password(PASSWORD), role="owner"
    )


def verbs(connection: Connection) -> list[str]:
    return [event.verb for event in events.list_after(connection, 0)]


# ---------------------------------------------------------------- people


def test_a_person_has_a_pseudonym_that_says_nothing(database: Database) -> None:
    with database.write() as connection:
        ada, ben = (
            people.add(connection, name="  Ada   Lovelace ", email="Ada@Example.org"),
            people.add(connection, name="Ben"),
        )
    assert ada.name == "Ada Lovelace" and ada.email == "ada@example.org" and not ada.has_password
    assert ada.rater.startswith("r-") and len(ada.rater) == 12 and int(ada.rater[2:], 16) >= 0
    assert ada.rater != ben.rater
    with database.read() as connection:
        assert people.names_of(connection, [ada.rater, ben.rater, "r-0000000000"]) == {
            ada.rater: "Ada Lovelace",
            ben.rater: "Ben",
        }
        assert [one.name for one in people.list_all(connection)] == ["Ada Lovelace", "Ben"]


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"name": " "}, "name"),
        ({"name": "a" * 121}, "name"),
        ({"name": "a\x00b"}, "name"),
        ({"name": "Ada", "email": "ada"}, "email"),
        ({"name": "Ada", "email": "a@b.c" * 99}, "email"),
        ({"name": "Ada", "role": "labeller"}, "role"),
    ],
)
def test_what_is_no_person_is_refused(database: Database, values: dict[str, Any], field: str) -> None:
    with database.write() as connection, pytest.raises(Invalid) as refused:
        people.add(connection, **values)
    assert list(refused.value.problems) == [field]


def test_an_address_is_one_persons(database: Database) -> None:
    with database.write() as connection:
        people.add(connection, name="Ada", email="ada@example.org")
        ben = people.add(connection, name="Ben")
        with pytest.raises(Conflict, match="already an account"):
            people.add(connection, name="Eve", email="ADA@example.org")
        with pytest.raises(Conflict, match="Another account"):
            people.change(connection, ben, email="ada@example.org")
        assert people.change(connection, ben, name="Benno").name == "Benno"  # the transaction goes on


def test_a_password_is_kept_as_a_digest_and_opens_only_its_own(database: Database) -> None:
    with database.write() as connection:
        ada = people.add(connection, name="Ada", email="ada@example.org", password=hash_password(PASSWORD))
        people.add(connection, name="Ben", email="ben@example.org")
        [stored] = connection.execute(
            select(person_table.c.password).where(person_table.c.id == ada.id)
        ).scalars()
        assert stored.startswith("$argon2id$") and PASSWORD not in stored
        assert people.authenticate(connection, " ADA@example.org", PASSWORD) == ada
        for email, password in (
            ("ada@example.org", "wrong" * 3),
            ("ben@example.org", PASSWORD),
            ("eve@example.org", PASSWORD),
        ):
            assert people.authenticate(connection, email, password) is None
        changed = people.change(connection, ada, password=hash_password("another horse"))
        assert people.authenticate(connection, "ada@example.org", "another horse") == changed
        assert people.authenticate(connection, "ada@example.org", PASSWORD) is None
        with pytest.raises(Invalid, match="log in with a password"):
            people.change(connection, changed, email="")


@pytest.mark.parametrize(
    "password", ["too short", "x" * 201, "aaaaaaaaaaaa", "ada lovelace", "ada@example.org"]
)
def test_a_password_that_is_easily_guessed_is_refused(password: str) -> None:
    with pytest.raises(Invalid) as refused:
        passwords.hash_password(password, forbidden=("Ada Lovelace", "ada@example.org"))
    assert list(refused.value.problems) == ["password"]


def test_nobody_has_a_password_of_nobody() -> None:
    assert not passwords.verify_password("", None)
    assert not passwords.verify_password("x" * 5000, passwords.hash_password("abcd" * 50))


def test_an_address_leads_to_a_person_only_where_somebody_else_vouches_for_it(database: Database) -> None:
    with database.write() as connection:
        ada = people.add(connection, name="Ada", email="ada@example.org", by="r-00000000aa")
        people.add(connection, name="Eve", email="eve@example.org")  # who says so herself
        assert people.link_by_email(connection, "eve@example.org", "login|1") is None
        assert people.link_by_email(connection, " ADA@example.org", "login|1") == ada
        assert people.link_by_email(connection, "ada@example.org", "login|2") is None  # she logs in as 1
        assert (
            people.find_by_subject(connection, "login|1") == ada
            and people.find_by_subject(connection, "login|2") is None
        )
        ben = people.add(connection, name="Ben", email="ben@example.org", by="r-00000000aa")
        assert people.change(connection, ben, name="Benno", email="ben@example.org").email_vouched
        ben = people.change(connection, ben, email="boss@example.org")
        ben = people.change(connection, ben, email="ben@example.org")  # back, which nobody vouches for either
        assert people.link_by_email(connection, "ben@example.org", "login|3") is None


def test_preferences_are_added_and_taken_away(database: Database) -> None:
    with database.write() as connection:
        ada = people.add(connection, name="Ada")
        ada = people.set_preferences(connection, ada, {"theme": "dark", "keys": {"undo": "u"}})
        ada = people.set_preferences(connection, ada, {"theme": None, "hand": "left"})
        assert ada.preferences == {"keys": {"undo": "u"}, "hand": "left"}
        for wrong in (
            {"daily_goal": 0},
            {"daily_goal": 10_001},
            {"theme": "pink"},
            {"colour": "red"},
            {"keys": {"undo": "u" * 9000}},
        ):
            with pytest.raises(Invalid):
                people.set_preferences(connection, ada, wrong)


def test_a_studio_keeps_an_owner(database: Database) -> None:
    with database.write() as connection:
        assert not people.has_owner(connection)
        olga = owner(connection)
        assert people.has_owner(connection)
        for attempt in (
            lambda: people.set_role(connection, olga, "lead", by=olga.rater),
            lambda: people.erase(connection, olga, by=olga.rater),
        ):
            with pytest.raises(Conflict, match="only owner"):
                attempt()
        owner(connection, "Otto")
        assert people.set_role(connection, olga, None, by=olga.rater).role is None
        with pytest.raises(Invalid):
            people.set_role(connection, olga, "king", by=olga.rater)


def test_an_erased_person_leaves_a_pseudonym_that_leads_to_nobody(database: Database) -> None:
    with database.write() as connection:
        olga = owner(connection)
        here = campaign(connection)
        ada = people.add(
            connection,
            name="Ada Lovelace",
            email="ada@example.org",
            password=hash_password(PASSWORD),
            subject="https://login|7",
        )
        members.join(connection, ada, here, "labeller", by=ada.rater)
        secret = access.start_session(connection, ada, days=3, at=AT)
        _, token = access.create_token(connection, ada, name="hers", scopes=["read"], at=AT)
        _, link = access.create_invite(connection, role=None, person_id=ada.id, by=olga.rater, at=AT)
        people.erase(connection, ada, by=olga.rater)
    with database.read() as connection:
        assert access.find_session(connection, secret, at=AT) is None
        assert access.find_token(connection, token, at=AT) is None
        with pytest.raises(NotFound):
            access.find_invite(connection, link, at=AT)
        assert members.list_of_campaign(connection, here) == []
        assert people.names_of(connection, [ada.rater]) == {}
        with pytest.raises(NotFound):
            people.get(connection, ada.rater)
        for table in (
            person_table,
            pseudonym_table,
            membership_table,
            access.login_session_table,
            access.api_token_table,
            access.invite_table,
        ):
            text = str(connection.execute(select(table)).all())
            assert "Ada" not in text and "ada@" not in text and ada.rater not in text
        written = str(events.list_after(connection, 0))
        assert ada.rater in written and "Ada" not in written and "ada@" not in written
        assert events.verify(connection).problem is None


def test_no_byte_of_an_erased_person_stays_in_the_files(files: Files, tmp_path: Path) -> None:
    opened = open_database(files.copy(tmp_path))
    rng, gone, here = random.Random(3), set[str](), dict[str, str]()
    for _ in range(
        250
    ):  # long and short ones that come and go leave old copies of rows in pages that were rebuilt
        tag = f"{rng.randrange(1 << 48):012x}"
        with opened.write() as connection:
            made = people.add(
                connection,
                name=f"name-{tag} {'x' * rng.randrange(90)}",
                email=f"mail-{tag}@{'y' * rng.randrange(100)}z.org",
            )
            members.join(connection, made, 1, "labeller", by=made.rater) if here else campaign(connection)
            here[made.rater] = tag
            if rng.random() < 0.4:
                rater = rng.choice(list(here))
                people.erase(connection, people.get(connection, rater), by="system")
                gone.add(here.pop(rater))
    with opened.read() as reading:
        before = people.list_all(reading)
        people.scrub_erased(opened)  # the reader sees its own state, for which the log has to stay
        assert people.list_all(reading) == before
    with opened.write() as connection:  # and with the next write it goes
        events.append(connection, verb="a.done", actor="system")
        assert connection.exec_driver_sql("PRAGMA foreign_key_check").all() == []
        assert connection.exec_driver_sql("PRAGMA foreign_keys").scalar() == 1
        assert [one.rater for one in people.list_all(connection)] == [one.rater for one in before]
    found = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert len(gone) > 50 and [tag for tag in here.values() if tag.encode() not in found] == []
    assert [tag for tag in gone if tag.encode() in found] == []
    opened.close()


# ---------------------------------------------------------------- members


def test_joining_again_never_takes_a_right_away(database: Database) -> None:
    with database.write() as connection:
        here, ada = campaign(connection), people.add(connection, name="Ada")
        roles = []
        for role in ("viewer", "labeller", "viewer", "lead", "adjudicator"):
            members.join(connection, ada, here, role, by=ada.rater)
            roles.append(members.list_of_person(connection, ada.id)[here].role)
        assert roles == ["viewer", "labeller", "labeller", "lead", "lead"]
        with pytest.raises(Invalid):
            members.join(connection, people.add(connection, name="Ben"), here, "owner", by=ada.rater)


def test_members_are_paused_resumed_and_removed(database: Database) -> None:
    with database.write() as connection:
        here, ada = campaign(connection), people.add(connection, name="Ada", email="ada@example.org")
        members.join(connection, ada, here, "labeller", by=ada.rater)
        assert members.set_paused(connection, here, ada.rater, paused=True, by="r-00000000aa").paused
        members.set_paused(
            connection, here, ada.rater, paused=True, by="r-00000000aa"
        )  # again: nothing happens
        assert members.list_of_person(connection, ada.id)[here].paused
        assert not members.set_paused(connection, here, ada.rater, paused=False, by="r-00000000aa").paused
        assert members.set_role(connection, here, ada.rater, "viewer", by="r-00000000aa").role == "viewer"
        members.remove(connection, here, ada.rater, by="r-00000000aa")
        assert verbs(connection)[2:] == [
            "member.joined",
            "member.paused",
            "member.resumed",
            "member.role",
            "member.removed",
        ]
        for gone in (members.remove, members.get):
            with pytest.raises(NotFound):
                gone(connection, here, ada.rater, **({"by": "x"} if gone is members.remove else {}))


def test_a_member_of_one_campaign_is_none_of_another(database: Database) -> None:
    with database.write() as connection:
        one, other = campaign(connection, "One"), campaign(connection, "Other")
        ada, ben = people.add(connection, name="ada"), people.add(connection, name="Ben")
        members.join(connection, ben, one, "labeller", by=ben.rater)
        members.join(connection, ada, one, "lead", by=ada.rater)
        assert [member.name for member in members.list_of_campaign(connection, one)] == ["ada", "Ben"]
        assert members.list_of_campaign(connection, other) == []
        with pytest.raises(NotFound):
            members.set_role(connection, other, ada.rater, "lead", by=ada.rater)


# ---------------------------------------------------------------- sessions, invites, tokens


def test_a_session_ends_when_it_should(database: Database) -> None:
    with database.write() as connection:
        ada = people.add(connection, name="Ada")
        first = access.start_session(connection, ada, days=7, at=AT)
        assert access.find_session(connection, first, at=AT) == (ada.id, "2026-03-08T12:00:00.000000Z")
        assert access.find_session(connection, first, at=LATER) is None
        assert access.find_session(connection, "wrong", at=AT) is None
        access.extend_session(connection, first, days=14, at=AT)
        assert access.find_session(connection, first, at=LATER) is not None
        second = access.start_session(connection, ada, days=7, at=AT)
        third = access.start_session(connection, ada, days=7, at=AT)
        assert access.end_sessions(connection, ada, except_secret=second) == 2
        assert access.find_session(connection, second, at=AT) is not None
        access.end_session(connection, second)
        assert [access.find_session(connection, secret, at=AT) for secret in (first, second, third)] == [
            None
        ] * 3


def test_sessions_that_ended_are_swept_away(database: Database) -> None:
    with database.write() as connection:
        ada = people.add(connection, name="Ada")
        access.start_session(connection, ada, days=7, at=AT)
        access.start_session(connection, ada, days=7, at=LATER)
        assert len(connection.execute(select(access.login_session_table)).all()) == 1


def test_a_link_works_as_often_and_as_long_as_it_says(database: Database) -> None:
    with database.write() as connection:
        here = campaign(connection)
        made, secret = access.create_invite(
            connection, role="labeller", campaign_id=here, uses=2, days=7, by="r-00000000aa", at=AT
        )
        assert access.find_invite(connection, secret, at=AT) == made
        assert [access.use_invite(connection, secret, at=AT).uses_left for _ in range(2)] == [1, 0]
        for moment in (AT, LATER):
            with pytest.raises(NotFound, match="no longer works"):
                access.use_invite(connection, secret, at=moment)
        _, old = access.create_invite(connection, role="labeller", campaign_id=here, by="r-00000000aa", at=AT)
        with pytest.raises(NotFound):
            access.use_invite(connection, old, at=LATER)
        assert access.list_invites(connection, here, at=LATER) == []


def test_a_withdrawn_link_opens_nothing(database: Database) -> None:
    with database.write() as connection:
        here = campaign(connection)
        made, secret = access.create_invite(
            connection, role="lead", campaign_id=here, by="r-00000000aa", at=AT
        )
        assert access.list_invites(connection, here, at=AT) == [made]
        with pytest.raises(NotFound):  # it is of a campaign, and not of the studio
            access.revoke_invite(connection, made.id, None, by="r-00000000aa", at=AT)
        access.revoke_invite(connection, made.id, here, by="r-00000000aa", at=AT)
        with pytest.raises(NotFound):
            access.use_invite(connection, secret, at=AT)
        with pytest.raises(NotFound):
            access.revoke_invite(connection, made.id, here, by="r-00000000aa", at=AT)


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"role": "labeller"}, "role"),
        ({"role": "owner", "campaign_id": 1}, "role"),
        ({"role": None}, "role"),
        ({"role": "lead", "uses": 0}, "uses"),
        ({"role": "lead", "uses": 1001}, "uses"),
        ({"role": "owner", "uses": 2}, "uses"),
        ({"role": "lead", "days": 0}, "days"),
    ],
)
def test_what_is_no_invitation_is_refused(database: Database, values: dict[str, object], field: str) -> None:
    with database.write() as connection, pytest.raises(Invalid) as refused:
        access.create_invite(connection, **values, by="r-00000000aa", at=AT)  # type: ignore[arg-type]
    assert list(refused.value.problems) == [field]


def test_a_token_opens_until_it_expires_or_is_revoked(database: Database) -> None:
    with database.write() as connection:
        ada, ben = people.add(connection, name="Ada"), people.add(connection, name="Ben")
        made, text = access.create_token(
            connection, ada, name=" nightly ", scopes=["read", "label", "read"], days=7, at=AT
        )
        assert (
            text.startswith("flt_")
            and made.name == "nightly"
            and made.scopes == {"read", "label"}
            and text.startswith(made.start)
        )
        assert access.find_token(connection, text, at=AT) == made
        assert access.find_token(connection, text, at=LATER) is None
        assert access.find_token(connection, text[:-1], at=AT) is None
        access.touch_token(connection, made, at=AT)
        assert access.list_tokens(connection, ada) == [dataclasses.replace(made, used_at=AT)]
        with pytest.raises(NotFound):
            access.revoke_token(connection, ben, made.id)
        access.revoke_token(connection, ada, made.id)
        assert access.find_token(connection, text, at=AT) is None


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"name": "", "scopes": ["read"]}, "name"),
        ({"name": "x", "scopes": []}, "scopes"),
        ({"name": "x", "scopes": ["all"]}, "scopes"),
        ({"name": "x", "scopes": ["read"], "days": 367}, "days"),
    ],
)
def test_what_is_no_token_is_refused(database: Database, values: dict[str, object], field: str) -> None:
    with database.write() as connection, pytest.raises(Invalid) as refused:
        access.create_token(connection, people.add(connection, name="Ada"), **values, at=AT)  # type: ignore[arg-type]
    assert list(refused.value.problems) == [field]


def test_a_person_has_a_bounded_number_of_tokens(database: Database) -> None:
    with database.write() as connection:
        ada = people.add(connection, name="Ada")
        for _ in range(access.MAX_TOKENS):
            access.create_token(connection, ada, name="x", scopes=["read"], at=AT)
        with pytest.raises(Invalid, match="Revoke one"):
            access.create_token(connection, ada, name="x", scopes=["read"], at=AT)


def test_the_database_holds_no_secret(database: Database) -> None:
    with database.write() as connection:
        ada = people.add(connection, name="Ada", email="ada@example.org", password=hash_password(PASSWORD))
        secrets = [
            access.start_session(connection, ada, days=7, at=AT),
            access.create_invite(connection, role="lead", by=ada.rater, at=AT)[1],
            access.create_token(connection, ada, name="x", scopes=["read"], at=AT)[1],
            PASSWORD,
        ]
        tables = (access.login_session_table, access.invite_table, access.api_token_table, person_table)
        kept = str([connection.execute(select(table)).all() for table in tables]) + str(
            events.list_after(connection, 0)
        )
        assert [secret for secret in secrets if secret in kept] == []
