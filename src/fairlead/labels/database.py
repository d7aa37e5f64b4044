"""The studio's database: SQLite in a file, or PostgreSQL by URL, behind the same two verbs, `read` and `write`.

All tables of `labels` are on `metadata`; the module that owns a table owns its queries.  Times are text in UTC, such as
`2026-01-31T09:30:00.000000Z`, which sorts as it should on both databases.

SQLite: write-ahead log, foreign keys, every commit on the disk before it is acknowledged (`synchronous=FULL`).  One connection of a process
writes, its threads take turns, and BEGIN IMMEDIATE makes processes take turns before they have read anything; readers never wait.
What is deleted is overwritten (`secure_delete`); `forget` sees to the corners that this does not reach.

PostgreSQL: readers see one state as they do on SQLite (`REPEATABLE READ`), or what they read in pages would contradict itself.
"""

import contextlib
import sqlite3
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import sqlalchemy
from sqlalchemy import Connection, Engine, MetaData, Table, delete, event, insert, select
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DatabaseError
from sqlalchemy.pool import QueuePool

from fairlead.labels.errors import StudioError

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

BUSY_MS = 30_000  # how long a process waits for another one's write
MAX_READERS = 16  # connections that read at the same time; more wait
POOL_TIMEOUT_S = 30.0  # for a connection
CHECKPOINT_TIMEOUT_MS = 1000  # how long the log is waited for, by whom it holds up


class Database:
    """Transactions over one database.  `url` never shows a password."""

    def __init__(self, reader: Engine, writer: Engine) -> None:
        self._reader, self._writer = reader, writer
        self.url = writer.url.render_as_string(hide_password=True)
        self.is_sqlite = writer.dialect.name == "sqlite"
        self._log_remembers = False

    @contextlib.contextmanager
    def read(self) -> Iterator[Connection]:
        """One state of the database; nothing may be written."""
        with self._reader.connect() as connection:
            yield connection

    @contextlib.contextmanager
    def write(self) -> Iterator[Connection]:
        """All or nothing: committed at the end, rolled back when something is raised."""
        with self._writer.begin() as connection:
            yield connection
        if self._log_remembers:
            self._empty_log(0)

    def forget(self, tables: Sequence[Table]) -> None:
        """SQLite's files hold nothing more of rows of these small tables that were deleted.

        Pages that were rebuilt may have old copies of a row in their free parts, so the tables are emptied and filled again.  Where
        somebody is reading an older state, the log is emptied after one of the next writes.
        """
        if not self.is_sqlite:
            return
        with self._writer.connect() as connection, without_foreign_keys(connection), connection.begin():
            for table in tables:
                rows = connection.execute(select(table)).mappings().all()
                connection.execute(delete(table))
                if rows:
                    connection.execute(insert(table), [dict(row) for row in rows])
        self._empty_log(CHECKPOINT_TIMEOUT_MS)

    def _empty_log(self, wait_ms: int) -> None:
        with self._writer.connect() as connection:
            driver = _driver_connection(connection)
            driver.execute(f"PRAGMA busy_timeout={wait_ms}")
            [(busy, _, _)] = driver.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            driver.execute(f"PRAGMA busy_timeout={BUSY_MS}")
        self._log_remembers = bool(busy)

    def close(self) -> None:
        self._reader.dispose()
        self._writer.dispose()

    @property
    def engine(self) -> Engine:
        """For migrations."""
        return self._writer


def open_database(url: str) -> Database:
    """Opens what is there; `migrations.upgrade` makes the tables."""
    try:
        parsed = make_url(url if "://" in url else f"sqlite:///{url}")
    except ArgumentError:
        raise StudioError(
            f"{url!r} is not a database. Use the path of a file, or postgresql://USER:PASSWORD@HOST/NAME.",
            field="database",
        ) from None
    if parsed.get_backend_name() == "postgresql":
        parsed = parsed.set(drivername="postgresql+psycopg")
        try:
            engine = sqlalchemy.create_engine(
                parsed,
                pool_size=MAX_READERS,
                max_overflow=8,
                pool_timeout=POOL_TIMEOUT_S,
                pool_pre_ping=True,
                hide_parameters=True,
            )
        except ModuleNotFoundError:
            raise StudioError(
                "PostgreSQL needs a driver: pip install 'fairlead[postgres]'.", field="database"
            ) from None
        _check_reachable(engine)
        return Database(
            engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True), engine
        )
    if parsed.get_backend_name() != "sqlite":
        raise StudioError(
            f"{parsed.get_backend_name()} is not supported; use SQLite or PostgreSQL.", field="database"
        )
    if not parsed.database or parsed.database == ":memory:":
        raise StudioError(
            "the studio's database has to be a file: what people wrote must outlive the server.",
            field="database",
        )
    if not Path(parsed.database).parent.is_dir():
        raise StudioError(f"{Path(parsed.database).parent} is not a folder; make it first.", field="database")
    reader, writer = (
        _sqlite_engine(parsed, begin, size)
        for begin, size in (("BEGIN", MAX_READERS), ("BEGIN IMMEDIATE", 1))
    )
    _check_reachable(writer)
    return Database(reader, writer)


def _sqlite_engine(url: sqlalchemy.URL, begin: str, size: int) -> Engine:
    engine = sqlalchemy.create_engine(
        url,
        poolclass=QueuePool,
        pool_size=size,
        max_overflow=0,
        pool_timeout=POOL_TIMEOUT_S,
        hide_parameters=True,
        connect_args={"check_same_thread": False},
    )

    def connected(connection: sqlite3.Connection, _: Any) -> None:
        connection.isolation_level = None  # transactions begin where `begun` says so
        cursor = connection.cursor()
        for pragma in (
            f"busy_timeout={BUSY_MS}",
            "journal_mode=WAL",
            "synchronous=FULL",
            "foreign_keys=ON",
            "secure_delete=ON",
        ):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    def begun(connection: Connection) -> None:
        connection.exec_driver_sql(begin)

    event.listen(engine, "connect", connected)
    event.listen(engine, "begin", begun)
    return engine


@contextlib.contextmanager
def without_foreign_keys(connection: Connection) -> Iterator[None]:
    """A table that is rewritten is empty for a moment, and nothing that refers to its rows may go with it.  To be said outside of any
    transaction, where alone SQLite listens to it.
    """
    if connection.dialect.name != "sqlite":
        yield
        return
    _driver_connection(connection).execute("PRAGMA foreign_keys=OFF")
    try:
        yield
    finally:
        _driver_connection(connection).execute("PRAGMA foreign_keys=ON")


def _driver_connection(connection: Connection) -> Any:
    return connection.connection.driver_connection


def _check_reachable(engine: Engine) -> None:
    try:
        with engine.connect():
            pass
    except DatabaseError as error:  # unreachable, not allowed, or a file that is something else
        where = engine.url.render_as_string(hide_password=True)
        raise StudioError(
            f"cannot open the database {where}: {str(error.orig).strip()}", field="database"
        ) from None


def now() -> str:
    return format_time(datetime.now(UTC))


def format_time(moment: datetime) -> str:
    """A moment as the tables hold it."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def parse_time(text: str) -> datetime:
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=UTC)
