"""Backups of a studio: a consistent copy of its database, its uploads and its snapshots, in a folder.

    backup.json                 what the backup holds, with the digest of each file
    studio.db or studio.dump    SQLite's online backup, or pg_dump in its custom format
    data/uploads/               files that leads uploaded
    artifacts/snapshot/         snapshots

The studio may run meanwhile, and nobody waits.  Files are copied after the database: a file is complete
before the database names it, so everything that the copy names is there.  Runs and models are not part of a
backup.
"""

import contextlib
import json
import os
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from sqlalchemy import inspect
from sqlalchemy.engine import URL, make_url

import fairlead
from fairlead.core import digest, files
from fairlead.labels import events, schema, webhooks
from fairlead.labels.database import now, open_database
from fairlead.labels.errors import Conflict, StudioError
from fairlead.labels.events import ChainCheck
from fairlead.store.project import Project

MANIFEST = "backup.json"
FORMAT = 1
DATABASE_FILES = {"sqlite": "studio.db", "postgresql": "studio.dump"}
FOLDERS = ("data/uploads", "artifacts/snapshot")


@dataclass(frozen=True)
class Restored:
    num_files: int
    num_stopped_webhooks: int
    check: ChainCheck


def make(database: str, project: Project | None, folder: Path) -> dict[str, Any]:
    """Write a backup to a new folder, and return its manifest.  Without a project, only the database."""
    if folder.exists():
        raise Conflict(f"{folder} exists already. Choose another folder for the backup.")
    url = _parse(database)
    partial = folder.with_name(folder.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        kind = url.get_backend_name()
        target = partial / DATABASE_FILES[kind]
        if kind == "sqlite":
            _copy_sqlite(Path(str(url.database)), target)
        else:
            _run_postgres(
                url, ["pg_dump", "--format=custom", "--no-owner", "--no-privileges", f"--file={target}"]
            )
        if project is not None:
            for name in FOLDERS:
                if (project.root / name).is_dir():
                    # Hidden files are locks, and what is written at the moment.
                    hidden = shutil.ignore_patterns(".*")
                    source, target = project.root / name, partial / name
                    shutil.copytree(source, target, ignore=hidden, copy_function=_copy_if_there)
        manifest = {
            "format": FORMAT,
            "fairlead": fairlead.__version__,
            "made_at": now(),
            "database": kind,
            "files": {path: digest.of_file(partial / path) for path in _list_files(partial)},
        }
        files.write_text(partial / MANIFEST, json.dumps(manifest, indent=2) + "\n")
        partial.rename(folder)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    return manifest


def restore(folder: Path, database: str, project: Project | None) -> Restored:
    """Restore a backup into a database without tables and, with a project, its files.

    Files that are there already must be the same.  The chain of events is verified afterwards.  Webhooks are
    stopped: the studio that was copied may still send its own.
    """
    manifest = _read_manifest(folder)
    url = _parse(database)
    kind = url.get_backend_name()
    if kind != manifest["database"]:
        raise Conflict(f"this backup is of {manifest['database']} and cannot be restored into {kind}.")
    _check_files(folder, manifest)
    if project is not None:
        for path in _project_files(manifest):
            there = project.root / path
            if there.exists() and digest.of_file(there) != manifest["files"][path]:
                raise Conflict(f"{there} exists already and differs from the backup. Restore elsewhere.")
    source = folder / DATABASE_FILES[kind]
    if kind == "sqlite":
        target = Path(str(url.database))
        if target.exists():
            raise Conflict(f"{target} exists already. Move it away, or restore to another file.")
        with open(source, "rb") as opened, files.atomic_file(target) as written:
            shutil.copyfileobj(opened, written)
    else:
        _require_empty(database)
        options = ["--exit-on-error", "--single-transaction", "--no-owner", "--no-privileges"]
        _run_postgres(url, ["pg_restore", *options, str(source)])
    num_files = 0
    if project is not None:
        for path in _project_files(manifest):
            there = project.root / path
            if not there.exists():
                there.parent.mkdir(parents=True, exist_ok=True)
                with open(folder / path, "rb") as opened, files.atomic_file(there) as written:
                    shutil.copyfileobj(opened, written)
            num_files += 1
    restored = open_database(database)
    with contextlib.closing(restored):
        schema.upgrade(restored)
        with restored.read() as connection:
            check = events.verify(connection)
        with restored.write() as connection:
            return Restored(num_files, webhooks.stop_all(connection, by="system"), check)


# ---------------------------------------------------------------- databases


def _parse(database: str) -> URL:
    url = make_url(database if "://" in database else f"sqlite:///{database}")
    if url.get_backend_name() not in DATABASE_FILES:
        raise StudioError(f"{url.get_backend_name()} is not supported. Use SQLite or PostgreSQL.")
    return url


def _copy_sqlite(source: Path, target: Path) -> None:
    """Copy one state of the database.  Writers do not wait for it."""
    if not source.is_file():
        raise StudioError(f"there is no database {source}. Check --database or --project.", field="database")
    with (
        contextlib.closing(sqlite3.connect(f"{source.resolve().as_uri()}?mode=ro", uri=True)) as reader,
        contextlib.closing(sqlite3.connect(target)) as writer,
    ):
        reader.backup(writer, pages=-1)
        writer.execute("PRAGMA journal_mode=DELETE")
        problem = writer.execute("PRAGMA quick_check(1)").fetchone()[0]
    if problem != "ok":
        raise StudioError(f"the database {source} is damaged: {problem}. Restore an earlier backup.")


def _run_postgres(url: URL, command: list[str]) -> None:
    """Run a program of PostgreSQL.  The password is in its environment, which other users cannot read."""
    if shutil.which(command[0]) is None:
        raise StudioError(
            f"this needs the program {command[0]}. Install PostgreSQL's client programs, of the server's "
            "version or newer (Debian: apt-get install postgresql-client)."
        )
    without_password = URL.create(
        "postgresql", url.username, host=url.host, port=url.port, database=url.database, query=url.query
    )
    address = without_password.render_as_string()
    environment = dict(os.environ)
    if url.password is not None:
        environment["PGPASSWORD"] = str(url.password)
    done = subprocess.run(
        [*command, f"--dbname={address}", "--no-password"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise StudioError(f"{command[0]} failed: {done.stderr.strip()[-2000:]}")


def _require_empty(database: str) -> None:
    opened = open_database(database)
    with contextlib.closing(opened), opened.engine.connect() as connection:
        if inspect(connection).get_table_names():
            raise Conflict("the database has tables already. Restore into a new database (createdb NAME).")


# ---------------------------------------------------------------- files


def _copy_if_there(source: str, target: str) -> None:
    """Copy a file unless it was deleted since the folder was listed, as an upload that is refused."""
    with contextlib.suppress(FileNotFoundError):
        shutil.copy2(source, target)


def _list_files(folder: Path) -> Iterator[str]:
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.is_symlink():
            yield path.relative_to(folder).as_posix()


def _project_files(manifest: dict[str, Any]) -> list[str]:
    return [path for path in manifest["files"] if path.startswith(tuple(f"{name}/" for name in FOLDERS))]


def _read_manifest(folder: Path) -> dict[str, Any]:
    try:
        manifest: dict[str, Any] = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        is_known = manifest["format"] == FORMAT and manifest["database"] in DATABASE_FILES
        paths = list(manifest["files"])
    except (OSError, ValueError, KeyError, TypeError):
        raise StudioError(f"{folder} is not a backup of a studio: it has no readable {MANIFEST}.") from None
    if not is_known:
        raise StudioError(f"{folder} was written by a newer version of Fairlead. Install that version.")
    for path in paths:
        parts = PurePosixPath(path)
        if parts.is_absolute() or ".." in parts.parts:
            raise StudioError(f"{folder / MANIFEST} names a file outside the backup: {path}.")
    return manifest


def _check_files(folder: Path, manifest: dict[str, Any]) -> None:
    for path, expected in manifest["files"].items():
        if not (folder / path).is_file():
            raise StudioError(f"the backup is incomplete: {folder / path} is missing.")
        if digest.of_file(folder / path) != expected:
            raise StudioError(f"the backup is damaged: {folder / path} was changed.")
