"""Empty databases with all tables, quickly: a copy of one that was made once, on SQLite and on PostgreSQL."""

import itertools
import shutil
from pathlib import Path

import sqlalchemy

from fairlead.labels import schema
from fairlead.labels.database import open_database
from postgres import Server

TEMPLATE = "empty"


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
    """PostgreSQL: CREATE DATABASE from a template."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._numbers = itertools.count(1)
        self._admin = sqlalchemy.create_engine(server.url("postgres"), isolation_level="AUTOCOMMIT")
        self._do(f"CREATE DATABASE {TEMPLATE}")
        made = open_database(server.url(TEMPLATE))
        schema.upgrade(made)
        made.close()

    def copy(self) -> str:
        name = f"test_{next(self._numbers)}"
        self._do(f"CREATE DATABASE {name} TEMPLATE {TEMPLATE} STRATEGY file_copy")
        return self._server.url(name)

    def drop(self, url: str) -> None:
        self._do(f"DROP DATABASE {sqlalchemy.make_url(url).database} WITH (FORCE)")

    def close(self) -> None:
        self._admin.dispose()

    def _do(self, statement: str) -> None:
        with self._admin.connect() as connection:
            connection.exec_driver_sql(statement)
