"""Builds the web application.

`create_app` is the only entry point; importing this module has no side effects.

To add a group of routes, import its module and add its router to API_ROUTERS or PAGE_ROUTERS."""

import functools
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute
from starlette.concurrency import run_in_threadpool
from starlette.routing import BaseRoute
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Receive, Scope, Send

import fairlead
from fairlead.labels import job_handlers, job_worker, schema, webhook_delivery
from fairlead.labels.database import Database, now, open_database
from fairlead.labels.errors import StudioError
from fairlead.store.project import Project
from fairlead.studio import access_control, auth, errors, limits, page_templates
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
from fairlead.studio.api import webhooks as webhooks_api
from fairlead.studio.chat_backends import ChatBackends
from fairlead.studio.chat_streams import ChatStreams
from fairlead.studio.headers import SafeHeaders
from fairlead.studio.hosts import AllowedHosts
from fairlead.studio.limits import BodyLimit, Limiter
from fairlead.studio.live import LiveEvents
from fairlead.studio.pages import campaigns as campaigns_pages
from fairlead.studio.pages import columns as columns_pages
from fairlead.studio.pages import dashboard as dashboard_pages
from fairlead.studio.pages import entry as entry_pages
from fairlead.studio.pages import items as items_pages
from fairlead.studio.pages import label as label_pages
from fairlead.studio.pages import people as people_pages
from fairlead.studio.pages import runs as runs_pages
from fairlead.studio.pages import snapshots as snapshots_pages
from fairlead.studio.pages import webhooks as webhooks_pages
from fairlead.studio.pages import wizard as wizard_pages
from fairlead.studio.previews import Previews
from fairlead.studio.public_path import UnderPath
from fairlead.studio.services.dashboard_cache import DashboardCache
from fairlead.studio.settings import Settings
from fairlead.studio.state import Clock

API_PREFIX = "/api/v1"
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
    webhooks_api.router,
)
PAGE_ROUTERS = (
    dashboard_pages.router,
    entry_pages.router,
    label_pages.router,
    people_pages.router,
    runs_pages.router,
    campaigns_pages.router,
    columns_pages.router,
    items_pages.router,
    snapshots_pages.router,
    webhooks_pages.router,
    wizard_pages.router,
)
STATIC = Path(__file__).parent / "static"
DESCRIPTION = "Collect human feedback. Whatever a page does can also be done through this API."


class Studio(FastAPI):
    def build_middleware_stack(self) -> ASGIApp:
        """Put the security headers outside all other middleware, so responses to bugs have them too."""
        settings: Settings = self.state.settings
        stack: ASGIApp = AllowedHosts(super().build_middleware_stack(), settings)
        stack = SafeHeaders(stack, https=settings.secure)
        return UnderPath(stack, settings.path) if settings.path else stack


def create_app(
    settings: Settings,
    database: Database | None = None,
    clock: Clock = now,
    *,
    extra_routers: Sequence[APIRouter] = (),
    demo: bool = False,
) -> FastAPI:
    """Without `database`, the app opens the database of the settings, migrates it, and closes it at shutdown.

    A database that is passed in must be migrated and closed by the caller.
    `extra_routers` are pages that need an optional dependency.  `demo` adds a banner to every page.
    """
    opened = database or open_database(settings.database)
    if database is None:
        schema.upgrade(opened)

    live = LiveEvents(opened)
    worker = None
    if settings.project:
        worker = job_worker.WorkerThread(opened, job_handlers.handlers(Project(settings.project)))
    deliveries = webhook_delivery.DeliveryThread(opened, allow_private=settings.private_webhooks)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        if worker is not None:
            worker.start()
            deliveries.start()
        yield
        if worker is not None:
            await run_in_threadpool(worker.stop)
            await run_in_threadpool(deliveries.stop)
        live.close()
        await app.state.chat_streams.close()
        if database is None:
            opened.close()

    app = Studio(
        title="Fairlead studio",
        description=DESCRIPTION,
        version=fairlead.__version__,
        openapi_url=f"{API_PREFIX}/openapi.json",
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
        servers=[{"url": settings.path}] if settings.path else None,
    )
    app.state.settings = settings
    app.state.database = opened
    app.state.clock = clock
    app.state.demo = demo
    app.state.live = live
    app.state.chat_streams = ChatStreams(opened, ChatBackends(settings.project))
    app.state.templates = page_templates.environment(settings.zone)
    app.state.previews = Previews()
    app.state.dashboard = DashboardCache(opened, clock, settings.zone)
    # By e-mail address and network address, and by person for people who are signed in.  Several people may
    # share a network address.
    app.state.wrong_passwords = Limiter(opened, "password", limit=20)
    app.state.wrong_names = Limiter(opened, "name", limit=20)  # by person, see `services.left_behind`
    app.state.wrong_clients = Limiter(opened, "client", limit=40)  # by network address: passwords and links
    _check_public_path(settings.path)
    access_control.check_routes((*API_ROUTERS, *PAGE_ROUTERS, *extra_routers))
    app.router.routes.extend(_shared_routes())
    for router in extra_routers:
        app.include_router(router, include_in_schema=False)
    app.mount("/static", StaticFiles(directory=STATIC), name="static")
    errors.install(app)
    app.add_middleware(WakeSubscribers, live=live)
    app.add_middleware(auth.RenewCookie, settings=settings)
    app.add_middleware(BodyLimit, uploads=settings.upload_mb * limits.MIB, lead_of=auth.lead_of)
    return app


def _check_public_path(path: str) -> None:
    """Refuse a path that starts like a page of the studio: the two could not be told apart."""
    routes = [route for router in PAGE_ROUTERS for route in router.routes if isinstance(route, APIRoute)]
    taken = {"api", "static", *(route.path.split("/")[1] for route in routes)}
    first = path.split("/")[1] if path else ""
    if first and first in taken:
        raise StudioError(
            f"the path /{first} is also a page of the studio. Choose another path, for example /labels.",
            field="public_url",
        )


@functools.cache
def _shared_routes() -> list[BaseRoute]:
    """The routes of every studio.

    Cached because FastAPI takes 0.4 s to build them at an app's first request.
    """
    shared = APIRouter()
    for router in API_ROUTERS:
        shared.include_router(router, prefix=API_PREFIX, responses=errors.RESPONSES)
    for router in PAGE_ROUTERS:
        shared.include_router(router, include_in_schema=False)
    return shared.routes


class WakeSubscribers:
    """Wakes event subscribers after every write request."""

    def __init__(self, app: ASGIApp, *, live: LiveEvents) -> None:
        self._app = app
        self._live = live

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app(scope, receive, send)
        if scope["type"] == "http" and scope["method"] not in auth.SAFE_METHODS:
            self._live.wake()
