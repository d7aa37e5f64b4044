"""The web application put together.  Nothing happens at import; `create_app` is all there is.

A room of routes is one line in the import and one in ROUTERS.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import APIRouter, FastAPI
from starlette.concurrency import run_in_threadpool
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Receive, Scope, Send

import fairlead
from fairlead.labels import job_handlers, job_worker, schema
from fairlead.labels.database import Database, now, open_database
from fairlead.store.project import Project
from fairlead.studio import auth, errors, html, limits, permissions
from fairlead.studio.api import campaigns as campaigns_api
from fairlead.studio.api import chat as chat_api
from fairlead.studio.api import dashboard as dashboard_api
from fairlead.studio.api import events as events_api
from fairlead.studio.api import items as items_api
from fairlead.studio.api import jobs as jobs_api
from fairlead.studio.api import labelling as labelling_api
from fairlead.studio.api import me as me_api
from fairlead.studio.api import people as people_api
from fairlead.studio.api import runs as runs_api
from fairlead.studio.api import snapshots as snapshots_api
from fairlead.studio.chat_backends import Answerers
from fairlead.studio.chat_streams import Talks
from fairlead.studio.figures import Board
from fairlead.studio.headers import SafeHeaders
from fairlead.studio.limits import BodyLimit, Limiter
from fairlead.studio.live import Live
from fairlead.studio.pages import campaigns as campaigns_pages
from fairlead.studio.pages import dashboard as dashboard_pages
from fairlead.studio.pages import entry as entry_pages
from fairlead.studio.pages import label as label_pages
from fairlead.studio.pages import people as people_pages
from fairlead.studio.pages import runs as runs_pages
from fairlead.studio.pages import snapshots as snapshots_pages
from fairlead.studio.pages import wizard as wizard_pages
from fairlead.studio.settings import Settings
from fairlead.studio.state import Clock

API = "/api/v1"
API_ROUTERS = (
    chat_api.router,
    dashboard_api.router,
    events_api.router,
    labelling_api.router,
    me_api.router,
    people_api.router,
    runs_api.router,
    campaigns_api.router,
    items_api.router,
    jobs_api.router,
    snapshots_api.router,
)
PAGE_ROUTERS = (
    dashboard_pages.router,
    entry_pages.router,
    label_pages.router,
    people_pages.router,
    runs_pages.router,
    campaigns_pages.router,
    snapshots_pages.router,
    wizard_pages.router,
)
STATIC = Path(__file__).parent / "static"


class Studio(FastAPI):
    def build_middleware_stack(self) -> ASGIApp:
        """The answer to a bug comes from outside of all other middleware, and has the headers too."""
        return SafeHeaders(super().build_middleware_stack(), https=self.state.settings.secure)


def create_app(
    settings: Settings,
    database: Database | None = None,
    clock: Clock = now,
    *,
    more: Sequence[APIRouter] = (),
    demo: bool = False,
) -> FastAPI:
    """A database that is given is the caller's to bring up to date and to close.

    `more` are rooms of pages that need an extra; `demo` puts on every page that nothing there is real.
    """
    opened = database or open_database(settings.database)
    if database is None:
        schema.upgrade(opened)

    live = Live(opened)
    worker = (
        job_worker.WorkerThread(opened, job_handlers.handlers(Project(settings.project)))
        if settings.project
        else None
    )

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        if worker is not None:
            worker.start()
        yield
        if worker is not None:
            await run_in_threadpool(worker.stop)
        live.close()
        await app.state.talks.close()
        if database is None:
            opened.close()

    app = Studio(
        title="Fairlead studio",
        description="Where people give feedback. Everything that a page does can be done here, by a session or by a token.",
        version=fairlead.__version__,
        openapi_url=f"{API}/openapi.json",
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
    )
    app.state.settings, app.state.database, app.state.clock, app.state.demo = settings, opened, clock, demo
    app.state.live = live
    app.state.talks = Talks(opened, Answerers(settings.project))
    app.state.templates = html.environment()
    app.state.board = Board(opened, clock)
    app.state.wrong_passwords = Limiter(limit=8, per_s=900)  # of one e-mail address
    app.state.wrong_clients = Limiter(
        limit=40, per_s=900
    )  # of one address on the network: passwords and links
    permissions.check_routes((*API_ROUTERS, *PAGE_ROUTERS, *more))
    for router in API_ROUTERS:
        app.include_router(router, prefix=API, responses=errors.ANSWERS)
    for router in (*PAGE_ROUTERS, *more):
        app.include_router(router, include_in_schema=False)
    app.mount("/static", StaticFiles(directory=STATIC), name="static")
    errors.install(app)
    app.add_middleware(Wakes, live=live)
    app.add_middleware(auth.Renews, settings=settings)
    app.add_middleware(BodyLimit, uploads=settings.upload_mb * limits.MIB, is_lead=auth.is_lead)
    return app


class Wakes:
    """Who watches the events hears of a change as soon as its request is answered."""

    def __init__(self, app: ASGIApp, *, live: Live) -> None:
        self._app, self._live = app, live

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app(scope, receive, send)
        if scope["type"] == "http" and scope["method"] not in auth.SAFE:
            self._live.wake()
