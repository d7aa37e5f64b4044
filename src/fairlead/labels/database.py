"""The studio's database: SQLite or PostgreSQL, with the same `read` and `write` transactions.

All tables of `labels` share `metadata`.  The module that owns a table owns its queries.  Times are UTC text
such as `2026-01-31T09:30:00.000000Z`, which sorts in order of time on both databases.

SQLite uses a write-ahead log and foreign keys, and flushes every commit to disk (`synchronous=FULL`).  Each
process has one writing connection, which its threads share in turn.  BEGIN IMMEDIATE makes processes take
turns before they read anything.  Readers never wait.  `secure_delete` overwrites deleted rows, and `scrub`
removes remaining copies.

PostgreSQL readers use REPEATABLE READ, so that every page of a long read shows the same state, as on SQLite.
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

BUSY_MS = 30_000  # wait for a write of another process
MAX_READERS = 16  # connections that read at the same time
POOL_TIMEOUT_S = 30.0  # wait for a free connection
CHECKPOINT_TIMEOUT_MS = 1000  # wait for readers before emptying the write-ahead log


class Database:
    """Opens transactions.  `url` never contains the password."""

    def __init__(self, reader: Engine, writer: Engine) -> None:
        self._reader, self._writer = reader, writer
        self.url = writer.url.render_as_string(hide_password=True)
        self.is_sqlite = writer.dialect.name == "sqlite"
        self._log_has_deleted_rows = False

    @contextlib.contextmanager
    def read(self) -> Iterator[Connection]:
        """Open a read-only transaction, which sees one state of the database."""
        with self._reader.connect() as connection:
            yield connection

    @contextlib.contextmanager
    def write(self) -> Iterator[Connection]:
        """Open a write transaction: committed at the end, rolled back after an exception."""
        with self._writer.begin() as connection:
            yield connection
        if self._log_has_deleted_rows:
            self._empty_log(0)

    def scrub(self, tables: Sequence[Table]) -> None:
        """Remove every trace of deleted rows of these small tables from the files of SQLite.

        Rebuilt pages may keep old copies of a row in their free space, so the tables are emptied and
        refilled.  While a reader sees an older state, one of the next writes empties the write-ahead log.
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
        self._log_has_deleted_rows = bool(busy)

    def close(self) -> None:
        self._reader.dispose()
        self._writer.dispose()

    @property
    def engine(self) -> Engine:
        """For migrations."""
        return self._writer


def open_database(url: str) -> Database:
    """Connect to a database.  `schema.upgrade` creates the tables."""
    try:
        parsed = make_url(url if "://" in url else f"sqlite:///{url}")
    except ArgumentError:
        raise StudioError(
            f"{url!r} is not a database URL. Use a file path, or postgresql://USER:PASSWORD@HOST/NAME.",
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
                "PostgreSQL needs a driver. Run: pip install 'fairlead[postgres]'.", field="database"
            ) from None
        _check_reachable(engine)
        return Database(
            engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True), engine
        )
    if parsed.get_backend_name() != "sqlite":
        raise StudioError(
            f"{parsed.get_backend_name()} is not supported. Use SQLite or PostgreSQL.", field="database"
        )
    if not parsed.database or parsed.database == ":memory:":
        raise StudioError(
            "The studio's database must be a file, so that its data outlives the server. Give a file path.",
            field="database",
        )
    if not Path(parsed.database).parent.is_dir():
        raise StudioError(
            f"{Path(parsed.database).parent} is not a folder. Create the folder first.", field="database"
        )
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
        connection.isolation_level = None  # `begun` starts the transactions
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
    """Keep ON DELETE CASCADE from deleting rows while a table is rewritten.

    Enter this outside of a transaction: SQLite ignores the pragma inside one.
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
    except DatabaseError as error:  # unreachable, not permitted, or not a database file
        url = engine.url.render_as_string(hide_password=True)
        remedy = (
            " Its folder must exist, and you must be allowed to write to both."
            if "unable to open database file" in str(error.orig)
            else ""
        )
        raise StudioError(
            f"Cannot open the database {url}: {str(error.orig).strip().rstrip('.')}.{remedy}",
            field="database",
        ) from None


def now() -> str:
    """The present time as text, see `format_time`."""
    return format_time(datetime.now(UTC))


def format_time(moment: datetime) -> str:
    """A time in the format of the tables."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def parse_time(text: str) -> datetime:
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=UTC)
