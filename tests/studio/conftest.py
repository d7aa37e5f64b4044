"""The studio's app over an empty database, on SQLite and on PostgreSQL."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from anyio.from_thread import start_blocking_portal
from fastapi import FastAPI

from fairlead.labels.database import Database
from fairlead.studio.app import create_app
from fairlead.studio.settings import Settings


@pytest.fixture
def app(database: Database, database_url: str, tmp_path: Path) -> Iterator[FastAPI]:
    made = create_app(Settings(database=database_url), database)
    with start_blocking_portal() as portal:
        made.state.portal = portal
        yield made
        made.state.live.close()
