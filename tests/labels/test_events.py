"""The chain of events: in order, whole, and broken visibly by every way of changing what is written."""

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
    """Five events, of two campaigns and of none."""
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


def test_a_digest_by_hand(database: Database) -> None:
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


def test_an_event_undone_with_its_transaction_leaves_no_gap(written: Database) -> None:
    with pytest.raises(RuntimeError), written.write() as connection:
        events.append(connection, verb="a.done", actor="system")
        raise RuntimeError
    with written.write() as connection:
        assert events.append(connection, verb="a.done", actor="system") == 6
        assert events.verify(connection) == ChainCheck(6, None)


def test_reading_on_from_a_number(written: Database) -> None:
    with written.read() as connection:
        assert [each.seq for each in events.list_after(connection, 0)] == [1, 2, 3, 4, 5]
        assert [each.seq for each in events.list_after(connection, 3)] == [4, 5]
        assert [each.seq for each in events.list_after(connection, 0, limit=2)] == [1, 2]
        assert [each.seq for each in events.list_after(connection, 1, campaign_id=1)] == [2, 5]
        assert events.list_after(connection, 5) == []


def test_the_newest_first(written: Database) -> None:
    with written.read() as connection:
        assert [each.seq for each in events.list_latest(connection, limit=2)] == [5, 4]
        assert [each.seq for each in events.list_latest(connection, campaign_id=1)] == [5, 2, 1]
        assert [each.seq for each in events.list_latest(connection, verbs=["item.flagged"])] == [5]


def test_an_empty_chain_and_a_whole_one_hold(database: Database, written: Database) -> None:
    with written.read() as connection:
        assert events.verify(connection) == ChainCheck(5, None)
    with database.write() as connection:
        connection.execute(delete(event_table))
        connection.execute(delete(chain_table))
        assert events.verify(connection) == ChainCheck(0, None)


def test_a_body_of_many_kinds_of_values_holds(database: Database) -> None:
    """What a JSON column gives back must have the digest of what was put in, on both databases."""
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


def leave_out_the_last(connection: Connection) -> None:
    connection.execute(delete(event_table).where(event_table.c.seq == 5))


def leave_out_one_and_close_the_gap(connection: Connection) -> None:
    connection.execute(delete(event_table).where(event_table.c.seq == 3))
    for seq in (4, 5):
        connection.execute(update(event_table).where(event_table.c.seq == seq).values(seq=seq - 1))
    connection.execute(update(chain_table).values(seq=4))


def put_one_in(connection: Connection) -> None:
    last = connection.execute(select(event_table).where(event_table.c.seq == 5)).one()
    connection.execute(insert(event_table).values(last._asdict() | {"seq": 6, "prev_digest": last.digest}))


def swap_two(connection: Connection) -> None:
    for before, after in ((2, 99), (3, 2), (99, 3)):
        connection.execute(update(event_table).where(event_table.c.seq == before).values(seq=after))


def write_one_again_with_its_digest(connection: Connection) -> None:
    """Somebody who knows how digests are made, and stops at the event after."""
    row = connection.execute(select(event_table).where(event_table.c.seq == 3)).one()
    body = {"preference": -3}
    made = digest.of_json(
        [3, row.at, row.verb, row.actor, row.campaign_id, row.subject, body, row.prev_digest]
    )
    connection.execute(update(event_table).where(event_table.c.seq == 3).values(body=body, digest=made))


def write_the_last_again_with_its_digest(connection: Connection) -> None:
    row = connection.execute(select(event_table).where(event_table.c.seq == 5)).one()
    made = digest.of_json(
        [5, row.at, "item.praised", row.actor, row.campaign_id, row.subject, row.body, row.prev_digest]
    )
    connection.execute(
        update(event_table).where(event_table.c.seq == 5).values(verb="item.praised", digest=made)
    )


def drop_everything(connection: Connection) -> None:
    connection.execute(delete(event_table))


def drop_the_end(connection: Connection) -> None:
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
            leave_out_the_last, "the log ends after event 4, but the recorded end differs", id="last-one-out"
        ),
        pytest.param(
            leave_out_one_and_close_the_gap, "event 3 does not contain the digest of event 2", id="gap-closed"
        ),
        pytest.param(
            lambda c: c.execute(delete(event_table).where(event_table.c.seq == 1)),
            "event 1 is missing",
            id="first-one-out",
        ),
        pytest.param(
            lambda c: c.execute(delete(event_table).where(event_table.c.seq == 3)),
            "event 3 is missing",
            id="one-out",
        ),
        pytest.param(put_one_in, "event 6 was changed", id="one-more"),
        pytest.param(swap_two, "event 2 does not contain the digest of event 1", id="swapped"),
        pytest.param(
            write_one_again_with_its_digest, "event 4 does not contain the digest of event 3", id="rewritten"
        ),
        pytest.param(
            write_the_last_again_with_its_digest, "the recorded end differs", id="last-one-rewritten"
        ),
        pytest.param(drop_everything, "event 0, but the recorded end differs", id="all-out"),
        pytest.param(drop_the_end, "the recorded end differs", id="no-end"),
    ],
)
def test_tampering_shows(written: Database, tamper: Callable[[Connection], None], problem: str) -> None:
    with written.write() as connection:
        assert events.verify(connection).problem is None
        tamper(connection)
        verdict = events.verify(connection)
    assert verdict.problem is not None
    assert problem in verdict.problem
