"""Transactions on SQLite and PostgreSQL, and errors about databases that cannot be opened."""

import threading
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
import sqlalchemy
from sqlalchemy import Connection, text

from fairlead.labels import database as databases
from fairlead.labels import events
from fairlead.labels.database import Database, open_database
from fairlead.labels.errors import Invalid, StudioError


def count(connection: Connection) -> int:
    return int(connection.execute(text("SELECT count(*) FROM event")).scalar_one())


def test_committed_rows_are_visible_to_the_next_reader(database: Database) -> None:
    with database.write() as connection:
        events.append(connection, verb="a.done", actor="system")
    with database.read() as connection:
        assert count(connection) == 1


def test_an_error_rolls_back_the_transaction(database: Database) -> None:
    with pytest.raises(RuntimeError), database.write() as connection:
        events.append(connection, verb="a.done", actor="system")
        raise RuntimeError
    with database.read() as connection:
        assert count(connection) == 0


def test_uncommitted_rows_are_invisible_to_readers(database: Database) -> None:
    with database.write() as writing:
        events.append(writing, verb="a.done", actor="system")
        with database.read() as reading:  # and the reader does not wait
            assert count(reading) == 0


def test_a_reader_sees_a_single_snapshot(database: Database) -> None:
    with database.read() as reading:
        assert count(reading) == 0
        with database.write() as writing:
            events.append(writing, verb="a.done", actor="system")
        assert count(reading) == 0
    with database.read() as reading:
        assert count(reading) == 1


def test_concurrent_writers_lose_no_update(database: Database) -> None:
    """Each event gets the number after the last one, so two writers at a time would lose an event."""
    failures: list[BaseException] = []

    def write(worker: int) -> None:
        try:
            for turn in range(5):
                with database.write() as connection:
                    events.append(
                        connection, verb="a.done", actor="system", body={"worker": worker, "turn": turn}
                    )
        except BaseException as error:
            failures.append(error)

    with database.write() as connection:
        events.append(connection, verb="a.begun", actor="system")
    threads = [threading.Thread(target=write, args=(worker,)) for worker in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    with database.read() as connection:
        assert events.verify(connection) == events.ChainCheck(41, None)


def test_sqlite_settings_survive_a_power_failure(tmp_path: Path) -> None:
    opened = open_database(f"sqlite:///{tmp_path / 'studio.db'}")
    assert opened.is_sqlite
    for transaction in (opened.read, opened.write):
        with transaction() as connection:
            settings = {
                name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
                for name in ("journal_mode", "synchronous", "foreign_keys")
            }
            assert settings == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1}
    opened.close()


def test_a_plain_path_opens_sqlite(tmp_path: Path) -> None:
    opened = open_database(str(tmp_path / "studio.db"))
    assert opened.is_sqlite
    opened.close()
    assert (tmp_path / "studio.db").exists()


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("sqlite://", "must be a file"),
        (":memory:", "must be a file"),
        ("mysql://localhost/x", "mysql is not supported. Use SQLite or PostgreSQL"),
        ("sqlite:///nowhere/studio.db", "nowhere is not a folder"),
        ("post gres://x", "is not a database URL. Use a file path"),
    ],
)
def test_urls_that_cannot_be_opened_are_explained(
    url: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(StudioError, match=message) as raised:
        open_database(url)
    assert raised.value.field == "database"


def test_errors_hide_the_password_of_the_database(tmp_path: Path) -> None:
    with pytest.raises(StudioError) as raised:
        open_database(f"postgresql://ann:secret-word@/none?host={tmp_path}")
    assert "Cannot open the database" in str(raised.value)
    assert "secret-word" not in str(raised.value)


def test_the_url_of_an_open_database_hides_its_password(copies: object, database_url: str) -> None:
    url = sqlalchemy.make_url(database_url)
    if url.get_backend_name() == "sqlite":
        pytest.skip("SQLite has no passwords")
    opened = open_database(url.set(password="secret-word").render_as_string(hide_password=False))
    assert "secret-word" not in opened.url
    opened.close()


def test_a_file_that_is_not_a_database_is_rejected(tmp_path: Path) -> None:
    (tmp_path / "studio.db").write_text("This is a shopping list and no database. " * 50)
    with pytest.raises(StudioError, match="Cannot open the database"):
        open_database(str(tmp_path / "studio.db"))


def test_times_sort_as_text() -> None:
    early = datetime(2026, 1, 31, 9, 30, tzinfo=UTC)
    assert databases.format_time(early) == "2026-01-31T09:30:00.000000Z"
    assert databases.format_time(early.astimezone(timezone(timedelta(hours=5)))) == databases.format_time(
        early
    )
    assert databases.parse_time(databases.format_time(early)) == early
    late = [early + timedelta(microseconds=1), early + timedelta(seconds=1), early + timedelta(days=400)]
    assert sorted(map(databases.format_time, [*reversed(late), early])) == [
        databases.format_time(time) for time in (early, *late)
    ]
    assert databases.format_time(early) <= databases.now()


def test_invalid_reports_all_problems() -> None:
    error = Invalid({"overlap": "must be at least 1", "slug": "is taken"})
    assert (str(error), error.field) == ("overlap: must be at least 1; slug: is taken", "overlap")
