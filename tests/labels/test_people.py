"""People: pseudonyms, passwords, email addresses, roles and erasure."""

import random
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, select

from databases import Files
from fairlead.labels import credentials, events, members, passwords, people
from fairlead.labels.database import Database, open_database
from fairlead.labels.errors import Conflict, Invalid, NotFound
from fairlead.labels.members import membership_table
from fairlead.labels.passwords import hash_password
from fairlead.labels.people import Person, person_table, pseudonym_table
from labels.accounts import AT, PASSWORD, add_campaign


def owner(connection: Connection, name: str = "Olga") -> Person:
    return people.add(
        connection, name=name, email=f"{name}@example.org", password=hash_password(PASSWORD), role="owner"
    )


def test_a_person_gets_a_random_pseudonym(database: Database) -> None:
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
        assert [person.name for person in people.list_all(connection)] == ["Ada Lovelace", "Ben"]


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
def test_invalid_people_are_rejected(database: Database, values: dict[str, Any], field: str) -> None:
    with database.write() as connection, pytest.raises(Invalid) as refused:
        people.add(connection, **values)
    assert list(refused.value.problems) == [field]


def test_email_addresses_are_unique(database: Database) -> None:
    with database.write() as connection:
        people.add(connection, name="Ada", email="ada@example.org")
        ben = people.add(connection, name="Ben")
        with pytest.raises(Conflict, match="already an account"):
            people.add(connection, name="Eve", email="ADA@example.org")
        with pytest.raises(Conflict, match="Another account"):
            people.change(connection, ben, email="ada@example.org")
        assert people.change(connection, ben, name="Benno").name == "Benno"  # the transaction is still usable


def test_passwords_are_stored_as_digests_and_authenticate_one_person(database: Database) -> None:
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
def test_weak_passwords_are_rejected(password: str) -> None:
    with pytest.raises(Invalid) as refused:
        passwords.hash_password(password, forbidden=("Ada Lovelace", "ada@example.org"))
    assert list(refused.value.problems) == ["password"]


def test_a_missing_or_wrong_password_does_not_verify() -> None:
    assert not passwords.verify_password("", None)
    assert not passwords.verify_password("x" * 5000, passwords.hash_password("abcd" * 50))


def test_only_a_vouched_email_address_links_a_login_to_a_person(database: Database) -> None:
    with database.write() as connection:
        ada = people.add(connection, name="Ada", email="ada@example.org", by="r-00000000aa")
        people.add(connection, name="Eve", email="eve@example.org")  # she entered the address herself
        assert people.link_by_email(connection, "eve@example.org", "login|1") is None
        assert people.link_by_email(connection, " ADA@example.org", "login|1") == ada
        assert (
            people.link_by_email(connection, "ada@example.org", "login|2") is None
        )  # she is linked to login|1
        assert (
            people.find_by_subject(connection, "login|1") == ada
            and people.find_by_subject(connection, "login|2") is None
        )
        ben = people.add(connection, name="Ben", email="ben@example.org", by="r-00000000aa")
        assert people.change(connection, ben, name="Benno", email="ben@example.org").email_vouched
        ben = people.change(connection, ben, email="boss@example.org")
        ben = people.change(
            connection, ben, email="ben@example.org"
        )  # entered by himself again, so still unvouched
        assert people.link_by_email(connection, "ben@example.org", "login|3") is None


def test_preferences_are_merged_and_removed(database: Database) -> None:
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


def test_the_last_owner_cannot_be_demoted_or_erased(database: Database) -> None:
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


def test_erasing_a_person_removes_all_personal_data(database: Database) -> None:
    with database.write() as connection:
        olga = owner(connection)
        campaign_id = add_campaign(connection)
        ada = people.add(
            connection,
            name="Ada Lovelace",
            email="ada@example.org",
            password=hash_password(PASSWORD),
            subject="https://login|7",
        )
        members.join(connection, ada, campaign_id, "labeller", by=ada.rater)
        secret = credentials.start_session(connection, ada, days=3, at=AT)
        _, token = credentials.create_token(connection, ada, name="hers", scopes=["read"], at=AT)
        _, link = credentials.create_invite(connection, role=None, person_id=ada.id, by=olga.rater, at=AT)
        people.erase(connection, ada, by=olga.rater)
    with database.read() as connection:
        assert credentials.find_session(connection, secret, at=AT) is None
        assert credentials.find_token(connection, token, at=AT) is None
        with pytest.raises(NotFound):
            credentials.find_invite(connection, link, at=AT)
        assert members.list_of_campaign(connection, campaign_id) == []
        assert people.names_of(connection, [ada.rater]) == {}
        with pytest.raises(NotFound):
            people.get(connection, ada.rater)
        for table in (
            person_table,
            pseudonym_table,
            membership_table,
            credentials.login_session_table,
            credentials.api_token_table,
            credentials.invite_table,
        ):
            text = str(connection.execute(select(table)).all())
            assert "Ada" not in text and "ada@" not in text and ada.rater not in text
        written = str(events.list_after(connection, 0))
        assert ada.rater in written and "Ada" not in written and "ada@" not in written
        assert events.verify(connection).problem is None


def test_no_bytes_of_an_erased_person_remain_in_the_database_files(files: Files, tmp_path: Path) -> None:
    opened = open_database(files.copy(tmp_path))
    rng, erased, present = random.Random(3), set[str](), dict[str, str]()
    for _ in range(250):  # rows of changing length leave old copies in rebuilt pages
        tag = f"{rng.randrange(1 << 48):012x}"
        with opened.write() as connection:
            person = people.add(
                connection,
                name=f"name-{tag} {'x' * rng.randrange(90)}",
                email=f"mail-{tag}@{'y' * rng.randrange(100)}z.org",
            )
            if present:
                members.join(connection, person, 1, "labeller", by=person.rater)
            else:
                add_campaign(connection)
            present[person.rater] = tag
            if rng.random() < 0.4:
                rater = rng.choice(list(present))
                people.erase(connection, people.get(connection, rater), by="system")
                erased.add(present.pop(rater))
    with opened.read() as reading:
        before = people.list_all(reading)
        people.scrub_erased(opened)  # the write-ahead log must stay while this reader uses it
        assert people.list_all(reading) == before
    with opened.write() as connection:  # the next write truncates the log
        events.append(connection, verb="a.done", actor="system")
        assert connection.exec_driver_sql("PRAGMA foreign_key_check").all() == []
        assert connection.exec_driver_sql("PRAGMA foreign_keys").scalar() == 1
        assert [person.rater for person in people.list_all(connection)] == [person.rater for person in before]
    contents = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert len(erased) > 50 and [tag for tag in present.values() if tag.encode() not in contents] == []
    assert [tag for tag in erased if tag.encode() in contents] == []
    opened.close()
