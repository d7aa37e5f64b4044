"""Browser sessions, invite links and API tokens."""

import dataclasses
from typing import Any

import pytest
from sqlalchemy import (
    select,
)

from fairlead.labels import credentials, events, people
from fairlead.labels.database import Database
from fairlead.labels.errors import Invalid, NotFound
from fairlead.labels.passwords import hash_password
from fairlead.labels.people import person_table
from labels.accounts import AT, LATER, PASSWORD, add_campaign


def test_sessions_expire_and_can_be_ended(database: Database) -> None:
    with database.write() as connection:
        ada = people.add(connection, name="Ada")
        first = credentials.start_session(connection, ada, days=7, at=AT)
        assert credentials.find_session(connection, first, at=AT) == (ada.id, "2026-03-08T12:00:00.000000Z")
        assert credentials.find_session(connection, first, at=LATER) is None
        assert credentials.find_session(connection, "wrong", at=AT) is None
        credentials.extend_session(connection, first, days=14, at=AT)
        assert credentials.find_session(connection, first, at=LATER) is not None
        second = credentials.start_session(connection, ada, days=7, at=AT)
        third = credentials.start_session(connection, ada, days=7, at=AT)
        assert credentials.end_sessions(connection, ada, except_secret=second) == 2
        assert credentials.find_session(connection, second, at=AT) is not None
        credentials.end_session(connection, second)
        assert [credentials.find_session(connection, secret, at=AT) for secret in (first, second, third)] == [
            None
        ] * 3


def test_starting_a_session_deletes_expired_sessions(database: Database) -> None:
    with database.write() as connection:
        ada = people.add(connection, name="Ada")
        credentials.start_session(connection, ada, days=7, at=AT)
        credentials.start_session(connection, ada, days=7, at=LATER)
        assert len(connection.execute(select(credentials.login_session_table)).all()) == 1


def test_an_invite_has_limited_uses_and_an_expiry(database: Database) -> None:
    with database.write() as connection:
        campaign_id = add_campaign(connection)
        invite, secret = credentials.create_invite(
            connection, role="labeller", campaign_id=campaign_id, uses=2, days=7, by="r-00000000aa", at=AT
        )
        assert credentials.find_invite(connection, secret, at=AT) == invite
        assert [credentials.use_invite(connection, secret, at=AT).uses_left for _ in range(2)] == [1, 0]
        for moment in (AT, LATER):
            with pytest.raises(NotFound, match="no longer works"):
                credentials.use_invite(connection, secret, at=moment)
        _, old = credentials.create_invite(
            connection, role="labeller", campaign_id=campaign_id, by="r-00000000aa", at=AT
        )
        with pytest.raises(NotFound):
            credentials.use_invite(connection, old, at=LATER)
        assert credentials.list_invites(connection, campaign_id, at=LATER) == []


def test_a_revoked_invite_cannot_be_used(database: Database) -> None:
    with database.write() as connection:
        campaign_id = add_campaign(connection)
        invite, secret = credentials.create_invite(
            connection, role="lead", campaign_id=campaign_id, by="r-00000000aa", at=AT
        )
        assert credentials.list_invites(connection, campaign_id, at=AT) == [invite]
        with pytest.raises(NotFound):  # the invite belongs to a campaign, not to the studio
            credentials.revoke_invite(connection, invite.id, None, by="r-00000000aa", at=AT)
        credentials.revoke_invite(connection, invite.id, campaign_id, by="r-00000000aa", at=AT)
        with pytest.raises(NotFound):
            credentials.use_invite(connection, secret, at=AT)
        with pytest.raises(NotFound):
            credentials.revoke_invite(connection, invite.id, campaign_id, by="r-00000000aa", at=AT)


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
def test_invalid_invites_are_rejected(database: Database, values: dict[str, Any], field: str) -> None:
    with database.write() as connection, pytest.raises(Invalid) as refused:
        credentials.create_invite(connection, **values, by="r-00000000aa", at=AT)
    assert list(refused.value.problems) == [field]


def test_a_token_works_until_it_expires_or_is_revoked(database: Database) -> None:
    with database.write() as connection:
        ada, ben = people.add(connection, name="Ada"), people.add(connection, name="Ben")
        token, text = credentials.create_token(
            connection, ada, name=" nightly ", scopes=["read", "label", "read"], days=7, at=AT
        )
        assert (
            text.startswith("flt_")
            and token.name == "nightly"
            and token.scopes == {"read", "label"}
            and text.startswith(token.start)
        )
        assert credentials.find_token(connection, text, at=AT) == token
        assert credentials.find_token(connection, text, at=LATER) is None
        assert credentials.find_token(connection, text[:-1], at=AT) is None
        credentials.touch_token(connection, token, at=AT)
        assert credentials.list_tokens(connection, ada) == [dataclasses.replace(token, used_at=AT)]
        with pytest.raises(NotFound):
            credentials.revoke_token(connection, ben, token.id)
        credentials.revoke_token(connection, ada, token.id)
        assert credentials.find_token(connection, text, at=AT) is None


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"name": "", "scopes": ["read"]}, "name"),
        ({"name": "x", "scopes": []}, "scopes"),
        ({"name": "x", "scopes": ["all"]}, "scopes"),
        ({"name": "x", "scopes": ["read"], "days": 367}, "days"),
    ],
)
def test_invalid_tokens_are_rejected(database: Database, values: dict[str, Any], field: str) -> None:
    with database.write() as connection, pytest.raises(Invalid) as refused:
        credentials.create_token(connection, people.add(connection, name="Ada"), **values, at=AT)
    assert list(refused.value.problems) == [field]


def test_a_person_has_a_limited_number_of_tokens(database: Database) -> None:
    with database.write() as connection:
        ada = people.add(connection, name="Ada")
        for _ in range(credentials.MAX_TOKENS):
            credentials.create_token(connection, ada, name="x", scopes=["read"], at=AT)
        with pytest.raises(Invalid, match="Revoke one"):
            credentials.create_token(connection, ada, name="x", scopes=["read"], at=AT)


def test_secrets_are_stored_only_as_digests(database: Database) -> None:
    with database.write() as connection:
        ada = people.add(connection, name="Ada", email="ada@example.org", password=hash_password(PASSWORD))
        secrets = [
            credentials.start_session(connection, ada, days=7, at=AT),
            credentials.create_invite(connection, role="lead", by=ada.rater, at=AT)[1],
            credentials.create_token(connection, ada, name="x", scopes=["read"], at=AT)[1],
            PASSWORD,
        ]
        tables = (
            credentials.login_session_table,
            credentials.invite_table,
            credentials.api_token_table,
            person_table,
        )
        stored = str([connection.execute(select(table)).all() for table in tables]) + str(
            events.list_after(connection, 0)
        )
        assert [secret for secret in secrets if secret in stored] == []
