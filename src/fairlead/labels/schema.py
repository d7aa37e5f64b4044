"""The complete database schema, and its migrations.

Every module with tables must be listed in MODULES: importing the module adds its tables to `metadata`.
"""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, MetaData

from fairlead.labels import (
    assignments,
    attempts,
    campaigns,
    chats,
    credentials,
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
    seals,
    snapshot,
    uploads,
    webhooks,
)
from fairlead.labels.database import Database
from fairlead.labels.errors import StudioError

MODULES = (
    attempts,
    credentials,
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
    seals,
    snapshot,
    uploads,
    webhooks,
    assignments,
)
metadata: MetaData = database.metadata
MIGRATIONS = Path(__file__).parent / "migrations"
UPGRADE_LOCK = (
    4_703_001  # advisory lock; any number that no other program uses in the same PostgreSQL database
)


def upgrade(opened: Database) -> None:
    """Create the tables, or migrate those of an earlier version.

    Processes that start at the same time take turns.
    """
    with opened.engine.connect() as connection, database.without_foreign_keys(connection), connection.begin():
        if not opened.is_sqlite:
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({UPGRADE_LOCK})")
        _upgrade(connection)
        if opened.is_sqlite and (broken := connection.exec_driver_sql("PRAGMA foreign_key_check").first()):
            raise StudioError(
                f"The upgrade would leave rows of table {broken[0]!r} with dangling references. "
                "Nothing was changed. Restore a backup, or report this as a bug."
            )


def config(connection: Connection) -> Config:
    alembic_config = Config()
    alembic_config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    alembic_config.attributes["connection"] = connection
    return alembic_config


def _upgrade(connection: Connection) -> None:
    alembic_config = config(connection)
    scripts = ScriptDirectory.from_config(alembic_config)
    current = MigrationContext.configure(connection).get_current_revision()
    if current == scripts.get_current_head():
        return
    if current is not None and current not in {script.revision for script in scripts.walk_revisions()}:
        raise StudioError(
            f"The database has version {current}, which this version of Fairlead does not know. "
            "Install the newer version of Fairlead that created the database."
        )
    command.upgrade(alembic_config, "head")
    if current is not None and current < seals.SEALED_SINCE:
        _seal_all_rows(connection)


def _seal_all_rows(connection: Connection) -> None:
    """Cover rows that an earlier version wrote with the chain of events."""
    if rows := seals.all_rows(connection):
        events.append(connection, verb="rows.sealed", actor="system", body={"count": len(rows)}, rows=rows)
