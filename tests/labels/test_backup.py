"""Backup and restore: consistent while people write, checked, and never over something that exists."""

import contextlib
import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy
from sqlalchemy import func, select
from sqlalchemy.engine import make_url

from fairlead.core import files
from fairlead.labels import backup, campaigns, events, webhooks
from fairlead.labels.campaigns import Campaign
from fairlead.labels.database import Database, open_database
from fairlead.labels.errors import Conflict, StudioError
from fairlead.labels.judgements import judgement_table
from fairlead.store.project import Project, create_project
from labels.snapshots import take_snapshot

OWNER = "r-0000000001"


@pytest.fixture
def new_url(database_url: str, tmp_path: Path) -> Iterator[str]:
    """A database without tables, of the same kind."""
    url = make_url(database_url)
    if url.get_backend_name() == "sqlite":
        yield f"sqlite:///{tmp_path / 'restored.db'}"
        return
    name = f"restored_{url.database}"
    admin = sqlalchemy.create_engine(url, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name} TEMPLATE template0")
    yield url.set(database=name).render_as_string(hide_password=False)
    with admin.connect() as connection:
        connection.exec_driver_sql(f"DROP DATABASE {name} WITH (FORCE)")
    admin.dispose()


def restore(folder: Path, url: str, home: Path) -> tuple[backup.Restored, Project]:
    project = create_project(home)
    return backup.restore(folder, url, project), project


def test_a_restored_studio_is_the_same(
    database: Database, database_url: str, new_url: str, project: Project, judged: Campaign, tmp_path: Path
) -> None:
    take_snapshot(database, project, judged)
    uploads = project.data / "uploads"
    uploads.mkdir(parents=True, exist_ok=True)
    (uploads / "upload-1.jsonl").write_bytes(b"{}\n")
    manifest = backup.make(database_url, project, tmp_path / "backup")
    restored, elsewhere = restore(tmp_path / "backup", new_url, tmp_path / "elsewhere")
    assert restored.check.problem is None and restored.check.num_events > 10
    assert restored.num_files == len(manifest["files"]) - 1
    assert (elsewhere.data / "uploads" / "upload-1.jsonl").read_bytes() == b"{}\n"
    rows = "artifacts/snapshot/s/comparisons.jsonl"
    assert (elsewhere.root / rows).read_bytes() == (project.root / rows).read_bytes()
    copy = open_database(new_url)
    for opened in (database, copy):
        with opened.read() as connection:
            assert campaigns.get(connection, judged.slug) == judged
            assert connection.execute(select(func.count()).select_from(judgement_table)).scalar_one() == 6
    with copy.write() as connection:  # numbers go on where they were
        events.append(connection, verb="item.content", actor=OWNER)
        campaigns.create(connection, campaigns.CampaignSettings(name="Next", kind="rating"), by=OWNER)
        assert events.verify(connection).problem is None
    copy.close()


def test_a_restored_studio_sends_nothing_until_somebody_starts_its_webhooks(
    database: Database, database_url: str, new_url: str, judged: Campaign, tmp_path: Path
) -> None:
    with database.write() as connection:
        on = webhooks.create(connection, "https://example.org/hook", by=OWNER)
        off = webhooks.create(connection, "https://example.org/other", by=OWNER)
        webhooks.switch(connection, off.id, is_on=False, by=OWNER)
    backup.make(database_url, None, tmp_path / "backup")
    assert backup.restore(tmp_path / "backup", new_url, None).num_stopped_webhooks == 1
    with contextlib.closing(open_database(new_url)) as copy, copy.read() as connection:
        assert not any(webhook.is_on for webhook in webhooks.list_all(connection))
        assert events.verify(connection).problem is None
    with database.read() as connection:
        assert webhooks.get(connection, on.id).is_on


def test_a_backup_while_people_write_is_consistent(
    database: Database, database_url: str, new_url: str, judged: Campaign, tmp_path: Path
) -> None:
    stop, is_writing = threading.Event(), threading.Event()

    def write() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            with database.write() as connection:
                campaigns.write_guidelines(connection, judged, f"Be kind, {number} times.", by=OWNER)
            is_writing.set()

    writer = threading.Thread(target=write)
    writer.start()
    try:
        assert is_writing.wait(30)
        before = after = number = 0
        while before == after and number < 100:  # until somebody wrote meanwhile
            number += 1
            with database.read() as connection:
                before = events.last_seq(connection)
            backup.make(database_url, None, tmp_path / f"backup-{number}")
            with database.read() as connection:
                after = events.last_seq(connection)
    finally:
        stop.set()
        writer.join(30)
    restored = backup.restore(tmp_path / f"backup-{number}", new_url, None)
    assert restored.check.problem is None
    assert before <= restored.check.num_events <= after and before < after


