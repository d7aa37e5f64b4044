"""The tables that migrations make are those that the code works with, on both databases, and a released migration stays as it is."""

import multiprocessing
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Column, Integer, MetaData, Table, insert, inspect, select

from fairlead.core import digest
from fairlead.labels import campaigns, people, schema
from fairlead.labels.database import Database, open_database
from fairlead.labels.errors import StudioError

# Version -> digest of its file.  One is added with each release, and none is ever changed.
RELEASED: dict[str, str] = {}


@pytest.fixture
def empty(database: Database) -> Database:
    schema.metadata.drop_all(database.engine)
    with database.write() as connection:
        connection.exec_driver_sql("DROP TABLE alembic_version")
    return database


def test_migrations_make_the_tables_of_the_code(empty: Database) -> None:
    schema.upgrade(empty)
    with empty.read() as connection:
        assert (
            compare_metadata(
                MigrationContext.configure(connection, opts={"compare_type": True}), schema.metadata
            )
            == []
        )
    assert set(inspect(empty.engine).get_table_names()) == {*schema.metadata.tables, "alembic_version"}


def test_a_difference_would_be_seen(empty: Database) -> None:
    schema.upgrade(empty)
    wider = MetaData()
    for table in schema.metadata.tables.values():
        table.to_metadata(wider)
    Table("more", wider, Column("id", Integer, primary_key=True))
    with empty.read() as connection:
        assert [found[0] for found in compare_metadata(MigrationContext.configure(connection), wider)] == [
            "add_table"
        ]


def test_upgrading_twice_changes_nothing(empty: Database) -> None:
    schema.upgrade(empty)
    with empty.write() as connection:
        ada = people.add(connection, name="Ada")
    schema.upgrade(empty)
    with empty.read() as connection:
        assert people.get(connection, ada.rater) == ada


def test_foreign_keys_hold_after_an_upgrade(tmp_path: Path) -> None:
    opened = open_database(str(tmp_path / "studio.db"))
    schema.upgrade(opened)
    for begin in (opened.read, opened.write):
        with begin() as connection:
            assert connection.exec_driver_sql("PRAGMA foreign_keys").scalar() == 1
    opened.close()


def test_a_database_of_a_newer_fairlead_is_left_alone(empty: Database) -> None:
    schema.upgrade(empty)
    with empty.write() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = 'v9999'")
    with pytest.raises(StudioError, match="v9999.*newer version of Fairlead"):
        schema.upgrade(empty)


def test_an_upgrade_that_would_leave_rows_without_their_own_is_undone(tmp_path: Path) -> None:
    opened = open_database(str(tmp_path / "studio.db"))
    schema.upgrade(opened)
    driver = opened.engine.raw_connection()
    driver.driver_connection.execute("PRAGMA foreign_keys=OFF")  # type: ignore[union-attr]
    driver.driver_connection.execute("INSERT INTO pseudonym VALUES (7, 'r-0000000000')")  # type: ignore[union-attr]
    driver.close()
    with pytest.raises(StudioError, match="pseudonym.*dangling references"):
        schema.upgrade(opened)
    opened.close()


def _upgrade(url: str) -> None:
    opened = open_database(url)
    schema.upgrade(opened)
    opened.close()


@pytest.mark.slow
def test_processes_that_start_together_take_turns(empty: Database, database_url: str) -> None:
    starting = [
        multiprocessing.get_context("spawn").Process(target=_upgrade, args=(database_url,)) for _ in range(3)
    ]
    for one in starting:
        one.start()
    for one in starting:
        one.join(60)
    assert [one.exitcode for one in starting] == [0, 0, 0]
    with empty.write() as connection:
        campaigns.create(
            connection, campaigns.CampaignSettings(name="Helpful", kind="pairwise"), by="r-0000000000"
        )


def test_versions_are_one_line_and_released_ones_are_as_they_were() -> None:
    scripts = {script.revision: script for script in ScriptDirectory(str(schema.MIGRATIONS)).walk_revisions()}
    assert sorted(scripts) == [f"v{number:04}" for number in range(1, len(scripts) + 1)]
    assert [scripts[name].down_revision for name in sorted(scripts)] == [None, *sorted(scripts)[:-1]]
    assert {name: digest.of_file(Path(scripts[name].path)) for name in RELEASED} == RELEASED


def test_every_module_with_tables_has_its_place() -> None:
    here = {
        path.stem
        for path in Path(schema.__file__).parent.glob("*.py")
        if "\n    metadata,\n" in path.read_text(encoding="utf-8")
    }
    assert here == {module.__name__.rpartition(".")[2] for module in schema.MODULES}


def test_a_table_of_each_module_can_be_read(empty: Database) -> None:
    schema.upgrade(empty)
    with empty.write() as connection:
        connection.execute(
            insert(people.person_table).values(
                name="Ada", preferences={}, created_at="2026-01-01T00:00:00.000000Z"
            )
        )
        for table in schema.metadata.sorted_tables:
            connection.execute(select(table)).all()
