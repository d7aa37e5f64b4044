"""Fixtures of the studio's tests: the app over an empty database, alone or beside a project."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from anyio.from_thread import start_blocking_portal
from fastapi import FastAPI

from fairlead.labels.database import Database
from fairlead.studio.app import create_app
from fairlead.studio.settings import Settings
from studio.leads import Place, open_place
from studio.live_chat import chat, chat_lead, chat_place
from studio.projects import home
from studio.running_demo import running

__all__ = ["app", "chat", "chat_lead", "chat_place", "home", "place", "running"]


@pytest.fixture
def app(database: Database, database_url: str, tmp_path: Path) -> Iterator[FastAPI]:
    made = create_app(Settings(database=database_url), database)
    with start_blocking_portal() as portal:
        made.state.portal = portal
        yield made
        made.state.live.close()


@pytest.fixture
def place(database: Database, tmp_path: Path) -> Place:
    """The app beside an empty project."""
    return open_place(database, tmp_path)
