"""The event chain: order, digests, and the detection of every kind of tampering."""

import json
from collections.abc import Callable

import pytest
from sqlalchemy import Connection, delete, insert, select, update

from fairlead.core import digest
from fairlead.labels import events
from fairlead.labels.database import Database
from fairlead.labels.events import ChainCheck, chain_table, event_table


@pytest.fixture
def written(database: Database) -> Database:
    """Five events: of two campaigns, and one of no campaign."""
    with database.write() as connection:
        for number, campaign in enumerate((1, 1, 2, None, 1), start=1):
            events.append(
                connection,
                verb="item.added" if number < 5 else "item.flagged",
                actor="r-0123456789",
                campaign_id=campaign,
                subject=str(number),
            )
    return database


def test_events_are_numbered_from_one(database: Database) -> None:
    with database.write() as connection:
        assert events.last_seq(connection) == 0
        assert [events.append(connection, verb="a.done", actor="system") for _ in range(3)] == [1, 2, 3]
        assert events.last_seq(connection) == 3


def test_a_digest_matches_a_hand_calculation(database: Database) -> None:
    with database.write() as connection:
        events.append(
            connection, verb="a.done", actor="system", campaign_id=7, subject="x", body={"b": 1, "a": "é"}
        )
        row = connection.execute(select(event_table)).one()
        end = connection.execute(select(chain_table)).one()
    start = "sha256:" + "0" * 64
    text = f'[1,"{row.at}","a.done","system",7,"x",{{"a":"é","b":1}},"{start}"]'
    assert row.digest == digest.of_bytes(text.encode())
    assert (row.prev_digest, end.seq, end.digest) == (start, 1, row.digest)


def test_a_rolled_back_event_leaves_no_gap(written: Database) -> None:
    with pytest.raises(RuntimeError), written.write() as connection:
        events.append(connection, verb="a.done", actor="system")
        raise RuntimeError
    with written.write() as connection:
        assert events.append(connection, verb="a.done", actor="system") == 6
        assert events.verify(connection) == ChainCheck(6, None)


def test_listing_events_after_a_number(written: Database) -> None:
    with written.read() as connection:
        assert [event.seq for event in events.list_after(connection, 0)] == [1, 2, 3, 4, 5]
        assert [event.seq for event in events.list_after(connection, 3)] == [4, 5]
        assert [event.seq for event in events.list_after(connection, 0, limit=2)] == [1, 2]
        assert [event.seq for event in events.list_after(connection, 1, campaign_id=1)] == [2, 5]
        assert events.list_after(connection, 5) == []


def test_listing_the_latest_events(written: Database) -> None:
    with written.read() as connection:
        assert [event.seq for event in events.list_latest(connection, limit=2)] == [5, 4]
        assert [event.seq for event in events.list_latest(connection, campaign_id=1)] == [5, 2, 1]
        assert [event.seq for event in events.list_latest(connection, verbs=["item.flagged"])] == [5]


def test_an_empty_chain_and_an_intact_chain_are_valid(database: Database, written: Database) -> None:
    with written.read() as connection:
        assert events.verify(connection) == ChainCheck(5, None)
    with database.write() as connection:
        connection.execute(delete(event_table))
        connection.execute(delete(chain_table))
        assert events.verify(connection) == ChainCheck(0, None)


def test_a_body_with_values_of_many_types_is_valid(database: Database) -> None:
    """A JSON column must return a body with the same digest, on both databases."""
    body = {
        "z": 1,
        "a": [1.5, 1e-7, 1e22, 0.1, -0.0, True, None, 'ä\u2028\U0001f600"\\'],
        "nested": {"y": {}, "x": []},
        "large": 2**53 + 1,
    }
    with database.write() as connection:
        events.append(connection, verb="a.done", actor="system", body=body)
    with database.read() as connection:
        assert events.verify(connection) == ChainCheck(1, None)
        assert json.dumps(events.list_after(connection, 0)[0].body, sort_keys=True) == json.dumps(
            body, sort_keys=True
        )


def change_of(**values: object) -> Callable[[Connection], None]:
    def change(connection: Connection) -> None:
        connection.execute(update(event_table).where(event_table.c.seq == 3).values(values))

    return change


def delete_last_event(connection: Connection) -> None:
    connection.execute(delete(event_table).where(event_table.c.seq == 5))


