"""Building the app: its database, routers, worker, and the wake-up after write requests."""

import asyncio
from pathlib import Path

import pytest
from fastapi import APIRouter, FastAPI
from starlette.types import Receive, Scope, Send

from fairlead.labels import campaigns
from fairlead.labels.database import Database
from fairlead.store.project import create_project
from fairlead.studio import app as studio_app
from fairlead.studio.app import WakeSubscribers, create_app
from fairlead.studio.settings import Settings


async def start_and_stop(app: FastAPI) -> None:
    async with app.router.lifespan_context(app):
        pass


@pytest.fixture
def closed(monkeypatch: pytest.MonkeyPatch) -> list[Database]:
    """The databases that were closed during the test."""
    databases: list[Database] = []
    close = Database.close

    def recording_close(self: Database) -> None:
        databases.append(self)
        close(self)

    monkeypatch.setattr(Database, "close", recording_close)
    return databases


def test_without_a_database_the_app_opens_migrates_and_closes_its_own(
    tmp_path: Path, closed: list[Database]
) -> None:
    app = create_app(Settings(database=str(tmp_path / "studio.db")))
    with app.state.database.read() as connection:
        assert campaigns.list_all(connection) == []  # the tables exist
    asyncio.run(start_and_stop(app))
    assert closed == [app.state.database]


def test_a_database_that_is_passed_in_stays_open(
    tmp_path: Path, database: Database, closed: list[Database]
) -> None:
    project = create_project(tmp_path / "project")  # a project also starts the worker of jobs
    app = create_app(Settings(database="unused", project=project.root), database)
    asyncio.run(start_and_stop(app))
    assert closed == []


def test_apps_do_not_share_their_state(database: Database) -> None:
    first, second = (create_app(Settings(database="unused"), database) for _ in range(2))
    assert first.state.live is not second.state.live
    assert first.state.wrong_passwords is not second.state.wrong_passwords
    assert first.openapi_url == "/api/v1/openapi.json" and first.docs_url is None
    for app in (first, second):
        app.state.live.close()


def test_a_route_without_a_permission_is_refused(database: Database) -> None:
    router = APIRouter()

    @router.get("/open-door")
    def open_door() -> None: ...

    with pytest.raises(AssertionError, match="routes that declare no role: .*open-door"):
        create_app(Settings(database="unused"), database, extra_routers=(router,))


class Live:
    num_wakes = 0

    def wake(self) -> None:
        self.num_wakes += 1


@pytest.mark.parametrize(
    ("kind", "method", "num_wakes"),
    [
        ("http", "POST", 1),
        ("http", "DELETE", 1),
        ("http", "GET", 0),
        ("http", "HEAD", 0),
        ("lifespan", "", 0),
    ],
)
def test_only_write_requests_wake_subscribers(kind: str, method: str, num_wakes: int) -> None:
    live = Live()
    before_response: list[int] = []

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        before_response.append(live.num_wakes)

    middleware = WakeSubscribers(answer, live=live)  # type: ignore[arg-type]
    scope = {"type": kind, "method": method}
    asyncio.run(middleware(scope, None, None))  # type: ignore[arg-type]
    assert (before_response, live.num_wakes) == ([0], num_wakes)


def test_shared_routes_are_built_once() -> None:
    assert studio_app._shared_routes() is studio_app._shared_routes()
