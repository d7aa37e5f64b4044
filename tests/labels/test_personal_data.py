"""What a person can download about themselves: all of it, and nothing of anybody else."""

import io
import json
import zipfile
from typing import Any

import pytest

from fairlead.labels import (
    credentials,
    drafts,
    flags,
    judgements,
    members,
    passwords,
    people,
    personal_data,
    reservations,
    schema,
)
from fairlead.labels.database import Database, now
from fairlead.labels.people import Person
from labels.build import LEAD, add_chat_turn, judge, lease, open_campaign

# Columns that hold a pseudonym or the id of a person.
OWNER_COLUMNS = {"rater", "person_id", "actor", "reserved_for", "made_by", "written_by", "uploaded_by"}
OWNER_COLUMNS |= {"created_by", "resolved_by"}


def downloaded(database: Database, person: Person) -> dict[str, Any]:
    packed = zipfile.ZipFile(io.BytesIO(b"".join(personal_data.archive(database, person))))
    assert packed.testzip() is None and "pseudonym" in packed.read("README.txt").decode()
    return {
        name.removesuffix(".json"): json.loads(packed.read(name))
        for name in packed.namelist()
        if name.endswith(".json")
    }


def test_every_table_that_names_a_person_is_in_the_archive() -> None:
    covered = {part.table for part in personal_data.PARTS.values()}
    naming = {
        table.name
        for table in schema.metadata.sorted_tables
        if OWNER_COLUMNS & set(table.c.keys()) or table.name == "person"
    }
    assert naming - covered == set()
    for part in personal_data.PARTS.values():
        columns = set(schema.metadata.tables[part.table].c.keys())
        assert {"secret_hash", "secret", "password"} & columns <= part.hidden


@pytest.fixture
def ann(database: Database) -> Person:
    """Somebody who has judged, skipped, flagged, drafted and chatted, beside somebody who has as well."""
    with database.write() as connection:
        pairs = open_campaign(connection, num_items=4, overlap=2)
        chat = open_campaign(connection, kind="chat", num_items=1, overlap=2)
        secret = passwords.hash_password("a long secret", forbidden=())
        both = [
            people.add(connection, name=name, email=f"{name.lower()}@example.org", password=secret)
            for name in ("Ann", "Ben")
        ]
        for person in both:
            for campaign in (pairs, chat):
                members.join(connection, person, campaign.id, "labeller", by=LEAD)
            first, second, third = lease(connection, pairs, person.rater, count=3)
            judge(connection, first, note=f"A note of {person.name}.")
            flags.raise_flag(connection, first.id, person.rater, reason="broken", note=f"Says {person.name}.")
            judgements.skip(connection, second.id, person.rater, reason="too hard")
            drafts.save(connection, third.id, person.rater, {"value": {}, "note": f"Draft of {person.name}."})
            [talk] = lease(connection, chat, person.rater)
            add_chat_turn(connection, chat, talk)
            credentials.start_session(connection, person, at=now(), days=1)
            credentials.create_token(
                connection, person, name=f"Token of {person.name}", scopes=["read"], days=1, at=now()
            )
            reservations.reserve(connection, pairs, person.rater, count=1, by=LEAD)
    return both[0]


def test_the_archive_holds_what_the_person_did(database: Database, ann: Person) -> None:
    files = downloaded(database, ann)
    assert files["account"][0]["email"] == "ann@example.org"
    assert files["pseudonym"] == [{"person_id": ann.id, "rater": ann.rater}]
    assert [row["note"] for row in files["judgements"]] == ["A note of Ann."]
    assert [row["note"] for row in files["flags"]] == ["Says Ann."]
    assert [row["body"]["note"] for row in files["drafts"]] == ["Draft of Ann."]
    assert "too hard" in [row["reason"] for row in files["assignments-and-skips"]]
    assert [row["message"] for row in files["chat-messages"]] == ["Hello?"]
    assert [row["text"] for row in files["chat-answers"]] == ["Hello.", "Hello."]
    assert len(files["chat-choices"]) == len(files["kept-items"]) == 1
    assert len(files["memberships"]) == 2 and len(files["log-ins"]) == 1
    assert [row["name"] for row in files["tokens"]] == ["Token of Ann"]
    assert {row["actor"] for row in files["events"]} == {ann.rater, LEAD}


def test_the_archive_holds_no_secret_no_model_and_nobody_else(database: Database, ann: Person) -> None:
    text = json.dumps(downloaded(database, ann))
    for secret in ("Ben", "$argon2", "secret_hash", "model:a", "model-0"):
        assert secret not in text


def test_many_rows_are_read_in_pages(
    database: Database, ann: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = downloaded(database, ann)
    monkeypatch.setattr(personal_data, "ROWS_PER_PAGE", 1)
    assert downloaded(database, ann) == whole