def test_a_backup_while_files_come_and_go_holds_those_that_stay(
    database_url: str, project: Project, tmp_path: Path
) -> None:
    uploads = project.data / "uploads"
    for number in range(50):
        files.write_text(uploads / f"upload-{number}.jsonl", "{}\n")
    stop, is_writing = threading.Event(), threading.Event()

    def upload_and_refuse() -> None:
        while not stop.is_set():
            files.write_text(uploads / "refused.jsonl", "no rows\n")
            (uploads / "refused.jsonl").unlink()
            is_writing.set()

    writer = threading.Thread(target=upload_and_refuse)
    writer.start()
    try:
        assert is_writing.wait(30)
        manifests = [backup.make(database_url, project, tmp_path / f"backup-{n}") for n in range(5)]
    finally:
        stop.set()
        writer.join(30)
    kept = {f"data/uploads/upload-{number}.jsonl" for number in range(50)}
    for manifest in manifests:
        stored = {path for path in manifest["files"] if path.startswith("data/")}
        assert kept <= stored <= {*kept, "data/uploads/refused.jsonl"}


def test_nothing_that_exists_is_overwritten(
    database: Database, database_url: str, project: Project, judged: Campaign, tmp_path: Path, new_url: str
) -> None:
    folder = tmp_path / "backup"
    take_snapshot(database, project, judged)
    backup.make(database_url, project, folder)
    with pytest.raises(Conflict, match="exists already"):
        backup.make(database_url, project, folder)
    with pytest.raises(Conflict, match="already"):
        backup.restore(folder, database_url, None)
    other = create_project(tmp_path / "other")
    different = other.root / "artifacts" / "snapshot" / "s" / "comparisons.jsonl"
    different.parent.mkdir(parents=True)
    different.write_text("mine")
    with pytest.raises(Conflict, match="differs from the backup"):
        backup.restore(folder, new_url, other)
    assert different.read_text() == "mine"
    assert backup.restore(folder, new_url, project).check.problem is None  # the files are there already


def test_a_damaged_backup_is_refused(
    database_url: str, project: Project, judged: Campaign, tmp_path: Path, new_url: str
) -> None:
    folder = tmp_path / "backup"
    manifest = backup.make(database_url, project, folder)
    [name] = [path for path in manifest["files"] if path.startswith("studio.")]
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(StudioError, match="was changed"):
        backup.restore(folder, new_url, project)
    (folder / name).unlink()
    with pytest.raises(StudioError, match="is missing"):
        backup.restore(folder, new_url, project)
    for text, why in (
        ("{", "no readable"),
        (json.dumps(manifest | {"format": 2}), "newer version"),
        (json.dumps(manifest | {"files": {"../evil": "sha256:0"}}), "outside the backup"),
    ):
        (folder / backup.MANIFEST).write_text(text)
        with pytest.raises(StudioError, match=why):
            backup.restore(folder, new_url, project)


def test_the_kind_of_database_must_fit(database_url: str, judged: Campaign, tmp_path: Path) -> None:
    backup.make(database_url, None, tmp_path / "backup")
    other = (
        "postgresql://nobody@127.0.0.1:9/none" if "sqlite" in database_url else f"sqlite:///{tmp_path}/new.db"
    )
    with pytest.raises(Conflict, match="cannot be restored into"):
        backup.restore(tmp_path / "backup", other, None)


def test_the_password_of_the_database_is_not_among_the_arguments(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "bin" / "pg_dump"
    program.parent.mkdir()
    lines = [
        "#!/bin/sh",
        f'printf \'%s\\n\' "$PGPASSWORD" "$@" >{tmp_path}/said',
        f": >{tmp_path}/backup.partial/studio.dump",
    ]
    program.write_text("\n".join(lines))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
    backup.make("postgresql://ada:se%40cret@db.example:6543/studio", None, tmp_path / "backup")
    password, *arguments = (tmp_path / "said").read_text().splitlines()
    assert password == "se@cret"
    assert "--dbname=postgresql://ada@db.example:6543/studio" in arguments  # "***" would be the password


def test_what_cannot_be_backed_up_is_said(tmp_path: Path) -> None:
    with pytest.raises(StudioError, match="there is no database"):
        backup.make(f"sqlite:///{tmp_path}/none.db", None, tmp_path / "backup")
    with pytest.raises(StudioError, match="pg_dump failed"):
        backup.make("postgresql://nobody:secret@127.0.0.1:9/none", None, tmp_path / "backup")
    assert not list(tmp_path.iterdir())
