"""Failed attempts, counted in the database."""

import pytest
from sqlalchemy import select

from fairlead.labels import attempts
from fairlead.labels.database import Database

FIRST = "2026-03-01T12:00:00.000000Z"
LATER = "2026-03-01T12:00:40.000000Z"


def test_attempts_are_counted_by_key_within_a_window(database: Database) -> None:
    with database.write() as connection:
        attempts.take_turns(connection)
        for at in (FIRST, LATER):
            attempts.add(connection, "ada", at=at)

        def wait_s(key: str, limit: int, at: str = LATER) -> float | None:
            return attempts.wait_s(connection, key, limit=limit, per_s=60, at=at)

        assert (wait_s("ada", 3), wait_s("ada", 2), wait_s("ada", 1)) == (None, 20, 60)
        assert wait_s("ben", 1) is None
        assert wait_s("ada", 1, "2026-03-01T12:01:39.000000Z") == 1
        assert wait_s("ada", 1, "2026-03-01T12:01:40.000000Z") is None


def test_attempts_are_forgiven_and_forgotten(database: Database) -> None:
    with database.write() as connection:
        counted = [attempts.add(connection, key, at=FIRST) for key in ("ada", "ada", "ben")]
        attempts.forgive(connection, counted[0])
        assert attempts.wait_s(connection, "ada", limit=2, per_s=60, at=FIRST) is None
        attempts.forget(connection, "ada")
        rows = connection.execute(select(attempts.attempt_table)).all()
        assert [row.id for row in rows] == [counted[2]] and "ben" not in str(rows)


def test_the_oldest_attempts_are_dropped(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempts, "MAX_ATTEMPTS", 3)
    with database.write() as connection:
        for number in range(5):
            attempts.add(connection, str(number), at=FIRST)
        assert len(connection.execute(select(attempts.attempt_table)).all()) == 3
        attempts.add(connection, "last", at="2026-03-01T14:00:00.000000Z")
        assert len(connection.execute(select(attempts.attempt_table)).all()) == 1