def delete_event_and_close_the_gap(connection: Connection) -> None:
    connection.execute(delete(event_table).where(event_table.c.seq == 3))
    for seq in (4, 5):
        connection.execute(update(event_table).where(event_table.c.seq == seq).values(seq=seq - 1))
    connection.execute(update(chain_table).values(seq=4))


def insert_event(connection: Connection) -> None:
    last = connection.execute(select(event_table).where(event_table.c.seq == 5)).one()
    connection.execute(insert(event_table).values(last._asdict() | {"seq": 6, "prev_digest": last.digest}))


def swap_events(connection: Connection) -> None:
    for before, after in ((2, 99), (3, 2), (99, 3)):
        connection.execute(update(event_table).where(event_table.c.seq == before).values(seq=after))


def rewrite_event_with_digest(connection: Connection) -> None:
    """As an attacker does who can compute digests, but leaves the next event unchanged."""
    row = connection.execute(select(event_table).where(event_table.c.seq == 3)).one()
    body = {"preference": -3}
    new_digest = digest.of_json(
        [3, row.at, row.verb, row.actor, row.campaign_id, row.subject, body, row.prev_digest]
    )
    connection.execute(update(event_table).where(event_table.c.seq == 3).values(body=body, digest=new_digest))


def rewrite_last_event_with_digest(connection: Connection) -> None:
    row = connection.execute(select(event_table).where(event_table.c.seq == 5)).one()
    new_digest = digest.of_json(
        [5, row.at, "item.praised", row.actor, row.campaign_id, row.subject, row.body, row.prev_digest]
    )
    connection.execute(
        update(event_table).where(event_table.c.seq == 5).values(verb="item.praised", digest=new_digest)
    )


def delete_all_events(connection: Connection) -> None:
    connection.execute(delete(event_table))


def delete_recorded_end(connection: Connection) -> None:
    connection.execute(delete(chain_table))


@pytest.mark.parametrize(
    ("tamper", "problem"),
    [
        pytest.param(change_of(at="2020-01-01T00:00:00.000000Z"), "event 3 was changed", id="time"),
        pytest.param(change_of(verb="item.removed"), "event 3 was changed", id="verb"),
        pytest.param(change_of(actor="r-9876543210"), "event 3 was changed", id="actor"),
        pytest.param(change_of(campaign_id=1), "event 3 was changed", id="campaign"),
        pytest.param(change_of(campaign_id=None), "event 3 was changed", id="no-campaign"),
        pytest.param(change_of(subject="30"), "event 3 was changed", id="subject"),
        pytest.param(change_of(body={"preference": 1}), "event 3 was changed", id="body"),
        pytest.param(change_of(digest="sha256:" + "1" * 64), "event 3 was changed", id="digest"),
        pytest.param(
            change_of(prev_digest="sha256:" + "1" * 64),
            "event 3 does not contain the digest of event 2",
            id="prev-digest",
        ),
        pytest.param(
            delete_last_event, "the log ends after event 4, but the recorded end differs", id="last-deleted"
        ),
        pytest.param(
            delete_event_and_close_the_gap, "event 3 does not contain the digest of event 2", id="gap-closed"
        ),
        pytest.param(
            lambda c: c.execute(delete(event_table).where(event_table.c.seq == 1)),
            "event 1 is missing",
            id="first-deleted",
        ),
        pytest.param(
            lambda c: c.execute(delete(event_table).where(event_table.c.seq == 3)),
            "event 3 is missing",
            id="deleted",
        ),
        pytest.param(insert_event, "event 6 was changed", id="inserted"),
        pytest.param(swap_events, "event 2 does not contain the digest of event 1", id="swapped"),
        pytest.param(
            rewrite_event_with_digest, "event 4 does not contain the digest of event 3", id="rewritten"
        ),
        pytest.param(rewrite_last_event_with_digest, "the recorded end differs", id="last-rewritten"),
        pytest.param(delete_all_events, "event 0, but the recorded end differs", id="all-deleted"),
        pytest.param(delete_recorded_end, "the recorded end differs", id="end-deleted"),
    ],
)
def test_tampering_is_detected(written: Database, tamper: Callable[[Connection], None], problem: str) -> None:
    with written.write() as connection:
        assert events.verify(connection).problem is None
        tamper(connection)
        verdict = events.verify(connection)
    assert verdict.problem is not None
    assert problem in verdict.problem
