"""Empty databases with all tables, quickly: a copy of one that was made once, on SQLite and on PostgreSQL."""

import itertools
import shutil
from pathlib import Path

import sqlalchemy

from fairlead.labels import schema
from fairlead.labels.database import open_database
from postgres import Server

TEMPLATE = "empty"
COLUMNS = """
SELECT table_name, column_name, data_type FROM information_schema.columns
WHERE table_schema = 'public' ORDER BY 1, 2
"""
EMPTY = """
SET session_replication_role = replica;  -- rows go in any order, whatever refers to them
DO $$ DECLARE name text; BEGIN
    FOR name IN SELECT tablename FROM pg_tables
        WHERE schemaname = 'public' AND tablename <> 'alembic_version' LOOP
        EXECUTE format('DELETE FROM %%I', name);
    END LOOP;
    FOR name IN SELECT sequencename FROM pg_sequences WHERE schemaname = 'public' LOOP
        EXECUTE format('ALTER SEQUENCE %%I RESTART', name);
    END LOOP;
END $$
"""


class Files:
    """SQLite: a file that is copied."""

    def __init__(self, folder: Path) -> None:
        self._template = folder / f"{TEMPLATE}.db"
        made = open_database(f"sqlite:///{self._template}")
        schema.upgrade(made)
        made.close()

    def copy(self, folder: Path) -> str:
        """The URL of a new database in the folder."""
        shutil.copyfile(self._template, folder / "studio.db")
        return f"sqlite:///{folder / 'studio.db'}"


class Copies:
    """PostgreSQL: CREATE DATABASE from a template, and used again when a test has left its tables as they
    were.
    """

    def __init__(self, server: Server) -> None:
        self._server = server
        self._numbers = itertools.count(1)
        self._free: list[str] = []
        self._admin = sqlalchemy.create_engine(server.url("postgres"), isolation_level="AUTOCOMMIT")
        self._do(f"CREATE DATABASE {TEMPLATE}")
        made = open_database(server.url(TEMPLATE))
        schema.upgrade(made)
        made.close()
        self._tables = self._columns(server.url(TEMPLATE))

    def copy(self) -> str:
        if self._free:
            return self._free.pop()
        name = f"test_{next(self._numbers)}"
        self._do(f"CREATE DATABASE {name} TEMPLATE {TEMPLATE} STRATEGY file_copy")
        return self._server.url(name)

    def drop(self, url: str) -> None:
        """Emptied, for the next test; dropped where a test has changed the tables."""
        name = sqlalchemy.make_url(url).database
        self._do(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")
        if self._columns(url, then=EMPTY) == self._tables:
            self._free.append(url)
        else:
            self._do(f"DROP DATABASE {name} WITH (FORCE)")

    def close(self) -> None:
        self._admin.dispose()

    def _columns(self, url: str, then: str = "") -> list[tuple[str, ...]]:
        engine = sqlalchemy.create_engine(url, isolation_level="AUTOCOMMIT", poolclass=sqlalchemy.NullPool)
        with engine.connect() as connection:
            found = connection.exec_driver_sql(COLUMNS).all()
            if then:
                connection.exec_driver_sql(then)
        return [tuple(map(str, row)) for row in found]

    def _do(self, statement: str) -> None:
        with self._admin.connect() as connection:
            connection.exec_driver_sql(statement)
