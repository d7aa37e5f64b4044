"""The schema and its migrations: equal to the tables of the code, on both databases, and never changed."""

import multiprocessing
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Column, Integer, MetaData, Table, insert, inspect, select

from fairlead.core import digest
from fairlead.labels import campaigns, people, schema
from fairlead.labels.database import Database, open_database
from fairlead.labels.errors import StudioError

# Digest of the migration file by version.  A release adds an entry; entries never change.
RELEASED: dict[str, str] = {}


@pytest.fixture
def empty(database: Database) -> Database:
    schema.metadata.drop_all(database.engine)
    with database.write() as connection:
        connection.exec_driver_sql("DROP TABLE alembic_version")
    return database


def test_migrations_create_the_tables_of_the_code(empty: Database) -> None:
    schema.upgrade(empty)
    with empty.read() as connection:
        assert (
            compare_metadata(
                MigrationContext.configure(connection, opts={"compare_type": True}), schema.metadata
            )
            == []
        )
    assert set(inspect(empty.engine).get_table_names()) == {*schema.metadata.tables, "alembic_version"}


def test_a_difference_between_code_and_database_is_detected(empty: Database) -> None:
    schema.upgrade(empty)
    wider = MetaData()
    for table in schema.metadata.tables.values():
        table.to_metadata(wider)
    Table("more", wider, Column("id", Integer, primary_key=True))
    with empty.read() as connection:
        assert [
            difference[0] for difference in compare_metadata(MigrationContext.configure(connection), wider)
        ] == ["add_table"]


def test_upgrading_twice_changes_nothing(empty: Database) -> None:
    schema.upgrade(empty)
    with empty.write() as connection:
        ada = people.add(connection, name="Ada")
    schema.upgrade(empty)
    with empty.read() as connection:
        assert people.get(connection, ada.rater) == ada


def test_foreign_keys_are_enforced_after_an_upgrade(tmp_path: Path) -> None:
    opened = open_database(str(tmp_path / "studio.db"))
    schema.upgrade(opened)
    for begin in (opened.read, opened.write):
        with begin() as connection:
            assert connection.exec_driver_sql("PRAGMA foreign_keys").scalar() == 1
    opened.close()


def test_a_database_of_a_newer_version_is_rejected(empty: Database) -> None:
    schema.upgrade(empty)
    with empty.write() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = 'v9999'")
    with pytest.raises(StudioError, match="v9999.*newer version of Fairlead"):
        schema.upgrade(empty)


def test_an_upgrade_that_would_leave_dangling_references_fails(tmp_path: Path) -> None:
    opened = open_database(str(tmp_path / "studio.db"))
    schema.upgrade(opened)
    driver = opened.engine.raw_connection()
    sqlite: Any = driver.driver_connection
    sqlite.execute("PRAGMA foreign_keys=OFF")
    sqlite.execute("INSERT INTO pseudonym VALUES (7, 'r-0000000000')")
    driver.close()
    with pytest.raises(StudioError, match="pseudonym.*dangling references"):
        schema.upgrade(opened)
    opened.close()


def _upgrade(url: str) -> None:
    opened = open_database(url)
    schema.upgrade(opened)
    opened.close()


@pytest.mark.slow
def test_concurrent_upgrades_take_turns(empty: Database, database_url: str) -> None:
    processes = [
        multiprocessing.get_context("spawn").Process(target=_upgrade, args=(database_url,)) for _ in range(3)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0, 0, 0]
    with empty.write() as connection:
        campaigns.create(
            connection, campaigns.CampaignSettings(name="Helpful", kind="pairwise"), by="r-0000000000"
        )


def test_versions_form_one_line_and_released_migrations_are_unchanged() -> None:
    scripts = {script.revision: script for script in ScriptDirectory(str(schema.MIGRATIONS)).walk_revisions()}
    assert sorted(scripts) == [f"v{number:04}" for number in range(1, len(scripts) + 1)]
    assert [scripts[name].down_revision for name in sorted(scripts)] == [None, *sorted(scripts)[:-1]]
    assert {name: digest.of_file(Path(scripts[name].path)) for name in RELEASED} == RELEASED


def test_every_module_with_tables_is_listed() -> None:
    with_tables = {
        path.stem
        for path in Path(schema.__file__).parent.glob("*.py")
        if "\n    metadata,\n" in path.read_text(encoding="utf-8")
    }
    assert with_tables == {module.__name__.rpartition(".")[2] for module in schema.MODULES}


def test_every_table_can_be_read(empty: Database) -> None:
    schema.upgrade(empty)
    with empty.write() as connection:
        connection.execute(
            insert(people.person_table).values(
                name="Ada", preferences={}, created_at="2026-01-01T00:00:00.000000Z"
            )
        )
        for table in schema.metadata.sorted_tables:
            connection.execute(select(table)).all()
