"""Every table in one place, and the database brought to it.

A module with tables has its place in MODULES, or `metadata` is not complete.
"""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, MetaData

from fairlead.labels import (
    access,
    assignments,
    campaigns,
    chats,
    database,
    drafts,
    events,
    flags,
    imports,
    items,
    jobs,
    judgements,
    members,
    people,
    snapshot,
    uploads,
)
from fairlead.labels.database import Database
from fairlead.labels.errors import StudioError

MODULES = (
    access,
    campaigns,
    chats,
    drafts,
    events,
    flags,
    imports,
    items,
    jobs,
    judgements,
    members,
    people,
    snapshot,
    uploads,
    assignments,
)  # those with tables
metadata: MetaData = database.metadata
MIGRATIONS = Path(__file__).parent / "migrations"
UPGRADE_LOCK = 4_703_001  # any number that nothing else in the same PostgreSQL database locks


def upgrade(opened: Database) -> None:
    """Makes the tables, or changes those of an earlier version.  Processes that start at the same time take turns."""
    with opened.engine.connect() as connection, database.without_foreign_keys(connection), connection.begin():
        if not opened.is_sqlite:
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({UPGRADE_LOCK})")
        _upgrade(connection)
        if opened.is_sqlite and (broken := connection.exec_driver_sql("PRAGMA foreign_key_check").first()):
            raise StudioError(
                f"the upgrade would leave rows of the table {broken[0]} that refer to nothing. Nothing was changed."
            )


def config(connection: Connection) -> Config:
    made = Config()
    made.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    made.attributes["connection"] = connection
    return made


def _upgrade(connection: Connection) -> None:
    made = config(connection)
    scripts = ScriptDirectory.from_config(made)
    current = MigrationContext.configure(connection).get_current_revision()
    if current == scripts.get_current_head():
        return
    if current is not None and current not in {script.revision for script in scripts.walk_revisions()}:
        raise StudioError(
            f"the database has version {current}, which this Fairlead does not know. Use the newer Fairlead that made it."
        )
    command.upgrade(made, "head")
